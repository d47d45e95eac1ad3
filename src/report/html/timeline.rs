//! The drawing of roles over hosts: time from left to right, a lane per host, one for the checks.

use serde::Serialize;

use super::figure::{PAGE, Rect, fit, tenth, text_width, tick_label, ticks};
use super::run::{End, Run, Span, Work};
use crate::report::line::duration;

const LANE: f64 = 36.0;
const BAR: f64 = 24.0;
const AXIS: f64 = 26.0;
const FONT: f64 = 12.0;
/// A bar is never so narrow that it cannot be seen.
const THIN: f64 = 3.0;
/// More lanes are not drawn: the table has them all.
const MOST_LANES: usize = 40;

/// The drawing.
#[derive(Debug, Serialize)]
pub struct Timeline {
    pub width: f64,
    pub height: f64,
    /// Where the lanes begin and end.
    pub left: f64,
    pub right: f64,
    pub lanes: Vec<Lane>,
    pub bars: Vec<Bar>,
    pub ticks: Vec<Tick>,
    /// Hosts that are not drawn.
    pub hidden: usize,
}

/// A lane; its text ends left of the bars.
#[derive(Debug, Serialize)]
pub struct Lane {
    pub name: String,
    pub full: String,
    /// Top, and the base line of its name.
    pub y: f64,
    pub text_y: f64,
    pub height: f64,
    pub odd: bool,
}

/// A bar.
#[derive(Debug, Serialize)]
pub struct Bar {
    #[serde(flatten)]
    pub rect: Rect,
    /// `look`, `role`, `check`, with `bad`, `skipped` or `open`.
    pub class: String,
    /// Empty when it has no room.
    pub label: String,
    pub text_x: f64,
    pub text_y: f64,
    /// Everything, for whoever points at it.
    pub title: String,
    /// Where a step ends and the next begins.
    pub marks: Vec<f64>,
    pub lane: usize,
}

/// A mark of the axis.
#[derive(Debug, Serialize)]
pub struct Tick {
    pub x: f64,
    pub label: String,
    /// `start`, `middle` or `end`: nothing sticks out at the sides.
    pub anchor: &'static str,
}

/// A row of the table that says the same.
#[derive(Debug, Serialize)]
pub struct Row {
    pub lane: String,
    pub work: String,
    pub start: String,
    pub took: String,
    pub end: &'static str,
}

/// Draws a run; `None` when nothing took any time.
pub fn draw(run: &Run) -> Option<Timeline> {
    let mut names: Vec<&str> = run.hosts.iter().map(String::as_str).filter(|host| run.spans.iter().any(|s| s.lane == *host)).collect();
    let hidden = names.len().saturating_sub(MOST_LANES);
    if hidden > 0 {
        // Where something was done says more than where something was looked at.
        let busy =
            |host: &&str| run.spans.iter().filter(|span| span.lane == **host && (span.work != Work::Look || span.how == End::Bad)).count();
        names.sort_by_key(|host| std::cmp::Reverse(busy(host)));
        names.truncate(MOST_LANES);
    }
    if run.spans.iter().any(|span| span.lane.is_empty()) {
        names.push("");
    }
    (!names.is_empty()).then(|| lay_out(&names, &run.spans, run.seconds, hidden))
}

