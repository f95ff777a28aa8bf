//! One fetch, from the first look at the source to the complete copy.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dagstore_fs::OwnName;
use dagstore_mount::{ByteStream, Mount, Stat};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::look::{Found, look};
use crate::make_room::reserve;
use crate::names::Id;
use crate::observer::Observer;
use crate::room::Room;
use crate::sidecar::{Form, Sidecar};
use crate::state::{Held, Marks, OnDisk, Progress, Shared};
use crate::writer::Writer;
use crate::{Error, Result, off_the_runtime};

/// What a fetch is to do.
pub(crate) struct Job {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: OwnName,
    pub(crate) mount: Arc<dyn Mount>,
    pub(crate) expected: Option<Stat>,
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
    pub(crate) marks: Arc<Marks>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) cancelled: watch::Receiver<bool>,
    /// What is counted for the copy. Given back only when it is known what is left on disk.
    pub(crate) room: Mutex<Option<OnDisk>>,
}

/// Runs a job to its end, puts into the slot what came of it, and then tells those who wait.
pub(crate) async fn supervise(
    job: Job,
    observer: Option<Box<dyn Observer>>,
    outcome: watch::Sender<Option<Result<()>>>,
) {
    let job = Arc::new(job);
    let turn = Arc::clone(&job.turn).lock_owned().await;
    // In a task of its own, so that a panic of a mount or an observer is an error like another.
    let running = Arc::clone(&job);
    let run = tokio::spawn(async move { run(&running, observer).await });
    let result = run.await.unwrap_or_else(|error| Err(broke_off(job.name, &error)));
    let (settling, outcome_of_run) = (Arc::clone(&job), result.clone());
    let settled = tokio::task::spawn_blocking(move || settling.settle(outcome_of_run)).await;
    let held = settled.unwrap_or(Held::Nothing);
    let (shared, id) = (&job.shared, Id::of(job.name));
    let before = shared.state.lock().slots.get_mut(&id).map(|slot| std::mem::replace(&mut slot.held, held));
    let has_chunks = shared.state.lock().chunks.contains_key(&id);
    if result.is_ok() && has_chunks {
        // From now on whoever wants chunks finds the copy; those who have them read it as well.
        let shared = Arc::clone(shared);
        let replaced = tokio::task::spawn_blocking(move || shared.replace_chunks(id)).await;
        drop(replaced);
    }
    drop((before, turn));
    // Where nobody waits for the copy any more, it can be evicted from now on.
    shared.ledger.freed.notify_one();
    // Nobody may wait for it any more.
    let _ = outcome.send(Some(result.map(|_| ())));
    let shared = Arc::clone(shared);
    drop(job);
    shared.forget_if_empty(id);
}

async fn run(job: &Arc<Job>, observer: Option<Box<dyn Observer>>) -> Result<Sidecar> {
    let before = job.room.lock().clone();
    let stat = job.stat(before.is_some()).await?;
    let is_continued = before.as_ref().is_some_and(|before| job.can_continue(before, &stat));
    let (shared, marks, progress) = (Arc::clone(&job.shared), Arc::clone(&job.marks), Arc::clone(&job.progress));
    progress.total.store(stat.size, Ordering::Relaxed);
    let mut from = 0;
    let writer = match before {
        Some(OnDisk { sidecar, room }) if is_continued => {
            job.add_room(&sidecar, &room).await?;
            from = sidecar.durable;
            let resume = move || Writer::resume(shared, sidecar, marks, room, progress, observer);
            off_the_runtime(job.name, resume).await?
        }
        before => {
            let sidecar = Sidecar::new(job.name, &stat, shared.now())?;
            let room = job.new_room(before, &sidecar).await?;
            let create = move || Writer::create(shared, sidecar, marks, room, progress, observer);
            off_the_runtime(job.name, create).await?
        }
    };
    // A copy that was whole when the process ended lacks its name alone.
    let is_whole = is_continued && from == stat.size;
    let writer = if is_whole { writer } else { pump(job, writer, job.stream(from, &stat).await).await? };
    let chunks = job.shared.state.lock().chunks.get(&Id::of(job.name)).cloned();
    if chunks.is_some_and(|chunks| chunks.is_pinned()) {
        job.marks.is_pinned.store(true, Ordering::Relaxed);
    }
    off_the_runtime(job.name, move || writer.finish()).await
}

