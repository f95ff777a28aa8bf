//! Servers that take their time. Each of these hangs for ever when its limit doesn't work.

use std::time::Duration;

use dagstore_mount::{Error, Mount};
use dagstore_mount_object::{Access, Limits, ObjectBuilder, ObjectMount};
use futures_util::TryStreamExt;
use tokio::net::TcpListener;

use crate::support::{LOCATION, Server, Then, content, quick, stream};

const SHORT: Duration = Duration::from_millis(50);

fn mount(server: &Server, change: impl FnOnce(&mut Limits)) -> ObjectMount {
    let once = server.s3(Access::Unsigned).limits(|limits| limits.retries = 0).limits(change);
    once.build().unwrap().at(LOCATION).unwrap()
}

fn is_late<T: std::fmt::Debug>(result: dagstore_mount::Result<T>, what: &str) {
    match &result {
        Err(Error::Unavailable { source, .. })
            if source.kind() == std::io::ErrorKind::TimedOut && source.to_string().contains(what) => {}
        other => panic!("{what}: {other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_never_begins() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let builder = quick(ObjectBuilder::s3(Access::Unsigned)).endpoint(endpoint).allow_http().limits(|limits| {
        (limits.connect, limits.first_byte, limits.retries) = (SHORT, SHORT, 0);
    });
    let mount = builder.build().unwrap().at(LOCATION).unwrap();
    is_late(mount.stat().await, "beginning");
    is_late(stream(&mount, 0, None).await, "beginning");
}

#[tokio::test]
async fn a_server_that_pauses_for_ever() {
    let server = Server::bent(&content(1000), |_, reply| reply.cut(500, Then::Hang)).await;
    let mount = mount(&server, |limits| limits.idle = SHORT);
    is_late(stream(&mount, 0, None).await, "pause");
    let stat = mount.stat().await.unwrap();
    is_late(mount.read(0, 1000, &stat).await, "pause");
}

#[tokio::test]
async fn a_server_that_drips() {
    let drip = Then::Drip(Duration::from_millis(5));
    let server = Server::bent(&content(100_000), move |_, reply| reply.cut(0, drip)).await;
    let mount = mount(&server, |limits| (limits.rate_window, limits.least_rate) = (SHORT, 100_000));
    is_late(stream(&mount, 0, None).await, "bytes");
}

#[tokio::test]
async fn a_call_that_never_ends() {
    let drip = Then::Drip(Duration::from_millis(5));
    let server = Server::bent(&content(100_000), move |_, reply| reply.cut(0, drip)).await;
    let mount = mount(&server, |limits| (limits.least_rate, limits.deadline) = (0, SHORT * 4));
    is_late(stream(&mount, 0, None).await, "all of it");
}

/// Who reads slowly is no slow server: this one pauses for longer than the whole call may take, and has to wait for the last bytes
/// after that.
#[tokio::test]
async fn a_reader_may_take_its_time() {
    // Few long pauses, which a busy machine hardly makes longer.
    let drip = Then::Drip(Duration::from_millis(350));
    let server = Server::bent(&content(3_000_000), move |_, reply| reply.cut(2_999_988, drip)).await;
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
