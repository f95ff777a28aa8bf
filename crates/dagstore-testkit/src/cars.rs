//! Makers of CAR files with known blocks.

use dagstore_car::{CarWriter, RawCid, v2_head};

/// The codec of blocks that are just bytes.
const RAW: u64 = 0x55;

/// A CAR, and what is in it.
#[derive(Debug, Clone)]
pub struct TestCar {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// Its roots.
    pub roots: Vec<RawCid>,
    /// Its blocks, in order.
    pub blocks: Vec<(RawCid, Vec<u8>)>,
}

/// A CARv1 of these blocks; the first one is the root.
#[expect(clippy::expect_used, reason = "writing into a Vec can't fail")]
pub fn of_blocks(blocks: impl IntoIterator<Item = Vec<u8>>) -> TestCar {
    let blocks: Vec<_> = blocks.into_iter().map(|data| (RawCid::of_data(RAW, &data), data)).collect();
    let roots: Vec<_> = blocks.iter().take(1).map(|(cid, _)| cid.clone()).collect();
    let mut writer = CarWriter::new(Vec::new(), &roots).expect("a Vec takes everything");
    for (cid, data) in &blocks {
        writer.write(cid, data).expect("a Vec takes everything");
    }
    let bytes = writer.finish().expect("a Vec takes everything");
    TestCar { bytes, roots, blocks }
}

/// A CARv1 of one block.
pub fn one_block(data: &[u8]) -> TestCar {
    of_blocks([data.to_vec()])
}

/// A CARv1 of `count` different blocks of `size` bytes, always the same ones; a block has at least 8.
pub fn numbered(count: u64, size: usize) -> TestCar {
    of_blocks((0..count).map(|number| {
        let mut block = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes().to_vec();
        block.extend((block.len()..size).map(|at| at.to_le_bytes()[0]));
        block
    }))
}

impl TestCar {
    /// The same blocks as a CARv2 without an inline index.
    #[must_use]
    pub fn into_v2(mut self) -> Self {
        let head = v2_head(self.bytes.len() as u64);
        self.bytes = [&head[..], &self.bytes].concat();
        self
    }
}
