//! Options, and how a database is opened and made.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use dagstore_datastore::{ErrorClass, Result};
use tokio::sync::Mutex;

use crate::PostgresDatastore;
use crate::address::Address;
use crate::error::{failed, own};
use crate::host::Host;
use crate::lane::Lane;
use crate::lease::{self, Lease};
use crate::retry::Tries;
use crate::session::{self, Connector, Session};
use crate::shared::Shared;
use crate::sql::{FORMAT, Sql, is_name};
use crate::tls;

/// Where a password is looked for, unless told.
const PASSWORD_VARIABLES: [&str; 2] = ["DAGSTORE_PG_PASSWORD", "PGPASSWORD"];

/// How long a lease may last, and the least that leaves time for renewals.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_hours(1);

/// How often making the tables is tried again: two who make them at the same time may be in each other's way.
const MORE_TRIES: u32 = 5;

/// How to open a [`PostgresDatastore`].
#[derive(Clone)]
pub struct PostgresBuilder {
    schema: Option<String>,
    table: Option<String>,
    ca_file: Option<PathBuf>,
    password_variable: Option<String>,
    lease: Duration,
    wait: Duration,
    read_connections: usize,
    create_if_missing: bool,
}

impl Default for PostgresBuilder {
    fn default() -> Self {
        Self {
            schema: None,
            table: None,
            ca_file: None,
            password_variable: None,
            lease: Duration::from_secs(30),
            wait: Duration::ZERO,
            read_connections: 8,
            create_if_missing: true,
        }
    }
}

