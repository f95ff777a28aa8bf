//! The lease: who owns the database, and until when.
//!
//! The row of the lease says who holds it, until when by the server's clock, and its *epoch*, which grows whenever somebody
//! takes it. The holder counts its time from before it asked, by its own monotonic clock, and less a tenth: so it stops
//! before the server would let anybody else have the lease, whatever their clocks say of the time of day. Should a clock
//! run wrong all the same, the epoch decides: a write under an old one is refused by the server.

use std::sync::Arc;
use std::time::Duration;

use dagstore_datastore::{Error, ErrorClass, Result};
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{BACKEND, failed, own};
use crate::session::{Session, answered};
use crate::shared::Shared;
use crate::sql::Sql;

/// How often somebody who waits for the lease looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Between two tries of a renewal.
const RENEW_AGAIN: Duration = Duration::from_millis(50);

/// How long one try of a renewal may take at least.
const SHORTEST_TRY: Duration = Duration::from_millis(100);

/// The time in which a handle may believe that the lease is its own.
#[derive(Debug)]
pub(crate) struct Lease {
    place: Arc<str>,
    pub(crate) holder: Vec<u8>,
    duration: Duration,
    time: Mutex<Time>,
    /// Why it is lost; once there, for good.
    lost: watch::Sender<Option<Arc<str>>>,
}

#[derive(Debug)]
struct Time {
    epoch: i64,
    until: Instant,
}

impl Lease {
    /// Takes the lease, waiting up to `wait` for another who has it.
    ///
    /// # Errors
    /// [`Error::InUse`], which names the other; and of any class.
    pub(crate) async fn take(
        session: &Session,
        sql: &Sql,
        place: Arc<str>,
        duration: Duration,
        wait: Duration,
    ) -> Result<Self> {
        let mut holder = vec![0; 16];
        getrandom::fill(&mut holder).map_err(|error| own("open", ErrorClass::Transient, error.to_string()))?;
        // A wait beyond what a clock can tell is one without an end.
        let deadline = Instant::now().checked_add(wait);
        loop {
            let asked = Instant::now();
            let taking = async {
                let taken = session.query_opt(&sql.take, &[&holder, &own_name(), &millis(duration)]).await;
                taken.map_err(|error| failed("open", error))
            };
            if let Some(row) = answered(duration, taking).await? {
                let epoch = row.try_get(0).map_err(|error| failed("open", error))?;
                let time = Mutex::new(Time { epoch, until: asked + shortened(duration) });
                return Ok(Self { place, holder, duration, time, lost: watch::Sender::new(None) });
            }
            let looking = async { session.query_opt(&sql.holder, &[]).await.map_err(|error| failed("open", error)) };
            let other = answered(duration, looking).await?;
            let read = |row: &tokio_postgres::Row| Ok((row.try_get::<_, String>(0)?, row.try_get::<_, i64>(1)?));
            // Where there is nobody, the other has just let go.
            let other = other.as_ref().map(read).transpose().map_err(|error| failed("open", error))?;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let place = match other {
                    Some((name, left)) => format!("{place} (held by {name}, for {left} ms unless renewed)"),
                    None => place.to_string(),
                };
                return Err(Error::InUse { backend: BACKEND, place });
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// The epoch under which this handle writes.
    pub(crate) fn epoch(&self) -> i64 {
        self.time.lock().epoch
    }

    /// Refuses a call where the lease is lost, or not renewed in time.
    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        if self.lost.borrow().is_none() && Instant::now() >= self.until() {
            self.lose(NOT_RENEWED);
        }
        self.lost.borrow().as_ref().map_or(Ok(()), |why| Err(self.fenced(operation, why)))
    }

    /// Waits for the work, or for the loss of the lease: what then is under way is dropped.
    pub(crate) async fn guard<T>(&self, operation: &'static str, work: impl Future<Output = T>) -> Result<T> {
        let mut lost = self.lost.subscribe();
        let losing = std::pin::pin!(async move {
            // It can't end before the lease does, which has the sender.
            let lost = lost.wait_for(Option::is_some).await;
            lost.ok().and_then(|why| why.clone())
        });
        match select(losing, std::pin::pin!(work)).await {
            Either::Left((why, _)) => Err(self.fenced(operation, &why.unwrap_or_default())),
            Either::Right((done, _)) => Ok(done),
        }
    }

    /// From now on, and for good, every call fails.
    pub(crate) fn lose(&self, why: &str) {
        let lost = self.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            lost.get_or_insert_with(|| why.into());
            is_first
        });
        if lost {
            tracing::error!(place = %self.place, why, "the lease is lost");
        }
    }

    /// The error of a call that came, or was under way, when the lease was lost.
    pub(crate) fn lost(&self, operation: &'static str) -> Error {
        self.check(operation).err().unwrap_or_else(|| self.fenced(operation, TAKEN))
    }

    /// Takes the next epoch, so that nothing that is still under way on an old connection can be applied behind this call:
    /// a transaction that has read the row before is waited for, and one that reads it later isn't let through.
    ///
    /// # Errors
    /// [`ErrorClass::Fenced`] where somebody else has the lease; and of any class.
    pub(crate) async fn next_epoch(&self, session: &Session, sql: &Sql) -> Result<()> {
        let asked = Instant::now();
        let row = session.query_opt(&sql.next_epoch, &[&self.holder, &millis(self.duration)]).await;
        let Some(row) = row.map_err(|error| failed("reopen", error))? else {
            self.lose(TAKEN);
            return Err(self.lost("reopen"));
        };
        let epoch = row.try_get(0).map_err(|error| failed("reopen", error))?;
        self.renewed(asked);
        self.time.lock().epoch = epoch;
        Ok(())
    }

    fn until(&self) -> Instant {
        self.time.lock().until
    }

    fn renewed(&self, asked: Instant) {
        let mut time = self.time.lock();
        time.until = time.until.max(asked + shortened(self.duration));
    }

    fn fenced(&self, operation: &'static str, why: &str) -> Error {
        own(operation, ErrorClass::Fenced, why).at(&self.place).advise(
            "this handle is done for and writes nothing any more: close it, and open the store again where it shall be",
        )
    }
}