impl Job {
    /// The content to fetch. The source is asked where it isn't told, or where something is on disk that is thrown away if
    /// it isn't the same.
    async fn stat(&self, is_something_there: bool) -> Result<Stat> {
        if let (Some(expected), false) = (&self.expected, is_something_there) {
            return Ok(expected.clone());
        }
        let stat = self.ask(self.in_time(self.mount.stat())).await?;
        self.check(&stat, self.expected.as_ref())?;
        Ok(stat)
    }

    async fn stream(&self, from: u64, stat: &Stat) -> Result<ByteStream> {
        let stream = self.mount.stream(from, Some(stat));
        // One that isn't ready may have to be thawed first, which takes hours.
        let streamed = if stat.ready { self.ask(self.in_time(stream)).await? } else { self.ask(told(stream)).await? };
        self.check(&streamed.stat, Some(stat))?;
        Ok(streamed.bytes)
    }

    fn check(&self, found: &Stat, wanted: Option<&Stat>) -> Result<()> {
        let is_same = wanted.is_none_or(|wanted| wanted.same_content(found));
        if is_same { Ok(()) } else { Err(Error::SourceChanged { name: self.name }) }
    }

    /// The answer of the mount, if it comes in time: one that never does would keep its place among the fetches for ever.
    async fn in_time<T>(
        &self,
        question: impl Future<Output = dagstore_mount::Result<T>>,
    ) -> Result<dagstore_mount::Result<T>> {
        let waited = self.shared.options.idle_timeout;
        tokio::time::timeout(waited, question).await.map_err(|_| Error::Idle { name: self.name, waited })
    }

    /// Asks the mount, and remembers whether the source was seen.
    async fn ask<T>(&self, question: impl Future<Output = Result<dagstore_mount::Result<T>>>) -> Result<T> {
        let answer = self.unless_cancelled(question).await??;
        match &answer {
            Ok(_) => self.marks.see_source(true),
            Err(dagstore_mount::Error::NotFound { .. }) => self.marks.see_source(false),
            Err(_) => {}
        }
        answer.map_err(|error| Error::of_source(self.name, error))
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let mut cancelled = self.cancelled.clone();
        tokio::select! {
            done = work => Ok(done),
            () = is_told(&mut cancelled) => Err(Error::Cancelled { name: self.name }),
        }
    }

    /// Whether what is on disk is the beginning of this content, and the source can be asked for the rest.
    fn can_continue(&self, before: &OnDisk, stat: &Stat) -> bool {
        let sidecar = &before.sidecar;
        let is_beginning = before.is_partial() && sidecar.durable > 0 && stat.same_content(&sidecar.stat());
        let can_seek = !stat.sequential_only && self.mount.capabilities().seek;
        is_beginning && (sidecar.durable == sidecar.size || sidecar.validator.is_some() && can_seek)
    }

    /// Makes room for the rest of a partial copy.
    async fn add_room(&self, sidecar: &Sidecar, room: &Room) -> Result<()> {
        let needed = sidecar.size.saturating_add(sidecar.room());
        let more = needed.saturating_sub(room.bytes());
        if more > 0 {
            room.absorb(self.unless_cancelled(reserve(&self.shared, self.name, more, needed)).await??);
        }
        Ok(())
    }

    /// Removes what is there, so that there are never two copies, and makes room for a new one.
    async fn new_room(&self, before: Option<OnDisk>, sidecar: &Sidecar) -> Result<Arc<Room>> {
        let id = Id::of(self.name);
        // A file that nobody claims stands where the new one is to be, and its room isn't the new one's.
        if before.is_some() || self.shared.has_strays(&self.shared.paths(id).of_copy()) {
            let shared = Arc::clone(&self.shared);
            off_the_runtime(self.name, move || shared.remove_copy(id)).await?;
            let same = self.room.lock().take();
            drop((same, before));
        }
        let needed = sidecar.size.saturating_add(sidecar.room());
        let reserved = reserve(&self.shared, self.name, needed, needed);
        let room = Arc::new(self.unless_cancelled(reserved).await??);
        *self.room.lock() = Some(OnDisk { sidecar: sidecar.clone(), room: Arc::clone(&room) });
        Ok(room)
    }

    /// What there is after the run. Blocks.
    fn settle(&self, result: Result<Sidecar>) -> Held {
        let kept = self.room.lock().take();
        match (result, kept) {
            (Ok(sidecar), Some(OnDisk { room, .. })) => {
                room.shrink_to(sidecar.size + sidecar.room());
                Held::OnDisk(OnDisk { sidecar, room })
            }
            (Ok(_), None) => Held::Nothing,
            (Err(error), kept) => self.what_is_left(&error, kept),
        }
    }

