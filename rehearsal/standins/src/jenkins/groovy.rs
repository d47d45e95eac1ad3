//! Groovy, as far as our job DSL and Jenkinsfile use it. Everything else is refused with its line.
//!
//! Of the grammars that can be had as crates none reads a Jenkinsfile: one takes `checkout scm` for a declaration and knows no `?:`,
//! the other loses the closure after `stage('x')`. So this subset has a parser of its own; tests/groovy compares it with the real
//! Groovy that Jenkins uses.

use super::groovy_lexer::{Token, Word, words};

/// Part of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// As it is.
    Text(String),
    /// `${…}`
    Value(Expr),
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `'…'`, `"…${…}"`
    Text(Vec<Part>),
    /// `12`
    Number(i64),
    /// `true`
    Bool(bool),
    /// `null`
    Null,
    /// `[a, b]`
    List(Vec<Expr>),
    /// `name`
    Name(String),
    /// `a.b`
    Member(Box<Expr>, String),
    /// `f(…) {…}`, `a.f(…)`
    Call(Call),
    /// `a == b`
    Binary(Box<Expr>, String, Box<Expr>),
    /// `!a`
    Not(Box<Expr>),
    /// `a ? b : c`
    Choice(Box<Expr>, Box<Expr>, Box<Expr>),
}

/// A call, of a function or of a method.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Call {
    /// What the method belongs to.
    pub on: Option<Box<Expr>>,
    /// Its name.
    pub name: String,
    /// Arguments without names.
    pub args: Vec<Expr>,
    /// `name: value`
    pub named: Vec<(String, Expr)>,
    /// The closure at its end.
    pub body: Option<Vec<Stmt>>,
    /// Where it is, from 1.
    pub line: usize,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Stmt {
    /// An expression, mostly a call, and its line.
    Expr(Expr, usize),
    /// `NAME = value`
    Assign(String, Expr, usize),
}

impl Stmt {
    /// Its line, from 1.
    pub fn line(&self) -> usize {
        match self {
            Stmt::Expr(_, line) | Stmt::Assign(_, _, line) => *line,
        }
    }

    /// The call that it is, if it is one of a function. A name alone is none.
    pub fn call(&self) -> Option<&Call> {
        match self {
            Stmt::Expr(Expr::Call(call), _) if call.on.is_none() => Some(call),
            _ => None,
        }
    }
}

impl Call {
    /// The only argument, if it is one text without `${…}`.
    pub fn text(&self) -> Option<&str> {
        match self.args.as_slice() {
            [Expr::Text(parts)] => plain(parts),
            _ => None,
        }
    }

