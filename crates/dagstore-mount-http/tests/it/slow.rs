//! Servers that take their time.

use crate::support::Http;

dagstore_mount_net::tests_of!(slow, Http);
