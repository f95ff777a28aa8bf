//! The arrows between states, taken from the tables; and the picture of them as Mermaid.

use std::fmt::Write;

use dagstore_fsm::table::{Act, CauseKind, Change, PLACES, Place, STEPS, TRANSITIONS, When};

/// An arrow between two different states, with everything that leads along it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrow {
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) labels: Vec<String>,
}

/// Every arrow, in the order of the places.
pub(crate) fn arrows() -> Vec<Arrow> {
    let mut found: Vec<Arrow> = Vec::new();
    let mut add = |from: Place, to: Place, label: String| {
        if from == to {
            return;
        }
        match found.iter_mut().find(|arrow| (arrow.from, arrow.to) == (from, to)) {
            Some(arrow) if arrow.labels.contains(&label) => {}
            Some(arrow) => arrow.labels.push(label),
            None => found.push(Arrow { from, to, labels: vec![label] }),
        }
    };
    for row in TRANSITIONS.iter().filter(|row| is_usual(row.when)) {
        for (from, to) in
            row.places.iter().flat_map(|from| row.acts.iter().filter_map(|act| Some((*from, target(act)?))))
        {
            add(from, to, label(row.event.name(), row.when));
        }
    }
    for row in STEPS {
        for (act, when) in row.acts.iter().flat_map(|act| row.when.iter().map(move |when| (act, when))) {
            if let (Act::Become(state), Some(why)) = (act, in_short(*when)) {
                for from in targets_of(row.cause) {
                    add(from, Some(*state), why.to_owned());
                }
            }
        }
    }
    let order = |place: Place| PLACES.iter().position(|at| *at == place);
    found.sort_by_key(|arrow| (order(arrow.from), order(arrow.to)));
    found
}

/// Whether a row is of the usual course of things: whoever uses up the numbers of attempts finds those in the table.
pub(crate) fn is_usual(when: &[When]) -> bool {
    !when.iter().any(|when| matches!(when, When::NoAttemptLeft | When::NoAttemptLeftSaid))
}

/// Where an act leads, if it leads anywhere.
pub(crate) fn target(act: &Act) -> Option<Place> {
    match act {
        Act::Become(state) => Some(Some(*state)),
        Act::Step(_, changes) => changes.iter().find_map(|change| match change {
            Change::State(state) => Some(Some(*state)),
            Change::Deleted => Some(None),
            _ => None,
        }),
        _ => None,
    }
}

fn targets_of(cause: CauseKind) -> Vec<Place> {
    let steps = TRANSITIONS.iter().flat_map(|row| row.acts);
    let steps = steps.filter(|act| matches!(act, Act::Step(of, _) if *of == cause));
    let mut targets: Vec<Place> = steps.filter_map(target).collect();
    targets.dedup();
    targets
}

/// The event, with those conditions that say why it leads here and not elsewhere.
fn label(event: &str, when: &[When]) -> String {
    let conditions: Vec<&str> = when.iter().filter_map(|when| in_short(*when)).collect();
    if conditions.is_empty() { event.to_owned() } else { format!("{event} ({})", conditions.join(", ")) }
}

/// A condition that decides where an arrow leads.
fn in_short(when: When) -> Option<&'static str> {
    match when {
        When::Lazy => Some("lazy"),
        When::Eager => Some("eager"),
        When::LastReference => Some("the last"),
        When::Lasting => Some("the error stays"),
        When::Flagged => Some("by policy"),
        When::Due => Some("due"),
        When::Parked => Some("at once, if parked"),
        When::References => Some("at once, if still open"),
        _ => None,
    }
}

/// The arrows as a Mermaid diagram.
pub(crate) fn mermaid(arrows: &[Arrow]) -> String {
    let name = |place: Place| place.map_or("[*]", |state| state.name());
    let mut text = "```mermaid\nstateDiagram-v2\n".to_owned();
    for arrow in arrows {
        // Writing to a string can't fail.
        let _ = writeln!(text, "    {} --> {}: {}", name(arrow.from), name(arrow.to), arrow.labels.join(" / "));
    }
    text.push_str("```\n");
    text
}

#[cfg(test)]
mod tests {
    use dagstore_types::ShardState;

    use super::arrows;

    #[test]
    fn arrows_carry_what_leads_along_them() {
        let arrows = arrows();
        let labels = |from, to| {
            let arrow = arrows.iter().find(|arrow| (arrow.from, arrow.to) == (from, to));
            arrow.map(|arrow| arrow.labels.join(" / ")).unwrap_or_default()
        };
        assert_eq!(labels(None, Some(ShardState::New)), "Register (lazy)");
        assert_eq!(labels(Some(ShardState::New), Some(ShardState::Initializing)), "Acquire / Initialize");
        assert_eq!(labels(Some(ShardState::Destroying), None), "Destroyed");
        assert_eq!(labels(Some(ShardState::Serving), Some(ShardState::Destroying)), "");
        let opens = labels(Some(ShardState::Available), Some(ShardState::Serving));
        assert_eq!(opens, "Acquire / at once, if parked / at once, if still open");
    }
}
