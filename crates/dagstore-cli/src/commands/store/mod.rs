//! `dagstore store`: stores as a whole, moved from one datastore to another, and to and from Go's dagstore.

mod copy;
mod export;
#[cfg(feature = "import")]
mod import;

use std::path::Path;

use clap::{Args, Subcommand};
use dagstore_import::Error;

use crate::context::Context;
use crate::exit::{Code, Failure, Outcome, after_datastore};

/// Copy a store to another datastore, and exchange stores with Go's dagstore.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore store copy --from redb:/srv/store --to rocksdb:/srv/store
  dagstore store export --format go-json -o records.json
  dagstore store import /srv/go-dagstore --fs-root /srv/pieces")]
pub(crate) struct Store {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Copy(copy::Copy),
    Export(export::Export),
    #[cfg(feature = "import")]
    Import(Box<import::Import>),
}

impl Store {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self.action {
            Action::Copy(arguments) => arguments.run(context).await,
            Action::Export(arguments) => arguments.run(context).await,
            #[cfg(feature = "import")]
            Action::Import(arguments) => arguments.run(context).await,
        }
    }
}

/// The failure of a move, with the way out.
fn failed(error: Error) -> Failure {
    let (code, advice) = match error {
        Error::Open(error) => return (*error).into(),
        Error::Engine(error) => return error.into(),
        Error::BadPlace { .. } | Error::SamePlace { .. } => (Code::Usage, "dagstore store copy --help"),
        Error::NoStore { .. } | Error::NoGoDirectory { .. } => (Code::NotFound, "the directory of a store"),
        Error::NotEmpty { .. } => (Code::Failed, "another --to, or an empty one"),
        Error::OtherCopy { .. } | Error::DamagedProgress { .. } | Error::Differs { .. } => {
            (Code::Failed, "the same again, when the target was removed")
        }
        Error::ScratchInside { .. } => (Code::Usage, "another --scratch, with room for the LevelDB"),
        Error::LevelDb { .. } => (Code::Failed, "an intact copy of the directory, made while nothing writes to it"),
        Error::File { .. } => (Code::Failed, "the same again, when the file can be read and the disk has room"),
        Error::Datastore(ref error) => return Failure::new(Code::Failed, error.clone()).advise(after_datastore(error)),
        _ => (Code::Failed, "the same again with -v, which tells more"),
    };
    Failure::new(code, error).advise(advice)
}

/// A file that can't be read or written.
fn no_file(path: &Path, error: std::io::Error) -> Failure {
    failed(Error::File { path: path.to_owned(), source: error })
}
