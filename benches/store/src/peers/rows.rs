//! The rows: what is measured on both sides, with the same sizes, and which figures belong together.

use crate::backend::Backend;
use crate::figure::Better::{self, Less, More};

/// How much is done in each row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    registrations: usize,
    restarted: usize,
    collected: usize,
    entries: usize,
    blocks: usize,
    held: usize,
    cars: usize,
    mib: usize,
}

impl Sizes {
    /// What takes minutes altogether.
    pub(super) const SMALL: Self = Self {
        registrations: 2_000,
        restarted: 3_000,
        collected: 1_000,
        entries: 100_000,
        blocks: 50_000,
        held: 3,
        cars: 20,
        mib: 64,
    };

    /// What the goals are for.
    pub(super) const FULL: Self = Self {
        registrations: 10_000,
        restarted: 100_000,
        collected: 100_000,
        entries: 1_000_000,
        blocks: 1_000_000,
        held: 10,
        cars: 100,
        mib: 1024,
    };
}

/// A row of both sides.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) title: fn(&Sizes) -> String,
    /// What Go's bench of this name is told.
    pub(super) go: fn(&Sizes) -> Vec<String>,
    pub(super) ours: Ours,
    pub(super) pairs: &'static [Pair],
}

/// How our own figures are had.
pub(super) struct Ours {
    /// Whether the figures depend on the datastore.
    pub(super) each_backend: bool,
    /// How the title of the table begins.
    pub(super) title: &'static str,
    pub(super) arguments: fn(&Sizes, Backend) -> Vec<String>,
    /// What the figure of a pair is called.
    pub(super) what: fn(&Pair, &Sizes, Backend) -> String,
}

/// Two figures of the same unit.
pub(super) struct Pair {
    pub(super) ours: &'static str,
    pub(super) go: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    /// How many times as good as Go is wanted, on redb and on `RocksDB`.
    pub(super) times_go: (Option<f64>, Option<f64>),
}

const fn pair(ours: &'static str, go: &'static str, unit: &'static str, better: Better) -> Pair {
    Pair { ours, go, unit, better, times_go: (None, None) }
}

const fn wanted(pair: Pair, redb: f64, rocksdb: f64) -> Pair {
    Pair { times_go: (Some(redb), Some(rocksdb)), ..pair }
}

/// Options with numbers, as a command line has them.
fn options(given: &[(&str, usize)]) -> Vec<String> {
    given.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]).collect()
}

fn plain(pair: &Pair, _: &Sizes, _: Backend) -> String {
    pair.ours.to_owned()
}

fn with_backend(pair: &Pair, _: &Sizes, backend: Backend) -> String {
    if pair.ours.is_empty() { backend.to_string() } else { format!("{backend}, {}", pair.ours) }
}

/// The name with the numbers of blocks that stand in it.
fn with_blocks(pair: &Pair, sizes: &Sizes, backend: Backend) -> String {
    let all = (sizes.blocks * sizes.held).to_string();
    let what = pair.ours.replace("BLOCKS", &sizes.blocks.to_string()).replace("ALL", &all);
    format!("{backend}, {what}")
}

