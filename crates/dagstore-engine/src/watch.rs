//! What happens in a store, for those who watch. They never hold anybody up: whoever reads too slowly misses events, and is
//! told how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dagstore_fsm::Operation;
use dagstore_types::{ShardError, ShardKey, ShardState};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};

/// How many events wait for the slowest reader before it misses the oldest of them.
const MOST_WAITING: usize = 4096;

/// An operation that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// Of which shard.
    pub key: ShardKey,
    /// Which operation.
    pub operation: Operation,
    /// The shard's state then; `None` once it is gone.
    pub state: Option<ShardState>,
}

/// A shard that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Which shard.
    pub key: ShardKey,
    /// Why.
    pub error: ShardError,
}

/// What a reader of a stream gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched<T> {
    /// An event.
    Event(T),
    /// So many events were dropped here, because the reader was too slow.
    Missed(u64),
}

/// The places where events are told.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    traces: Channel<Trace>,
    failures: Channel<Failure>,
}

impl Watch {
    /// Tells those who watch, if anybody does.
    #[inline]
    pub(crate) fn trace(&self, key: &ShardKey, operation: Operation, state: Option<ShardState>) {
        if self.traces.has_readers() {
            self.traces.tell(Trace { key: key.clone(), operation, state });
        }
    }

    pub(crate) fn failure(&self, key: &ShardKey, error: ShardError) {
        if self.failures.has_readers() {
            self.failures.tell(Failure { key: key.clone(), error });
        }
    }

    pub(crate) fn traces(&self) -> impl Stream<Item = Watched<Trace>> + Send + Unpin + use<> {
        self.traces.read()
    }

    pub(crate) fn failures(&self) -> impl Stream<Item = Watched<Failure>> + Send + Unpin + use<> {
        self.failures.read()
    }

    /// Ends all streams behind the events that were told.
    pub(crate) fn end(&self) {
        self.traces.end();
        self.failures.end();
    }
}

/// Where events are told.
#[derive(Debug)]
enum Place<T> {
    /// Nobody has come to read. The channel allocates its room at once, so it is made when the first reader comes.
    None,
    Open(Sender<T>),
    /// The store is closed.
    Ended,
}

#[derive(Debug)]
struct Channel<T> {
    place: parking_lot::RwLock<Place<T>>,
    /// Counted apart from the channel, which would have to be locked to ask it.
    readers: Arc<AtomicUsize>,
}

impl<T: Clone> Default for Channel<T> {
    fn default() -> Self {
        Self { place: parking_lot::RwLock::new(Place::None), readers: Arc::default() }
    }
}

impl<T: Clone + Send + 'static> Channel<T> {
    fn has_readers(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    fn tell(&self, event: T) {
        if let Place::Open(sender) = &*self.place.read() {
            let _nobody_left = sender.send(event);
        }
    }

    fn read(&self) -> impl Stream<Item = Watched<T>> + Send + Unpin + use<T> {
        let receiver = self.subscribe();
        let reader = Reader { receiver, _counted: Counted::new(&self.readers) };
        Box::pin(unfold(reader, |mut reader| async move {
            let watched = match reader.receiver.recv().await {
                Ok(event) => Watched::Event(event),
                Err(RecvError::Lagged(missed)) => Watched::Missed(missed),
                Err(RecvError::Closed) => return None,
            };
            Some((watched, reader))
        }))
    }

    fn subscribe(&self) -> Receiver<T> {
        let mut place = self.place.write();
        match &*place {
            Place::Open(sender) => sender.subscribe(),
            Place::None => {
                let (sender, receiver) = broadcast::channel(MOST_WAITING);
                *place = Place::Open(sender);
                receiver
            }
            // Its sender is gone at once, which ends the stream.
            Place::Ended => broadcast::channel(1).1,
        }
    }

    fn end(&self) {
        *self.place.write() = Place::Ended;
    }
}

struct Reader<T> {
    receiver: Receiver<T>,
    _counted: Counted,
}

struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(readers: &Arc<AtomicUsize>) -> Self {
        readers.fetch_add(1, Ordering::Relaxed);
        Self(readers.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
