//! Single texts for people: errors, notices, tables, what commands were asked to show.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use super::{clean, colour, terminal};
use crate::base::Redactor;

/// The redactor of the lab that is being worked on: errors and notices pass it, too.
static KNOWN: Mutex<Option<Redactor>> = Mutex::new(None);

/// Makes the secrets of a lab known to everything that is printed from now on.
pub fn know(redactor: &Redactor) {
    *KNOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(redactor.clone());
}

fn clean(text: &str) -> String {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.as_ref().map_or_else(|| clean::visible(text), |redactor| clean::text(text, redactor))
}

fn to_stderr(text: &str) {
    terminal::beside(|| {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    });
}

/// `error: …` on standard error.
pub fn print_error(text: &str) {
    to_stderr(&labelled("error", "\x1b[1;31m", &clean(text), colour(std::io::stderr().is_terminal())));
}

/// `note: …` on standard error; does not disturb a live view.
pub fn print_notice(text: &str) {
    to_stderr(&labelled("note", "\x1b[33m", &clean(text), colour(std::io::stderr().is_terminal())));
}

fn labelled(label: &str, code: &str, text: &str, colour: bool) -> String {
    let (on, off) = if colour { (code, "\x1b[0m") } else { ("", "") };
    format!("{on}{label}:{off} {}", text.trim_end())
}

/// All problems of the lab's files, one per line, on standard error.
pub fn print_problems<T: Display>(problems: &[T]) {
    problems.iter().for_each(|problem| to_stderr(&clean(&problem.to_string())));
}

/// A text that a command was asked for, as it is, on standard output. Not redacted: `secrets show` shows a secret.
pub fn print_text(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Lines on standard output.
pub fn print_lines<T: AsRef<str>>(lines: &[T]) {
    lines.iter().for_each(|line| print_text(&format!("{}\n", clean(line.as_ref()))));
}

/// A question on standard error, without a line break; nothing when nobody is asked (standard input is not a terminal).
pub fn print_prompt(text: &str) {
    if std::io::stdin().is_terminal() {
        let mut err = std::io::stderr().lock();
        let _ = err.write_all(text.as_bytes());
        let _ = err.flush();
    }
}

/// A table on standard output: a line of headers, columns as wide as they have to be.
pub fn print_table(headers: &[&str], rows: &[Vec<String>]) {
    let bold = colour(std::io::stdout().is_terminal());
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    print_text(&table(headers, &rows, bold));
}

fn table(headers: &[&str], rows: &[Vec<String>], bold: bool) -> String {
    let width = |column: usize, header: &str| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([header.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = headers.iter().enumerate().map(|(column, header)| width(column, header)).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, &width)| format!("{:width$}", cell.replace(['\n', '\t'], " "))).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let header = line(&mut headers.iter().copied());
    let header = if bold { format!("\x1b[1m{header}\x1b[0m") } else { header };
    let mut text = header + "\n";
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_columns() {
        let rows = [
            vec!["registry_push".to_owned(), "login".to_owned(), String::new()],
            vec!["ca".to_owned(), "ca\nx".to_owned(), "y".to_owned()],
        ];
        assert_eq!(
            table(&["name", "kind", "what"], &rows, false),
            "name           kind   what\nregistry_push  login\nca             ca x   y\n"
        );
    }

    #[test]
    fn labels_are_coloured_alone() {
        assert_eq!(labelled("error", "\x1b[1;31m", "no\n", false), "error: no");
        assert_eq!(labelled("error", "\x1b[1;31m", "no", true), "\x1b[1;31merror:\x1b[0m no");
    }
}
