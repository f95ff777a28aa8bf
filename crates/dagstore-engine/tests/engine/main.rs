//! Tests of the engine: shards through their lives, on one thread and on several, with crashes and with failing parts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]

mod collecting;
mod concurrency;
mod copies;
mod crash;
mod damage;
mod dropped;
mod dropping;
mod endings;
mod far;
mod far_model;
mod faults;
mod forgetting;
mod go_index;
mod hang;
mod indexing;
mod inverted;
mod keeping;
mod life;
mod limits;
mod outage;
mod ownership;
mod passing;
mod provisional;
mod quarantine;
mod rebuilding;
mod resting;
mod retry;
mod rot;
mod stress;
#[allow(dead_code, reason = "what only the tests of the faults use")]
mod support;
mod together;
mod verifying;
mod watching;