    fn what_is_left(&self, error: &Error, kept: Option<OnDisk>) -> Held {
        let id = Id::of(self.name);
        let (file_system, paths) = (&*self.shared.file_system, self.shared.paths(id));
        let mut left = look(file_system, &paths, id);
        if let Ok(Some(Found { sidecar, .. })) = &left
            && sidecar.form == Form::Partial
            && (is_worthless(error) || sidecar.durable == 0)
        {
            // What can't be removed now stays counted, and the next fetch begins with removing it.
            left = self.shared.remove_copy(id).and_then(|()| look(file_system, &paths, id));
        }
        match (left, kept) {
            (Ok(None), _) | (Err(_), None) => Held::Nothing,
            (Ok(Some(Found { sidecar, room })), Some(kept)) if kept.room.bytes() == room => {
                Held::OnDisk(OnDisk { sidecar, room: kept.room })
            }
            // Counted anew before the old room is given back.
            (Ok(Some(Found { sidecar, room })), _) => {
                Held::OnDisk(OnDisk { sidecar, room: Arc::new(self.shared.ledger.existing(room)) })
            }
            (Err(_), Some(kept)) => Held::OnDisk(kept),
        }
    }
}

/// The answer of the mount, whenever it comes.
async fn told<T>(question: impl Future<Output = dagstore_mount::Result<T>>) -> Result<dagstore_mount::Result<T>> {
    Ok(question.await)
}

/// Whether nothing that was fetched can be believed.
fn is_worthless(error: &Error) -> bool {
    matches!(error, Error::SourceChanged { .. } | Error::Damaged { .. } | Error::WrongSize { relation: "at least", .. })
}

/// Takes the bytes as they come, a piece being written while the next one is gathered. What came before a failure is
/// written and made durable as well, so that the next fetch goes on there.
async fn pump(job: &Job, writer: Writer, bytes: Result<ByteStream>) -> Result<Writer> {
    let most = job.shared.options.chunk_bytes.max(1);
    let (mut bytes, mut end) = match bytes {
        Ok(bytes) => (bytes, None),
        Err(error) => (futures_util::stream::empty().boxed(), Some(Err(error))),
    };
    let (mut idle, mut writing) = (Some(writer), None);
    let mut buffer = Vec::new();
    let mut cancelled = job.cancelled.clone();
    let waited = job.shared.options.idle_timeout;
    loop {
        let is_due = buffer.len() >= most || end.is_some() && !buffer.is_empty();
        if is_due && let Some(mut writer) = idle.take() {
            let piece = std::mem::take(&mut buffer);
            writing = Some(tokio::task::spawn_blocking(move || writer.take(&piece).map(|()| writer)));
        }
        if end.is_some() && buffer.is_empty() && writing.is_none() {
            break;
        }
        tokio::select! {
            written = ended(&mut writing) => {
                writing = None;
                idle = Some(written.map_err(|error| broke_off(job.name, &error))??);
            }
            piece = tokio::time::timeout(waited, bytes.next()), if end.is_none() && buffer.len() < most => match piece {
                Ok(Some(Ok(piece))) => buffer.extend_from_slice(&piece),
                Ok(Some(Err(error))) => end = Some(Err(Error::of_source(job.name, error))),
                Ok(None) => end = Some(Ok(())),
                Err(_) => end = Some(Err(Error::Idle { name: job.name, waited })),
            },
            () = is_told(&mut cancelled), if end.is_none() => end = Some(Err(Error::Cancelled { name: job.name })),
        }
    }
    let writer = idle.ok_or(Error::BrokeOff { name: job.name, why: "its writer is gone".to_owned() })?;
    match end {
        Some(Err(error)) => Err(keep(job, writer, error).await),
        _ => Ok(writer),
    }
}

/// Makes durable what came before `error`. That this fails, too, costs what came since the last checkpoint.
async fn keep(job: &Job, mut writer: Writer, error: Error) -> Error {
    if writer.can_be_resumed() && !is_worthless(&error) {
        let _ = off_the_runtime(job.name, move || writer.checkpoint()).await;
    }
    error
}

/// The end of the writing under way; never, where there is none.
async fn ended<T>(writing: &mut Option<JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}

/// Returns when it is told to stop, and never otherwise.
async fn is_told(cancelled: &mut watch::Receiver<bool>) {
    if cancelled.wait_for(|is_cancelled| *is_cancelled).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn broke_off(name: OwnName, error: &tokio::task::JoinError) -> Error {
    Error::BrokeOff { name, why: error.to_string() }
}
