//! What is tried again, and how streams go on.

use crate::support::Object;

dagstore_mount_net::tests_of!(trying, Object);
