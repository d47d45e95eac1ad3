//! Framing of what one script prints for many fragments.
//!
//! A frame is `RS nonce ":" id US` *payload* `RS nonce ":" id ":" status US`. The nonce is chosen anew for every exec,
//! so payload that happens to contain RS or US, or even an old frame, is never taken for a frame. It is in no process's
//! arguments or environment; should payload hold it all the same, the whole output is refused. Bytes outside of frames
//! (a login banner, a noisy `~/.bashrc`) are ignored. Payloads are raw bytes.

mod reader;

use std::fmt::Write as _;

use reader::Keep;
pub use reader::{FrameReader, LIMIT, Refused, Seen};

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
    frames: Vec<(String, Keep)>,
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
        Self { nonce: nonce.to_owned(), script, frames: Vec::new() }
    }

    /// Adds shell text outside of any frame (functions that several fragments use).
    pub fn prelude(&mut self, shell: &str) {
        self.script.push_str(shell.trim_end());
        self.script.push('\n');
    }

    /// Says that the next prelude may print a frame of its own, with `poclab_begin ID` and `poclab_end ID STATUS`.
    pub fn announce(&mut self, id: &str) {
        self.frames.push((id.to_owned(), Keep::EndIfAny));
    }

    /// Adds a fragment that cannot disturb the others and does not read the script's stdin. Its payload comes whole; an
    /// output with more than [`LIMIT`] bytes of payloads is refused.
    pub fn fragment(&mut self, id: &str, shell: &str) {
        self.add(id, shell, "</dev/null", Keep::Whole, false);
    }

    /// Adds a step; when it fails the script stops with its status. Its stderr is part of the payload, of which only
    /// the end is kept (64 KiB).
    ///
    /// Only a step that `reads_stdin` sees the exec's stdin, and must take exactly its own bytes from it.
    pub fn step(&mut self, id: &str, shell: &str, reads_stdin: bool) {
        self.add(id, shell, if reads_stdin { "2>&1" } else { "</dev/null 2>&1" }, Keep::End, true);
    }

    /// Adds a script that may take at most `seconds` (then it ends with status 124) and owns the exec's stdin and stderr.
    pub fn bounded(&mut self, id: &str, shell: &str, seconds: u64) {
        // By a here-document: in an argument everybody on the host could read it, with the marks that it may print.
        // No text contains its own hash, so none contains the end mark.
        let mark = format!("POCLAB_{}", &super::sha256(shell.as_bytes())[..16]);
        let shell = format!("timeout -k 2 {seconds} sh /dev/fd/3 3<<'{mark}'\n{}\n{mark}", shell.trim_end_matches('\n'));
        self.add(id, &shell, "", Keep::Whole, false);
    }

    fn add(&mut self, id: &str, shell: &str, redirect: &str, keep: Keep, stop: bool) {
        debug_assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.'));
        self.frames.push((id.to_owned(), keep));
        let s = &mut self.script;
        let _ = write!(s, "poclab_begin {id}\n(\n{}\n) {redirect}\npoclab_s=$?\npoclab_end {id} \"$poclab_s\"\n", shell.trim_end());
        if stop {
            s.push_str("[ \"$poclab_s\" -eq 0 ] || exit \"$poclab_s\"\n");
        }
    }

    /// The finished script and the reader for its output.
    pub fn finish(self) -> (String, FrameReader) {
        (self.script, FrameReader::new(&self.nonce, self.frames))
    }
}

/// A fresh nonce: 16 hexadecimal digits from the operating system.
pub fn nonce() -> String {
    let mut bytes = [0u8; 8];
    // A nonce that can be guessed would let hostile payload make every run refuse its output, so fail loudly.
    #[expect(clippy::expect_used, reason = "there is no way to go on")]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().fold(String::new(), |mut hex, b| {
        let _ = write!(hex, "{b:02x}");
        hex
    })
}

#[cfg(test)]
mod tests;
