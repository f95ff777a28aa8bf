//! Connections, and what each is told before it is used.

use std::sync::Arc;
use std::time::Duration;

use dagstore_datastore::{ErrorClass, Result};
use deadpool_postgres::{ClientWrapper, Connect, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{failed, own};

/// Rows are only ever wanted by their keys or in the order of their keys, which the primary key has. Before a server has
/// statistics it may think otherwise, and sort all rows for each page. Servers that don't know these go on without.
const HINTS: [&str; 5] = ["seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin"];

/// A connection of its own, with the statements that were prepared on it.
pub(crate) type Session = ClientWrapper;

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    /// After how long the server ends a session that has gone silent within a transaction: it would hold the lease's row.
    silence: Duration,
}

impl Connector {
    pub(crate) fn new(config: Config, tls: Option<MakeRustlsConnect>, silence: Duration) -> Self {
        Self { config, tls, silence }
    }

    /// A connection for writing: its commits are durable when they return.
    ///
    /// # Errors
    /// Of any class; permanent where the server won't let commits be durable.
    pub(crate) async fn session(&self, operation: &'static str) -> Result<Session> {
        let (client, task) = self.connected().await.map_err(|error| failed(operation, error))?;
        // It ends its task when it is dropped, also when what follows fails.
        let session = ClientWrapper::new(client, task);
        self.make_durable(operation, &session).await?;
        let silence = format!("SET idle_in_transaction_session_timeout = {}", self.silence.as_millis());
        session.batch_execute(&silence).await.map_err(|error| failed(operation, error))?;
        Ok(session)
    }

    /// A pool of connections for reading.
    ///
    /// # Errors
    /// Never with a runtime.
    pub(crate) fn pool(&self, connections: usize) -> Result<Pool> {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(self.config.clone(), self.clone(), config);
        let pool = Pool::builder(manager).max_size(connections).runtime(Runtime::Tokio1).build();
        pool.map_err(|error| own("open", ErrorClass::Permanent, error.to_string()))
    }

    async fn make_durable(&self, operation: &'static str, session: &Session) -> Result<()> {
        // Both wait for the disk, and for the replicas that the operator wants to be waited for.
        const DURABLE: [&str; 2] = ["on", "remote_apply"];
        let found = setting(operation, session).await?;
        let wanted = DURABLE.into_iter().find(|durable| *durable == found).unwrap_or(DURABLE[0]);
        // Also where it is so already: what a session hasn't set itself changes with the server's configuration while it lasts.
        // A refusal shows in what it is then.
        let _refused = session.batch_execute(&format!("SET synchronous_commit = {wanted}")).await;
        let found = setting(operation, session).await?;
        if DURABLE.contains(&found.as_str()) {
            return Ok(());
        }
        let text =
            format!("the server has synchronous_commit = {found} and won't have it on: what is written could be lost");
        Err(own(operation, ErrorClass::Permanent, text).advise("let this user have synchronous_commit = on"))
    }

    async fn connected(&self) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let (client, task) = match &self.tls {
            Some(tls) => Box::pin(connect(&self.config, tls.clone())).await?,
            None => Box::pin(connect(&self.config, NoTls)).await?,
        };
        for hint in HINTS {
            let hinted = client.batch_execute(&format!("SET enable_{hint} = off")).await;
            if let Err(error) = hinted
                && crate::error::ends_session(&error)
            {
                task.abort();
                return Err(error);
            }
        }
        Ok((client, task))
    }
}

impl Connect for Connector {
    // The pool's configuration is the connector's own.
    fn connect(&self, _config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        Box::pin(self.connected())
    }
}

/// What was asked of the server while a handle is being opened, and there is no lease yet whose end would end the wait. A server
/// that takes connections and says nothing, or lets somebody's transaction hold the row of the lease, would be waited for without
/// an end; so it is for as long as a lease lasts, from 5 s to 30 s.
///
/// # Errors
/// Those of `asked`; of class [`ErrorClass::Transient`] where there is no answer.
pub(crate) async fn answered<T>(lease: Duration, asked: impl Future<Output = Result<T>>) -> Result<T> {
    let most = lease.clamp(Duration::from_secs(5), Duration::from_secs(30));
    timeout(most, asked).await.unwrap_or_else(|_| {
        let text = format!("the server has not answered for {most:?}");
        Err(own("open", ErrorClass::Transient, text).advise("look after the server and the network, and try again"))
    })
}

/// Warns of a server that syncs nothing: what it acknowledges is lost with its machine.
pub(crate) async fn warn_of_no_fsync(session: &Session, place: &Arc<str>) {
    // A server that has no such setting syncs in its own way.
    if let Ok(row) = session.query_one("SHOW fsync", &[]).await
        && row.try_get::<_, &str>(0).is_ok_and(|value| value == "off")
    {
        tracing::warn!(%place, "the server says fsync = off: unless it has other means, it loses commits with its machine");
    }
}

async fn setting(operation: &'static str, session: &Session) -> Result<String> {
    let row = session.query_one("SHOW synchronous_commit", &[]).await.map_err(|error| failed(operation, error))?;
    row.try_get(0).map_err(|error| failed(operation, error))
}

async fn connect<T>(config: &Config, tls: T) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket, Stream: Send + 'static>,
{
    let (client, connection) = config.connect(tls).await?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %crate::error::with_causes(&error), "a connection has ended");
        }
    });
    Ok((client, task))
}
