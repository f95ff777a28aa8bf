//! What counts as a whole download.

use dagstore_mount_net::conformance::trying;

use crate::support::Http;

#[tokio::test]
async fn fault_18_a_download_that_is_too_short_is_an_error() {
    trying::a_download_that_is_too_short_is_an_error::<Http>().await;
}
