//! What the application answers to its users, over the network.

use std::io::Read as _;
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use serde_json::Value;

use super::{Commit, Target};
use crate::check::chain;

/// Longest wait for one answer.
const REQUEST: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read: both pages are small.
const MOST: u64 = 256 * 1024;
/// The line above the list, which the website only has when the API answered it.
const LIST: &str = "This is the list of the student with age";

/// Looks at the application from outside.
pub trait Answers {
    /// What `/status` says the commit is.
    fn commit(&self, target: &Target) -> Result<String, String>;
    /// Whether the website lists students.
    fn students(&self, target: &Target) -> Result<(), String>;
}

/// Both must answer, the API with this commit. `Err` says what is missing.
pub fn all(answers: &dyn Answers, target: &Target, commit: &Commit) -> Result<(), String> {
    let told = answers.commit(target)?;
    if told != commit.to_string() {
        return Err(format!("{}/status says commit {told}, not {commit}", target.api));
    }
    answers.students(target)
}

/// By HTTP, without proxies and redirects.
pub struct Http(Client);

impl Http {
    /// A client.
    pub fn new() -> Result<Self, String> {
        let builder = Client::builder().timeout(REQUEST).no_proxy().redirect(reqwest::redirect::Policy::none());
        builder.build().map(Self).map_err(|e| format!("cannot make an HTTP client: {}", chain(&e)))
    }
}

/// The body of an answer with status 200.
fn body(url: &str, answer: reqwest::Result<Response>) -> Result<String, String> {
    let answer = answer.map_err(|e| format!("{url} does not answer: {}", chain(&e)))?;
    let status = answer.status();
    let mut text = String::new();
    answer.take(MOST).read_to_string(&mut text).map_err(|e| format!("{url}: {e}"))?;
    if status.as_u16() == 200 { Ok(text) } else { Err(format!("{url} answers with status {status}")) }
}

/// `{"myapplication": [{"lastcommitsha": "…"}]}`
fn commit_of(url: &str, text: &str) -> Result<String, String> {
    let value: Value = serde_json::from_str(text).map_err(|_| format!("{url} does not answer with JSON"))?;
    let commit = value.pointer("/myapplication/0/lastcommitsha").and_then(Value::as_str);
    commit.map(str::to_owned).ok_or_else(|| format!("{url} says no commit"))
}

impl Answers for Http {
    fn commit(&self, target: &Target) -> Result<String, String> {
        let url = format!("{}/status", target.api.trim_end_matches('/'));
        commit_of(&url, &body(&url, self.0.get(&url).send())?)
    }

    fn students(&self, target: &Target) -> Result<(), String> {
        let url = format!("{}/", target.website.trim_end_matches('/'));
        // A status alone proves nothing: the page itself is there without its API, too.
        let form = "submit=List+Student";
        let asked = self.0.post(&url).header("Content-Type", "application/x-www-form-urlencoded").body(form).send();
        let text = body(&url, asked)?;
        if text.contains(LIST) { Ok(()) } else { Err(format!("{url} does not list the students")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::TcpListener;

    /// Answers each request with the next of these, and hands out what was asked.
    fn serve(answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 4096];
                let n = stream.read(&mut buffer).unwrap();
                asked.push(String::from_utf8_lossy(&buffer[..n]).lines().next().unwrap().to_owned());
                let _ = write!(stream, "HTTP/1.1 {answer}");
            }
            asked
        });
        (url, thread)
    }

    #[test]
    fn both_must_answer_and_the_api_with_the_commit() {
        let (url, server) = serve(&[
            "200 OK\r\nConnection: close\r\n\r\n{\"myapplication\":[{\"lastcommitsha\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}]}",
            "200 OK\r\nConnection: close\r\n\r\n<p>This is the list of the student with age</p>",
            "200 OK\r\nConnection: close\r\n\r\n{\"myapplication\":[{\"lastcommitsha\":\"b\"}]}",
            "500 Oh\r\nConnection: close\r\n\r\n{\"myapplication\":[{\"lastcommitsha\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}]}",
            "302 Go\r\nConnection: close\r\nLocation: /elsewhere\r\n\r\n",
            "200 OK\r\nConnection: close\r\n\r\n{}",
        ]);
        let target = Target { address: String::new(), port: 22, api: url.clone(), website: format!("{url}/") };
        let commit = "a".repeat(40).parse().unwrap();
        let http = Http::new().unwrap();
        assert_eq!(all(&http, &target, &commit), Ok(()));
        assert!(all(&http, &target, &commit).unwrap_err().contains("says commit b, not aaaa"));
        assert!(all(&http, &target, &commit).unwrap_err().contains("status 500"));
        assert!(all(&http, &target, &commit).unwrap_err().contains("status 302"));
        assert!(all(&http, &target, &commit).unwrap_err().contains("says no commit"));
        assert_eq!(server.join().unwrap()[..2], ["GET /status HTTP/1.1", "POST / HTTP/1.1"]);
        assert!(all(&http, &target, &commit).unwrap_err().contains("does not answer"));
    }

    #[test]
    fn a_page_without_the_list_is_not_enough() {
        let (url, server) =
            serve(&["200 OK\r\nConnection: close\r\n\r\n<h1>Student Checking App</h1>", "502 No\r\nConnection: close\r\n\r\n"]);
        let target = Target { address: String::new(), port: 22, api: String::new(), website: url };
        let http = Http::new().unwrap();
        assert!(http.students(&target).unwrap_err().contains("does not list"));
        assert!(http.students(&target).unwrap_err().contains("502"));
        server.join().unwrap();
    }
}
