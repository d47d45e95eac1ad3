//! What an expression of a Jenkinsfile comes to.

use std::collections::BTreeMap;

use super::groovy::{Expr, Part};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// true or false
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// null, as what an unset variable of `env` is.
    Null,
    /// A list.
    List(Vec<Value>),
}

impl Value {
    /// Groovy's truth.
    pub fn truth(&self) -> bool {
        match self {
            Value::Text(text) => !text.is_empty(),
            Value::Bool(value) => *value,
            Value::Number(number) => *number != 0,
            Value::Null => false,
            Value::List(items) => !items.is_empty(),
        }
    }

    /// As text: what `"${…}"` makes of it.
    pub fn text(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null => "null".into(),
            Value::List(items) => format!("[{}]", items.iter().map(Value::text).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// Computes an expression. Errors are Jenkins' words.
pub fn eval(expr: &Expr, env: &BTreeMap<String, String>) -> Result<Value, String> {
    let variable = |name: &str| env.get(name).cloned().map_or(Value::Null, Value::Text);
    Ok(match expr {
        Expr::Text(parts) => Value::Text(text(parts, env)?),
        Expr::Number(number) => Value::Number(*number),
        Expr::Bool(value) => Value::Bool(*value),
        Expr::Null => Value::Null,
        Expr::List(items) => Value::List(items.iter().map(|item| eval(item, env)).collect::<Result<_, _>>()?),
        // A bare name is a variable of the environment, or it does not exist at all.
        Expr::Name(name) => match env.get(name) {
            Some(value) => Value::Text(value.clone()),
            None => return Err(format!("groovy.lang.MissingPropertyException: No such property: {name} for class: groovy.lang.Binding")),
        },
        Expr::Member(of, name) if **of == Expr::Name("env".into()) => variable(name),
        Expr::Not(of) => Value::Bool(!eval(of, env)?.truth()),
        Expr::Choice(test, yes, no) => eval(if eval(test, env)?.truth() { yes } else { no }, env)?,
        Expr::Binary(left, op, right) => binary(left, op, right, env)?,
        Expr::Call(call) => {
            let Some(on) = &call.on else {
                return Err(format!("java.lang.NoSuchMethodError: No such DSL method '{}' in an expression", call.name));
            };
            let on = eval(on, env)?;
            let args = call.args.iter().map(|arg| eval(arg, env)).collect::<Result<Vec<_>, _>>()?;
            method(&on, &call.name, &args)?
        }
        Expr::Member(..) => return Err("only variables of `env` can be read here".into()),
    })
}

/// A text with what is in it.
pub fn text(parts: &[Part], env: &BTreeMap<String, String>) -> Result<String, String> {
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => Ok(text.clone()),
            Part::Value(expr) => Ok(eval(expr, env)?.text()),
        })
        .collect()
}

fn binary(left: &Expr, op: &str, right: &Expr, env: &BTreeMap<String, String>) -> Result<Value, String> {
    let left = eval(left, env)?;
    match op {
        "&&" => return Ok(Value::Bool(left.truth() && eval(right, env)?.truth())),
        "||" => return Ok(Value::Bool(left.truth() || eval(right, env)?.truth())),
        "?:" => return if left.truth() { Ok(left) } else { eval(right, env) },
        _ => {}
    }
    let right = eval(right, env)?;
    Ok(match (op, &right) {
        ("==", _) => Value::Bool(left == right),
        ("!=", _) => Value::Bool(left != right),
        ("in", Value::List(items)) => Value::Bool(items.contains(&left)),
        ("+", _) => Value::Text(left.text() + &right.text()),
        _ => return Err(format!("the operator {op} is not in the rehearsal's subset of Groovy")),
    })
}

fn method(on: &Value, name: &str, args: &[Value]) -> Result<Value, String> {
    let Value::Text(on) = on else {
        return Err(match on {
            Value::Null => format!("java.lang.NullPointerException: Cannot invoke method {name}() on null object"),
            _ => format!("the method {name} is not in the rehearsal's subset of Groovy"),
        });
    };
    Ok(match (name, args) {
        ("startsWith", [Value::Text(text)]) => Value::Bool(on.starts_with(text)),
        ("endsWith", [Value::Text(text)]) => Value::Bool(on.ends_with(text)),
        ("contains", [Value::Text(text)]) => Value::Bool(on.contains(text)),
        ("equals", [Value::Text(text)]) => Value::Bool(on == text),
        ("trim", []) => Value::Text(on.trim().into()),
        _ => return Err(format!("the method {name} is not in the rehearsal's subset of Groovy")),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;
    use crate::jenkins::groovy::{Stmt, parse};

    fn value(source: &str, env: &[(&str, &str)]) -> Result<Value, String> {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        match parse(source).unwrap().remove(0) {
            Stmt::Expr(expr, _) => eval(&expr, &env),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn conditions_on_the_branch() {
        let when = "(env.gitlabBranch ?: env.DEPLOY_BRANCH) == env.DEPLOY_BRANCH";
        assert_eq!(value(when, &[("DEPLOY_BRANCH", "main")]), Ok(Value::Bool(true)));
        assert_eq!(value(when, &[("DEPLOY_BRANCH", "main"), ("gitlabBranch", "main")]), Ok(Value::Bool(true)));
        assert_eq!(value(when, &[("DEPLOY_BRANCH", "main"), ("gitlabBranch", "other")]), Ok(Value::Bool(false)));
        assert_eq!(value("env.A.startsWith('x') && !env.B", &[("A", "xy")]), Ok(Value::Bool(true)));
        assert_eq!(value("\"${env.A}-$A\"", &[("A", "1")]), Ok(Value::Text("1-1".into())));
        assert!(value("env.A.startsWith('x')", &[]).unwrap_err().contains("NullPointerException"));
        assert!(value("\"${NOPE}\"", &[]).unwrap_err().contains("No such property: NOPE"));
    }
}
