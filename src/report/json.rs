//! One JSON object per event and line: docs/json-events.md.

use std::io::Write;

use super::Sink;
use crate::engine::Event;

/// The JSON schema of one line (docs/schema/events.schema.json).
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Event)
}

/// JSON lines.
pub(super) struct Json {
    out: Box<dyn Write + Send>,
}

impl Json {
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out }
    }
}

impl Sink for Json {
    fn event(&mut self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            let _ = writeln!(self.out, "{line}");
            let _ = self.out.flush();
        }
    }
}
