//! The journal as an input: what came since the last cursor.

use std::process::Command;

use serde_json::Value;

/// A line of the journal.
pub struct Line {
    /// Where it is.
    pub cursor: String,
    /// Seconds since 1970.
    pub time: f64,
    /// `program: message`
    pub text: String,
}

/// What came after the cursor, at most `limit` lines; without one, the last few.
pub fn since(cursor: Option<&str>, limit: usize) -> Result<Vec<Line>, String> {
    let mut command = Command::new("journalctl");
    command.args(["--no-pager", "-q", "-o", "json"]);
    match cursor {
        Some(cursor) => command.arg(format!("--after-cursor={cursor}")),
        None => command.args(["-n", "50"]),
    };
    let output = command.output().map_err(|why| format!("journalctl cannot be run: {why}"))?;
    if !output.status.success() {
        return Err(format!("journalctl: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().take(limit).filter_map(line).collect())
}

fn line(text: &str) -> Option<Line> {
    let entry: Value = serde_json::from_str(text).ok()?;
    let word = |field: &str| entry[field].as_str().unwrap_or_default();
    let micros: f64 = word("__REALTIME_TIMESTAMP").parse().ok()?;
    let text = format!("{}: {}", word("SYSLOG_IDENTIFIER"), word("MESSAGE"));
    Some(Line { cursor: word("__CURSOR").to_owned(), time: micros / 1e6, text })
}
