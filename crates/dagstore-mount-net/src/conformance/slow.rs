//! Servers that take their time. Each of these hangs for ever when its limit doesn't work.
#![expect(missing_docs, reason = "the names say it")]

use std::time::Duration;

use dagstore_mount::{Error, Mount};
use futures_util::TryStreamExt;
use tokio::net::TcpListener;

use super::{Server, Subject, Then, content, quick, stream};
use crate::Limits;

const SHORT: Duration = Duration::from_millis(50);

fn mount<S: Subject>(server: &Server<S>, change: impl FnOnce(&mut Limits)) -> S::Mount {
    let mut once = Limits { retries: 0, ..quick() };
    change(&mut once);
    S::mount(server.address, &once)
}

#[track_caller]
fn is_late<T: std::fmt::Debug>(result: dagstore_mount::Result<T>, what: &str) {
    match &result {
        Err(Error::Unavailable { source, .. })
            if source.kind() == std::io::ErrorKind::TimedOut && source.to_string().contains(what) => {}
        other => panic!("{what}: {other:?}"),
    }
}

pub async fn a_server_that_never_begins<S: Subject>() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = Limits { connect: SHORT, first_byte: SHORT, retries: 0, ..quick() };
    let mount = S::mount(listener.local_addr().unwrap(), &limits);
    is_late(mount.stat().await, "beginning");
    is_late(stream(&mount, 0, None).await, "beginning");
}

pub async fn a_server_that_pauses_for_ever<S: Subject>() {
    let server = Server::<S>::bent(&content(1000), |_, reply| reply.cut(500, Then::Hang)).await;
    let mount = mount(&server, |limits| limits.idle = SHORT);
    is_late(stream(&mount, 0, None).await, "pause");
    let stat = mount.stat().await.unwrap();
    is_late(mount.read(0, 1000, &stat).await, "pause");
}

pub async fn a_server_that_drips<S: Subject>() {
    let drip = Then::Drip(Duration::from_millis(5));
    let server = Server::<S>::bent(&content(100_000), move |_, reply| reply.cut(0, drip)).await;
    let mount = mount(&server, |limits| (limits.rate_window, limits.least_rate) = (SHORT, 100_000));
    is_late(stream(&mount, 0, None).await, "bytes");
}

pub async fn a_call_that_never_ends<S: Subject>() {
    let drip = Then::Drip(Duration::from_millis(5));
    let server = Server::<S>::bent(&content(100_000), move |_, reply| reply.cut(0, drip)).await;
    let mount = mount(&server, |limits| (limits.least_rate, limits.deadline) = (0, SHORT * 4));
    is_late(stream(&mount, 0, None).await, "all of it");
}

/// Who reads slowly is no slow server: this one pauses for longer than the whole call may take, and has to wait for the last bytes
/// after that.
pub async fn a_reader_may_take_its_time<S: Subject>() {
    // Few long pauses, which a busy machine hardly makes longer.
    let drip = Then::Drip(Duration::from_millis(350));
    let server = Server::<S>::bent(&content(3_000_000), move |_, reply| reply.cut(2_999_988, drip)).await;
    let mount = mount(&server, |limits| (limits.least_rate, limits.deadline) = (0, SHORT * 60));
    let mut streamed = mount.stream(0, None).await.unwrap();
    let (mut read, mut pieces) = (0, 0);
    while let Some(piece) = streamed.bytes.try_next().await.unwrap() {
        read += piece.len();
        pieces += 1;
        if pieces <= 5 {
            tokio::time::sleep(SHORT * 14).await;
        }
    }
    assert_eq!(read, 3_000_000);
    assert!(pieces >= 5, "it came in {pieces} pieces, so nothing was shown");
}
