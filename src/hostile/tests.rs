//! Fuzzing without a fuzzer: arbitrary bytes, mutated good answers, and a megabyte of anything.

use std::sync::mpsc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::resource::hostile::Recorded;
use crate::resource::{NAMES, Reply, Spec, State};

/// One thing that happens to an answer. Places are fractions of its length, so that any size fits.
#[derive(Debug, Clone)]
enum Mutation {
    Cut(f64, f64),
    Truncate(f64),
    Duplicate(f64, f64, usize),
    Swap(f64, f64),
    Insert(f64, Vec<u8>),
    Number(f64, &'static str),
    Nest(f64, usize),
    DropLine(f64),
    RepeatLine(f64, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = || 0.0..1.0f64;
    let number = prop_oneof![
        Just("0"),
        Just("-1"),
        Just("4294967296"),
        Just("99999999999999999999999999"),
        Just("1e400"),
        Just("NaN"),
        Just("inf"),
        Just("٣"),
        Just("")
    ];
    prop_oneof![
        (at(), at()).prop_map(|(a, b)| Mutation::Cut(a, b)),
        at().prop_map(Mutation::Truncate),
        (at(), at(), 1usize..20).prop_map(|(a, b, n)| Mutation::Duplicate(a, b, n)),
        (at(), at()).prop_map(|(a, b)| Mutation::Swap(a, b)),
        (at(), vec(any::<u8>(), 1..12)).prop_map(|(a, bytes)| Mutation::Insert(a, bytes)),
        (at(), prop_oneof![Just("\n"), Just("\""), Just("|"), Just("@ "), Just(":"), Just(" "), Just("\x1f"), Just("\x1e"), Just("…")])
            .prop_map(|(a, text)| Mutation::Insert(a, text.as_bytes().to_vec())),
        (at(), number).prop_map(|(a, text)| Mutation::Number(a, text)),
        (at(), 1usize..3000).prop_map(|(a, n)| Mutation::Nest(a, n)),
        at().prop_map(Mutation::DropLine),
        (at(), 1usize..50).prop_map(|(a, n)| Mutation::RepeatLine(a, n)),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let place = |at: &f64| (at * len as f64) as usize;
        let range = |a: &f64, b: &f64| place(a).min(place(b))..place(a).max(place(b));
        let line = |at: &f64| {
            let at = place(at);
            let start = bytes[..at].iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
            let end = bytes[at..].iter().position(|&b| b == b'\n').map_or(len, |n| at + n + 1);
            start..end
        };
        match self {
            Self::Cut(a, b) => drop(bytes.drain(range(a, b))),
            Self::Truncate(a) => bytes.truncate(place(a)),
            Self::Duplicate(a, b, n) => {
                let piece = bytes[range(a, b)].repeat(*n);
                bytes.splice(place(a)..place(a), piece);
            }
            Self::Swap(a, b) => {
                let (a, b) = (line(a), line(b));
                if a.end <= b.start {
                    let mixed = [&bytes[b.clone()], &bytes[a.end..b.start], &bytes[a.clone()]].concat();
                    bytes.splice(a.start..b.end, mixed);
                }
            }
            Self::Insert(a, piece) => drop(bytes.splice(place(a)..place(a), piece.iter().copied())),
            Self::Number(a, text) => {
                let Some(start) = bytes[place(a)..].iter().position(u8::is_ascii_digit).map(|n| place(a) + n) else { return };
                let end = bytes[start..].iter().position(|b| !b.is_ascii_digit()).map_or(len, |n| start + n);
                bytes.splice(start..end, text.bytes());
            }
            Self::Nest(a, n) => {
                let piece: Vec<u8> = ["[", "{\"a\":", "<a>", "\t"][n % 4].repeat(*n).into_bytes();
                bytes.splice(place(a)..place(a), piece);
            }
            Self::DropLine(a) => drop(bytes.drain(line(a))),
            Self::RepeatLine(a, n) => {
                let line = line(a);
                let piece = bytes[line.clone()].repeat(*n);
                bytes.splice(line.start..line.start, piece);
            }
        }
    }
}

#[test]
fn mutated_answers_never_panic() {
    let parsers = parsers();
    let places = (0..parsers.len()).prop_flat_map(|i| (Just(i), any::<prop::sample::Index>(), vec(mutation(), 1..6)));
    // Each case is one answer to one reader: the usual 256 would not even try each of them ten times.
    let cases = ProptestConfig::default().cases * 8;
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    runner
        .run(&places, |(i, seed, mutations)| {
            let mut bytes = seed.get(&parsers[i].seeds).clone();
            mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
            (parsers[i].read)(&bytes);
            Ok(())
        })
        .unwrap_or_else(|why| panic!("{why}\n(the first number is the reader: {:?})", names()));
}

#[test]
fn arbitrary_bytes_never_panic() {
    let parsers = parsers();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() });
    runner
        .run(&vec(any::<u8>(), 0..300), |bytes| {
            parsers.iter().for_each(|parser| (parser.read)(&bytes));
            Ok(())
        })
        .unwrap();
}

