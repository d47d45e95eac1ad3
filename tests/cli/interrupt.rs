//! Ctrl-C.

use std::io::{BufRead as _, BufReader, Read as _};
use std::time::{Duration, Instant};

use crate::lab::Lab;

#[test]
fn an_interrupted_run_is_130_at_once_and_the_next_one_goes_on() {
    let lab = Lab::new();
    lab.replace("roles/site/role.yml", "echo data >{{ root }}/data", "echo $$ >{{ root }}/pid; sleep 300; echo data >{{ root }}/data");
    let mut child = lab.poclab("bootstrap").spawn();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("the site has data\n") {
        assert!(stdout.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let pid = loop {
        let pid = std::fs::read_to_string(lab.path("hosts/web/pid")).unwrap_or_default();
        if pid.ends_with('\n') {
            break pid.trim().to_owned();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let interrupted = Instant::now();
    let process = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let mut stderr = String::new();
    stdout.read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{said}{stderr}");
    assert!(interrupted.elapsed() < Duration::from_secs(5), "{:?}", interrupted.elapsed());
    assert!(stderr.contains("interrupted: stopping"), "{stderr}");
    assert!(said.contains("interrupted: what was begun is finished by the next run"), "{said}");
    assert!(said.contains("-> run `poclab bootstrap` again: it goes on where it stopped"), "{said}");
    assert!(said.contains("checks: not run, as the run was interrupted"), "{said}");
    let running = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(!running, "the step still runs");

    lab.replace("roles/site/role.yml", "sleep 300; ", "");
    lab.poclab("bootstrap").exits(0);
    assert_eq!((lab.read("hosts/web/data").as_str(), lab.read("hosts/web/restarts").as_str()), ("data\n", "restarted\n"));
}
