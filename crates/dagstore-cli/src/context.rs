//! What every command has: where the store is, how it is opened and closed, where output goes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dagstore::car::RawCid;
use dagstore::{Builder, Dagstore, Error, Options, ShardAccessor, ShardKey};
use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};
use futures_util::StreamExt;

use crate::arguments::Cli;
use crate::config::{Config, Wish};
use crate::exit::{Code, Failure, Outcome, no_store, of_shard};
use crate::live::Live;
use crate::output::Output;
use crate::progress::{Progress, Watched};
use crate::settings::Settings;

/// What every command has.
#[derive(Debug)]
pub(crate) struct Context {
    /// The store's directory, absolute.
    pub(crate) directory: PathBuf,
    /// Whether the directory was named on the command line itself.
    pub(crate) is_directory_named: bool,
    pub(crate) output: Arc<Output>,
    pub(crate) progress: Progress,
    /// Whether what happens in the store is told.
    trace: bool,
    opened: Mutex<Opened>,
}

/// What has to be closed when the program is interrupted.
#[derive(Debug, Default)]
struct Opened {
    store: Option<Dagstore>,
    live: Option<Live>,
    /// Nothing is opened any more.
    is_interrupted: bool,
}

impl Context {
    /// Finds the store's directory; it isn't looked at.
    pub(crate) fn new(cli: &Cli) -> Result<Self, Failure> {
        let directory = directory(cli.dir.as_deref())?;
        let progress = Progress::new(cli.json);
        let output = Arc::new(Output::new(cli.json, progress.clone()));
        let (is_directory_named, trace) = (cli.dir.is_some(), cli.trace);
        Ok(Self { directory, is_directory_named, output, progress, trace, opened: Mutex::default() })
    }

    /// Opens the store that is there, to work as the command line says.
    pub(crate) async fn open(&self, flags: Settings) -> Outcome<Dagstore> {
        self.open_with(self.builder(flags)?).await
    }

    /// Opens the store that is there to be looked at only: nothing is resumed, collected or written.
    pub(crate) async fn open_paused(&self) -> Outcome<Dagstore> {
        self.open_with(self.builder(Settings::default())?.paused()).await
    }

    /// Opens the store that is there, or makes one. Also tells whether there was none, and what the store is made with.
    pub(crate) async fn open_or_make(
        &self,
        wish: Wish,
        flags: Settings,
        change: impl FnOnce(&mut Options),
    ) -> Outcome<(Dagstore, Config, bool)> {
        let found = Config::read(&self.directory)?;
        let is_new = found.is_none();
        let config = match found {
            Some(found) => found.check(wish, &self.directory).map(|()| found)?,
            None => Config::new(wish)?,
        };
        let config = config.with(flags)?;
        let builder = config.builder(&self.directory)?.configure(change);
        let store = self.open_with(builder).await?;
        if is_new && let Err(failure) = config.write_new(&self.directory) {
            return self.close(store, Err(failure.into())).await;
        }
        Ok((store, config, is_new))
    }

    /// Opens a store that was put together elsewhere.
    pub(crate) async fn open_with(&self, builder: Builder) -> Outcome<Dagstore> {
        let (store, trace) = if self.trace {
            let (store, trace) = builder.open_traced().await?;
            (store, Some(trace))
        } else {
            (builder.open().await?, None)
        };
        let is_interrupted = {
            let mut opened = self.opened();
            opened.store = Some(store.clone());
            opened.live = Some(Live::start(&self.output, &store, trace));
            opened.is_interrupted
        };
        if is_interrupted {
            return self.close(store, Err(Failure::of_text(Code::Interrupted, "interrupted").into())).await;
        }
        Ok(store)
    }

    /// Closes the store, whatever came out of the work with it.
    pub(crate) async fn close<T>(&self, store: Dagstore, outcome: Outcome<T>) -> Outcome<T> {
        let closed = store.close().await;
        let live = {
            let mut opened = self.opened();
            opened.store = None;
            opened.live.take()
        };
        if let Some(live) = live {
            live.end().await;
        }
        // What failed first tells more.
        let value = outcome?;
        closed?;
        Ok(value)
    }

    /// Closes the store that is open now under whoever works with it, and tells whether there was one; none is opened after it.
    pub(crate) async fn interrupt(&self) -> bool {
        let store = {
            let mut opened = self.opened();
            opened.is_interrupted = true;
            opened.store.clone()
        };
        let Some(store) = store else { return false };
        match store.close().await {
            Ok(()) => tracing::info!("the store was closed"),
            Err(error) => tracing::warn!(%error, "the store was not closed as it should"),
        }
        true
    }

    /// Acquires a shard, and shows how far that is where it takes long.
    pub(crate) async fn acquire(&self, store: &Dagstore, key: &ShardKey) -> Outcome<ShardAccessor> {
        let acquired = self.progress.watch(store, Watched::Shard(key), store.acquire(key.as_str())).await;
        Ok(acquired.map_err(|error| of_shard(store, error))?)
    }

    /// Waits until the inverted index is made, where the store has one: a store of an earlier program makes it when it is opened.
    pub(crate) async fn inverted(&self, store: &Dagstore) -> Outcome {
        let any = RawCid::of_data(0x55, b"");
        let is_incomplete = matches!(store.locate(&any).boxed().next().await, Some(Err(Error::InvertedIncomplete)));
        if is_incomplete {
            self.progress.watch(store, Watched::All, store.resumed()).await?;
        }
        Ok(())
    }

    /// A builder for the store that is there, to work as the command line says.
    pub(crate) fn builder(&self, flags: Settings) -> Result<Builder, Failure> {
        self.config()?.with(flags)?.builder(&self.directory)
    }

    /// What the store that is there was made with, and how it is worked with.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        Config::read(&self.directory)?.ok_or_else(|| no_store(&self.directory))
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        // Whoever panicked did so elsewhere: nothing is done under this lock that could.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key out of an argument.
pub(crate) fn key(text: &str) -> Result<ShardKey, Failure> {
    ShardKey::new(text).map_err(|error| Error::from(error).into())
}

/// Keys out of arguments, in order and each once.
pub(crate) fn keys(texts: &[String]) -> Result<Vec<ShardKey>, Failure> {
    let mut keys = texts.iter().map(|text| key(text)).collect::<Result<Vec<_>, _>>()?;
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// A CID out of an argument.
pub(crate) fn cid(text: &str) -> Result<RawCid, Failure> {
    let no_cid =
        |error| Failure::new(Code::Usage, anyhow::Error::new(error)).advise("dagstore blocks KEY, which shows CIDs");
    text.parse().map_err(no_cid)
}

fn directory(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let of_environment = || std::env::var_os("DAGSTORE_DIR").filter(|text| !text.is_empty()).map(PathBuf::from);
    let of_user = || choose_native_strategy().ok().map(|user| user.data_dir().join("dagstore"));
    let path = named.map(Path::to_owned).or_else(of_environment).or_else(of_user);
    let advice = "dagstore --dir DIR, with the directory of a store";
    let path = path
        .ok_or_else(|| Failure::of_text(Code::Usage, "there is no home directory to keep a store in").advise(advice))?;
    std::path::absolute(&path).map_err(|error| {
        let error = anyhow::Error::new(error).context("--dir doesn't name a directory");
        Failure::new(Code::Usage, error).advise(advice)
    })
}
