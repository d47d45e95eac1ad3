//! What goes into a script's stdin: the wrapped script, then the payloads.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::SshError;
use crate::base::Payload;

/// Bytes read from a file at once.
const CHUNK: u64 = 256 * 1024;

/// A cursor over everything that is to be sent. Files are opened one at a time and streamed.
pub(super) struct Feed<'a> {
    script: Vec<u8>,
    payloads: std::slice::Iter<'a, Payload>,
    now: Source<'a>,
    /// Payload bytes sent so far.
    sent: u64,
}

enum Source<'a> {
    Script { at: usize },
    Bytes(&'a [u8]),
    File { path: &'a Path, file: File, left: u64, buffer: Vec<u8>, at: usize },
    End,
}

impl<'a> Feed<'a> {
    /// Looks at every file first: nothing is started on a host when a file is missing or has another length.
    pub(super) fn new(script: Vec<u8>, payloads: &'a [Payload]) -> Result<Self, SshError> {
        for payload in payloads {
            if let Payload::File { path, len } = payload {
                let found = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?.len();
                if found != *len {
                    return Err(changed(path, found, *len));
                }
            }
        }
        Ok(Self { script, payloads: payloads.iter(), now: Source::Script { at: 0 }, sent: 0 })
    }

    /// Payload bytes sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The next bytes to send; empty when all is sent.
    pub(super) fn next(&mut self) -> Result<&[u8], SshError> {
        while self.exhausted()? {
            self.now = match self.payloads.next() {
                None => Source::End,
                Some(Payload::Bytes(bytes)) => Source::Bytes(bytes),
                Some(Payload::File { path, len }) => {
                    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
                    Source::File { path, file, left: *len, buffer: Vec::new(), at: 0 }
                }
            };
        }
        Ok(match &self.now {
            Source::Script { at } => &self.script[*at..],
            Source::Bytes(bytes) => bytes,
            Source::File { buffer, at, .. } => &buffer[*at..],
            Source::End => &[],
        })
    }

    /// Notes that the first `n` bytes of [`Feed::next`] have been sent.
    pub(super) fn advance(&mut self, n: usize) {
        match &mut self.now {
            Source::Script { at } => {
                *at += n;
                return;
            }
            Source::Bytes(bytes) => *bytes = &bytes[n..],
            Source::File { at, .. } => *at += n,
            Source::End => return,
        }
        self.sent += n as u64;
    }

    /// Whether the current source is used up; reads on in a file.
    fn exhausted(&mut self) -> Result<bool, SshError> {
        match &mut self.now {
            Source::Script { at } => Ok(*at == self.script.len()),
            Source::Bytes(bytes) => Ok(bytes.is_empty()),
            Source::End => Ok(false),
            Source::File { path, file, left, buffer, at } => {
                if *at < buffer.len() {
                    return Ok(false);
                }
                if *left == 0 {
                    return Ok(true);
                }
                buffer.clear();
                *at = 0;
                let got = file.take(CHUNK.min(*left)).read_to_end(buffer).map_err(|e| unreadable(path, &e))?;
                if got == 0 {
                    return Err(SshError::Local(format!(
                        "{} ended {left} bytes too early: it was changed while it was sent; run again",
                        path.display()
                    )));
                }
                *left -= got as u64;
                Ok(false)
            }
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> SshError {
    SshError::Local(format!("cannot read {} to send it: {error}", path.display()))
}

fn changed(path: &Path, found: u64, len: u64) -> SshError {
    SshError::Local(format!("{} has {found} bytes instead of {len}: it was changed since it was looked at; run again", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(feed: &mut Feed, step: usize) -> Result<Vec<u8>, SshError> {
        let mut out = Vec::new();
        loop {
            let next = feed.next()?;
            if next.is_empty() {
                return Ok(out);
            }
            let n = next.len().min(step);
            out.extend(&next[..n]);
            feed.advance(n);
        }
    }

    #[test]
    fn everything_is_sent_in_order_in_any_steps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        let big: Vec<u8> = (0..600_000u32).map(|n| n as u8).collect();
        std::fs::write(&path, &big).unwrap();
        let payloads = [
            Payload::Bytes(b"one".to_vec()),
            Payload::Bytes(vec![]),
            Payload::File { path, len: 600_000 },
            Payload::Bytes(b"two".to_vec()),
        ];
        let expected = [b"script".as_slice(), b"one", &big, b"two"].concat();
        for step in [1000, 32_700, 1 << 30] {
            let mut feed = Feed::new(b"script".to_vec(), &payloads).unwrap();
            assert_eq!(all(&mut feed, step).unwrap(), expected);
            assert_eq!(feed.sent(), 600_006);
        }
    }

    #[test]
    fn a_file_that_is_not_as_promised_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let missing = [Payload::File { path: path.clone(), len: 1 }];
        assert!(Feed::new(vec![], &missing).err().unwrap().to_string().contains("cannot read"));
        std::fs::write(&path, [0u8; 400_000]).unwrap();
        let short = [Payload::File { path: path.clone(), len: 500_000 }];
        assert!(Feed::new(vec![], &short).err().unwrap().to_string().contains("400000 bytes instead of 500000"));
        // It shrinks while it is sent.
        let payloads = [Payload::File { path: path.clone(), len: 400_000 }];
        let mut feed = Feed::new(vec![], &payloads).unwrap();
        let n = feed.next().unwrap().len();
        feed.advance(n);
        File::options().write(true).open(&path).unwrap().set_len(n as u64).unwrap();
        assert!(all(&mut feed, 1000).unwrap_err().to_string().contains("too early"));
    }
}
