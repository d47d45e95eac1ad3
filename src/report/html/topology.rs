//! The drawing of the flow matrix: hosts side by side, one row per rule, an arrow from who may connect to who is reached.
//!
//! A drawing of boxes and free arrows is unreadable from a dozen hosts on; in rows no arrow and no text can lie on another,
//! whatever the matrix is.

use serde::Serialize;

#[cfg(test)]
use super::figure::text_width;
use super::figure::{PAGE, Rect, fit, lines, tenth};
use crate::engine::{Member, Scope};
use crate::lab::Flow;

const HEAD: f64 = 64.0;
const ROW: f64 = 44.0;
const GAP: f64 = 14.0;
const FONT: f64 = 13.0;
const SMALL: f64 = 11.0;
/// Sizes of the texts in a host's box, and the distance of its lines.
const NAME: f64 = 12.0;
const DETAIL: f64 = 10.0;
const LINE: f64 = 13.0;
const LABELS: f64 = 260.0;
const LEGEND: f64 = 30.0;
/// A column is at least this wide, so that short names and addresses fit.
const NARROW: f64 = 80.0;
const WIDE: f64 = 190.0;
/// Half of an arrow's width.
const TIP: f64 = 6.0;
/// Length of an arrow's head.
const HEAD_LENGTH: f64 = 11.0;
/// Distance of an arrow's tip from the line of a host that may connect as well, and has a dot there.
const DOT: f64 = 5.0;
/// More hosts are not drawn: the table has them all.
pub const MOST_HOSTS: usize = 24;

/// The drawing.
#[derive(Debug, Serialize)]
pub struct Topology {
    pub width: f64,
    pub height: f64,
    pub columns: Vec<Column>,
    pub rules: Vec<Rule>,
    /// Base line of the legend.
    pub legend_y: f64,
    /// End of the hosts' lines.
    pub bottom: f64,
}

/// Somebody who may connect or be reached.
#[derive(Debug, Serialize)]
pub struct Column {
    #[serde(flatten)]
    pub rect: Rect,
    pub lines: Vec<Line>,
    pub full: String,
    /// The middle.
    pub cx: f64,
    /// Not a host of the lab.
    pub outside: bool,
}

/// A line of text in a box.
#[derive(Debug, Serialize)]
pub struct Line {
    pub text: String,
    /// Base line.
    pub y: f64,
    /// An address, not a name.
    pub detail: bool,
}

/// One line of the matrix.
#[derive(Debug, Serialize)]
pub struct Rule {
    pub y: f64,
    pub band: Rect,
    pub odd: bool,
    pub ports: String,
    pub why: String,
    pub full: String,
    pub ports_y: f64,
    pub why_y: f64,
    pub published: bool,
    /// The arrow's ends; equal when nobody is allowed.
    pub from_x: f64,
    pub to_x: f64,
    /// Who may connect.
    pub dots: Vec<f64>,
    /// Points of the arrow's heads.
    pub tips: Vec<String>,
}

/// A row of the table that says the same.
#[derive(Debug, Serialize)]
pub struct Row {
    pub from: String,
    pub to: String,
    pub ports: String,
    pub protocol: String,
    pub published: bool,
    pub why: String,
}

/// Draws the matrix; `None` when there is nothing to draw or too much.
pub fn draw(scope: &Scope) -> Option<Topology> {
    let some = !scope.members.is_empty() && scope.members.len() <= MOST_HOSTS;
    some.then(|| lay_out(&scope.members, &scope.operators, &scope.flows))
}

