//! Reading a source piecewise.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::ThreadId;

use bytes::{Bytes, BytesMut};
use dagstore_fs::{OwnName, ReadAt};
use dagstore_mount::{Mount, Stat};
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::flight::Asking;
use super::{Chunks, MAX_CHUNK_BYTES};
use crate::names::Id;
use crate::sidecar::MAX_VALIDATOR_BYTES;
use crate::{Copies, Error, Lease, Result, off_the_runtime};

/// A read that begins no further behind the end of the one before goes on with it: between two blocks of a CAR there is a
/// length and a CID.
const NEAR_BYTES: u64 = 128;
/// A remote source that is read piecewise: what was read before comes from disk, and everything else is asked for in chunks.
///
/// It is a [`ReadAt`], which blocks. It may be used on threads without a runtime, on those for blocking work, and on the
/// workers of a runtime with several threads, but not inside of a `LocalSet`; on the one thread of a runtime with one
/// thread a read that has to wait for the source is [`Error::WrongThread`]. Requests run on the runtime
/// on which the reader was made. Errors are [`io::Error`]s with an [`Error`] in them ([`io::Error::get_ref`]).
///
/// Clones are of the same source. Each has its own idea of whether it is read in order, so who reads in several places at once
/// takes a clone for each. As long as one lives the chunks aren't evicted for those of others; where they are removed by
/// force, for a copy that needs the room, or because there is a copy now, reading goes on.
pub struct RemoteReader {
    inner: Arc<Inner>,
    cursor: Cursor,
    is_local_only: bool,
}

struct Inner {
    copies: Copies,
    asking: Asking,
    interest: Option<Arc<()>>,
    /// The runtime on which requests run.
    handle: Handle,
    /// The thread that may not wait for them.
    driver: Option<ThreadId>,
    /// The copy, as soon as there is one.
    lease: OnceLock<Lease>,
}

/// How one clone is read.
#[derive(Debug, Default)]
struct Cursor {
    /// Where the last read ended.
    end: AtomicU64,
    /// How many bytes were read ahead last; 0 where it isn't read in order.
    ahead: AtomicU64,
}

impl Copies {
    /// Reads a source piecewise: blocks of it cost a request each, or a chunk of disk where they were read before, and no copy
    /// of all of it. All that is read is of the content `of`; chunks of another one are thrown away. Where there is
    /// a copy of that content, it is read, and whenever one is complete the chunks go.
    ///
    /// Chunks take of the same quota as copies. They never wait for room: what can't be kept is read all the same. Nothing
    /// of them is durable, and each is checked when it is read, so a crash costs chunks and never changes bytes.
    ///
    /// # Errors
    /// [`Error::NeedsCopy`] where the source has no validator, or can't be read at any place; [`Error::ValidatorTooLong`],
    /// [`Error::Closed`].
    pub async fn remote(&self, name: OwnName, mount: Arc<dyn Mount>, of: Stat) -> Result<RemoteReader> {
        check(name, &*mount, &of)?;
        let lease = OnceLock::new();
        match self.local(name, Some(&of)).await {
            Ok(found) => drop(lease.set(found)),
            Err(Error::Closed) => return Err(Error::Closed),
            // A copy that can't be used is fetched anew by who wants one.
            Err(_) => {}
        }
        let (chunks, interest) = if lease.get().is_some() {
            (Arc::new(Chunks::new(name, of, self.chunk_bytes(), Arc::default())), None)
        } else {
            self.attach(name, of)?
        };
        chunks.use_now(self.shared.now());
        let handle = Handle::current();
        let is_alone = handle.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let driver = is_alone.then(|| std::thread::current().id());
        let asking = Asking { shared: Arc::clone(&self.shared), chunks: Arc::clone(&chunks), mount };
        let inner = Arc::new(Inner { copies: self.clone(), asking, interest, handle, driver, lease });
        let shared = Arc::clone(&self.shared);
        let loading = off_the_runtime(name, move || {
            if let Ok(_at_work) = shared.at_work() {
                // What can't be removed now goes with the first writing.
                let _ = chunks.drop_broken(&shared);
            }
            chunks.load(&shared);
            Ok(())
        });
        loading.await?;
        Ok(RemoteReader { inner, cursor: Cursor::new(), is_local_only: false })
    }

    fn chunk_bytes(&self) -> u32 {
        self.shared.options.remote_chunk_bytes.clamp(1, MAX_CHUNK_BYTES)
    }

