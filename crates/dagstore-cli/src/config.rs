//! `dagstore.toml`: with which parts the store in a directory was made, and how the program works with it.

use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::ValueEnum;
use dagstore::codec::{Cbor, Codecs, Json};
use dagstore::fs::{FileSystem, ReadAtExt, RealFileSystem, publish};
use dagstore::{Backend, Builder, Dagstore, Databases, Directory, Mode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use crate::exit::{Code, Failure, build_with};
use crate::mounts::Mounts;
use crate::settings::{CopySettings, EngineSettings, Settings};

/// The name of the file in the store's directory. Where it is absent there is no store.
pub(crate) const FILE_NAME: &str = "dagstore.toml";

/// The newest format of the file that is known, and the one that is written.
const FORMAT: i64 = 1;

/// A larger file is none of ours.
const MOST_BYTES: u64 = 64 * 1024;

/// What a store was made with, and how to work with it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Config {
    pub(crate) datastore: Datastore,
    pub(crate) codec: Codec,
    #[serde(skip)]
    pub(crate) settings: Settings,
    #[serde(skip)]
    pub(crate) mounts: Mounts,
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Looked at before everything else.
    #[serde(rename = "format")]
    _format: i64,
    datastore: Datastore,
    codec: Codec,
    #[serde(default)]
    engine: EngineSettings,
    #[serde(default)]
    copies: CopySettings,
    /// Read table by table, because each has the keys of its type.
    #[serde(default, rename = "mounts")]
    _mounts: IgnoredAny,
}

/// Where records are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Datastore {
    /// Pure Rust, for a first run and small catalogues.
    Redb,
    /// For heavy load; the program must have been built with it.
    Rocksdb,
    /// In the database at this URL; the program must have been built with it. The password comes from the environment.
    Postgres(String),
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codec {
    /// Larger, and readable as it is.
    Json,
    /// Smaller.
    Cbor,
}

/// What somebody wants a store to be made with; nothing said means whatever there is, or the default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) datastore: Option<Datastore>,
    pub(crate) codec: Option<Codec>,
}

impl Config {
    /// What a new store is made with.
    pub(crate) fn new(wish: Wish) -> Result<Self, Failure> {
        // A program that was built for RocksDB alone makes stores of it.
        let default =
            if cfg!(all(feature = "rocksdb", not(feature = "redb"))) { Datastore::Rocksdb } else { Datastore::Redb };
        let datastore = wish.datastore.unwrap_or(default);
        if !datastore.is_built_in() {
            return Err(datastore.not_built_in());
        }
        let codec = wish.codec.unwrap_or(Codec::Cbor);
        Ok(Self { datastore, codec, settings: Settings::default(), mounts: Mounts::default() })
    }

    /// Reads the file in the store's directory; `None` where there is no store.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, Failure> {
        let path = directory.join(FILE_NAME);
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let error = anyhow::Error::new(error).context(format!("cannot read {}", path.display()));
                return Err(Failure::new(Code::Failed, error).advise("another --dir, or mend what the cause names"));
            }
        };
        Self::parse(&text).with_context(|| format!("{} can't be used", path.display())).map(Some).map_err(|error| {
            Failure::new(Code::Failed, error).advise("the dagstore that wrote the file, or mend the file by hand")
        })
    }

    /// Writes the file of a store that has none yet. The caller has the store open, which keeps others out.
    pub(crate) fn write_new(&self, directory: &Path) -> Result<(), Failure> {
        if let Some(found) = Self::read(directory)? {
            // Somebody else was faster.
            return found.check(Wish { datastore: Some(self.datastore.clone()), codec: Some(self.codec) }, directory);
        }
        let path = directory.join(FILE_NAME);
        let temporary = directory.join(format!("{FILE_NAME}.tmp"));
        // Left by a process that died at this very place.
        let _absent_as_a_rule = RealFileSystem.remove(&temporary);
        let text = self.text();
        let written: io::Result<()> =
            publish(&RealFileSystem, &temporary, &path, |file| file.write_all(text.as_bytes()));
        written.map_err(|error| Failure::new(Code::Failed, error).advise("again, when the disk has room and works"))
    }

    /// Whether the store is as it is wished.
    pub(crate) fn check(&self, wish: Wish, directory: &Path) -> Result<(), Failure> {
        let is_as_wished = wish.datastore.is_none_or(|datastore| datastore == self.datastore)
            && wish.codec.is_none_or(|codec| codec == self.codec);
        if is_as_wished {
            return Ok(());
        }
        let text = format!("the store in {} has {self}, which can't be changed", directory.display());
        Err(Failure::of_text(Code::Failed, text).advise("another --dir for a store with other settings"))
    }

    /// The same, worked with as the command line says where it says something.
    pub(crate) fn with(self, flags: Settings) -> Result<Self, Failure> {
        let settings = flags.or(self.settings);
        match settings.problem() {
            None => Ok(Self { settings, ..self }),
            Some(problem) => {
                let advice = "dagstore register --help, which has the options of the engine";
                Err(Failure::of_text(Code::Usage, problem).advise(advice))
            }
        }
    }

    /// A builder for the store in the directory.
    pub(crate) fn builder(&self, directory: &Path) -> Result<Builder, Failure> {
        let registry = self.mounts.registry().map_err(dagstore::Error::from)?;
        if matches!(self.datastore, Datastore::Postgres(_)) && !self.datastore.is_built_in() {
            return Err(self.datastore.not_built_in());
        }
        let builder = self.datastore.of(Dagstore::builder().directory(directory).registry(registry));
        let builder = self.settings.apply(builder);
        Ok(builder.codecs(Codecs::new(self.codec.codec())))
    }

    /// Checks the format before anything else: a newer one may have other keys.
    fn parse(text: &str) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse().map_err(|error| placed(text, &error))?;
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => {
                anyhow::bail!("it has format {found}, and this program knows up to {FORMAT}; use a newer program")
            }
            Some(found) => anyhow::bail!("it has format {found}, which never was"),
            None => anyhow::bail!("it has no number under format"),
        }
        let File { datastore, codec, engine, copies, .. } =
            toml::from_str(text).map_err(|error| placed(text, &error))?;
        let settings = Settings { engine, copies };
        if let Some(problem) = settings.problem() {
            anyhow::bail!("in [engine], {problem}");
        }
        let table = DeTable::parse(text).map_err(|error| placed(text, &error))?.into_inner();
        let mounts = table.get("mounts").map_or_else(|| Ok(Mounts::default()), Mounts::read);
        let mounts = mounts.map_err(|wrong| in_line(text, wrong.place, &wrong.text))?;
        Ok(Self { datastore, codec, settings, mounts })
    }

    fn text(&self) -> String {
        let (datastore, codec) = (toml::Value::from(self.datastore.name()), self.codec.name());
        let settings = Settings::template();
        let mounts = Mounts::TEMPLATE;
        format!(
            "# What this store works with. Another codec is for new records, the old ones stay readable. Another datastore needs\n# dagstore store copy first.\nformat = {FORMAT}\ndatastore = {datastore}\ncodec = \"{codec}\"\n{settings}{mounts}"
        )
    }
}

