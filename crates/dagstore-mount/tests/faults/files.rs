//! The file that was indexed, and no other.

use std::fs::File;

use dagstore_fs::ReadAtExt;
use dagstore_mount::{Error, FileMount, Mount};
use futures_util::TryStreamExt;

use crate::whole;

#[tokio::test]
async fn fault_37_what_is_read_is_the_file_that_was_indexed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.car");
    std::fs::write(&path, vec![1; 100_000]).unwrap();
    let mount = FileMount::new(&path).unwrap();
    let opened = mount.open().await.unwrap();

    std::fs::write(directory.path().join("b.car"), vec![2; 100_000]).unwrap();
    std::fs::rename(directory.path().join("b.car"), &path).unwrap();
    let mut bytes = vec![0; 100_000];
    opened.reader.read_exact_at(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 1), "an open reader goes on with the file that it has opened");
    let streamed = whole(&mount, Some(&opened.stat)).await;
    assert!(matches!(streamed, Err(Error::SourceChanged { .. })), "{:?}", streamed.map(|bytes| bytes[0]));
    let read = mount.read(5, 10, &opened.stat).await;
    assert!(matches!(read, Err(Error::SourceChanged { .. })), "{read:?}");
}

#[tokio::test]
async fn fault_37_a_file_that_is_cut_while_it_is_read_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.car");
    std::fs::write(&path, vec![1; 1_000_000]).unwrap();
    let mount = FileMount::new(&path).unwrap();
    let opened = mount.open().await.unwrap();
    let mut streamed = mount.stream(0, Some(&opened.stat)).await.unwrap();
    streamed.bytes.try_next().await.unwrap();
    File::options().write(true).open(&path).unwrap().set_len(10).unwrap();

    // A map of the file would end the process here.
    let read = opened.reader.read_exact_at(500_000, &mut [0; 10]);
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    let rest = streamed.bytes.try_collect::<Vec<_>>().await;
    assert!(matches!(rest, Err(Error::SourceChanged { .. })), "{:?}", rest.map(|pieces| pieces.concat().len()));
    let read = mount.read(0, 10, &opened.stat).await;
    assert!(matches!(read, Err(Error::SourceChanged { .. })), "{read:?}");
}
