//! Checks of a content that stays what it is.

use std::sync::Arc;

use dagstore_fs::ReadAtExt;
use futures_util::TryStreamExt;
use futures_util::future::join_all;

use super::support::{Outcome, Subject, ensure, is_changed, is_sequential_only, stream, told};
use crate::{Error, Mount, MountUrl, Result, Stat, Streamed};

pub(super) async fn the_location_is_always_the_same(subject: Subject<'_>) -> Outcome {
    let (one, two) = (subject.mount.location(), subject.mount.location());
    ensure!(one == two, "it was {one:?} and then {two:?}");
    Ok(())
}

pub(super) async fn the_location_fits_into_a_url(subject: Subject<'_>) -> Outcome {
    let location = subject.mount.location();
    let url = MountUrl::new("test", &location).map_err(|error| error.to_string())?;
    let again = MountUrl::parse(url.as_str()).map_err(|error| error.to_string())?;
    ensure!(again.location() == location, "{location:?} is {:?} when the URL is parsed", again.location());
    Ok(())
}

pub(super) async fn the_url_makes_the_same_mount(subject: Subject<'_>) -> Outcome {
    let location = subject.mount.location();
    let again: Arc<dyn Mount> =
        subject.template.instantiate(&location).map_err(|error| format!("{location:?}: {error}"))?;
    ensure!(again.location() == location, "{location:?} comes back as {:?}", again.location());
    let (is, was) = (again.capabilities(), subject.mount.capabilities());
    ensure!(is == was, "its capabilities were {was:?} and are {is:?}");
    let read = stream(&*again, 0, None).await;
    ensure!(read.as_ref().is_ok_and(|read| read == subject.content), "it streams {}", told(&read));
    Ok(())
}

pub(super) async fn stat_tells_the_size(subject: Subject<'_>) -> Outcome {
    let stat = subject.stat().await?;
    ensure!(stat.size == subject.size(), "{} bytes are told to be {}", subject.size(), stat.size);
    let again = subject.stat().await?;
    ensure!(again == stat, "nobody touched the source, and stat said {stat:?} and then {again:?}");
    Ok(())
}

pub(super) async fn opens_or_says_that_it_cannot(subject: Subject<'_>) -> Outcome {
    let opened = subject.mount.open().await;
    if !subject.mount.capabilities().opens {
        let stands = matches!(opened, Err(Error::NoLocalReader { .. }));
        ensure!(stands, "it doesn't say that it opens, and opening gives {opened:?}");
        return Ok(());
    }
    let opened = opened.map_err(|error| format!("open: {error}"))?;
    let stat = subject.stat().await?;
    ensure!(opened.stat == stat, "it opened {:?}, and stat says {stat:?}", opened.stat);
    ensure!(opened.reader.size() == subject.size(), "the reader has {} bytes", opened.reader.size());
    Ok(())
}

pub(super) async fn an_open_reader_reads_everywhere(subject: Subject<'_>) -> Outcome {
    if !subject.mount.capabilities().opens {
        return Ok(());
    }
    let opened = subject.mount.open().await.map_err(|error| format!("open: {error}"))?;
    for start in subject.places() {
        let mut buffer = vec![0; subject.content.len() - start];
        let read = opened.reader.read_exact_at(start as u64, &mut buffer);
        ensure!(read.is_ok(), "reading from {start}: {read:?}");
        ensure!(buffer == subject.content[start..], "other bytes from {start} on");
    }
    let mut buffer = [0; 8];
    for beyond in [subject.size(), subject.size() + 1, u64::MAX] {
        let read = opened.reader.read_at(beyond, &mut buffer);
        ensure!(matches!(read, Ok(0)), "reading at {beyond}, past the end: {read:?}");
    }
    let unchanged = opened.reader.is_unchanged();
    ensure!(matches!(unchanged, Ok(true)), "nobody touched the source, and is_unchanged gives {unchanged:?}");
    Ok(())
}

pub(super) async fn streams_the_whole(subject: Subject<'_>) -> Outcome {
    let stat = subject.stat().await?;
    for of in [None, Some(&stat)] {
        let read = stream(subject.mount, 0, of).await;
        ensure!(read.as_ref().is_ok_and(|read| read == subject.content), "with {of:?}: {}", told(&read));
        let streamed = subject.mount.stream(0, of).await.map_err(|error| error.to_string())?;
        ensure!(streamed.stat.same_content(&stat), "it streams {:?}, and stat says {stat:?}", streamed.stat);
    }
    Ok(())
}

