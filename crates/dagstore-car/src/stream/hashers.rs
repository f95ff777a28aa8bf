//! Threads that look at the chunks of a stream, whose results come back in the order of the stream.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::chunk::{Checks, Chunk, Odd};
use crate::{Error, Result};

/// A chunk that was looked at.
#[derive(Debug)]
pub(crate) struct Hashed {
    pub(crate) chunk: Chunk,
    pub(crate) odd: Vec<(usize, Odd)>,
    /// Why no section follows it; `None` where more may follow.
    pub(crate) end: Option<Result<()>>,
}

/// A chunk on its way to a thread.
struct Job {
    chunk: Chunk,
    answer: SyncSender<(Chunk, Vec<(usize, Odd)>)>,
}

/// A chunk that a thread has.
#[derive(Debug)]
struct Waiting {
    answer: Receiver<(Chunk, Vec<(usize, Odd)>)>,
    end: Option<Result<()>>,
}

/// Threads that look at chunks. They end with it.
#[derive(Debug)]
pub(crate) struct Hashers {
    checks: Checks,
    /// How many threads there may be: none are started for the first chunk.
    most_threads: usize,
    /// How many chunks they may have together.
    most_waiting: usize,
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    waiting: VecDeque<Waiting>,
    /// Chunks to be filled again.
    spare: Vec<Chunk>,
    seen: u64,
}

impl Hashers {
    pub(crate) fn new(checks: Checks, most_threads: usize, most_chunks: usize) -> Self {
        Self {
            checks,
            most_threads,
            // One chunk is being filled meanwhile.
            most_waiting: (2 * most_threads).min(most_chunks - 1),
            jobs: None,
            threads: Vec::new(),
            waiting: VecDeque::new(),
            spare: Vec::new(),
            seen: 0,
        }
    }

    /// Takes a chunk. It is one of those that [`next`](Self::next) gives, in order.
    pub(crate) fn take(&mut self, chunk: Chunk, end: Option<Result<()>>) {
        self.seen += 1;
        if self.seen == 2 && self.most_threads > 1 && self.most_waiting > 1 {
            self.start();
        }
        let (answer, waiting) = mpsc::sync_channel(1);
        self.waiting.push_back(Waiting { answer: waiting, end });
        let job = Job { chunk, answer };
        let unsent = match &self.jobs {
            Some(jobs) => jobs.send(job).err().map(|unsent| unsent.0),
            None => Some(job),
        };
        if let Some(job) = unsent {
            run(job, &self.checks);
        }
    }

    /// The next chunk; `None` where there is none, or none that has to be waited for. It waits for all if `to_the_end`,
    /// else only while there are as many as there may be.
    pub(crate) fn next(&mut self, to_the_end: bool) -> Result<Option<Hashed>> {
        let must_wait = to_the_end || self.waiting.len() > self.most_waiting;
        let Some(first) = self.waiting.pop_front() else { return Ok(None) };
        let answer = if must_wait {
            first.answer.recv().map_err(|_| lost())
        } else {
            match first.answer.try_recv() {
                Ok(answer) => Ok(answer),
                Err(mpsc::TryRecvError::Disconnected) => Err(lost()),
                Err(mpsc::TryRecvError::Empty) => {
                    self.waiting.push_front(first);
                    return Ok(None);
                }
            }
        };
        let (chunk, odd) = answer?;
        Ok(Some(Hashed { chunk, odd, end: first.end }))
    }

    /// A chunk to be filled.
    pub(crate) fn empty(&mut self) -> Chunk {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back a chunk that is done with.
    pub(crate) fn give_back(&mut self, chunk: Chunk) {
        self.spare.push(chunk);
    }

    fn start(&mut self) {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..self.most_threads {
            let (queue, checks) = (queue.clone(), self.checks.clone());
            let thread = thread::Builder::new().name("dagstore-car".to_owned());
            // Fewer threads do it as well.
            let Ok(thread) = thread.spawn(move || work(&queue, &checks)) else { break };
            self.threads.push(thread);
        }
        self.jobs = (!self.threads.is_empty()).then_some(jobs);
    }
}

impl Drop for Hashers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // One that panicked has lost its chunk, which was told.
            drop(thread.join());
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>, checks: &Checks) {
    loop {
        let Ok(queue) = queue.lock() else { return };
        let Ok(job) = queue.recv() else { return };
        drop(queue);
        run(job, checks);
    }
}

fn run(job: Job, checks: &Checks) {
    let odd = job.chunk.check(checks);
    // Nobody waits for it where the scan was given up.
    drop(job.answer.send((job.chunk, odd)));
}

fn lost() -> Error {
    Error::Io { offset: 0, source: io::Error::other("a thread that hashes has panicked") }
}
