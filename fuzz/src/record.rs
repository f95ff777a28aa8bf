//! The target `record`: any bytes as a row of the catalogue.

use dagstore_codec::{Cbor, Codec, Codecs, Json, Row, ShardRecord, encode_row};

/// An input is a row: stamp, version, state and key, and an encoded record. It is split and decoded as a store does that starts.
/// Its record is decoded by each codec in each version, too. Whatever is decoded is written by each codec and comes back as it was.
pub fn record(input: &[u8]) {
    let Ok(row) = Row::split(input) else { return };
    let checksum_bytes = if row.checksum.is_some() { 4 } else { 0 };
    assert_eq!(input.len(), 5 + row.key.len() + row.record.len() + checksum_bytes);
    if let Ok(record) = row.decode(&Codecs::default()) {
        assert_eq!(row.shard_key().as_ref(), Some(&record.key));
        assert_eq!(row.state, record.state.byte());
        comes_back(&record);
    }
    for codec in [&Json as &dyn Codec, &Cbor] {
        for version in 0..=codec.version() {
            if let Ok(record) = codec.decode(version, row.record) {
                comes_back(&record);
            }
        }
    }
}

fn comes_back(record: &ShardRecord) {
    for codec in [&Json as &dyn Codec, &Cbor] {
        let bytes = encode_row(codec, record).expect("a record can be written");
        let row = Row::split(&bytes).expect("a row that was written can be split");
        assert_eq!(row.shard_key().as_ref(), Some(&record.key));
        let again = row.decode(&Codecs::default()).expect("what was written can be read");
        assert_eq!(&again, record, "{}", codec.name());
        assert_eq!(encode_row(codec, &again).ok().as_ref(), Some(&bytes), "{}: other bytes", codec.name());
    }
}
