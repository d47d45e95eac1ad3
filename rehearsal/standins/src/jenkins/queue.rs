//! The queue: what waits for an executor.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::record::Cause;

/// Something that waits, or waited.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its id.
    pub id: u64,
    /// Its job.
    pub job: String,
    /// Why it was started.
    pub cause: Cause,
    /// What the hook said.
    pub hook: BTreeMap<String, String>,
    /// The build that it became.
    pub build: Option<u64>,
    /// Somebody took it out.
    pub cancelled: bool,
}

/// The queue and what went through it lately.
#[derive(Default)]
pub struct Queue {
    items: Vec<Item>,
    last: u64,
}

/// How many items are remembered after they have left; Jenkins does so for five minutes.
const REMEMBERED: usize = 200;

impl Queue {
    /// Adds one. A job without parameters that waits already for the same commit is not queued twice.
    pub fn add(&mut self, job: &str, cause: Cause, hook: BTreeMap<String, String>) -> u64 {
        let same = |item: &&Item| item.waits() && item.job == job && item.hook == hook;
        if let Some(item) = self.items.iter().find(same) {
            return item.id;
        }
        self.last += 1;
        self.items.push(Item { id: self.last, job: job.to_owned(), cause, hook, build: None, cancelled: false });
        let gone = self.items.len().saturating_sub(REMEMBERED);
        let mut dropped = 0;
        self.items.retain(|item| {
            let old = !item.waits() && dropped < gone;
            dropped += usize::from(old);
            !old
        });
        self.last
    }

    /// The first item that may start; it becomes this build.
    pub fn take(&mut self, may: impl Fn(&str) -> bool, number: impl FnOnce(&str) -> u64) -> Option<(Item, u64)> {
        let item = self.items.iter_mut().find(|item| item.waits() && may(&item.job))?;
        let number = number(&item.job);
        item.build = Some(number);
        Some((item.clone(), number))
    }

    /// One item.
    pub fn get(&self, id: u64) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    /// Takes one out that waits.
    pub fn cancel(&mut self, id: u64) -> bool {
        match self.items.iter_mut().find(|item| item.id == id && item.waits()) {
            Some(item) => {
                item.cancelled = true;
                true
            }
            None => false,
        }
    }

    /// What waits.
    pub fn waiting(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.waits())
    }
}

impl Item {
    fn waits(&self) -> bool {
        self.build.is_none() && !self.cancelled
    }

    /// `/queue/item/N/api/json`
    pub fn json(&self, root: &str) -> Value {
        let url = format!("{root}job/{}/", self.job);
        let mut value = json!({
            "_class": if self.build.is_some() { "hudson.model.Queue$LeftItem" } else { "hudson.model.Queue$BlockedItem" },
            "id": self.id, "blocked": self.waits(), "buildable": false, "stuck": false, "cancelled": self.cancelled,
            "task": {"_class": "org.jenkinsci.plugins.workflow.job.WorkflowJob", "name": self.job, "url": url},
            "url": format!("queue/item/{}/", self.id),
            "why": if self.waits() { "Waiting for next available executor" } else { "" },
        });
        if let Some(number) = self.build {
            value["executable"] =
                json!({"_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun", "number": number, "url": format!("{url}{number}/")});
        }
        value
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_same_push_waits_once_and_jobs_keep_their_order() {
        let mut queue = Queue::default();
        let push = |sha: &str| BTreeMap::from([("gitlabAfter".to_owned(), sha.to_owned())]);
        let first = queue.add("a", Cause::GitLab("u".into()), push("1"));
        assert_eq!(queue.add("a", Cause::GitLab("u".into()), push("1")), first);
        let second = queue.add("a", Cause::GitLab("u".into()), push("2"));
        assert!(queue.take(|_| false, |_| 1).is_none());
        assert_eq!(queue.take(|_| true, |_| 7).unwrap().0.id, first);
        assert_eq!(queue.get(first).unwrap().json("/")["executable"]["number"], 7);
        assert!(queue.cancel(second) && !queue.cancel(second));
        assert_eq!(queue.waiting().count(), 0);
    }
}
