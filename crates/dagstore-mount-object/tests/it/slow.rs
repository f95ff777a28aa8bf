//! Stores that take their time.

use crate::support::Object;

dagstore_mount_net::tests_of!(slow, Object);
