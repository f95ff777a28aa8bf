//! Every feature of every crate is on where the tests are run: a test behind one that isn't never runs, and nobody notices.

use std::collections::BTreeMap;

use cargo_metadata::Metadata;

use super::Problem;

/// Features with a stage of their own.
const ELSEWHERE: [(&str, &str); 3] =
    [("dagstore-engine", "shuttle"), ("dagstore-transient", "shuttle"), ("dagstore-fuzz", "libfuzzer")];

/// Reports features that are off. `metadata` is that of the workspace with the features that the tests turn on.
pub(crate) fn check(metadata: &Metadata) -> Vec<Problem> {
    let nodes = metadata.resolve.as_ref().map_or(&[][..], |resolve| &resolve.nodes[..]);
    let on: BTreeMap<_, _> = nodes.iter().map(|node| (&node.id, &node.features)).collect();
    let mut problems = Vec::new();
    for member in metadata.workspace_packages() {
        let is_on = |feature: &str| {
            on.get(&member.id).is_some_and(|features| features.iter().any(|name| name.as_str() == feature))
        };
        let has = member.features.keys().map(String::as_str);
        problems.extend(missing(member.name.as_str(), has, is_on));
    }
    problems
}

fn missing<'a>(name: &str, features: impl Iterator<Item = &'a str>, is_on: impl Fn(&str) -> bool) -> Vec<Problem> {
    let is_missing = |feature: &&str| !is_on(feature) && !ELSEWHERE.contains(&(name, *feature));
    let text = |feature| format!("its feature {feature:?} is on in no run of the tests: see xtask/src/selection.rs");
    features.filter(is_missing).map(|feature| Problem::of(name, text(feature))).collect()
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn a_feature_that_no_run_turns_on_is_reported() {
        let found =
            |name, features: &[&'static str]| missing(name, features.iter().copied(), |feature| feature == "on");
        assert_eq!(found("dagstore-engine", &["on", "shuttle"]), []);
        let problems: Vec<_> = found("a", &["on", "off"]).iter().map(ToString::to_string).collect();
        assert_eq!(problems, ["a: its feature \"off\" is on in no run of the tests: see xtask/src/selection.rs"]);
        assert_eq!(found("a", &["shuttle"]).len(), 1);
    }
}
