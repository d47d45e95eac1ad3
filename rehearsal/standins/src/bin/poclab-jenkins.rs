//! The Jenkins stand-in. Under its own name it is the server; as `jenkins-plugin-cli` and `keytool` it is these.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use standins::jenkins::server::{Ready, handle};
use standins::jenkins::state::Jenkins;
use standins::jenkins::{VERSION, build, plugins, tools};

/// Where the image's plugins are.
const REFERENCE: &str = "/usr/share/jenkins/ref";

fn main() -> ExitCode {
    let mut args = std::env::args();
    let name = args.next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    let done = match Path::new(&name).file_name().and_then(|name| name.to_str()) {
        Some("jenkins-plugin-cli") => plugins::command_line(&args, Path::new(REFERENCE)),
        Some("keytool") => tools::keytool(&args),
        _ => serve(&args),
    };
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Options as Jenkins' own server takes them: `--httpPort=8080`, `--httpListenAddress=127.0.0.1`.
fn options(args: &[String]) -> Result<(String, u16), String> {
    let (mut address, mut port) = ("0.0.0.0".to_owned(), 8080);
    for arg in args {
        match arg.split_once('=') {
            Some(("--httpListenAddress", value)) => address = value.to_owned(),
            Some(("--httpPort", value)) => port = value.parse().map_err(|_| format!("{value} is not a port"))?,
            _ => return Err(format!("Unrecognized option: {arg} (of the rehearsal's Jenkins)")),
        }
    }
    Ok((address, port))
}

fn serve(args: &[String]) -> Result<String, String> {
    let (address, port) = options(args)?;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let java = [variable("JAVA_OPTS"), variable("JENKINS_JAVA_OPTS")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    if !java.contains("-Djenkins.install.runSetupWizard=false") {
        return Err(
            "the setup wizard is not in the rehearsal: JAVA_OPTS or JENKINS_JAVA_OPTS must have -Djenkins.install.runSetupWizard=false"
                .into(),
        );
    }
    let home = PathBuf::from(variable("JENKINS_HOME").unwrap_or_else(|| "/var/jenkins_home".into()));
    let casc = variable("CASC_JENKINS_CONFIG").map_or_else(|| home.join("jenkins.yaml"), PathBuf::from);
    let authorities = PathBuf::from(variable("JAVA_HOME").unwrap_or_else(|| "/opt/java/openjdk".into())).join("lib/security/cacerts");
    let runtime = tokio::runtime::Runtime::new().map_err(|e| format!("no runtime: {e}"))?;
    let ready: Ready = Arc::new(OnceLock::new());
    let app = axum::Router::new().fallback(handle).with_state(Arc::clone(&ready));
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind((address.as_str(), port)).await.map_err(|e| format!("{address}:{port}: {e}"))?;
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let started = tokio::task::spawn_blocking(move || Jenkins::start(&home, &casc, Path::new(REFERENCE), &authorities)).await;
        let jenkins = started.map_err(|e| e.to_string())?.map_err(|why| format!("SEVERE Failed to initialize Jenkins\n{why}"))?;
        for _ in 0..jenkins.config().executors {
            let jenkins = Arc::clone(&jenkins);
            std::thread::spawn(move || build::executor(&jenkins));
        }
        let _ = ready.set(jenkins);
        println!("INFO Jenkins {VERSION} is fully up and running");
        let ended = end().await;
        server.abort();
        ended.map(|()| "INFO Jenkins stopped".to_owned())
    })
}

/// Waits for the signal to stop.
async fn end() -> Result<(), String> {
    let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(|e| e.to_string())?;
    tokio::select! {
        _ = stop.recv() => Ok(()),
        other = tokio::signal::ctrl_c() => other.map_err(|e| e.to_string()),
    }
}
