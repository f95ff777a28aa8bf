//! A mount for HTTP and HTTPS.
//!
//! [`HttpBuilder`] makes a template, and [`HttpMount`] is template and mount. What a server says is not believed: each answer
//! is held against what was asked, bytes of two contents are never put together, and everything has an end: time, redirects,
//! tries. A name that leads to a private address is refused unless the template allows it, and so is a URL that carries a
//! password or a signature: secrets stand in the environment, and a template names them ([`Credential`]).
//!
//! # What a server must have
//! A `Content-Length`. With a strong `ETag` and ranges a source can be read at any place, and a stream that breaks goes on
//! where it broke; without, it is streamed from its beginning only ([`Stat::sequential_only`]).
//!
//! ```
//! use dagstore_mount::Registry;
//! use dagstore_mount_http::HttpBuilder;
//!
//! # fn main() -> dagstore_mount::Result<()> {
//! let mut registry = Registry::with_defaults();
//! registry.register("https", HttpBuilder::https().build())?;
//! registry.register("pieces", HttpBuilder::beneath("https://pieces.example/v1/")?.build())?; // pieces:a.car
//! # Ok(())
//! # }
//! ```
//!
//! [`Stat::sequential_only`]: dagstore_mount::Stat::sequential_only
#![forbid(unsafe_code)]

mod address;
mod answer;
mod builder;
mod exchange;
mod failure;
mod mount;
mod policy;
mod source;

pub use builder::HttpBuilder;
pub use dagstore_mount_net::Limits;
pub use mount::HttpMount;
pub use policy::Credential;
