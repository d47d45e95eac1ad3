//! Clocks of the lab agree.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Deserialize;

use super::run::{Framed, blind, on_all, succeed};
use super::{CheckKind, Outcome, Reach, Verdict};

/// Measurements of a clock per host; the one with the shortest way counts.
const TRIES: usize = 4;

/// Every host's clock is synchronised, by its own word (chronyc) and against the control machine and each other.
///
/// Controls: the same comparison must notice a clock that is made up to be wrong, and an unsynchronised chronyc answer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Names of the hosts.
    pub hosts: Vec<String>,
    /// The largest accepted difference between two clocks, in seconds. Default: 1.
    #[serde(default = "one")]
    pub max_offset_seconds: f64,
    /// How long to wait for the first synchronisation, in seconds. Default: 90.
    #[serde(default = "ninety")]
    pub wait_seconds: u32,
}

fn one() -> f64 {
    1.0
}

fn ninety() -> u32 {
    90
}

impl CheckKind for Spec {
    const NAME: &'static str = "time_sync";

    fn id(&self) -> String {
        String::new()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let limit = self.max_offset_seconds;
        if !(limit.is_finite() && limit > 0.0) || self.hosts.is_empty() {
            let why = "max_offset_seconds must be above 0 and hosts must not be empty";
            return vec![Outcome::new("clocks can be compared", Verdict::Failed(why.into()))];
        }
        progress(&format!("waiting up to {} s for chrony on {}", self.wait_seconds, self.hosts.join(", ")));
        let results = on_all(&self.hosts, |host| (tracking(reach, host, self.wait_seconds), clock(reach, host)));
        let mut out = Vec::new();
        let mut clocks = Vec::new();
        for (host, (tracking, clock)) in self.hosts.iter().zip(&results) {
            let verdict = match tracking.as_ref().map(|text| own_word(text, limit)) {
                Err(why) => blind(host, why),
                Ok(verdict) => verdict,
            };
            out.push(Outcome::new(format!("{host} is synchronised by its own word"), verdict));
            let verdict = match clock {
                Err(why) => blind(host, why),
                Ok(sample) => {
                    clocks.push((host.as_str(), *sample));
                    against_control(*sample, limit)
                }
            };
            out.push(Outcome::new(format!("{host} has the control machine's time"), verdict));
        }
        if self.hosts.len() > 1 {
            out.push(Outcome::new("all clocks agree with each other", among(&clocks, self.hosts.len(), limit)));
        }
        out.extend(controls(&results, &clocks, limit));
        out
    }
}

/// One look at a clock, in seconds since 1970: what it said, and when we asked and heard.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    asked: f64,
    said: f64,
    heard: f64,
}

impl Sample {
    /// The clock's offset to ours lies between these.
    fn bounds(self) -> (f64, f64) {
        (self.said - self.heard, self.said - self.asked)
    }

    fn way(self) -> f64 {
        self.heard - self.asked
    }
}

fn wait_script(wait: u32) -> Framed {
    Framed::new()
        .step("chronyc", "command -v chronyc || { echo 'chronyc is not installed'; exit 69; }", false)
        // Not `chronyc waitsync`: it never ends on the host that serves its own clock to the others.
        .ask("wait", &format!("n=0\nuntil timeout 10 chronyc -n tracking 2>/dev/null | grep -q '^Leap status *: *Normal'; do\n  n=$((n + 1))\n  [ \"$n\" -lt {wait} ] || exit 1\n  sleep 1\ndone"))
        .ask("tracking", "timeout 10 chronyc -n tracking 2>&1")
}

fn tracking(reach: &dyn Reach, host: &str, wait: u32) -> Result<String, String> {
    let frames = wait_script(wait).run(reach, host, Vec::new(), Duration::from_secs(u64::from(wait) * 2 + 60))?;
    frames.good("chronyc")?;
    frames.good("tracking")
}

