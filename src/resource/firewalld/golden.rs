//! Access to the recorded outputs.

const RECORDED: &str = include_str!("../../../tests/golden/firewalld-0.5.3.txt");

/// What the command printed on stdout (its last call in the record), or the file's text for `$ cat …`.
pub(crate) fn golden(command: &str) -> String {
    from(RECORDED, command)
}

pub(crate) fn from(record: &str, command: &str) -> String {
    let start = record.rfind(&format!("{command}\n")).unwrap_or_else(|| panic!("not recorded: {command}"));
    let body = &record[start..];
    let body = &body[body.find('\n').unwrap() + 1..];
    let end = body.find("\n$ ").map_or(body.len(), |at| at + 1);
    let body = &body[..end];
    let body = body.strip_prefix("--- stdout\n").unwrap_or(body);
    let end = body.find("--- exit").or_else(|| body.find("--- stderr")).unwrap_or(body.len());
    body[..end].to_owned()
}
