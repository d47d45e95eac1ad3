//! The variables that poclab gives.

use super::{Field, Page, Topic};

/// Name and meaning; the names are those of [`super::super::variables::GIVEN`].
pub const VARIABLES: &[(&str, &str)] = &[
    ("lab", "The lab as a whole, the same on every host."),
    ("host", "The host for which something is rendered. What is once for the lab (`once: true`) has none."),
    ("hosts", "The lab's hosts by name."),
    ("groups", "Names of the hosts of each group; `groups.all` are all hosts, in the order of the inventory."),
    ("role_hosts", "Names of the hosts on which the role is configured, in the order of the inventory. Not known to its own `configured`."),
    ("secrets", "The declared secrets by name. Whatever holds one of them is sensitive by itself, and no output shows it."),
    ("certs", "The certificates of the roles on this host by name, made by the lab CA."),
    ("ca", "The lab CA."),
    ("mirror", "What is in the mirror, from its mirror.yml; only if the inventory has `sources.mirror`."),
    ("sources", "Where packages and images come from, from the inventory."),
    ("item", "The item of the list that `for_each` names; only beside `for_each`."),
    ("loop", "In a template's `for`: how often it went around (`loop.index` from 1, `loop.first`, `loop.last`)."),
];

/// What is inside, for those that have parts.
const PARTS: &[(&str, &str)] = &[
    ("lab.name", "its name"),
    ("lab.folder", "the project's folder on this machine"),
    ("lab.domain", "DNS domain of the hosts"),
    ("lab.operators", "networks that operators come from"),
    ("lab.hosts", "list of the hosts, as in `hosts`"),
    (
        "lab.flows",
        "the flow matrix, one line per target host and port: to, to_address, port, protocol, from_hosts, from_networks, from_operators, from_any, published, why",
    ),
    ("host.name", "its name in the inventory"),
    ("host.fqdn", "its name with the domain"),
    ("host.address", "its address in the lab"),
    ("host.os", "`centos7` or `rehearsal`"),
    ("host.rehearsal", "true on a rehearsal host"),
    ("host.groups", "names of its groups, `all` first"),
    ("host.allow", "who may reach which port, from the flow matrix: list of source, port, protocol"),
    ("host.published", "the same for ports that containers publish"),
    ("hosts.NAME", "name, fqdn, address, groups, host_key (its SSH host key: `ssh-ed25519 AAAA…`)"),
    ("groups.NAME", "list of host names"),
    (
        "secrets.NAME",
        "user, password, htpasswd (a line with its bcrypt hash); one that is set by hand has no htpasswd; an SSH key pair: public (one line), private",
    ),
    ("certs.NAME", "cert, key, chain (the certificate with the CA's), as PEM"),
    ("ca.cert", "its certificate as PEM"),
    ("mirror.path", "its folder"),
    ("mirror.images", "by name: reference, archive (absolute path), sha256, id"),
    ("mirror.rpms", "by name: version"),
    ("sources.mirror", "the mirror's folder"),
];

/// The page of a given variable.
pub fn page(name: &str) -> Option<Page> {
    let (_, text) = VARIABLES.iter().find(|(known, _)| *known == name)?;
    let mut page = Page::new(Topic::Given, name, (*text).to_owned());
    let parts = PARTS.iter().filter(|(part, _)| part.split('.').next() == Some(name));
    page.fields = parts
        .map(|(part, meaning)| Field {
            name: (*part).to_owned(),
            value_type: String::new(),
            required: false,
            default: None,
            text: (*meaning).to_owned(),
        })
        .collect();
    page.notes.push("given by poclab; no inventory and no role can set it".to_owned());
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::variables::GIVEN;

    #[test]
    fn every_given_variable_is_explained() {
        let told: Vec<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
        assert_eq!(told, GIVEN);
    }
}
