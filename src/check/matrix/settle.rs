//! Measuring after an interruption: what comes back late is waited for, what leaks meanwhile is not forgiven.

use std::time::{Duration, Instant};

use super::judge::{Violation, Wrong, report, violations};
use super::measure::{Measured, measure};
use super::plan::Plan;
use crate::check::{Outcome, Reach, Verdict};

/// Measures until nothing is wrong or `patience` is over (at least once), and reports the last measurement.
///
/// Docker puts its rules back some time after a reload, so an allowed connection may come back late. A denied connection that got
/// through in any round is reported even if a later round stopped it.
pub fn settle(
    plan: &Plan,
    reach: &dyn Reach,
    before: &Measured,
    when: &str,
    patience: Duration,
    progress: &mut dyn FnMut(&str),
) -> Vec<Outcome> {
    let start = Instant::now();
    let mut leaks: Vec<Violation> = Vec::new();
    loop {
        let measured = measure(plan, reach);
        let bad = violations(plan, &measured, Some(before));
        let blind = measured.hosts.iter().filter(|host| host.is_err()).count();
        if (bad.is_empty() && blind == 0) || start.elapsed() >= patience {
            let mut out = report(plan, &measured, Some(before), when);
            // Those that the last measurement shows too are in its report.
            leaks.retain(|leak| !bad.iter().any(|now| now.probe == leak.probe));
            out.extend(leaks.iter().map(|leak| {
                let title = format!("{} is stopped all the time{when}", plan.label(&plan.probes[leak.probe]));
                Outcome::new(title, Verdict::Failed(format!("{}; it was stopped again within {} s", leak.why, start.elapsed().as_secs())))
            }));
            return out;
        }
        progress(&format!("{} connections are not as before{when}, {blind} hosts do not answer: trying again", bad.len()));
        for leak in bad.into_iter().filter(|v| v.wrong == Wrong::Leak) {
            if !leaks.iter().any(|known| known.probe == leak.probe) {
                leaks.push(leak);
            }
        }
        // A round without dropped packets is over at once; the lab gets time to do something in between.
        std::thread::sleep(Duration::from_millis(500).min(patience));
    }
}
