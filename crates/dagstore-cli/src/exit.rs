//! How the program ends: exit codes, and failures with the way out of each.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use dagstore::{Dagstore, Error, ErrorClass, ErrorKind, OpenError, REDB_INVERTED_FILE, ShardKey, ShardState};
use dagstore::{blockstore, mount};

use crate::text::{path_word, shell_word};

/// The exit codes of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// What was asked for is done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// It was asked for in a way that makes no sense.
    Usage = 2,
    /// There is no such store, shard or block.
    NotFound = 3,
    /// It was interrupted from the keyboard.
    Interrupted = 130,
    /// A hang-up of the terminal; the store was closed.
    HungUp = 129,
    /// A request to end (SIGTERM); the store was closed.
    Terminated = 143,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// A failure: what the program says and how it ends.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) error: anyhow::Error,
    /// What to do about it, a command as a rule.
    pub(crate) advice: String,
}

impl Failure {
    /// A failure without a better way out than more words.
    pub(crate) fn new(code: Code, error: impl Into<anyhow::Error>) -> Self {
        let advice = match code {
            Code::Usage => "dagstore --help",
            _ => "the same again with -v, which tells more",
        };
        Self { code, error: error.into(), advice: advice.to_owned() }
    }

    /// A failure that no library reported.
    pub(crate) fn of_text(code: Code, text: impl Display) -> Self {
        Self::new(code, anyhow::Error::msg(text.to_string()))
    }

    /// The same with a way out.
    pub(crate) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..self }
    }

    /// The cause with its causes, in one line.
    pub(crate) fn cause(&self) -> String {
        format!("{:#}", self.error)
    }
}

/// Why a command stops before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Nobody reads the output any more, which is no failure.
    PipeClosed,
    /// It failed. Boxed, for every result of the program carries one.
    Failure(Box<Failure>),
}

/// A command's result.
pub(crate) type Outcome<T = ()> = Result<T, Stop>;

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}

impl From<OpenError> for Stop {
    fn from(error: OpenError) -> Self {
        Failure::from(error).into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (code, advice) = way_out(&error);
        Self::new(code, error).advise(advice)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let advice = match error {
            OpenError::Engine(error) => return error.into(),
            OpenError::NoStore { path } => return no_store(&path),
            OpenError::Locked(dagstore::fs::LockError::Held { pid, .. }) => match pid {
                Some(pid) => format!("again when process {pid} has ended; ps -p {pid} shows what it is"),
                None => "again when the other process has ended".to_owned(),
            },
            OpenError::BackendMissing { feature } => build_with(feature),
            OpenError::OtherStore { .. } => "the dagstore.toml that the store was made with".to_owned(),
            OpenError::Datastore(ref error) => after_datastore(error),
            _ => "another --dir, or mend what the cause names".to_owned(),
        };
        Self::new(Code::Failed, error).advise(advice)
    }
}

/// There is no store in the directory, or none that this program has settings for.
pub(crate) fn no_store(directory: &Path) -> Failure {
    if directory.join("store-id").exists() {
        let text = format!(
            "the store in {} has no dagstore.toml; a library made it, or the file was lost",
            directory.display()
        );
        return Failure::of_text(Code::Failed, text)
            .advise("dagstore init, with the --datastore and --codec of that store");
    }
    let text = format!("there is no store in {}", directory.display());
    Failure::of_text(Code::NotFound, text).advise("dagstore register FILE, which makes one, or another --dir")
}

/// How to get a program that has the feature.
pub(crate) fn build_with(feature: &str) -> String {
    format!("cargo install --path crates/dagstore-cli --features {feature}")
}

/// The failure of an operation on a shard of an open store. It looks at the shard to tell the way out.
pub(crate) fn of_shard(store: &Dagstore, error: Error) -> Failure {
    let advice = match &error {
        Error::Failed { key, source } => {
            let is_errored = store.info(key.as_str()).is_ok_and(|info| info.state == ShardState::Errored);
            after_failure(key, source.kind(), is_errored)
        }
        _ => return error.into(),
    };
    Failure::new(Code::Failed, error).advise(advice)
}

