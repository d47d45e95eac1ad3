//! The property itself, the same for every kind.

use std::collections::BTreeMap;

use poclab::resource::confirm::CONFIRM;
use poclab::resource::{Action, Assessment, Reply, Spec, State};
use proptest::strategy::{BoxedStrategy, Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::host::Host;

/// How a kind is tried.
pub struct Property {
    /// How often in one run, unless PROPTEST_CASES asks for more.
    pub cases: u32,
    /// Makes trials in this folder of the host.
    pub trials: fn(&Host) -> BoxedStrategy<Trial>,
}

/// Resources of one kind that live on a host together, and what can happen to them.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// Shell that prepares the host.
    pub before: String,
    /// The resources, as roles write them.
    pub specs: Vec<Value>,
    /// Each single damage.
    pub damages: Vec<Damage>,
    /// Shell that removes what the trial left.
    pub after: String,
    /// What must never be in any answer of the host or in any change.
    pub secrets: Vec<String>,
}

/// One thing that goes wrong.
#[derive(Debug, Clone)]
pub struct Damage {
    /// Which resource it happens to.
    pub of: usize,
    /// What happens.
    pub how: How,
    /// What is reported: one text per change, in order, with `…` for anything. Empty: it is none of our business.
    pub want: Vec<String>,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum How {
    /// Shell, run past poclab.
    Shell(String),
    /// Shell, and then somebody made the resource like this instead.
    Become(String, Value),
}

impl Trial {
    /// Adds a damage to one resource.
    pub fn hurt(&mut self, of: usize, shell: impl Into<String>, want: &[&str]) {
        self.damages.push(Damage { of, how: How::Shell(shell.into()), want: want.iter().map(|text| (*text).to_owned()).collect() });
    }
}

/// Proves the property on these hosts.
pub fn prove(kind: &str, hosts: &[Host], property: &Property) {
    assert!(!hosts.is_empty());
    // PROPTEST_CASES is what a person asks for; unset it is 256, which is too much for whole hosts.
    let factor = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse::<u32>().ok()).map_or(1, |n| (n / 256).max(1));
    let mut runner = match std::env::var_os("POCLAB_RECORD") {
        Some(_) => TestRunner::deterministic(),
        None => TestRunner::new(Config::default()),
    };
    for case in 0..property.cases * factor {
        for host in hosts {
            let trial = (property.trials)(host).new_tree(&mut runner).unwrap().current();
            if trial.specs.is_empty() {
                continue;
            }
            let _whole_host = host.alone();
            eprintln!("{kind}, case {case}: {}", Value::from(trial.specs.clone()));
            let mut answers = Answers::default();
            host.shell(&trial.before);
            converge_and_hurt(kind, host, &trial, &mut answers);
            host.shell(&trial.after);
            if case == 0 && std::env::var_os("POCLAB_RECORD").is_some() {
                answers.write(kind, &trial);
            }
        }
    }
}

fn converge_and_hurt(kind: &str, host: &Host, trial: &Trial, answers: &mut Answers) {
    let specs: Vec<Spec> = trial.specs.iter().map(|value| read(kind, value)).collect();
    let specs: Vec<&Spec> = specs.iter().collect();
    let actions = repair(host, &specs);
    let (reply, _) = in_sync(host, &specs, "after the first apply");
    truncated(&specs, &reply);
    answers.in_sync = reply.stdout;
    // A step that is made twice, because the first answer was lost, does not undo itself. (It may refuse.)
    for action in &actions {
        let _ = host.step(action);
        confirm(host, action);
        // What a later run does when this one was killed.
        host.shell(&action.sweep);
    }
    in_sync(host, &specs, "after the same steps once more");
    for damage in &trial.damages {
        let what = match &damage.how {
            How::Shell(shell) => {
                host.shell(shell);
                shell.clone()
            }
            How::Become(shell, value) => {
                host.shell(shell);
                let other = read(kind, value);
                repair(host, &[&other]);
                value.to_string()
            }
        };
        let (reply, assessed) = look(host, &specs);
        for (i, (spec, assessment)) in specs.iter().zip(&assessed).enumerate() {
            let want: &[String] = if i == damage.of { &damage.want } else { &[] };
            let said = said(assessment);
            let same = said.len() == want.len() && said.iter().zip(want).all(|(text, pattern)| matches(text, pattern));
            assert!(same, "{kind} {}: after {what}\nreported {said:#?}\nexpected {want:#?}\n{}", spec.id(), reply.text());
        }
        truncated(&specs, &reply);
        secret(trial, &reply, &assessed, &what);
        answers.damaged.push((damage.of, damage.want.clone(), reply.stdout.clone()));
        repair(host, &specs);
        in_sync(host, &specs, &format!("after the repair of {what}"));
    }
}