/// Places everything. `lanes` are names of hosts; an empty one is the lane of the checks.
pub fn lay_out(lanes: &[&str], spans: &[Span], seconds: f64, hidden: usize) -> Timeline {
    let shown = |name: &str| if name.is_empty() { "checks".to_owned() } else { name.to_owned() };
    let widest = lanes.iter().map(|name| text_width(&shown(name), FONT)).fold(0.0, f64::max);
    let left = tenth(widest.clamp(40.0, 160.0) + 16.0);
    let right = PAGE - 8.0;
    let seconds = seconds.max(0.1);
    let x_of = |at: f64| left + (right - left) * (at / seconds).clamp(0.0, 1.0);
    let lane_at = |index: usize| AXIS + LANE * index as f64;
    let lane = |(index, name): (usize, &&str)| Lane {
        name: fit(&shown(name), FONT, left - 12.0),
        full: shown(name),
        y: lane_at(index),
        text_y: lane_at(index) + LANE / 2.0 + 4.0,
        height: LANE,
        odd: index % 2 == 1,
    };
    let mut bars: Vec<Bar> = Vec::new();
    for span in spans {
        let Some(index) = lanes.iter().position(|name| *name == span.lane) else { continue };
        // After the bar before it, should that have been widened.
        let free = bars.iter().filter(|bar| bar.lane == index).map(|bar| bar.rect.x + bar.rect.w).fold(left, f64::max);
        bars.push(bar(span, index, x_of(span.start).max(free), &x_of, right, lane_at(index)));
    }
    let ticks = ticks(seconds, 10).into_iter().map(|at| {
        let (x, label) = (tenth(x_of(at)), tick_label(at));
        let anchor = if x - text_width(&label, FONT) / 2.0 < 0.0 {
            "start"
        } else if x + text_width(&label, FONT) / 2.0 > PAGE {
            "end"
        } else {
            "middle"
        };
        Tick { x, label, anchor }
    });
    Timeline {
        width: PAGE,
        height: AXIS + LANE * lanes.len() as f64 + 4.0,
        left,
        right,
        lanes: lanes.iter().enumerate().map(lane).collect(),
        bars,
        ticks: ticks.collect(),
        hidden,
    }
}

fn bar(span: &Span, lane: usize, start: f64, x_of: &dyn Fn(f64) -> f64, right: f64, top: f64) -> Bar {
    let w = (x_of(span.end) - start).max(THIN);
    // A thin bar at the very end is moved left rather than out of the picture.
    let x = start.min(right - w).max(0.0);
    let room = w - 8.0;
    let label = match span.how {
        _ if text_width(&span.label, FONT) <= room => span.label.clone(),
        // Colour alone must not say it.
        End::Bad if room >= 8.0 => "✗".to_owned(),
        _ => String::new(),
    };
    let work = match span.work {
        Work::Look => "look",
        Work::Role => "role",
        Work::Check => "check",
    };
    let how = match span.how {
        End::Good => "",
        End::Bad => " bad",
        End::Skipped => " skipped",
        End::Open => " open",
    };
    Bar {
        rect: Rect { x: tenth(x), y: top + (LANE - BAR) / 2.0, w: tenth(w), h: BAR },
        class: format!("{work}{how}"),
        label,
        text_x: tenth(x + 5.0),
        text_y: top + LANE / 2.0 + 4.0,
        title: format!("{}: {} after {}, took {}", describe(span), word(span.how), duration(span.start), duration(span.end - span.start)),
        marks: span.marks.iter().map(|at| tenth(x_of(*at))).filter(|at| *at > x + 1.0 && *at < x + w - 1.0).collect(),
        lane,
    }
}

/// The same as a table, in the order of time.
pub fn rows(run: &Run) -> Vec<Row> {
    let mut spans: Vec<&Span> = run.spans.iter().collect();
    spans.sort_by(|a, b| a.start.total_cmp(&b.start));
    let row = |span: &Span| Row {
        lane: if span.lane.is_empty() { "the whole lab".to_owned() } else { span.lane.clone() },
        work: describe(span),
        start: duration(span.start),
        took: duration(span.end - span.start),
        end: word(span.how),
    };
    spans.into_iter().map(row).collect()
}

fn describe(span: &Span) -> String {
    match span.work {
        Work::Look => "looked at".to_owned(),
        Work::Role => format!("role {}", span.label),
        Work::Check => format!("check {}", span.label),
    }
}

fn word(how: End) -> &'static str {
    match how {
        End::Good => "done",
        End::Bad => "FAILED",
        End::Skipped => "skipped",
        End::Open => "did not end",
    }
}
