//! What is asked of a store, and what it gives.

use std::sync::Arc;

use dagstore_mount::{Error, Stat};
use dagstore_mount_net::{Failure, Tries, bad_answer, changed};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectStore as _};

use crate::builder::Shared;
use crate::failure::of_store;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// What there is, without the bytes.
    Head,
    /// All of it; of this content, where one is given.
    Whole(Option<Stat>),
    /// From `first` to `last`, of this content, which has a strong validator.
    Part { first: u64, last: u64, of: Stat },
}

/// What is asked for, and of which source. It goes with a request, so that its answer can be checked where it arrives.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) ask: Ask,
    /// The source, fit to be printed.
    pub(crate) place: Arc<str>,
}

/// What an answer says beyond what `object_store` understands of it. It comes with a result.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// It has to be brought from a cold tier before it can be read.
    pub(crate) is_cold: bool,
    /// The server has no ranges.
    pub(crate) is_whole_only: bool,
}

/// An object of a store.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) shared: Arc<Shared>,
    pub(crate) bucket: String,
    pub(crate) key: Path,
    pub(crate) place: Arc<str>,
}

impl Target {
    /// Asks once. What comes back is of the content that was asked for, and from the place that was asked for.
    pub(crate) async fn ask(&self, ask: Ask, tries: &mut Tries) -> Result<(Stat, GetResult), Failure> {
        let store = self.shared.backend.store(&self.bucket, &self.place)?;
        let longest = tries.limits().connect + tries.limits().first_byte;
        let answering = store.get_opts(&self.key, self.options(&ask));
        let answer = tries.wait(&self.place, "the beginning of an answer", longest, answering).await?;
        let is_checked = self.shared.backend.is_checked();
        let result = match answer {
            Ok(result) => result,
            Err(error) => {
                let failure = of_store(&self.place, &error, is_checked);
                return Err(if is_checked { failure } else { self.explained(&ask, failure, tries).await });
            }
        };
        let stat = check(&self.place, &ask, &result)?;
        Ok((stat, result))
    }

    /// Some stores have no word for a range that lies outside of an object that has changed, and fail. So they are asked what
    /// there is.
    async fn explained(&self, ask: &Ask, failure: Failure, tries: &mut Tries) -> Failure {
        let is_unexplained = matches!(failure.error, Error::Unavailable { .. });
        let Ask::Part { of, .. } = ask else { return failure };
        let is_changed = is_unexplained
            && match Box::pin(self.ask(Ask::Head, tries)).await {
                Ok((stat, _)) => !stat.same_content(of),
                Err(_) => false,
            };
        if is_changed { changed(&self.place).into() } else { failure }
    }

    fn options(&self, ask: &Ask) -> GetOptions {
        let mut options = GetOptions::default();
        match ask {
            Ask::Head => options.head = true,
            Ask::Whole(of) => options.if_match = of.as_ref().and_then(strong).map(str::to_owned),
            Ask::Part { first, last, of } => {
                options.range = Some(GetRange::Bounded(*first..last + 1));
                options.if_match = strong(of).map(str::to_owned);
            }
        }
        options.extensions.insert(Asked { ask: ask.clone(), place: self.place.clone() });
        options
    }
}

/// The validator of a content that can be held to it from one answer to the next.
pub(crate) fn strong(of: &Stat) -> Option<&str> {
    of.validator.as_deref().filter(|validator| is_strong(validator) && !of.sequential_only)
}

/// Whether a tag stands for bytes, not for a meaning, and can be sent. Some stores leave the quotes away.
fn is_strong(tag: &str) -> bool {
    let is_quoted = tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"');
    let can_be_sent = |byte: u8| byte.is_ascii_graphic() || (is_quoted && byte == b' ');
    !tag.is_empty() && !tag.starts_with("W/") && tag.bytes().all(can_be_sent)
}

/// Holds a result against what was asked for, whatever its store has checked.
fn check(place: &str, ask: &Ask, result: &GetResult) -> Result<Stat, Failure> {
    let (of, first, end) = match ask {
        Ask::Head => return Ok(stat_of(result)),
        Ask::Whole(of) => (of.as_ref(), 0, result.meta.size),
        Ask::Part { first, last, of } => (Some(of), *first, last + 1),
    };
    let stat = stat_of(result);
    if matches!(ask, Ask::Part { .. }) && result.meta.e_tag.is_none() {
        return Err(bad_answer(place, "a range without an ETag, which could be of any content").into());
    }
    if of.is_some_and(|of| !stat.same_content(of)) {
        return Err(changed(place).into());
    }
    if result.range != (first..end) {
        let why = format!("the bytes from {first} up to {end} were asked for, it gives {:?}", result.range);
        return Err(bad_answer(place, why).into());
    }
    Ok(stat)
}

fn stat_of(result: &GetResult) -> Stat {
    let (meta, told) = (&result.meta, result.extensions.get::<Told>().copied().unwrap_or_default());
    let is_seekable = !told.is_whole_only && meta.e_tag.as_deref().is_some_and(is_strong);
    let version = || meta.version.as_ref().map(|version| format!("version {version}"));
    // Where a store tells no time it is the beginning of all.
    let modified =
        || (meta.last_modified.timestamp() > 0).then(|| format!("modified {}", meta.last_modified.to_rfc3339()));
    let tag = meta.e_tag.clone();
    let validator = if is_seekable { tag } else { version().or(tag).or_else(modified) };
    let stat = Stat::new(meta.size, validator);
    let stat = if is_seekable { stat } else { stat.sequential_only() };
    if told.is_cold { stat.not_ready() } else { stat }
}