/// Places everything.
pub fn lay_out(hosts: &[Member], operators: &[String], flows: &[Flow]) -> Topology {
    let mut parties: Vec<(String, String, bool)> = Vec::new();
    if flows.iter().any(|flow| flow.from_any) {
        parties.push(("anybody".to_owned(), "any address".to_owned(), true));
    }
    if flows.iter().any(|flow| flow.from_operators) {
        parties.push(("operators".to_owned(), operators.join(", "), true));
    }
    for network in flows.iter().flat_map(|flow| &flow.from_networks) {
        if !parties.iter().any(|(name, ..)| name == network) {
            parties.push((network.clone(), "network".to_owned(), true));
        }
    }
    let outside = parties.len();
    parties.extend(hosts.iter().map(|host| (host.name.clone(), host.address.clone(), false)));
    let step = ((PAGE - LABELS) / parties.len() as f64).clamp(NARROW, WIDE);
    let columns: Vec<Column> =
        parties.into_iter().enumerate().map(|(index, party)| column(party, LABELS + step * index as f64, step)).collect();
    let width = tenth(LABELS + step * columns.len() as f64);
    let place = |name: &str, outside_name: bool| {
        columns.iter().position(|column| column.outside == outside_name && column.full.split('\n').next() == Some(name))
    };
    let rules = flows.iter().enumerate().map(|(index, flow)| {
        let mut from: Vec<usize> = flow.from_hosts.iter().filter_map(|host| place(host, false)).collect();
        from.extend(flow.from_networks.iter().filter_map(|network| place(network, true)));
        from.extend(flow.from_operators.then(|| place("operators", true)).flatten());
        from.extend(flow.from_any.then(|| place("anybody", true)).flatten());
        let to: Vec<usize> = flow.to.iter().filter_map(|host| place(host, false)).collect();
        debug_assert!(from.iter().all(|at| *at < outside + hosts.len()));
        rule(flow, index, &from, &to, &columns, width)
    });
    let rules: Vec<Rule> = rules.collect();
    let bottom = HEAD + GAP + ROW * rules.len() as f64;
    Topology { width, height: bottom + LEGEND, legend_y: bottom + LEGEND - 9.0, bottom, columns, rules }
}

fn column((name, detail, outside): (String, String, bool), x: f64, step: f64) -> Column {
    let w = step - 10.0;
    let names = lines(&name, NAME, w - 4.0, 2).into_iter().map(|text| (text, false));
    let texts: Vec<(String, bool)> = names.chain(lines(&detail, DETAIL, w - 4.0, 2).into_iter().map(|text| (text, true))).collect();
    // The lines together are in the middle of the box.
    let top = (HEAD - LINE * texts.len() as f64) / 2.0;
    let line = |(at, (text, detail)): (usize, (String, bool))| Line { text, y: top + LINE * (at + 1) as f64 - 3.0, detail };
    Column {
        rect: Rect { x: tenth(x + 5.0), y: 2.0, w: tenth(w), h: HEAD - 4.0 },
        lines: texts.into_iter().enumerate().map(line).collect(),
        full: format!("{name}\n{detail}"),
        cx: tenth(x + step / 2.0),
        outside,
    }
}

fn rule(flow: &Flow, index: usize, from: &[usize], to: &[usize], columns: &[Column], width: f64) -> Rule {
    let top = HEAD + GAP + ROW * index as f64;
    let y = top + ROW / 2.0;
    let x = |at: &usize| columns[*at].cx;
    // Somebody who may reach only themselves by this rule is not part of it.
    let sources: Vec<&usize> = from.iter().filter(|source| to.iter().any(|target| target != *source)).collect();
    let mut tips = Vec::new();
    let mut ends: Vec<f64> = Vec::new();
    for target in to {
        // Nobody needs an arrow to themselves.
        let left = from.iter().any(|source| source < target);
        let right = from.iter().any(|source| source > target);
        let gap = if sources.contains(&target) { DOT } else { 0.0 };
        let tip = |side: f64| {
            let (point, back) = (x(target) + side * gap, x(target) + side * (gap + HEAD_LENGTH));
            format!("{},{y} {},{} {},{}", tenth(point), tenth(back), y - TIP, tenth(back), y + TIP)
        };
        tips.extend(left.then(|| tip(-1.0)));
        tips.extend(right.then(|| tip(1.0)));
        if left || right {
            ends.push(x(target));
        }
    }
    let dots: Vec<f64> = sources.iter().copied().map(x).collect();
    ends.extend(&dots);
    let (from_x, to_x) = ends.iter().fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(*at), high.max(*at)));
    let ports = ports(&flow.ports);
    Rule {
        y,
        band: Rect { x: 0.0, y: top, w: width, h: ROW },
        odd: index % 2 == 1,
        ports: fit(&ports, FONT, LABELS - 20.0),
        why: fit(&flow.why, SMALL, LABELS - 20.0),
        full: format!("{ports}: {}", flow.why),
        ports_y: top + 19.0,
        why_y: top + 35.0,
        published: flow.published,
        from_x: if ends.is_empty() { LABELS } else { from_x },
        to_x: if ends.is_empty() { LABELS } else { to_x },
        dots,
        tips,
    }
}

