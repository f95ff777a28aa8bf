//! Tables of type `http`: sources behind HTTP and HTTPS.

use std::sync::Arc;

use dagstore::http::{Credential, HttpBuilder, Limits};
use dagstore::mount::{Registry, Result, redacted, secret_in};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use toml::de::ValueDeserializer;

use super::{Description, Limit, Template, Wrong, is_name};
use crate::settings::units::{Size, Span, in_words};

/// A template, and what it was made of.
#[derive(Debug)]
pub(super) struct Http {
    builder: HttpBuilder,
    base: Option<String>,
    hosts: Vec<String>,
    allows_private: bool,
    credential: Option<String>,
    redirects: u32,
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    /// Locations are paths beneath this URL.
    base: Option<String>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    private_addresses: bool,
    /// The name of an environment variable.
    credential: Option<String>,
    /// The header that the credential is the value of, instead of a bearer token.
    header: Option<String>,
    /// Whom the credential is sent to, where that isn't the base.
    origin: Option<String>,
    connect_timeout: Option<Span>,
    first_byte_timeout: Option<Span>,
    idle_timeout: Option<Span>,
    deadline: Option<Span>,
    least_rate: Option<Size>,
    redirects: Option<u32>,
    retries: Option<u32>,
    first_pause: Option<Span>,
    longest_pause: Option<Span>,
}

pub(super) fn read(scheme: &str, table: ValueDeserializer<'_>) -> Result<Arc<dyn Template>, Wrong> {
    let table = Table::deserialize(table)?;
    let mut builder = match (&table.base, scheme) {
        (None, "http" | "https") => of_scheme(scheme),
        (None, _) => return Err(Wrong::of("base is missing: the URL that locations are beneath")),
        (Some(_), "http" | "https") => {
            return Err(Wrong::of(format!("{scheme}: URLs have a host of their own; take another scheme for a base")));
        }
        (Some(base), _) => HttpBuilder::beneath(base)?,
    };
    let hosts = table.hosts(host_of(table.base.as_deref()).as_deref())?;
    if !hosts.is_empty() {
        builder = builder.allow_hosts(hosts.clone());
    }
    if table.private_addresses {
        builder = builder.allow_private_addresses();
    }
    if let Some(credential) = table.credential()? {
        builder = builder.credential(credential);
    }
    let (limits, redirects) = (table.limits(), table.redirects.unwrap_or(HttpBuilder::REDIRECTS));
    let builder = builder.redirects(redirects).limits(|of_builder| of_builder.clone_from(&limits));
    let Table { base, private_addresses: allows_private, credential, .. } = table;
    Ok(Arc::new(Http { builder, base, hosts, allows_private, credential, redirects, limits }))
}

/// For URLs of HTTP or of HTTPS as they are.
fn of_scheme(scheme: &str) -> HttpBuilder {
    if scheme == "http" { HttpBuilder::http() } else { HttpBuilder::https() }
}

/// The host of a base that the builder has taken.
fn host_of(base: Option<&str>) -> Option<String> {
    let authority = base?.split_once("//")?.1.split('/').next()?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    Some(host.to_owned())
}

impl Table {
    /// The hosts that may be spoken to; nothing for any.
    fn hosts(&self, of_base: Option<&str>) -> Result<Vec<String>, Wrong> {
        let is_host = |host: &String| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
            let name = host.strip_prefix("*.").unwrap_or(host);
            !name.is_empty() && name.bytes().all(fits)
        };
        // What stands there isn't repeated, because it may be a password.
        if !self.hosts.iter().all(is_host) {
            return Err(Wrong::of("hosts has something that is no name such as \"host.example\" or \"*.example\""));
        }
        if self.hosts.is_empty() {
            return Ok(Vec::new());
        }
        Ok(of_base.into_iter().map(str::to_owned).chain(self.hosts.iter().cloned()).collect())
    }

    fn credential(&self) -> Result<Option<Credential>, Wrong> {
        let Some(name) = &self.credential else {
            let alone = [("header", &self.header), ("origin", &self.origin)];
            return match alone.into_iter().find(|(_, value)| value.is_some()) {
                Some((key, _)) => Err(Wrong::of(format!("{key} means nothing without credential"))),
                None => Ok(None),
            };
        };
        if !is_name(name) {
            let text = "credential is the name of an environment variable, of capital letters, digits and _; \
                the secret itself belongs into that variable and not into this file";
            return Err(Wrong::of(text));
        }
        let origin = self.origin.as_ref().or(self.base.as_ref());
        let origin = origin.ok_or_else(|| {
            Wrong::of("origin is missing: whom the credential is sent to, \"https://host.example\" for instance")
        })?;
        if let Some(secret) = secret_in(origin) {
            return Err(Wrong::of(format!("origin {} has {secret}, which is a secret", redacted(origin))));
        }
        let made = match &self.header {
            None => Credential::bearer(name, origin)?,
            Some(header) if is_header(header) => Credential::header(name, header, origin)?,
            Some(_) => return Err(Wrong::of("header is the name of a header alone, such as \"X-Api-Key\"")),
        };
        Ok(Some(made))
    }

    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        let times = [
            (&mut limits.connect, self.connect_timeout),
            (&mut limits.first_byte, self.first_byte_timeout),
            (&mut limits.idle, self.idle_timeout),
            (&mut limits.deadline, self.deadline),
            (&mut limits.first_pause, self.first_pause),
            (&mut limits.longest_pause, self.longest_pause),
        ];
        for (place, time) in times {
            *place = time.map_or(*place, |time| time.0);
        }
        limits.least_rate = self.least_rate.map_or(limits.least_rate, |rate| rate.0);
        limits.retries = self.retries.unwrap_or(limits.retries);
        limits
    }
}

fn is_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl Http {
    /// For URLs of HTTP or of HTTPS, at public addresses.
    pub(super) fn anywhere(scheme: &str) -> Self {
        let (builder, redirects, limits) = (of_scheme(scheme), HttpBuilder::REDIRECTS, Limits::default());
        Self { builder, base: None, hosts: Vec::new(), allows_private: false, credential: None, redirects, limits }
    }
}

impl Template for Http {
    fn register(&self, scheme: &str, registry: &mut Registry) -> Result<()> {
        registry.register(scheme, self.builder.clone().build())
    }

    fn describe(&self) -> Description {
        let (usual, limits) = (Limits::default(), &self.limits);
        let time = |name, time, usual| Limit { name, value: in_words(time).into(), is_changed: time != usual };
        let number = |name, number: u64, usual| Limit { name, value: number.into(), is_changed: number != usual };
        let mut described = Description::of("http", self.base.clone());
        described.credential.clone_from(&self.credential);
        described.limits = vec![
            Limit { name: "hosts", value: json!(self.hosts), is_changed: !self.hosts.is_empty() },
            Limit { name: "private_addresses", value: self.allows_private.into(), is_changed: self.allows_private },
            time("connect_timeout", limits.connect, usual.connect),
            time("first_byte_timeout", limits.first_byte, usual.first_byte),
            time("idle_timeout", limits.idle, usual.idle),
            time("deadline", limits.deadline, usual.deadline),
            number("least_rate", limits.least_rate, usual.least_rate),
            number("redirects", self.redirects.into(), HttpBuilder::REDIRECTS.into()),
            number("retries", limits.retries.into(), usual.retries.into()),
            time("first_pause", limits.first_pause, usual.first_pause),
            time("longest_pause", limits.longest_pause, usual.longest_pause),
        ];
        described
    }
}
