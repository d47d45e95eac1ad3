//! Lines of text for people: their tone, colours, wrapping; and how durations and amounts are said.

/// What a line is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Title,
    Good,
    Bad,
    Warn,
    Dim,
    Added,
    Removed,
    /// Must not be overlooked.
    Loud,
}

impl Tone {
    pub fn codes(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Title => "\x1b[1m",
            Tone::Good | Tone::Added => "\x1b[32m",
            Tone::Bad => "\x1b[1;31m",
            Tone::Warn => "\x1b[33m",
            Tone::Dim => "\x1b[2m",
            Tone::Removed => "\x1b[31m",
            Tone::Loud => "\x1b[1;33m",
        }
    }
}

/// One line: who it is about, and what. Holds no line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// `host role`, `check NAME`, or empty.
    pub head: String,
    pub text: String,
    pub tone: Tone,
    /// Quoted material (a diff, output of a host): never wrapped at blanks.
    pub quoted: bool,
}

impl Line {
    /// Lines for a text; further lines of it are set off so that they cannot be taken for lines of ours.
    pub fn about(head: &str, tone: Tone, text: &str) -> Vec<Line> {
        let mut parts = text.lines();
        let first = Line { head: head.to_owned(), text: parts.next().unwrap_or_default().to_owned(), tone, quoted: false };
        std::iter::once(first).chain(parts.map(|part| Line::quote(tone, part))).collect()
    }

    /// One line about nobody.
    pub fn bare(tone: Tone, text: &str) -> Vec<Line> {
        Line::about("", tone, text)
    }

    /// A line of quoted material.
    pub fn quote(tone: Tone, text: &str) -> Line {
        Line { head: String::new(), text: format!("    | {}", text.replace('\t', "    ")), tone, quoted: true }
    }

    /// As one line without colour.
    pub fn plain(&self) -> String {
        if self.head.is_empty() { self.text.clone() } else { format!("{}: {}", self.head, self.text) }
    }

    /// As lines for a screen of this width.
    pub fn paint(&self, width: usize, colour: bool) -> Vec<String> {
        let text = self.plain();
        let indent = text.len() - text.trim_start().len() + 4;
        let parts = if self.quoted { vec![text] } else { wrap(&text, width, indent) };
        let codes = self.tone.codes();
        if !colour || codes.is_empty() {
            return parts;
        }
        parts.into_iter().map(|part| if part.is_empty() { part } else { format!("{codes}{part}\x1b[0m") }).collect()
    }
}

/// Breaks at blanks so that no line is longer than `width` characters; further lines are indented. Longer words stay whole.
pub(super) fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    if text.chars().count() <= width {
        return vec![text.to_owned()];
    }
    let lead = text.len() - text.trim_start().len();
    let indent = indent.min(width / 2);
    let mut lines = Vec::new();
    let mut line = text[..lead].to_owned();
    let mut empty = true;
    // Split at single blanks: columns keep their distance.
    for word in text[lead..].split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)).trim_end().to_owned());
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        // Blanks at a break are dropped.
        empty &= word.is_empty();
    }
    lines.push(line);
    lines
}

/// At most `width` characters; what is cut off is marked.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(3)).collect();
    kept + &"..."[..width.min(3)]
}

/// `0.3 s`, `45 s`, `2 min 3 s`, `1 h 5 min`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `12.3 MB` (powers of ten).
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.0} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

/// More hosts than this are counted rather than listed.
pub(super) const MANY_HOSTS: usize = 20;

/// Names of hosts: all, or of very many the first ones and how many more.
pub(super) fn names(hosts: &[String]) -> String {
    match hosts.get(..MANY_HOSTS).filter(|_| hosts.len() > MANY_HOSTS + 1) {
        Some(first) => format!("{} and {} more", first.join(", "), hosts.len() - first.len()),
        None => hosts.join(", "),
    }
}

/// The first few things of a list that is shown whole elsewhere.
pub(super) fn few(all: &[String]) -> String {
    const SHOWN: usize = 4;
    match all.get(..SHOWN).filter(|_| all.len() > SHOWN + 1) {
        Some(first) => format!("{} and {} more", first.join(", "), all.len() - SHOWN),
        None => all.join(", "),
    }
}

/// `1 host`, `4 hosts`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_numbers() {
        let said: Vec<String> = [0.04, 0.3, 9.4, 9.6, 45.2, 59.7, 123.0, 3900.0].into_iter().map(duration).collect();
        assert_eq!(said, ["0.0 s", "0.3 s", "9.4 s", "10 s", "45 s", "1 min 0 s", "2 min 3 s", "1 h 5 min"]);
        let said: Vec<String> = [12, 4_500, 12_345_678, 2_500_000_000].into_iter().map(bytes).collect();
        assert_eq!(said, ["12 B", "4 kB", "12.3 MB", "2.50 GB"]);
        assert_eq!((count(1, "host"), count(0, "host")), ("1 host".to_owned(), "0 hosts".to_owned()));
    }

    #[test]
    fn many_names_are_counted() {
        let hosts = |count: usize| (0..count).map(|n| format!("h{n}")).collect::<Vec<_>>();
        assert_eq!(names(&hosts(3)), "h0, h1, h2");
        assert!(names(&hosts(21)).ends_with("h19, h20"));
        assert!(names(&hosts(1000)).ends_with(", h19 and 980 more"));
    }

    #[test]
    fn long_lines_are_wrapped_with_an_indent() {
        assert_eq!(wrap("  one two three four", 11, 4), ["  one two", "    three", "    four"]);
        assert_eq!(wrap("https://a-very-long-link.example/ x", 10, 2), ["https://a-very-long-link.example/", "  x"]);
        assert_eq!(wrap("short", 80, 2), ["short"]);
        assert_eq!(cut("abcdef", 5), "ab...");
        assert_eq!(cut("abcdef", 2), "..");
    }

    #[test]
    fn a_text_of_several_lines_cannot_forge_lines() {
        let lines = Line::about("app docker", Tone::Bad, "no\ndeploy docker: all is well");
        let plain: Vec<String> = lines.iter().map(Line::plain).collect();
        assert_eq!(plain, ["app docker: no", "    | deploy docker: all is well"]);
    }

    #[test]
    fn colours_only_where_wanted() {
        let line = &Line::about("a", Tone::Bad, "b")[0];
        assert_eq!(line.paint(80, false), ["a: b"]);
        assert_eq!(line.paint(80, true), ["\x1b[1;31ma: b\x1b[0m"]);
    }
}