const NOT_RENEWED: &str = "the lease could not be renewed in time";
const TAKEN: &str = "somebody else has taken the lease";

/// Renews the lease on this connection until it is lost; where that has gone, on fresh ones.
pub(crate) async fn keep(shared: Arc<Shared>, session: Session) {
    let lease = &shared.lease;
    let mut session = Some(session);
    loop {
        // Each third of the time, so that two tries may fail at leisure.
        sleep(lease.duration / 3).await;
        loop {
            if lease.check("renew").is_err() {
                return;
            }
            // Half of what is left, so that one try that hangs isn't the last.
            let left = lease.until().saturating_duration_since(Instant::now());
            match timeout((left / 2).max(SHORTEST_TRY), renew(&shared, &mut session)).await {
                Ok(Ok(true)) => break,
                Ok(Ok(false)) => return lease.lose(TAKEN),
                Ok(Err(error)) => {
                    tracing::warn!(error = %crate::error::with_causes(&error), "renewing the lease again");
                }
                Err(_) => tracing::warn!("renewing the lease again: the server has not answered"),
            }
            // Whatever it was, a fresh connection is worth the try.
            session = None;
            sleep(RENEW_AGAIN.min(left / 4)).await;
        }
    }
}

/// One try; `false` where somebody else has the lease.
async fn renew(shared: &Shared, session: &mut Option<Session>) -> Result<bool> {
    let lease = &shared.lease;
    let session = match session {
        Some(session) => session,
        None => session.insert(shared.connector.session("renew").await?),
    };
    let asked = Instant::now();
    let row = session.query_opt(&shared.sql.renew, &[&lease.holder, &millis(lease.duration)]).await;
    let is_ours = row.map_err(|error| failed("renew", error))?.is_some();
    if is_ours {
        lease.renewed(asked);
    }
    Ok(is_ours)
}

/// Clocks of two machines differ in their pace, if by far less than this.
fn shortened(duration: Duration) -> Duration {
    duration.mul_f64(0.9)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Who this is, for whoever finds the lease taken.
fn own_name() -> String {
    let machine = rustix::system::uname();
    format!("process {} on {}", std::process::id(), machine.nodename().to_string_lossy())
}