    /// An argument by its name.
    pub fn named(&self, name: &str) -> Option<&Expr> {
        self.named.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// A text without `${…}`.
pub fn plain(parts: &[Part]) -> Option<&str> {
    match parts {
        [] => Some(""),
        [Part::Text(text)] => Some(text),
        _ => None,
    }
}

/// Reads a script. Errors: `line 3: …`.
pub fn parse(source: &str) -> Result<Vec<Stmt>, Vec<String>> {
    let tokens = words(source, inner).map_err(|why| vec![why])?;
    let mut parser = Parser { tokens, at: 0 };
    parser.block(false).map_err(|why| vec![why])
}

/// What is between `${` and `}`.
fn inner(source: &str, line: usize) -> Result<Expr, String> {
    let placed = |why: String| why.replacen("line 1:", &format!("line {line}:"), 1);
    let mut parser = Parser { tokens: words(source, inner).map_err(placed)?, at: 0 };
    let expr = parser.expr().map_err(placed)?;
    if parser.peek() == &Word::End { Ok(expr) } else { parser.unexpected().map_err(placed) }
}

/// Statements and expressions that are Groovy, and are not in the subset.
const OTHERS: &[&str] = &[
    "abstract",
    "as",
    "assert",
    "break",
    "case",
    "catch",
    "class",
    "continue",
    "def",
    "do",
    "else",
    "enum",
    "final",
    "finally",
    "for",
    "if",
    "import",
    "instanceof",
    "interface",
    "new",
    "package",
    "return",
    "static",
    "switch",
    "synchronized",
    "throw",
    "trait",
    "try",
    "while",
];

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn token(&self) -> &Token {
        // The last word is the end, and nobody goes beyond it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &Word {
        &self.token().word
    }

    fn next(&mut self) -> Word {
        let word = self.peek().clone();
        self.at += 1;
        word
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Word::Sign(have) if *have == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        self.at += usize::from(is);
        is
    }

    fn want(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { self.unexpected() }
    }

    fn lines(&mut self) {
        while self.peek() == &Word::Line {
            self.at += 1;
        }
    }

    fn unexpected<T>(&self) -> Result<T, String> {
        let what = match self.peek() {
            Word::Name(name) => format!("`{name}`"),
            Word::Text(_) => "a text".to_owned(),
            Word::Number(number) => format!("`{number}`"),
            Word::Sign(sign) => format!("`{sign}`"),
            Word::Line => "the line's end".to_owned(),
            Word::End => "the end".to_owned(),
        };
        Err(format!("line {}: unexpected {what} (in the rehearsal's subset of Groovy)", self.token().line))
    }

    /// Statements, up to the end or to the brace that closes.
    fn block(&mut self, closed: bool) -> Result<Vec<Stmt>, String> {
        let mut statements = Vec::new();
        loop {
            while self.peek() == &Word::Line || self.is(";") {
                self.at += 1;
            }
            match self.peek() {
                Word::Sign("}") if closed => {
                    self.at += 1;
                    return Ok(statements);
                }
                Word::End if !closed => return Ok(statements),
                _ => statements.push(self.statement()?),
            }
            if !matches!(self.peek(), Word::Line | Word::End | Word::Sign(";" | "}")) {
                return self.unexpected();
            }
        }
    }

    fn statement(&mut self) -> Result<Stmt, String> {
        let line = self.token().line;
        let expr = self.expr()?;
        match expr {
            Expr::Name(name) if self.take("=") => {
                self.lines();
                Ok(Stmt::Assign(name, self.expr()?, line))
            }
            Expr::Name(_) | Expr::Member(..) if self.argument_follows() => {
                let mut call = callee(expr, line);
                self.arguments(&mut call, None)?;
                Ok(Stmt::Expr(Expr::Call(call), line))
            }
            other => Ok(Stmt::Expr(other, line)),
        }
    }

    /// `sh 'x'`: a call without parentheses.
    fn argument_follows(&self) -> bool {
        match self.peek() {
            Word::Text(_) | Word::Number(_) => true,
            Word::Name(name) => name != "in",
            Word::Sign("[") => self.token().spaced,
            _ => false,
        }
    }

    /// Arguments up to a sign, or, without one, up to the line's end.
    fn arguments(&mut self, call: &mut Call, end: Option<&'static str>) -> Result<(), String> {
        loop {
            if end.is_some() {
                self.lines();
            }
            if end.is_some_and(|end| self.take(end)) {
                return Ok(());
            }
            let named = match (self.peek(), self.tokens.get(self.at + 1).map(|token| &token.word)) {
                (Word::Name(name), Some(Word::Sign(":"))) => Some(name.clone()),
                _ => None,
            };
            match named {
                Some(name) => {
                    self.at += 2;
                    self.lines();
                    let value = self.expr()?;
                    call.named.push((name, value));
                }
                None => {
                    let value = self.expr()?;
                    call.args.push(value);
                }
            }
            if end.is_some() {
                self.lines();
            }
            if self.take(",") {
                self.lines();
            } else {
                return match end {
                    Some(end) => self.want(end),
                    None => Ok(()),
                };
            }
        }
    }

    fn expr(&mut self) -> Result<Expr, String> {
        let test = self.binary(0)?;
        if self.take("?:") {
            self.lines();
            return Ok(Expr::Binary(Box::new(test), "?:".into(), Box::new(self.expr()?)));
        }
        if self.take("?") {
            self.lines();
            let yes = self.expr()?;
            self.lines();
            self.want(":")?;
            self.lines();
            return Ok(Expr::Choice(Box::new(test), Box::new(yes), Box::new(self.expr()?)));
        }
        Ok(test)
    }

    /// Operators, the weakest first.
    fn binary(&mut self, level: usize) -> Result<Expr, String> {
        const LEVELS: &[&[&str]] = &[&["||"], &["&&"], &["==", "!="], &["in"], &["+"]];
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            let operator = match self.peek() {
                Word::Sign(sign) => *sign,
                Word::Name(name) if name == "in" => "in",
                _ => return Ok(left),
            };
            if !operators.contains(&operator) {
                return Ok(left);
            }
            self.at += 1;
            self.lines();
            left = Expr::Binary(Box::new(left), operator.to_owned(), Box::new(self.binary(level + 1)?));
        }
    }

    fn unary(&mut self) -> Result<Expr, String> {
        if self.take("!") { Ok(Expr::Not(Box::new(self.unary()?))) } else { self.postfix() }
    }

    fn postfix(&mut self) -> Result<Expr, String> {
        let mut expr = self.primary()?;
        loop {
            let line = self.token().line;
            if self.take(".") {
                match self.next() {
                    Word::Name(name) => expr = Expr::Member(Box::new(expr), name),
                    _ => {
                        self.at -= 1;
                        return self.unexpected();
                    }
                }
            } else if self.is("(") && !self.token().spaced || self.is("(") && matches!(expr, Expr::Name(_)) {
                if !matches!(expr, Expr::Name(_) | Expr::Member(..)) {
                    return self.unexpected();
                }
                self.at += 1;
                let mut call = callee(expr, line);
                self.arguments(&mut call, Some(")"))?;
                expr = Expr::Call(call);
            } else if self.is("{") {
                let mut call = match expr {
                    Expr::Call(call) if call.body.is_none() => call,
                    Expr::Name(_) => callee(expr, line),
                    _ => return self.unexpected(),
                };
                self.at += 1;
                call.body = Some(self.block(true)?);
                expr = Expr::Call(call);
            } else {
                return Ok(expr);
            }
        }
    }

