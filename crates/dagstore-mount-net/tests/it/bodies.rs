//! How long an answer is, and how long it takes.

use std::time::Duration;

use dagstore_mount::Error;
use dagstore_mount_net::{Limits, read};

use crate::support::{PIECE, SIZE, Scripted, streamed};

#[tokio::test(start_paused = true)]
async fn bytes_are_counted() {
    for (too_many, read_to) in [(1, 0), (-1, 999)] {
        let source = Scripted { too_many, limits: never_again(), ..Scripted::good() };
        let told = read(&source, 0, 1000, &source.stat).await;
        let is_told = match &told {
            Err(Error::BadAnswer { why, .. }) => too_many > 0 && why.contains("byte 1000 of"),
            Err(Error::Truncated { at, size, .. }) => too_many < 0 && (*at, *size) == (read_to, SIZE),
            _ => false,
        };
        assert!(is_told, "{too_many}: {told:?}");
        assert!(streamed(&source, 0).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_not_pause_for_long_nor_drip() {
    let pause = Duration::from_secs(31);
    let paused = streamed(&Scripted { pause, limits: never_again(), ..Scripted::good() }, 0).await;
    assert!(
        matches!(&paused, Err(Error::Unavailable { source, .. }) if source.to_string().contains("pause")),
        "{paused:?}"
    );

    // About as many bytes as come in a window.
    let pause = Duration::from_secs(15);
    for (least_rate, is_enough) in [(PIECE / 15 - 100, true), (PIECE / 15 + 100, false)] {
        let mut limits = never_again();
        limits.least_rate = least_rate;
        let dripped = streamed(&Scripted { limits, pause, ..Scripted::good() }, 0).await;
        let is_told =
            matches!(&dripped, Err(Error::Unavailable { source, .. }) if source.to_string().contains("bytes"));
        assert_eq!((dripped.is_ok(), is_told), (is_enough, !is_enough), "{dripped:?}");
    }
}

fn never_again() -> Limits {
    let mut limits = Limits::default();
    limits.retries = 0;
    limits
}
