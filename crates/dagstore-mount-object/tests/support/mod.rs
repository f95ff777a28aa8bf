//! Stores of objects for tests, and mounts of what they serve.
#![allow(dead_code, unused_imports, reason = "each test program uses what it needs")]

pub(crate) mod weed;

use std::net::SocketAddr;

use bytes::Bytes;
use dagstore_mount_net::conformance::{self, Subject};
use dagstore_mount_object::{Access, Limits, ObjectBuilder, ObjectMount};

pub(crate) use dagstore_mount_net::conformance::{Reply, Request, Then, content, is_bad, stream};

pub(crate) type Server = conformance::Server<Object>;

/// The mount, for the suite.
pub(crate) struct Object;

impl Subject for Object {
    type Mount = ObjectMount;

    fn mount(server: SocketAddr, limits: &Limits) -> ObjectMount {
        let builder = ObjectBuilder::s3(Access::Unsigned).endpoint(format!("http://{server}")).allow_http();
        builder.limits(|of_builder| of_builder.clone_from(limits)).build().unwrap().at(LOCATION).unwrap()
    }

    fn good(request: &Request, content: &Bytes, etag: Option<&str>) -> Reply {
        good(request, content, etag)
    }
}

/// What a good store answers.
pub(crate) fn good(request: &Request, content: &Bytes, etag: Option<&str>) -> Reply {
    conformance::good(request, content, etag).with("last-modified", "Sat, 21 Nov 2026 12:00:00 GMT")
}

/// What the servers here serve.
pub(crate) const LOCATION: &str = "//cars/a/b.car";

/// A template for a server.
pub(crate) fn s3(server: &Server, access: Access) -> ObjectBuilder {
    quick(ObjectBuilder::s3(access)).endpoint(server.endpoint()).allow_http()
}

/// For tests that wait for every try.
pub(crate) fn quick(builder: ObjectBuilder) -> ObjectBuilder {
    builder.limits(|limits| limits.clone_from(&conformance::quick()))
}
