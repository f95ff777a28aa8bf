//! Tests of the crate from outside.
#![cfg(test)]

mod broken;
mod broken_loads;
mod broken_rows;
mod conformance;
mod disk;
mod embedded;
mod hanging;
mod wrappers;
