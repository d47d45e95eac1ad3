//! What is kept of a run: its log, and the report that is made of it at the end.

use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::log::Log;
use super::{Options, Sink, html_beside, html_report, write_html};
use crate::engine::Event;

/// Keeps what happens.
pub(super) struct Keep {
    log: Log,
    /// Write the report beside the log.
    beside: bool,
    /// Write it there as well.
    page: Option<PathBuf>,
    /// The report that was asked for is where it should be.
    pub page_written: bool,
}

impl Keep {
    /// Starts the log.
    pub fn create(state_dir: &Path, options: &Options) -> std::io::Result<Self> {
        let log = Log::create(state_dir, &options.kind, OffsetDateTime::now_utc())?;
        Ok(Self { log, beside: options.report, page: options.html.clone(), page_written: false })
    }

    /// Where the log is.
    pub fn log(&self) -> &Path {
        self.log.path()
    }

    /// Something happened.
    pub fn event(&mut self, event: &Event) {
        self.log.event(event);
    }

    /// Time passed.
    pub fn tick(&mut self) {
        self.log.tick();
    }

    /// The last event was kept: makes the report. Returns lines that say where it is, or why it is not.
    pub fn report(&mut self) -> Vec<String> {
        if !self.beside && self.page.is_none() {
            return Vec::new();
        }
        self.log.finish();
        let html = match html_report(self.log.path()) {
            Ok(html) => html,
            Err(error) => return vec![format!("no report of this run: {error:#}")],
        };
        let mut lines = Vec::new();
        let beside = html_beside(self.log.path());
        for (file, private, asked) in [(self.beside.then_some(&beside), true, false), (self.page.as_ref(), false, true)] {
            let Some(file) = file else { continue };
            match write_html(file, &html, private) {
                Ok(()) => {
                    self.page_written |= asked;
                    lines.push(format!("report of this run: {}", file.display()));
                }
                Err(error) => lines.push(format!("no report of this run: {error:#}")),
            }
        }
        lines
    }
}
