//! Writing: one transaction after the other, each under the lease.

use std::sync::Arc;

use dagstore_datastore::{Batch, Error, ErrorClass, Result};
use futures_util::future::{join3, try_join};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use crate::error::{ends_session, failed, is_serialisation_failure, leaves_outcome_open, own};
use crate::retry::Tries;
use crate::rows::{Piece, pieces};
use crate::session::Session;
use crate::shared::Shared;

/// How often a transaction is run again that lost against another one, or met a connection that had gone.
const MORE_TRIES: u32 = 10;

/// The connection on which everything is written.
pub(crate) struct Lane {
    session: Option<Session>,
    /// Nobody knows whether the last transaction was committed, or will be.
    needs_reopen: bool,
}

/// How a transaction ended that wasn't committed for sure.
enum End {
    /// Nothing of it is there, nor will be.
    NotApplied(tokio_postgres::Error),
    /// The same, for a reason that isn't the driver's.
    Refused(Error),
    Unknown(tokio_postgres::Error),
    /// The row of the lease isn't ours.
    Fenced,
}

/// Applies a batch; an empty one proves that the lease is held and the server there.
///
/// # Errors
/// As [`Datastore::write`](dagstore_datastore::Datastore::write).
pub(crate) async fn write(shared: Arc<Shared>, operation: &'static str, batch: Batch) -> Result<()> {
    let mut lane = shared.lane.lock().await;
    shared.check(operation)?;
    if lane.needs_reopen {
        let text = "nobody knows whether an earlier write was applied";
        return Err(own(operation, ErrorClass::NeedsReopen, text).at(&shared.place));
    }
    let pieces = pieces(&batch);
    let mut tries = Tries::more(MORE_TRIES);
    loop {
        let done = shared.lease.guard(operation, lane.transaction(&shared, operation, &pieces)).await;
        let end = match done {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(end)) => end,
            Err(fenced) => {
                lane.session = None;
                return Err(fenced);
            }
        };
        match end {
            End::NotApplied(error) => {
                let may_again = is_serialisation_failure(&error) || error.is_closed();
                lane.clean_up(&error).await;
                if may_again && tries.again().await {
                    shared.check(operation)?;
                    continue;
                }
                return Err(failed(operation, error).at(&shared.place));
            }
            End::Refused(error) => return Err(error.at(&shared.place)),
            End::Unknown(error) => {
                lane.session = None;
                lane.needs_reopen = true;
                let text = format!("nobody knows whether it was applied: {}", crate::error::with_causes(&error));
                return Err(own(operation, ErrorClass::NeedsReopen, text).at(&shared.place));
            }
            End::Fenced => {
                lane.session = None;
                shared.lease.lose("the row of the lease has another holder or epoch");
                return Err(shared.lease.lost(operation));
            }
        }
    }
}

/// Connects again, and makes sure that nothing of the old connection is applied any more.
///
/// # Errors
/// As [`Datastore::reopen`](dagstore_datastore::Datastore::reopen).
pub(crate) async fn reopen(shared: Arc<Shared>) -> Result<()> {
    let mut lane = shared.lane.lock().await;
    shared.check("reopen")?;
    if !lane.needs_reopen {
        return Ok(());
    }
    lane.session = None;
    let opening = async {
        let session = shared.connector.session("reopen").await?;
        shared.lease.next_epoch(&session, &shared.sql).await?;
        Ok::<_, Error>(session)
    };
    let opened = shared.lease.guard("reopen", opening).await?;
    let session = opened.map_err(|error| match error.class() {
        // Until it has been reopened nothing else can be done with it.
        ErrorClass::Transient => {
            own("reopen", ErrorClass::NeedsReopen, crate::error::with_causes(&error)).at(&shared.place)
        }
        _ => error.at(&shared.place),
    })?;
    *lane = Lane::with(session);
    Ok(())
}

