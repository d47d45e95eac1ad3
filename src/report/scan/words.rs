//! A scan in words: for the table and the page.

use crate::scan::{Fate, Finding, Kind, Scan, Severity};

/// What was looked at, and by which knowledge.
pub fn head(scan: &Scan) -> Vec<String> {
    let made_of = if scan.distributions.is_empty() { "no known distribution".to_owned() } else { scan.distributions.join(", ") };
    let data = |kind: Kind| {
        let feeds = scan.feeds.iter().filter(|feed| feed.kind == kind);
        feeds.map(|feed| format!("{} of {}", feed.updater, feed.recorded.as_ref().unwrap_or(&feed.loaded))).collect::<Vec<_>>().join(", ")
    };
    let rated = data(Kind::Enrichment);
    let rated = if rated.is_empty() { "; rated by nobody where its source says nothing".to_owned() } else { format!("; rated by {rated}") };
    vec![scan.image.clone(), format!("{made_of}, {} packages; compared with {}{rated}", scan.packages, data(Kind::Vulnerability))]
}

/// Which layer brought the package, counted from the lowest: `2 of 5`; `-` where Clair does not say.
pub fn layer(finding: &Finding, scan: &Scan) -> String {
    let place = finding.layer.as_ref().and_then(|layer| scan.layers.iter().position(|known| known == layer));
    place.map_or_else(|| "-".to_owned(), |place| format!("{} of {}", place + 1, scan.layers.len()))
}

/// All findings by their severity, whatever the policy says to them.
pub fn severities(scan: &Scan) -> [(&'static str, usize); 6] {
    Severity::ALL.map(|severity| (severity.word(), scan.findings.iter().filter(|finding| finding.severity == severity).count()))
}

/// How bad, and by whose word.
pub fn severity(finding: &Finding) -> String {
    match finding.score {
        Some(score) => format!("{} (CVSS {score})", finding.severity.word()),
        None => finding.severity.word().to_owned(),
    }
}

/// What the policy says to a finding, in words.
pub fn fate(finding: &Finding) -> String {
    match &finding.fate {
        Fate::Refused => "REFUSED".to_owned(),
        Fate::Expired { reason, until } => format!("REFUSED: was accepted until {until}: {reason}"),
        Fate::Accepted { reason, until } => format!("accepted until {until}: {reason}"),
        Fate::Unfixed => "no fix yet".to_owned(),
        Fate::Tolerated => "tolerated".to_owned(),
    }
}

/// A line of the table.
pub fn row(finding: &Finding, scan: &Scan) -> Vec<String> {
    let known_as = match finding.aliases.as_slice() {
        [] => finding.vulnerability.clone(),
        aliases => format!("{} ({})", finding.vulnerability, aliases.join(", ")),
    };
    let fixed = finding.fixed_in.clone().unwrap_or_else(|| "-".to_owned());
    vec![severity(finding), known_as, finding.package.clone(), finding.version.clone(), fixed, layer(finding, scan), fate(finding)]
}

/// Findings by what the policy says to them.
pub fn counts(scan: &Scan) -> [(&'static str, usize); 4] {
    let count = |test: fn(&Finding) -> bool| scan.findings.iter().filter(|finding| test(finding)).count();
    [
        ("refused", count(Finding::refused)),
        ("accepted", count(|finding| matches!(finding.fate, Fate::Accepted { .. }))),
        ("unfixed", count(|finding| finding.fate == Fate::Unfixed)),
        ("tolerated", count(|finding| finding.fate == Fate::Tolerated)),
    ]
}

/// The sum, and what somebody should know besides.
pub fn tail(scan: &Scan, verdict: &str) -> Vec<String> {
    let [(_, refused), (_, accepted), (_, unfixed), (_, tolerated)] = counts(scan);
    let mut lines = vec![format!("{verdict}: {refused} refused, {accepted} accepted, {unfixed} without a fix, {tolerated} tolerated")];
    lines.push(severities(scan).map(|(word, count)| format!("{word} {count}")).join(", "));
    let unrated = scan.findings.iter().filter(|finding| finding.severity == Severity::Unknown).count();
    if unrated > 0 {
        lines.push(format!("{unrated} of them were rated by nobody: their severity is unknown"));
    }
    for lost in &scan.uncompared {
        lines.push(format!("{} packages of `{}` were compared with nothing", lost.packages, lost.what));
    }
    lines.extend(scan.ended.iter().map(|ended| format!("{ended}: the policy allows it, and Clair may know nothing new about it")));
    for accepted in &scan.ending {
        lines.push(format!(
            "{} is accepted until {} only: after that day the image is refused again",
            accepted.vulnerability, accepted.until
        ));
    }
    for accepted in &scan.unused {
        lines.push(format!("{} is accepted and was not found: take it out of the policy", accepted.vulnerability));
    }
    lines
}
