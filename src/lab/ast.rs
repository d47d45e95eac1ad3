//! Walks over parsed templates: which variables they use, and how Tera is made strict.

use std::collections::{BTreeSet, HashMap};

use tera::ast::{Expr, ExprVal, FunctionCall, Node};

/// Name of the function that turns a value into true or false.
pub const TRUTHY: &str = "poclab_truthy";
/// Name of the function that keeps a value with its type.
pub const CAPTURE: &str = "poclab_capture";

/// Names that a template uses: variables (with their paths), filters, tests, functions, other templates.
#[derive(Debug, Default)]
pub struct Uses {
    /// Paths: `host.name`, `item`; as written, brackets included.
    pub variables: BTreeSet<String>,
    /// Names of filters.
    pub filters: BTreeSet<String>,
    /// Names of tests (`is NAME`).
    pub tests: BTreeSet<String>,
    /// Names of functions.
    pub functions: BTreeSet<String>,
    /// Included, imported and extended templates.
    pub templates: BTreeSet<String>,
}

/// Collects what nodes use.
pub fn uses(nodes: &[Node]) -> Uses {
    let mut uses = Uses::default();
    nodes.iter().for_each(|node| in_node(node, &mut uses));
    uses
}

fn in_node(node: &Node, uses: &mut Uses) {
    match node {
        Node::VariableBlock(_, expr) => in_expr(expr, uses),
        Node::MacroDefinition(_, definition, _) => definition.body.iter().for_each(|node| in_node(node, uses)),
        Node::Extends(_, name) | Node::ImportMacro(_, name, _) => {
            uses.templates.insert(name.clone());
        }
        Node::Include(_, names, _) => uses.templates.extend(names.iter().cloned()),
        Node::Set(_, set) => in_expr(&set.value, uses),
        Node::FilterSection(_, section, _) => {
            in_call(&section.filter, uses);
            uses.filters.insert(section.filter.name.clone());
            section.body.iter().for_each(|node| in_node(node, uses));
        }
        Node::Block(_, block, _) => block.body.iter().for_each(|node| in_node(node, uses)),
        Node::Forloop(_, forloop, _) => {
            in_expr(&forloop.container, uses);
            forloop.body.iter().chain(forloop.empty_body.iter().flatten()).for_each(|node| in_node(node, uses));
        }
        Node::If(conditional, _) => {
            for (_, condition, body) in &conditional.conditions {
                in_expr(condition, uses);
                body.iter().for_each(|node| in_node(node, uses));
            }
            conditional.otherwise.iter().flat_map(|(_, body)| body).for_each(|node| in_node(node, uses));
        }
        Node::Super | Node::Text(_) | Node::Raw(..) | Node::Break(_) | Node::Continue(_) | Node::Comment(..) => {}
    }
}

fn in_expr(expr: &Expr, uses: &mut Uses) {
    in_value(&expr.val, uses);
    for filter in &expr.filters {
        uses.filters.insert(filter.name.clone());
        in_call(filter, uses);
    }
}

fn in_value(value: &ExprVal, uses: &mut Uses) {
    match value {
        ExprVal::Ident(name) => in_path(name, uses),
        ExprVal::Math(math) => {
            in_expr(&math.lhs, uses);
            in_expr(&math.rhs, uses);
        }
        ExprVal::Logic(logic) => {
            in_expr(&logic.lhs, uses);
            in_expr(&logic.rhs, uses);
        }
        ExprVal::In(condition) => {
            in_expr(&condition.lhs, uses);
            in_expr(&condition.rhs, uses);
        }
        ExprVal::Test(test) => {
            in_path(&test.ident, uses);
            uses.tests.insert(test.name.clone());
            test.args.iter().for_each(|arg| in_expr(arg, uses));
        }
        ExprVal::MacroCall(call) => call.args.values().for_each(|arg| in_expr(arg, uses)),
        ExprVal::FunctionCall(call) => {
            uses.functions.insert(call.name.clone());
            in_call(call, uses);
        }
        ExprVal::Array(items) => items.iter().for_each(|item| in_expr(item, uses)),
        ExprVal::StringConcat(concat) => concat.values.iter().for_each(|value| in_value(value, uses)),
        ExprVal::String(_) | ExprVal::Int(_) | ExprVal::Float(_) | ExprVal::Bool(_) => {}
    }
}

fn in_call(call: &FunctionCall, uses: &mut Uses) {
    call.args.values().for_each(|arg| in_expr(arg, uses));
}

fn in_path(path: &str, uses: &mut Uses) {
    uses.variables.insert(path.to_owned());
    // `hosts[item.name]` uses `item` too.
    for inner in path.split('[').skip(1).filter_map(|rest| rest.split(']').next()) {
        if inner.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            uses.variables.insert(inner.to_owned());
        }
    }
}

