//! `dagstore car`: CAR files, without any store.

mod inspect;
mod verify;

use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand};
use dagstore::car::{self, CarReader, InspectOptions, Inspection, ReadOptions};
use dagstore::fs::RegularFile;

use crate::context::Context;
use crate::exit::{Code, Failure, Outcome};
use crate::text::{path_text, path_word, shorten};

/// Look into CAR files, or verify them; no store is needed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore car inspect monday.car
  dagstore car verify *.car")]
pub(crate) struct Car {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
}

impl Car {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self.action {
            Action::Inspect(arguments) => arguments.run(context).await,
            Action::Verify(arguments) => arguments.run(context).await,
        }
    }
}

/// What was found out of a file.
enum Looked {
    /// It is a CAR, whole or not.
    Car(Box<CarReader>, Box<Inspection>, Option<car::Error>),
    /// Its beginning isn't one of a CAR that can be read.
    NoCar(car::Error),
}

/// Inspects a file, and shows meanwhile how far that is.
async fn look(context: &Context, path: &Path, options: InspectOptions) -> Result<Looked, Failure> {
    let opened = RegularFile::open(path).map_err(|error| unread(path, error.into(), "the path of a CAR file"))?;
    let mut bar = context.progress.bytes(shorten(&crate::text::escape(&path_text(path)), 40));
    let work = move || {
        // As the store reads it.
        let reading = ReadOptions { zero_length_is_end: true, ..ReadOptions::default() };
        let (reader, damage) = match CarReader::open_damaged(Arc::new(opened), reading) {
            Ok(opened) => opened,
            Err(error @ car::Error::Io { .. }) => return Err(error),
            Err(error) => return Ok(Looked::NoCar(error)),
        };
        bar.of(reader.payload_size());
        let inspection = reader.inspect_with(options, |done_bytes| bar.set(done_bytes))?;
        Ok(Looked::Car(Box::new(reader), Box::new(inspection), damage))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(looked)) => Ok(looked),
        Ok(Err(error)) => Err(unread(path, error.into(), "the same again, when it can be read")),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn unread(path: &Path, error: anyhow::Error, advice: &str) -> Failure {
    Failure::new(Code::Failed, error.context(format!("cannot read {}", path_text(path)))).advise(advice)
}

/// What to do about a file that isn't as it should be.
fn intact_copy(path: &Path) -> String {
    format!("an intact copy of {}", path_word(path))
}
