//! A sequence that broke a rule, as a file that others can run.
//!
//! The file is text, a name and its value on each line, in this order:
//!
//! ```text
//! dagstore-sim 1
//! seed 2056
//! events 36
//! drawn 31 9b1c2f6a00d4e871
//! kept 3-5 9 17
//! breaks I5
//! ```
//!
//! `seed` and `events` (the average length) draw the sequence; `drawn` says how many events it has and which they are, so that
//! a generator that draws another one by now is noticed; `kept` are the numbers of the events that are left of it, from
//! 0; `breaks` is the rule.

use std::fmt;
use std::str::FromStr;

use crate::event::{MOST_EVENTS, Sequence};

/// The first line: whose file it is, and the version of its format.
const HEAD: &str = "dagstore-sim 1";

/// How to come by a sequence that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Its seed.
    pub seed: u64,
    /// How many events sequences have on the average: without it the seed is another sequence.
    pub mean: u64,
    /// Which of its events are left, by their numbers.
    pub kept: Vec<usize>,
    /// The rule.
    pub rule: String,
    drawn: Drawn,
}

/// What a seed has drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Drawn {
    events: usize,
    fingerprint: u64,
}

/// The seed draws another sequence than it did when the recipe was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    seed: u64,
}

impl Recipe {
    pub(crate) fn new(sequence: &Sequence, mean: u64, kept: Vec<usize>, rule: &str) -> Self {
        Self { seed: sequence.seed, mean, kept, rule: rule.to_owned(), drawn: Drawn::of(sequence) }
    }

    /// The sequence with the events that are left.
    pub(crate) fn sequence(&self) -> Result<Sequence, Stale> {
        let sequence = Sequence::of(self.seed, self.mean);
        if Drawn::of(&sequence) != self.drawn {
            return Err(Stale { seed: self.seed });
        }
        Ok(sequence.only(&self.kept))
    }
}

impl Drawn {
    fn of(sequence: &Sequence) -> Self {
        // FNV-1a over what the events are in words: short, and the same on every machine.
        let words = format!("{:?}{:?}", sequence.setup, sequence.events);
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self { events: sequence.events.len(), fingerprint: words.bytes().fold(0xcbf2_9ce4_8422_2325, step) }
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {} draws other events than when the file was written; run it with the sources of then",
            self.seed
        )
    }
}

impl std::error::Error for Stale {}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, mean, kept, rule, drawn: Drawn { events, fingerprint } } = self;
        writeln!(f, "{HEAD}\nseed {seed}\nevents {mean}\ndrawn {events} {fingerprint:016x}")?;
        f.write_str("kept")?;
        for run in kept.chunk_by(|one, next| *next == one + 1) {
            match run {
                [one] => write!(f, " {one}")?,
                [first, .., last] => write!(f, " {first}-{last}")?,
                [] => {}
            }
        }
        writeln!(f, "\nbreaks {rule}")
    }
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return Err(format!("the first line is not {HEAD:?}"));
        }
        let mut value = |name: &str| {
            let line = lines.next().unwrap_or_default();
            let value = line.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(' '));
            value.map(str::trim).ok_or_else(|| format!("{line:?} stands where `{name}` should"))
        };
        let (seed, mean) = (number(value("seed")?)?, number(value("events")?)?);
        if mean > MOST_EVENTS {
            return Err(format!("events {mean}: at most {MOST_EVENTS}"));
        }
        let drawn = value("drawn")?;
        let (events, fingerprint) = drawn.split_once(' ').ok_or_else(|| format!("drawn {drawn:?} lacks a number"))?;
        let fingerprint = u64::from_str_radix(fingerprint, 16).map_err(|error| format!("{fingerprint:?}: {error}"))?;
        let drawn = Drawn { events: number(events)?, fingerprint };
        // As many as a sequence of this length on the average can have.
        if drawn.events as u64 > mean / 2 + mean + 1 {
            return Err(format!("drawn {events}: a sequence of {mean} events on the average has fewer"));
        }
        let mut kept: Vec<usize> = Vec::new();
        for run in value("kept")?.split_whitespace() {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            let (first, last): (usize, usize) = (number(first)?, number(last)?);
            // Checked before anything is made of it: a file may say anything.
            if first > last || last >= drawn.events || kept.last().is_some_and(|before| *before >= first) {
                return Err(format!("{run} is not among the {} events, or not in their order", drawn.events));
            }
            kept.extend(first..=last);
        }
        Ok(Self { seed, mean, kept, rule: value("breaks")?.to_owned(), drawn })
    }
}

fn number<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(kept: Vec<usize>) -> Recipe {
        Recipe::new(&Sequence::of(7, 36), 36, kept, "I5")
    }

    #[test]
    fn a_recipe_is_read_as_it_is_written_and_gives_its_events() {
        for kept in [vec![], vec![0], vec![0, 1, 2, 5, 7, 8]] {
            let recipe = recipe(kept.clone());
            assert_eq!(recipe.to_string().parse(), Ok(recipe.clone()), "{recipe}");
            let sequence = recipe.sequence().unwrap();
            let all = Sequence::of(7, 36).events;
            let events: Vec<_> = kept.iter().map(|number| format!("{:?}", all[*number])).collect();
            assert_eq!(sequence.events.iter().map(|event| format!("{event:?}")).collect::<Vec<_>>(), events);
        }
    }

    #[test]
    fn a_seed_that_draws_something_else_is_noticed() {
        let mut recipe = recipe(vec![0]);
        recipe.drawn.fingerprint ^= 1;
        assert_eq!(recipe.sequence().err(), Some(Stale { seed: 7 }));
    }

    #[test]
    fn what_is_no_recipe_is_refused() {
        let good = recipe(vec![0, 1, 5]).to_string();
        assert!(good.parse::<Recipe>().is_ok());
        for (old, new) in [
            ("sim 1", "sim 2"),
            ("seed 7", "seed x"),
            ("0-1", "1-0"),
            ("0-1 5", "5 0-1"),
            (" 5", " 9999"),
            ("events 36", "events 18446744073709551615"),
            ("drawn ", "drawn 9999999999"),
        ] {
            let bad = good.replacen(old, new, 1);
            assert!(bad != good && bad.parse::<Recipe>().is_err(), "{bad}");
        }
        assert!("".parse::<Recipe>().is_err() && good.replace("breaks I5", "").parse::<Recipe>().is_err());
    }
}
