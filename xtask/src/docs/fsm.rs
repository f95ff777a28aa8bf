//! `docs/fsm.md`: the state machine for people, with its tables.

use std::fmt::Write;

use dagstore_fsm::table::{Act, CauseKind, EventKind, PLACES, Place, RESTARTS, STEPS, TRANSITIONS, Transition, Whom};
use dagstore_types::ShardState;

use super::diagram::{self, Arrow, is_usual};
use super::markdown::table;
use super::words;

/// What stands before the tables.
const INTRODUCTION: &str = include_str!("fsm/introduction.md");

/// What stands behind them.
const RULES: &str = include_str!("fsm/rules.md");

/// The events that the overview shows: those that somebody asks for, the ends of work, and the release.
const OVERVIEW: [EventKind; 8] = [
    EventKind::Register,
    EventKind::Acquire,
    EventKind::Release,
    EventKind::Recover,
    EventKind::Destroy,
    EventKind::Available,
    EventKind::Failed,
    EventKind::RetryDue,
];

/// The whole page.
pub(crate) fn page(arrows: &[Arrow]) -> String {
    let sections = [
        INTRODUCTION.to_owned(),
        format!("## The states\n{}", states()),
        format!(
            "## The picture\n![The states of a shard and what leads from one to another](fsm.svg)\n\n\
             A step that doesn't change the state, and whatever is refused, isn't drawn. The same for tools:\n\n{}",
            diagram::mermaid(arrows)
        ),
        format!(
            "## Overview\nWhat the main events do in each state. An arrow is a change of state, durable before anybody hears of \
             it, but for the two between Available and Serving. An empty cell can't happen: nobody holds a reference there.\n\n{}",
            overview()
        ),
        format!(
            "## The transition table\nFor a shard without a step under way. While there is one, only `Release` and \
             `CancelWaiter` do what stands here; every other event waits for the step's end, in order. Everything in a row \
             happens in the order in which it stands. *Stale* means dropped and counted: the event is of another life of \
             the shard.\n{}",
            transitions()
        ),
        format!(
            "### When no attempt is left\nEvery start of work and every recovery takes a number that names its files, and no \
             number is used twice. A registration that has used up all four billion of them fails for good:\n\n{}",
            without_attempts()
        ),
        format!(
            "## How a step ends\nOnce a step is durable (`Synced`) it is the record, and this follows:\n\n{}\n\
             If it could not be made durable in time (`NotSynced`):\n\n{}",
            ends(true),
            ends(false)
        ),
        format!(
            "## The restart table\nWhat opening a store makes of each record it finds. Nobody holds a reference then, and \
             whoever waited is gone.\n\n{}\nA record that can't be read, names a state that doesn't exist or a mount of an \
             unknown scheme doesn't come this far: it is quarantined, which means listed with the reason, kept with its \
             files, and left alone.\n",
            restarts()
        ),
        RULES.to_owned(),
    ];
    sections.join("\n")
}

fn states() -> String {
    let mut rows = vec![vec!["none".to_owned(), String::new(), "Not registered, or destroyed: no record.".to_owned()]];
    for state in PLACES.iter().copied().flatten() {
        rows.push(vec![state.to_string(), format!("`0x{:02x}`", state.byte()), words::meaning(state).to_owned()]);
    }
    table(&["state", "byte on disk", "meaning"], &rows)
}

fn overview() -> String {
    let heads: Vec<&str> = ["state"].into_iter().chain(OVERVIEW.iter().map(|event| event.name())).collect();
    let row = |place: &Place| {
        let cells = OVERVIEW.iter().map(|event| cell(*event, *place));
        [format!("**{}**", words::place(*place))].into_iter().chain(cells).collect()
    };
    table(&heads, &PLACES.iter().map(row).collect::<Vec<_>>())
}

