//! The suite that every codec passes.

use dagstore_types::{
    Attempt, CopyRecord, ErrorKind, MAX_KEY_BYTES, Registration, ShardError, ShardKey, ShardRecord, ShardState,
    UnixMillis,
};

use crate::Codec;

/// Checks that `codec` brings every record back as it was, always writes the same bytes for it, appends, and answers
/// damaged bytes with an error or with a record, but never with a panic.
///
/// # Panics
/// When it doesn't. Meant for tests.
pub fn check(codec: &dyn Codec) {
    for record in samples() {
        let mut bytes = b"before".to_vec();
        encode(codec, &record, &mut bytes);
        let encoded = bytes.split_off(6);
        assert_eq!(bytes, b"before", "{}: encode appends", codec.name());
        let mut again = Vec::new();
        encode(codec, &record, &mut again);
        assert_eq!(encoded, again, "{}: the same record gives the same bytes", codec.name());
        match codec.decode(codec.version(), &encoded) {
            Ok(decoded) => assert_eq!(decoded, record, "{}: a record comes back as it was", codec.name()),
            Err(error) => panic!("{}: can't read what it wrote: {error}", codec.name()),
        }
        damage(codec, &encoded);
    }
}

fn encode(codec: &dyn Codec, record: &ShardRecord, out: &mut Vec<u8>) {
    if let Err(error) = codec.encode(record, out) {
        panic!("{}: can't encode {record:?}: {error}", codec.name());
    }
}

fn damage(codec: &dyn Codec, encoded: &[u8]) {
    for length in 0..encoded.len() {
        let cut = codec.decode(codec.version(), &encoded[..length]);
        assert!(cut.is_err(), "{}: {length} of {} bytes make a record", codec.name(), encoded.len());
    }
    let mut bytes = encoded.to_vec();
    for at in 0..bytes.len().min(512) {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            // Any answer will do, so long as there is one.
            let _answer = codec.decode(codec.version(), &bytes);
            bytes[at] ^= 1 << bit;
        }
    }
}

/// Records with every field in use, with none, and at their limits.
pub fn samples() -> Vec<ShardRecord> {
    let plain = |key: &str| {
        #[expect(clippy::expect_used, reason = "the keys below are literals within the limits")]
        let key = ShardKey::new(key).expect("a valid key");
        ShardRecord::new(key, "file:///a.car".into(), false, Registration(1), UnixMillis(0))
    };
    let mut samples = vec![plain("a")];
    let mut full = plain("../../x");
    full.state = ShardState::Errored;
    full.lazy = true;
    full.error = Some(ShardError::new(ErrorKind::SourceMissing, "no such file"));
    full.copy = Some(CopyRecord { path: "/copies/1".into(), size: Some(12), validator: Some("\"v\"".into()) });
    full.registration = Registration(7);
    full.attempt = Attempt(2);
    full.starts = 1;
    full.next_try = Some(UnixMillis(99));
    full.retries = 5;
    full.provisional = true;
    full.changed = UnixMillis(1_700_000_000_000);
    samples.push(full.clone());
    full.key = plain("ключ <&> \u{1b}\"\\\u{0} 🚢").key;
    full.copy = Some(CopyRecord { path: "x".into(), size: None, validator: None });
    full.error = Some(ShardError::new(ErrorKind::Other, ""));
    samples.push(full);
    let mut large = plain(&"k".repeat(MAX_KEY_BYTES));
    large.url = format!("file:///{}", "%2F".repeat(2_000));
    large.registration = Registration(u64::MAX);
    large.attempt = Attempt(u32::MAX);
    large.starts = u32::MAX;
    large.retries = u32::MAX;
    large.changed = UnixMillis(u64::MAX);
    samples.push(large);
    for state in ShardState::ALL {
        let mut sample = plain("state");
        sample.state = state;
        samples.push(sample);
    }
    for kind in ErrorKind::ALL {
        let mut sample = plain("error");
        sample.error = Some(ShardError::new(kind, "text"));
        samples.push(sample);
    }
    samples
}
