//! Index files: opening and asking them, and building them.

pub(crate) mod build;
pub(crate) mod open;
mod sample;