/// The usual rows of one event in one state, in a few words each.
fn cell(event: EventKind, place: Place) -> String {
    let rows = TRANSITIONS.iter().filter(|row| row.event == event && row.places.contains(&place) && is_usual(row.when));
    let rows: Vec<(String, String)> = rows.map(|row| (words::unusual_conditions(row.when), in_short(row))).collect();
    match rows.as_slice() {
        [] => String::new(),
        [(_, only)] => only.clone(),
        [(_, first), rest @ ..] if rest.iter().all(|(_, other)| other == first) => first.clone(),
        rows => {
            let told = rows.iter().filter(|(_, what)| what != "stale");
            let told = told.map(|(when, what)| if when.is_empty() { what.clone() } else { format!("{when}: {what}") });
            told.collect::<Vec<_>>().join("<br>")
        }
    }
}

fn in_short(row: &Transition) -> String {
    let short = |act: &Act| match act {
        Act::Tell(Whom::Caller, said) => Some(words::said(*said).trim_start_matches("refuse: ").to_owned()),
        Act::Park | Act::Join => Some("waits".to_owned()),
        Act::Open => Some("opens".to_owned()),
        Act::GiveBack => Some("counted".to_owned()),
        Act::Stale => Some("stale".to_owned()),
        Act::Retry => Some("waits on".to_owned()),
        act => diagram::target(act).map(|to| format!("→ {}", words::place(to))),
    };
    row.acts.iter().filter_map(short).collect::<Vec<_>>().join(", ")
}

fn transitions() -> String {
    let mut text = String::new();
    for event in EventKind::ALL.iter().filter(|event| !matches!(event, EventKind::Synced | EventKind::NotSynced)) {
        let rows = TRANSITIONS.iter().filter(|row| row.event == *event && is_usual(row.when));
        let rows: Vec<Vec<String>> = rows
            .map(|row| vec![words::places(row.places), words::conditions(row.when), words::acts(row.acts)])
            .collect();
        // Writing to a string can't fail.
        let _ = writeln!(text, "\n### {}\n{}\n", event.name(), words::event(*event));
        text.push_str(&table(&["in", "if", "then"], &rows));
    }
    text
}

fn without_attempts() -> String {
    let rows = TRANSITIONS.iter().filter(|row| !is_usual(row.when));
    let cells = |row: &Transition| {
        vec![row.event.name().to_owned(), words::places(row.places), words::conditions(row.when), words::acts(row.acts)]
    };
    table(&["event", "in", "if", "then"], &rows.map(cells).collect::<Vec<_>>())
}

fn ends(durable: bool) -> String {
    let mut rows = Vec::new();
    for cause in CauseKind::ALL {
        for row in STEPS.iter().filter(|row| (row.cause, row.durable) == (*cause, durable)) {
            let name = format!("*{}*: {}", cause.name(), words::cause(*cause));
            rows.push(vec![name, words::conditions(row.when), words::acts(row.acts)]);
        }
    }
    table(&["step", "if", "then"], &rows)
}

fn restarts() -> String {
    let rows = RESTARTS.iter().map(|row| {
        let states: Vec<&str> = row.states.iter().map(|state| ShardState::name(*state)).collect();
        vec![states.join(", "), words::restart_conditions(row.when), words::restart(row.outcome).to_owned()]
    });
    table(&["record", "if", "then"], &rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use dagstore_fsm::table::{EventKind, Said};
    use dagstore_types::ShardState;

    use super::{cell, page};
    use crate::docs::diagram::arrows;
    use crate::docs::words;

    #[test]
    fn the_page_shows_every_event_and_every_state() {
        let page = page(&arrows());
        for event in EventKind::ALL {
            assert!(page.contains(words::event(*event)) || page.contains(event.name()), "{event:?}");
        }
        for state in ShardState::ALL {
            assert!(page.contains(words::meaning(state)), "{state}");
        }
    }

    #[test]
    fn a_cell_says_what_happens_and_when() {
        assert_eq!(cell(EventKind::Acquire, None), "not found");
        assert_eq!(cell(EventKind::Acquire, Some(ShardState::Available)), "→ Serving, opens");
        assert_eq!(cell(EventKind::Release, Some(ShardState::New)), "");
        assert_eq!(cell(EventKind::Available, Some(ShardState::Recovering)), "→ Available");
        assert!(words::said(Said::InUse).ends_with("in use"));
    }
}
