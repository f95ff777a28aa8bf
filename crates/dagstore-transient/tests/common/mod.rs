//! A source that misbehaves on purpose, and what the tests share.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod weighing;

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_fs::{FileSystem, OwnName, ReadAtExt};
use dagstore_mount::{Capabilities, Error, Mount, Result, Stat, Streamed};
use dagstore_testkit::FaultyFileSystem;
use dagstore_transient::{Copies, Lease, Observer, Options, RemoteReader};
use dagstore_types::{Attempt, Registration, ShardKey};
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What a source does.
#[derive(Debug, Clone)]
pub(crate) struct Manners {
    pub(crate) data: Bytes,
    pub(crate) validator: Option<String>,
    /// The size that it tells, where that isn't the truth.
    pub(crate) announced: Option<u64>,
    /// Where each stream breaks off.
    pub(crate) breaks_at: Option<u64>,
    /// Where each stream that begins now stops, until this is changed.
    pub(crate) hangs_at: Option<u64>,
    pub(crate) is_gone: bool,
    pub(crate) piece_bytes: usize,
    /// How many bytes too many a ranged read gives, or too few.
    pub(crate) read_off_by: isize,
    /// How long each ranged read takes.
    pub(crate) read_takes: Duration,
    pub(crate) read_fails: bool,
    pub(crate) read_panics: bool,
}

/// How long anything may take to happen.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A remote source.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) manners: Mutex<Manners>,
    pub(crate) streams: AtomicUsize,
    pub(crate) stats: AtomicUsize,
    pub(crate) given: AtomicU64,
    /// The ranged reads, each with its place and length.
    pub(crate) reads: Mutex<Vec<(u64, usize)>>,
    /// Told when a stream hangs.
    pub(crate) hangs: Notify,
}

impl Source {
    pub(crate) fn new(data: impl Into<Bytes>, validator: Option<&str>) -> Arc<Self> {
        let manners = Manners {
            data: data.into(),
            validator: validator.map(str::to_owned),
            announced: None,
            breaks_at: None,
            hangs_at: None,
            is_gone: false,
            piece_bytes: 1000,
            read_off_by: 0,
            read_takes: Duration::ZERO,
            read_fails: false,
            read_panics: false,
        };
        let (streams, stats) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (given, reads, hangs) = (AtomicU64::new(0), Mutex::default(), Notify::new());
        Arc::new(Self { manners: manners.into(), streams, stats, given, reads, hangs })
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }

    pub(crate) fn reads(&self) -> Vec<(u64, usize)> {
        self.reads.lock().clone()
    }

    pub(crate) fn given(&self) -> u64 {
        self.given.load(Ordering::SeqCst)
    }

    pub(crate) fn now(&self) -> Result<Stat> {
        let manners = self.manners.lock();
        if manners.is_gone {
            return Err(Error::NotFound { place: "source".to_owned() });
        }
        let size = manners.announced.unwrap_or(manners.data.len() as u64);
        Ok(Stat::new(size, manners.validator.clone()))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.manners.lock());
    }
}

/// The mount of a [`Source`].
#[derive(Debug, Clone)]
pub(crate) struct Remote(pub(crate) Arc<Source>);

#[async_trait]
impl Mount for Remote {
    fn capabilities(&self) -> Capabilities {
        Capabilities::REMOTE
    }

    fn location(&self) -> String {
        "source".to_owned()
    }

    fn instantiate(&self, _: &str) -> Result<Arc<dyn Mount>> {
        Ok(Arc::new(self.clone()))
    }

    async fn stat(&self) -> Result<Stat> {
        self.0.stats.fetch_add(1, Ordering::SeqCst);
        self.0.now()
    }

    async fn stream(&self, from: u64, of: Option<&Stat>) -> Result<Streamed> {
        self.0.streams.fetch_add(1, Ordering::SeqCst);
        let stat = self.0.now()?;
        if of.is_some_and(|of| !of.same_content(&stat)) {
            return Err(Error::SourceChanged { place: "source".to_owned() });
        }
        let (source, manners) = (Arc::clone(&self.0), self.0.manners.lock().clone());
        let bytes = stream::unfold(Some(from), move |at| {
            let (source, manners) = (Arc::clone(&source), manners.clone());
            async move { next(&source, &manners, at?).await }
        });
        Ok(Streamed::new(stat, bytes))
    }

