//! The service: 443 with TLS, 80 that leads there, and a socket for programs of this machine.

use std::io;
use std::net::Ipv6Addr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::sync::Arc;
use std::sync::mpsc::channel;

use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::app::{App, Paths, private_folder};
use super::{deliver, git};
use crate::common::http::{Handler, Request, Response, serve, serve_local};
use crate::common::tls;

/// Serves until it is ended.
pub fn run(paths: Paths) -> io::Result<()> {
    let (jobs, queue) = channel();
    let app = Arc::new(App::open(paths, jobs)?);
    let worker = app.clone();
    std::thread::spawn(move || deliver::work(&worker, &queue));
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve_all(app))
}

/// Ports for TLS and without; other ones for tests on machines where these are taken.
fn ports() -> (u16, u16) {
    let own = std::env::var("POCLAB_GITLAB_PORTS").ok();
    let read = own.as_deref().and_then(|text| text.split_once(',')).and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    read.unwrap_or((443, 80))
}

async fn serve_all(app: Arc<App>) -> io::Result<()> {
    let file = |path: &str| app.paths.at(path);
    let acceptor = TlsAcceptor::from(tls::server(&file(&app.config.certificate), &file(&app.config.key))?);
    let (https, http) = ports();
    let secure = listen(https).await?;
    let plain = listen(http).await?;
    let socket = app.paths.socket();
    if let Some(folder) = socket.parent() {
        private_folder(folder)?;
    }
    let _ = std::fs::remove_file(&socket);
    let local = UnixListener::bind(&socket)?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o660))?;
    if let (Some((_, gid)), Some(folder)) = (git::account("git"), socket.parent()) {
        // git's hooks run as that user. Where nobody may give files away (tests), everything runs as one user.
        let _ = chown(&socket, None, Some(gid));
        let _ = chown(folder, None, Some(gid));
    }
    let (web, own, redirect) = (app.clone(), app.clone(), app.clone());
    let on_web: Handler = Arc::new(move |request: Request| web.handle(&request));
    let on_socket: Handler = Arc::new(move |request: Request| own.handle_local(&request));
    let on_plain: Handler = Arc::new(move |request: Request| {
        if !redirect.config.redirect {
            return Response::text(404, "text/plain", "not served without TLS\n");
        }
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        Response {
            status: 301,
            headers: vec![("Location".into(), format!("{}{}{query}", redirect.config.external_url, request.path))],
            body: Vec::new(),
        }
    });
    tokio::spawn(serve(secure, Some(acceptor), on_web));
    tokio::spawn(serve(plain, None, on_plain));
    tokio::spawn(serve_local(local, on_socket));
    let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    ended.recv().await;
    Ok(())
}

/// All addresses of this machine, of both families where there are both.
async fn listen(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(why) if why.kind() != io::ErrorKind::AddrInUse && why.kind() != io::ErrorKind::PermissionDenied => {
            TcpListener::bind(("0.0.0.0", port)).await
        }
        bound => bound,
    }
    .map_err(|why| io::Error::new(why.kind(), format!("port {port}: {why}")))
}
