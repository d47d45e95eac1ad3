//! The order of things, and what each end means.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::answers::all;
use super::{Answers, Commit, Host, Order, Target, Word};
use crate::ssh::SshError;

/// How long the application may take to answer from outside once it answers on its host. Much less than the host waits.
const OUTSIDE: Duration = Duration::from_secs(20);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The version runs and answers; it was put in place now.
    Deployed,
    /// It ran already, and answers.
    Unchanged,
    /// It did not prove itself; what ran before (a commit, or `nothing`) runs again. The text says what was wrong.
    RolledBack { before: String, why: String },
    /// Nothing was changed; the text says why.
    NothingChanged(String),
    /// The application does not answer, or nobody knows: somebody must look.
    Unknown(String),
}

/// Deploys. `say` gets one line for people at a time.
pub fn run(
    host: &dyn Host,
    answers: &dyn Answers,
    target: &Target,
    order: &Order,
    interrupted: &AtomicBool,
    say: &mut dyn FnMut(&str),
) -> Outcome {
    let commit = order.commit.to_string();
    let mut words = vec!["deploy", &order.id, &commit];
    words.extend(order.images.iter().map(String::as_str));
    let mut last = String::new();
    let told = host.ask(&words, false, &mut |line| {
        line.trim().clone_into(&mut last);
        say(line);
    });
    match told {
        Ok(Some(Word::Awaiting)) => judge(host, answers, target, order, interrupted, say),
        Ok(Some(Word::Unchanged)) => match outside(answers, target, &order.commit, interrupted, say) {
            Ok(()) => Outcome::Unchanged,
            Err(why) => Outcome::Unknown(format!("it runs already, but seen from here: {why}")),
        },
        Ok(Some(Word::RolledBack(before))) => previous(answers, target, before, "the host found it unhealthy (above)".to_owned(), say),
        Ok(Some(Word::Broken)) => Outcome::Unknown("it was unhealthy, and the previous version does not answer either (above)".to_owned()),
        Ok(Some(Word::Refused)) => Outcome::NothingChanged(format!("the host refused it: {}", last.trim_start_matches("refused: "))),
        Ok(Some(Word::Busy)) => {
            Outcome::NothingChanged("another deployment is under way on the host; run again when it has ended".to_owned())
        }
        Ok(Some(Word::Failed)) => Outcome::NothingChanged(format!("the host could not do it: {last}")),
        Ok(Some(Word::Running | Word::Deployed) | None) => Outcome::Unknown(format!("the host gave no result; its last words: {last}")),
        Err(SshError::Interrupted) => reject(host, answers, target, order, "it was interrupted", say),
        Err(error @ (SshError::Lost { .. } | SshError::Dead { .. } | SshError::Timeout { .. })) => {
            lost(host, answers, target, order, &error, say)
        }
        Err(error) => Outcome::NothingChanged(error.to_string()),
    }
}

/// It answers on its host. Does it here?
fn judge(
    host: &dyn Host,
    answers: &dyn Answers,
    target: &Target,
    order: &Order,
    interrupted: &AtomicBool,
    say: &mut dyn FnMut(&str),
) -> Outcome {
    if let Err(why) = outside(answers, target, &order.commit, interrupted, say) {
        return reject(host, answers, target, order, &why, say);
    }
    let mut error = String::new();
    // The host takes the same confirmation twice, so a lost answer is asked for again.
    for _ in 0..2 {
        match host.ask(&["confirm", &order.id], true, say) {
            Ok(Some(Word::Deployed)) => return Outcome::Deployed,
            Ok(Some(Word::RolledBack(before))) => {
                return previous(answers, target, before, "the confirmation came too late for the host".to_owned(), say);
            }
            Ok(other) => error = format!("it answered {other:?}"),
            Err(why) => error = why.to_string(),
        }
    }
    Outcome::Unknown(format!(
        "the host could not be told that it is good: {error}; without that it puts the previous version back by itself"
    ))
}

