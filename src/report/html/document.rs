//! What all pages share: the skeleton of the document, the style, and that nothing else is applied or loaded.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tera::{Context, Tera};

/// A template: its name, which ends in .html so that tera escapes all values in it, and its text. Part of the program.
pub(super) type Template = (&'static str, &'static str);

const SKELETON: Template = ("document.html", include_str!("templates/document.html"));
const STYLE: &str = include_str!("templates/style.css");

/// The page `name` as text; `templates` has it and what it includes. `version` is the program's that the page speaks of.
pub(super) fn render(templates: &[Template], name: &str, version: &str, mut context: Context) -> Result<String> {
    let mut tera = Tera::default();
    tera.add_raw_templates(templates.iter().copied().chain([SKELETON]))
        .with_context(|| format!("the templates of {name} are wrong (please report this as a defect)"))?;
    context.insert("policy", &policy());
    context.insert("style", STYLE);
    context.insert("version", version);
    tera.render(name, &context).with_context(|| format!("{name} cannot be rendered (please report this as a defect)"))
}

/// The only style that a browser may apply, by its hash: nothing that a host said can bring another one.
fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}
