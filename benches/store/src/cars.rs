//! CARs on the disk to be measured.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use dagstore::car::{CarWriter, RawCid};
use dagstore::fs::{FileSystem, RealFileSystem};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

/// The codec of blocks that are just bytes.
const RAW: u64 = 0x55;

/// Writes and syncs a CARv1 with so many bytes of data in different blocks of one size. Files of other names have other blocks.
pub(crate) fn write(path: &Path, data_bytes: u64, block_bytes: usize) -> Result<()> {
    let mut writer = CarWriter::new(BufWriter::with_capacity(1 << 20, File::create_new(path)?), &[])?;
    let mut data = block(path, block_bytes);
    for number in 0..blocks(data_bytes, block_bytes) {
        data[..8].copy_from_slice(&number.to_be_bytes());
        writer.write(&RawCid::of_data(RAW, &data), &data)?;
    }
    let file = writer.finish()?.into_inner()?;
    Ok(file.sync_all()?)
}

/// What a store opens it by.
pub(crate) fn url(car: &Path) -> String {
    format!("file://{}", car.display())
}

/// How many blocks there are in a CAR.
pub(crate) fn blocks(data_bytes: u64, block_bytes: usize) -> u64 {
    data_bytes / block_bytes as u64
}

/// The CID of a block of the CAR at `path`.
pub(crate) fn cid(path: &Path, block_bytes: usize, number: u64) -> RawCid {
    let mut data = block(path, block_bytes);
    data[..8].copy_from_slice(&number.to_be_bytes());
    RawCid::of_data(RAW, &data)
}

/// A block but for its number.
fn block(path: &Path, block_bytes: usize) -> Vec<u8> {
    let mut data = vec![7; block_bytes];
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    data[8..].iter_mut().zip(name).for_each(|(byte, letter)| *byte = *letter);
    data
}

/// Reads a file from end to end, which also brings it into the cache. Seconds, the second time.
pub(crate) fn read(path: &Path) -> Result<f64> {
    let mut seconds = 0.0;
    for _ in 0..2 {
        let start = Instant::now();
        let (file, mut piece) = (RealFileSystem.open(path)?, vec![0; 256 << 10]);
        let mut at = 0;
        while let count @ 1.. = file.read_at(at, &mut piece)? {
            at += count as u64;
        }
        seconds = start.elapsed().as_secs_f64();
    }
    Ok(seconds)
}
