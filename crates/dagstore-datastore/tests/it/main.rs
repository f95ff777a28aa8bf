//! Tests of the crate from outside.
#![cfg(test)]

mod broken;
mod conformance;
mod disk;
mod embedded;
