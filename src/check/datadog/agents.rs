//! What an agent says about itself: its unit, its health, and what became of the requests that it made.
//!
//! Its health alone tells little: the agent takes its key for good while Datadog cannot be reached, and asks whether a key is still
//! valid once an hour. What it counts tells at once: tries that failed, and requests that were refused. Names after
//! DataDog/datadog-agent, comp/forwarder/defaultforwarder (transaction.go, telemetry.go, forwarder_health.go).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::check::run::{Framed, blind};
use crate::check::{Reach, Verdict};

/// Seconds in which an agent surely sends something: it does every 15.
const BEAT: u64 = 20;

/// Asks the agent; one that was started less than a minute ago may not answer yet, and is asked again.
const HEALTH: &str = "until said=$(timeout 20 datadog-agent health 2>&1); do\n  code=$?\n  \
                      since=$(systemctl show -p ActiveEnterTimestampMonotonic datadog-agent | cut -d= -f2)\n  \
                      [ $(($(cut -d. -f1 /proc/uptime) - ${since:-0} / 1000000)) -lt 60 ] || { printf '%s\\n' \"$said\"; exit \"$code\"; }\n  \
                      systemctl is-active -q datadog-agent || { printf '%s\\n' \"$said\"; exit \"$code\"; }\n  \
                      sleep 2\ndone\nprintf '%s\\n' \"$said\"";
/// Its numbers; standard error is apart, as warnings are no JSON.
const TOLD: &str = "timeout 20 datadog-agent status --json";

/// What an agent has counted since it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stats {
    /// Requests that were taken.
    sent: u64,
    /// Requests that were given up: the intake does not want them.
    dropped: u64,
    /// Of these, with 403: the key is not taken.
    refused: u64,
    /// Tries that failed; they are made again.
    failed: u64,
    /// Requests that wait for their next try.
    pub waiting: u64,
    /// Failures by kind, as `ConnectionErrors`.
    kinds: BTreeMap<String, u64>,
    /// What the last validation of its key came to, unless it was good. It may be an hour old.
    key: Option<String>,
}

impl Stats {
    /// What was counted since `before`; all of it, if the agent was started anew.
    fn since(&self, before: &Self) -> Self {
        let anew = self.sent < before.sent || self.failed < before.failed || self.dropped < before.dropped;
        let before = if anew { &Self::default() } else { before };
        let kinds = self.kinds.iter().map(|(kind, count)| (kind.clone(), count - before.kinds.get(kind).copied().unwrap_or(0).min(*count)));
        Self {
            sent: self.sent - before.sent,
            dropped: self.dropped - before.dropped,
            refused: self.refused.saturating_sub(before.refused),
            failed: self.failed - before.failed,
            kinds: kinds.filter(|(_, count)| *count > 0).collect(),
            ..self.clone()
        }
    }
}

/// Reads what `datadog-agent status --json` prints.
pub(super) fn stats(text: &str) -> Result<Stats, String> {
    let status: Value = serde_json::from_str(text).map_err(|why| format!("is not JSON: {why}"))?;
    let forwarder = status.get("forwarderStats").ok_or("has no forwarderStats")?;
    let transactions = forwarder.get("Transactions").filter(|all| all.is_object()).ok_or("has no forwarderStats.Transactions")?;
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    // An invalid key is in a list of its own since some version; both have texts of their own for each key.
    let texts = ["APIKeyFailure", "APIKeyStatus"].into_iter().filter_map(|list| forwarder.get(list)?.as_object());
    let key = texts.flat_map(|keys| keys.values().filter_map(Value::as_str)).find(|text| *text != "API Key valid").map(str::to_owned);
    let kinds = transactions.get("ErrorsByType").and_then(Value::as_object).into_iter().flatten();
    Ok(Stats {
        sent: count(&transactions["Success"]),
        dropped: count(&transactions["Dropped"]),
        refused: count(&transactions["HTTPErrorsByCode"]["403"]),
        failed: count(&transactions["Errors"]),
        waiting: count(&transactions["RetryQueueSize"]),
        kinds: kinds.map(|(kind, value)| (kind.clone(), count(value))).collect(),
        key,
    })
}

/// One look at an agent. An error is the verdict: it does not run, does not answer, or says itself that it is not well.
pub(super) fn look(reach: &dyn Reach, host: &str) -> Result<Stats, Verdict> {
    let asked = Framed::new().ask("active", "systemctl is-active datadog-agent 2>&1").ask("health", HEALTH).ask("told", TOLD);
    let frames = asked.run(reach, host, Vec::new(), Duration::from_secs(150)).map_err(|why| blind(host, &why))?;
    let state = frames.get("active").map(|frame| frame.text().trim().to_owned()).unwrap_or_default();
    if state != "active" {
        return Err(Verdict::Failed(format!(
            "the unit datadog-agent is {state}; `poclab bootstrap` starts it, `journalctl -u datadog-agent` says why"
        )));
    }
    let health = frames.get("health").map_err(Verdict::Failed)?;
    let told = frames.good("told");
    match health.status {
        0 => {}
        // `timeout` ends with this.
        124 => {
            return Err(Verdict::Failed(
                "it runs, and has not answered `datadog-agent health` within 20 s; restart it (`systemctl restart datadog-agent`)"
                    .to_owned(),
            ));
        }
        code => {
            let (bad, key) = (unwell(&health.text()), told.ok().and_then(|text| stats(&text).ok()?.key));
            let key = key.map(|key| format!(" ({key})")).unwrap_or_default();
            return Err(Verdict::Failed(format!("`datadog-agent health` ends with {code}: {bad}{key}; see `datadog-agent status`")));
        }
    }
    let stats = told.and_then(|text| stats(&text).map_err(|why| format!("what `datadog-agent status --json` prints {why}")));
    stats.map_err(|why| Verdict::Failed(format!("`datadog-agent health` ends with 0, but {why}; see `datadog-agent status`")))
}

