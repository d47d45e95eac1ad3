//! Reading frames, strictly: what is not exactly what the script prints is refused as a whole.

use memchr::{memchr, memmem};

use super::{Frame, RS, US};
use crate::base::Tail;

/// What the payloads of one exec may hold together, in bytes.
pub const LIMIT: usize = 8 << 20;

/// What is kept of a step's payload, in bytes: it is only shown, and only its end.
const STEP_LIMIT: usize = 64 << 10;

/// The longest text between the nonce and US, in bytes: an id and a status.
const LABEL: usize = 128;

/// How much of a payload is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// All of it, or nothing at all: it will be parsed.
    Whole,
    /// Its end: it will be shown.
    End,
    /// The same, of a frame that the script need not print.
    EndIfAny,
}

/// What a reader saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A fragment started.
    Begin(String),
    /// A fragment ended.
    End(Frame),
}

/// Why an output was refused: in words that go behind "the host's answer was not understood: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Reads frames out of a byte stream, incrementally. Its memory is bounded, whatever the host sends.
///
/// The script prints its frames in a known order, each once, none inside another. Payload that holds marks with this exec's
/// nonce must break that order before the script's own next mark is read, so it can be refused, but not misread.
#[derive(Debug, Clone)]
pub struct FrameReader {
    marker: Vec<u8>,
    /// The frames in the order in which the script prints them.
    expected: Vec<(String, Keep)>,
    /// Frames that have ended.
    ended: usize,
    open: Option<Payload>,
    buffer: Vec<u8>,
    /// Bytes that payloads may still take.
    left: usize,
    refused: Option<Refused>,
}

#[derive(Debug, Clone)]
enum Payload {
    Whole(Vec<u8>),
    End(Tail),
}

impl FrameReader {
    pub(super) fn new(nonce: &str, expected: Vec<(String, Keep)>) -> Self {
        let mut marker = vec![RS];
        marker.extend_from_slice(nonce.as_bytes());
        marker.push(b':');
        Self { marker, expected, ended: 0, open: None, buffer: Vec::new(), left: LIMIT, refused: None }
    }

    /// Why the output is refused, as far as it has been read. Nothing that was read of it may be used then.
    pub fn refused(&self) -> Option<&Refused> {
        self.refused.as_ref()
    }

    /// What the frame that has not ended yet has printed so far (of a step: its end); nothing once the output is refused.
    pub fn unfinished(&self) -> Vec<u8> {
        match &self.open {
            Some(Payload::Whole(bytes)) => bytes.clone(),
            Some(Payload::End(tail)) => tail.clone().finish(),
            None => Vec::new(),
        }
    }

    /// Takes the next bytes and returns what they completed; nothing more once the output is refused.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        if self.refused.is_none() {
            self.buffer.extend_from_slice(bytes);
            if let Err(why) = self.read(&mut seen) {
                self.refused = Some(Refused(why));
                self.open = None;
                self.buffer = Vec::new();
            }
        }
        seen
    }

    /// Bytes that it keeps at this moment.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let payload = match &self.open {
            Some(Payload::Whole(bytes)) => bytes.capacity(),
            Some(Payload::End(tail)) => tail.clone().finish().len(),
            None => 0,
        };
        self.buffer.capacity() + payload
    }

    /// Reads a whole output.
    pub fn read_all(mut self, bytes: &[u8]) -> Result<Vec<Frame>, Refused> {
        let seen = self.feed(bytes);
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let frame = |seen| if let Seen::End(frame) = seen { Some(frame) } else { None };
        Ok(seen.into_iter().filter_map(frame).collect())
    }

    fn read(&mut self, seen: &mut Vec<Seen>) -> Result<(), String> {
        loop {
            let Some(start) = memmem::find(&self.buffer, &self.marker) else {
                // A tail that could be the beginning of a mark stays.
                let keep = self.buffer.len().min(self.marker.len() - 1);
                return self.payload(self.buffer.len() - keep);
            };
            self.payload(start)?;
            let label = &self.buffer[self.marker.len()..];
            let Some(length) = memchr(US, &label[..label.len().min(LABEL + 1)]) else {
                return if label.len() > LABEL { Err(self.odd("a mark that does not end")) } else { Ok(()) };
            };
            let label = String::from_utf8_lossy(&label[..length]).into_owned();
            self.buffer.drain(..self.marker.len() + length + 1);
            seen.push(self.mark(&label)?);
        }
    }

    /// Makes sense of a mark, if it is the next one that the script prints.
    fn mark(&mut self, label: &str) -> Result<Seen, String> {
        let is_next = |id: &str| label == id;
        while self.open.is_none() && self.expected.get(self.ended).is_some_and(|(id, keep)| *keep == Keep::EndIfAny && !is_next(id)) {
            self.ended += 1;
        }
        let next = self.expected.get(self.ended);
        match (next, self.open.take(), label.split_once(':')) {
            (Some((id, keep)), None, None) if is_next(id) => {
                self.open = Some(match keep {
                    Keep::Whole => Payload::Whole(Vec::new()),
                    Keep::End | Keep::EndIfAny => Payload::End(Tail::new(STEP_LIMIT)),
                });
                Ok(Seen::Begin(id.clone()))
            }
            (Some((id, _)), Some(payload), Some((ended, status))) if ended == id => {
                // A shell's exit status: nothing else comes out of `$?`.
                let status: u8 = status.parse().map_err(|_| self.odd(&format!("the exit status {status:?}")))?;
                let payload = match payload {
                    Payload::Whole(bytes) => bytes,
                    Payload::End(tail) => tail.finish(),
                };
                self.ended += 1;
                Ok(Seen::End(Frame { id: id.clone(), payload, status: i32::from(status) }))
            }
            (_, open, _) => {
                Err(self.odd(&format!("a mark out of place ({label:?}{})", if open.is_some() { ", inside a part" } else { "" })))
            }
        }
    }

    fn odd(&self, what: &str) -> String {
        let part = self.expected.get(self.ended).map_or("the end", |(id, _)| id.as_str());
        format!("it holds {what} at `{part}`, as if something on the host printed this run's own marks")
    }

    /// Moves the first bytes of the buffer into the open payload; outside of frames they are noise.
    fn payload(&mut self, length: usize) -> Result<(), String> {
        let bytes = self.buffer.drain(..length);
        match &mut self.open {
            Some(Payload::Whole(payload)) => {
                let Some(left) = self.left.checked_sub(length) else {
                    let part = self.expected.get(self.ended).map_or("", |(id, _)| id.as_str());
                    return Err(format!("`{part}` printed more than {} MiB, with what was printed before it", LIMIT >> 20));
                };
                self.left = left;
                payload.extend_from_slice(bytes.as_slice());
            }
            Some(Payload::End(tail)) => tail.push(bytes.as_slice()),
            None => {}
        }
        Ok(())
    }
}
