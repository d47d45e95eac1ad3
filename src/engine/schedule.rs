//! Runs nodes in parallel over hosts, each after what it requires; a failure stops its dependents only.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::lab::Lab;

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As desired.
    Done,
    /// Failed.
    Failed,
    /// Not tried, because the node with this index failed or was not reached.
    NotReached(usize),
}

struct Board {
    /// How many nodes (of this run) must still end before: required ones, and the previous one on the same host.
    waiting: Vec<usize>,
    ended: Vec<Option<Ended>>,
}

/// Runs `nodes` (indexes into `lab.nodes`, in an order where requirements come first) on at most `parallel` threads.
///
/// Nodes of one host never run at the same time. `work` returns whether the node is now as desired; `skip` is told about
/// nodes that are not tried.
pub fn run<W, S>(lab: &Lab, nodes: &[usize], parallel: usize, work: W, skip: S) -> Result<Vec<(usize, Ended)>, String>
where
    W: Fn(usize) -> bool + Sync,
    S: Fn(usize, usize) + Sync,
{
    let position_of: HashMap<usize, usize> = nodes.iter().enumerate().map(|(position, &node)| (node, position)).collect();
    let required: Vec<Vec<usize>> =
        nodes.iter().map(|&n| lab.nodes[n].requires.iter().filter_map(|r| position_of.get(r).copied()).collect()).collect();
    let mut last_on_host: HashMap<usize, usize> = HashMap::new();
    // What waits for each node, and for how many each node waits.
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut waiting: Vec<usize> = Vec::with_capacity(nodes.len());
    for (position, &node) in nodes.iter().enumerate() {
        let mut before = required[position].clone();
        before.extend(last_on_host.insert(lab.nodes[node].host, position));
        before.sort_unstable();
        before.dedup();
        waiting.push(before.len());
        before.into_iter().for_each(|earlier| next[earlier].push(position));
    }
    let ready: Vec<usize> = (0..nodes.len()).filter(|&position| waiting[position] == 0).collect();
    let board = Mutex::new(Board { waiting, ended: vec![None; nodes.len()] });
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(parallel.max(1)).build().map_err(|e| format!("cannot start worker threads: {e}"))?;
    let shared = Shared { nodes, required: &required, next: &next, board: &board, work: &work, skip: &skip };
    pool.scope(|scope| {
        for position in ready {
            scope.spawn(move |scope| shared.start(position, scope));
        }
    });
    let board = board.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(nodes.iter().copied().zip(board.ended.into_iter().map(|ended| ended.unwrap_or(Ended::Failed))).collect())
}

struct Shared<'a, W, S> {
    nodes: &'a [usize],
    required: &'a [Vec<usize>],
    next: &'a [Vec<usize>],
    board: &'a Mutex<Board>,
    work: &'a W,
    skip: &'a S,
}

impl<W, S> Clone for Shared<'_, W, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W, S> Copy for Shared<'_, W, S> {}

impl<'a, W: Fn(usize) -> bool + Sync, S: Fn(usize, usize) + Sync> Shared<'a, W, S> {
    fn start<'s>(self, position: usize, scope: &rayon::Scope<'s>)
    where
        'a: 's,
    {
        let blocker = {
            let board = self.lock();
            self.required[position].iter().copied().find(|&p| board.ended[p] != Some(Ended::Done))
        };
        let node = self.nodes[position];
        let ended = match blocker {
            Some(p) => {
                (self.skip)(node, self.nodes[p]);
                Ended::NotReached(self.nodes[p])
            }
            None if (self.work)(node) => Ended::Done,
            None => Ended::Failed,
        };
        let mut board = self.lock();
        board.ended[position] = Some(ended);
        for &p in &self.next[position] {
            board.waiting[p] -= 1;
            if board.waiting[p] == 0 {
                scope.spawn(move |scope| self.start(p, scope));
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'a, Board> {
        self.board.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::base::Redactor;
    use crate::lab::{Host, Node, Os};
    use crate::ssh::Reach;

    /// `(host, requires)` per node.
    fn lab(nodes: &[(usize, &[usize])]) -> Lab {
        let hosts = 1 + nodes.iter().map(|(host, _)| *host).max().unwrap_or_default();
        let host = |h: usize| Host {
            name: format!("h{h}"),
            address: std::net::Ipv4Addr::LOCALHOST,
            os: Os::Rehearsal,
            groups: Vec::new(),
            reach: Reach::Program(Vec::new()),
        };
        let node = |(i, (host, requires)): (usize, &(usize, &[usize]))| Node {
            host: *host,
            role: format!("r{i}"),
            resources: Vec::new(),
            handlers: Vec::new(),
            requires: requires.to_vec(),
            not_configured: None,
        };
        Lab {
            new_hosts: Vec::new(),
            name: "test".to_owned(),
            root: std::path::PathBuf::new(),
            state_dir: std::path::PathBuf::new(),
            known_hosts: std::path::PathBuf::new(),
            hosts: (0..hosts).map(host).collect(),
            nodes: nodes.iter().enumerate().map(node).collect(),
            checks: Vec::new(),
            services: Vec::new(),
            stand_ins: Vec::new(),
            notes: Vec::new(),
            secrets: Vec::new(),
            source: crate::lab::Source::default(),
            ca_pem: String::new(),
            redactor: Redactor::new(),
        }
    }

    fn ends(lab: &Lab, parallel: usize, failing: &[usize]) -> Vec<Ended> {
        let all: Vec<usize> = (0..lab.nodes.len()).collect();
        run(lab, &all, parallel, |node| !failing.contains(&node), |_, _| {}).unwrap().into_iter().map(|(_, ended)| ended).collect()
    }

    #[test]
    fn a_failure_stops_its_dependents_only() {
        // h0: 0 -> 1; h1: 2, 3 requires 1 (elsewhere), 4 requires nothing.
        let lab = lab(&[(0, &[]), (0, &[0]), (1, &[]), (1, &[1]), (1, &[])]);
        let ended = ends(&lab, 2, &[0]);
        assert_eq!(ended, [Ended::Failed, Ended::NotReached(0), Ended::Done, Ended::NotReached(1), Ended::Done]);
    }

    #[test]
    fn nodes_of_one_host_never_overlap_and_one_thread_is_enough() {
        let lab = lab(&[(0, &[]), (1, &[]), (0, &[1]), (1, &[0]), (0, &[]), (1, &[4])]);
        for parallel in [1, 2, 8] {
            let busy = [AtomicUsize::new(0), AtomicUsize::new(0)];
            let order = Mutex::new(Vec::new());
            let work = |node: usize| {
                let host = lab.nodes[node].host;
                assert_eq!(busy[host].fetch_add(1, Ordering::SeqCst), 0, "two nodes at once on host {host}");
                std::thread::sleep(std::time::Duration::from_millis(2));
                order.lock().unwrap().push(node);
                busy[host].fetch_sub(1, Ordering::SeqCst);
                true
            };
            run(&lab, &[0, 1, 2, 3, 4, 5], parallel, work, |_, _| {}).unwrap();
            let order = order.into_inner().unwrap();
            assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 6);
            for (node, n) in lab.nodes.iter().enumerate() {
                let at = |wanted: usize| order.iter().position(|&done| done == wanted).unwrap();
                assert!(n.requires.iter().all(|&r| at(r) < at(node)), "{order:?}");
            }
        }
    }
}