/// Our benches give redb a third of what they are told.
fn blocks(sizes: &Sizes, backend: Backend) -> usize {
    backend.pick(3, 1) * sizes.blocks
}

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "codecs",
        title: |_| "the record of a lazy shard; Go has JSON only".to_owned(),
        go: |_| Vec::new(),
        ours: Ours {
            each_backend: false,
            title: "codecs: lazy,",
            arguments: |_, _| vec!["--without-instructions".to_owned()],
            what: plain,
        },
        pairs: &[
            pair("json, encode", "encode", "ns", Less),
            pair("cbor, encode", "encode", "ns", Less),
            pair("json, decode", "decode", "ns", Less),
            pair("cbor, decode", "decode", "ns", Less),
        ],
    },
    Row {
        name: "register",
        title: |sizes| {
            format!("{} lazy registrations; ours are durable when answered, Go's a little later", sizes.registrations)
        },
        go: |sizes| options(&[("-count", sizes.registrations)]),
        ours: Ours {
            each_backend: true,
            title: "register: ",
            arguments: |sizes, _| {
                options(&[
                    ("--shards", sizes.registrations),
                    ("--in-flight", 1),
                    ("--in-flight", 64),
                    ("--in-flight", 1_024),
                ])
            },
            what: with_backend,
        },
        pairs: &[
            pair("1 in flight", "1 in flight", "/s", More),
            wanted(pair("64 in flight", "64 in flight", "/s", More), 6.0, 15.0),
            wanted(pair("1024 in flight", "1024 in flight", "/s", More), 12.0, 30.0),
        ],
    },
    Row {
        name: "transitions",
        title: |_| {
            "acquire and release of one shard that nobody else has open; Go syncs each, ours are in memory".to_owned()
        },
        go: |_| Vec::new(),
        ours: Ours {
            each_backend: false,
            title: "transitions: ",
            arguments: |_, _| options(&[("--elision-seconds", 1)]),
            what: plain,
        },
        pairs: &[
            pair("1 task, one shard, open nowhere else", "1 tasks", "pairs/s", More),
            pair("16 tasks, one shard, open nowhere else", "16 tasks", "pairs/s", More),
            pair("256 tasks, one shard, open nowhere else", "256 tasks", "pairs/s", More),
        ],
    },
    Row {
        name: "restart",
        title: |sizes| format!("{} idle shards, closed, until the first acquire is answered, warm", sizes.restarted),
        go: |sizes| options(&[("-count", sizes.restarted)]),
        ours: Ours {
            each_backend: true,
            title: "restart: ",
            arguments: |sizes, _| [options(&[("--shards", sizes.restarted)]), vec!["--codec=cbor".to_owned()]].concat(),
            what: with_backend,
        },
        pairs: &[pair("cbor, after close, warm", "first acquire", "s", Less)],
    },
    Row {
        name: "gc",
        title: |sizes| format!("one collection over {} idle shards; in Go every acquire waits for it", sizes.collected),
        go: |sizes| options(&[("-count", sizes.collected)]),
        ours: Ours {
            each_backend: true,
            title: "gc: ",
            arguments: |sizes, _| options(&[("--shards", sizes.collected), ("--milliseconds", 300)]),
            what: with_backend,
        },
        pairs: &[pair("one collection", "one collection", "s", Less)],
    },
    Row {
        name: "index-build",
        title: |sizes| format!("walking a CARv1 of {} MiB", sizes.mib),
        go: |sizes| options(&[("-mib", sizes.mib)]),
        ours: Ours {
            each_backend: false,
            title: "index-build: walking",
            arguments: |sizes, _| options(&[("--entries", 1_000), ("--mib", sizes.mib)]),
            what: plain,
        },
        pairs: &[
            wanted(pair("1 KiB, unchecked", "1 KiB, unchecked", "ms", Less), 10.0, 10.0),
            wanted(pair("256 KiB, unchecked", "256 KiB, unchecked", "ms", Less), 5.0, 5.0),
            wanted(pair("1024 KiB, unchecked", "1024 KiB, unchecked", "ms", Less), 5.0, 5.0),
            pair("1 KiB, hashed", "1 KiB, hashed", "GB/s", More),
            pair("256 KiB, hashed", "256 KiB, hashed", "GB/s", More),
            pair("1024 KiB, hashed", "1024 KiB, hashed", "GB/s", More),
        ],
    },
    Row {
        name: "index-open",
        title: |sizes| format!("an index of {} entries, then random look-ups", sizes.entries),
        go: |sizes| options(&[("-count", sizes.entries)]),
        ours: Ours {
            each_backend: false,
            title: "index-open: ",
            arguments: |sizes, _| options(&[("--entries", sizes.entries)]),
            what: plain,
        },
        pairs: &[
            pair("mapped, open", "open", "us", Less),
            pair("mapped, open and first look-up", "open", "us", Less),
            pair("mapped, present, each after the other", "present", "us", Less),
            pair("read, present, each after the other", "present", "us", Less),
        ],
    },
    Row {
        name: "block-read",
        title: |sizes| format!("random blocks of a shard of {} MiB on this machine", sizes.mib),
        go: |sizes| options(&[("-mib", sizes.mib)]),
        ours: Ours {
            each_backend: false,
            title: "block-read: ",
            arguments: |sizes, _| options(&[("--mib", sizes.mib)]),
            what: plain,
        },
        pairs: &[
            pair("1 KiB, unchecked", "1 KiB, unchecked", "us", Less),
            pair("1 KiB, checked", "1 KiB, checked", "us", Less),
            pair("256 KiB, unchecked", "256 KiB, unchecked", "us", Less),
            pair("256 KiB, checked", "256 KiB, checked", "us", Less),
        ],
    },
    Row {
        name: "inverted-insert",
        title: |sizes| format!("shards of {} multihashes, sorted", sizes.blocks),
        go: |sizes| options(&[("-count", sizes.blocks), ("-held", sizes.held)]),
        ours: Ours {
            each_backend: true,
            title: "inverted-insert: ",
            arguments: |sizes, backend| options(&[("--blocks", blocks(sizes, backend)), ("--shards", sizes.held)]),
            what: with_blocks,
        },
        pairs: &[
            pair("BLOCKS into none", "into none", "/s", More),
            pair("BLOCKS into ALL", "into what is there", "/s", More),
            pair("the same for a second shard", "again", "/s", More),
        ],
    },
    Row {
        name: "inverted-lookup",
        title: |sizes| format!("a multihash among {} shards of {}, warm", sizes.held, sizes.blocks),
        go: |sizes| options(&[("-count", sizes.blocks), ("-held", sizes.held)]),
        ours: Ours {
            each_backend: true,
            title: "inverted-lookup: ",
            arguments: |sizes, backend| {
                let sized = [("--blocks", blocks(sizes, backend)), ("--shards", sizes.held)];
                options(&[sized[0], sized[1], ("--lookups", 20_000), ("--cache-mib", 64)])
            },
            what: with_blocks,
        },
        pairs: &[pair("present among ALL", "present", "us", Less), pair("absent among ALL", "absent", "us", Less)],
    },
    Row {
        name: "initialise",
        title: |sizes| format!("{} CARs of 1 MiB with blocks of 1 KiB at once; one of {} MiB", sizes.cars, sizes.mib),
        go: |sizes| options(&[("-count", sizes.cars), ("-mib", sizes.mib)]),
        ours: Ours {
            each_backend: true,
            title: "initialise: ",
            arguments: |sizes, _| options(&[("--shards", sizes.cars), ("--mib", sizes.mib)]),
            what: with_backend,
        },
        pairs: &[
            pair("", "small", "shards/s", More),
            pair("256 KiB", "256 KiB", "s", Less),
            pair("1 KiB", "1 KiB", "s", Less),
        ],
    },
    Row {
        name: "first-byte",
        title: |sizes| format!("a shard of {} MiB behind HTTP that was never seen, until its middle block", sizes.mib),
        go: |sizes| options(&[("-mib", sizes.mib)]),
        ours: Ours {
            each_backend: false,
            title: "first-byte: ",
            arguments: |sizes, _| options(&[("--mib", sizes.mib)]),
            what: plain,
        },
        pairs: &[
            pair("256 KiB blocks, never seen, CARv1, in the middle", "256 KiB", "ms", Less),
            pair("256 KiB blocks, never seen, index inside", "256 KiB", "ms", Less),
            pair("1 KiB blocks, never seen, CARv1, in the middle", "1 KiB", "ms", Less),
            pair("1 KiB blocks, never seen, index inside", "1 KiB", "ms", Less),
        ],
    },
];
