//! Groovy, read with the grammar of tree-sitter-groovy, as far as our job DSL and Jenkinsfile use it. Everything else is refused
//! with its line.

use tree_sitter::{Node, Parser};

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

/// Reads a script. Errors: `line 3: …`, one per problem.
pub fn parse(source: &str) -> Result<Vec<Stmt>, Vec<String>> {
    let mut parser = Parser::new();
    let failed = |why: String| vec![why];
    parser.set_language(&tree_sitter_groovy::LANGUAGE.into()).map_err(|e| failed(format!("the Groovy grammar cannot be used: {e}")))?;
    let tree = parser.parse(source, None).ok_or_else(|| failed("the Groovy grammar gave nothing".into()))?;
    let mut errors = Vec::new();
    syntax_errors(tree.root_node(), source, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let reader = Reader { source };
    reader.block(tree.root_node()).map_err(failed)
}

fn syntax_errors(node: Node<'_>, source: &str, errors: &mut Vec<String>) {
    if node.is_error() || node.is_missing() {
        let text: String = source.get(node.byte_range()).unwrap_or_default().chars().take(40).collect();
        let what = if node.is_missing() { format!("`{}` is missing", node.kind()) } else { format!("unexpected `{}`", text.trim()) };
        errors.push(format!("line {}: {what}", line(node)));
        return;
    }
    if node.has_error() {
        let mut cursor = node.walk();
        node.children(&mut cursor).for_each(|child| syntax_errors(child, source, errors));
    }
}

fn line(node: Node<'_>) -> usize {
    node.start_position().row + 1
}

struct Reader<'a> {
    source: &'a str,
}

