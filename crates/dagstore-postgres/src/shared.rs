//! What the calls of one handle share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dagstore_datastore::{Error, Result};
use deadpool_postgres::Pool;
use tokio::sync::Mutex;

use crate::error::BACKEND;
use crate::lane::Lane;
use crate::lease::Lease;
use crate::session::Connector;
use crate::sql::Sql;

/// What the calls of one handle share. All of it is used on the handle's own thread.
pub(crate) struct Shared {
    pub(crate) place: Arc<str>,
    pub(crate) sql: Sql,
    pub(crate) connector: Connector,
    pub(crate) readers: Pool,
    pub(crate) lease: Lease,
    /// Writes go one after the other, in the order in which they were asked for.
    pub(crate) lane: Mutex<Lane>,
    pub(crate) is_closed: AtomicBool,
}

impl Shared {
    /// Refuses a call where the handle is closed or has lost its lease.
    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        if self.is_closed() {
            return Err(Error::Closed { backend: BACKEND });
        }
        self.lease.check(operation)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}
