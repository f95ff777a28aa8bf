//! The suite of mounts that speak HTTP: servers that lie, that break off, that take their time, and what a mount makes of them. Beside
//! [`dagstore_mount::conformance`], which every mount passes. With the feature `conformance`, for tests alone.
//!
//! A mount's tests implement [`Subject`] and call [`tests_of!`](crate::tests_of) once for each module of the suite.
#![expect(clippy::unwrap_used, reason = "what is here is a test's, and a test may panic")]
#![expect(clippy::similar_names, reason = "server and served are what this is about")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dagstore_mount::{Error, Mount, Result, Stat};
use futures_util::TryStreamExt;

use crate::Limits;

pub mod lying;
mod server;
pub mod slow;
pub mod trying;

pub use server::{Reply, Request, Server, Then, good};

/// A kind of mount.
pub trait Subject: 'static {
    /// The mount.
    type Mount: Mount;

    /// The mount of the one source of a server on this machine.
    fn mount(server: SocketAddr, limits: &Limits) -> Self::Mount;

    /// What a good server of the mount's protocol answers where it serves `content`. [`good`], unless told.
    fn good(request: &Request, content: &Bytes, etag: Option<&str>) -> Reply {
        good(request, content, etag)
    }
}

/// Makes the tests of a module of the suite, one for each of its functions: `tests_of!(lying, Http)`, where `Http` is a
/// [`Subject`](crate::conformance::Subject).
#[macro_export]
macro_rules! tests_of {
    (lying, $subject:ty) => {
        $crate::tests_of! { lying $subject:
            the_whole_for_a_range, a_range_for_the_whole, another_range, a_range_of_another_size,
            a_range_that_is_said_not_to_be_there, a_length_beside_the_range, a_body_that_is_too_short,
            a_body_that_is_too_long, a_content_that_is_coded, several_parts, no_size, a_range_of_nobody_knows_what,
            another_content_in_a_range, a_content_that_changes_between_two_ranges, every_request_asks_for_plain_bytes,
        }
    };
    (slow, $subject:ty) => {
        $crate::tests_of! { slow $subject:
            a_server_that_never_begins, a_server_that_pauses_for_ever, a_server_that_drips, a_call_that_never_ends,
            a_reader_may_take_its_time,
        }
    };
    (trying, $subject:ty) => {
        $crate::tests_of! { trying $subject:
            what_may_pass_is_tried_again, a_server_that_wants_a_long_pause_is_left_alone, a_stream_goes_on_where_it_broke,
            a_stream_never_goes_on_with_another_content, a_stream_that_breaks_again_and_again_ends, nobody_at_all,
        }
    };
    ($module:ident $subject:ty: $($name:ident,)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::conformance::$module::$name::<$subject>().await;
            }
        )+
    };
}

/// For tests that wait for every try.
pub fn quick() -> Limits {
    Limits {
        retries: 2,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(4),
        ..Limits::default()
    }
}

/// A content in which no two pieces are alike.
pub fn content(size: usize) -> Bytes {
    (0..size).map(|place| u8::try_from((place / 251 + place) % 256).unwrap()).collect()
}

/// A whole stream.
///
/// # Errors
/// The stream's.
pub async fn stream(mount: &dyn Mount, from: u64, of: Option<&Stat>) -> Result<Vec<u8>> {
    let pieces: Vec<Bytes> = mount.stream(from, of).await?.bytes.try_collect().await?;
    Ok(pieces.concat())
}

/// Demands that a server was found out, for this reason.
#[track_caller]
pub fn is_bad<T: std::fmt::Debug>(result: Result<T>, why: &str) {
    match result {
        Err(Error::BadAnswer { why: said, .. }) if said.contains(why) => {}
        other => panic!("{why}: {other:?}"),
    }
}
