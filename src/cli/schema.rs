//! `poclab schema`

use anyhow::Context as _;

use super::Stop;
use super::args::Schema;
use crate::base::Exit;
use crate::{lab, report};

pub fn run(command: &Schema) -> Result<Exit, Stop> {
    std::fs::create_dir_all(&command.folder).with_context(|| format!("cannot create {}", command.folder.display()))?;
    for (name, schema) in lab::schemas() {
        let file = command.folder.join(name);
        let text = serde_json::to_string_pretty(&schema).context("cannot write a schema as JSON")?;
        std::fs::write(&file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
        report::print_text(&format!("{}\n", file.display()));
    }
    Ok(Exit::Done)
}
