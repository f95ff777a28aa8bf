//! A disk that is full while the store writes, and has room again later.
#![cfg(test)]
#![cfg(target_os = "linux")]

use dagstore_redb::RedbDatastore;
use dagstore_testkit::full_disk::{self, small_disk};

#[tokio::test]
async fn on_a_disk_without_room_nothing_acknowledged_is_lost() {
    let Some(disk) = small_disk("on_a_disk_without_room_nothing_acknowledged_is_lost", 32) else { return };
    full_disk::fill_up_and_go_on(&disk, 16 * 1024 * 1024, || RedbDatastore::open(disk.join("rows.redb"))).await;
}
