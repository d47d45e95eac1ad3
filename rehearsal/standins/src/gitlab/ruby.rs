//! gitlab.rb: the part of Ruby that people write there. `external_url 'x'` and `key['a']['b'] = value`, where a value is a string,
//! a number, true, false, nil, a list or a hash.

use serde_json::{Map, Value, json};

/// One statement: the words of its left side, its value and its line.
#[derive(Debug, PartialEq)]
pub struct Setting {
    /// `["gitlab_rails", "smtp_enable"]`
    pub key: Vec<String>,
    /// As JSON.
    pub value: Value,
    /// From 1.
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(i64),
    Mark(char),
    Arrow,
}

/// Reads a file; an error says the line.
pub fn parse(text: &str) -> Result<Vec<Setting>, String> {
    let tokens = tokens(text)?;
    let mut reader = Reader { tokens: &tokens, at: 0 };
    let mut settings = Vec::new();
    while let Some((token, line)) = reader.next() {
        let Token::Word(word) = token else { return Err(format!("line {line}: {token:?} begins no statement")) };
        let mut key = vec![word];
        while reader.take('[') {
            match reader.next() {
                Some((Token::Text(part), _)) => key.push(part),
                other => return Err(format!("line {line}: a name in quotes is expected after [, not {other:?}")),
            }
            reader.must(']', line)?;
        }
        if key.len() > 1 {
            reader.must('=', line)?;
        }
        settings.push(Setting { key, value: reader.value(line)?, line });
    }
    Ok(settings)
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    let mut line = 1;
    while let Some(c) = chars.next() {
        match c {
            '\n' => line += 1,
            c if c.is_whitespace() => {}
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            '\'' | '"' => {
                let mut text = String::new();
                loop {
                    match chars.next() {
                        None => return Err(format!("line {line}: a string without an end")),
                        Some(end) if end == c => break,
                        // In single quotes only these two are escaped.
                        Some('\\') => match chars.next() {
                            Some(next) if c == '"' && next == 'n' => text.push('\n'),
                            Some(next) if c == '"' || next == '\'' || next == '\\' => text.push(next),
                            Some(next) => text.extend(['\\', next]),
                            None => {}
                        },
                        Some('#') if c == '"' && chars.peek() == Some(&'{') => {
                            return Err(format!("line {line}: #{{}} in a string is not read here"));
                        }
                        Some(next) => {
                            line += usize::from(next == '\n');
                            text.push(next);
                        }
                    }
                }
                found.push((Token::Text(text), line));
            }
            '=' if chars.next_if_eq(&'>').is_some() => found.push((Token::Arrow, line)),
            '[' | ']' | '{' | '}' | ',' | '=' => found.push((Token::Mark(c), line)),
            c if c.is_ascii_alphanumeric() || c == '_' || c == '-' => {
                let mut word = c.to_string();
                while let Some(next) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    word.push(next);
                }
                found.push((word.parse().map_or(Token::Word(word), Token::Number), line));
            }
            other => return Err(format!("line {line}: {other:?} is not read here")),
        }
    }
    Ok(found)
}

struct Reader<'t> {
    tokens: &'t [(Token, usize)],
    at: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<(Token, usize)> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn take(&mut self, mark: char) -> bool {
        let there = self.tokens.get(self.at).is_some_and(|(token, _)| *token == Token::Mark(mark));
        self.at += usize::from(there);
        there
    }

    fn must(&mut self, mark: char, line: usize) -> Result<(), String> {
        if self.take(mark) { Ok(()) } else { Err(format!("line {line}: {mark} is expected")) }
    }

    fn value(&mut self, line: usize) -> Result<Value, String> {
        match self.next() {
            Some((Token::Text(text), _)) => Ok(json!(text)),
            Some((Token::Number(number), _)) => Ok(json!(number)),
            Some((Token::Word(word), line)) => match word.as_str() {
                "true" => Ok(json!(true)),
                "false" => Ok(json!(false)),
                "nil" => Ok(Value::Null),
                _ => Err(format!("line {line}: undefined local variable or method '{word}'")),
            },
            Some((Token::Mark('['), line)) => {
                let mut items = Vec::new();
                while !self.take(']') {
                    items.push(self.value(line)?);
                    if !self.take(',') {
                        self.must(']', line)?;
                        break;
                    }
                }
                Ok(Value::Array(items))
            }
            Some((Token::Mark('{'), line)) => {
                let mut map = Map::new();
                while !self.take('}') {
                    let Some((Token::Text(key), _)) = self.next() else { return Err(format!("line {line}: a key in quotes is expected")) };
                    match self.next() {
                        Some((Token::Arrow, _)) => map.insert(key, self.value(line)?),
                        _ => return Err(format!("line {line}: => is expected after {key:?}")),
                    };
                    if !self.take(',') {
                        self.must('}', line)?;
                        break;
                    }
                }
                Ok(Value::Object(map))
            }
            other => Err(format!("line {line}: a value is expected, not {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        let text = "# comment\nexternal_url 'https://gitlab.lab.example'\nnginx['ssl_certificate'] = \"/etc/a.crt\" # b\n\
                    puma['worker_processes'] = 0\ngitlab_rails['env'] = {\n  'A' => 'b:1', 'C' => nil,\n}\na['x']['y'] = ['1', '::1/128']\n";
        let read = parse(text).unwrap();
        assert_eq!(read[0], Setting { key: vec!["external_url".into()], value: json!("https://gitlab.lab.example"), line: 2 });
        assert_eq!(read[2].value, json!(0));
        assert_eq!(read[3].value, json!({"A": "b:1", "C": null}));
        assert_eq!((read[4].key.len(), &read[4].value), (3, &json!(["1", "::1/128"])));
    }

    #[test]
    fn what_ruby_would_not_take_is_refused_with_its_line() {
        for (text, says) in [
            ("a['b'] = c", "line 1: undefined local variable"),
            ("\na['b'] = 'c", "line 2: a string without an end"),
            ("a['b'] 'c'", "= is expected"),
            ("a[b] = 1", "a name in quotes"),
            ("a['b'] = [1, 2", "] is expected"),
            ("a['b'] = \"#{x}\"", "is not read here"),
            ("exec `x`", "is not read here"),
        ] {
            assert!(parse(text).unwrap_err().contains(says), "{text}: {:?}", parse(text));
        }
    }
}
