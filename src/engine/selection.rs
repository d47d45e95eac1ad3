//! What a run is narrowed to.

/// What a run is narrowed to. Empty lists mean everything.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Host names.
    pub hosts: Vec<String>,
    /// Role names.
    pub roles: Vec<String>,
    /// Kinds of checks, or roles whose checks to run.
    pub checks: Vec<String>,
    /// Leave out checks that interrupt something.
    pub no_disruption: bool,
}

impl Selection {
    pub(super) fn wants(list: &[String], name: &str) -> bool {
        list.is_empty() || list.iter().any(|wanted| wanted == name)
    }

    /// As it is typed on the command line.
    pub(super) fn options(&self) -> Vec<String> {
        let named = |option: &str, names: &[String]| names.iter().map(|name| format!("{option} {name}")).collect::<Vec<_>>();
        let mut options = named("--host", &self.hosts);
        options.extend(named("--role", &self.roles));
        options.extend(named("--check", &self.checks));
        options.extend(self.no_disruption.then(|| "--no-disruption".to_owned()));
        options
    }

    /// Whether a check is wanted; hosts narrow only checks that are about one host.
    pub(super) fn check(&self, check: &crate::lab::Check) -> bool {
        let kind = check.spec.kind();
        (self.checks.is_empty() || self.checks.iter().any(|name| name == kind))
            && Self::wants(&self.roles, &check.role)
            && check.host.as_ref().is_none_or(|host| Self::wants(&self.hosts, host))
            && !(self.no_disruption && check.spec.disruptive())
    }
}