/// A spec as a role would give it.
fn read(kind: &str, value: &Value) -> Spec {
    let spec = Spec::read(kind, value.clone()).expect("a kind").unwrap_or_else(|why| panic!("{value}: {why}"));
    assert_eq!(spec.check(), Vec::<String>::new(), "{value}");
    spec
}

fn look(host: &Host, specs: &[&Spec]) -> (Reply, Vec<Assessment>) {
    let reply = host.fragment(&Spec::observe(specs));
    let assessed = Spec::assess(specs, &reply);
    assert_eq!(assessed.len(), specs.len());
    (reply, assessed)
}

/// What is reported of one resource.
fn said(assessment: &Assessment) -> Vec<String> {
    match &assessment.state {
        State::InSync => Vec::new(),
        State::Drift(changes) => changes.iter().map(|change| change.what.clone()).collect(),
        other => vec![format!("{other:?}")],
    }
}

fn matches(text: &str, pattern: &str) -> bool {
    match pattern.split_once('…') {
        None => text == pattern,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            starts.into_iter().any(|at| matches(&rest[at..], tail))
        }),
    }
}

/// Makes all steps that are needed, as a run does; answers them.
fn repair(host: &Host, specs: &[&Spec]) -> Vec<Action> {
    let (_, assessed) = look(host, specs);
    let actions: Vec<Action> = assessed.into_iter().flat_map(|assessment| assessment.actions).collect();
    for action in &actions {
        let (status, output) = host.step(action);
        assert_eq!(status, 0, "{}: {output}\n{}", action.label, action.script);
        confirm(host, action);
    }
    actions
}

fn confirm(host: &Host, action: &Action) {
    if action.confirm_within.is_some() {
        host.shell(CONFIRM);
    }
}

fn in_sync(host: &Host, specs: &[&Spec], when: &str) -> (Reply, Vec<Assessment>) {
    let (reply, assessed) = look(host, specs);
    for (spec, assessment) in specs.iter().zip(&assessed) {
        assert_eq!(assessment.state, State::InSync, "{} {when}:\n{}", spec.id(), reply.text());
        assert_eq!(assessment.actions, [], "{} {when}", spec.id());
    }
    (reply, assessed)
}

/// An answer that is cut off anywhere says nothing about anything.
fn truncated(specs: &[&Spec], reply: &Reply) {
    let length = reply.stdout.len();
    for cut in (0..length).step_by(1 + length / 400).chain(length.saturating_sub(40)..length) {
        let cut = Reply { stdout: reply.stdout[..cut].to_vec(), status: 0 };
        for assessment in Spec::assess(specs, &cut) {
            assert!(matches!(assessment.state, State::Unknown(_)), "{:?} from a cut answer:\n{}", assessment.state, cut.text());
        }
    }
}

fn secret(trial: &Trial, reply: &Reply, assessed: &[Assessment], what: &str) {
    for secret in &trial.secrets {
        assert!(!reply.text().contains(secret.as_str()), "a secret was sent back after {what}");
        assert!(!format!("{assessed:?}").contains(secret.as_str()), "a secret shows after {what}");
    }
}

/// What the host answered, for tests that have no host.
#[derive(Default)]
struct Answers {
    in_sync: Vec<u8>,
    damaged: Vec<(usize, Vec<String>, Vec<u8>)>,
}

/// No recording of a kind is to be larger, in bytes.
const RECORDED: usize = 96 * 1024;

impl Answers {
    fn write(self, kind: &str, trial: &Trial) {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("recordings are text: make the strategy's first case one");
        let mut room = RECORDED;
        let damaged: Vec<Value> = self
            .damaged
            .into_iter()
            .filter(|(_, want, reply)| !want.is_empty() && std::str::from_utf8(reply).is_ok())
            .map_while(|(of, want, reply)| {
                room = room.checked_sub(reply.len())?;
                Some(json!({"of": of, "want": want, "reply": text(reply)}))
            })
            .collect();
        let recorded = BTreeMap::from([
            ("specs", Value::from(trial.specs.clone())),
            ("in_sync", Value::from(text(self.in_sync))),
            ("damaged", Value::from(damaged)),
        ]);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/replies");
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(format!("{folder}/{kind}.json"), serde_json::to_string_pretty(&recorded).unwrap() + "\n").unwrap();
    }
}
