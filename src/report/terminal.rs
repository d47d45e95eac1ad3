//! The live view: what is going on at the bottom of the screen, what is finished scrolls above it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Sink;
use super::board::Board;
use super::narrator::{Narrator, View};
use crate::engine::Event;

/// The live view that is on the screen, for messages from outside of the report's thread.
static ON_SCREEN: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Runs `print` while no live view is in the way.
pub(super) fn beside<R>(print: impl FnOnce() -> R) -> R {
    // Cloned, so that nothing printed in the meantime waits for this lock.
    let screen = ON_SCREEN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match screen {
        Some(screen) => screen.suspend(print),
        None => print(),
    }
}

/// Asks for height and width at every drawing, as windows are resized.
type Size = Box<dyn Fn() -> (usize, usize) + Send>;

/// The live view.
pub(super) struct Terminal {
    screen: MultiProgress,
    bars: Vec<ProgressBar>,
    narrator: Narrator,
    board: Board,
    colour: bool,
    size: Size,
}

impl Terminal {
    /// On standard output or standard error; `None` when that is no terminal with cursor control.
    pub fn new(on_stderr: bool, colour: bool) -> Option<Self> {
        let target = if on_stderr { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::stdout() };
        if target.is_hidden() {
            return None;
        }
        let size = Box::new(move || {
            let term = if on_stderr { console::Term::stderr() } else { console::Term::stdout() };
            let (height, width) = term.size();
            (usize::from(height), usize::from(width))
        });
        let sink = Self::on(target, colour, size);
        *ON_SCREEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink.screen.clone());
        Some(sink)
    }

    pub fn on(target: ProgressDrawTarget, colour: bool, size: Size) -> Self {
        Self {
            screen: MultiProgress::with_draw_target(target),
            bars: Vec::new(),
            narrator: Narrator::new(View::Live),
            board: Board::new(),
            colour,
            size,
        }
    }

    pub fn event_at(&mut self, event: &Event, now: Instant) {
        self.board.see(event, now);
        if !self.board.is_running() {
            // The summary stands alone.
            self.draw(now);
        }
        let (_, width) = self.room();
        let lines: Vec<String> = self.narrator.tell(event).iter().flat_map(|line| line.paint(width, self.colour)).collect();
        if !lines.is_empty() {
            let _ = self.screen.println(lines.join("\n"));
        }
    }

    /// Lines and columns to fill: half of the screen, so that what is finished can be read above; and one column is left free, as
    /// some terminals wrap when the last one is written.
    fn room(&self) -> (usize, usize) {
        let (height, width) = (self.size)();
        ((height / 2).max(4), width.saturating_sub(1).max(20))
    }

    pub fn draw(&mut self, now: Instant) {
        let (height, width) = self.room();
        let lines = self.board.lines(height, width, now);
        while self.bars.len() > lines.len() {
            if let Some(bar) = self.bars.pop() {
                bar.finish_and_clear();
                self.screen.remove(&bar);
            }
        }
        while self.bars.len() < lines.len() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            self.bars.push(self.screen.add(bar));
        }
        for (bar, line) in self.bars.iter().zip(lines) {
            if bar.message() != line {
                bar.set_message(line);
            }
        }
    }
}

impl Sink for Terminal {
    fn event(&mut self, event: &Event) {
        self.event_at(event, Instant::now());
    }

    fn tick(&mut self) {
        self.draw(Instant::now());
    }

    fn finish(&mut self) {
        self.board = Board::new();
        self.draw(Instant::now());
        *ON_SCREEN.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
