//! The program as its users meet it: command lines in, texts, JSON and exit codes out.
#![cfg(test)]

mod bad_input;
mod car;
mod crash;
mod damage;
mod demonstration;
mod fixtures;
mod index;
mod life;
mod listing;
mod many;
#[cfg(feature = "http")]
mod mounts;
#[cfg(feature = "http")]
mod nginx;
mod output;
mod places;
mod quarantine;
#[cfg(feature = "http")]
mod remote;
#[cfg(feature = "http")]
mod server;
mod settings;
mod store;
mod support;
mod trace;
mod verify;
