//! Attacks on what is deployed, and on a twin that must fall for them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::run::{Framed, blind, last_line};
use super::{CheckKind, Outcome, Reach, Verdict};
use crate::base::quote;

/// The attack files of role `security_tests`, run by `poclab attack` on the deployment server against the application and the lab's
/// products: every attack is withstood.
///
/// Control: the same attacks against a twin that is weak on purpose (a container in a network of its own, removed afterwards): each
/// of them must find something. As long as nothing is deployed, the attacks on the application are skipped.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the host that attacks: the deployment server.
    pub host: String,
    /// The folder there with the attack files and the twin.
    pub folder: String,
    /// The web scanner: a file of the folder's `scanner/`, without `.attack`.
    pub scanner: String,
    /// An image with Python that is on that host, for the twin.
    pub twin_image: String,
    /// Name of the application's host, which is asked whether something is deployed.
    pub app: String,
    /// The program. Default: `/usr/local/bin/poclab`.
    #[serde(default = "program")]
    pub program: String,
    /// Longest time for all attacks on one target, in seconds. Default: 2700: three times the ten minutes that the slowest may take, as
    /// hosts are given three times the usual patience, and a quarter of an hour for the rest.
    #[serde(default = "deadline")]
    pub deadline: u64,
}

fn program() -> String {
    "/usr/local/bin/poclab".into()
}
fn deadline() -> u64 {
    PATIENCE * 600 + 900
}

/// What the time limits of attacks are multiplied by: hosts of a lab may be busy with it.
const PATIENCE: u64 = 3;

/// What `poclab attack --format json` says, as far as it is needed here.
#[derive(Debug, Deserialize)]
struct Report {
    control: bool,
    scenarios: Vec<Scenario>,
}

#[derive(Debug, Deserialize)]
struct Scenario {
    feature: String,
    scenario: String,
    verdict: String,
    #[serde(default)]
    why: String,
}

/// The report among whatever else was printed.
fn report(text: &str, control: bool) -> Result<Report, String> {
    let at = if text.starts_with('{') { Some(0) } else { text.find("\n{").map(|at| at + 1) };
    let parsed = at.and_then(|at| serde_json::Deserializer::from_str(&text[at..]).into_iter::<Report>().next());
    match parsed {
        Some(Ok(report)) if report.control != control => Err("the report is about another kind of run".to_owned()),
        Some(Ok(report)) if report.scenarios.is_empty() => Err("no scenario was run".to_owned()),
        Some(Ok(report)) => Ok(report),
        Some(Err(error)) => Err(format!("its report was not understood: {error}")),
        None => Err(last_line(text).to_owned()),
    }
}

/// One outcome per feature, in the order of the files.
fn outcomes(report: &Report, not_deployed: bool) -> Vec<Outcome> {
    let mut features: Vec<(&str, Vec<&Scenario>)> = Vec::new();
    for scenario in &report.scenarios {
        match features.iter_mut().find(|(name, _)| *name == scenario.feature) {
            Some((_, scenarios)) => scenarios.push(scenario),
            None => features.push((&scenario.feature, vec![scenario])),
        }
    }
    features.iter().map(|(feature, scenarios)| outcome(feature, scenarios, report.control, not_deployed)).collect()
}