fn names() -> Vec<String> {
    parsers().into_iter().enumerate().map(|(i, parser)| format!("{i} {}", parser.name)).collect()
}

/// Far beyond what anything linear needs, so that a slow machine does not matter.
const PATIENCE: Duration = Duration::from_secs(60);

/// Large answers of many shapes, each of about this size in bytes.
fn shapes(seeds: &[Vec<u8>], size: usize) -> Vec<(String, Vec<u8>)> {
    let fill = |unit: &[u8]| unit.repeat(size / unit.len().max(1) + 1);
    let mut shapes: Vec<(String, Vec<u8>)> = ["\n", "a", "a\n", "[", "{\"a\":", "<a>", "\"", " ", "|", "\x1e", "\x1en0:file", "0"]
        .iter()
        .map(|unit| (format!("{unit:?} again and again"), fill(unit.as_bytes())))
        .collect();
    for seed in seeds {
        shapes.push(("a good answer again and again".to_owned(), fill(seed)));
        let lines: Vec<&[u8]> = seed.split_inclusive(|&b| b == b'\n').collect();
        // Every line, up to a number of lines that a test can try.
        for (i, line) in lines.iter().enumerate().step_by(lines.len() / 24 + 1) {
            let around = |middle: Vec<u8>| [lines[..i].concat(), middle, lines[i + 1..].concat()].concat();
            let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
            shapes.push((format!("one line again and again: {shown:?}"), around(fill(line))));
            // The same, with numbers that differ: nothing can be said once for all of them.
            let digit = line.iter().rposition(u8::is_ascii_digit).unwrap_or(line.len().saturating_sub(1));
            let count = size / (line.len() + 5) + 1;
            let other = (0..count).flat_map(|n| [&line[..digit], n.to_string().as_bytes(), &line[digit..]].concat()).collect();
            shapes.push((format!("one line with another number each time: {shown:?}"), around(other)));
            let end = line.len() - usize::from(line.ends_with(b"\n"));
            let long = [&line[..end], &fill(b"x y=\"z\" "), &line[end..]].concat();
            shapes.push((format!("one line that is very long: {shown:?}"), around(long)));
        }
    }
    shapes
}

/// Reads one large answer in a thread of its own; `Err` when it takes too long (the thread is left behind).
fn in_time(parser: &std::sync::Arc<Parser>, shape: &str, bytes: Vec<u8>) -> Result<Duration, String> {
    let (done, wait) = mpsc::channel();
    let (reader, start) = (parser.clone(), std::time::Instant::now());
    std::thread::spawn(move || {
        (reader.read)(&bytes);
        let _ = done.send(());
    });
    match wait.recv_timeout(PATIENCE) {
        Ok(()) => Ok(start.elapsed()),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("{}: {shape}: not read within {} s", parser.name, PATIENCE.as_secs())),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(format!("{}: {shape}: panicked", parser.name)),
    }
}