    /// The chunks of this content, which stay as long as the second value lives. The files of another one are theirs from now
    /// on, to be removed.
    fn attach(&self, name: OwnName, of: Stat) -> Result<(Arc<Chunks>, Option<Arc<()>>)> {
        let chunk_bytes = self.chunk_bytes();
        let mut state = self.shared.state.lock();
        if state.is_closed {
            return Err(Error::Closed);
        }
        let known = state.chunks.get(&Id::of(name)).cloned();
        if let Some(chunks) = &known
            && chunks.stat.same_content(&of)
            && chunks.chunk_bytes == chunk_bytes
            && !chunks.is_detached()
        {
            return Ok((Arc::clone(chunks), Some(Arc::clone(&chunks.interest))));
        }
        let turn = known.as_ref().map_or_else(Arc::<Mutex<()>>::default, |known| Arc::clone(&known.turn));
        let chunks = Arc::new(Chunks::new(name, of, chunk_bytes, turn));
        if let Some(known) = &known {
            chunks.take_over(known);
        }
        let interest = Some(Arc::clone(&chunks.interest));
        state.chunks.insert(Id::of(name), Arc::clone(&chunks));
        Ok((chunks, interest))
    }
}

/// Whether the source can be held to one content from one request to the next.
fn check(name: OwnName, mount: &dyn Mount, of: &Stat) -> Result<()> {
    let why = match &of.validator {
        None => "it has no validator, so one request could be of another content than the next",
        Some(validator) if validator.len() > MAX_VALIDATOR_BYTES => {
            return Err(Error::ValidatorTooLong { name, length_bytes: validator.len(), most: MAX_VALIDATOR_BYTES });
        }
        _ if of.sequential_only => "it can only be read from its beginning",
        _ if !mount.capabilities().random_access => "its mount can't read at any place",
        Some(_) => return Ok(()),
    };
    Err(Error::NeedsCopy { name, why })
}

impl RemoteReader {
    /// The size and validator of the content.
    pub fn stat(&self) -> &Stat {
        &self.inner.asking.chunks.stat
    }

    /// The same source, of which only what is on this machine is read: everything else is [`Error::NotLocal`].
    #[must_use]
    pub fn only_if_local(&self) -> Self {
        Self { is_local_only: true, ..self.clone() }
    }

    /// `len` bytes from `at` on, fewer only where the source ends. Who doesn't wait for the end takes nothing from others who
    /// want the same bytes.
    ///
    /// # Errors
    /// [`Error::Source`], [`Error::SourceChanged`], [`Error::WrongSize`], [`Error::Idle`] as the source gives cause;
    /// [`Error::NotLocal`], [`Error::BrokeOff`], [`Error::Closed`]; [`Error::Io`] and [`Error::Damaged`] where a copy can't be
    /// read.
    pub async fn read(&self, at: u64, len: usize) -> Result<Bytes> {
        let len = self.within(at, len);
        if len == 0 {
            return Ok(Bytes::new());
        }
        let is_in_order = self.cursor.note(at, len);
        let (inner, name) = (Arc::clone(&self.inner), self.name());
        let local = off_the_runtime(name, move || {
            let mut bytes = BytesMut::zeroed(len);
            Ok(inner.read_local(at, &mut bytes)?.then(|| bytes.freeze()))
        });
        match local.await? {
            Some(bytes) => Ok(bytes),
            None => self.inner.read_missing(at, len, self.ahead(at, len, is_in_order)?).await,
        }
    }

    fn name(&self) -> OwnName {
        self.inner.asking.chunks.name
    }

    /// As many of `len` bytes as there are.
    fn within(&self, at: u64, len: usize) -> usize {
        usize::try_from(self.stat().size.saturating_sub(at)).unwrap_or(usize::MAX).min(len)
    }

    /// How many chunks are to be read ahead by a read that has to ask; `None` where it may not, and looks for a copy alone. More
    /// each time that something has to be asked for: what is on its way is waited for only.
    fn ahead(&self, at: u64, len: usize, is_in_order: bool) -> Result<Option<u64>> {
        let chunks = &self.inner.asking.chunks;
        if self.is_local_only {
            return if chunks.is_detached() { Ok(None) } else { Err(Error::NotLocal { name: self.name() }) };
        }
        let (chunk_bytes, most) = (chunks.chunk_size(), self.inner.asking.shared.options.read_ahead_bytes);
        let has_to_ask = is_in_order && chunks.is_any_missing(chunks.numbers(at, len as u64));
        Ok(Some(if has_to_ask { self.cursor.widen(chunk_bytes, most) / chunk_bytes } else { 0 }))
    }

