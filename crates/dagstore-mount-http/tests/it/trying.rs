//! What is tried again, and how streams go on.

use crate::support::Http;

dagstore_mount_net::tests_of!(trying, Http);
