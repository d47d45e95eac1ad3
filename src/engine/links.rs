//! Tries the links of the lab's services from the control machine: one request each, all at once, bounded in time.

use std::net::SocketAddr;
use std::time::Duration;

use rayon::prelude::*;
use reqwest::Url;

use crate::check;
use crate::lab::{Lab, Service};
use crate::resource::Certificate;

use super::status::{LinkStatus, Reached};

/// Time for one request, with connecting and the TLS handshake.
const DEADLINE: Duration = Duration::from_secs(5);

/// Tries these services' links.
pub fn all(lab: &Lab, services: &[&Service]) -> Vec<LinkStatus> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(services.len().clamp(1, 16)).build();
    match pool {
        Ok(pool) => pool.install(|| services.par_iter().map(|service| one(lab, service)).collect()),
        Err(_) => services.iter().map(|service| one(lab, service)).collect(),
    }
}

/// A link that was not tried.
pub fn untried(service: &Service, why: &str) -> LinkStatus {
    LinkStatus {
        name: service.name.clone(),
        host: service.host.clone(),
        url: service.url.clone(),
        login: service.login.clone(),
        reached: Reached::NotTried,
        says: why.to_owned(),
        certificate_ends: None,
    }
}

fn one(lab: &Lab, service: &Service) -> LinkStatus {
    if service.outside {
        return untried(service, "not tried: it is not in the lab");
    }
    let mut link = untried(service, "");
    match ask(lab, service) {
        Err(Trouble::NotHttp) => "not tried: no http or https link".clone_into(&mut link.says),
        Err(Trouble::NoAnswer(why)) => {
            link.reached = Reached::No;
            link.says = format!("no answer: {why}");
        }
        Ok((status, ends)) => {
            link.certificate_ends = ends;
            let (good, says) = judge(status, service.probe.as_ref().map(|probe| probe.status));
            link.reached = if good { Reached::Yes } else { Reached::Wrong };
            link.says = says;
        }
    }
    link
}

/// Whether an answer is the right one, and how that is said. Without a declared status, everything but a server's own
/// failure is an answer.
fn judge(status: u16, wanted: Option<u16>) -> (bool, String) {
    match wanted {
        Some(wanted) if wanted == status => (true, format!("answers {status} as it should")),
        Some(wanted) => (false, format!("answers {status}, and should answer {wanted}")),
        None if status < 500 => (true, format!("answers {status}")),
        None => (false, format!("answers {status}: it does not work")),
    }
}

enum Trouble {
    NotHttp,
    NoAnswer(String),
}

fn ask(lab: &Lab, service: &Service) -> Result<(u16, Option<String>), Trouble> {
    let no = Trouble::NoAnswer;
    let mut url = Url::parse(&service.url).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or(Trouble::NotHttp)?;
    if let Some(probe) = &service.probe {
        url.set_path(&probe.path);
    }
    let name = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or_default();
    let host = lab.hosts.iter().find(|host| host.name == service.host);
    let address = host.map(|host| host.address).ok_or_else(|| no(format!("there is no host {}", service.host)))?;
    let client = check::https_client(&lab.ca_pem, &name, SocketAddr::from((address, port))).map_err(no)?;
    let answer = client.get(url).timeout(DEADLINE).send();
    // The error's own text repeats the link; what counts is why, and what was tried.
    let answer = answer.map_err(|error| no(format!("{} (tried {address}:{port} from this machine)", why(&error))))?;
    let tls = answer.extensions().get::<reqwest::tls::TlsInfo>().and_then(|tls| tls.peer_certificate());
    Ok((answer.status().as_u16(), tls.and_then(Certificate::from_der).map(|served| served.ends)))
}

fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("nothing came within {} s", DEADLINE.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        assert_eq!(judge(401, Some(401)), (true, "answers 401 as it should".to_owned()));
        assert_eq!(judge(200, Some(401)), (false, "answers 200, and should answer 401".to_owned()));
        assert_eq!(judge(302, None), (true, "answers 302".to_owned()));
        assert!(!judge(502, None).0);
    }
}