/// A megabyte; a quarter of it in debug builds, which take minutes otherwise.
#[test]
fn a_megabyte_of_anything_ends() {
    let size = if cfg!(debug_assertions) { 1 << 18 } else { 1 << 20 };
    let mut wrong = Vec::new();
    for parser in parsers() {
        let parser = std::sync::Arc::new(parser);
        let mut slowest = (Duration::ZERO, String::new());
        for (shape, bytes) in shapes(&parser.seeds[..1], size) {
            match in_time(&parser, &shape, bytes) {
                Ok(took) if took > slowest.0 => slowest = (took, shape),
                Ok(_) => {}
                Err(why) => wrong.push(why),
            }
        }
        println!("{}: at most {:.2} s ({})", parser.name, slowest.0.as_secs_f64(), slowest.1);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn matches(text: &str, pattern: &str) -> bool {
    match pattern.split_once('…') {
        None => text == pattern,
        Some((head, tail)) => {
            text.strip_prefix(head).is_some_and(|rest| (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(&rest[at..], tail)))
        }
    }
}

fn assess(specs: &[Spec], answer: &[u8]) -> Vec<State> {
    let specs: Vec<&Spec> = specs.iter().collect();
    Spec::assess(&specs, &Reply { stdout: answer.to_vec(), status: 0 }).into_iter().map(|assessment| assessment.state).collect()
}

#[test]
fn recorded_answers_of_every_kind_say_exactly_what_was_damaged() {
    for kind in NAMES {
        let recorded = Recorded::of(kind);
        let specs = recorded.read(kind);
        assert!(assess(&specs, recorded.in_sync.as_bytes()).iter().all(|state| *state == State::InSync), "{kind}");
        assert!(!recorded.damaged.is_empty(), "{kind}");
        for damaged in &recorded.damaged {
            for (i, state) in assess(&specs, damaged.reply.as_bytes()).into_iter().enumerate() {
                match state {
                    State::InSync => assert_ne!(i, damaged.of, "{kind}: {:?} not seen", damaged.want),
                    State::Drift(changes) => {
                        let same = changes.len() == damaged.want.len()
                            && changes.iter().zip(&damaged.want).all(|(change, want)| matches(&change.what, want));
                        assert!(i == damaged.of && same, "{kind} {i}: {changes:?} instead of {:?}", damaged.want);
                    }
                    other => panic!("{kind}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_cut_answer_is_no_answer() {
    for kind in NAMES {
        let recorded = Recorded::of(kind);
        let specs = recorded.read(kind);
        for answer in std::iter::once(&recorded.in_sync).chain(recorded.damaged.iter().map(|damaged| &damaged.reply)) {
            for cut in (0..answer.len()).step_by(answer.len() / 500 + 1) {
                for state in assess(&specs, &answer.as_bytes()[..cut]) {
                    assert!(matches!(state, State::Unknown(_)), "{kind}, {cut} of {} bytes: {state:?}", answer.len());
                }
            }
        }
    }
}

proptest! {
    /// Only what a host in sync says is in sync: noise is not, even when its end is there.
    #[test]
    fn noise_is_never_in_sync(noise in prop_oneof![vec(any::<u8>(), 1..200), "([a-z0-9 :=/|@{}\"-]{0,40}\n){1,8}".prop_map(String::into_bytes)], kind in 0..NAMES.len()) {
        let kind = NAMES[kind];
        let recorded = Recorded::of(kind);
        let specs = recorded.read(kind);
        for state in assess(&specs, &noise) {
            prop_assert!(matches!(state, State::Unknown(_)));
        }
        for state in assess(&specs, &[noise.as_slice(), b"\npoclab: looked\n"].concat()) {
            prop_assert_ne!(state, State::InSync, "{}", kind);
        }
    }

    /// Without one of its lines an answer says less, not something else: a resource that was damaged is not in sync for it, unless
    /// the line was the damage itself.
    #[test]
    fn mixed_answers_never_panic(kind in 0..NAMES.len(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), cut in 0.0..1.0f64) {
        let kind = NAMES[kind];
        let recorded = Recorded::of(kind);
        let specs = recorded.read(kind);
        let answers: Vec<&str> = std::iter::once(&recorded.in_sync).chain(recorded.damaged.iter().map(|d| &d.reply)).map(String::as_str).collect();
        let (a, b) = (a.get(&answers).as_bytes(), b.get(&answers).as_bytes());
        let mixed = [&a[..(cut * a.len() as f64) as usize], &b[(cut * b.len() as f64) as usize..]].concat();
        assess(&specs, &mixed);
    }
}
