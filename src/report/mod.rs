//! Events in; screen, plain lines, JSON, JUnit and the run log out. The only code that prints.

mod attack;
mod board;
mod clean;
mod html;
mod json;
mod junit;
mod keep;
mod line;
mod log;
mod manual;
mod narrator;
mod page;
mod pipeline;
mod plain;
mod print;
mod scan;
mod status;
mod summary;
mod terminal;

#[cfg(test)]
mod documents;
#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::Redactor;
use crate::engine::Event;

pub use attack::{print_attack, print_attacks, try_attacks, write_attacks};
pub use html::{html_beside, html_report, write_html};
pub use json::schema as event_schema;
pub use log::runs_folder;
pub use manual::{print_contents, print_pages};
pub use pipeline::print_build;
pub use print::{know, print_error, print_lines, print_notice, print_problems, print_prompt, print_table, print_text};
pub use scan::{ScanReport, print_feeds};
pub use status::print_status;

/// How often a live view is drawn again when nothing happens.
const TICK: Duration = Duration::from_millis(200);

/// How to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Live on a terminal, plain lines otherwise.
    #[default]
    Text,
    /// One object per event and line.
    Json,
    /// JUnit XML at the end.
    Junit,
}

/// What a run's report needs to know.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What goes to standard output.
    pub format: Format,
    /// The lab's state folder, for the run log; `None`: no log.
    pub state_dir: Option<PathBuf>,
    /// The command, for the log's name.
    pub kind: String,
    /// Whether a report of the run is written beside its log.
    pub report: bool,
    /// Where the report is written as well.
    pub html: Option<PathBuf>,
    /// Every text passes it.
    pub redactor: Redactor,
}

/// Shows or keeps events. Every text that it gets is redacted and free of control characters (but line breaks and tabs).
pub trait Sink: Send {
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// Time passed (about every 200 ms, also between events).
    fn tick(&mut self) {}
    /// No event will follow.
    fn finish(&mut self) {}
}

/// The one thread that receives events and hands them to the sinks.
#[must_use = "call finish(), or the program may end before everything is shown"]
pub struct Reporter {
    /// Ends with whether a report that was asked for was written.
    thread: JoinHandle<bool>,
    html: Option<PathBuf>,
}

impl Reporter {
    /// Starts it with the sinks that these options ask for. Senders may be cloned and used from any thread.
    pub fn spawn(options: Options) -> (Sender<Event>, Self) {
        print::know(&options.redactor);
        let sinks = screen_sinks(options.format);
        let mut first = Vec::new();
        let mut keep = None;
        if let Some(state_dir) = &options.state_dir {
            match keep::Keep::create(state_dir, &options) {
                Ok(kept) => keep = Some(kept),
                Err(error) => first.push(Event::Note { text: format!("no log of this run in {}: {error}", state_dir.display()) }),
            }
        }
        Self::with_sinks(options, sinks, keep, first)
    }

    fn with_sinks(options: Options, sinks: Vec<Box<dyn Sink>>, keep: Option<keep::Keep>, first: Vec<Event>) -> (Sender<Event>, Self) {
        let (sender, receiver) = channel();
        for event in first {
            // The receiver is right here.
            let _ = sender.send(event);
        }
        let redactor = options.redactor;
        let thread = std::thread::spawn(move || receive(&receiver, &redactor, sinks, keep));
        (sender, Self { thread, html: options.html })
    }

    /// Waits until every sender is gone and everything is shown. The error says that a report that was asked for is missing.
    pub fn finish(self) -> Result<(), String> {
        let written = self.thread.join().unwrap_or_else(|_| {
            print_error("the report broke off (please report this as a defect); the exit code is still right");
            false
        });
        match self.html {
            Some(file) if !written => Err(format!("the report {} was not written; why is said above", file.display())),
            _ => Ok(()),
        }
    }
}

fn receive(receiver: &Receiver<Event>, redactor: &Redactor, mut sinks: Vec<Box<dyn Sink>>, mut keep: Option<keep::Keep>) -> bool {
    let mut last_tick = std::time::Instant::now();
    loop {
        match receiver.recv_timeout(TICK.saturating_sub(last_tick.elapsed())) {
            Ok(mut event) => {
                if let Some(keep) = &mut keep {
                    // First: if a screen is lost, the log has the event.
                    keep.event(&clean::event(&event, redactor));
                    if let Event::RunDone(summary) = &mut event {
                        summary.next.extend(keep.report());
                        summary.next.push(format!("log of this run: {}", keep.log().display()));
                    }
                }
                let event = clean::event(&event, redactor);
                sinks.iter_mut().for_each(|sink| sink.event(&event));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if last_tick.elapsed() >= TICK {
            sinks.iter_mut().for_each(|sink| sink.tick());
            keep.iter_mut().for_each(keep::Keep::tick);
            last_tick = std::time::Instant::now();
        }
    }
    sinks.iter_mut().for_each(|sink| sink.finish());
    keep.is_some_and(|keep| keep.page_written)
}

/// What people see goes where it does not mix with what programs read.
fn screen_sinks(format: Format) -> Vec<Box<dyn Sink>> {
    let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
    let live = |on_stderr: bool| terminal::Terminal::new(on_stderr, colour(true)).map(|sink| Box::new(sink) as Box<dyn Sink>);
    let plain = |on_stderr: bool| -> Box<dyn Sink> {
        Box::new(plain::Plain::new(if on_stderr { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) }))
    };
    let stdout = || Box::new(std::io::stdout());
    match format {
        Format::Text => vec![live(false).filter(|_| out).unwrap_or_else(|| plain(false))],
        // Two writers on one terminal would spoil each other's lines.
        Format::Json => {
            let watching = if err && !out { live(true) } else { None };
            std::iter::once(Box::new(json::Json::new(stdout())) as Box<dyn Sink>).chain(watching).collect()
        }
        // The XML comes last, when a live view has left the screen.
        Format::Junit => {
            let watching = if err { live(true) } else { None };
            vec![watching.unwrap_or_else(|| plain(true)), Box::new(junit::Junit::new(stdout()))]
        }
    }
}

/// Colours on a terminal, unless NO_COLOR is set (https://no-color.org) or the terminal has none.
fn colour(is_terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    is_terminal && set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb")
}