/// What follows `=== 1 unhealthy components ===`, or the first line: after that come hints.
fn unwell(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.clone().next().unwrap_or("(no output)");
    let named = lines.find(|line| line.contains("unhealthy components ==")).and_then(|_| lines.next());
    named.unwrap_or(first).to_owned()
}

/// What one look says.
pub(super) fn well(stats: &Stats) -> Verdict {
    Verdict::Passed(format!("`datadog-agent health` ends with 0; requests that were taken since its start: {}", stats.sent))
}

/// What became of an agent's requests between two looks, `seconds` apart.
pub(super) fn judge(before: &Stats, after: &Stats, seconds: u64, host: &str) -> Verdict {
    let new = after.since(before);
    let kinds: Vec<String> = new.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    if new.refused > 0 {
        return Verdict::Failed(format!(
            "what it sends is refused with 403 and lost, {} times within {seconds} s: the key that it has is wrong or was revoked; \
             `poclab secrets set datadog_api_key`, then `poclab bootstrap`",
            new.refused
        ));
    }
    if new.sent == 0 && (new.failed > 0 || new.waiting > 0) {
        return Verdict::Failed(format!(
            "it cannot send: {} tries failed within {seconds} s{kinds}, and {} requests wait to be tried again; see that {host} may reach \
             Datadog (datadog_site, datadog_url, datadog_proxy), and `journalctl -u datadog-agent`",
            new.failed, new.waiting
        ));
    }
    if new.dropped > 0 {
        return Verdict::Failed(format!(
            "{} of its requests were refused and lost within {seconds} s; see `journalctl -u datadog-agent` on {host}",
            new.dropped
        ));
    }
    if new.sent == 0 && seconds >= BEAT {
        return Verdict::Failed(format!(
            "it runs and has sent nothing for {seconds} s; restart it (`systemctl restart datadog-agent` on {host}), and see `datadog-agent status`"
        ));
    }
    well(after)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    /// Written from the sources of the agent 7.58 (expvars of the forwarder, as `status --json` shows them).
    fn told(sent: u64, failed: u64, refused: u64, waiting: u64) -> Stats {
        let status = json!({"version": "7.58.1", "forwarderStats": {
            "APIKeyStatus": {"API key ending with abcde": "API Key valid"}, "APIKeyFailure": {},
            "Transactions": {
                "Success": sent, "Dropped": refused, "Errors": failed, "ErrorsByType": {"ConnectionErrors": failed, "DNSErrors": 0},
                "HTTPErrors": refused, "HTTPErrorsByCode": {"403": refused}, "RetryQueueSize": waiting,
            },
        }});
        stats(&status.to_string()).unwrap()
    }

    fn said(before: &Stats, after: &Stats) -> String {
        match judge(before, after, 20, "app") {
            Verdict::Passed(text) | Verdict::Failed(text) | Verdict::Skipped(text) => text,
        }
    }

    #[test]
    fn what_became_of_its_requests_is_told() {
        let before = told(100, 3, 0, 0);
        assert!(matches!(judge(&before, &told(104, 3, 0, 0), 20, "app"), Verdict::Passed(_)));
        // Less than a beat: silence is no sign.
        assert!(matches!(judge(&before, &before, 5, "app"), Verdict::Passed(_)));
        for (after, want) in [
            (told(100, 9, 0, 7), "it cannot send: 6 tries failed within 20 s (ConnectionErrors 6), and 7 requests wait"),
            (told(100, 3, 0, 2), "it cannot send: 0 tries failed within 20 s, and 2 requests wait"),
            (told(100, 3, 4, 0), "what it sends is refused with 403 and lost, 4 times within 20 s"),
            (told(100, 3, 0, 0), "it runs and has sent nothing for 20 s"),
            // Started anew in between, and cannot send.
            (told(0, 2, 0, 5), "it cannot send: 2 tries failed within 20 s (ConnectionErrors 2), and 5 requests wait"),
        ] {
            assert!(said(&before, &after).starts_with(want), "{want}: {}", said(&before, &after));
        }
    }

    #[test]
    fn a_key_that_was_invalid_is_known_and_never_shown() {
        let status = json!({"forwarderStats": {
            "APIKeyStatus": {}, "APIKeyFailure": {"API key ending with abcde": "API Key invalid"}, "Transactions": {},
        }});
        assert_eq!(stats(&status.to_string()).unwrap().key.as_deref(), Some("API Key invalid"));
        assert_eq!(told(1, 0, 0, 0).key, None);
    }

    #[test]
    fn what_says_nothing_is_nothing_good() {
        for text in
            ["", "{}", "{\"forwarderStats\": {}}", "{\"forwarderStats\": {\"Transactions\": 1}}", "Error: could not reach the agent"]
        {
            assert!(stats(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_component_is_named() {
        let text = "Agent health: FAIL\n=== 9 healthy components ===\na, b\n=== 1 unhealthy components ===\nforwarder\nError: found 1 unhealthy components\n";
        assert_eq!(unwell(text), "forwarder");
        assert_eq!(unwell("Error: could not reach the agent\nMake sure the agent is running.\n"), "Error: could not reach the agent");
    }
}