impl PostgresBuilder {
    /// The schema with the tables, `public` unless told here or by `schema` in the URL. It must exist.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// The table with the rows, `dagstore` unless told here or by `table` in the URL: up to 50 of `a` to `z`, `0` to `9` and
    /// `_`. The lease is in a table beside it, with `_lease` behind its name. A store has a table of its own.
    #[must_use]
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }

    /// Trusts the certificates in this file of PEM, beside those of the system; `sslrootcert` in the URL does the same.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Takes the password from this variable of the environment, instead of `DAGSTORE_PG_PASSWORD` or `PGPASSWORD`.
    /// It is read once, when the datastore is opened.
    #[must_use]
    pub fn password_variable(mut self, name: impl Into<String>) -> Self {
        self.password_variable = Some(name.into());
        self
    }

    /// For how long the lease is taken each time, 30 s unless told; from 1 s to 1 h. A server that can't be reached for so
    /// long costs the handle its lease; a process that was killed keeps others out for so long.
    #[must_use]
    pub fn lease(mut self, duration: Duration) -> Self {
        self.lease = duration;
        self
    }

    /// Waits for so long at most when somebody else has the database; not at all unless told.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How many connections there are for reading, 8 unless told, made when they are needed. Two more are for writing, and
    /// for the lease.
    #[must_use]
    pub fn read_connections(mut self, connections: usize) -> Self {
        self.read_connections = connections.max(1);
        self
    }

    /// Whether the tables are made where there are none, which they are unless told.
    #[must_use]
    pub fn create_if_missing(mut self, create_if_missing: bool) -> Self {
        self.create_if_missing = create_if_missing;
        self
    }

    /// Opens the database at `postgres://user@host:port/database`, and takes its lease. With `?` behind it come `sslmode`
    /// (`disable` or `require`, which checks the certificate; without a word it is `disable` for this machine alone),
    /// `sslrootcert`, `schema`, `table`, and what the driver knows, such as `connect_timeout`.
    ///
    /// # Errors
    /// [`Error::InUse`](dagstore_datastore::Error::InUse) while somebody else has the lease: its place says who. Of class [`ErrorClass::Permanent`] when the URL
    /// can't be used, the server refuses this user, or the tables aren't there or of a newer program;
    /// [`ErrorClass::Transient`] when the server can't be reached, or doesn't answer for as long as a lease lasts, from 5 s to 30 s.
    pub async fn open(self, url: &str) -> Result<PostgresDatastore> {
        let address = Address::parse(url).map_err(|why| {
            own("open", ErrorClass::Permanent, format!("the URL can't be used: {why}"))
                .advise("a URL such as postgres://user@host:5432/database")
        })?;
        let (place, host) = (address.place.clone(), Host::start().await?);
        // In a box: every future with an opening in it would be as large.
        let opening = async move {
            let (shared, renewing) = self.open_shared(address).await?;
            let shared = Arc::new(shared);
            // It ends with the thread, or with the lease.
            tokio::spawn(lease::keep(shared.clone(), renewing));
            Ok(shared)
        };
        let shared = host.run("open", Box::pin(opening)).await.map_err(|error| error.at(&place))?;
        Ok(PostgresDatastore::new(host, shared))
    }

    /// Also returns the connection on which the lease is renewed: a server that is full later mustn't cost the lease.
    async fn open_shared(self, mut address: Address) -> Result<(Shared, Session)> {
        let schema = self.schema.clone().or(address.schema.take()).unwrap_or_else(|| "public".to_owned());
        let table = self.table.clone().or(address.table.take()).unwrap_or_else(|| "dagstore".to_owned());
        self.check(&schema, &table)?;
        if let Some(password) = self.password()? {
            address.config.password(password);
        }
        if address.config.get_application_name().is_none() {
            address.config.application_name("dagstore");
        }
        address.config.tcp_user_timeout(self.lease).keepalives_idle(self.lease);
        let ca_file = self.ca_file.as_deref().or(address.ca_file.as_deref());
        let tls = address.uses_tls.then(|| tls::connector(ca_file)).transpose();
        let tls = tls.map_err(|why| own("open", ErrorClass::Permanent, why).advise("mend sslrootcert"))?;
        // Whoever waits for the lease's row waits for that long at most, and a renewal may be among them.
        let connector = Connector::new(address.config, tls, self.lease / 4);
        let sql = Sql::new(&schema, &table);
        let place: Arc<str> = format!("{}, table {schema}.{table}", address.place).into();
        let preparing = async {
            let session = connector.session("open").await?;
            session::warn_of_no_fsync(&session, &place).await;
            self.check_tables(&session, &sql).await?;
            Ok((session, connector.session("open").await?))
        };
        let (session, renewing) = session::answered(self.lease, preparing).await?;
        let lease = Lease::take(&session, &sql, place.clone(), self.lease, self.wait).await?;
        let shared = Shared {
            readers: connector.pool(self.read_connections)?,
            place,
            sql,
            connector,
            lease,
            lane: Mutex::new(Lane::with(session)),
            is_closed: AtomicBool::new(false),
        };
        Ok((shared, renewing))
    }

    fn check(&self, schema: &str, table: &str) -> Result<()> {
        let refused = |why: String| Err(own("open", ErrorClass::Permanent, why));
        if let Some(name) = [schema, table].iter().find(|name| !is_name(name)) {
            return refused(format!(
                "{name:?} is no name for a schema or table: up to 50 of a-z, 0-9 and _, no digit first"
            ));
        }
        if !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&self.lease) {
            return refused(format!("a lease lasts from 1 s to 1 h, not {:?}", self.lease));
        }
        Ok(())
    }

    fn password(&self) -> Result<Option<String>> {
        let names = self.password_variable.as_deref().map_or(&PASSWORD_VARIABLES[..], |_| &[]);
        let mut names = names.iter().copied().chain(self.password_variable.as_deref());
        let found =
            names.find_map(|name| env::var_os(name).filter(|value| !value.is_empty()).map(|value| (name, value)));
        let Some((name, value)) = found else { return Ok(None) };
        match value.into_string() {
            Ok(password) => Ok(Some(password)),
            Err(_) => Err(own("open", ErrorClass::Permanent, format!("the password in {name} isn't UTF-8"))),
        }
    }

    /// Makes the tables where they are missing and may be made.
    async fn check_tables(&self, session: &Session, sql: &Sql) -> Result<()> {
        let mut tries = Tries::more(MORE_TRIES);
        let mut may_create = self.create_if_missing;
        loop {
            match session.query_opt(&sql.read_format, &[]).await {
                Ok(Some(row)) => return check_format(row.try_get(0).map_err(|error| failed("open", error))?),
                Err(error) if !may_create || error.code().is_none_or(|code| code.code() != "42P01") => {
                    return Err(failed("open", error));
                }
                Ok(None) if !may_create => {
                    let text = "the table of the lease has no row: it was made in part only";
                    return Err(own("open", ErrorClass::Corrupt, text));
                }
                Ok(None) | Err(_) => {}
            }
            let created = async {
                for statement in &sql.create {
                    session.batch_execute(statement).await?;
                }
                Ok(())
            };
            let created: Result<(), tokio_postgres::Error> = created.await;
            match created {
                Ok(()) => may_create = false,
                // Somebody else makes them, too.
                Err(error) if !crate::error::ends_session(&error) && tries.again().await => {}
                Err(error) => return Err(failed("open", error)),
            }
        }
    }
}

impl fmt::Debug for PostgresBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBuilder")
            .field("schema", &self.schema)
            .field("table", &self.table)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

fn check_format(found: i32) -> Result<()> {
    match found {
        FORMAT => Ok(()),
        found => {
            let text = format!("its tables have format {found}, and this program knows {FORMAT}");
            Err(own("open", ErrorClass::Permanent, text).advise("use the program that made them"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_used_is_refused_before_anybody_is_asked() {
        let builder = PostgresBuilder::default;
        let url = "postgres://nobody@127.0.0.1:1/none";
        for (refused, expected) in [
            (builder().table("a b").open(url).await, "a b"),
            (builder().schema("x\"; DROP").open(url).await, "DROP"),
            (builder().lease(Duration::from_millis(10)).open(url).await, "10ms"),
            (builder().open("postgres://nobody:s3cr3t@127.0.0.1/none").await, "DAGSTORE_PG_PASSWORD"),
            (builder().open(&format!("{url}?sslmode=require&sslrootcert=/none.pem")).await, "/none.pem"),
        ] {
            let error = refused.unwrap_err();
            let text = crate::error::with_causes(&error);
            assert_eq!(error.class(), ErrorClass::Permanent, "{text}");
            assert!(text.contains(expected) && !text.contains("s3cr3t"), "{text}");
        }
        let error = builder().open(url).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    }
}