/// The failure of a look-up in all shards of an open store.
pub(crate) fn of_blocks(store: &Dagstore, error: blockstore::Error) -> Failure {
    match error {
        blockstore::Error::Engine(error) => error.into(),
        blockstore::Error::Unanswered { mut failures, skipped: false, .. }
            if failures.len() == 1 && matches!(failures[0].error, Error::Failed { .. }) =>
        {
            // It names its shard, and tells most when it is told alone.
            of_shard(store, failures.remove(0).error)
        }
        blockstore::Error::Unanswered { ref failures, .. } => {
            let advice = failures.first().map(|failure| {
                let word = shell_word(failure.key.as_str());
                match failure.error {
                    Error::Index(_) => format!("dagstore index rebuild {word}"),
                    Error::Car(dagstore::car::Error::Integrity { .. }) => {
                        let is_here = store.info(failure.key.as_str()).is_ok_and(|info| info.url.starts_with("file:"));
                        // A local copy in which something is damaged was given up.
                        let again = if is_here { "" } else { "the same again, and if that doesn't help " };
                        format!("{again}dagstore verify {word}; --no-verify takes the block as it is")
                    }
                    _ => format!("dagstore verify {word}"),
                }
            });
            let advice = advice.unwrap_or_else(|| "dagstore verify --all".to_owned());
            Failure::new(Code::Failed, error).advise(advice)
        }
        error => Failure::new(Code::NotFound, error).advise("dagstore list, and dagstore blocks KEY"),
    }
}

fn after_failure(key: &ShardKey, kind: ErrorKind, is_errored: bool) -> String {
    let word = shell_word(key.as_str());
    match (is_errored, kind.class()) {
        (false, _) => format!("the same again when the cause is mended; dagstore info {word} shows the shard"),
        (true, ErrorClass::Corrupt) => format!("dagstore destroy {word}, and register an intact file"),
        (true, ErrorClass::Transient | ErrorClass::Permanent) => {
            format!("dagstore recover {word}, when the cause is mended")
        }
    }
}

fn way_out(error: &Error) -> (Code, String) {
    let with_key = |command: &str, key: &ShardKey| format!("dagstore {command} {}", shell_word(key.as_str()));
    match error {
        Error::InvalidKey(_) => (Code::Usage, "a key of 1 to 1024 bytes".to_owned()),
        Error::NotFound(_) | Error::Destroyed(_) => (Code::NotFound, "dagstore list".to_owned()),
        Error::BlockNotFound { .. } => (Code::NotFound, "dagstore list, and dagstore blocks KEY".to_owned()),
        Error::Exists(key) => (Code::Failed, with_key("info", key) + ", or another --key"),
        Error::BeingDestroyed(key) | Error::CleanupIncomplete { key, .. } => (Code::Failed, with_key("destroy", key)),
        Error::NotErrored(key) => {
            let advice = format!("{}, or {} for another index", with_key("info", key), with_key("index rebuild", key));
            (Code::Failed, advice)
        }
        Error::Quarantined { key, .. } => (Code::Failed, with_key("quarantine retry", key) + ", or drop"),
        Error::StillQuarantined { row, .. } => {
            (Code::Failed, format!("what the cause names; dagstore quarantine drop --row {row} gives the record up"))
        }
        Error::NotQuarantined { .. } => (Code::NotFound, "dagstore quarantine list".to_owned()),
        Error::NotDurable { source: Some(error), .. } => (Code::Failed, after_datastore(error)),
        Error::InUse { .. } => (Code::Failed, "again when its readers have ended".to_owned()),
        Error::Failed { key, .. } | Error::NotDurable { key, .. } | Error::IndexKeepsVanishing(key) => {
            (Code::Failed, with_key("info", key))
        }
        Error::InvertedWaits { key, .. } => (Code::Failed, with_key("index rebuild", key)),
        Error::Mount(error) => (Code::Failed, after_mount(error)),
        Error::NeedsCopy { .. } => (Code::Failed, "register a file with the same content".to_owned()),
        Error::NotLocal(key) => {
            (Code::NotFound, format!("the same without --local, or {}; both fetch it", with_key("pin", key)))
        }
        Error::NotCopied(key) => (Code::Failed, with_key("info", key)),
        Error::Copy { key, source } => (Code::Failed, after_copy(source, Some(key))),
        Error::Copies(error) => (Code::Failed, after_copy(error, None)),
        Error::Datastore(error) => (Code::Failed, after_datastore(error)),
        Error::OwnershipLost { .. } => {
            (Code::Failed, "the same again, when no other process uses the store's database".to_owned())
        }
        Error::Car(_) => {
            (Code::Failed, "an intact copy of the CAR; dagstore get --no-verify reads a block as it is".to_owned())
        }
        Error::Misplaced { .. } => (Code::Failed, "dagstore destroy KEY, and register the CAR again".to_owned()),
        Error::UnfinishedCopy => (Code::Failed, "the same dagstore store copy again, which goes on with it".to_owned()),
        Error::NewerFormat { .. } => (Code::Failed, "a newer dagstore".to_owned()),
        _ => (Code::Failed, "the same again with -v, which tells more".to_owned()),
    }
}