impl std::fmt::Display for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "datastore {} and codec {}", self.datastore.name(), self.codec.name())
    }
}

impl Datastore {
    /// What stands for it in the file and on the command line.
    fn name(&self) -> &str {
        match self {
            Self::Redb => Backend::Redb.name(),
            Self::Rocksdb => Backend::Rocksdb.name(),
            Self::Postgres(url) => url,
        }
    }

    /// The feature that a program needs for it.
    fn feature(&self) -> &'static str {
        match self {
            Self::Redb => Backend::Redb.name(),
            Self::Rocksdb => Backend::Rocksdb.name(),
            Self::Postgres(_) => "postgres",
        }
    }

    fn is_built_in(&self) -> bool {
        match self {
            Self::Redb => cfg!(feature = "redb"),
            Self::Rocksdb => cfg!(feature = "rocksdb"),
            Self::Postgres(_) => cfg!(feature = "postgres"),
        }
    }

    /// The builder of a store that keeps its records there.
    fn of(&self, builder: Builder) -> Builder {
        match self {
            Self::Redb => builder.backend(Backend::Redb),
            Self::Rocksdb => builder.backend(Backend::Rocksdb),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => builder.postgres(url),
            // Refused before.
            #[cfg(not(feature = "postgres"))]
            Self::Postgres(_) => builder,
        }
    }

    /// The datastores of the store in the directory.
    pub(crate) async fn databases(&self, directory: &Directory, mode: Mode) -> Result<Databases, Failure> {
        let opened = match self {
            Self::Redb => Backend::Redb.open_databases(&RealFileSystem, directory, mode).await,
            Self::Rocksdb => Backend::Rocksdb.open_databases(&RealFileSystem, directory, mode).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => Databases::postgres(url, mode).await,
            #[cfg(not(feature = "postgres"))]
            Self::Postgres(_) => return Err(self.not_built_in()),
        };
        Ok(opened?)
    }

    fn not_built_in(&self) -> Failure {
        let feature = self.feature();
        Failure::of_text(Code::Failed, format!("this program was built without {feature}")).advise(build_with(feature))
    }
}

impl FromStr for Datastore {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "redb" => Ok(Self::Redb),
            "rocksdb" => Ok(Self::Rocksdb),
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Self::Postgres(url.to_owned()))
            }
            // A URL isn't repeated: it may have a password in it.
            url if url.contains("://") => Err("a URL of a datastore begins with postgres://".to_owned()),
            other => {
                Err(format!("{other:?} is no datastore, but redb, rocksdb, or a URL that begins with postgres://"))
            }
        }
    }
}