/// What `chronyc tracking` says about the clock.
fn own_word(tracking: &str, limit: f64) -> Verdict {
    let field = |name: &str| {
        tracking.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name)).map(|(_, value)| value.trim())
    };
    let next = "see `chronyc sources` there and that its time servers are reachable";
    let (Some(leap), Some(time)) = (field("Leap status"), field("System time")) else {
        return Verdict::Failed(format!("unreadable answer of chronyc: {}; {next}", super::run::last_line(tracking)));
    };
    if leap != "Normal" {
        return Verdict::Failed(format!("chrony says `{leap}`; {next}"));
    }
    let offset = time.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    let source = field("Reference ID").unwrap_or("unknown");
    match offset {
        Some(offset) if offset.abs() <= limit => Verdict::Passed(format!("{time}, source {source}")),
        Some(_) => Verdict::Failed(format!("{time}, more than {limit} s; {next}")),
        None => Verdict::Failed(format!("unreadable answer of chronyc: {time}; {next}")),
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn clock(reach: &dyn Reach, host: &str) -> Result<Sample, String> {
    let mut best: Option<Sample> = None;
    for _ in 0..TRIES {
        let asked = now();
        let ran = succeed(reach, host, "LC_ALL=C date +%s.%N", Duration::from_secs(30))?;
        let heard = now();
        let said = ran.text().trim().parse().map_err(|_| format!("unreadable time: {}", ran.last_line()))?;
        let sample = Sample { asked, said, heard };
        if best.is_none_or(|best| sample.way() < best.way()) {
            best = Some(sample);
        }
    }
    best.ok_or_else(|| "no time was read".into())
}

fn against_control(sample: Sample, limit: f64) -> Verdict {
    let (low, high) = sample.bounds();
    judge(low, high, limit)
}

/// The difference lies between `low` and `high`: proven good, proven bad, or not to be told.
fn judge(low: f64, high: f64, limit: f64) -> Verdict {
    let text = format!("{:+.3} s, known to ±{:.3} s", (low + high) / 2.0, (high - low).abs() / 2.0);
    if low >= -limit && high <= limit {
        Verdict::Passed(text)
    } else if low > limit || high < -limit {
        Verdict::Failed(format!(
            "the clocks differ by {text}, allowed is {limit} s; see `chronyc sources` on the host and the control machine's own clock"
        ))
    } else {
        Verdict::Failed(format!(
            "cannot tell: {text}, allowed is {limit} s; the connection is too slow for this limit, raise max_offset_seconds or try again"
        ))
    }
}

fn among(clocks: &[(&str, Sample)], hosts: usize, limit: f64) -> Verdict {
    let mut worst: Option<(f64, String, Verdict)> = None;
    for (index, (one, a)) in clocks.iter().enumerate() {
        for (other, b) in &clocks[index + 1..] {
            let ((a_low, a_high), (b_low, b_high)) = (a.bounds(), b.bounds());
            let (low, high) = (a_low - b_high, a_high - b_low);
            let size = low.abs().max(high.abs());
            if worst.as_ref().is_none_or(|(known, ..)| size > *known) {
                worst = Some((size, format!("{one} and {other}"), judge(low, high, limit)));
            }
        }
    }
    match worst {
        Some((_, _, Verdict::Passed(_))) if clocks.len() < hosts => {
            Verdict::Failed(format!("only {} of {hosts} clocks could be read", clocks.len()))
        }
        Some((_, pair, Verdict::Passed(text))) => Verdict::Passed(format!("largest difference: {pair}, {text}")),
        Some((_, pair, Verdict::Failed(text))) => Verdict::Failed(format!("{pair}: {text}")),
        Some((_, _, skipped)) => skipped,
        None => Verdict::Failed("fewer than two clocks could be read".into()),
    }
}

/// What one host answered: chronyc's words and its clock.
type Answers = (Result<String, String>, Result<Sample, String>);

/// On the real answers. When there are none, the lines above have failed already.
fn controls(results: &[Answers], clocks: &[(&str, Sample)], limit: f64) -> Vec<Outcome> {
    let mut out = Vec::new();
    if let Some((host, sample)) = clocks.first() {
        let wrong = Sample { said: sample.said + 2.0 * limit + sample.way(), ..*sample };
        let verdict = match against_control(wrong, limit) {
            Verdict::Failed(why) if why.starts_with("the clocks differ") => {
                Verdict::Passed(format!("{host}'s time moved by {:+.3} s fails", wrong.said - sample.said))
            }
            other => Verdict::Failed(format!("a clock that is wrong by more than {limit} s was judged {other:?}")),
        };
        out.push(Outcome::control("a wrong clock is noticed", verdict));
    }
    if let Some(text) = results.iter().find_map(|(tracking, _)| tracking.as_ref().ok()) {
        let wrong = text.lines().map(|line| if line.starts_with("Leap status") { "Leap status     : Not synchronised" } else { line });
        let verdict = match own_word(&wrong.collect::<Vec<_>>().join("\n"), limit) {
            Verdict::Failed(_) => Verdict::Passed("the same answer with `Not synchronised` fails".into()),
            other => Verdict::Failed(format!("an unsynchronised clock was judged {other:?}")),
        };
        out.push(Outcome::control("an unsynchronised chrony is noticed", verdict));
    }
    out
}

#[cfg(test)]
#[path = "time_sync_tests.rs"]
mod tests;
