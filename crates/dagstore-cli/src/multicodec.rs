//! Names of the multicodec table for what CIDs are made of.

/// The name of a CID's codec, its number where it isn't a usual one.
pub(crate) fn codec(code: u64) -> String {
    named(code, CODECS)
}

/// The name of a hash function, its number where it isn't a usual one.
pub(crate) fn hash_function(code: u64) -> String {
    named(code, HASH_FUNCTIONS)
}

const CODECS: &[(u64, &str)] = &[
    (0x51, "cbor"),
    (0x55, "raw"),
    (0x70, "dag-pb"),
    (0x71, "dag-cbor"),
    (0x72, "libp2p-key"),
    (0x78, "git-raw"),
    (0x0129, "dag-json"),
    (0x0200, "json"),
    (0x0202, "car"),
    (0xf101, "fil-commitment-unsealed"),
    (0xf102, "fil-commitment-sealed"),
];

const HASH_FUNCTIONS: &[(u64, &str)] = &[
    (0x00, "identity"),
    (0x11, "sha1"),
    (0x12, "sha2-256"),
    (0x13, "sha2-512"),
    (0x14, "sha3-512"),
    (0x15, "sha3-384"),
    (0x16, "sha3-256"),
    (0x17, "sha3-224"),
    (0x1b, "keccak-256"),
    (0x1e, "blake3"),
    (0x20, "sha2-384"),
    (0x22, "murmur3-x64-64"),
    (0x56, "dbl-sha2-256"),
    (0x1012, "sha2-256-trunc254-padded"),
    (0xb220, "blake2b-256"),
    (0xb240, "blake2b-512"),
    (0xb260, "blake2s-256"),
];

fn named(code: u64, names: &[(u64, &str)]) -> String {
    let found = names.iter().find(|(number, _)| *number == code);
    found.map_or_else(|| format!("{code:#x}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_told_as_a_number() {
        assert_eq!([codec(0x70), codec(0xb220), hash_function(0xb220)], ["dag-pb", "0xb220", "blake2b-256"]);
    }
}