    fn primary(&mut self) -> Result<Expr, String> {
        let expr = match self.peek().clone() {
            Word::Text(parts) => Expr::Text(parts),
            Word::Number(number) => Expr::Number(number),
            Word::Name(name) => match name.as_str() {
                "true" => Expr::Bool(true),
                "false" => Expr::Bool(false),
                "null" => Expr::Null,
                other if OTHERS.contains(&other) => return self.unexpected(),
                _ => Expr::Name(name),
            },
            Word::Sign("(") => {
                self.at += 1;
                self.lines();
                let expr = self.expr()?;
                self.lines();
                if !self.is(")") {
                    return self.unexpected();
                }
                expr
            }
            Word::Sign("[") => {
                self.at += 1;
                let mut items = Call::default();
                self.arguments(&mut items, Some("]"))?;
                if !items.named.is_empty() {
                    self.at -= 1;
                    return Err(format!("line {}: maps are not in the rehearsal's subset of Groovy", self.token().line));
                }
                return Ok(Expr::List(items.args));
            }
            _ => return self.unexpected(),
        };
        self.at += 1;
        Ok(expr)
    }
}

/// The call of what a name says.
fn callee(expr: Expr, line: usize) -> Call {
    match expr {
        Expr::Member(on, name) => Call { on: Some(on), name, line, ..Call::default() },
        Expr::Name(name) => Call { name, line, ..Call::default() },
        _ => Call { line, ..Call::default() },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    fn one(source: &str) -> Call {
        parse(source).unwrap()[0].call().unwrap().clone()
    }

    #[test]
    fn the_forms_of_a_jenkinsfile() {
        let call = one(
            "pipeline {\n  agent any\n  stages {\n    stage('a b') {\n      steps {\n        sh 'x'\n        echo \"${env.A} b\"\n      }\n    }\n  }\n}\n",
        );
        assert_eq!((call.name.as_str(), call.body.as_ref().map(Vec::len)), ("pipeline", Some(2)));
        let stages = call.body.unwrap()[1].call().unwrap().clone();
        let stage = stages.body.unwrap()[0].call().unwrap().clone();
        assert_eq!((stage.text(), stage.line), (Some("a b"), 4));
        let steps = stage.body.unwrap()[0].call().unwrap().body.clone().unwrap();
        assert_eq!(steps.len(), 2);
        let want = Expr::Text(vec![Part::Value(Expr::Member(Box::new(Expr::Name("env".into())), "A".into())), Part::Text(" b".into())]);
        assert_eq!(steps[1].call().unwrap().args, [want]);
    }

    #[test]
    fn arguments_with_and_without_names() {
        let call = one("withCredentials([sshUserPrivateKey(credentialsId: 'k', keyFileVariable: 'F')]) { sh 'a' }");
        assert!(matches!(&call.args[..], [Expr::List(items)] if matches!(&items[0], Expr::Call(c) if c.named.len() == 2)));
        assert_eq!(call.body.unwrap().len(), 1);
        let call = one("archiveArtifacts artifacts: 'b/*', allowEmptyArchive: true");
        assert_eq!(call.named("allowEmptyArchive"), Some(&Expr::Bool(true)));
        let call = one("x { expression { (env.A ?: env.B) == env.B && !env.C.startsWith('d') } }");
        assert!(call.body.is_some());
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line() {
        assert!(parse("a {\n  b 'x\n}\n").unwrap_err()[0].contains("line "));
        for other in [
            "def x = 1",
            "for (a in b) { c() }",
            "import a.b",
            "class A {}",
            "x = y ->",
            "a { b -> c }",
            "a b c",
            "a = [x: 1]",
            "a === b",
            "a(1.5)",
            "a ->",
            "a {",
            "a }",
            "a(",
            "[1, 2",
            "'a",
            "\"${a\"",
            "a =~ b",
            "a.b.c { }",
            "a\n{ b }",
            "/* x",
            "'\\q'",
        ] {
            assert!(parse(other).is_err(), "{other}");
        }
    }

    #[test]
    fn newlines_end_statements_but_not_inside_brackets() {
        assert_eq!(parse("a 'x',\n  'y'\nb(\n 1,\n 2\n)\nc = 'z' +\n 'w'; d()\n").unwrap().len(), 4);
        assert_eq!(parse("checkout scm\ngitlabCommitStatus('x') { sh 'y' }").unwrap().len(), 2);
        assert_eq!(parse("x { // why\n /* and\n so */ y 'it\\'s' }").unwrap().len(), 1);
        assert_eq!(one("sh \"\"\"a \"b\" ${env.C}\n\"\"\"").args.len(), 1);
        assert_eq!(one("when { expression { a && !b.c('d') || e ? f : g } }").body.map(|body| body.len()), Some(1));
    }
}