pub(super) async fn streams_from_any_place(subject: Subject<'_>) -> Outcome {
    let stat = subject.stat().await?;
    let seeks = subject.mount.capabilities().seek && !stat.sequential_only;
    for start in subject.places().into_iter().filter(|start| *start > 0) {
        for of in [None, Some(&stat)] {
            let read = stream(subject.mount, start as u64, of).await;
            if seeks {
                let right = read.as_ref().is_ok_and(|read| *read == subject.content[start..]);
                ensure!(right, "from {start}, with {of:?}: {}", told(&read));
            } else if start < subject.content.len() {
                ensure!(is_sequential_only(&read), "it says that it can't seek, and from {start}: {}", told(&read));
            }
        }
    }
    Ok(())
}

pub(super) async fn streams_nothing_past_the_end(subject: Subject<'_>) -> Outcome {
    let stat = subject.stat().await?;
    for beyond in [subject.size(), subject.size() + 1, u64::MAX] {
        for of in [None, Some(&stat)] {
            let read = stream(subject.mount, beyond, of).await;
            ensure!(read.as_ref().is_ok_and(Vec::is_empty), "from {beyond}, with {of:?}: {}", told(&read));
        }
    }
    Ok(())
}

pub(super) async fn reads_at_any_place(subject: Subject<'_>) -> Outcome {
    let stat = subject.stat().await?;
    let reads = subject.mount.capabilities().random_access && !stat.sequential_only;
    for start in subject.places() {
        let rest = &subject.content[start..];
        for length in [1, rest.len() / 2, rest.len(), rest.len() + 1, rest.len() + 1000] {
            let read = subject.mount.read(start as u64, length, &stat).await;
            if reads {
                let wanted = &rest[..length.min(rest.len())];
                ensure!(read.as_ref().is_ok_and(|read| read == wanted), "{length} at {start}: {}", told(&read));
            } else if length.min(rest.len()) > 0 {
                ensure!(is_sequential_only(&read), "it says that it can't, and {length} at {start}: {}", told(&read));
            }
        }
    }
    Ok(())
}

pub(super) async fn reads_nothing_past_the_end(subject: Subject<'_>) -> Outcome {
    let stat = subject.stat().await?;
    for beyond in [subject.size(), subject.size() + 1, u64::MAX] {
        let read = subject.mount.read(beyond, 8, &stat).await;
        ensure!(read.as_ref().is_ok_and(bytes::Bytes::is_empty), "at {beyond}: {}", told(&read));
    }
    Ok(())
}

pub(super) async fn another_content_is_told(subject: Subject<'_>) -> Outcome {
    let stat = subject.stat().await?;
    let mut others = vec![Stat { size: stat.size + 1, ..stat.clone() }];
    if stat.validator.is_some() {
        others.push(Stat { validator: Some("\"no content has this one\"".to_owned()), ..stat.clone() });
    }
    for other in others {
        for start in [0, subject.size() / 2, subject.size()] {
            let read = stream(subject.mount, start, Some(&other)).await;
            let is_told = is_changed(&read) || (stat.sequential_only && start > 0 && is_sequential_only(&read));
            ensure!(is_told, "a stream of {other:?} from {start} gives {}", told(&read));
            let read = subject.mount.read(start, 1, &other).await;
            // What can't be read at any place says so first.
            let is_told = is_changed(&read) || (stat.sequential_only && is_sequential_only(&read));
            ensure!(is_told, "a read of {other:?} at {start} gives {}", told(&read));
        }
    }
    Ok(())
}

pub(super) async fn streams_side_by_side(subject: Subject<'_>) -> Outcome {
    // All are begun before the first one is read.
    let streams = join_all((0..8).map(|_| subject.mount.stream(0, None))).await;
    let read = |streamed: Result<Streamed>| async { Ok(streamed?.bytes.try_collect::<Vec<_>>().await?.concat()) };
    for read in join_all(streams.into_iter().map(read)).await {
        ensure!(read.as_ref().is_ok_and(|read| read == subject.content), "{}", told(&read));
    }
    Ok(())
}

pub(super) async fn a_dropped_stream_disturbs_nobody(subject: Subject<'_>) -> Outcome {
    let mut dropped = subject.mount.stream(0, None).await.map_err(|error| error.to_string())?;
    dropped.bytes.try_next().await.map_err(|error| error.to_string())?;
    let read = stream(subject.mount, 0, None).await;
    ensure!(read.as_ref().is_ok_and(|read| read == subject.content), "while one is held: {}", told(&read));
    drop(dropped);
    let read = stream(subject.mount, 0, None).await;
    ensure!(read.as_ref().is_ok_and(|read| read == subject.content), "after one was dropped: {}", told(&read));
    Ok(())
}
