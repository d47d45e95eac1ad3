//! A run's log read back: events with the time at which they happened.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::base::Redactor;
use crate::engine::Event;
use crate::report::clean;

/// One line of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamped {
    /// What happened.
    pub event: Event,
    /// When the report heard of it.
    pub at: OffsetDateTime,
}

#[derive(Deserialize)]
struct Line {
    #[serde(flatten)]
    event: Event,
    at: String,
}

/// Reads a log. A last line without its end (a run that was killed) is left out; any other line must be right.
pub fn read(text: &str) -> Result<Vec<Stamped>> {
    let mut events = Vec::new();
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let place = || format!("line {} of the log is not an event of this version of poclab", number + 1);
        let Some(line) = line.strip_suffix('\n') else { break };
        let line: Line = serde_json::from_str(line).with_context(place)?;
        let at = OffsetDateTime::parse(&line.at, &Rfc3339).with_context(place)?;
        // The log is clean when it is written; whoever edits it does not get control characters into a report.
        events.push(Stamped { event: clean::event(&line.event, &Redactor::new()), at });
    }
    match events.first().map(|first| &first.event) {
        Some(Event::RunStarted { .. }) => Ok(events),
        _ => bail!("the log does not begin with the start of a run"),
    }
}