/// Calls `change` on every expression, inner ones first.
fn every_expr(nodes: &mut [Node], change: &mut impl FnMut(&mut Expr, bool)) {
    for node in nodes {
        match node {
            Node::VariableBlock(_, expr) => expr_in(expr, false, change),
            Node::MacroDefinition(_, definition, _) => every_expr(&mut definition.body, change),
            Node::Set(_, set) => expr_in(&mut set.value, false, change),
            Node::FilterSection(_, section, _) => {
                section.filter.args.values_mut().for_each(|arg| expr_in(arg, false, change));
                every_expr(&mut section.body, change);
            }
            Node::Block(_, block, _) => every_expr(&mut block.body, change),
            Node::Forloop(_, forloop, _) => {
                expr_in(&mut forloop.container, false, change);
                every_expr(&mut forloop.body, change);
                forloop.empty_body.iter_mut().for_each(|body| every_expr(body, change));
            }
            Node::If(conditional, _) => {
                for (_, condition, body) in &mut conditional.conditions {
                    expr_in(condition, true, change);
                    every_expr(body, change);
                }
                conditional.otherwise.iter_mut().for_each(|(_, body)| every_expr(body, change));
            }
            _ => {}
        }
    }
}

fn expr_in(expr: &mut Expr, condition: bool, change: &mut impl FnMut(&mut Expr, bool)) {
    use tera::ast::LogicOperator::{And, Or};
    match &mut expr.val {
        ExprVal::Math(math) => {
            expr_in(&mut math.lhs, false, change);
            expr_in(&mut math.rhs, false, change);
        }
        ExprVal::Logic(logic) => {
            let conditions = matches!(logic.operator, And | Or);
            expr_in(&mut logic.lhs, conditions, change);
            expr_in(&mut logic.rhs, conditions, change);
        }
        ExprVal::In(inner) => {
            expr_in(&mut inner.lhs, false, change);
            expr_in(&mut inner.rhs, false, change);
        }
        ExprVal::Test(test) => test.args.iter_mut().for_each(|arg| expr_in(arg, false, change)),
        ExprVal::MacroCall(call) => call.args.values_mut().for_each(|arg| expr_in(arg, false, change)),
        ExprVal::FunctionCall(call) => call.args.values_mut().for_each(|arg| expr_in(arg, false, change)),
        ExprVal::Array(items) => items.iter_mut().for_each(|item| expr_in(item, false, change)),
        _ => {}
    }
    for filter in &mut expr.filters {
        filter.args.values_mut().for_each(|arg| expr_in(arg, false, change));
    }
    change(expr, condition);
}

/// Makes undefined variables errors also where Tera takes them for false: in conditions and after `not`.
pub fn make_strict(nodes: &mut [Node]) {
    every_expr(nodes, &mut |expr, condition| {
        if matches!(expr.val, ExprVal::Ident(_)) && (condition || expr.negated) {
            let negated = std::mem::take(&mut expr.negated);
            let inner = std::mem::replace(expr, Expr::new(ExprVal::Bool(false)));
            expr.val = call(TRUTHY, inner);
            expr.negated = negated;
        }
    });
}

/// Makes the one expression of a template be kept with its type instead of being written.
pub fn make_captured(nodes: &mut [Node]) {
    for node in nodes {
        if let Node::VariableBlock(_, expr) = node {
            let inner = std::mem::replace(expr, Expr::new(ExprVal::Bool(false)));
            expr.val = call(CAPTURE, inner);
        }
    }
}

/// Replaces a variable by empty text, so that rendering can go on and find the next mistake.
pub fn blank(nodes: &mut [Node], path: &str) {
    every_expr(nodes, &mut |expr, _| match &mut expr.val {
        ExprVal::Ident(name) if name == path => expr.val = ExprVal::String(String::new()),
        ExprVal::StringConcat(concat) => {
            for value in &mut concat.values {
                if matches!(value, ExprVal::Ident(name) if name == path) {
                    *value = ExprVal::String(String::new());
                }
            }
        }
        _ => {}
    });
}

/// Whether a template is one expression and nothing else.
pub fn single_expression(nodes: &[Node]) -> bool {
    matches!(nodes, [Node::VariableBlock(..)])
}

/// The first name of a path.
pub fn root(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or(path)
}

/// The names of a path: `a.b['c-d'].e` is a, b, c-d, e. Ends before an index that is a variable itself.
pub fn names(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let Some((index, after)) = inner.split_once(']') else { break };
            let name = index.trim_matches(['\'', '"', '`']);
            if name == index && index.parse::<usize>().is_err() {
                break;
            }
            names.push(name);
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            names.push(&rest[..end]);
            rest = &rest[end..];
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    names
}

fn call(name: &str, value: Expr) -> ExprVal {
    ExprVal::FunctionCall(FunctionCall { name: name.to_owned(), args: HashMap::from([("value".to_owned(), value)]) })
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_have_names() {
        for (path, names) in [
            ("a", vec!["a"]),
            ("a.b['c-d'].e", vec!["a", "b", "c-d", "e"]),
            ("a[\"x\"]", vec!["a", "x"]),
            ("a[0].b", vec!["a", "0", "b"]),
            ("a[i.n].b", vec!["a"]),
        ] {
            assert_eq!(super::names(path), names, "{path}");
        }
    }
}