impl Reader<'_> {
    fn text(&self, node: Node<'_>) -> &str {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    fn children<'t>(&self, node: Node<'t>) -> Vec<Node<'t>> {
        let mut cursor = node.walk();
        node.named_children(&mut cursor).filter(|child| !matches!(child.kind(), "comment" | "groovy_doc" | "shebang")).collect()
    }

    fn refuse<T>(&self, node: Node<'_>) -> Result<T, String> {
        let text: String = self.text(node).chars().take(60).collect();
        Err(format!("line {}: this kind of Groovy is not in the rehearsal's subset ({}): {text}", line(node), node.kind()))
    }

    fn block(&self, node: Node<'_>) -> Result<Vec<Stmt>, String> {
        self.children(node).into_iter().map(|child| self.statement(child)).collect()
    }

    fn statement(&self, node: Node<'_>) -> Result<Stmt, String> {
        match node.kind() {
            "pipeline" => {
                let body = self.children(node).into_iter().find(|child| child.kind() == "closure");
                let body = body.map(|body| self.block(body)).transpose()?;
                let call = Call { name: "pipeline".into(), body, line: line(node), ..Call::default() };
                Ok(Stmt::Expr(Expr::Call(call), line(node)))
            }
            "assignment" => match (self.children(node).as_slice(), node.child(1).map(|op| op.kind())) {
                ([name, value], Some("=")) if name.kind() == "identifier" => {
                    Ok(Stmt::Assign(self.text(*name).to_owned(), self.expr(*value)?, line(node)))
                }
                _ => self.refuse(node),
            },
            _ => Ok(Stmt::Expr(self.expr(node)?, line(node))),
        }
    }

    fn expr(&self, node: Node<'_>) -> Result<Expr, String> {
        let children = self.children(node);
        match (node.kind(), children.as_slice()) {
            ("string", parts) => Ok(Expr::Text(self.parts(parts)?)),
            ("number_literal", _) => match self.text(node).parse() {
                Ok(number) => Ok(Expr::Number(number)),
                Err(_) => self.refuse(node),
            },
            ("boolean_literal", _) => Ok(Expr::Bool(self.text(node) == "true")),
            ("null", _) => Ok(Expr::Null),
            ("list", items) => Ok(Expr::List(items.iter().map(|item| self.expr(*item)).collect::<Result<_, _>>()?)),
            ("identifier", _) => Ok(Expr::Name(self.text(node).to_owned())),
            ("parenthesized_expression", [inner]) => self.expr(*inner),
            ("dotted_identifier", [first, rest @ ..]) => {
                let mut expr = self.expr(*first)?;
                for name in rest {
                    if name.kind() != "identifier" {
                        return self.refuse(node);
                    }
                    expr = Expr::Member(Box::new(expr), self.text(*name).to_owned());
                }
                Ok(expr)
            }
            ("binary_op", [left, right]) => {
                let op = node.child(1).map(|op| self.text(op).to_owned()).unwrap_or_default();
                Ok(Expr::Binary(Box::new(self.expr(*left)?), op, Box::new(self.expr(*right)?)))
            }
            ("unary_op", [of]) if node.child(0).is_some_and(|op| op.kind() == "!") => Ok(Expr::Not(Box::new(self.expr(*of)?))),
            ("ternary_op", [test, yes, no]) => {
                Ok(Expr::Choice(Box::new(self.expr(*test)?), Box::new(self.expr(*yes)?), Box::new(self.expr(*no)?)))
            }
            ("function_call" | "juxt_function_call", _) => self.call(node),
            _ => self.refuse(node),
        }
    }

    fn call(&self, node: Node<'_>) -> Result<Expr, String> {
        let (Some(function), Some(args)) = (node.child_by_field_name("function"), node.child_by_field_name("args")) else {
            return self.refuse(node);
        };
        let mut call = match self.expr(function)? {
            Expr::Name(name) => Call { name, ..Call::default() },
            Expr::Member(on, name) => Call { on: Some(on), name, ..Call::default() },
            // `stage('x') {…}` may be read as the call of a call: the closure belongs to it.
            Expr::Call(call) if call.body.is_none() => call,
            _ => return self.refuse(node),
        };
        call.line = line(node);
        for arg in self.children(args) {
            match arg.kind() {
                "closure" if call.body.is_none() => {
                    if self.children(arg).iter().any(|child| child.kind() == "parameter_list") {
                        return self.refuse(arg);
                    }
                    call.body = Some(self.block(arg)?);
                }
                "map_item" => match (arg.child_by_field_name("key"), arg.child_by_field_name("value")) {
                    (Some(key), Some(value)) if key.kind() == "identifier" => {
                        call.named.push((self.text(key).to_owned(), self.expr(value)?));
                    }
                    _ => return self.refuse(arg),
                },
                _ => call.args.push(self.expr(arg)?),
            }
        }
        Ok(Expr::Call(call))
    }

    fn parts(&self, nodes: &[Node<'_>]) -> Result<Vec<Part>, String> {
        let mut parts: Vec<Part> = Vec::new();
        for node in nodes {
            let text = match node.kind() {
                "string_content" | "string_internal_quote" => self.text(*node).to_owned(),
                "escape_sequence" => match unescape(self.text(*node)) {
                    Some(text) => text,
                    None => return self.refuse(*node),
                },
                "interpolation" => {
                    let inner = self.children(*node);
                    let [inner] = inner.as_slice() else { return self.refuse(*node) };
                    parts.push(Part::Value(self.expr(*inner)?));
                    continue;
                }
                _ => return self.refuse(*node),
            };
            match parts.last_mut() {
                Some(Part::Text(last)) => last.push_str(&text),
                _ => parts.push(Part::Text(text)),
            }
        }
        Ok(parts)
    }
}

fn unescape(text: &str) -> Option<String> {
    Some(match text {
        "\\n" => "\n".into(),
        "\\t" => "\t".into(),
        "\\r" => "\r".into(),
        "\\\n" => String::new(),
        _ => {
            let rest = text.strip_prefix('\\')?;
            (rest.chars().count() == 1 && !rest.chars().all(char::is_alphanumeric)).then(|| rest.to_owned())?
        }
    })
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
        let call = one("pipeline {\n  agent any\n  stages {\n    stage('a b') {\n      steps {\n        sh 'x'\n        echo \"${env.A} b\"\n      }\n    }\n  }\n}\n");
        assert_eq!((call.name.as_str(), call.body.as_ref().map(Vec::len)), ("pipeline", Some(2)));
        let stages = call.body.unwrap()[1].call().unwrap().clone();
        let stage = stages.body.unwrap()[0].call().unwrap().clone();
        assert_eq!((stage.text(), stage.line), (Some("a b"), 4));
        let steps = stage.body.unwrap()[0].call().unwrap().body.clone().unwrap();
        assert_eq!(steps.len(), 2);
        let want = Expr::Text(vec![
            Part::Value(Expr::Member(Box::new(Expr::Name("env".into())), "A".into())),
            Part::Text(" b".into()),
        ]);
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
        for other in ["def x = 1", "for (a in b) { c() }", "import a.b", "class A {}", "x = y ->"] {
            assert!(parse(other).is_err(), "{other}");
        }
    }
}
