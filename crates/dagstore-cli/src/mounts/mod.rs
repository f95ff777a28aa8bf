//! The schemes of the URLs that the program knows: those that are always there, and the tables `[mounts.SCHEME]` of a store's
//! `dagstore.toml`.
//!
//! A new type of tables is a [`Template`] in a file of its own, and a line in [`TYPES`].

mod files;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "object")]
mod object;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use dagstore::mount::{Registry, Result};
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

/// Makes a template of the table of a scheme.
type Read = fn(&str, ValueDeserializer<'_>) -> Result<Arc<dyn Template>, Wrong>;

/// The types of tables, by the word under `type`.
const TYPES: &[(&str, Read)] = &[
    ("file", files::read_file),
    ("fs", files::read_fs),
    #[cfg(feature = "http")]
    ("http", http::read),
    #[cfg(not(feature = "http"))]
    ("http", |_, _| Err(missing("http"))),
    #[cfg(feature = "object")]
    ("s3", object::read_s3),
    #[cfg(feature = "object")]
    ("gcs", object::read_gcs),
    #[cfg(feature = "object")]
    ("azure", object::read_azure),
    #[cfg(not(feature = "object"))]
    ("s3", |_, _| Err(missing("object"))),
    #[cfg(not(feature = "object"))]
    ("gcs", |_, _| Err(missing("object"))),
    #[cfg(not(feature = "object"))]
    ("azure", |_, _| Err(missing("object"))),
];

#[cfg(not(all(feature = "http", feature = "object")))]
fn missing(feature: &str) -> Wrong {
    Wrong::of(format!("this program was built without {feature}; {}", crate::exit::build_with(feature)))
}

/// What is wrong with a table.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// Where in the file, in bytes.
    pub(crate) place: Option<usize>,
    pub(crate) text: String,
}

/// What makes mounts of URLs of a scheme.
pub(crate) trait Template: Debug + Send + Sync {
    /// Makes the mounts of a scheme known to a store.
    fn register(&self, scheme: &str, registry: &mut Registry) -> Result<()>;

    /// What is told of it.
    fn describe(&self) -> Description;
}

/// A template, as people and programs are told of it.
#[derive(Debug)]
pub(crate) struct Description {
    /// The word under `type`.
    pub(crate) kind: &'static str,
    /// What URLs of the scheme are beneath; `None` where they tell it themselves.
    pub(crate) place: Option<String>,
    /// The name of the environment variable that has the secret.
    pub(crate) credential: Option<String>,
    pub(crate) limits: Vec<Limit>,
}

/// What somebody may set.
#[derive(Debug)]
pub(crate) struct Limit {
    /// As the table has it.
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    /// Whether the table says something else than would hold without it.
    pub(crate) is_changed: bool,
}

/// The templates of a store by their schemes.
#[derive(Debug, Clone)]
pub(crate) struct Mounts(BTreeMap<String, Mounted>);

/// The template of a scheme.
#[derive(Debug, Clone)]
pub(crate) struct Mounted {
    pub(crate) template: Arc<dyn Template>,
    /// Whether the file has it.
    pub(crate) is_configured: bool,
}

impl Default for Mounts {
    /// Files, bytes, and what features add. What comes over a network is asked for at public addresses only: whoever gives the
    /// program a URL may not be allowed to reach what this machine can.
    fn default() -> Self {
        let always: [(&str, Arc<dyn Template>); _] = [
            ("bytes", Arc::new(files::InUrl)),
            ("file", Arc::new(files::Files { root: None })),
            #[cfg(feature = "http")]
            ("http", Arc::new(http::Http::anywhere("http"))),
            #[cfg(feature = "http")]
            ("https", Arc::new(http::Http::anywhere("https"))),
            #[cfg(feature = "object")]
            ("s3", Arc::new(object::Objects::public_s3())),
            #[cfg(feature = "object")]
            ("gs", Arc::new(object::Objects::public_gcs())),
        ];
        let mounted = |template| Mounted { template, is_configured: false };
        Self(always.into_iter().map(|(scheme, template)| (scheme.to_owned(), mounted(template))).collect())
    }
}

