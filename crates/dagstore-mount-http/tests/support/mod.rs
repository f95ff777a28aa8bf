//! Web servers for tests, and mounts of what they serve.
#![allow(dead_code, unused_imports, reason = "each test program uses what it needs")]

use std::net::SocketAddr;

use dagstore_mount_http::{HttpBuilder, HttpMount, Limits};
use dagstore_mount_net::conformance::{self, Subject};

pub(crate) use dagstore_mount_net::conformance::{Reply, Request, Then, content, good, is_bad, stream};

pub(crate) type Server = conformance::Server<Http>;

/// The mount, for the suite.
pub(crate) struct Http;

impl Subject for Http {
    type Mount = HttpMount;

    fn mount(server: SocketAddr, limits: &Limits) -> HttpMount {
        let builder = HttpBuilder::http().allow_private_addresses();
        builder.limits(|of_builder| of_builder.clone_from(limits)).build().at(&format!("//{server}/a/b.car")).unwrap()
    }
}

/// What a server serves.
pub(crate) fn location_of(server: &Server) -> String {
    format!("//{}/a/b.car", server.address)
}

/// For servers on this machine, and for tests that wait for every try.
pub(crate) fn quick(builder: HttpBuilder) -> HttpBuilder {
    builder.allow_private_addresses().limits(|limits| limits.clone_from(&conformance::quick()))
}
