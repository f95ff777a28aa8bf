//! `dagstore demo`: a store is made, filled, killed in the middle of its work and found none the worse.
//!
//! `acts.rs` is the play, `narrator.rs` tells it, `cars.rs` makes what it is played with, `crash.rs` starts and kills the
//! process of `child.rs`, `place.rs` is the stage. Everything that is told was checked before.

mod acts;
mod cars;
pub(crate) mod child;
mod crash;
mod narrator;
mod place;

use std::fmt::Display;

use clap::Args;

use self::narrator::Narrator;
use self::place::Place;
use crate::context::Context;
use crate::exit::{Code, Failure, Outcome};

/// See it work: CAR files are made and registered, a process is killed while it indexes, and everything is back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore demo
  dagstore demo --keep              to look around afterwards
  dagstore --dir ./try demo --keep  in a directory that is empty or absent")]
pub(crate) struct Demo {
    /// Leave the directory with the CAR files and the store.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let named = context.is_directory_named.then_some(context.directory.as_path());
        let place = Place::make(named, self.keep)?;
        let mut narrator = Narrator::new(&context.output, &place);
        acts::play(context, &place, &mut narrator).await?;
        narrator.end(&place)
    }
}

/// Fails unless what the demonstration is about to tell is true.
fn ensure(is_true: bool, what_is_wrong: impl Display) -> Outcome {
    if is_true { Ok(()) } else { Err(unexpected(what_is_wrong)) }
}

fn unexpected(what: impl Display) -> crate::exit::Stop {
    let text = format!("the demonstration met what it didn't expect: {what}");
    Failure::of_text(Code::Failed, text).advise("dagstore demo --keep -v, which leaves everything as it is").into()
}
