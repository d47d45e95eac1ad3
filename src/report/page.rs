//! Text for people, laid out to a width: titles, labels with lists beside them, paragraphs, columns.

use std::io::IsTerminal as _;

use super::colour;
use super::line::{Tone, wrap};

/// Columns for labels.
const LABEL: usize = 14;
/// Width where nobody says how wide it is.
const DEFAULT_WIDTH: usize = 100;

/// A text being laid out.
pub(super) struct Page {
    width: usize,
    colour: bool,
    text: String,
}

impl Page {
    /// For standard output: as wide as `COLUMNS` says, else as the terminal is.
    pub fn for_stdout() -> Self {
        let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let terminal = || console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
        Self::new(told.or_else(terminal).unwrap_or(DEFAULT_WIDTH), colour(std::io::stdout().is_terminal()))
    }

    pub fn new(width: usize, colour: bool) -> Self {
        Self { width: width.clamp(40, 160), colour, text: String::new() }
    }

    pub fn text(self) -> String {
        self.text
    }

    fn tint(&self, tone: Tone, text: &str) -> String {
        let codes = tone.codes();
        if self.colour && !codes.is_empty() && !text.is_empty() { format!("{codes}{text}\x1b[0m") } else { text.to_owned() }
    }

    fn push(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// An empty line, unless there is one already or nothing above.
    pub fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// A line of its own, wrapped.
    pub fn line(&mut self, tone: Tone, text: &str) {
        self.paragraph(tone, 0, text);
    }

    /// Wrapped text; every line of it is set in. Lines of the text that begin with blanks stay as they are.
    pub fn paragraph(&mut self, tone: Tone, indent: usize, text: &str) {
        for line in text.lines() {
            let line = format!("{}{line}", " ".repeat(indent));
            let lead = line.len() - line.trim_start().len();
            for part in wrap(&line, self.width, lead) {
                let part = self.tint(tone, &part);
                self.push(&part);
            }
        }
    }

    /// Quoted lines, set in and otherwise as they are.
    pub fn verbatim(&mut self, indent: usize, text: &str) {
        for line in text.lines() {
            self.push(&format!("{}{line}", " ".repeat(indent)));
        }
    }

    /// `label  item, item, item`, broken between items; an item that is longer than a line is broken at blanks.
    pub fn list(&mut self, label: &str, items: &[(Tone, String)]) {
        let mut line = format!("  {label:LABEL$}");
        if label.chars().count() >= LABEL {
            self.push(&line);
            line = " ".repeat(LABEL + 2);
        }
        let mut used = LABEL + 2;
        let room = self.width.saturating_sub(LABEL + 2);
        for (index, (tone, item)) in items.iter().enumerate() {
            let comma = if index + 1 < items.len() { "," } else { "" };
            let length = item.chars().count() + comma.len();
            let first = index == 0;
            let gap = if first { 0 } else { 1 };
            if !first && used + gap + length > self.width {
                self.push(&line);
                line = " ".repeat(LABEL + 2);
                used = LABEL + 2;
            } else if !first {
                line.push(' ');
                used += 1;
            }
            for (number, part) in wrap(item, room.saturating_sub(comma.len()), 2).into_iter().enumerate() {
                if number > 0 {
                    self.push(&line);
                    line = " ".repeat(LABEL + 2);
                    used = LABEL + 2;
                }
                used += part.chars().count();
                line += &self.tint(*tone, &part);
            }
            line += comma;
            used += comma.len();
        }
        if !items.is_empty() {
            self.push(&line);
        }
    }

    /// One line per item, the label beside the first.
    pub fn lines(&mut self, label: &str, items: &[(Tone, String)]) {
        for (index, item) in items.iter().enumerate() {
            self.list(if index == 0 { label } else { "" }, std::slice::from_ref(item));
        }
    }

    /// A name and what it means, in two columns; the second is wrapped. `column`: where it begins.
    pub fn entry(&mut self, indent: usize, column: usize, name: &str, tone: Tone, text: &str) {
        let column = column.min(self.width / 2);
        let mut lines = wrap(text, self.width.saturating_sub(column), 0).into_iter();
        let head = format!("{}{}", " ".repeat(indent), self.tint(Tone::Title, name));
        let taken = indent + name.chars().count();
        if taken + 2 > column {
            self.push(&head);
        } else {
            let first = lines.next().unwrap_or_default();
            let first = self.tint(tone, &first);
            self.push(&format!("{head}{}{first}", " ".repeat(column - taken)));
        }
        for line in lines {
            let line = self.tint(tone, &line);
            self.push(&format!("{}{line}", " ".repeat(column)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(items: &[&str]) -> Vec<(Tone, String)> {
        items.iter().map(|item| (Tone::Plain, (*item).to_owned())).collect()
    }

    #[test]
    fn no_line_is_wider_than_the_page() {
        let words = "a certificate that is valid for a long time and has a long name";
        for width in [40, 80, 120] {
            let mut page = Page::new(width, false);
            page.list("packages", &plain(&["docker-ce 26.1.4-1.el7", "x", words, "y 1", words]));
            page.paragraph(Tone::Plain, 4, words);
            page.entry(2, 20, "name", Tone::Plain, words);
            page.entry(2, 8, "a-long-name", Tone::Plain, words);
            let text = page.text();
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
        }
    }

    #[test]
    fn items_are_broken_between() {
        let mut page = Page::new(40, false);
        page.list("packages", &plain(&["docker-ce 26.1.4", "chrony 3.4", "x 1"]));
        page.list("nothing", &[]);
        assert_eq!(page.text(), "  packages      docker-ce 26.1.4,\n                chrony 3.4, x 1\n");
    }

    #[test]
    fn only_items_are_coloured() {
        let mut page = Page::new(80, true);
        page.list("units", &[(Tone::Bad, "docker failed".to_owned()), (Tone::Plain, "chronyd".to_owned())]);
        assert_eq!(page.text(), "  units         \x1b[1;31mdocker failed\x1b[0m, chronyd\n");
    }
}
