//! Our reader of Groovy against the real one, of the version that Jenkins carries (2.4.21, Debian's package `groovy`): what ours
//! accepts is Groovy, and what is no Groovy ours refuses. The application's Jenkinsfile goes through both.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

use std::path::Path;
use std::process::Command;

use standins::jenkins::groovy::parse;

/// Reads each file as far as its syntax goes, and says how it went.
const READ: &str = "args.each { f ->
    def unit = new org.codehaus.groovy.control.CompilationUnit()
    unit.addSource('Script', new File(f).text)
    try {
        unit.compile(org.codehaus.groovy.control.Phases.CONVERSION)
        println 'good'
    } catch (org.codehaus.groovy.control.CompilationFailedException e) {
        println 'bad ' + e.message.replace('\\n', ' ')
    }
}";

/// Accepted by both.
const GOOD: &[&str] = &[
    "pipeline {\n  agent any\n  stages {\n    stage('a b') {\n      steps {\n        sh 'x'\n        echo \"${env.A} b $C.d\"\n      }\n    }\n  }\n}\n",
    "withCredentials([usernamePassword(credentialsId: 'a', usernameVariable: 'U', passwordVariable: 'P')]) {\n  sh 'ci/push'\n}",
    "x {\n  expression { (env.A ?: env.B) == env.B && !env.C.startsWith('d') || e in ['f', \"g\"] }\n}",
    "archiveArtifacts artifacts: 'build/*', allowEmptyArchive: true",
    "a 'x',\n  'y'\nb(\n  1,\n  2\n)\nc = 'z' +\n  'w'; d()",
    "checkout scm\ngitlabCommitStatus('x') { sh 'y' }",
    "sh \"\"\"a \"b\" ${env.C}\n\\$HOME\n\"\"\"",
    "sh '''one\n'two'\n'''",
    "// why\n/* and\n so */\ny 'it\\'s'\n",
    "timeout(time: 60, unit: 'MINUTES')",
    "buildDiscarder(logRotator(numToKeepStr: '50'))",
    "a = env.B ? 'c' : \"d\"",
    "#!groovy\na()",
];

/// Refused by both.
const BAD: &[&str] = &[
    "pipeline { agent any",
    "stage('a' { }",
    "sh 'x",
    "a(",
    "[1, 2",
    "a }",
    "echo \"${a\"",
    "/* no end",
    "a = ",
    "x { expression { a == } }",
    "a ? b :",
];

/// What real Groovy says to each script; `None`: it is not installed.
fn real(scripts: &[&str]) -> Option<Vec<bool>> {
    if Command::new("groovy").arg("--version").output().is_err() {
        assert!(std::env::var_os("POCLAB_REQUIRE_TOOLS").is_none(), "groovy is missing: rehearsal/install-prerequisites --tests");
        eprintln!("SKIPPED: groovy is not installed");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("groovy");
    // Debian's start script wants the default Java, which need not be the one that is installed.
    if !Path::new("/usr/lib/jvm/default-java/bin/java").exists()
        && let Some(home) = std::fs::canonicalize("/usr/bin/java").ok().and_then(|java| Some(java.parent()?.parent()?.to_owned()))
    {
        command.env("JAVA_HOME", home);
    }
    command.args(["-e", READ]);
    for (at, script) in scripts.iter().enumerate() {
        let file = dir.path().join(format!("{at:03}.groovy"));
        std::fs::write(&file, script).unwrap();
        command.arg(file);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<bool> = text.lines().map(|line| line == "good").collect();
    assert!(output.status.success() && lines.len() == scripts.len(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Some(lines)
}

#[test]
fn ours_agrees_with_the_real_groovy() {
    let jenkinsfile = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../app/Jenkinsfile")).unwrap();
    let scripts: Vec<&str> = GOOD.iter().chain(BAD).copied().chain([jenkinsfile.as_str()]).collect();
    let good = |at: usize| at < GOOD.len() || at == scripts.len() - 1;
    for (at, script) in scripts.iter().enumerate() {
        assert_eq!(parse(script).is_ok(), good(at), "ours: {script}\n{:?}", parse(script).err());
    }
    for (at, says) in real(&scripts).into_iter().flatten().enumerate() {
        assert_eq!(says, good(at), "Groovy's: {}", scripts[at]);
    }
}
