//! A plain thread that runs closures one after the other, for databases whose calls block.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// A named thread with a bounded queue of closures.
///
/// It is no thread of a runtime's blocking pool, because a runtime waits for those when it is shut down: a call that
/// hangs in a database would then hang the program's exit. It needs no runtime at all.
///
/// Dropping the worker waits for nothing: the thread does what is in its queue and ends by itself.
#[derive(Debug)]
pub struct Worker {
    name: Arc<str>,
    jobs: mpsc::Sender<Job>,
}

/// Why a [`Worker`] gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The closure panicked. The thread goes on with the next one.
    #[error("a job of thread {worker} panicked: {message}")]
    Panicked {
        /// The thread's name.
        worker: Arc<str>,
        /// What the panic said.
        message: String,
    },
    /// The thread has ended before its time.
    #[error("thread {worker} has ended")]
    Ended {
        /// The thread's name.
        worker: Arc<str>,
    },
}

impl Worker {
    /// Starts a thread. At most `queue_length` closures (at least one) wait for their turn; whoever brings another
    /// one waits for a place.
    ///
    /// # Errors
    /// Whatever the operating system says when there can be no more threads.
    pub fn spawn(name: &'static str, queue_length: usize) -> io::Result<Self> {
        Self::spawn_owning(name, queue_length, ())
    }

    /// Starts a thread as [`spawn`](Self::spawn) does, which drops `owned` when it ends: so a value whose drop blocks
    /// never blocks the one who drops the worker.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn spawn_owning<T: Send + 'static>(name: &'static str, queue_length: usize, owned: T) -> io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(queue_length.max(1));
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _owned = owned;
            while let Some(job) = queue.blocking_recv() {
                // The job caught the closure's own panic and sent it. What is caught here is the drop of an answer
                // that nobody waits for; it must not end the thread.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        })?;
        Ok(Self { name: name.into(), jobs })
    }

    /// Runs `job` on the thread, after those that came before it, and returns its answer. Dropping the future before
    /// the job is in the queue means that it never runs; later it runs all the same, and its answer is dropped.
    ///
    /// # Errors
    /// [`WorkerError::Panicked`] when `job` panicked.
    pub async fn run<T, F>(&self, job: F) -> Result<T, WorkerError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (answer, waiting) = oneshot::channel();
        let job = Box::new(move || {
            let _ = answer.send(caught(job));
        });
        self.jobs.send(job).await.map_err(|_| self.ended())?;
        match waiting.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(message)) => Err(WorkerError::Panicked { worker: Arc::clone(&self.name), message }),
            Err(_) => Err(self.ended()),
        }
    }

    fn ended(&self) -> WorkerError {
        WorkerError::Ended { worker: Arc::clone(&self.name) }
    }
}

/// What `job` returns, or what its panic said.
///
/// # Errors
/// The panic's message.
pub(crate) fn caught<T>(job: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(job)).map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc as blocking;
    use std::task::{Context, Poll, Wake, Waker};
    use std::thread::Thread;

    use futures_util::FutureExt;

    use super::*;

    /// Waits for a future with nothing but this thread: there is no runtime anywhere in these tests.
    fn wait<F: Future>(future: F) -> F::Output {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    }

    /// A job that says when it has begun and waits until it may end.
    fn stopped_job() -> (impl FnOnce() + Send + 'static, blocking::Receiver<()>, blocking::Sender<()>) {
        let (begun, has_begun) = blocking::channel();
        let (may_end, end) = blocking::channel();
        let job = move || {
            begun.send(()).unwrap();
            let _ = end.recv();
        };
        (job, has_begun, may_end)
    }

    #[test]
    fn answers_come_from_the_named_thread() {
        let worker = Worker::spawn("counter", 2).unwrap();
        let name = wait(worker.run(|| thread::current().name().map(str::to_owned))).unwrap();
        assert_eq!(name.as_deref(), Some("counter"));
    }

    #[test]
    fn a_panic_is_an_error_and_the_thread_goes_on() {
        let worker = Worker::spawn("panics", 1).unwrap();
        let error = wait(worker.run(|| panic!("no {}", "luck"))).unwrap_err();
        assert_eq!(error, WorkerError::Panicked { worker: "panics".into(), message: "no luck".into() });
        assert_eq!(wait(worker.run(|| 7)), Ok(7));
    }

    #[test]
    fn a_panicking_drop_of_an_answer_nobody_waits_for_does_not_end_the_thread() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let worker = Worker::spawn("bombs", 4).unwrap();
        let (job, has_begun, may_end) = stopped_job();
        assert!(worker.run(job).now_or_never().is_none());
        has_begun.recv().unwrap();
        assert!(worker.run(|| Bomb).now_or_never().is_none());
        may_end.send(()).unwrap();
        assert_eq!(wait(worker.run(|| 7)), Ok(7));
    }

    #[test]
    fn a_full_queue_makes_the_caller_wait_and_what_never_got_in_never_runs() {
        let worker = Worker::spawn("narrow", 1).unwrap();
        let (job, has_begun, may_end) = stopped_job();
        let (ran, has_run) = blocking::channel();
        assert!(worker.run(job).now_or_never().is_none());
        has_begun.recv().unwrap();
        let (first, second) = (ran.clone(), ran);
        assert!(worker.run(move || first.send("in the queue").unwrap()).now_or_never().is_none());
        assert!(worker.run(move || second.send("no place").unwrap()).now_or_never().is_none());
        may_end.send(()).unwrap();
        assert_eq!(has_run.iter().collect::<Vec<_>>(), ["in the queue"]);
    }

    #[test]
    fn dropping_waits_for_nothing_and_the_queue_is_still_done() {
        struct SaysWhenDropped(blocking::Sender<&'static str>);
        impl Drop for SaysWhenDropped {
            fn drop(&mut self) {
                self.0.send("owned value dropped").unwrap();
            }
        }
        let (ran, has_run) = blocking::channel();
        let worker = Worker::spawn_owning("leaves", 4, SaysWhenDropped(ran.clone())).unwrap();
        let (job, has_begun, may_end) = stopped_job();
        assert!(worker.run(job).now_or_never().is_none());
        assert!(worker.run(move || ran.send("queued job").unwrap()).now_or_never().is_none());
        has_begun.recv().unwrap();
        drop(worker);
        may_end.send(()).unwrap();
        assert_eq!(has_run.iter().collect::<Vec<_>>(), ["queued job", "owned value dropped"]);
    }
}