/// Waits for the writes that were asked for before, and gives the lease back. Later calls fail.
///
/// # Errors
/// None that a caller could do anything about: everything that was acknowledged is durable.
pub(crate) async fn close(shared: Arc<Shared>) -> Result<()> {
    let mut lane = shared.lane.lock().await;
    if shared.is_closed.swap(true, std::sync::atomic::Ordering::AcqRel) {
        return Ok(());
    }
    shared.readers.close();
    let releasing = async {
        let session = lane.session.take();
        let session = match session {
            Some(session) if !session.is_closed() => session,
            _ => shared.connector.session("close").await?,
        };
        let released = session.execute(&shared.sql.release, &[&shared.lease.holder]).await;
        released.map_err(|error| failed("close", error))
    };
    // Whoever has lost the lease has nothing to give back.
    let released = shared.lease.guard("close", releasing).await.and_then(|released| released);
    if let Err(error) = released {
        tracing::warn!(error = %crate::error::with_causes(&error), "the lease isn't given back, but ends by itself");
    }
    shared.lease.lose("the datastore is closed");
    Ok(())
}

impl Lane {
    pub(crate) fn with(session: Session) -> Self {
        Self { session: Some(session), needs_reopen: false }
    }

    async fn transaction(&mut self, shared: &Shared, operation: &'static str, pieces: &[Piece<'_>]) -> Result<(), End> {
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(shared.connector.session(operation).await.map_err(End::Refused)?),
        };
        begin(session, shared).await?;
        let Some((last, others)) = pieces.split_last() else {
            return session.batch_execute("COMMIT").await.map_err(of_commit);
        };
        for piece in others {
            put(session, shared, piece).await.map_err(End::NotApplied)?;
            delete(session, shared, piece).await.map_err(End::NotApplied)?;
        }
        // What is prepared now costs no way to the server and back later.
        let prepared = try_join(session.prepare_cached(&shared.sql.put), session.prepare_cached(&shared.sql.delete));
        let (put_statement, delete_statement) = prepared.await.map_err(End::NotApplied)?;
        // The commit goes out behind the last piece without waiting for it. Should that fail, the server rolls back. These
        // are polled in this order, and each is sent when it is polled first.
        let all = join3(
            execute_put(session, &put_statement, last),
            execute_delete(session, &delete_statement, last),
            session.batch_execute("COMMIT"),
        );
        let (put, deleted, committed) = all.await;
        put.and(deleted).map_err(of_commit)?;
        committed.map_err(of_commit)
    }

    /// Makes the connection fit for the next transaction, or lets it go.
    async fn clean_up(&mut self, error: &tokio_postgres::Error) {
        let Some(session) = &self.session else { return };
        // Where there is no transaction any more, the server only warns.
        if ends_session(error) || session.batch_execute("ROLLBACK").await.is_err() {
            self.session = None;
        }
    }
}

/// Opens a transaction that holds on to the lease's row, so that nobody can take the lease before it has ended.
async fn begin(session: &Session, shared: &Shared) -> Result<(), End> {
    let guard = session.prepare_cached(&shared.sql.guard).await.map_err(End::NotApplied)?;
    let (holder, epoch) = (&shared.lease.holder, shared.lease.epoch());
    let asked: [&(dyn ToSql + Sync); 2] = [holder, &epoch];
    let held =
        try_join(session.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED"), session.query_opt(&guard, &asked));
    match held.await.map_err(End::NotApplied)? {
        ((), Some(_)) => Ok(()),
        ((), None) => Err(End::Fenced),
    }
}

async fn put(session: &Session, shared: &Shared, piece: &Piece<'_>) -> Result<u64, tokio_postgres::Error> {
    let statement = session.prepare_cached(&shared.sql.put).await?;
    execute_put(session, &statement, piece).await
}

async fn delete(session: &Session, shared: &Shared, piece: &Piece<'_>) -> Result<u64, tokio_postgres::Error> {
    let statement = session.prepare_cached(&shared.sql.delete).await?;
    execute_delete(session, &statement, piece).await
}

async fn execute_put(
    session: &Session,
    statement: &Statement,
    piece: &Piece<'_>,
) -> Result<u64, tokio_postgres::Error> {
    if piece.put_keys.is_empty() {
        return Ok(0);
    }
    session.execute(statement, &[&piece.put_namespaces, &piece.put_keys, &piece.put_values]).await
}

async fn execute_delete(
    session: &Session,
    statement: &Statement,
    piece: &Piece<'_>,
) -> Result<u64, tokio_postgres::Error> {
    if piece.delete_keys.is_empty() {
        return Ok(0);
    }
    session.execute(statement, &[&piece.delete_namespaces, &piece.delete_keys]).await
}

fn of_commit(error: tokio_postgres::Error) -> End {
    if leaves_outcome_open(&error) { End::Unknown(error) } else { End::NotApplied(error) }
}
