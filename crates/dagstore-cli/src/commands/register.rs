//! `dagstore register`: tells the store of CAR files, which it indexes.

use std::collections::HashMap;
use std::ffi::OsString;

use clap::Args;
use dagstore::mount::redacted;
use dagstore::{Dagstore, ShardKey};
use futures_util::StreamExt;
use serde::Serialize;

use crate::config::Wish;
use crate::context::{Context, key};
use crate::exit::{Code, Failure, Outcome, of_shard};
use crate::many::{FailedReport, Failures};
use crate::progress::Watched;
use crate::report::{CopyReports, ShardReport};
use crate::settings::Settings;
use crate::source::Source;

/// How many shards are registered at once. The store itself decides how many it indexes at once.
const AT_ONCE: usize = 16;

/// Register CAR files and index them; the store is made if there is none.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore register pieces/*.car
  dagstore register --key monday piece.car
  dagstore register https://host.example/pieces/a.car pieces:b.car")]
pub(crate) struct Register {
    /// The shard's name [default: the file's name without .car].
    #[arg(long, allow_hyphen_values = true)]
    key: Option<String>,
    /// Leave the indexing to the first read.
    #[arg(long)]
    lazy: bool,
    /// Hash every block while indexing; without this, each one is checked when it is read.
    #[arg(long)]
    verify: bool,
    /// Paths of CAR files, or URLs.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<OsString>,
    #[command(flatten)]
    engine: Settings,
}

/// A shard that is to be registered.
struct Wanted {
    /// Its place among the arguments.
    place: usize,
    key: ShardKey,
    url: String,
}

/// What became of it.
type Registered = (Wanted, Result<ShardReport, Failure>);

#[derive(Serialize)]
struct Document<'a> {
    registered: Vec<ShardReport>,
    failed: Vec<FailedReport<'a>>,
}

impl Register {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let wanted = self.wanted()?;
        let change = |options: &mut dagstore::Options| options.verify_on_index |= self.verify;
        let (store, ..) = context.open_or_make(Wish::default(), self.engine, change).await?;
        let outcome = register_all(context, &store, wanted, self.lazy).await;
        context.close(store, outcome).await
    }

    /// Makes keys and URLs of the arguments. What is wrong with them is told before anything is done.
    fn wanted(&self) -> Result<Vec<Wanted>, Failure> {
        if self.key.is_some() && self.urls.len() > 1 {
            let text = format!("--key names one shard, and there are {} URLs", self.urls.len());
            return Err(Failure::of_text(Code::Usage, text).advise("dagstore register --key KEY URL, for each of them"));
        }
        let mut wanted = Vec::with_capacity(self.urls.len());
        let mut seen: HashMap<ShardKey, String> = HashMap::new();
        for (place, argument) in self.urls.iter().enumerate() {
            let source = Source::of(argument)?;
            let key = key(&source.key(self.key.as_deref())?)?;
            if let Some(other) = seen.insert(key.clone(), source.url.clone()) {
                let text = format!("{} and {} would both have the key {key}", redacted(&other), redacted(&source.url));
                return Err(
                    Failure::of_text(Code::Usage, text).advise("dagstore register --key KEY URL, for one of them")
                );
            }
            wanted.push(Wanted { place, key, url: source.url });
        }
        Ok(wanted)
    }
}

async fn register_all(context: &Context, store: &Dagstore, wanted: Vec<Wanted>, lazy: bool) -> Outcome {
    let works = wanted.into_iter().map(|wanted| register_one(context, store, wanted, lazy));
    let mut works = futures_util::stream::iter(works).buffer_unordered(AT_ONCE);
    let mut all: Vec<Registered> = Vec::new();
    let mut printed = Ok(());
    while let Some((wanted, report)) = works.next().await {
        // Even if nobody reads what is printed, the others are registered.
        if let (Ok(()), Ok(report), false) = (&printed, &report, context.output.json) {
            printed = context.output.line(&format!("registered {}: {}", wanted.key, report.state));
        }
        all.push((wanted, report));
    }
    all.sort_by_key(|(wanted, _)| wanted.place);
    let copies = CopyReports::of(store);
    let (mut registered, mut failures) = (Vec::new(), Failures::none_of(all.len()));
    for (wanted, report) in all {
        match report {
            Ok(report) => registered.push(report.with_copy(&copies)),
            Err(failure) => failures.add(wanted.key, Some(redacted(&wanted.url)), failure),
        }
    }
    if context.output.json {
        printed = context.output.json(&Document { registered, failed: failures.reports() });
    }
    printed?;
    failures.end(&context.output)
}

async fn register_one(context: &Context, store: &Dagstore, wanted: Wanted, lazy: bool) -> Registered {
    let register = store.register(wanted.key.as_str(), &wanted.url);
    let register = if lazy { register.lazy() } else { register };
    let registered = context.progress.watch(store, Watched::Shard(&wanted.key), register.into_future()).await;
    let report = match registered.and_then(|()| store.info(wanted.key.as_str())) {
        Ok(info) => Ok(ShardReport::of_shard(info)),
        Err(error) => Err(of_shard(store, error)),
    };
    (wanted, report)
}
