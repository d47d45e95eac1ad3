//! Words of Groovy: names, texts, numbers and signs, each with its line.

use super::groovy::{Expr, Part};

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// A name or a keyword.
    Name(String),
    /// A text with what is in it.
    Text(Vec<Part>),
    /// A whole number.
    Number(i64),
    /// `(`, `==`, `?:` …
    Sign(&'static str),
    /// One or more line ends.
    Line,
    /// The end.
    End,
}

/// A word, where it is, and whether a blank is in front of it.
#[derive(Debug, Clone)]
pub struct Token {
    /// The word.
    pub word: Word,
    /// Its line, from 1.
    pub line: usize,
    /// Whether there is a blank before it.
    pub spaced: bool,
}

/// Longest first.
const SIGNS: &[&str] = &["&&", "||", "==", "!=", "?:", "?", ":", "(", ")", "[", "]", "{", "}", ",", ";", ".", "=", "!", "+"];

/// Reads the text between `${` and `}`.
pub type Inner = fn(&str, usize) -> Result<Expr, String>;

/// Cuts a script into words. Errors: `line 3: …`.
pub fn words(source: &str, inner: Inner) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer { rest: source, line: 1, inner };
    let mut tokens: Vec<Token> = Vec::new();
    if lexer.rest.starts_with("#!") {
        lexer.rest = lexer.rest.find('\n').map_or("", |end| &lexer.rest[end..]);
    }
    loop {
        let spaced = lexer.blanks()?;
        let line = lexer.line;
        let word = lexer.word()?;
        let end = word == Word::End;
        if word != Word::Line || tokens.last().is_some_and(|last| last.word != Word::Line) {
            tokens.push(Token { word, line, spaced });
        }
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    inner: Inner,
}

impl<'a> Lexer<'a> {
    fn fail<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("line {}: {what}", self.line))
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
        skipped
    }

    /// Blanks, comments and continued lines.
    fn blanks(&mut self) -> Result<bool, String> {
        let before = self.rest.len();
        loop {
            let blanks = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r']).len();
            self.skip(blanks);
            if self.rest.starts_with("//") {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                match self.rest.find("*/") {
                    Some(end) => drop(self.skip(end + 2)),
                    None => return self.fail("the comment does not end"),
                }
            } else if self.rest.starts_with("\\\n") {
                self.skip(2);
            } else {
                return Ok(self.rest.len() != before);
            }
        }
    }

    fn word(&mut self) -> Result<Word, String> {
        let Some(first) = self.rest.chars().next() else { return Ok(Word::End) };
        if first == '\n' {
            self.skip(1);
            return Ok(Word::Line);
        }
        if first == '\'' || first == '"' {
            return self.text(first);
        }
        if first.is_ascii_digit() {
            let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(self.rest.len());
            let text = self.skip(end);
            return match text.parse() {
                Ok(number) => Ok(Word::Number(number)),
                Err(_) => self.fail(&format!("the number {text} is not in the rehearsal's subset of Groovy")),
            };
        }
        if first.is_alphabetic() || first == '_' || first == '$' {
            let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(self.rest.len());
            return Ok(Word::Name(self.skip(end).to_owned()));
        }
        // `===`, `=~` and the like begin as signs that are known.
        let run: String = self.rest.chars().take_while(|c| "&|=!?:+-*/%<>~^@".contains(*c)).collect();
        match SIGNS.iter().find(|sign| self.rest.starts_with(**sign)) {
            Some(sign) if run.is_empty() || run == **sign || run == "!!" || run.starts_with('!') && sign.len() == 1 => {
                self.skip(sign.len());
                Ok(Word::Sign(sign))
            }
            _ => {
                let text = if run.is_empty() { first.to_string() } else { run };
                self.fail(&format!("unexpected `{text}` (in the rehearsal's subset of Groovy)"))
            }
        }
    }

    fn text(&mut self, quote: char) -> Result<Word, String> {
        let begun = self.line;
        let triple = self.rest.starts_with(&quote.to_string().repeat(3));
        let end = quote.to_string().repeat(if triple { 3 } else { 1 });
        self.skip(end.len());
        let mut parts: Vec<Part> = Vec::new();
        let mut text = String::new();
        loop {
            if self.rest.starts_with(&end) {
                self.skip(end.len());
                break;
            }
            let Some(next) = self.rest.chars().next() else { return Err(format!("line {begun}: the text does not end")) };
            match next {
                '\n' if !triple => return Err(format!("line {begun}: the text does not end on its line")),
                '\\' => {
                    let escape: String = self.rest.chars().take(2).collect();
                    text.push_str(match escape.as_str() {
                        "\\n" => "\n",
                        "\\t" => "\t",
                        "\\r" => "\r",
                        "\\\n" => "",
                        "\\\\" | "\\'" | "\\\"" | "\\$" => &escape[1..],
                        _ => return self.fail(&format!("`{escape}` is not in the rehearsal's subset of Groovy")),
                    });
                    self.skip(escape.len());
                }
                '$' if quote == '"' => {
                    let expr = self.interpolation()?;
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Value(expr));
                }
                other => {
                    self.skip(other.len_utf8());
                    text.push(other);
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Word::Text(parts))
    }

    /// `${…}` or `$a.b`.
    fn interpolation(&mut self) -> Result<Expr, String> {
        let line = self.line;
        self.skip(1);
        let source = if self.rest.starts_with('{') {
            let mut depth = 0;
            let end = self.rest.char_indices().find_map(|(at, c)| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                (depth == 0).then_some(at)
            });
            let Some(end) = end else { return self.fail("`${` is not closed") };
            let whole = self.skip(end + 1);
            &whole[1..end]
        } else {
            let name = |c: char| c.is_alphanumeric() || c == '_';
            let mut end = self.rest.find(|c| !name(c)).unwrap_or(self.rest.len());
            while self.rest[end..].strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_alphabetic())) {
                end += 1 + self.rest[end + 1..].find(|c| !name(c)).unwrap_or(self.rest.len() - end - 1);
            }
            if end == 0 {
                return self.fail("a `$` alone is not allowed here: write \\$");
            }
            self.skip(end)
        };
        (self.inner)(source, line)
    }
}
