//! `dagstore index export`: a shard's index as go-car writes it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use dagstore::car::{GoIndexBuilder, IndexCodec};
use serde::Serialize;

use crate::context::{Context, key};
use crate::exit::{Code, Failure, Outcome, of_shard};
use crate::file::{self, Existing};
use crate::settings::Settings;
use crate::text::{counted, path_text, shell_word};

/// Write the index of a shard's CAR in a format of go-car's, made of the CAR itself.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore index export monday --output monday.idx
  dagstore index export monday --codec sorted --with-identity > monday.full.idx")]
pub(super) struct Export {
    /// The shard's name.
    key: String,
    /// Whose format.
    #[arg(long, value_enum, default_value_t = Format::GoCar)]
    format: Format,
    /// Which of its formats: records found by hash function and digest (0x0401), or by the digest alone (0x0400).
    #[arg(long, value_enum, default_value_t = Codec::MultihashSorted)]
    codec: Codec,
    /// List identity CIDs as well, as Go's dagstore does; go-car leaves them out.
    #[arg(long)]
    with_identity: bool,
    /// Write it to this file, whole or not at all; - is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long, requires = "output")]
    force: bool,
    #[command(flatten)]
    engine: Settings,
}

/// Whose format an index is written in.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// go-car's.
    GoCar,
}

/// Which of go-car's formats.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Codec {
    /// 0x0400.
    #[value(alias = "0x0400")]
    Sorted,
    /// 0x0401.
    #[value(alias = "0x0401")]
    MultihashSorted,
}

#[derive(Serialize)]
struct Document {
    key: String,
    file: String,
    codec: String,
    records: u64,
    size_bytes: u64,
}

impl Export {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let key = key(&self.key)?;
        let file = self.output.as_deref().filter(|path| *path != Path::new("-"));
        if context.output.json && file.is_none() {
            let text = "an index is no JSON: with --json it needs a file to go to";
            let advice = format!("dagstore --json index export {} --output FILE", shell_word(key.as_str()));
            return Err(Failure::of_text(Code::Usage, text).advise(advice).into());
        }
        if context.output.is_terminal() && self.output.is_none() {
            let text = "an index isn't text, and standard output is a terminal";
            let advice = format!("dagstore index export {} --output FILE", shell_word(key.as_str()));
            return Err(Failure::of_text(Code::Failed, text).advise(advice).into());
        }
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        // Told before the CAR is read; that nothing is overwritten is seen to when the file is put in its place.
        if let Some(path) = file.filter(|path| !self.force && path.is_file()) {
            return Err(unwritten(path, io::ErrorKind::AlreadyExists.into()).into());
        }
        let codec = self.codec.codec();
        let store = context.open(self.engine).await?;
        let work = async {
            let shard = context.acquire(&store, &key).await?;
            let index = store.go_index(&shard, codec, self.with_identity).await;
            Ok(index.map_err(|error| of_shard(&store, error))?)
        };
        let index: Outcome<GoIndexBuilder> = work.await;
        let index = context.close(store, index).await?;
        let records = index.records();
        let Some(path) = file else { return context.output.stream(|out| index.write(&mut { out })) };
        let mut size_bytes = 0;
        let write = |out: &mut dyn Write| index.write(&mut Counting { out, written: &mut size_bytes });
        file::write_with(path, existing, write).map_err(|error| unwritten(path, error))?;
        let (key, file) = (key.to_string(), path_text(path));
        if context.output.json {
            let codec = format!("{:#06x}", codec.code());
            return context.output.json(&Document { key, file, codec, records, size_bytes });
        }
        context.output.line(&format!("wrote {file}: {} of {key}", counted(records, "record")))
    }
}

fn unwritten(path: &Path, error: io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::AlreadyExists => "another place for --output, or --force to replace what is there",
        _ => "another place for --output",
    };
    let error = anyhow::Error::new(error).context(format!("cannot write {}", path_text(path)));
    Failure::new(Code::Failed, error).advise(advice)
}

impl Codec {
    fn codec(self) -> IndexCodec {
        match self {
            Self::Sorted => IndexCodec::Sorted,
            Self::MultihashSorted => IndexCodec::MultihashSorted,
        }
    }
}

/// Counts what is written.
struct Counting<'a> {
    out: &'a mut dyn Write,
    written: &'a mut u64,
}

impl Write for Counting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        *self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
