//! Registering a shard.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use dagstore_fsm::Event;
use dagstore_mount::MountUrl;
use dagstore_types::{InvalidKey, ShardKey, ShardRecord};

use crate::core::Core;
use crate::metrics::Metrics;
use crate::place::Place;
use crate::{Error, Result};

/// A registration, to be awaited; see [`Engine::register`](crate::Engine::register).
#[must_use = "nothing is registered before it is awaited"]
#[derive(Debug)]
pub struct Register<'a> {
    core: &'a Arc<Core>,
    key: Result<ShardKey, InvalidKey>,
    url: dagstore_mount::Result<MountUrl>,
    lazy: bool,
    detached: bool,
}

impl<'a> Register<'a> {
    pub(crate) fn new(
        core: &'a Arc<Core>,
        key: Result<ShardKey, InvalidKey>,
        url: dagstore_mount::Result<MountUrl>,
    ) -> Self {
        Self { core, key, url, lazy: false, detached: false }
    }

    /// Leaves the work to the first acquire.
    pub fn lazy(self) -> Self {
        Self { lazy: true, ..self }
    }

    /// Returns as soon as the registration is durable, and lets the work go on in the background.
    pub fn detached(self) -> Self {
        Self { detached: true, ..self }
    }

    /// Checks everything that can be checked first, so that a refusal leaves nothing.
    #[tracing::instrument(level = "debug", name = "register", skip_all, fields(key = ?self.key))]
    async fn run(self) -> Result<()> {
        let core = self.core;
        core.check_active()?;
        let (key, url) = (self.key?, self.url?);
        core.check_room(&key)?;
        core.quarantine.read().check(&key)?;
        let place = Place::of_url(&core.registry, &url)?;
        if place.is_copied() && core.copies.is_none() {
            return Err(Error::NeedsCopy { url: url.as_str().to_owned() });
        }
        core.unless_closed(place.mount.stat()).await??;
        let mut permit = core.registering.clone().acquire_owned().await.ok();
        loop {
            core.check_active()?;
            // A new one each time, so that the numbers of a key only ever grow.
            let registration = core.registrations.next(core, &key).await?;
            let cell = core.catalogue.get_or_insert(&key);
            let record = ShardRecord::new(key.clone(), url.as_str().to_owned(), self.lazy, registration, core.now());
            let wait = !self.detached;
            let event = |waiter| Event::Register { waiter, record, wait };
            if let Some(reply) = core.ask_with(permit.take(), &cell, event).await? {
                return core.answered(&key, reply);
            }
            core.catalogue.remove(&cell);
            tokio::task::yield_now().await;
        }
    }
}

impl<'a> IntoFuture for Register<'a> {
    type Output = Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async {
            let registered = self.run().await;
            Metrics::operation("register", &registered);
            registered
        })
    }
}
