//! A mount for object stores: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage, and whatever else
//! the crate `object_store` speaks.
//!
//! [`ObjectBuilder`] makes a template, and [`ObjectMount`] is template and mount. A shard's URL is `scheme://bucket/key`, and no
//! more: endpoint, region, limits and the *name* of a credential stand in the template. What a server says is not believed, as in
//! the mount for HTTP: each answer is held against what was asked, bytes of two contents are never put together, and
//! everything has an end.
//!
//! # Where requests go
//! To the endpoint of the template, and nowhere else: a URL names a bucket and a key of it, redirects are not followed, and
//! proxies from the environment are not used. So an endpoint may have a private address, and who registers URLs can reach no
//! other one. Which buckets they reach, [`ObjectBuilder::allow_buckets`] says.
//!
//! # URLs
//! `//bucket/key` behind the scheme. What can't stand in a URL is percent-encoded: a space is `%20`, `?` is `%3F`, `#` is `%23`, `%`
//! is `%25`. `%2F` is the same as `/`. User information, parameters and fragments are refused. So are keys that
//! `object_store` can't ask for: with empty parts (`a//b`, `/a`, `a/`), with `.` or `..` as a part, with control characters.
//!
//! # What a store must have
//! With a strong `ETag` an object can be read at any place, and a stream that breaks goes on where it broke; without, it is streamed
//! from its beginning only ([`Stat::sequential_only`]). An object in a cold tier is not [ready][`Stat::ready`], and reading it
//! is refused until it has been restored.
//!
//! ```
//! use dagstore_mount::Registry;
//! use dagstore_mount_object::{Access, ObjectBuilder};
//!
//! # fn main() -> dagstore_mount::Result<()> {
//! let mut registry = Registry::with_defaults();
//! registry.register("s3", ObjectBuilder::s3(Access::Unsigned).region("eu-central-1").build()?)?;
//! // ARCHIVE_ACCESS_KEY_ID and ARCHIVE_SECRET_ACCESS_KEY are looked up when they are needed.
//! let archive = ObjectBuilder::s3(Access::named("ARCHIVE")).endpoint("https://s3.archive.example");
//! registry.register("archive", archive.allow_buckets(["cars"]).build()?)?; // archive://cars/a/b.car
//! # Ok(())
//! # }
//! ```
//!
//! [`Stat::ready`]: dagstore_mount::Stat::ready
//! [`Stat::sequential_only`]: dagstore_mount::Stat::sequential_only
#![forbid(unsafe_code)]

mod access;
mod ambient;
mod answer;
mod asking;
mod backend;
mod builder;
mod failure;
mod location;
mod mount;
mod service;
mod source;

pub use access::Access;
pub use builder::ObjectBuilder;
pub use dagstore_mount_net::Limits;
pub use mount::ObjectMount;
pub use object_store;
