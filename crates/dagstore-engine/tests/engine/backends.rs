//! On which datastore and with which codec the tests run: memory and the default, unless the environment says otherwise.
//! `cargo xtask test` runs these tests on all of them, and `xtask/src/backends.rs` lists those that run on memory alone.

use std::sync::Arc;

use dagstore_backends::{Backend, Disk};
use dagstore_codec::{Cbor, Codec, Json};

/// The variable with the codec's name, `cbor` or `json`; the store's default where it isn't set.
const CODEC_VARIABLE: &str = "DAGSTORE_TEST_CODEC";

/// A database for the test that runs on this thread.
pub(super) fn disk() -> Disk {
    let thread = std::thread::current();
    Disk::new(&format!("engine on {}::{}", Backend::chosen(), thread.name().unwrap_or("a thread of a test")))
}

pub(super) fn codec() -> Option<Arc<dyn Codec>> {
    let name = std::env::var(CODEC_VARIABLE).ok()?;
    match name.as_str() {
        "cbor" => Some(Arc::new(Cbor)),
        "json" => Some(Arc::new(Json)),
        _ => panic!("{CODEC_VARIABLE}={name}: no such codec"),
    }
}