fn after_mount(error: &mount::Error) -> String {
    match error {
        mount::Error::NotFound { .. } => "a path or URL that exists",
        mount::Error::Unavailable { .. } => "again when it can be read",
        mount::Error::NotAFile { .. } => "the CAR files in it, one by one, if it is a directory",
        mount::Error::Refused { .. } => {
            "a source that the store is allowed to reach; dagstore mounts shows what is, and a table in dagstore.toml \
             allows more: hosts, a base, or private_addresses = true"
        }
        mount::Error::BadAnswer { .. } | mount::Error::Truncated { .. } => "again when its server is mended",
        mount::Error::NoCredential { .. } => {
            "the same again, with the environment variable set; dagstore mounts shows it"
        }
        mount::Error::UnknownScheme { .. } => {
            "a path, ./NAME for a file with a colon in its name, or a table for the scheme in dagstore.toml"
        }
        _ => "a path, or a URL such as file:///srv/a.car",
    }
    .to_owned()
}

/// What to do about a local copy that can't be made, kept or removed.
fn after_copy(error: &dagstore::copies::Error, key: Option<&ShardKey>) -> String {
    use dagstore::copies::{Error as Copy, Reason};
    let word = key.map_or_else(|| "KEY".to_owned(), |key| shell_word(key.as_str()));
    match error {
        Copy::Source { source, .. } => after_mount(source),
        Copy::SourceChanged { .. } => format!("dagstore recover {word}, to take what the source has now"),
        Copy::TooLarge { .. } => "a larger quota under [copies] in dagstore.toml, or as --quota".to_owned(),
        Copy::NoRoom { unclaimed: 1.., .. } => {
            "dagstore gc --dry-run, which names the files that nothing claims; remove those that nobody needs"
                .to_owned()
        }
        Copy::NoRoom { disk: Some(_), .. } => {
            "again, when the disk has room, or a smaller keep_free under [copies] in dagstore.toml".to_owned()
        }
        Copy::NoRoom { .. } => "dagstore transients, which shows what takes the room; then unpin or evict".to_owned(),
        Copy::DiskFull { .. } => "again, when the disk has room; dagstore gc --copies makes some".to_owned(),
        Copy::NotLocal { .. } => format!("dagstore pin {word}, which fetches it"),
        Copy::Unfit { .. } => "a file with the very bytes of the source".to_owned(),
        Copy::Kept { reason: Reason::Pinned, .. } => format!("dagstore unpin {word}, or evict --force"),
        Copy::Kept { reason: Reason::MayBeTheLast, .. } => {
            "again when the source can be reached and has what it had; --force removes even the last copy".to_owned()
        }
        Copy::Kept { reason: Reason::Exists, .. } => format!("dagstore evict {word}, then the same again"),
        Copy::Kept { .. } | Copy::TooManyWaiters { .. } | Copy::Idle { .. } | Copy::WrongSize { .. } => {
            "the same again later".to_owned()
        }
        _ => "the same again when the cause is mended; dagstore transients shows the local copies".to_owned(),
    }
}

/// What to do about a datastore that failed.
pub(crate) fn after_datastore(error: &dagstore::datastore::Error) -> String {
    use dagstore::datastore::{Error, ErrorClass};
    if let Error::InUse { backend, .. } = error {
        let advice = match *backend {
            // Nobody closes the store of a process that was killed; its lease ends.
            "postgres" => "again when that process has ended, or 30 s after it was killed",
            _ => "again when the other process has ended",
        };
        return advice.to_owned();
    }
    if let Error::Failed { class: ErrorClass::Corrupt, place: Some(place), .. } = error
        && Path::new(&**place).file_name().is_some_and(|name| name == REDB_INVERTED_FILE)
    {
        return format!("the same again when {} is moved away: it is made anew", path_word(Path::new(&**place)));
    }
    match error.class() {
        ErrorClass::Corrupt => "restore the store's directory from a backup",
        ErrorClass::Transient | ErrorClass::NeedsReopen => "again, when the disk has room and works",
        ErrorClass::Fenced => "the same again, when no other process uses the store's database",
        _ => "mend what the cause names, then the same again",
    }
    .to_owned()
}
