//! The share of sequences that every run of the tests has, and those that once found a fault.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use dagstore_sim::{Amount, Plan, known, replay, simulate};

/// How many sequences are run; `cargo xtask test` asks for many more than a plain `cargo test`, whose engine is slow.
const SEQUENCES_VARIABLE: &str = "DAGSTORE_SIM_SEQUENCES";
const FEW: u64 = 300;

#[test]
fn random_sequences_break_no_rule() {
    let sequences = std::env::var(SEQUENCES_VARIABLE).ok().map_or(FEW, |number| number.parse().unwrap());
    let report = simulate(Plan::new(1, Amount::Sequences(sequences)));
    #[expect(clippy::print_stdout, reason = "a test speaks to whoever runs it")]
    {
        println!("simulation from seed 1: {report}");
    }
    assert!(report.failure.is_none(), "a sequence broke a rule; it is printed above");
    let counts = report.counts;
    assert_eq!(counts.sequences, sequences);
    assert!(counts.events >= 30 * sequences, "too few events: {counts:?}");
    assert!(3 * counts.crashed >= sequences, "too few crashes: {counts:?}");
    assert!(counts.faults >= sequences, "too few faults: {counts:?}");
}

#[test]
fn steps_are_the_same_ones_on_any_number_of_threads() {
    let plan = Plan::new(3, Amount::Steps(2_000));
    let (one, many) = (simulate(Plan { threads: 1, ..plan }), simulate(Plan { threads: 4, ..plan }));
    assert!(one.failure.is_none() && one.counts.events >= 2_000 && one.counts.events < 2_100, "{:?}", one.counts);
    assert_eq!(one.counts, many.counts);
    assert_eq!(one.counts.kinds.values().sum::<u64>(), one.counts.events);
    assert_eq!(one.counts.cuts.values().sum::<u64>(), one.counts.crashes);
}

#[test]
fn what_once_found_a_fault_breaks_no_rule() {
    let known = known().unwrap();
    assert!(!known.is_empty());
    for known in known {
        let (trace, broken) = replay(known.seed, known.events);
        assert!(broken.is_none(), "seed {}: {broken:?}\n{}", known.seed, trace.join("\n"));
    }
}

#[test]
fn a_seed_gives_the_same_sequence_every_time() {
    for seed in 1..=200 {
        let (once, again) = (replay(seed, Plan::EVENTS), replay(seed, Plan::EVENTS));
        assert!(once == again, "seed {seed} gave\n{}\nand\n{}", once.0.join("\n"), again.0.join("\n"));
    }
}
