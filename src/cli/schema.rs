//! `poclab schema`

use anyhow::Context as _;

use super::Stop;
use super::args::Schema;
use crate::base::Exit;
use crate::{engine, lab, mirror, report};

pub fn run(command: &Schema) -> Result<Exit, Stop> {
    std::fs::create_dir_all(&command.folder).with_context(|| format!("cannot create {}", command.folder.display()))?;
    for (name, schema) in lab::schemas() {
        write(command, name, &serde_json::to_string_pretty(&schema).context("cannot write a schema as JSON")?)?;
    }
    write(command, "lock.schema.json", &serde_json::to_string_pretty(&mirror::schema()).context("cannot write a schema as JSON")?)?;
    // As schemas, not as values: they know in which order a reader wants their keywords.
    write(command, "events.schema.json", &serde_json::to_string_pretty(&report::event_schema()).context("cannot write a schema as JSON")?)?;
    write(
        command,
        "status.schema.json",
        &serde_json::to_string_pretty(&engine::status_schema()).context("cannot write a schema as JSON")?,
    )?;
    Ok(Exit::Done)
}

fn write(command: &Schema, name: &str, text: &str) -> anyhow::Result<()> {
    let file = command.folder.join(name);
    std::fs::write(&file, format!("{text}\n")).with_context(|| format!("cannot write {}", file.display()))?;
    report::print_text(&format!("{}\n", file.display()));
    Ok(())
}
