//! Checks of a source that goes, comes and changes.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::Source;
use super::support::{Outcome, ensure, is_changed, stream, told};
use crate::{Error, Mount, Result, Stat};

/// Long enough to come in many pieces, whatever is read at once.
const SIZE: usize = 3 * 1024 * 1024 + 7;

/// How long what was dropped may take to be let go: connections are closed by somebody else.
const PATIENCE: Duration = Duration::from_mins(2);

/// Two contents that differ everywhere, and have no two pieces alike.
static CONTENTS: LazyLock<[Bytes; 2]> = LazyLock::new(|| {
    let byte = |place: usize| u8::try_from((place / 251 + place) % 256).unwrap_or_default();
    [(0..SIZE).map(byte).collect(), (0..SIZE).map(|place| !byte(place)).collect()]
});

fn content(number: usize) -> Bytes {
    CONTENTS[number - 1].clone()
}

async fn stat(mount: &dyn Mount) -> Outcome<Stat> {
    mount.stat().await.map_err(|error| format!("stat: {error}"))
}

pub(super) async fn a_missing_source_is_told(source: &dyn Source) -> Outcome {
    let mount = source.mount();
    source.serve(Some(content(1))).await;
    let was = stat(&*mount).await?;
    source.serve(None).await;
    let is_missing = |error: Option<&Error>| matches!(error, Some(Error::NotFound { .. }));
    let now = mount.stat().await;
    ensure!(is_missing(now.as_ref().err()), "stat: {now:?}");
    let streamed = stream(&*mount, 0, None).await;
    ensure!(is_missing(streamed.as_ref().err()), "stream: {}", told(&streamed));
    let read = mount.read(0, 1, &was).await;
    ensure!(is_missing(read.as_ref().err()) || was.sequential_only, "read: {}", told(&read));
    if mount.capabilities().opens {
        let opened = mount.open().await;
        ensure!(is_missing(opened.as_ref().err()), "open: {opened:?}");
    }
    Ok(())
}

pub(super) async fn a_source_comes_back(source: &dyn Source) -> Outcome {
    let mount = source.mount();
    source.serve(None).await;
    let _missing = mount.stat().await;
    source.serve(Some(content(1))).await;
    let read = stream(&*mount, 0, None).await;
    ensure!(read.as_ref().is_ok_and(|read| *read == content(1)), "{}", told(&read));
    Ok(())
}

pub(super) async fn a_new_validator_tells_of_a_new_content(source: &dyn Source) -> Outcome {
    let mount = source.mount();
    source.serve(Some(content(1))).await;
    let was = stat(&*mount).await?;
    source.serve(Some(content(2))).await;
    let is = stat(&*mount).await?;
    ensure!(was.validator.is_none() || !is.same_content(&was), "another content of the same size is {is:?}, too");
    source.serve(Some(content(1).slice(1..))).await;
    let is = stat(&*mount).await?;
    ensure!(!is.same_content(&was), "another content of another size is {is:?}, too");
    Ok(())
}

/// Where nothing but the size tells one content from another, the other is shorter.
fn other_than(was: &Stat) -> Bytes {
    if was.validator.is_some() { content(2) } else { content(2).slice(1..) }
}

pub(super) async fn streams_are_of_the_content_that_was_asked_for(source: &dyn Source) -> Outcome {
    let mount = source.mount();
    source.serve(Some(content(1))).await;
    let was = stat(&*mount).await?;
    source.serve(Some(other_than(&was))).await;
    let starts = if was.sequential_only { vec![0] } else { vec![0, 1, SIZE as u64 / 2, SIZE as u64] };
    for start in starts {
        let read = stream(&*mount, start, Some(&was)).await;
        ensure!(is_changed(&read), "from {start}: {}", told(&read));
    }
    Ok(())
}

pub(super) async fn reads_are_of_the_content_that_was_asked_for(source: &dyn Source) -> Outcome {
    let mount = source.mount();
    source.serve(Some(content(1))).await;
    let was = stat(&*mount).await?;
    if was.sequential_only || !mount.capabilities().random_access {
        return Ok(());
    }
    source.serve(Some(other_than(&was))).await;
    for start in [0, 1, SIZE as u64 / 2] {
        let read = mount.read(start, 1000, &was).await;
        ensure!(is_changed(&read), "at {start}: {}", told(&read));
    }
    Ok(())
}

/// Begins a stream, changes the content, and goes on.
async fn changed_meanwhile(source: &dyn Source, before: Bytes, after: Bytes) -> Outcome<Result<Vec<u8>>> {
    let mount = source.mount();
    source.serve(Some(before)).await;
    let mut streamed = mount.stream(0, None).await.map_err(|error| error.to_string())?;
    let first = streamed.bytes.try_next().await.map_err(|error| error.to_string())?;
    source.serve(Some(after)).await;
    let rest: Result<Vec<Bytes>> = streamed.bytes.try_collect().await;
    Ok(rest.map(|rest| [first.unwrap_or_default().to_vec(), rest.concat()].concat()))
}

/// What is still on its way may come, and so may an error. But nothing that looks whole and isn't.
pub(super) async fn a_stream_never_mixes_contents(source: &dyn Source) -> Outcome {
    let read = changed_meanwhile(source, content(1), content(2)).await?;
    let is_whole = read.as_ref().is_ok_and(|read| *read == content(1));
    ensure!(is_whole || read.is_err(), "{} that are neither content", told(&read));
    Ok(())
}

pub(super) async fn a_source_cut_short_never_looks_whole(source: &dyn Source) -> Outcome {
    let read = changed_meanwhile(source, content(1), content(1).slice(..SIZE / 2)).await?;
    let is_whole = read.as_ref().is_ok_and(|read| *read == content(1));
    ensure!(is_whole || read.is_err(), "{} of {SIZE}, and no error", told(&read));
    Ok(())
}

pub(super) async fn everything_is_let_go(source: &dyn Source) -> Outcome {
    let mount = source.mount();
    source.serve(Some(content(1))).await;
    for _ in 0..20 {
        let mut streamed = mount.stream(0, None).await.map_err(|error| error.to_string())?;
        streamed.bytes.try_next().await.map_err(|error| error.to_string())?;
        if mount.capabilities().opens {
            let opened = mount.open().await.map_err(|error| error.to_string())?;
            let held = source.held();
            ensure!(held.is_none_or(|held| held > 0), "a stream and a reader are open, and the source holds {held:?}");
            drop(opened);
        }
    }
    // This waits as long as it must, and no longer; a test with a clock of its own isn't held up.
    let pause = Duration::from_millis(5);
    for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
        if source.held().is_none_or(|held| held == 0) {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
    }
    Err(format!("everything was dropped, and the source still holds {:?}", source.held()))
}
