//! The end of a stream that may be endless.

/// What is dropped at most of the line at which a stream was cut, in bytes: more than any line of a secret, as half a secret
/// would not be recognised by the redactor.
const HALF: usize = 1024;

/// Keeps the last bytes of a stream. Holds at most twice its limit.
#[derive(Debug, Clone)]
pub struct Tail {
    limit: usize,
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    /// Keeps `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, bytes: Vec::new(), cut: false }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Cutting only at twice the limit keeps the cost per byte constant.
        if self.bytes.len() > 2 * self.limit {
            self.trim();
        }
    }

    /// Everything if it fits, else its end, without (the beginning of) the line that was cut.
    pub fn finish(mut self) -> Vec<u8> {
        if self.bytes.len() > self.limit {
            self.trim();
        }
        if self.cut {
            let near = self.bytes.len().min(HALF);
            let line = self.bytes[..near].iter().position(|&b| b == b'\n').map_or(near, |at| at + 1);
            self.bytes.drain(..line);
        }
        self.bytes
    }

    fn trim(&mut self) {
        self.bytes.drain(..self.bytes.len() - self.limit);
        self.cut = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(limit: usize, text: &[u8], step: usize) -> Vec<u8> {
        let mut tail = Tail::new(limit);
        text.chunks(step).for_each(|chunk| tail.push(chunk));
        assert!(tail.bytes.capacity() <= 8 * limit.max(step));
        tail.finish()
    }

    #[test]
    fn a_tail_is_the_end_in_whole_lines() {
        for step in [1, 2, 100] {
            assert_eq!(end(10, b"abc\nde", step), b"abc\nde", "all of it fits");
            assert_eq!(end(10, b"first\nsecond\nthird\n", step), b"third\n");
            assert_eq!(end(2000, &[b'x'; 5000], step), vec![b'x'; 2000 - HALF], "no half of a secret");
            assert_eq!(end(2000, &[&[b'x'; 5000][..], b"end\n"].concat(), step).len(), 2000 - HALF, "nor the whole line");
            assert_eq!(end(3, b"abcdefghij", step), b"");
        }
    }
}
