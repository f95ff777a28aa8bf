//! A mount of sources that are far away.

use std::collections::HashMap;
use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_mount::{Capabilities, Mount, Opened, Result, Stat};
use tokio::sync::watch;

/// Bytes behind a network, as it were: opening a source takes as long as a test wants. Every instance of the template serves
/// the same bytes; how its source behaves depends on its location.
#[derive(Debug, Clone)]
pub struct RemoteMount {
    remote: Arc<Remote>,
    location: String,
}

/// What a test holds of its [`RemoteMount`]s.
#[derive(Debug)]
pub struct Remote {
    content: Bytes,
    behaviours: watch::Sender<HashMap<String, Behaviour>>,
    opening: AtomicUsize,
    most_opening: AtomicUsize,
}

/// How a source behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// It is ready, and opened at once.
    #[default]
    Ready,
    /// It is ready, and opening it takes until it behaves otherwise.
    Slow,
    /// It isn't ready, and opening it takes until it behaves otherwise.
    Frozen,
    /// It never says whether it is ready, and opening it takes until it behaves otherwise.
    Silent,
}

impl RemoteMount {
    /// A template that serves `content`, and what a test holds of it.
    pub fn template(content: impl Into<Bytes>) -> (Self, Arc<Remote>) {
        let remote = Arc::new(Remote {
            content: content.into(),
            behaviours: watch::Sender::default(),
            opening: AtomicUsize::new(0),
            most_opening: AtomicUsize::new(0),
        });
        (Self { remote: remote.clone(), location: String::new() }, remote)
    }

    fn behaviour(&self) -> Behaviour {
        self.remote.behaviours.borrow().get(&self.location).copied().unwrap_or_default()
    }

    fn stat_of_content(&self) -> Stat {
        Stat::new(self.remote.content.len() as u64, None)
    }
}

impl Remote {
    /// Lets the source at `location` behave like this from now on.
    pub fn behave(&self, location: &str, behaviour: Behaviour) {
        self.behaviours.send_modify(|behaviours| {
            behaviours.insert(location.to_owned(), behaviour);
        });
    }

    /// How many sources are being opened now.
    pub fn opening(&self) -> usize {
        self.opening.load(Ordering::Relaxed)
    }

    /// How many there were at most.
    pub fn most_opening(&self) -> usize {
        self.most_opening.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Mount for RemoteMount {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::LOCAL;
        capabilities.local = false;
        capabilities
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        Ok(Arc::new(Self { remote: self.remote.clone(), location: location.to_owned() }))
    }

    async fn stat(&self) -> Result<Stat> {
        match self.behaviour() {
            Behaviour::Ready | Behaviour::Slow => Ok(self.stat_of_content()),
            Behaviour::Frozen => Ok(self.stat_of_content().not_ready()),
            Behaviour::Silent => future::pending().await,
        }
    }

    async fn open(&self) -> Result<Opened> {
        let mut behaviours = self.remote.behaviours.subscribe();
        let _counted = Opening::new(&self.remote);
        let is_ready = |behaviours: &HashMap<String, Behaviour>| {
            behaviours.get(&self.location).copied().unwrap_or_default() == Behaviour::Ready
        };
        // The sender is in this mount, so this can't fail.
        let _ready = behaviours.wait_for(is_ready).await;
        Ok(Opened::new(self.stat_of_content(), Arc::new(self.remote.content.clone())))
    }
}

/// Counts while a source is being opened.
struct Opening<'a>(&'a Remote);

impl<'a> Opening<'a> {
    fn new(remote: &'a Remote) -> Self {
        let opening = remote.opening.fetch_add(1, Ordering::Relaxed) + 1;
        remote.most_opening.fetch_max(opening, Ordering::Relaxed);
        Self(remote)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.fetch_sub(1, Ordering::Relaxed);
    }
}
