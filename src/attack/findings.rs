//! Reports of web scanners: OWASP ZAP, wapiti and Arachni, all as JSON. Their exit codes say little; what is in the report counts.

use serde_json::Value;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Informational,
    Low,
    Medium,
    High,
}

impl Level {
    /// Reads a level as steps name it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.to_lowercase().as_str() {
            "informational" => Ok(Self::Informational),
            "low" => Ok(Self::Low),
            "medium" => Ok(Self::Medium),
            "high" => Ok(Self::High),
            _ => Err(format!("\"{text}\" is no level: write informational, low, medium or high")),
        }
    }

    /// By a number from 0 (informational) to 3 (high); what is above that is high.
    fn number(number: u64) -> Self {
        match number {
            0 => Self::Informational,
            1 => Self::Low,
            2 => Self::Medium,
            _ => Self::High,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Something that a scanner found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// What the scanner calls it: `Cross Site Scripting`.
    pub name: String,
    pub level: Level,
    /// Where: a path or an address, with the method and the field where they are known: `POST /search, in q`.
    pub place: String,
}

impl Finding {
    /// `Cross Site Scripting (high) at /search`
    pub fn words(&self) -> String {
        format!("{} ({}) at {}", self.name, self.level.word(), self.place)
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// `POST http://app/search, in q`
fn place(method: &str, address: &str, field: &str) -> String {
    let method = if method.is_empty() { String::new() } else { format!("{method} ") };
    let field = if field.is_empty() { String::new() } else { format!(", in {field}") };
    format!("{method}{address}{field}")
}

/// A number, also when it is written as a text.
fn number(value: &Value, key: &str) -> Option<u64> {
    let value = value.get(key)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// All findings of a report. `Err`: it is none that is known, or its scanner has looked at nothing.
pub(super) fn read(report: &str) -> Result<Vec<Finding>, String> {
    let value: Value = serde_json::from_str(report).map_err(|error| format!("it is no JSON: {error}"))?;
    if value.get("site").is_some() {
        zap(&value)
    } else if value.get("vulnerabilities").is_some() && value.get("infos").is_some() {
        wapiti(&value)
    } else if value.get("issues").is_some() && value.get("sitemap").is_some() {
        arachni(&value)
    } else {
        Err("it is a report of neither ZAP nor wapiti nor Arachni".to_owned())
    }
}

/// ZAP's `-J`: sites with alerts; riskcode 0 to 3.
fn zap(report: &Value) -> Result<Vec<Finding>, String> {
    let sites = report["site"].as_array().filter(|sites| !sites.is_empty()).ok_or("ZAP has seen no site: was the address right?")?;
    let mut findings = Vec::new();
    for site in sites {
        let alerts = site.get("alerts").and_then(Value::as_array).ok_or("ZAP's report has a site without a list of alerts")?;
        for alert in alerts {
            let level = number(alert, "riskcode").ok_or("ZAP's report has an alert without a risk")?;
            let instances = alert.get("instances").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let place = match instances {
                [] => text(site, "@name"),
                [first, rest @ ..] => {
                    let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
                    format!("{}{more}", place(&text(first, "method"), &text(first, "uri"), &text(first, "param")))
                }
            };
            findings.push(Finding { name: text(alert, "name"), level: Level::number(level), place });
        }
    }
    Ok(findings)
}

/// wapiti's `-f json`: classes of vulnerabilities with what was found of each; level 1 to 3.
fn wapiti(report: &Value) -> Result<Vec<Finding>, String> {
    if text(&report["infos"], "target").is_empty() {
        return Err("wapiti's report names no target".to_owned());
    }
    if report["infos"].get("crawled_pages_nbr").and_then(Value::as_u64) == Some(0) {
        return Err("wapiti has seen no page: was the address right?".to_owned());
    }
    let mut findings = Vec::new();
    for part in ["vulnerabilities", "anomalies"] {
        let classes = report.get(part).and_then(Value::as_object).ok_or_else(|| format!("wapiti's report has no {part}"))?;
        for (name, found) in classes {
            for one in found.as_array().ok_or("wapiti's report has a class without a list")? {
                // An anomaly (the server broke, or took too long) is told without a level by some versions.
                let level = number(one, "level").unwrap_or(1);
                let place = place(&text(one, "method"), &text(one, "path"), &text(one, "parameter"));
                findings.push(Finding { name: name.clone(), level: Level::number(level), place });
            }
        }
    }
    Ok(findings)
}

/// Arachni's reporter `json`.
fn arachni(report: &Value) -> Result<Vec<Finding>, String> {
    if report["sitemap"].as_object().is_none_or(serde_json::Map::is_empty) {
        return Err("Arachni has seen no page: was the address right?".to_owned());
    }
    let issues = report["issues"].as_array().ok_or("Arachni's report has no list of issues")?;
    let finding = |issue: &Value| {
        let level = Level::parse(&text(issue, "severity"))?;
        let vector = &issue["vector"];
        let place = place(&text(vector, "method").to_uppercase(), &text(vector, "url"), &text(vector, "affected_input_name"));
        Ok(Finding { name: text(issue, "name"), level, place })
    };
    issues.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written from ZAP's documentation of its traditional JSON report.
    const ZAP: &str = r#"{"@version":"2.16.1","site":[{"@name":"http://app","@port":"80","alerts":[
        {"pluginid":"10038","alert":"CSP Header Not Set","name":"CSP Header Not Set","riskcode":"2","confidence":"3",
         "instances":[{"uri":"http://app/x","method":"GET","param":"","attack":"","evidence":""},{"uri":"http://app/","method":"GET","param":""}]},
        {"pluginid":"40012","name":"XSS","riskcode":"3","instances":[{"uri":"http://app/","method":"POST","param":"name"}]},
        {"pluginid":"10109","alert":"Modern Web Application","name":"Modern Web Application","riskcode":"0"}]}]}"#;
    /// As wapiti 3.0.4 writes it, shortened.
    const WAPITI: &str = r#"{"classifications":{},"vulnerabilities":{"SQL Injection":[],"Cross Site Scripting":[
        {"method":"GET","path":"/search","info":"XSS via q","level":3,"parameter":"q"}]},
        "anomalies":{"Internal Server Error":[{"method":"POST","path":"/x","level":2}]},"additionals":{},
        "infos":{"target":"http://app/","version":"Wapiti 3.0.4","scope":"folder"}}"#;
    /// Written from Arachni's documentation.
    const ARACHNI: &str = r#"{"version":"1.6.1.3","sitemap":{"http://app/":200},"issues":[
        {"name":"Cross-Site Scripting (XSS)","severity":"high","vector":{"url":"http://app/search","method":"post",
         "affected_input_name":"q"}}]}"#;

    #[test]
    fn each_scanner_is_understood() {
        let words = |report: &str| read(report).unwrap().iter().map(Finding::words).collect::<Vec<_>>();
        assert_eq!(
            words(ZAP),
            [
                "CSP Header Not Set (medium) at GET http://app/x (and 1 more)",
                "XSS (high) at POST http://app/, in name",
                "Modern Web Application (informational) at http://app"
            ]
        );
        assert_eq!(words(WAPITI), ["Cross Site Scripting (high) at GET /search, in q", "Internal Server Error (medium) at POST /x"]);
        assert_eq!(words(ARACHNI), ["Cross-Site Scripting (XSS) (high) at POST http://app/search, in q"]);
    }

    #[test]
    fn a_scanner_that_saw_nothing_is_no_proof() {
        for wrong in [
            "",
            "null",
            "{}",
            "[]",
            r#"{"site":[]}"#,
            r#"{"site":[{"@name":"x"}]}"#,
            r#"{"site":[{"alerts":[{"name":"x"}]}]}"#,
            r#"{"vulnerabilities":{},"anomalies":{},"infos":{}}"#,
            r#"{"vulnerabilities":{},"infos":{"target":"http://a"}}"#,
            r#"{"vulnerabilities":{},"anomalies":{},"infos":{"target":"http://a","crawled_pages_nbr":0}}"#,
            r#"{"vulnerabilities":{"x":3},"anomalies":{},"infos":{"target":"http://a"}}"#,
            r#"{"sitemap":{},"issues":[]}"#,
            r#"{"sitemap":{"x":200},"issues":[{"name":"x","severity":"terrible"}]}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
