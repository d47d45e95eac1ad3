//! `poclab man`: one page per command, from the help texts.

use std::path::Path;

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man as Renderer;
use clap_mangen::roff::{Roff, bold, roman};

use super::Stop;
use super::args::{Args, Man};
use crate::base::Exit;
use crate::report;

/// Exit codes, as the README has them.
const EXIT: &[(&str, &str)] = &[
    ("0", "Done, or nothing to do."),
    ("1", "Something failed."),
    ("2", "poclab plan found changes."),
    ("3", "A check failed."),
    ("4", "A host, or something on it, could not be observed."),
    ("64", "The lab's files or the command line are wrong; nothing was contacted."),
    ("130", "Interrupted."),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("POCLAB_INVENTORY", "The inventory, as --inventory."),
    (
        "POCLAB_IDENTITY",
        "The file of the identity that decrypts the lab's secrets; default poclab/identity.txt in the configuration folder.",
    ),
    ("POCLAB_CACHE", "poclab's cache: mirror and images of the rehearsal; default $XDG_CACHE_HOME/poclab or ~/.cache/poclab."),
    ("XDG_CONFIG_HOME", "The configuration folder; default ~/.config."),
    ("SSH_AUTH_SOCK", "The ssh-agent, for hosts whose inventory says agent: true."),
    ("COLUMNS", "Width of reports that are laid out to the screen, when it is not a terminal's."),
    ("NO_COLOR", "Not empty: no colours."),
];

const FILES: &[(&str, &str)] = &[
    ("inventory/lab.yml", "The lab: hosts, groups, variables, flow matrix (the default inventory)."),
    ("roles/*/role.yml, templates/", "What hosts are made to be."),
    (".poclab/LAB/", "What this machine keeps about a lab: its encrypted secrets, the known host keys, the last result of the checks."),
    (".poclab/LAB/runs/", "Logs of the last runs, one JSON event per line, without secrets."),
];

pub fn run(command: &Man) -> Result<Exit, Stop> {
    let mut root = Args::command();
    root.build();
    let Some(folder) = &command.folder else {
        report::print_text(&page(&root, "poclab")?);
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    write_all(&root, "poclab", folder)?;
    Ok(Exit::Done)
}

fn write_all(command: &Command, name: &str, folder: &Path) -> anyhow::Result<()> {
    let file = folder.join(format!("{name}.1"));
    std::fs::write(&file, page(command, name)?).with_context(|| format!("cannot write {}", file.display()))?;
    report::print_text(&format!("{}\n", file.display()));
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        write_all(inner, &format!("{name}-{}", inner.get_name()), folder)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> anyhow::Result<String> {
    let with_commands = command.get_subcommands().next().is_some();
    let man =
        Renderer::new(command.clone()).title(name).section("1").manual("poclab").source(concat!("poclab ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if with_commands {
        man.render_subcommands_section(&mut text)?;
    }
    for (title, entries) in [("EXIT STATUS", EXIT), ("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)] {
        let mut roff = Roff::new();
        roff.control("SH", [title]);
        for (term, meaning) in entries {
            roff.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
        }
        roff.to_writer(&mut text)?;
    }
    let mut see = Roff::new();
    see.control("SH", ["SEE ALSO"]);
    let others = if name == "poclab" { "poclab-bootstrap(1), poclab-plan(1), poclab-status(1), poclab-explain(1)" } else { "poclab(1)" };
    see.text([roman(others)]);
    see.to_writer(&mut text)?;
    String::from_utf8(text).context("a manual page is not text")
}
