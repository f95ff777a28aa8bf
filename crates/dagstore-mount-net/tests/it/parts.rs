//! What is asked for, and when a stream goes on.

use dagstore_mount::{Error, Stat};
use dagstore_mount_net::{Limits, read, stream};

use crate::support::{PIECE, SIZE, Scripted, streamed};

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_at_its_next_byte() {
    let source = Scripted { breaks_after: 3 << 20, ..Scripted::good() };
    assert_eq!(streamed(&source, 0).await.unwrap(), SIZE);
    assert_eq!(source.asked(), [None, Some((3 << 20, SIZE - 1)), Some((6 << 20, SIZE - 1))]);
}

#[tokio::test(start_paused = true)]
async fn errors_are_forgotten_where_it_comes_on_and_only_there() {
    let mut limits = Limits::default();
    limits.retries = 2;
    let comes_on = Scripted { breaks_after: PIECE * 4, limits: limits.clone(), ..Scripted::good() };
    assert_eq!(streamed(&comes_on, 0).await.unwrap(), SIZE);
    let hardly = Scripted { breaks_after: PIECE, limits, ..Scripted::good() };
    let ended = streamed(&hardly, 0).await;
    assert!(matches!(ended, Err(Error::Truncated { at, .. }) if at == PIECE * 3), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn no_part_is_asked_for_that_nothing_holds_to_one_content() {
    let tagged = || Stat::new(SIZE, Some("one".to_owned()));
    for stat in [Stat::new(SIZE, None), tagged().sequential_only()] {
        let source = Scripted { stat: stat.clone(), breaks_after: PIECE, ..Scripted::good() };
        let told = read(&source, 10, 10, &stat).await;
        assert!(matches!(told, Err(Error::SequentialOnly { why: "a test says so", .. })), "{told:?}");
        let told = streamed(&source, 10).await;
        assert!(matches!(told, Err(Error::SequentialOnly { .. })), "{told:?}");
        // It has begun, and can't go on.
        let told = streamed(&source, 0).await;
        assert!(matches!(told, Err(Error::Truncated { at: PIECE, .. })), "{told:?}");
        assert_eq!(source.asked(), [None]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_of_another_content_is_refused() {
    let source = Scripted::good();
    let other = Stat::new(SIZE, Some("two".to_owned()));
    for from in [0, SIZE, SIZE + 1] {
        let told = stream(source.clone(), from, Some(&other)).await;
        assert!(matches!(told, Err(Error::SourceChanged { .. })), "{from}: {told:?}");
    }
    let told = read(&source, SIZE, 1, &other).await;
    assert!(matches!(told, Err(Error::SourceChanged { .. })), "{told:?}");
}
