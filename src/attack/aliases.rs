//! Attacks that have a name: `When I launch an "arachni-simple_xss" attack`.

/// Name, and the command with its placeholders. The names and the options are those that Gauntlt's users know.
const ALIASES: &[(&str, &str)] = &[
    ("arachni-simple_xss", "arachni --checks=xss --scope-directory-depth-limit=1 --scope-page-limit=10 --scope-auto-redundant=2 <url>"),
    ("arachni-simple_xss_with_depth", "arachni --checks=xss --scope-directory-depth-limit=<depth> <url>"),
    ("arachni-full_xss", "arachni --checks=xss* --scope-directory-depth-limit=1 --scope-page-limit=10 --scope-auto-redundant=2 <url>"),
    ("arachni-full_xss_with_depth", "arachni --checks=xss* --scope-directory-depth-limit=<depth> <url>"),
    (
        "arachni-xss_with_options",
        "arachni --checks=xss* --scope-directory-depth-limit=<depth> --scope-page-limit=<link_count> --scope-auto-redundant=<auto_redundant> <url>",
    ),
    ("nmap-fast", "nmap -F <host>"),
];

/// The command of an alias.
pub(super) fn command(name: &str) -> Result<&'static str, String> {
    ALIASES.iter().find(|(known, _)| *known == name).map(|(_, command)| *command).ok_or_else(|| {
        let known: Vec<&str> = ALIASES.iter().map(|(known, _)| *known).collect();
        format!(
            "\"{name}\" is no named attack: there are {}; others are launched with `I launch a \"generic\" attack with:`",
            known.join(", ")
        )
    })
}
