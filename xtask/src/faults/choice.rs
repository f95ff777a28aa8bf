//! Which faults continuous integration plants.

use std::process::Command;

use crate::shell;
use crate::workspace::Workspace;

/// A number out of the commit's hash; 0 where no commit is known.
pub(crate) fn seed(workspace: &Workspace) -> u64 {
    let hash = shell::capture(Command::new("git").current_dir(workspace.root()).args(["rev-parse", "HEAD"]));
    let number = |hash: String| u64::from_str_radix(hash.get(..16)?, 16).ok();
    hash.ok().and_then(number).unwrap_or(0)
}

/// Chooses `wanted` different numbers below `count`, or all where there are fewer.
pub(crate) fn choose(seed: u64, count: usize, wanted: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..count).collect();
    let mut seed = seed;
    let mut chosen = Vec::new();
    while chosen.len() < wanted && !left.is_empty() {
        let of = left.len() as u64;
        // The remainder is below the number of those left.
        let at = usize::try_from(seed % of).unwrap_or(0);
        chosen.push(left.swap_remove(at));
        seed /= of;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::choose;

    #[test]
    fn as_many_as_wanted_are_chosen_and_each_is_somebodys_choice() {
        let mut all = BTreeSet::new();
        for seed in 0..10_000 {
            let chosen: BTreeSet<usize> = choose(seed, 20, 3).into_iter().collect();
            assert_eq!(chosen.len(), 3, "the choice of {seed}");
            all.extend(chosen);
        }
        assert_eq!(all, (0..20).collect());
        assert_eq!(choose(u64::MAX, 2, 3).len(), 2);
        assert!(choose(7, 0, 3).is_empty());
    }
}
