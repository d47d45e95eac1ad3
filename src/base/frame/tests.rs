use super::*;
use proptest::prelude::*;

const NONCE: &str = "abc123";

fn run(script: &str) -> Vec<u8> {
    std::process::Command::new("sh").arg("-c").arg(script).output().unwrap().stdout
}

/// A reader of three fragments.
fn reader(ids: &[&str]) -> FrameReader {
    let mut builder = ScriptBuilder::new(NONCE);
    ids.iter().for_each(|id| builder.fragment(id, ":"));
    builder.finish().1
}

/// What a script prints whose fragments print these payloads and end well.
fn printed(frames: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (id, payload) in frames {
        out.extend(format!("\x1e{NONCE}:{id}\x1f").into_bytes());
        out.extend(*payload);
        out.extend(format!("\x1e{NONCE}:{id}:0\x1f").into_bytes());
    }
    out
}

fn good(id: &str, payload: &[u8]) -> Frame {
    Frame { id: id.to_owned(), payload: payload.to_vec(), status: 0 }
}

#[test]
fn a_real_shell_prints_frames() {
    let mut builder = ScriptBuilder::new(NONCE);
    builder.fragment("a", "printf 'one\\0two'; exit 3");
    builder.fragment("b", "printf '\\036abc999:a:0\\037'");
    builder.bounded("c", "cat; echo \"it's $0\"; exit 4", 5);
    let (script, reader) = builder.finish();
    let mut out = b"banner\n".to_vec();
    out.extend(run(&script));
    let frames = reader.read_all(&out).unwrap();
    assert_eq!(frames.len(), 3);
    assert_eq!((frames[0].payload.as_slice(), frames[0].status), (b"one\0two".as_slice(), 3));
    assert_eq!(frames[1].payload, b"\x1eabc999:a:0\x1f");
    assert_eq!((frames[2].text().as_str(), frames[2].status), ("it's /dev/fd/3\n", 4));
}

#[test]
fn a_failing_step_stops_the_script() {
    let mut builder = ScriptBuilder::new(NONCE);
    builder.announce("rare");
    builder.prelude("if false; then poclab_begin rare; poclab_end rare 0; fi");
    builder.announce("own");
    builder.prelude("poclab_begin own; echo mine; poclab_end own 0");
    builder.step("a", "echo no >&2; false", false);
    builder.step("b", "echo never", false);
    let (script, reader) = builder.finish();
    let frames = reader.read_all(&run(&script)).unwrap();
    assert_eq!(frames.len(), 2);
    assert_eq!((frames[0].text().as_str(), frames[0].status), ("mine\n", 0));
    assert_eq!((frames[1].text().as_str(), frames[1].status), ("no\n", 1));
}

