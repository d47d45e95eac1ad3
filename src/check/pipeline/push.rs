//! A real push, with the git of one of the lab's hosts (1.8.3 on EL7: no shallow pushes, no `-C`).

use std::time::Duration;

use super::site::Site;
use crate::base::{Payload, quote};
use crate::check::Reach;
use crate::check::run::Framed;

const DEADLINE: Duration = Duration::from_secs(300);

/// What the check's commits change. Paths are those of the application's repository.
const BROKEN_TEST: &str = "simple_api/tests/test_poclab_verify.py";
/// The test's name, which the build's log must show.
pub const BROKEN: &str = "test_refused_by_the_pipeline";
const MARKER: &str = "poclab-verify.txt";
/// What pip would leave of a package that is known to be vulnerable (CVE-2020-14343, critical, fixed in 5.4): a scanner sees it in the
/// image, and nothing else of the application notices it.
const VULNERABLE_FOLDER: &str = "simple_api/student_api/PyYAML-5.3.dist-info";
/// The package's name, which the scanner's verdict must show.
pub const VULNERABLE: &str = "pyyaml";

/// What is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit<'a> {
    /// A unit test that fails.
    BrokenTest,
    /// A package with a known vulnerability; takes the broken test away again.
    Vulnerable,
    /// The marker, unique for this run; takes the broken test and the vulnerable package away again.
    Marker(&'a str),
}

impl Commit<'_> {
    /// POSIX sh, in the working tree.
    fn edit(self) -> String {
        match self {
            Self::BrokenTest => format!(
                "printf '%s\\n' '\"\"\"Pushed by poclab verify: the pipeline must refuse it.\"\"\"' '' '' 'def {BROKEN}() -> None:' '    assert 1 == 2' >{BROKEN_TEST}"
            ),
            Self::Vulnerable => format!(
                "rm -f {BROKEN_TEST}\nmkdir -p {VULNERABLE_FOLDER}\nprintf '%s\\n' 'Metadata-Version: 2.1' 'Name: PyYAML' 'Version: 5.3' >{VULNERABLE_FOLDER}/METADATA"
            ),
            Self::Marker(marker) => format!("rm -rf {BROKEN_TEST} {VULNERABLE_FOLDER}\nprintf '%s\\n' {} >{MARKER}", quote(marker)),
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::BrokenTest => "poclab verify: a broken unit test, which must not be deployed",
            Self::Vulnerable => "poclab verify: a package with a known vulnerability, which must not be deployed",
            Self::Marker(_) => "poclab verify: a push that must be built and deployed",
        }
    }
}

/// Where to push to.
pub struct Target<'a> {
    pub gitlab: &'a Site,
    pub project: &'a str,
    pub branch: &'a str,
    pub host: &'a str,
}

pub(super) fn script(target: &Target<'_>, commit: Commit<'_>) -> Framed {
    let url = format!("{}/{}.git", target.gitlab.url, target.project);
    let (url, branch) = (quote(&url), quote(target.branch));
    // The password is in a file that only root reads, and in no argument: git asks a program for it.
    let prelude = format!(
        "umask 077
work=$(mktemp -d /tmp/poclab-check.XXXXXX) || exit 73
trap 'rm -rf \"$work\"' EXIT
trap 'exit 130' HUP INT TERM PIPE
HOME=$work GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=$work/ask
export HOME GIT_CONFIG_NOSYSTEM GIT_TERMINAL_PROMPT GIT_ASKPASS
printf %s {} >\"$work/user\"
cat >\"$work/ask\" <<'END'
#!/bin/sh
case $1 in Username*) cat \"$HOME/user\" ;; *) cat \"$HOME/password\" ;; esac
END
chmod 0700 \"$work/ask\"",
        quote(&target.gitlab.user)
    );
    Framed::new()
        .prelude(&prelude)
        .step("password", &format!("head -c {} >\"$work/password\"", target.gitlab.password.expose().len()), true)
        .step("clone", &format!("timeout 120 git clone -q -b {branch} {url} \"$work/tree\" 2>&1"), false)
        .step(
            "commit",
            &format!(
                "cd \"$work/tree\" && {{ {}; }} && git add -A && git -c user.name='poclab verify' -c user.email=poclab@localhost commit -q -m {} 2>&1",
                commit.edit(),
                quote(commit.message())
            ),
            false,
        )
        .step("push", &format!("cd \"$work/tree\" && timeout 120 git push -q origin HEAD:{branch} 2>&1"), false)
        .step("sha", "cd \"$work/tree\" && git rev-parse HEAD", false)
}

/// Clones, commits, pushes; the pushed commit's SHA. Nothing stays on the host.
pub fn push(target: &Target<'_>, commit: Commit<'_>, reach: &dyn Reach) -> Result<String, String> {
    let password = Payload::Bytes(target.gitlab.password.expose().as_bytes().to_vec());
    let frames = script(target, commit).run(reach, target.host, vec![password], DEADLINE)?;
    for (id, what) in [("clone", "git clone"), ("commit", "the commit"), ("push", "git push")] {
        frames.good(id).map_err(|why| format!("{what} on {} failed: {why}", target.host))?;
    }
    let sha = frames.good("sha")?.trim().to_owned();
    let is_sha = sha.len() == 40 && sha.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_sha { Ok(sha) } else { Err(format!("git on {} names no commit after the push: {sha}", target.host)) }
}
