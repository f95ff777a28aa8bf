//! TLS: a server whose certificate is trusted, and others.

use std::fs;
use std::path::Path;

use dagstore_datastore::{Datastore, DatastoreExt, ErrorClass, Namespace};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use crate::server::{self, Server, builder, give_to_server};

const ROWS: Namespace = Namespace::new("rows");

/// A folder with `cert.pem` and `key.pem` for this name, which the server can read.
fn certificate(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
    fs::write(folder.path().join("cert.pem"), cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
    fs::set_permissions(folder.path().join("key.pem"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for path in ["", "cert.pem", "key.pem"] {
        give_to_server(&folder.path().join(path));
    }
    folder
}

async fn start(test: &str, folder: &Path) -> Option<Server> {
    let of = |setting: &str, file: &str| format!("{setting}={}", folder.join(file).display());
    let (cert, key) = (of("ssl_cert_file", "cert.pem"), of("ssl_key_file", "key.pem"));
    Server::start_with(test, &["--auth=trust"], &["ssl=on", &cert, &key]).await
}

#[tokio::test]
async fn a_certificate_is_believed_where_it_is_trusted_and_names_the_host() {
    let test = "a_certificate_is_believed_where_it_is_trusted_and_names_the_host";
    let (folder, other) = (certificate("127.0.0.1"), certificate("127.0.0.1"));
    let Some(server) = start(test, folder.path()).await else { return };
    let url = |mode: &str, ca: &Path| format!("{}?sslmode={mode}&sslrootcert={}", server.url(), ca.display());
    for mode in ["require", "verify-full"] {
        let store = builder("rows").open(&url(mode, &folder.path().join("cert.pem"))).await.unwrap();
        store.put(ROWS, b"key", b"value").await.unwrap();
        let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                         WHERE application_name = 'dagstore'";
        let row = server::client(&server).await.query_one(encrypted, &[]).await.unwrap();
        assert_eq!(row.get::<_, Option<bool>>(0), Some(true));
        store.close().await.unwrap();
        // Neither the system's certificates nor another one will do.
        let error = builder("rows").open(&url(mode, &other.path().join("cert.pem"))).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Permanent, "{error}");
        assert!(error.to_string().contains("sslrootcert"), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_host_and_a_server_without_one_are_refused() {
    let test = "a_certificate_of_another_host_and_a_server_without_one_are_refused";
    let folder = certificate("db.example");
    let Some(server) = start(test, folder.path()).await else { return };
    let ca_file = folder.path().join("cert.pem");
    let url = format!("{}?sslmode=require", server.url());
    let error = builder("rows").ca_file(&ca_file).open(&url).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Permanent, "{error}");
    let Some(plain) = Server::start(test).await else { return };
    let url = format!("{}?sslmode=require", plain.url());
    let error = builder("rows").ca_file(&ca_file).open(&url).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Permanent, "{error}");
}
