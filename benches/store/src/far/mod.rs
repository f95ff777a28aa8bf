//! Shards behind a web server on this machine.

pub(crate) mod first_byte;
mod nginx;
pub(crate) mod quota;