/// The nonce is in the shell's memory only: no other process of the host can read it, and print it back.
#[test]
fn no_process_shows_the_nonce() {
    let look = "tr '\\0' '\\n' </proc/self/cmdline; cat /proc/$$/cmdline /proc/$$/environ /proc/self/environ; ps -efww; env";
    let mut builder = ScriptBuilder::new("0123456789abcdef");
    builder.fragment("a", look);
    builder.step("b", look, false);
    builder.bounded("c", &format!("{look}; : needle"), 5);
    let (script, reader) = builder.finish();
    // As the loader does it: the script is read from stdin.
    let mut child = std::process::Command::new("sh")
        .args(["-c", "s=$(cat); eval \"$s\""])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let frames = reader.read_all(&child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(frames.len(), 3);
    for frame in &frames {
        assert!(frame.text().contains("PATH="), "{}", frame.text());
        // `ps` may show this test's own threads, but those never have the nonce in their arguments either.
        assert!(!frame.text().contains("0123456789abcdef") && !frame.text().contains("needle"), "{}", frame.text());
    }
}

#[test]
fn what_is_out_of_order_is_refused_whole() {
    let mark = |label: &str| format!("\x1e{NONCE}:{label}\x1f").into_bytes();
    for (what, hostile) in [
        ("an end before the end", mark("a:0")),
        ("another status", mark("a:7")),
        ("a frame inside of a frame", [mark("b"), mark("b:0")].concat()),
        ("all the rest", [mark("a:0"), mark("b"), mark("b:0"), mark("c"), mark("c:0")].concat()),
        ("the next one", [mark("a:0"), mark("b")].concat()),
        ("an unknown frame", mark("z")),
        ("the same frame again", mark("a")),
        ("no status", mark("a:")),
        ("no shell's status", mark("a:256")),
        ("a negative status", mark("a:-1")),
        ("an empty mark", mark("")),
        ("not text", [format!("\x1e{NONCE}:").into_bytes(), vec![0xff, US]].concat()),
        ("a mark without an end", [format!("\x1e{NONCE}:").into_bytes(), vec![b'x'; 10_000]].concat()),
        ("half a mark before the real one", format!("\x1e{NONCE}:").into_bytes()),
    ] {
        for (at, frames) in [
            ("inside", printed(&[("a", &hostile), ("b", b""), ("c", b"")])),
            ("ahead", [hostile.clone(), printed(&[("a", b""), ("b", b""), ("c", b"")])].concat()),
            ("behind", [printed(&[("a", b""), ("b", b""), ("c", b"")]), hostile.clone()].concat()),
        ] {
            let is_harmless = at == "behind" && what.starts_with("half a mark");
            let mut reader = reader(&["a", "b", "c"]);
            let mut seen = frames.chunks(7).flat_map(|chunk| reader.feed(chunk)).count();
            assert_eq!(reader.refused().is_none(), is_harmless, "{what} {at}");
            seen += reader.feed(&printed(&[("c", b"")])).len();
            assert!(seen <= 6, "nothing comes after a refusal: {what} {at}");
        }
    }
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let chunk = vec![b'x'; 1 << 20];
    let size = FrameReader::held;
    // Noise outside of frames is nobody's business.
    let mut noisy = reader(&["a"]);
    for _ in 0..50 {
        assert!(noisy.feed(&chunk).is_empty());
        assert!(size(&noisy) < 4 << 20);
    }
    assert_eq!(noisy.feed(&printed(&[("a", b"fine")])).last(), Some(&Seen::End(good("a", b"fine"))));
    // A fragment comes whole or not at all.
    let mut huge = reader(&["a"]);
    huge.feed(format!("\x1e{NONCE}:a\x1f").as_bytes());
    for _ in 0..50 {
        huge.feed(&chunk);
        // A vector grows by doubling.
        assert!(size(&huge) <= 2 * LIMIT + (4 << 20));
    }
    assert_eq!(huge.refused().unwrap().to_string(), "`a` printed more than 8 MiB, with what was printed before it");
    // Of a step the end is enough.
    let mut builder = ScriptBuilder::new(NONCE);
    builder.step("s0", "", false);
    let (_, mut step) = builder.finish();
    step.feed(format!("\x1e{NONCE}:s0\x1f").as_bytes());
    for _ in 0..50 {
        step.feed(&chunk);
        assert!(size(&step) < 4 << 20);
    }
    let seen = step.feed(format!("\nthe last line\n\x1e{NONCE}:s0:1\x1f").as_bytes());
    let Some(Seen::End(frame)) = seen.last() else { panic!("{seen:?}") };
    assert!(frame.text().ends_with("x\nthe last line\n") && frame.payload.len() <= 64 << 10 && frame.status == 1);
}

/// Pieces of which a fragment that knows the nonce can make anything that looks like frames.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..20),
        1 => Just(vec![RS]),
        1 => Just(vec![US]),
        2 => Just(NONCE.as_bytes().to_vec()),
        4 => prop::sample::select(vec![":", "a", "b", "c", "0", "1", "\x1eabc123:", "\x1eabc123:a", ":0\x1f", "\x1f"]).prop_map(|s| s.as_bytes().to_vec()),
        4 => prop::sample::select(vec!["a", "b", "c", "a:0", "b:0", "c:0", "a:1"]).prop_map(|label| format!("\x1e{NONCE}:{label}\x1f").into_bytes()),
    ]
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the fragments print, and the noise around them: the frames are exactly those of the script, or it is refused.
    #[test]
    fn right_or_refused(before in hostile(), a in hostile(), between in hostile(), b in hostile(), after in hostile(), step in 1usize..40) {
        let out = [before.clone(), printed(&[("a", &a)]), between.clone(), printed(&[("b", &b)]), after.clone()].concat();
        let mut reader = reader(&["a", "b"]);
        let seen: Vec<Seen> = out.chunks(step).flat_map(|chunk| reader.feed(chunk)).collect();
        let truth = [Seen::Begin("a".into()), Seen::End(good("a", &a)), Seen::Begin("b".into()), Seen::End(good("b", &b))];
        if reader.refused().is_none() {
            prop_assert_eq!(seen.as_slice(), &truth);
        } else {
            // Only marks with the nonce are a reason.
            let mark = format!("\x1e{NONCE}:").into_bytes();
            prop_assert!([before, a, between, b, after].iter().any(|text| memchr::memmem::find(text, &mark).is_some()));
        }
    }

    /// The same for an output that ends anywhere.
    #[test]
    fn a_cut_output_holds_nothing_but_whole_frames(a in hostile(), b in hostile(), cut in 0usize..400) {
        let mut out = printed(&[("a", &a), ("b", &b)]);
        out.truncate(cut);
        let reader = reader(&["a", "b"]);
        let whole: Vec<Frame> = [good("a", &a), good("b", &b)].into_iter().collect();
        let first = printed(&[("a", &a)]).len();
        if let Ok(frames) = reader.read_all(&out) {
            // An end that the payload made up is not known to be wrong before the real one comes.
            if cut >= first {
                prop_assert_eq!(frames.first(), Some(&whole[0]));
            }
            prop_assert!(frames.len() <= 2);
        }
    }

    #[test]
    fn any_cut_of_the_stream_gives_the_same_frames(payload in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..300) {
        let out = [b"noise\x1e".to_vec(), printed(&[("x", &payload)])].concat();
        let cut = cut.min(out.len());
        let mut reader = reader(&["x"]);
        let mut seen = reader.feed(&out[..cut]);
        seen.extend(reader.feed(&out[cut..]));
        prop_assert_eq!(seen.last(), Some(&Seen::End(good("x", &payload))));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = reader(&["a"]).read_all(&bytes);
    }
}
