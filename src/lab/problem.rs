//! Mistakes in the lab's files: where, what, and what to write instead.

use std::collections::BTreeSet;
use std::fmt;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, relative to the project's root: `inventory/lab.yml`.
    pub file: String,
    /// From 1; 0 = the file as a whole.
    pub line: usize,
    /// From 1; 0 = the line as a whole.
    pub column: usize,
    /// What is wrong, lower case, one line.
    pub what: String,
    /// What to write instead, without the leading `; `.
    pub suggestion: Option<String>,
    /// The hosts on which it shows, when it shows on some only.
    pub hosts: BTreeSet<String>,
}

impl Problem {
    /// A problem at a place.
    pub fn new(file: impl Into<String>, (line, column): (usize, usize), what: impl Into<String>) -> Self {
        Self { file: file.into(), line, column, what: what.into(), suggestion: None, hosts: BTreeSet::new() }
    }

    /// The same problem with advice.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// The same problem with `did you mean …`, if something known is near to what was written.
    #[must_use]
    pub fn did_you_mean<'a>(mut self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        if let Some(near) = nearest(written, known) {
            self.suggestion = Some(format!("did you mean `{near}`?"));
        }
        self
    }

    fn same_mistake(&self, other: &Self) -> bool {
        (&self.file, self.line, self.column, &self.what, &self.suggestion)
            == (&other.file, other.line, other.column, &other.what, &other.suggestion)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        write!(f, ": {}", self.what)?;
        if !self.hosts.is_empty() {
            let hosts: Vec<&str> = self.hosts.iter().map(String::as_str).collect();
            write!(f, " (on {})", hosts.join(", "))?;
        }
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

/// All mistakes that were found, sorted by file and place; never empty when it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects problems while the lab is read; the same mistake met on several hosts is kept once.
#[derive(Debug, Default)]
pub struct Sink {
    found: Vec<Problem>,
}

impl Sink {
    /// Adds a problem, or the hosts of a problem that is known already.
    pub fn push(&mut self, problem: Problem) {
        match self.found.iter_mut().find(|known| known.same_mistake(&problem)) {
            // No hosts means all of them.
            Some(known) if known.hosts.is_empty() || problem.hosts.is_empty() => known.hosts.clear(),
            Some(known) => known.hosts.extend(problem.hosts),
            None => self.found.push(problem),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Runs `work`; problems it finds are noted as seen on this host.
    pub fn on_host<T>(&mut self, host: &str, work: impl FnOnce(&mut Sink) -> T) -> T {
        let mut inner = Sink::default();
        let result = work(&mut inner);
        for mut problem in inner.found {
            problem.hosts.insert(host.to_owned());
            self.push(problem);
        }
        result
    }

    /// Forgets the hosts of problems which show on all of these.
    pub fn everywhere(&mut self, hosts: &BTreeSet<String>) {
        for problem in &mut self.found {
            if problem.hosts.is_superset(hosts) {
                problem.hosts.clear();
            }
        }
    }

    /// Adds what another sink found.
    pub fn extend(&mut self, other: Sink) {
        for problem in other.found {
            self.push(problem);
        }
    }

    /// The value when nothing is wrong, else all problems in order.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, Problems> {
        self.found.sort();
        match (value, self.found.is_empty()) {
            (Some(value), true) => Ok(value),
            (None, true) => Err(Problems(vec![Problem::new(
                "poclab",
                (0, 0),
                "the lab could not be resolved, and no reason is known; please report this",
            )])),
            (_, false) => Err(Problems(self.found)),
        }
    }
}

/// The known word nearest to what was written, if it is near enough to be a slip.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    known
        .into_iter()
        .filter(|word| *word != written)
        .map(|word| (strsim::damerau_levenshtein(&lower, &word.to_lowercase()), word))
        .filter(|(distance, word)| {
            *distance <= 1.max(word.chars().count().min(lower.chars().count()) / 3) && *distance < word.chars().count()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `a, b and c`, each in backquotes.
pub fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        assert_eq!(nearest("adress", ["address", "port"]), Some("address"));
        assert_eq!(nearest("pakcage", ["package", "file"]), Some("package"));
        assert_eq!(nearest("x", ["address", "vars"]), None);
        assert_eq!(nearest("zebra", ["address", "vars"]), None);
    }

    #[test]
    fn the_same_mistake_on_two_hosts_is_one_problem() {
        let mut sink = Sink::default();
        for host in ["a", "b"] {
            sink.on_host(host, |sink| sink.push(Problem::new("f", (1, 2), "wrong")));
        }
        assert_eq!(sink.len(), 1);
        sink.everywhere(&["a".to_owned(), "b".to_owned(), "c".to_owned()].into());
        assert_eq!(sink.finish(Some(())).unwrap_err().to_string(), "f:1:2: wrong (on a, b)");
    }
}
