//! The rows of an attack file's tables, as they are written. The parser of Gherkin cuts a row that is longer than its header without
//! a word, so an unescaped bar would make a payload weaker; it also does not tell where a row is.

/// A mistake and its line, from 1.
pub(super) type Mistake = (usize, String);

/// The lines of the rows of each table, header first, from 1. `Err`: every row that is not as long as its header, or has a
/// backslash that means nothing.
pub(super) fn tables(text: &str) -> Result<Vec<Vec<usize>>, Vec<Mistake>> {
    let mut tables: Vec<Vec<usize>> = Vec::new();
    let mut mistakes = Vec::new();
    let mut width = None;
    let mut quotes: Option<&str> = None;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if let Some(open) = quotes {
            if line.contains(open) {
                quotes = None;
            }
            continue;
        }
        if let Some(open) = ["\"\"\"", "```"].into_iter().find(|open| line.starts_with(open)) {
            quotes = (!line[open.len()..].contains(open)).then_some(open);
        }
        if line.starts_with('|') {
            match cells(line) {
                Err(why) => mistakes.push((number, why)),
                Ok(cells) => match (width, tables.last_mut()) {
                    (Some(header), Some(rows)) => {
                        rows.push(number);
                        if header != cells {
                            mistakes.push((number, lengths(cells, header)));
                        }
                    }
                    _ => {
                        tables.push(vec![number]);
                        width = Some(cells);
                    }
                },
            }
        } else if !line.is_empty() && !line.starts_with('#') {
            width = None;
        }
    }
    if mistakes.is_empty() { Ok(tables) } else { Err(mistakes) }
}

fn lengths(cells: usize, header: usize) -> String {
    let plural = |number: usize| if number == 1 { "1 cell".to_owned() } else { format!("{number} cells") };
    let hint = if cells > header { r"write \| for a bar" } else { "write nothing between two bars for an empty cell" };
    format!("this row has {}, its header {header}: {hint}", plural(cells))
}

/// How many cells a row has. `Err`: what is wrong with it.
fn cells(row: &str) -> Result<usize, String> {
    let mut bars = 0;
    let mut ends_with_bar = false;
    let mut chars = row.chars();
    while let Some(c) = chars.next() {
        ends_with_bar = c == '|';
        match c {
            '|' => bars += 1,
            '\\' => match chars.next() {
                Some('|' | '\\' | 'n') => {}
                other => {
                    let what: String = std::iter::once('\\').chain(other).collect();
                    return Err(format!(r"`{what}` means nothing in a table: write \\ for a backslash, \| for a bar, \n for a line break"));
                }
            },
            _ => {}
        }
    }
    if ends_with_bar { Ok(bars - 1) } else { Err("this row does not end with a bar".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_its_line_and_texts_are_no_tables() {
        let text = "Feature: f\n  Given x\n    | a | b |\n\n    # c\n    | 1 \\| | 2 |\n  Given y\n    \"\"\"\n    | a | b | c\n    \"\"\"\n    | d |\r\n    | \\\\ |\r\n";
        assert_eq!(tables(text), Ok(vec![vec![3, 6], vec![11, 12]]));
    }

    #[test]
    fn rows_that_would_be_cut_are_refused() {
        let mistakes = tables("| a | b |\n| 1 | x|y |\n| 1 |\n").unwrap_err();
        assert_eq!(mistakes[0], (2, "this row has 3 cells, its header 2: write \\| for a bar".to_owned()));
        assert!(mistakes[1].1.starts_with("this row has 1 cell, its header 2"), "{mistakes:?}");
        let mistakes = tables("| a |\n| \\d+ |\n| b\n").unwrap_err();
        assert_eq!((mistakes[0].0, mistakes[1].0), (2, 3));
        assert!(mistakes[0].1.starts_with("`\\d` means nothing"), "{mistakes:?}");
    }
}
