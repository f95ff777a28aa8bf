//! What the tests do with a server of their own.

use std::time::Duration;

use dagstore_postgres::{PostgresBuilder, PostgresDatastore};
pub(crate) use dagstore_testkit::postgres::{Server, give_to_server, url};
use tokio_postgres::{Client, NoTls};

/// A datastore in this table, with a lease that no test outlasts.
pub(crate) async fn open(server: &Server, table: &str) -> PostgresDatastore {
    builder(table).open(&server.url()).await.unwrap()
}

/// A plain connection.
pub(crate) async fn client(server: &Server) -> Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Options for this table, with a lease that no test outlasts.
pub(crate) fn builder(table: &str) -> PostgresBuilder {
    PostgresDatastore::builder().table(table).lease(Duration::from_mins(5))
}