impl Mounts {
    /// What a new store's file says of them.
    pub(crate) const TEMPLATE: &str = "
# Where shards may be, by the scheme of their URLs. dagstore mounts lists what there is; secrets stand in the environment.
#[mounts.pieces]
#type = \"http\"
#base = \"https://host.example/pieces/\"
#credential = \"PIECES_TOKEN\"
";

    /// Takes the tables under `mounts` of a file; each goes before what is always there.
    pub(crate) fn read(tables: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let mut mounts = Self::default();
        let Some(by_scheme) = tables.get_ref().as_table() else {
            return Err(Wrong::of("mounts is no table; write [mounts.SCHEME] for each").at(tables.span().start));
        };
        for (scheme, table) in by_scheme {
            let name: &str = scheme.get_ref();
            let read = read_one(name, table).and_then(|template| {
                template.register(name, &mut Registry::new())?;
                Ok(template)
            });
            let template = read.map_err(|wrong| wrong.at(scheme.span().start))?;
            mounts.0.insert(name.to_owned(), Mounted { template, is_configured: true });
        }
        Ok(mounts)
    }

    /// Each scheme with its template, by scheme.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Mounted)> {
        self.0.iter().map(|(scheme, mounted)| (scheme.as_str(), mounted))
    }

    /// What a store takes.
    pub(crate) fn registry(&self) -> Result<Registry> {
        let mut registry = Registry::new();
        for (scheme, Mounted { template, .. }) in &self.0 {
            template.register(scheme, &mut registry)?;
        }
        Ok(registry)
    }
}

fn read_one(scheme: &str, table: &Spanned<DeValue<'_>>) -> Result<Arc<dyn Template>, Wrong> {
    let known = || TYPES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let kind = table.get_ref().as_table().and_then(|table| table.get("type"));
    let kind = kind.ok_or_else(|| Wrong::of(format!("[mounts.{scheme}] has no type; known are: {}", known())))?;
    let word = kind.get_ref().as_str().unwrap_or_default();
    let read = TYPES.iter().find(|(name, _)| *name == word).map(|(_, read)| read);
    let read = read.ok_or_else(|| {
        let text = format!("this program knows no such type of [mounts.{scheme}]; known are: {}", known());
        Wrong::of(text).at(kind.span().start)
    })?;
    read(scheme, ValueDeserializer::from(table.clone()))
}

#[cfg(any(feature = "http", feature = "object"))]
/// Whether it may be an environment variable's name, and isn't a secret that was put in the wrong place: few of those have
/// capital letters and digits alone.
fn is_name(text: &str) -> bool {
    const MOST_BYTES: usize = 64;
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=MOST_BYTES).contains(&text.len())
        && text.bytes().all(fits)
        && !text.starts_with(|first: char| first.is_ascii_digit())
}

impl Description {
    /// Of a template that has neither a credential nor limits.
    fn of(kind: &'static str, place: Option<String>) -> Self {
        Self { kind, place, credential: None, limits: Vec::new() }
    }
}

impl Wrong {
    pub(crate) fn of(text: impl Into<String>) -> Self {
        Self { place: None, text: text.into() }
    }

    /// The same with the place, where it has none yet.
    fn at(self, place: usize) -> Self {
        Self { place: self.place.or(Some(place)), ..self }
    }
}

impl From<toml::de::Error> for Wrong {
    fn from(error: toml::de::Error) -> Self {
        Self { place: error.span().map(|span| span.start), text: error.message().to_owned() }
    }
}

impl From<dagstore::mount::Error> for Wrong {
    fn from(error: dagstore::mount::Error) -> Self {
        Self::of(error.to_string())
    }
}
