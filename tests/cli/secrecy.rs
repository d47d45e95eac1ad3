//! No secret value in anything that is printed or logged.

use base64::Engine as _;

use crate::lab::Lab;

/// Forms of the lab's secret that must not be seen.
fn forms(lab: &Lab) -> Vec<String> {
    let password = lab.poclab("secrets show api --field password").exits(0).stdout.trim().to_owned();
    assert!(password.len() >= 16);
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("site:{password}"));
    let ca = lab.poclab("secrets show ca --field key").exits(0).stdout;
    let key = ca.lines().nth(1).unwrap().to_owned();
    vec![password, basic, key]
}

fn nothing_shows(lab: &Lab, forms: &[String], words: &str, exit: i32) {
    let ran = lab.poclab(words).exits(exit);
    for form in forms {
        assert!(!ran.all().contains(form), "a secret in the output of {words}");
    }
}

fn nothing_logged(lab: &Lab, forms: &[String]) {
    let logs = lab.logs();
    assert!(logs.len() > 3);
    assert!(logs.iter().any(|(path, _)| path.extension().is_some_and(|end| end == "html")), "reports are looked at as well");
    for (path, text) in logs {
        // As a browser shows it.
        let text = text.replace("&#x2F;", "/").replace("&#x27;", "'").replace("&amp;", "&");
        assert!(!forms.iter().any(|form| text.contains(form)), "a secret in {}", path.display());
    }
}

#[test]
fn a_secret_file_shows_nowhere() {
    let lab = Lab::new();
    lab.poclab("secrets list").exits(0);
    let forms = forms(&lab);
    for format in ["text", "json", "junit"] {
        nothing_shows(&lab, &forms, &format!("plan -v --format {format}"), 2);
    }
    nothing_shows(&lab, &forms, "bootstrap -v", 0);
    assert!(lab.read("hosts/web/etc/credentials").contains(&forms[0]), "it is where it belongs");
    // Somebody else's content is not shown either.
    for format in ["text", "json", "junit"] {
        lab.write("hosts/web/etc/credentials", "site:somebody-elses-password\n");
        let ran = lab.poclab(&format!("plan -v --format {format}")).exits(2);
        assert!(!ran.all().contains("somebody-elses-password"), "{ran}");
        nothing_shows(&lab, &forms, &format!("bootstrap -v --format {format}"), 0);
    }
    for words in ["status", "observe web", "verify -v", "secrets list", "validate"] {
        nothing_shows(&lab, &forms, words, 0);
    }
    nothing_logged(&lab, &forms);
    assert!(!std::fs::read(lab.path(".poclab/test/secrets.age")).unwrap().windows(forms[0].len()).any(|w| w == forms[0].as_bytes()));
}

#[test]
fn a_failing_step_that_prints_the_secret_shows_it_nowhere() {
    let lab = Lab::new();
    lab.poclab("secrets list").exits(0);
    let forms = forms(&lab);
    let leak = "cat {{ root }}/etc/credentials; printf 'Authorization: Basic '; sed 's/$/x/;s/x$//' {{ root }}/etc/credentials | tr -d '\\\\n' | base64 -w0; echo '{{ secrets.api.password }}' >&2; false";
    lab.replace("roles/site/role.yml", "echo data >{{ root }}/data", leak);
    for format in ["text", "json", "junit"] {
        let words = format!("bootstrap -v --format {format}");
        let ran = lab.poclab(&words).exits(1);
        assert!(ran.all().contains("[secret api]"), "the step did print it: {ran}");
        nothing_shows(&lab, &forms, &words, 1);
    }
    nothing_logged(&lab, &forms);
}

#[test]
fn a_check_or_guard_with_a_secret_shows_it_nowhere() {
    let lab = Lab::new();
    lab.poclab("secrets list").exits(0);
    let forms = forms(&lab);
    lab.replace("roles/site/role.yml", "creates: \"{{ root }}/data\"", "unless: \"test '{{ secrets.api.password }}' = x\"");
    nothing_shows(&lab, &forms, "plan -v", 2);
    nothing_shows(&lab, &forms, "observe web", 0);
    nothing_shows(&lab, &forms, "bootstrap -v --format json", 1);
}