impl TryFrom<String> for Datastore {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Datastore> for String {
    fn from(datastore: Datastore) -> Self {
        datastore.name().to_owned()
    }
}

impl Codec {
    /// The codec itself.
    pub(crate) fn codec(self) -> Arc<dyn dagstore::codec::Codec> {
        match self {
            Self::Json => Arc::new(Json),
            Self::Cbor => Arc::new(Cbor),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Cbor => "cbor",
        }
    }
}

/// The settings of a store whose datastore, and codec, are others now: those lines are replaced, all else stays.
pub(crate) fn switched(text: &str, datastore: &str, codec: Option<Codec>) -> String {
    let line = |line: &str| {
        let key = line.split('=').next().unwrap_or_default().trim();
        match (key, codec) {
            ("datastore", _) => format!("datastore = {}\n", toml::Value::from(datastore)),
            ("codec", Some(codec)) => format!("codec = \"{}\"\n", codec.name()),
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

/// What is wrong with the file, and in which line.
fn placed(text: &str, error: &toml::de::Error) -> anyhow::Error {
    in_line(text, error.span().map(|span| span.start), error.message())
}

fn in_line(text: &str, place: Option<usize>, message: &str) -> anyhow::Error {
    let line = |place: usize| text.bytes().take(place).filter(|byte| *byte == b'\n').count() + 1;
    let message = message.trim_end().replace('\n', "; ");
    match place {
        Some(place) => anyhow::anyhow!("line {}: {message}", line(place)),
        None => anyhow::anyhow!("{message}"),
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let file = RealFileSystem.open(path)?;
    if file.size() > MOST_BYTES {
        return Err(io::Error::other(format!("it has more than {MOST_BYTES} bytes")));
    }
    let mut bytes = vec![0; usize::try_from(file.size()).unwrap_or_default()];
    file.read_exact_at(0, &mut bytes)?;
    String::from_utf8(bytes).map_err(|error| io::Error::other(error.utf8_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        format!("{:#}", Config::parse(text).unwrap_err())
    }

    #[test]
    fn what_is_written_is_read() {
        for datastore in ["redb", "rocksdb", "postgres://me@db.example/\"q\"?table=x"].map(str::parse::<Datastore>) {
            for codec in [Codec::Json, Codec::Cbor] {
                let datastore = datastore.clone().unwrap();
                let config = Config { datastore, codec, settings: Settings::default(), mounts: Mounts::default() };
                let read = Config::parse(&config.text()).unwrap();
                let Config { datastore, settings, .. } = config;
                assert_eq!((read.datastore, read.codec, read.settings), (datastore, codec, settings));
            }
        }
    }

    #[test]
    fn what_is_switched_is_read() {
        let made = Config::new(Wish::default()).unwrap().text();
        for datastore in ["rocksdb", "postgres://me@db.example/\"q\"?table=x", "postgres://me@db.example/a\\b"] {
            let read = Config::parse(&switched(&made, datastore, Some(Codec::Json))).unwrap();
            assert_eq!((read.datastore.name(), read.codec), (datastore, Codec::Json));
        }
    }

    #[test]
    fn a_newer_format_is_told_before_its_keys() {
        assert_eq!(
            problem("format = 2\nshiny = true\n"),
            "it has format 2, and this program knows up to 1; use a newer program"
        );
        assert_eq!(problem("format = 0"), "it has format 0, which never was");
        assert_eq!(problem("format = \"1\""), "it has no number under format");
        assert_eq!(problem(""), "it has no number under format");
    }

    #[test]
    fn what_is_unknown_is_named() {
        let text = "format = 1\ndatastore = \"redb\"\ncodec = \"cbor\"\n";
        let unknown = problem(&format!("{text}\nspeed = 1\n"));
        assert_eq!(
            unknown,
            "line 5: unknown field `speed`, expected one of `format`, `datastore`, `codec`, `engine`, `copies`, `mounts`"
        );
        for (line, expected) in [
            ("max_speed = 1", "unknown field `max_speed`, expected one of `recovery`, `max_retries`, "),
            ("max_fetching = 0", "invalid value: integer `0`, expected a nonzero usize"),
            ("max_indexing = \"4\"", "invalid type: string \"4\", expected a nonzero usize"),
            ("max_retries = -1", "invalid value: integer `-1`, expected u32"),
            ("recovery = \"soon\"", "unknown variant `soon`, expected one of `never`, `on-acquire`, `now`"),
            ("persist_deadline = \"soon\"", "\"soon\" is no time such as \"30s\" or \"1m 30s\": "),
            ("persist_deadline = \"0s\"", "the time must be more than 0"),
        ] {
            let found = problem(&format!("{text}\n[engine]\nkeep_open = 1\n{line}\n"));
            assert!(found.starts_with(&format!("line 7: {expected}")), "{found}");
        }
        assert!(problem(&format!("{text}[engine]\nfirst_pause = \"1s\"")).starts_with("in [engine], first_pause and "));
        assert!(problem(&text.replace("redb", "sled")).contains("sled"), "{}", problem(&text.replace("redb", "sled")));
        assert!(problem("format = 1\ncodec = \"cbor\"").contains("datastore"));
        assert!(problem("format = 1\nx = = 2").starts_with("line 2: "), "{}", problem("format = 1\nx = = 2"));
    }
}
