//! Framing of what one script prints for many fragments.
//!
//! A frame is `RS nonce ":" id US` *payload* `RS nonce ":" id ":" status US`. The nonce is chosen anew for every exec,
//! so payload that happens to contain RS or US, or even an old frame, is never taken for a frame. Bytes outside of frames
//! (a login banner, a noisy `~/.bashrc`) are ignored. Payloads are raw bytes.

use std::fmt::Write as _;

const RS: u8 = 0x1e;
const US: u8 = 0x1f;

/// One finished frame: what the fragment printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The fragment's id as given to [`ScriptBuilder::fragment`].
    pub id: String,
    /// Its output (stdout; fragments that want stderr too redirect it themselves).
    pub payload: Vec<u8>,
    /// Its exit status.
    pub status: i32,
}

impl Frame {
    /// The payload as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// Builds one POSIX sh script out of fragments; each runs in its own subshell and is framed.
#[derive(Debug, Clone)]
pub struct ScriptBuilder {
    nonce: String,
    script: String,
}

impl ScriptBuilder {
    /// Starts a script with this nonce (letters and digits only; see [`nonce`]).
    pub fn new(nonce: &str) -> Self {
        debug_assert!(nonce.chars().all(|c| c.is_ascii_alphanumeric()));
        let mut script = String::new();
        // A known locale and path: outputs are parsed, and sudo's secure_path may lack sbin.
        script.push_str(
            "LC_ALL=C; export LC_ALL\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH\numask 022\n",
        );
        let _ = writeln!(script, "poclab_n={nonce}");
        // Nobody reads any more: the script ends with the step that it is in (where SIGPIPE is ignored, too).
        script.push_str("poclab_begin() { printf '\\036%s:%s\\037' \"$poclab_n\" \"$1\" || exit 1; }\n");
        script.push_str("poclab_end() { printf '\\036%s:%s:%s\\037' \"$poclab_n\" \"$1\" \"$2\" || exit 1; }\n");
        Self { nonce: nonce.to_owned(), script }
    }

    /// Adds shell text outside of any frame (functions that several fragments use).
    pub fn prelude(&mut self, shell: &str) {
        self.script.push_str(shell.trim_end());
        self.script.push('\n');
    }

    /// Adds a fragment that cannot disturb the others and does not read the script's stdin.
    pub fn fragment(&mut self, id: &str, shell: &str) {
        self.add(id, shell, "</dev/null", false);
    }

    /// Adds a step; when it fails the script stops with its status. Its stderr is part of the payload.
    ///
    /// Only a step that `reads_stdin` sees the exec's stdin, and must take exactly its own bytes from it.
    pub fn step(&mut self, id: &str, shell: &str, reads_stdin: bool) {
        self.add(id, shell, if reads_stdin { "2>&1" } else { "</dev/null 2>&1" }, true);
    }

    /// Adds a script that may take at most `seconds` (then it ends with status 124) and owns the exec's stdin and stderr.
    pub fn bounded(&mut self, id: &str, shell: &str, seconds: u64) {
        let shell = format!("timeout -k 2 {seconds} sh -c {}", super::quote(shell));
        self.add(id, &shell, "", false);
    }

    fn add(&mut self, id: &str, shell: &str, redirect: &str, stop: bool) {
        debug_assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.'));
        let s = &mut self.script;
        let _ = write!(s, "poclab_begin {id}\n(\n{}\n) {redirect}\npoclab_s=$?\npoclab_end {id} \"$poclab_s\"\n", shell.trim_end());
        if stop {
            s.push_str("[ \"$poclab_s\" -eq 0 ] || exit \"$poclab_s\"\n");
        }
    }

    /// The finished script and the reader for its output.
    pub fn finish(self) -> (String, FrameReader) {
        (self.script, FrameReader::new(&self.nonce))
    }
}

/// A fresh nonce: 16 hexadecimal digits from the operating system.
pub fn nonce() -> String {
    let mut bytes = [0u8; 8];
    // Without randomness the frames still parse; only hostile payload could then be misread, so fail loudly.
    #[expect(clippy::expect_used, reason = "there is no way to go on")]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().fold(String::new(), |mut hex, b| {
        let _ = write!(hex, "{b:02x}");
        hex
    })
}

/// What a reader saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A fragment started.
    Begin(String),
    /// A fragment ended.
    End(Frame),
}

