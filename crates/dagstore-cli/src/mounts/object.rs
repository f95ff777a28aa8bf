//! Tables of type `s3`, `gcs` and `azure`: sources in object stores.

use std::sync::Arc;

use dagstore::mount::{Registry, Result};
use dagstore::object::{Access, ObjectBuilder};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use toml::de::ValueDeserializer;

use super::{Description, Limit, Template, Wrong, is_name};

/// A template, and what it was made of.
#[derive(Debug)]
pub(super) struct Objects {
    kind: Kind,
    builder: ObjectBuilder,
    endpoint: Option<String>,
    credential: Option<String>,
    buckets: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    S3,
    Gcs,
    Azure,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(rename = "type")]
    _kind: Option<IgnoredAny>,
    /// Where to ask, if not at the vendor.
    endpoint: Option<String>,
    region: Option<String>,
    account: Option<String>,
    /// What the names of the environment variables begin with that have the secret.
    credential: Option<String>,
    #[serde(default)]
    buckets: Vec<String>,
    #[serde(default)]
    allow_http: bool,
    #[serde(default)]
    virtual_hosted: bool,
}

pub(super) fn read_s3(_: &str, table: ValueDeserializer<'_>) -> Result<Arc<dyn Template>, Wrong> {
    made(Kind::S3, Table::deserialize(table)?)
}

pub(super) fn read_gcs(_: &str, table: ValueDeserializer<'_>) -> Result<Arc<dyn Template>, Wrong> {
    made(Kind::Gcs, Table::deserialize(table)?)
}

pub(super) fn read_azure(_: &str, table: ValueDeserializer<'_>) -> Result<Arc<dyn Template>, Wrong> {
    made(Kind::Azure, Table::deserialize(table)?)
}

fn made(kind: Kind, table: Table) -> Result<Arc<dyn Template>, Wrong> {
    for (key, is_there, of) in [
        ("region", table.region.is_some(), Kind::S3),
        ("virtual_hosted", table.virtual_hosted, Kind::S3),
        ("account", table.account.is_some(), Kind::Azure),
    ] {
        if is_there && kind != of {
            return Err(Wrong::of(format!("{key} is a key of type {} alone", of.name())));
        }
    }
    let access = match &table.credential {
        None => Access::Unsigned,
        Some(name) if is_name(name) => Access::named(name),
        Some(_) => {
            let text = "credential is what the names of environment variables begin with, of capital letters, digits and _; \
                the secret itself belongs into these variables and not into this file";
            return Err(Wrong::of(text));
        }
    };
    let mut builder = match (kind, table.account) {
        (Kind::S3, _) => ObjectBuilder::s3(access),
        (Kind::Gcs, _) => ObjectBuilder::google(access),
        (Kind::Azure, Some(account)) => ObjectBuilder::azure(account, access),
        (Kind::Azure, None) => return Err(Wrong::of("account is missing: URLs don't say of which account they are")),
    };
    if let Some(region) = table.region {
        builder = builder.region(region);
    }
    if table.virtual_hosted {
        builder = builder.virtual_hosted();
    }
    if table.allow_http {
        builder = builder.allow_http();
    }
    if let Some(endpoint) = &table.endpoint {
        builder = builder.endpoint(endpoint);
    }
    if !table.buckets.is_empty() {
        builder = builder.allow_buckets(table.buckets.clone());
    }
    let Table { endpoint, credential, buckets, .. } = table;
    Ok(Arc::new(Objects { kind, builder, endpoint, credential, buckets }))
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
        }
    }

    /// What follows the credential's name in that of the variable without which there is no secret.
    fn variable(self) -> &'static str {
        match self {
            Self::S3 => "_ACCESS_KEY_ID",
            Self::Gcs => "_TOKEN",
            Self::Azure => "_ACCESS_KEY",
        }
    }
}

impl Objects {
    /// Public data at Amazon's, or Google's.
    pub(super) fn public_s3() -> Self {
        Self::public(Kind::S3, ObjectBuilder::s3(Access::Unsigned))
    }

    /// The same at Google's.
    pub(super) fn public_gcs() -> Self {
        Self::public(Kind::Gcs, ObjectBuilder::google(Access::Unsigned))
    }

    fn public(kind: Kind, builder: ObjectBuilder) -> Self {
        Self { kind, builder, endpoint: None, credential: None, buckets: Vec::new() }
    }
}

impl Template for Objects {
    fn register(&self, scheme: &str, registry: &mut Registry) -> Result<()> {
        registry.register(scheme, self.builder.clone().build()?)
    }

    fn describe(&self) -> Description {
        let mut described = Description::of(self.kind.name(), self.endpoint.clone());
        described.credential = self.credential.as_ref().map(|name| format!("{name}{}", self.kind.variable()));
        let is_changed = !self.buckets.is_empty();
        described.limits = vec![Limit { name: "buckets", value: json!(self.buckets), is_changed }];
        described
    }
}

#[cfg(test)]
mod tests {
    use dagstore::mount::MountUrl;
    use toml::de::DeTable;

    use super::super::Mounts;

    fn read(text: &str) -> Result<Mounts, String> {
        let table = DeTable::parse(text).unwrap().into_inner();
        Mounts::read(table.get("mounts").unwrap()).map_err(|wrong| wrong.text)
    }

    #[test]
    fn tables_keep_their_own() {
        let mounts = read(
            "[mounts.cold]\ntype = \"s3\"\nendpoint = \"http://10.0.0.1:9000\"\nallow_http = true\nregion = \"eu-central-1\"
            credential = \"COLD\"\nbuckets = [\"one\", \"two\"]\n[mounts.warm]\ntype = \"s3\"\nendpoint = \"https://warm.example\"
            [mounts.az]\ntype = \"azure\"\naccount = \"archive\"\n",
        )
        .unwrap();
        let registry = mounts.registry().unwrap();
        let shown = |url: &str| format!("{:?}", registry.instantiate(&MountUrl::parse(url).unwrap()));
        for part in ["Named(\"COLD\")", "eu-central-1", "http://10.0.0.1:9000/"] {
            assert!(shown("cold://two/k").contains(part), "{}", shown("cold://two/k"));
        }
        assert!(shown("cold://three/k").contains("Refused"));
        assert!(shown("warm://three/k").contains("https://warm.example/"));
        for url in ["s3://b/k", "gs://b/k", "az://c/k"] {
            assert!(shown(url).contains("Unsigned"), "{}", shown(url));
        }
        let cold = mounts.iter().find(|(scheme, _)| *scheme == "cold").unwrap().1.template.describe();
        assert_eq!((cold.kind, cold.credential.as_deref()), ("s3", Some("COLD_ACCESS_KEY_ID")));
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_secrets_are_not_repeated() {
        for (table, expected) in [
            ("type = \"s3\"\nendpoint = \"http://10.0.0.1\"", "http"),
            ("type = \"s3\"\naccount = \"a\"", "account is a key of type azure alone"),
            ("type = \"gcs\"\nregion = \"a\"", "region is a key of type s3 alone"),
            ("type = \"azure\"", "account is missing"),
            ("type = \"s3\"\ncredential = \"wJalrXUtnFEMI/K7MDENG\"", "credential is what the names"),
            ("type = \"s3\"\nsecret = \"canary\"", "unknown field `secret`"),
        ] {
            let wrong = read(&format!("[mounts.x]\n{table}\n")).unwrap_err();
            assert!(wrong.contains(expected) && !wrong.contains("wJalr"), "{table}: {wrong}");
        }
    }
}
