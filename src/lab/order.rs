//! The order of nodes: each after all it requires, otherwise as they are written.

use std::collections::BTreeSet;

/// Orders `count` nodes so that each comes after those it requires; among the ready ones the first goes first.
///
/// `Err` = circles, each as the list of its nodes (every one requires the next, the last one the first).
pub fn order(requires: &[Vec<usize>]) -> Result<Vec<usize>, Vec<Vec<usize>>> {
    let mut done = vec![false; requires.len()];
    let mut order = Vec::with_capacity(requires.len());
    while let Some(next) =
        (0..requires.len()).find(|&node| !done[node] && requires[node].iter().all(|&other| done.get(other).copied().unwrap_or(true)))
    {
        done[next] = true;
        order.push(next);
    }
    if order.len() == requires.len() { Ok(order) } else { Err(circles(requires, &done)) }
}

fn circles(requires: &[Vec<usize>], done: &[bool]) -> Vec<Vec<usize>> {
    let mut found = BTreeSet::new();
    for start in (0..requires.len()).filter(|&node| !done[node]) {
        let mut path = vec![start];
        // Every node that is left requires another one that is left, so this walk must meet itself.
        while let Some(&next) = path.last().and_then(|&last| requires[last].iter().find(|&&other| !done[other])) {
            if let Some(from) = path.iter().position(|&node| node == next) {
                let mut circle = path.split_off(from);
                let least = circle.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(index, _)| index);
                circle.rotate_left(least);
                found.insert(circle);
                break;
            }
            path.push(next);
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stable_and_after_what_is_required() {
        assert_eq!(order(&[vec![], vec![2], vec![], vec![]]), Ok(vec![0, 2, 1, 3]));
        assert_eq!(order(&[vec![1], vec![2], vec![1], vec![]]), Err(vec![vec![1, 2]]));
        assert_eq!(order(&[vec![0]]), Err(vec![vec![0]]));
    }

    proptest! {
        #[test]
        fn any_graph_is_ordered_or_has_a_circle(edges in proptest::collection::vec((0usize..12, 0usize..12), 0..30)) {
            let mut requires = vec![Vec::new(); 12];
            for (from, to) in edges {
                requires[from].push(to);
            }
            match order(&requires) {
                Ok(order) => {
                    for (place, node) in order.iter().enumerate() {
                        prop_assert!(requires[*node].iter().all(|other| order[..place].contains(other)));
                    }
                }
                Err(circles) => {
                    prop_assert!(!circles.is_empty());
                    for circle in circles {
                        for (index, node) in circle.iter().enumerate() {
                            prop_assert!(requires[*node].contains(&circle[(index + 1) % circle.len()]));
                        }
                    }
                }
            }
        }
    }
}
