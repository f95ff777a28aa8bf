//! The program as its users meet it: command lines in, texts, JSON and exit codes out.
#![cfg(test)]

mod bad_input;
mod crash;
mod demonstration;
mod fixtures;
mod life;
mod output;
mod places;
mod settings;
mod support;