/// Waits until the application answers from here.
fn outside(
    answers: &dyn Answers,
    target: &Target,
    commit: &Commit,
    interrupted: &AtomicBool,
    say: &mut dyn FnMut(&str),
) -> Result<(), String> {
    say(&format!("looking from here: {}/status and {}", target.api, target.website));
    let started = Instant::now();
    loop {
        let seen = all(answers, target, commit);
        if interrupted.load(Ordering::Relaxed) {
            return Err("it was interrupted".to_owned());
        }
        match seen {
            Ok(()) => {
                say(&format!("the API answers with {commit}, the website lists the students"));
                return Ok(());
            }
            Err(why) if started.elapsed() >= OUTSIDE => return Err(why),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Has the previous version put back.
fn reject(host: &dyn Host, answers: &dyn Answers, target: &Target, order: &Order, why: &str, say: &mut dyn FnMut(&str)) -> Outcome {
    say(&format!("not good: {why}"));
    match host.ask(&["reject", &order.id], true, say) {
        Ok(Some(Word::RolledBack(before))) => previous(answers, target, before, why.to_owned(), say),
        // Interrupted before anything was changed, or when nothing had to be.
        Ok(Some(Word::Unchanged | Word::Failed | Word::Refused | Word::Busy)) => Outcome::NothingChanged(why.to_owned()),
        Ok(Some(Word::Broken)) => Outcome::Unknown(format!("{why}, and the previous version does not answer either (above)")),
        other => Outcome::Unknown(format!("{why}; {}; the host puts the previous version back by itself", text(other))),
    }
}

/// The connection broke. The host goes on; it is asked once more what became of it, and otherwise undoes it by itself.
fn lost(host: &dyn Host, answers: &dyn Answers, target: &Target, order: &Order, error: &SshError, say: &mut dyn FnMut(&str)) -> Outcome {
    say(&error.to_string());
    say("asking the host to put the previous version back");
    reject(host, answers, target, order, "the connection broke", say)
}

fn text(answer: Result<Option<Word>, SshError>) -> String {
    match answer {
        Ok(Some(word)) => format!("the host answered {word:?}"),
        Ok(None) => "the host gave no result".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The host says that the previous version runs again; it is believed when that is seen from here.
fn previous(answers: &dyn Answers, target: &Target, before: String, why: String, say: &mut dyn FnMut(&str)) -> Outcome {
    let Ok(commit) = before.parse::<Commit>() else {
        return Outcome::RolledBack { before, why };
    };
    match outside(answers, target, &commit, &AtomicBool::new(false), say) {
        Ok(()) => Outcome::RolledBack { before, why },
        Err(missing) => Outcome::Unknown(format!("{why}; {before} was put back, but seen from here: {missing}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const NEW: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const OLD: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    /// A host that gives these answers, in order, and remembers what it was asked.
    struct Told(RefCell<Vec<Result<Option<Word>, SshError>>>, RefCell<Vec<String>>);

    impl Host for Told {
        fn ask(&self, words: &[&str], _calm: bool, line: &mut dyn FnMut(&str)) -> Result<Option<Word>, SshError> {
            self.1.borrow_mut().push(words.join(" "));
            line("refused: a line");
            self.0.borrow_mut().remove(0)
        }
    }

    /// An application that says this commit; `None`: it does not answer.
    struct Says(Option<&'static str>);

    impl Answers for Says {
        fn commit(&self, _: &Target) -> Result<String, String> {
            self.0.map(str::to_owned).ok_or_else(|| "down".to_owned())
        }
        fn students(&self, _: &Target) -> Result<(), String> {
            Ok(())
        }
    }

    fn try_it(answers: Vec<Result<Option<Word>, SshError>>, says: Option<&'static str>, interrupted: bool) -> (Outcome, Vec<String>) {
        let host = Told(RefCell::new(answers), RefCell::default());
        let target = Target { address: "a".into(), port: 22, api: "http://a".into(), website: "http://w".into() };
        let order = Order { id: "0123456789abcdef".into(), commit: NEW.parse().unwrap(), images: vec!["r/one@sha256:1".into()] };
        let outcome = run(&host, &Says(says), &target, &order, &AtomicBool::new(interrupted), &mut |_| {});
        assert!(host.0.into_inner().is_empty(), "every answer was asked for");
        (outcome, host.1.into_inner())
    }

    fn broken() -> SshError {
        SshError::Lost { doing: "x".into(), why: "y".into() }
    }

    #[test]
    fn what_answers_from_outside_is_confirmed() {
        let (outcome, asked) = try_it(vec![Ok(Some(Word::Awaiting)), Ok(Some(Word::Deployed))], Some(NEW), false);
        assert_eq!(outcome, Outcome::Deployed);
        assert_eq!(asked, [format!("deploy 0123456789abcdef {NEW} r/one@sha256:1"), "confirm 0123456789abcdef".to_owned()]);
        // The answer to the confirmation is lost: it is asked for again.
        let (outcome, _) = try_it(vec![Ok(Some(Word::Awaiting)), Err(broken()), Ok(Some(Word::Deployed))], Some(NEW), false);
        assert_eq!(outcome, Outcome::Deployed);
        assert_eq!(try_it(vec![Ok(Some(Word::Unchanged))], Some(NEW), false).0, Outcome::Unchanged);
    }

    #[test]
    fn nothing_is_good_that_was_not_seen() {
        let (outcome, _) = try_it(vec![Ok(Some(Word::Awaiting)), Err(broken()), Err(broken())], Some(NEW), false);
        assert!(matches!(outcome, Outcome::Unknown(_)));
        for word in [None, Some(Word::Running), Some(Word::Deployed), Some(Word::Broken)] {
            assert!(matches!(try_it(vec![Ok(word)], Some(NEW), false).0, Outcome::Unknown(_)));
        }
    }

    #[test]
    fn what_changed_nothing_says_so() {
        for word in [Word::Refused, Word::Busy, Word::Failed] {
            assert!(matches!(try_it(vec![Ok(Some(word))], None, false).0, Outcome::NothingChanged(_)));
        }
        let unreachable = SshError::Unreachable { address: "a".into(), why: "no".into() };
        assert!(matches!(try_it(vec![Err(unreachable)], None, false).0, Outcome::NothingChanged(_)));
    }

    #[test]
    fn an_unhealthy_version_is_rolled_back_and_the_old_one_looked_at() {
        let back = || Ok(Some(Word::RolledBack(OLD.into())));
        assert!(matches!(try_it(vec![back()], Some(OLD), false).0, Outcome::RolledBack { before, .. } if before == OLD));
        assert!(matches!(try_it(vec![Ok(Some(Word::RolledBack("nothing".into())))], None, false).0, Outcome::RolledBack { .. }));
        // An interrupted or broken run has it put back at once.
        let (outcome, asked) = try_it(vec![Ok(Some(Word::Awaiting)), back()], Some(OLD), true);
        assert!(matches!(outcome, Outcome::RolledBack { .. }));
        assert_eq!(asked[1], "reject 0123456789abcdef");
        assert!(matches!(try_it(vec![Err(broken()), back()], Some(OLD), false).0, Outcome::RolledBack { .. }));
        assert!(matches!(try_it(vec![Err(broken()), Err(broken())], Some(OLD), false).0, Outcome::Unknown(_)));
    }
}
