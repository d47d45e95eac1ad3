//! Small things that several checks need: scripts on many hosts at once, frames by name, short texts.

use std::time::Duration;

use super::{Ran, Reach, Verdict};
use crate::base::frame::{Frame, ScriptBuilder, nonce};
use crate::base::{Payload, frame};

/// A script of framed fragments and how its output is read.
pub(super) struct Framed {
    builder: ScriptBuilder,
}

/// What the fragments of a script said.
pub(super) struct Frames(Vec<Frame>);

impl Framed {
    /// An empty script.
    pub fn new() -> Self {
        Self { builder: ScriptBuilder::new(&nonce()) }
    }

    /// Shell text outside of any frame.
    pub fn prelude(mut self, shell: &str) -> Self {
        self.builder.prelude(shell);
        self
    }

    /// A fragment whose failure is an answer.
    pub fn ask(mut self, id: &str, shell: &str) -> Self {
        self.builder.fragment(id, shell);
        self
    }

    /// A step without which the rest makes no sense.
    pub fn step(mut self, id: &str, shell: &str, reads_stdin: bool) -> Self {
        self.builder.step(id, shell, reads_stdin);
        self
    }

    /// Runs it. `Err` when the host could not be asked; failed steps are in the frames.
    pub fn run(self, reach: &dyn Reach, host: &str, stdin: Vec<Payload>, deadline: Duration) -> Result<Frames, String> {
        let (script, reader): (String, frame::FrameReader) = self.builder.finish();
        let ran = reach.exec(host, &script, stdin, deadline)?;
        let frames = reader.read_all(&ran.stdout).map_err(|why| format!("what {host} answered was not understood: {why}"))?;
        if frames.is_empty() {
            return Err(format!("the script on {host} printed nothing that can be read (exit status {}): {}", ran.status, ran.last_line()));
        }
        Ok(Frames(frames))
    }

    #[cfg(test)]
    pub fn text(self) -> String {
        self.builder.finish().0
    }
}

impl Frames {
    /// A fragment's frame; an error when the script ended before it.
    pub fn get(&self, id: &str) -> Result<&Frame, String> {
        self.0.iter().find(|frame| frame.id == id).ok_or_else(|| match self.0.last() {
            Some(last) => format!("the script ended before `{id}`: `{}` exited with {}: {}", last.id, last.status, last_line(&last.text())),
            None => format!("the script ended before `{id}`"),
        })
    }

    /// The same with one fragment's text exchanged, for controls.
    pub fn with(&self, id: &str, text: &str) -> Frames {
        let exchange = |frame: &Frame| {
            if frame.id == id { Frame { payload: text.as_bytes().to_vec(), ..frame.clone() } } else { frame.clone() }
        };
        Frames(self.0.iter().map(exchange).collect())
    }

    /// The text of a fragment that must have succeeded, without surrounding blanks.
    pub fn good(&self, id: &str) -> Result<String, String> {
        let frame = self.get(id)?;
        match frame.status {
            0 => Ok(frame.text().trim().to_owned()),
            status => Err(format!("`{id}` exited with {status}: {}", last_line(&frame.text()))),
        }
    }
}

/// The last line of a text that says anything.
pub(super) fn last_line(text: &str) -> &str {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("(no output)")
}

/// Runs a plain script and demands exit status 0.
pub(super) fn succeed(reach: &dyn Reach, host: &str, script: &str, deadline: Duration) -> Result<Ran, String> {
    let ran = reach.exec(host, script, Vec::new(), deadline)?;
    match ran.status {
        0 => Ok(ran),
        status => Err(format!("exit status {status}: {}", ran.last_line())),
    }
}

/// Does the same on many hosts at once; answers in the order of the hosts.
pub(super) fn on_all<H: AsRef<str> + Sync, T: Send>(hosts: &[H], work: impl Fn(&str) -> T + Sync) -> Vec<T> {
    parallel(hosts, |host| work(host.as_ref()))
}

/// Does the same with many things at once; answers in their order.
pub(super) fn parallel<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(move || work(item))).collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(value) => value,
                // A panic is a defect of the check; it must not be swallowed into a result.
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// `deploy, app, registry`
pub(super) fn names<S: AsRef<str>>(hosts: impl IntoIterator<Item = S>) -> String {
    hosts.into_iter().map(|host| host.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}

/// What each host said in one line: a text that all share is said once, others follow the names of those who said them.
pub(super) fn said_by(answers: &[(&str, &str)]) -> String {
    let mut texts: Vec<(&str, Vec<&str>)> = Vec::new();
    for (host, text) in answers {
        match texts.iter_mut().find(|known| known.0 == *text) {
            Some(known) => known.1.push(host),
            None => texts.push((text, vec![host])),
        }
    }
    match texts.as_slice() {
        [(text, _)] => (*text).to_owned(),
        _ => texts.iter().map(|(text, hosts)| format!("{}: {text}", hosts.join(", "))).collect::<Vec<_>>().join("; "),
    }
}

/// The verdict for "could not look at this host".
pub(super) fn blind(host: &str, why: &str) -> Verdict {
    Verdict::Failed(format!("could not look at {host}: {why}; see that the host answers (`poclab status`), then run `poclab verify` again"))
}