    fn read_blocking(&self, at: u64, buffer: &mut [u8]) -> Result<()> {
        let is_in_order = self.cursor.note(at, buffer.len());
        if self.inner.read_local(at, buffer)? {
            return Ok(());
        }
        let len = buffer.len();
        let ahead = self.ahead(at, len, is_in_order)?;
        if self.inner.driver == Some(std::thread::current().id()) {
            return Err(Error::WrongThread { name: self.name() });
        }
        let (sender, answer) = mpsc::sync_channel(1);
        let inner = Arc::clone(&self.inner);
        self.inner.handle.spawn(async move { sender.send(inner.read_missing(at, len, ahead).await) });
        let is_worker =
            Handle::try_current().is_ok_and(|current| current.runtime_flavor() == RuntimeFlavor::MultiThread);
        // A worker that waits gives the tasks that it has to others; one of them is the request.
        let answer = if is_worker { tokio::task::block_in_place(|| answer.recv()) } else { answer.recv() };
        let ended = Error::BrokeOff { name: self.name(), why: "its runtime has ended".to_owned() };
        buffer.copy_from_slice(&answer.map_err(|_| ended)??);
        Ok(())
    }
}

impl Inner {
    /// Fills the buffer with what is on this machine, and returns whether all of it is. Blocks.
    fn read_local(&self, at: u64, buffer: &mut [u8]) -> Result<bool> {
        let Asking { shared, chunks, .. } = &self.asking;
        if let Some(lease) = self.lease.get() {
            let read = lease.reader().read_at(at, buffer).map_err(crate::error::failed("read", lease.path()))?;
            let damaged = Error::Damaged { path: lease.path().to_owned(), what: "it is shorter than it was" };
            return if read == buffer.len() { Ok(true) } else { Err(damaged) };
        }
        chunks.use_now(shared.now());
        let numbers = chunks.numbers(at, buffer.len() as u64);
        if !chunks.has(numbers.clone()) {
            return Ok(false);
        }
        for number in numbers {
            let Some(bytes) = chunks.read_chunk(shared, number) else { return Ok(false) };
            copy(&bytes, chunks.start_of(number), at, buffer);
        }
        Ok(true)
    }

    /// As [`RemoteReader::read`], of bytes that aren't all on this machine.
    async fn read_missing(&self, at: u64, len: usize, ahead: Option<u64>) -> Result<Bytes> {
        let chunks = &self.asking.chunks;
        if chunks.is_detached()
            && let Some(bytes) = self.read_copy(at, len).await?
        {
            return Ok(bytes);
        }
        let ahead = ahead.ok_or(Error::NotLocal { name: chunks.name })?;
        let numbers = chunks.numbers(at, len as u64);
        let mut pieces = BTreeMap::new();
        // What is on disk, and then turns out not to be what it was, is asked for in the second round.
        for believes_disk in [true, false] {
            let (flights, requests) = chunks.plan(numbers.clone(), &pieces, ahead, believes_disk);
            for request in requests {
                self.handle.spawn(self.asking.clone().fly(request));
            }
            for flight in flights {
                let mut outcome = flight.outcome;
                let ended = |_| Error::BrokeOff { name: chunks.name, why: "its request has ended".to_owned() };
                let bytes = outcome.wait_for(Option::is_some).await.map_err(ended)?.clone();
                let bytes = bytes.unwrap_or(Ok(Bytes::new()))?;
                let of_it = (flight.first..).zip(0..bytes.len().div_ceil(chunks.chunk_bytes as usize));
                let of_it = of_it.filter(|(number, _)| numbers.contains(number));
                pieces.extend(of_it.map(|(number, place)| {
                    let start = place * chunks.chunk_bytes as usize;
                    (number, bytes.slice(start..bytes.len().min(start + chunks.chunk_bytes as usize)))
                }));
            }
            if let Some((last, bytes)) = pieces.last_key_value() {
                chunks.remember(*last, bytes);
            }
            if numbers.clone().any(|number| !pieces.contains_key(&number)) {
                pieces = self.add_from_disk(numbers.clone(), pieces).await?;
            }
        }
        let mut buffer = BytesMut::zeroed(len);
        for (number, bytes) in &pieces {
            copy(bytes, chunks.start_of(*number), at, &mut buffer);
        }
        let is_all = numbers.clone().all(|number| pieces.contains_key(&number));
        let ended = Error::BrokeOff { name: chunks.name, why: "a request brought too little".to_owned() };
        if is_all { Ok(buffer.freeze()) } else { Err(ended) }
    }