fn outcome(feature: &str, scenarios: &[&Scenario], control: bool, not_deployed: bool) -> Outcome {
    let wanted = if control { "failed" } else { "passed" };
    let tried: Vec<&&Scenario> = scenarios.iter().filter(|one| one.verdict != "skipped").collect();
    let wrong: Vec<String> = tried
        .iter()
        .filter(|one| one.verdict != wanted)
        .map(|one| match one.why.as_str() {
            "" => format!("`{}`", one.scenario),
            why => format!("`{}`: {why}", one.scenario),
        })
        .collect();
    let number = tried.len();
    let verdict = match (wrong.as_slice(), number) {
        (_, 0) if not_deployed => Verdict::Skipped("nothing is deployed yet: the first push to GitLab does that".to_owned()),
        (_, 0) => Verdict::Failed("none of its attacks was run".to_owned()),
        ([], _) if control => Verdict::Passed(format!("each of {number} attacks finds something")),
        ([], _) => Verdict::Passed(format!("{number} attacks")),
        (wrong, _) if control => {
            Verdict::Failed(format!("found nothing where there is something, or could not look: {}", wrong.join("; ")))
        }
        (wrong, _) => Verdict::Failed(format!("{} of {number}: {}", wrong.len(), wrong.join("; "))),
    };
    match control {
        true => Outcome::control(format!("{feature}: a twin that is weak falls for it"), verdict),
        false => Outcome::new(format!("{feature}: withstood"), verdict),
    }
}

impl Spec {
    fn settings(&self) -> String {
        format!("POCLAB={} WEB_SCANNER={} TWIN_IMAGE={}", quote(&self.program), quote(&self.scanner), quote(&self.twin_image))
    }

    /// Against the twin.
    fn control(&self) -> Framed {
        let options = format!("--format json --patience {PATIENCE}");
        Framed::new().ask("control", &format!("{} {}/control {options} 2>&1", self.settings(), quote(&self.folder)))
    }

    /// Against the lab.
    fn attack(&self, deployed: bool) -> Framed {
        let folder = quote(&self.folder);
        let tags = if deployed { "@app or @lab" } else { "not @app" };
        let options = format!("--format json --patience {PATIENCE} --tags '{tags}'");
        let (program, scanner) = (quote(&self.program), quote(&self.scanner));
        Framed::new().ask("attack", &format!("{program} attack {options} {folder}/*.attack {folder}/scanner/{scanner}.attack 2>&1"))
    }

    /// Whether the application's host says that something is deployed there.
    fn deployed(&self, reach: &dyn Reach) -> Result<bool, String> {
        let asked = Framed::new().ask("deployed", "/usr/local/sbin/student-list-deploy status 2>&1");
        let text = asked.run(reach, &self.app, Vec::new(), Duration::from_secs(60))?.get("deployed")?.text();
        match text.lines().last() {
            Some("result: nothing") => Ok(false),
            Some("result: running" | "result: broken") => Ok(true),
            last => Err(format!("student-list-deploy status on {} said: {}", self.app, last.unwrap_or("nothing"))),
        }
    }

    fn withstood(&self, reach: &dyn Reach, limit: Duration) -> Result<Vec<Outcome>, String> {
        let deployed = self.deployed(reach)?;
        let frames = self.attack(deployed).run(reach, &self.host, Vec::new(), limit)?;
        Ok(outcomes(&report(&frames.get("attack")?.text(), false)?, !deployed))
    }

    fn fell(&self, reach: &dyn Reach, limit: Duration) -> Result<Vec<Outcome>, String> {
        let frames = self.control().run(reach, &self.host, Vec::new(), limit)?;
        Ok(outcomes(&report(&frames.get("control")?.text(), true)?, false))
    }
}

impl CheckKind for Spec {
    const NAME: &'static str = "attacks";

