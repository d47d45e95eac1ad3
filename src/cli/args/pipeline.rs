//! What can be typed about the pipeline: `pipeline`, and its own tools `deploy`, `scan`, `attack`.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args as ClapArgs, ValueHint};

use crate::base::Image;
use crate::deploy::Commit;

/// `pipeline`
#[derive(Debug, Clone, ClapArgs)]
pub struct Pipeline {
    /// Follow the build that runs until it ends; when none runs, wait for the next one
    #[arg(short, long)]
    pub watch: bool,
    /// This build instead of the last one
    #[arg(long, value_name = "NUMBER")]
    pub build: Option<u64>,
}

/// `deploy`
#[derive(Debug, Clone, ClapArgs)]
pub struct Deploy {
    /// An image by digest, as it was pushed: REGISTRY/NAME@sha256:DIGEST. Once for the API and once for the website
    #[arg(long = "image", value_name = "IMAGE", required = true)]
    pub images: Vec<Image>,
    /// The commit that they were built of
    #[arg(long, value_name = "SHA")]
    pub commit: Commit,
    /// Where to deploy to, by its name in the configuration [default: the only one that there is]
    #[arg(long, value_name = "NAME")]
    pub to: Option<String>,
    /// The private key that may ask for a deployment [default: `key` of the configuration]
    #[arg(long, env = "DEPLOY_KEY", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
    /// Where to deploy to and how
    #[arg(long, env = "POCLAB_DEPLOY_CONFIG", value_name = "FILE", default_value = "/etc/poclab/deploy.yml", value_hint = ValueHint::FilePath)]
    pub config: PathBuf,
}

/// `scan`
#[derive(Debug, Clone, ClapArgs)]
pub struct Scan {
    /// The image by digest, as it was pushed: REGISTRY/NAME@sha256:DIGEST
    #[arg(required_unless_present = "feeds")]
    pub image: Option<Image>,
    /// What is refused, and what is accepted for how long
    #[arg(long, value_name = "FILE", default_value = "security/scan-policy.yml", value_hint = ValueHint::FilePath)]
    pub policy: PathBuf,
    /// Write everything that was seen to FILE, as JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub json: Option<PathBuf>,
    /// Write it to FILE as SARIF 2.1.0, for code hosts
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub sarif: Option<PathBuf>,
    /// Write it to FILE as one HTML page
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
    /// List what is tolerated, too
    #[arg(long)]
    pub all: bool,
    /// Instead of looking at an image: what Clair has loaded. Exit 0: all that it must know is there and fresh; 4: it is not
    #[arg(long, conflicts_with_all = ["image", "json", "sarif", "html"])]
    pub feeds: bool,
    /// Where Clair and the registry are
    #[arg(long, env = "POCLAB_SCAN_CONFIG", value_name = "FILE", default_value = "/etc/poclab/scan.yml", value_hint = ValueHint::FilePath)]
    pub config: PathBuf,
}

/// `attack`
#[derive(Debug, Clone, ClapArgs)]
pub struct Attack {
    /// Attack files, or folders of them: all `.attack` files in a folder, without the folders in it
    #[arg(required_unless_present = "steps", value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub files: Vec<PathBuf>,
    /// Only scenarios with these tags: `@slow`, `not @reallyslow`, `@web and not (@slow or @reallyslow)`; the others are reported as skipped
    #[arg(long, value_name = "EXPRESSION")]
    pub tags: Option<String>,
    /// Also write PREFIX.json, PREFIX.xml (JUnit) and PREFIX.html
    #[arg(short, long, value_name = "PREFIX", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Which program runs in which image, variables, files [default: /etc/poclab/attack.yml where there is one; else everything from the PATH]
    #[arg(long, env = "POCLAB_ATTACK_TOOLS", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tools: Option<PathBuf>,
    /// The network of the tools' containers: `host`, `container:NAME`, or the name of a Docker network [default: as in the tools file, else host]
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
    /// The target is weak on purpose: every attack must succeed
    #[arg(long)]
    pub control: bool,
    /// Run at most this many scenarios at the same time (1 to 64)
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=64))]
    pub parallel: usize,
    /// Multiply the time that one command may take (10 s; 30 s with @slow; 600 s with @reallyslow)
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: u32,
    /// Read the files, name the scenarios that are wanted, run nothing
    #[arg(long)]
    pub list: bool,
    /// Name the steps that are known, one example of each, and do nothing else
    #[arg(long)]
    pub steps: bool,
}
