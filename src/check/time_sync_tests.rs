use super::*;
use crate::check::testing::{Scripted, framed, ran, shellcheck};

/// chrony 3.2 (CentOS 7.6), from its documentation's example.
const TRACKING: &str = "\
Reference ID    : CB00710F (203.0.113.15)
Stratum         : 3
Ref time (UTC)  : Fri Jan 27 09:49:17 2017
System time     : 0.000006523 seconds slow of NTP time
Last offset     : -0.000006747 seconds
RMS offset      : 0.000035822 seconds
Frequency       : 3.225 ppm slow
Residual freq   : -0.000 ppm
Skew            : 0.129 ppm
Root delay      : 0.013639022 seconds
Root dispersion : 0.001100737 seconds
Update interval : 64.2 seconds
Leap status     : Normal
";

#[test]
fn chronycs_word() {
    assert_eq!(own_word(TRACKING, 1.0), Verdict::Passed("0.000006523 seconds slow of NTP time, source CB00710F (203.0.113.15)".into()));
    for (from, to) in [("Normal", "Not synchronised"), ("0.000006523", "1.5"), ("System time", "Nothing"), ("0.000006523", "x")] {
        assert!(matches!(own_word(&TRACKING.replace(from, to), 1.0), Verdict::Failed(_)), "{to}");
    }
    assert!(matches!(own_word("506 Cannot talk to daemon", 1.0), Verdict::Failed(why) if why.contains("506")));
}

#[test]
fn differences_are_proven_disproven_or_unknown() {
    assert!(matches!(judge(-0.1, 0.2, 1.0), Verdict::Passed(_)));
    assert!(matches!(judge(1.1, 1.4, 1.0), Verdict::Failed(why) if why.contains("differ")));
    assert!(matches!(judge(-1.4, -1.1, 1.0), Verdict::Failed(why) if why.contains("differ")));
    assert!(matches!(judge(-0.5, 2.0, 1.0), Verdict::Failed(why) if why.contains("cannot tell")));
    let at = |said| Sample { asked: 100.0, said, heard: 100.2 };
    assert!(matches!(among(&[("a", at(100.1)), ("b", at(100.3))], 2, 1.0), Verdict::Passed(_)));
    assert!(matches!(among(&[("a", at(100.1)), ("b", at(100.3))], 3, 1.0), Verdict::Failed(_)));
    assert!(matches!(among(&[("a", at(100.1)), ("b", at(104.3))], 2, 1.0), Verdict::Failed(why) if why.starts_with("a and b")));
    assert!(matches!(among(&[], 2, 1.0), Verdict::Failed(_)));
}

fn lab(skew: f64, tracking: &'static str) -> Vec<Outcome> {
    let reach = Scripted::new(move |host, script, _| {
        Ok(match script.contains("date +%s") {
            true => ran(&format!("{:.9}\n", now() + if host == "app" { skew } else { 0.0 })),
            false => framed(script, &[("chronyc", "/usr/bin/chronyc", 0), ("wait", "", 0), ("tracking", tracking, 0)]),
        })
    });
    let spec: Spec = serde_json::from_value(serde_json::json!({"hosts": ["deploy", "app"]})).unwrap();
    spec.run(&reach, &mut |_| {})
}

#[test]
fn a_good_lab_passes_and_a_skewed_clock_fails() {
    let failed =
        |out: &[Outcome]| out.iter().filter(|o| !matches!(o.verdict, Verdict::Passed(_))).map(|o| o.title.clone()).collect::<Vec<_>>();
    assert_eq!(failed(&lab(0.0, TRACKING)), [] as [&str; 0]);
    assert_eq!(failed(&lab(5.0, TRACKING)), ["app has the control machine's time", "all clocks agree with each other"]);
    let silent = lab(0.0, "506 Cannot talk to daemon\n");
    assert_eq!(failed(&silent).len(), 2);
}

#[test]
fn no_answer_is_never_a_pass() {
    let spec: Spec = serde_json::from_value(serde_json::json!({"hosts": ["deploy"]})).unwrap();
    let out = spec.run(&Scripted::new(|_, _, _| Err("connection refused".into())), &mut |_| {});
    assert!(out.iter().all(|o| matches!(&o.verdict, Verdict::Failed(_))), "{out:?}");
    let missing = spec.run(
        &Scripted::new(|_, script, _| {
            Ok(if script.contains("date") { ran("x") } else { framed(script, &[("chronyc", "chronyc is not installed\n", 69)]) })
        }),
        &mut |_| {},
    );
    assert!(matches!(&missing[0].verdict, Verdict::Failed(why) if why.contains("not installed")), "{missing:?}");
}

#[test]
fn the_script_is_clean() {
    shellcheck(&wait_script(5).text());
}
