//! Plain lines, for logs, pipes and dumb terminals. No control codes.

use std::io::Write;
use std::time::{Duration, Instant};

use super::Sink;
use super::board::Board;
use super::line::duration;
use super::narrator::{Narrator, View};
use crate::engine::Event;

/// After this much silence a line says what is being waited for.
const SILENCE: Duration = Duration::from_secs(15);

/// Plain lines.
pub(super) struct Plain {
    out: Box<dyn Write + Send>,
    narrator: Narrator,
    board: Board,
    last: Instant,
}

impl Plain {
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, narrator: Narrator::new(View::Plain), board: Board::new(), last: Instant::now() }
    }

    pub fn event_at(&mut self, event: &Event, now: Instant) {
        self.board.see(event, now);
        let lines: Vec<String> = self.narrator.tell(event).iter().map(|line| line.plain()).collect();
        self.say(&lines, now);
    }

    pub fn tick_at(&mut self, now: Instant) {
        if now.saturating_duration_since(self.last) < SILENCE {
            return;
        }
        let still = |(who, what, time): (String, String, Duration)| {
            format!("{who}: still: {}, {}", what.replace('\n', " "), duration(time.as_secs_f64()))
        };
        let lines: Vec<String> = self.board.waits(now).into_iter().map(still).collect();
        self.say(&lines, now);
    }

    fn say(&mut self, lines: &[String], now: Instant) {
        for line in lines {
            // A closed pipe (`| head`) must not stop the run.
            let _ = writeln!(self.out, "{line}");
        }
        if !lines.is_empty() {
            let _ = self.out.flush();
            self.last = now;
        }
    }
}

impl Sink for Plain {
    fn event(&mut self, event: &Event) {
        self.event_at(event, Instant::now());
    }

    fn tick(&mut self) {
        self.tick_at(Instant::now());
    }
}
