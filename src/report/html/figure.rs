//! What both drawings need: sizes of text, rounding, scales. All lengths are pixels of the drawing.

use crate::report::line::cut;

/// Width of the page's column, and of drawings that fill it.
pub const PAGE: f64 = 1120.0;
/// Width of one column of a fixed-width font, per pixel of its size (0.6 for all common ones).
const MONO: f64 = 0.61;

/// A box.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

#[cfg(test)]
impl Rect {
    /// Whether they have a point inside in common.
    pub fn overlaps(&self, other: &Rect) -> bool {
        let apart = |a: f64, a_size: f64, b: f64, b_size: f64| a + a_size <= b + 0.05 || b + b_size <= a + 0.05;
        !apart(self.x, self.w, other.x, other.w) && !apart(self.y, self.h, other.y, other.h)
    }
    /// Whether it is inside of a canvas of this size.
    pub fn inside(&self, width: f64, height: f64) -> bool {
        self.x >= 0.0 && self.y >= 0.0 && self.x + self.w <= width + 0.05 && self.y + self.h <= height + 0.05
    }
}

/// A tenth of a pixel is enough, and short to write.
pub fn tenth(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

/// How wide a text is in the fixed-width font of this size. Wide characters (CJK) count twice.
pub fn text_width(text: &str, size: f64) -> f64 {
    console::measure_text_width(text) as f64 * MONO * size
}

/// The text, cut so that it is no wider than this.
pub fn fit(text: &str, size: f64, width: f64) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut columns = (width / (MONO * size)).max(1.0) as usize;
    let mut fitted = cut(&text, columns);
    while text_width(&fitted, size) > width && columns > 1 {
        columns -= 1;
        fitted = cut(&text, columns);
    }
    fitted
}

/// The text on at most `most` lines that are no wider than this, broken after dots, dashes and commas where that is possible.
pub fn lines(text: &str, size: f64, width: f64, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text.trim().to_owned();
    while lines.len() + 1 < most && text_width(&rest, size) > width {
        let mut end = 0;
        let mut soft = 0;
        for (at, c) in rest.char_indices() {
            if text_width(&rest[..at + c.len_utf8()], size) > width {
                break;
            }
            end = at + c.len_utf8();
            if matches!(c, '.' | '-' | ',' | ' ' | '/') {
                soft = end;
            }
        }
        let end = if soft > 0 { soft } else { end };
        if end == 0 {
            break;
        }
        lines.push(rest[..end].trim_end().to_owned());
        rest = rest[end..].trim_start().to_owned();
    }
    lines.push(fit(&rest, size, width));
    lines
}

/// Marks of a time axis from 0 to `seconds`: at round numbers, at most `most` of them after 0.
pub fn ticks(seconds: f64, most: usize) -> Vec<f64> {
    const ROUND: &[f64] = &[0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0];
    let fits = |step: &f64| seconds / step <= most.max(1) as f64;
    // A run of days: as many hours as are needed.
    let step = ROUND.iter().copied().find(|step| fits(step)).unwrap_or_else(|| (seconds / most.max(1) as f64 / 3600.0).ceil() * 3600.0);
    (0..).map(|n| f64::from(n) * step).take_while(|at| *at <= seconds + step * 1e-9).collect()
}

/// `0`, `0.5 s`, `30 s`, `2 min`, `2:30 min`, `1 h`, `1:15 h`.
pub fn tick_label(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let parts = |big: u64, small: u64, unit: &str| if small == 0 { format!("{big} {unit}") } else { format!("{big}:{small:02} {unit}") };
    match whole {
        _ if seconds < 0.05 => "0".to_owned(),
        _ if (seconds - whole as f64).abs() > 0.01 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => parts(whole / 60, whole % 60, "min"),
        _ => parts(whole / 3600, whole % 3600 / 60, "h"),
    }
}