    fn id(&self) -> String {
        self.host.clone()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let limit = Duration::from_secs(self.deadline);
        let mut out = Vec::new();
        progress("attacking what is deployed");
        out.extend(
            self.withstood(reach, limit).unwrap_or_else(|why| vec![Outcome::new("attacks on what is deployed", blind(&self.host, &why))]),
        );
        progress("attacking a twin that is weak on purpose");
        out.extend(
            self.fell(reach, limit)
                .unwrap_or_else(|why| vec![Outcome::control("attacks on a twin that is weak on purpose", blind(&self.host, &why))]),
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Scripted, framed, shellcheck};

    fn spec() -> Spec {
        serde_json::from_value(serde_json::json!({
            "host": "deploy", "folder": "/srv/security_tests", "scanner": "wapiti", "twin_image": "tools:1", "app": "app"
        }))
        .unwrap()
    }

    fn look(deployed: &'static str, attack: &'static str, control: &'static str) -> Vec<Outcome> {
        let spec = spec();
        shellcheck(&spec.control().text());
        shellcheck(&spec.attack(true).text());
        let reach = Scripted::new(move |_, script, _| {
            Ok(match (script.contains("/control"), script.contains("student-list-deploy status")) {
                (true, _) => framed(script, &[("control", control, 0)]),
                (_, true) => framed(script, &[("deployed", deployed, 0)]),
                _ => {
                    let nothing = deployed.ends_with("nothing\n");
                    assert!(script.contains(if nothing { "'not @app'" } else { "'@app or @lab'" }), "{script}");
                    framed(script, &[("attack", attack, 0)])
                }
            })
        });
        spec.run(&reach, &mut |_| {})
    }

    const RUNS: &str = "commit: a\nresult: running\n";
    const WITHSTOOD: &str = r#"{"control": false, "seconds": 1, "scenarios": [
        {"feature": "a", "scenario": "x", "verdict": "passed"}, {"feature": "b", "scenario": "y", "verdict": "passed"}]}"#;
    const FOUND: &str = "note: something\n{\"control\": true, \"scenarios\": [{\"feature\": \"a\", \"scenario\": \"x\", \"verdict\": \"failed\", \"why\": \"z\"}]}\n";

    fn words(outcomes: &[Outcome]) -> Vec<&'static str> {
        let word = |outcome: &Outcome| match (&outcome.verdict, outcome.control) {
            (Verdict::Passed(_), false) => "passed",
            (Verdict::Failed(_), false) => "failed",
            (Verdict::Skipped(_), _) => "skipped",
            (Verdict::Passed(_), true) => "control passed",
            (Verdict::Failed(_), true) => "control failed",
        };
        outcomes.iter().map(word).collect()
    }

    #[test]
    fn every_feature_is_a_line_and_so_is_its_control() {
        assert_eq!(words(&look(RUNS, WITHSTOOD, FOUND)), ["passed", "passed", "control passed"]);
    }

    #[test]
    fn whatever_is_not_proven_fails() {
        let one = |verdict: &str| -> &'static str {
            format!("{{\"control\": false, \"scenarios\": [{{\"feature\": \"a\", \"scenario\": \"x\", \"verdict\": \"{verdict}\", \"why\": \"z\"}}]}}").leak()
        };
        assert_eq!(words(&look(RUNS, one("failed"), FOUND))[0], "failed");
        assert_eq!(words(&look(RUNS, one("error"), FOUND))[0], "failed");
        assert_eq!(words(&look(RUNS, one("skipped"), FOUND))[0], "failed");
        assert_eq!(words(&look("result: nothing\n", one("skipped"), FOUND))[0], "skipped");
        let control = |verdict: &str| -> &'static str { one(verdict).replace("false", "true").leak() };
        for verdict in ["passed", "error", "skipped", "?"] {
            assert_eq!(words(&look(RUNS, WITHSTOOD, control(verdict)))[2], "control failed", "{verdict}");
        }
        for nothing in ["", "control: the twin does not start", "{}", "{\"control\": true, \"scenarios\": []}", WITHSTOOD] {
            assert_eq!(words(&look(RUNS, WITHSTOOD, nothing))[2], "control failed", "{nothing}");
        }
        assert_eq!(words(&look(RUNS, FOUND, FOUND))[0], "failed", "a control is no proof");
        // That the host does not say it is no sign that nothing is deployed.
        for unknown in ["", "sh: student-list-deploy: not found\n"] {
            assert_eq!(words(&look(unknown, WITHSTOOD, FOUND)), ["failed", "control passed"], "{unknown}");
        }
        assert_eq!(words(&look("commit: a\nwhy\nresult: broken\n", one("error"), FOUND))[0], "failed");
    }
}
