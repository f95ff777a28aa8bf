//! A mount whose readers wait at a gate.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_fs::ReadAt;
use dagstore_mount::{Capabilities, Error, Mount, Opened, Result, Stat};
use parking_lot::{Condvar, Mutex};

/// Bytes in memory behind a [`Gate`]. Every instance of the template serves the same bytes, whatever its location.
#[derive(Debug, Clone)]
pub struct GatedMount {
    gate: Arc<Gate>,
    location: String,
}

/// What a test holds of its [`GatedMount`]s: whether reads pass, what they read, and how many came.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    reads: AtomicU64,
    opens: AtomicU64,
    open_readers: AtomicU64,
}

#[derive(Debug)]
struct State {
    content: Option<Bytes>,
    version: u64,
    shut: bool,
    /// Counts openings: who was waiting then passes, even if the gate is shut again at once.
    openings: u64,
    broken: bool,
    panicking: bool,
    waiting: u64,
}

impl GatedMount {
    /// A template that serves `content`, and its gate, which is open.
    pub fn template(content: impl Into<Bytes>) -> (Self, Arc<Gate>) {
        let state = State {
            content: Some(content.into()),
            version: 1,
            shut: false,
            openings: 0,
            broken: false,
            panicking: false,
            waiting: 0,
        };
        let gate = Arc::new(Gate {
            state: Mutex::new(state),
            changed: Condvar::new(),
            reads: AtomicU64::new(0),
            opens: AtomicU64::new(0),
            open_readers: AtomicU64::new(0),
        });
        (Self { gate: gate.clone(), location: String::new() }, gate)
    }
}

impl Gate {
    /// Lets readers wait from now on.
    pub fn shut(&self) {
        self.state.lock().shut = true;
    }

    /// Lets readers pass.
    pub fn open(&self) {
        let mut state = self.state.lock();
        state.shut = false;
        state.openings += 1;
        state.waiting = 0;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until a reader stands at the shut gate; `false` when none has come in time. Blocks the thread.
    #[must_use]
    pub fn wait_for_reader(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        let waited = self.changed.wait_while_for(&mut state, |state| state.waiting == 0, patience);
        !waited.timed_out()
    }

    /// How many readers stand at the shut gate.
    pub fn waiting(&self) -> u64 {
        self.state.lock().waiting
    }

    /// Serves other bytes from now on; `None` is a missing source.
    pub fn serve(&self, content: Option<Bytes>) {
        let mut state = self.state.lock();
        state.content = content;
        state.version += 1;
    }

    /// Lets every read fail from now on, or no longer.
    pub fn set_broken(&self, broken: bool) {
        self.state.lock().broken = broken;
    }

    /// Lets every read panic from now on, or no longer.
    pub fn set_panicking(&self, panicking: bool) {
        self.state.lock().panicking = panicking;
    }

    /// The number of reads so far.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// How often the source was opened so far.
    pub fn opens(&self) -> u64 {
        self.opens.load(Ordering::Relaxed)
    }

    /// How many of those that were opened are open now.
    pub fn open_readers(&self) -> u64 {
        self.open_readers.load(Ordering::Relaxed)
    }

    fn pass(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.shut {
            let before = state.openings;
            state.waiting += 1;
            self.changed.notify_all();
            while state.openings == before {
                self.changed.wait(&mut state);
            }
        }
        let panicking = state.panicking;
        let broken = state.broken;
        drop(state);
        assert!(!panicking, "ordered to panic");
        if broken { Err(io::Error::other("ordered to fail")) } else { Ok(()) }
    }

    fn content(&self) -> Result<(Bytes, Stat)> {
        let state = self.state.lock();
        let missing = || Error::NotFound { place: "the source behind the gate".to_owned() };
        let content = state.content.clone().ok_or_else(missing)?;
        let stat = Stat::new(content.len() as u64, Some(state.version.to_string()));
        Ok((content, stat))
    }
}

#[async_trait]
impl Mount for GatedMount {
    fn capabilities(&self) -> Capabilities {
        Capabilities::LOCAL
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        Ok(Arc::new(Self { gate: self.gate.clone(), location: location.to_owned() }))
    }

    async fn stat(&self) -> Result<Stat> {
        Ok(self.gate.content()?.1)
    }

    async fn open(&self) -> Result<Opened> {
        let (content, stat) = self.gate.content()?;
        self.gate.opens.fetch_add(1, Ordering::Relaxed);
        Ok(Opened::new(stat, Arc::new(GatedReader::new(content, self.gate.clone()))))
    }
}

#[derive(Debug)]
struct GatedReader {
    content: Bytes,
    gate: Arc<Gate>,
}

impl GatedReader {
    fn new(content: Bytes, gate: Arc<Gate>) -> Self {
        gate.open_readers.fetch_add(1, Ordering::Relaxed);
        Self { content, gate }
    }
}

impl Drop for GatedReader {
    fn drop(&mut self) {
        self.gate.open_readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ReadAt for GatedReader {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.gate.reads.fetch_add(1, Ordering::Relaxed);
        self.gate.pass()?;
        self.content.read_at(offset, buffer)
    }
}
