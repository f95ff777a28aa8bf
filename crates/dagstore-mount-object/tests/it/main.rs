//! The mount against stores that keep to the rules, and against others.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(clippy::similar_names, reason = "server and served, status and stat are what this is about")]

mod cold;
mod lying;
mod places;
mod refusing;
mod requests;
mod seaweed;
mod slow;
mod suite;
#[path = "../support/mod.rs"]
mod support;
mod trying;
