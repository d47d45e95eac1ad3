//! No secret in clear below JENKINS_HOME: Jenkins is to keep them encrypted.

use std::time::Duration;

use super::{NEXT, Trial};
use crate::base::quote;
use crate::check::{Outcome, Verdict};

/// Time for one search.
const DEADLINE: Duration = Duration::from_secs(120);

/// Looks for every secret, as it is and in base64, in all files of the container's folder: inside the container, as Jenkins' files
/// may belong to a volume. Patterns go by stdin. The key files of a running build are not counted, while there is one.
pub(super) fn script(trial: &Trial<'_>) -> String {
    let (container, home, secrets) = (quote(&trial.spec.container), quote(&trial.spec.home), quote(&trial.spec.secrets));
    format!(
        "set -u\n\
         patterns() {{\n  \
           for f in {secrets}/*; do\n    \
             [ -f \"$f\" ] || continue\n    \
             # Of a key its longest lines; of everything else the value.\n    \
             awk 'length($0) >= 12 && !/^-----/' \"$f\"\n    \
             awk 'length($0) >= 12 && !/^-----/ {{ printf \"%s\", $0; exit }}' \"$f\" | base64 | tr -d '=\\n' | sed 's/$/\\n/'\n  \
           done | sed '/^$/d' | sort -u\n\
         }}\n\
         search() {{ patterns | docker exec -i {container} grep -rlF -f /dev/stdin -- \"$1\"; }}\n\
         echo \"patterns $(patterns | wc -l)\"\n\
         # The same search must find what is there, or it proves nothing.\n\
         kept=$(search /run/secrets/); s=$?\n\
         [ $s -le 1 ] || {{ echo 'the search inside the container does not work' >&2; exit 1; }}\n\
         echo \"kept $(printf '%s' \"$kept\" | grep -c .)\"\n\
         n=0\n\
         while :; do\n  \
           found=$(search {home} 2>/dev/null); s=$?\n  \
           n=$((n + 1))\n  \
           case $found in *@tmp/*) if [ $n -lt 10 ]; then sleep 3; continue; fi ;; esac\n  \
           break\n\
         done\n\
         # 2: some file went away while it was read; what was found counts all the same.\n\
         [ $s -le 2 ] || {{ echo \"grep ended with $s\" >&2; exit 1; }}\n\
         echo \"files $(docker exec {container} find {home} -type f | wc -l)\"\n\
         printf '%s' \"$found\" | sed 's/^/found /'\n"
    )
}

/// What the search said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Search {
    /// Patterns that were looked for.
    pub patterns: u64,
    /// Files of the secrets' own folder in which they were found.
    pub kept: u64,
    /// Files that were searched.
    pub files: u64,
    /// Files in which a secret is.
    pub found: Vec<String>,
}

/// Reads the search's answer.
pub(super) fn parse(text: &str) -> Result<Search, String> {
    let mut search = Search::default();
    let mut seen = 0;
    for line in text.lines() {
        let Some((word, rest)) = line.split_once(' ') else { return Err(format!("the search printed `{line}`")) };
        let number = || rest.trim().parse::<u64>().map_err(|_| format!("the search printed `{line}`"));
        match word {
            "patterns" => search.patterns = number()?,
            "kept" => search.kept = number()?,
            "files" => search.files = number()?,
            "found" => {
                search.found.push(rest.to_owned());
                continue;
            }
            _ => return Err(format!("the search printed `{line}`")),
        }
        seen += 1;
    }
    if seen == 3 { Ok(search) } else { Err("the search's answer is not complete".into()) }
}

pub(super) fn outcomes(trial: &Trial<'_>) -> Vec<Outcome> {
    let title = format!("no secret is in clear below {} of Jenkins", trial.spec.home);
    let control = "the search for secrets finds them where they are kept";
    let failed = |why: String| {
        let skipped = Verdict::Skipped("the search did not run".into());
        vec![Outcome::new(title.clone(), Verdict::Failed(format!("{why}; {NEXT}"))), Outcome::control(control, skipped)]
    };
    let ran = match trial.reach.exec(&trial.spec.host, &script(trial), Vec::new(), DEADLINE) {
        Ok(ran) if ran.status == 0 => ran,
        Ok(ran) => return failed(format!("the search ended with {}: {}", ran.status, ran.last_line())),
        Err(why) => return failed(why),
    };
    match parse(&ran.text()) {
        Err(why) => failed(why),
        Ok(search) => judge(&search, title, control),
    }
}

/// What it proves.
pub(super) fn judge(search: &Search, title: String, control: &str) -> Vec<Outcome> {
    let clean = match search {
        Search { found, .. } if !found.is_empty() => Verdict::Failed(format!(
            "found in {}; what wrote them there must use a credential or a temporary file instead",
            found.join(", ")
        )),
        Search { files: 0, .. } => Verdict::Failed(format!("there is no file in it at all: nothing was searched; {NEXT}")),
        Search { patterns: 0, .. } => Verdict::Failed(format!("there is no secret to look for; {NEXT}")),
        search => Verdict::Passed(format!("{} patterns, {} files", search.patterns, search.files)),
    };
    let works = match search.kept {
        0 => Verdict::Failed(format!("it does not find them in /run/secrets either; {NEXT}")),
        kept => Verdict::Passed(format!("found in {kept} files of /run/secrets")),
    };
    vec![Outcome::new(title, clean), Outcome::control(control, works)]
}
