//! The CAR files of a demonstration: files of text, cut into blocks under one root as IPFS cuts them.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use dagstore::car::{CarWriter, RawCid, v2_head};

/// Multicodec: the block's data is just bytes.
const RAW: u64 = 0x55;

/// Multicodec: the block's data is a node of protobuf with links.
const DAG_PB: u64 = 0x70;

/// A file that is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) key: &'static str,
    pub(crate) version: u8,
    pub(crate) leaves: usize,
    pub(crate) leaf_bytes: usize,
}

/// A CAR file that was made.
#[derive(Debug)]
pub(crate) struct Car {
    pub(crate) key: &'static str,
    pub(crate) version: u8,
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: usize,
    /// In the order of the file, the root first.
    pub(crate) blocks: Vec<RawCid>,
}

/// Makes the CAR file in the directory.
pub(crate) fn make(directory: &Path, plan: Plan) -> io::Result<Car> {
    let content: Vec<Vec<u8>> = (0..plan.leaves).map(|number| page(plan, number)).collect();
    let leaves: Vec<RawCid> = content.iter().map(|data| RawCid::of_data(RAW, data)).collect();
    let root_data = file_node(&leaves, plan.leaf_bytes);
    let root = RawCid::of_data(DAG_PB, &root_data);
    let mut payload = CarWriter::new(Vec::new(), std::slice::from_ref(&root))?;
    payload.write(&root, &root_data)?;
    for (cid, data) in leaves.iter().zip(&content) {
        payload.write(cid, data)?;
    }
    let payload = payload.finish()?;
    let head = if plan.version == 2 { v2_head(payload.len() as u64).to_vec() } else { Vec::new() };
    let path = directory.join(format!("{}.car", plan.key));
    let bytes = [head, payload].concat();
    std::fs::write(&path, &bytes)?;
    let blocks = std::iter::once(root).chain(leaves).collect();
    Ok(Car { key: plan.key, version: plan.version, path, size_bytes: bytes.len(), blocks })
}

/// A page of a file: prose that is the same every time, and filled up to the size of a block.
fn page(plan: Plan, number: usize) -> Vec<u8> {
    const WHO: [&str; 8] = ["pilot", "cook", "mapmaker", "lamplighter", "bosun", "stowaway", "surgeon", "diver"];
    const DOES: [&str; 8] = ["sounds", "draws", "names", "crosses", "remembers", "measures", "mends", "follows"];
    const WHAT: [&str; 8] = ["strait", "harbour", "reef", "tide", "anchor", "northern light", "current", "old map"];
    let mut text = format!("{}, page {}. ", plan.key, number + 1);
    // A linear congruential generator; its upper bits are the better ones.
    let mut state = (number as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut pick = |words: [&'static str; 8]| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        words[usize::try_from(state >> 61).unwrap_or_default()]
    };
    while text.len() < plan.leaf_bytes {
        // Writing to a String can't fail.
        let _ = write!(text, "The {} {} the {}. ", pick(WHO), pick(DOES), pick(WHAT));
    }
    text.truncate(plan.leaf_bytes);
    text.into_bytes()
}

/// The `UnixFS` node of a file whose leaves all have the same size: links first, then the file's own data.
fn file_node(leaves: &[RawCid], leaf_bytes: usize) -> Vec<u8> {
    let mut node = Vec::new();
    for leaf in leaves {
        let mut link = Vec::new();
        put_bytes(1, leaf.as_bytes(), &mut link);
        put_bytes(2, b"", &mut link);
        put_number(3, leaf_bytes, &mut link);
        put_bytes(2, &link, &mut node);
    }
    let mut file = Vec::new();
    let type_is_file = 2;
    put_number(1, type_is_file, &mut file);
    put_number(3, leaf_bytes * leaves.len(), &mut file);
    for _ in leaves {
        put_number(4, leaf_bytes, &mut file);
    }
    put_bytes(1, &file, &mut node);
    node
}

/// A field of protobuf with bytes.
fn put_bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(field << 3 | 2);
    put_varint(bytes.len(), out);
    out.extend(bytes);
}

/// A field of protobuf with a number.
fn put_number(field: u8, number: usize, out: &mut Vec<u8>) {
    out.push(field << 3);
    put_varint(number, out);
}

fn put_varint(mut number: usize, out: &mut Vec<u8>) {
    loop {
        let [lowest, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(lowest);
        }
        out.push(lowest | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_two_leaves_is_the_node_that_others_make_of_it() {
        let leaves = [b"a", b"b"].map(|data| RawCid::of_data(RAW, data));
        let node = file_node(&leaves, 1);
        let mut expected = Vec::new();
        for leaf in &leaves {
            expected.extend([0x12, 0x2a, 0x0a, 0x24]);
            expected.extend(leaf.as_bytes());
            expected.extend([0x12, 0x00, 0x18, 0x01]);
        }
        expected.extend([0x0a, 0x08, 0x08, 0x02, 0x18, 0x02, 0x20, 0x01, 0x20, 0x01]);
        assert_eq!(node, expected);
    }

    #[test]
    fn pages_differ_and_have_their_size() {
        let plan = Plan { key: "k", version: 1, leaves: 300, leaf_bytes: 100 };
        let pages: std::collections::HashSet<_> = (0..plan.leaves).map(|number| page(plan, number)).collect();
        assert_eq!(pages.len(), plan.leaves);
        assert!(pages.iter().all(|page| page.len() == plan.leaf_bytes));
    }
}