/// Reads frames out of a byte stream, incrementally.
#[derive(Debug, Clone)]
pub struct FrameReader {
    nonce: Vec<u8>,
    buffer: Vec<u8>,
    open: Option<(String, Vec<u8>)>,
}

impl FrameReader {
    /// A reader for scripts built with this nonce.
    pub fn new(nonce: &str) -> Self {
        let mut marker = vec![RS];
        marker.extend_from_slice(nonce.as_bytes());
        marker.push(b':');
        Self { nonce: marker, buffer: Vec::new(), open: None }
    }

    /// Takes the next bytes and returns what they completed.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Seen> {
        self.buffer.extend_from_slice(bytes);
        let mut seen = Vec::new();
        loop {
            let Some(start) = find(&self.buffer, &self.nonce) else {
                // Keep a tail that could be the beginning of a marker.
                let keep = self.buffer.len().min(self.nonce.len().saturating_sub(1));
                let done: Vec<u8> = self.buffer.drain(..self.buffer.len() - keep).collect();
                self.payload(&done);
                return seen;
            };
            let after = start + self.nonce.len();
            let Some(length) = self.buffer[after..].iter().position(|&b| b == US) else {
                let done: Vec<u8> = self.buffer.drain(..start).collect();
                self.payload(&done);
                return seen;
            };
            let label = String::from_utf8_lossy(&self.buffer[after..after + length]).into_owned();
            let done: Vec<u8> = self.buffer.drain(..after + length + 1).take(start).collect();
            self.payload(&done);
            match (label.split_once(':'), self.open.take()) {
                (None, _) => {
                    self.open = Some((label.clone(), Vec::new()));
                    seen.push(Seen::Begin(label));
                }
                (Some((id, status)), Some((open, payload))) if id == open => {
                    let status = status.parse().unwrap_or(-1);
                    seen.push(Seen::End(Frame { id: open, payload, status }));
                }
                // An end without its beginning cannot come from our script: forget it, the frame counts as missing.
                (Some(_), _) => {}
            }
        }
    }

    /// Reads a whole output.
    pub fn read_all(mut self, bytes: &[u8]) -> Vec<Frame> {
        self.feed(bytes)
            .into_iter()
            .filter_map(|seen| match seen {
                Seen::End(frame) => Some(frame),
                Seen::Begin(_) => None,
            })
            .collect()
    }

    /// What the fragment that has not ended yet has printed so far.
    pub fn unfinished(&self) -> &[u8] {
        self.open.as_ref().map_or(&[], |(_, payload)| payload)
    }

    fn payload(&mut self, bytes: &[u8]) {
        if let Some((_, payload)) = &mut self.open {
            payload.extend_from_slice(bytes);
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(script: &str) -> Vec<u8> {
        std::process::Command::new("sh").arg("-c").arg(script).output().unwrap().stdout
    }

    #[test]
    fn a_real_shell_prints_frames() {
        let mut builder = ScriptBuilder::new("abc123");
        builder.fragment("a", "printf 'one\\0two'; exit 3");
        builder.fragment("b", "printf '\\036abc999:a:0\\037'");
        let (script, reader) = builder.finish();
        let mut out = b"banner\n".to_vec();
        out.extend(run(&script));
        let frames = reader.read_all(&out);
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].payload.as_slice(), frames[0].status), (b"one\0two".as_slice(), 3));
        assert_eq!(frames[1].payload, b"\x1eabc999:a:0\x1f");
    }

    #[test]
    fn a_failing_step_stops_the_script() {
        let mut builder = ScriptBuilder::new("abc123");
        builder.step("a", "echo no >&2; false", false);
        builder.step("b", "echo never", false);
        let (script, reader) = builder.finish();
        let frames = reader.read_all(&run(&script));
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].text().as_str(), frames[0].status), ("no\n", 1));
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_frames(payload in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..300) {
            let mut out = b"noise\x1e".to_vec();
            out.extend(b"\x1en0:x\x1f");
            out.extend(&payload);
            out.extend(b"\x1en0:x:7\x1f");
            let cut = cut.min(out.len());
            let mut reader = FrameReader::new("n0");
            let mut seen = reader.feed(&out[..cut]);
            seen.extend(reader.feed(&out[cut..]));
            prop_assert_eq!(seen.last(), Some(&Seen::End(Frame { id: "x".into(), payload, status: 7 })));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            FrameReader::new("n0").read_all(&bytes);
        }
    }
}