    /// Reads the copy that has taken the place of the chunks, where there is one.
    async fn read_copy(&self, at: u64, len: usize) -> Result<Option<Bytes>> {
        let chunks = &self.asking.chunks;
        let Ok(lease) = self.copies.local(chunks.name, Some(&chunks.stat)).await else { return Ok(None) };
        // Another clone may have found it first.
        drop(self.lease.set(lease));
        let Some(reader) = self.lease.get().map(|lease| Arc::clone(lease.reader())) else { return Ok(None) };
        let path = self.asking.shared.paths(chunks.id()).copy;
        off_the_runtime(chunks.name, move || {
            let mut bytes = BytesMut::zeroed(len);
            let read = reader.read_at(at, &mut bytes).map_err(crate::error::failed("read", &path))?;
            Ok((read == len).then(|| bytes.freeze()))
        })
        .await
    }

    /// Adds the chunks that are on disk to those that came.
    async fn add_from_disk(
        &self,
        numbers: RangeInclusive<u64>,
        mut pieces: BTreeMap<u64, Bytes>,
    ) -> Result<BTreeMap<u64, Bytes>> {
        let Asking { shared, chunks, .. } = self.asking.clone();
        let name = chunks.name;
        off_the_runtime(name, move || {
            for number in numbers {
                if !pieces.contains_key(&number)
                    && let Some(bytes) = chunks.read_chunk(&shared, number)
                {
                    pieces.insert(number, bytes);
                }
            }
            Ok(pieces)
        })
        .await
    }
}

impl Chunks {
    /// Keeps the chunk that was fetched last in memory, whether or not there is room for it on disk.
    fn remember(&self, number: u64, bytes: &Bytes) {
        // A copy, because what it is a part of may be much larger.
        let bytes = Bytes::copy_from_slice(bytes);
        self.inner.lock().recent = Some((number, bytes));
    }
}

/// Copies of a chunk that starts at `start` what belongs into the bytes from `at` on.
fn copy(chunk: &[u8], start: u64, at: u64, buffer: &mut [u8]) {
    let place = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
    let (skipped, behind) = (place(start, at).min(chunk.len()), place(at, start).min(buffer.len()));
    let count = (chunk.len() - skipped).min(buffer.len() - behind);
    buffer[behind..behind + count].copy_from_slice(&chunk[skipped..skipped + count]);
}

impl Cursor {
    /// Of a reader that hasn't read yet.
    fn new() -> Self {
        Self { end: AtomicU64::new(u64::MAX), ahead: AtomicU64::new(0) }
    }

    /// Notes a read, and tells whether it goes on with the one before.
    fn note(&self, at: u64, len: usize) -> bool {
        let before = self.end.swap(at.saturating_add(len as u64), Ordering::Relaxed);
        let is_in_order = at.checked_sub(before).is_some_and(|gap| gap <= NEAR_BYTES);
        if !is_in_order {
            self.ahead.store(0, Ordering::Relaxed);
        }
        is_in_order
    }

    /// Doubles what is read ahead, from a chunk up to `most`.
    fn widen(&self, chunk_bytes: u64, most: u64) -> u64 {
        let wider = self.ahead.load(Ordering::Relaxed).saturating_mul(2).max(chunk_bytes).min(most);
        self.ahead.store(wider, Ordering::Relaxed);
        wider
    }
}

impl ReadAt for RemoteReader {
    fn size(&self) -> u64 {
        self.stat().size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.within(offset, buffer.len());
        if len > 0 {
            self.read_blocking(offset, &mut buffer[..len]).map_err(io::Error::other)?;
        }
        Ok(len)
    }
}

impl Clone for RemoteReader {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), cursor: Cursor::new(), is_local_only: self.is_local_only }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.interest.take());
        self.asking.shared.forget_chunks_if_empty(&self.asking.chunks);
        self.asking.shared.ledger.freed.notify_one();
    }
}

impl fmt::Debug for RemoteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteReader").field("name", &self.name()).field("stat", self.stat()).finish_non_exhaustive()
    }
}
