//! Where the database is: a URL, taken apart.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// How long connecting to one address may take, where the URL doesn't say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A URL, without the options that are this crate's own.
pub(crate) struct Address {
    pub(crate) config: Config,
    /// The URL as it is shown: it never had a password.
    pub(crate) place: Arc<str>,
    pub(crate) schema: Option<String>,
    pub(crate) table: Option<String>,
    /// The certificates to trust, beside those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) uses_tls: bool,
}

impl Address {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// In words, which never repeat a password.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let Some(rest) = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme)) else {
            return Err("it must begin with postgres://".to_owned());
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        // Some take everything up to the last at sign for the user, others up to the first: neither may hide a password.
        if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return Err(PASSWORD_IN_URL.to_owned());
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut own = Own::default();
        let theirs = query.split('&').filter(|option| !option.is_empty()).filter_map(|option| own.take(option));
        let theirs = theirs.collect::<Result<Vec<_>, _>>()?.join("&");
        let mut config =
            Config::from_str(&if theirs.is_empty() { base.to_owned() } else { format!("{base}?{theirs}") })
                .map_err(|error| crate::error::with_causes(&error))?;
        if config.get_password().is_some() {
            return Err(PASSWORD_IN_URL.to_owned());
        }
        if config.get_hosts().is_empty() {
            return Err("it names no host".to_owned());
        }
        let uses_tls = own.tls.unwrap_or_else(|| !is_local(&config));
        config.ssl_mode(if uses_tls { SslMode::Require } else { SslMode::Disable });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_hosts().len() > 1 {
            // Of several hosts only one takes writes, and which one may change.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let place = base.into();
        Ok(Self { config, place, schema: own.schema, table: own.table, ca_file: own.ca_file, uses_tls })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("place", &self.place).finish_non_exhaustive()
    }
}

const PASSWORD_IN_URL: &str = "it has a password in it, and URLs end up in files and logs: leave the password out, and \
                               put it into the environment as DAGSTORE_PG_PASSWORD";

/// The options that are this crate's own.
#[derive(Default)]
struct Own {
    schema: Option<String>,
    table: Option<String>,
    ca_file: Option<PathBuf>,
    tls: Option<bool>,
}

impl Own {
    /// Takes an option that is known here; gives others back.
    fn take(&mut self, option: &str) -> Option<Result<String, String>> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
        match name {
            "schema" => self.schema = Some(value),
            "table" => self.table = Some(value),
            "sslrootcert" => self.ca_file = Some(value.into()),
            "sslmode" => match value.as_str() {
                "disable" => self.tls = Some(false),
                "require" | "verify-full" => self.tls = Some(true),
                other => {
                    let text = "sslmode is disable, require or verify-full (which both check the certificate), not";
                    return Some(Err(format!("{text} {other:?}")));
                }
            },
            // The name of the option is all that anybody needs to see of it.
            "password" => return Some(Err(PASSWORD_IN_URL.to_owned())),
            _ => return Some(Ok(option.to_owned())),
        }
        None
    }
}

/// Whether all hosts are this machine itself, so that nobody can listen in.
fn is_local(config: &Config) -> bool {
    let names = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    names && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        for url in [
            "postgres://me:s3cr3t@host/db",
            "postgres://me:s3cr3t@p@host/db",
            "postgres://me:s3%63r3t@host",
            "postgres://me@host/db?password=s3cr3t",
            "postgres://me@host/db?table=rows&password=s3cr3t",
            "postgres://me@host/db?pass%77ord=s3cr3t",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(error.contains("DAGSTORE_PG_PASSWORD") && !error.contains("cr3t"), "{url}: {error}");
        }
    }

    #[test]
    fn options_of_both_kinds_are_understood() {
        let url = "postgres://me@db.example:6432/catalogue?table=rows&connect_timeout=9&schema=s&sslrootcert=%2Fca.pem";
        let address = Address::parse(url).unwrap();
        assert_eq!(&*address.place, "postgres://me@db.example:6432/catalogue");
        assert_eq!((address.schema.as_deref(), address.table.as_deref()), (Some("s"), Some("rows")));
        assert_eq!(address.ca_file.as_deref(), Some(std::path::Path::new("/ca.pem")));
        assert_eq!(address.config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert_eq!(address.config.get_dbname(), Some("catalogue"));
    }

    #[test]
    fn another_machine_is_spoken_to_with_tls_unless_told() {
        for (url, uses_tls) in [
            ("postgres://me@127.0.0.1/db", false),
            ("postgres://me@[::1]/db", false),
            ("postgres://me@localhost/db", false),
            ("postgres://me@%2Frun%2Fpostgresql/db", false),
            ("postgres://me@localhost,db.example/db", true),
            ("postgres://me@db.example/db", true),
            ("postgres://me@localhost/db?hostaddr=192.0.2.1", true),
            ("postgres://me@db.example/db?sslmode=disable", false),
            ("postgres://me@127.0.0.1/db?sslmode=require", true),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.uses_tls, uses_tls, "{url}");
            let mode = if uses_tls { SslMode::Require } else { SslMode::Disable };
            assert_eq!(address.config.get_ssl_mode(), mode, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for (url, expected) in [
            ("mysql://host/db", "postgres://"),
            ("postgres://me@host/db?sslmode=prefer", "prefer"),
            ("postgres://me@host/db?speed=1", "speed"),
            ("postgres:///db", "no host"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }
}