/// `80, 443/tcp`
fn ports(ports: &[String]) -> String {
    let split = |port: &'_ String| port.split_once('/').map(|(number, protocol)| (number.to_owned(), protocol.to_owned()));
    let parts: Vec<(String, String)> = ports.iter().filter_map(split).collect();
    let mut protocols: Vec<&str> = parts.iter().map(|(_, protocol)| protocol.as_str()).collect();
    protocols.sort_unstable();
    protocols.dedup();
    let numbers =
        |protocol: &str| parts.iter().filter(|(_, other)| other == protocol).map(|(number, _)| number.as_str()).collect::<Vec<_>>();
    protocols.iter().map(|protocol| format!("{}/{protocol}", numbers(protocol).join(", "))).collect::<Vec<_>>().join(", ")
}

/// The same as a table.
pub fn rows(scope: &Scope) -> Vec<Row> {
    let all = scope.members.len();
    let names = |names: &[String]| match names {
        [] => None,
        names if names.len() == all && all > 1 => Some(format!("all hosts ({})", listed(names))),
        names => Some(listed(names)),
    };
    let mut rows = Vec::new();
    for flow in &scope.flows {
        let mut from: Vec<String> = Vec::new();
        from.extend(flow.from_any.then(|| "anybody".to_owned()));
        from.extend(flow.from_operators.then(|| format!("operators ({})", scope.operators.join(", "))));
        from.extend(flow.from_networks.iter().cloned());
        from.extend(names(&flow.from_hosts));
        let mut protocols: Vec<&str> = flow.ports.iter().filter_map(|port| port.split_once('/')).map(|(_, protocol)| protocol).collect();
        protocols.sort_unstable();
        protocols.dedup();
        for protocol in protocols {
            let of = |port: &'_ &String| port.ends_with(&format!("/{protocol}"));
            let numbers: Vec<&str> = flow.ports.iter().filter(of).filter_map(|port| port.split('/').next()).collect();
            rows.push(Row {
                from: if from.is_empty() { "nobody".to_owned() } else { from.join(", ") },
                to: names(&flow.to).unwrap_or_else(|| "no host".to_owned()),
                ports: numbers.join(", "),
                protocol: protocol.to_owned(),
                published: flow.published,
                why: flow.why.clone(),
            });
        }
    }
    rows
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(MOST_HOSTS).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > MOST_HOSTS { format!("{shown} and {} more", names.len() - MOST_HOSTS) } else { shown }
}

/// Where texts are: those of each column's box, then those of the rules.
#[cfg(test)]
pub fn text_boxes(drawing: &Topology) -> (Vec<Vec<Rect>>, Vec<Rect>) {
    let in_box = |column: &Column| -> Vec<Rect> {
        let text = |line: &Line| {
            let size = if line.detail { DETAIL } else { NAME };
            let w = text_width(&line.text, size);
            Rect { x: column.cx - w / 2.0, y: line.y - size, w, h: size }
        };
        column.lines.iter().map(text).collect()
    };
    let at_rule = |rule: &Rule| {
        [
            Rect { x: 8.0, y: rule.ports_y - FONT, w: text_width(&rule.ports, FONT), h: FONT },
            Rect { x: 8.0, y: rule.why_y - SMALL, w: text_width(&rule.why, SMALL), h: SMALL },
        ]
    };
    (drawing.columns.iter().map(in_box).collect(), drawing.rules.iter().flat_map(at_rule).collect())
}
