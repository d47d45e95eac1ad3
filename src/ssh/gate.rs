//! Telling the script's output from what came before it.

/// How much of what came before the ready mark is kept for error messages, in bytes.
const BEFORE: usize = 64 * 1024;

/// Lets one output stream through once the ready mark has been seen.
pub(super) struct Gate {
    mark: Vec<u8>,
    before: Vec<u8>,
    open: bool,
}

impl Gate {
    pub(super) fn new(mark: Vec<u8>) -> Self {
        Self { mark, before: Vec::new(), open: false }
    }

    /// Whether the mark has been seen.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether something else than the mark came.
    pub(super) fn is_noisy(&self) -> bool {
        !self.before.is_empty()
    }

    /// What came before the mark (its end, if it is long), as text.
    pub(super) fn before(&self) -> String {
        String::from_utf8_lossy(&self.before).into_owned()
    }

    /// How often a text occurs before the mark.
    pub(super) fn count(&self, text: &str) -> usize {
        self.before().matches(text).count()
    }

    /// Takes the next bytes; returns those that belong to the script.
    pub(super) fn pass<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.open {
            return bytes;
        }
        // The mark may have begun in earlier bytes, but it ends in these.
        let from = self.before.len().saturating_sub(self.mark.len() - 1);
        self.before.extend_from_slice(bytes);
        let found = self.before[from..].windows(self.mark.len()).position(|window| window == self.mark);
        let Some(at) = found else {
            if self.before.len() > 2 * BEFORE {
                self.before.drain(..self.before.len() - BEFORE);
            }
            return &[];
        };
        self.open = true;
        let end = from + at + self.mark.len();
        let rest = self.before.len() - end;
        self.before.truncate(from + at);
        &bytes[bytes.len() - rest..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_cut_lets_exactly_the_rest_through(noise in "[a-z\x1e]{0,40}", rest in proptest::collection::vec(any::<u8>(), 0..60), size in 1usize..20) {
            let mut stream = noise.clone().into_bytes();
            stream.extend(b"\x1e99\x1f");
            stream.extend(&rest);
            let mut gate = Gate::new(b"\x1e99\x1f".to_vec());
            let got: Vec<u8> = stream.chunks(size).flat_map(|chunk| gate.pass(chunk).to_vec()).collect();
            prop_assert!(gate.is_open());
            prop_assert_eq!(got, rest);
            prop_assert_eq!(gate.before(), noise);
        }
    }

    #[test]
    fn endless_noise_is_not_kept() {
        let mut gate = Gate::new(b"mark".to_vec());
        for _ in 0..100 {
            assert!(gate.pass(&[b'x'; 10_000]).is_empty());
        }
        assert!(gate.before.len() <= 2 * BEFORE);
        assert_eq!(gate.pass(b"mar"), b"");
        assert_eq!(gate.pass(b"k!"), b"!");
    }
}