    async fn read(&self, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
        self.0.reads.lock().push((at, len));
        let manners = self.0.manners.lock().clone();
        assert!(!manners.read_panics, "planted");
        tokio::time::sleep(manners.read_takes).await;
        if !of.same_content(&self.0.now()?) {
            return Err(Error::SourceChanged { place: "source".to_owned() });
        }
        if manners.read_fails {
            return Err(Error::from_io("source", io::Error::other("it broke off")));
        }
        let data = &manners.data;
        let start = usize::try_from(at).unwrap().min(data.len());
        let end = (start + len).min(data.len());
        if manners.read_off_by > 0 {
            return Ok([&data[start..end], &vec![0; manners.read_off_by.unsigned_abs()]].concat().into());
        }
        Ok(data.slice(start..end - manners.read_off_by.unsigned_abs()))
    }
}

async fn next(source: &Source, manners: &Manners, at: u64) -> Option<(Result<Bytes>, Option<u64>)> {
    if manners.breaks_at.is_some_and(|breaks_at| at >= breaks_at) {
        let error = Error::from_io("source", io::Error::other("it broke off"));
        return Some((Err(error), None));
    }
    if manners.hangs_at.is_some_and(|hangs_at| at >= hangs_at) {
        source.hangs.notify_one();
        while source.manners.lock().hangs_at == manners.hangs_at {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let start = usize::try_from(at).unwrap().min(manners.data.len());
    let stops = [manners.breaks_at, manners.hangs_at].into_iter().flatten();
    let stop = stops.filter(|stop| *stop > at).min().unwrap_or(u64::MAX);
    let end = (start + manners.piece_bytes).min(manners.data.len()).min(usize::try_from(stop).unwrap_or(usize::MAX));
    if start == end {
        return None;
    }
    source.given.fetch_add((end - start) as u64, Ordering::SeqCst);
    Some((Ok(manners.data.slice(start..end)), Some(end as u64)))
}

pub(crate) fn mount(source: &Arc<Source>) -> Arc<dyn Mount> {
    Arc::new(Remote(Arc::clone(source)))
}

pub(crate) fn name(number: u64) -> OwnName {
    OwnName::new(&ShardKey::new(&format!("shard {number}")).unwrap(), Registration(number), Attempt(1))
}

/// Chunks of 1,000 bytes, and nothing read ahead.
pub(crate) fn small_chunks() -> Options {
    let mut settings = options();
    (settings.remote_chunk_bytes, settings.read_ahead_bytes) = (1000, 0);
    settings
}

/// Reads the content that a source has now.
pub(crate) async fn remote(copies: &Copies, number: u64, source: &Arc<Source>) -> RemoteReader {
    copies.remote(name(number), mount(source), source.now().unwrap()).await.unwrap()
}

/// The error of the crate in one of the system's.
pub(crate) fn inside(error: &io::Error) -> dagstore_transient::Error {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<dagstore_transient::Error>())
        .expect("an error of ours")
        .clone()
}

/// Bytes that differ from place to place, and from seed to seed.
pub(crate) fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(length.div_ceil(8)).flatten().collect();
    bytes.truncate(length);
    bytes
}

/// Small pieces and checkpoints, no free space asked for, and nobody waits long.
pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.keep_free_bytes = 0;
    options.checkpoint_bytes = 8_000;
    options.chunk_bytes = 4_000;
    options.room_deadline = Duration::from_mins(1);
    options
}

pub(crate) fn open(directory: &Path) -> Copies {
    open_with(directory, options())
}

pub(crate) fn open_with(directory: &Path, options: Options) -> Copies {
    Copies::open(Arc::new(FaultyFileSystem::faultless()), directory, options).unwrap()
}

pub(crate) fn open_on(file_system: Arc<dyn FileSystem>, directory: &Path) -> dagstore_transient::Result<Copies> {
    Copies::open(file_system, directory, options())
}

pub(crate) fn read(lease: &Lease) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(lease.reader().size()).unwrap()];
    lease.reader().read_exact_at(0, &mut bytes).unwrap();
    bytes
}

/// What an observer was shown; a gap or a step back is a panic.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Seen {
    pub(crate) fn observer(&self) -> Box<dyn Observer> {
        let seen = Arc::clone(&self.0);
        Box::new(move |offset: u64, bytes: &[u8]| {
            let mut seen = seen.lock();
            assert_eq!(offset, seen.len() as u64, "a gap");
            seen.extend_from_slice(bytes);
            ControlFlow::Continue(())
        })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().clone()
    }
}

/// The names in a directory, in order.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The bytes of all files in a directory.
pub(crate) fn disk_use(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
}

/// The path of the file with this extension.
pub(crate) fn only(directory: &Path, extension: &str) -> std::path::PathBuf {
    let found: Vec<_> = files(directory).into_iter().filter(|name| name.ends_with(extension)).collect();
    assert_eq!(found.len(), 1, "{extension}: {found:?}");
    directory.join(&found[0])
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    // Of the world's time, not of a runtime's that may stand still or fly.
    let begun = std::time::Instant::now();
    while begun.elapsed() < PATIENCE {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never happened: {what}");
}
