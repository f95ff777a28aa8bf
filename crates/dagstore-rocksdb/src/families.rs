//! The options of column families: those of every namespace, and those of the ones that are loaded in bulk.

use std::collections::BTreeMap;

use dagstore_datastore::Namespace;
use rocksdb::{
    BlockBasedOptions, Cache, DBCompactionStyle, DBCompressionType, DEFAULT_COLUMN_FAMILY_NAME, Options,
    SliceTransform, UniversalCompactOptions,
};

/// As many files may lie beside each other in a family that is loaded in bulk before a load waits for compaction: each
/// of them costs a look-up about 0.2 us.
pub(crate) const MAX_FRESH_FILES: u64 = 12;

/// RocksDB's own number of levels.
const LEVELS: i32 = 7;

/// The options of all families.
#[derive(Clone)]
pub(crate) struct Families {
    plain: Options,
    bulk: BTreeMap<&'static str, Bulk>,
}

#[derive(Clone)]
struct Bulk {
    options: Options,
    prefix_bytes: usize,
}

impl Families {
    /// `bulk` has the namespaces that are loaded in bulk, and the length of the prefix their rows are looked up by.
    pub(crate) fn new(plain: Options, cache: &Cache, bulk: &[(Namespace, usize)]) -> Self {
        let bulk = bulk.iter().map(|&(namespace, prefix_bytes)| {
            (family_name(namespace), Bulk { options: bulk_options(&plain, cache, prefix_bytes), prefix_bytes })
        });
        Self { bulk: bulk.collect(), plain }
    }

    /// The options of the database itself, and of a family that has none of its own.
    pub(crate) fn plain(&self) -> &Options {
        &self.plain
    }

    /// The options of the family of that name.
    pub(crate) fn options(&self, name: &str) -> &Options {
        self.bulk.get(name).map_or(&self.plain, |bulk| &bulk.options)
    }

    /// The same, but for files in all levels: where a namespace wasn't always loaded in bulk, there are some.
    pub(crate) fn levelled(&self, name: &str) -> Options {
        let mut options = self.options(name).clone();
        options.set_num_levels(LEVELS);
        options
    }

    /// The length of the prefixes that the family's filters know, if it has any.
    pub(crate) fn prefix_bytes(&self, name: &str) -> Option<usize> {
        self.bulk.get(name).map(|bulk| bulk.prefix_bytes)
    }
}

/// The column family of a namespace. RocksDB's own first one stays unused: a namespace of that name gets one with a dot,
/// which no namespace has.
pub(crate) fn family_name(namespace: Namespace) -> &'static str {
    match namespace.name() {
        DEFAULT_COLUMN_FAMILY_NAME => "default.",
        name => name,
    }
}

/// Options for many small rows that come in sorted files and are looked up by a prefix, most of them in vain.
fn bulk_options(plain: &Options, cache: &Cache, prefix_bytes: usize) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    // A byte a row or so stays in memory beside the cache. A file's filter is as large as all of its rows need: one that
    // falls out of the cache is read again as a whole, for a single look-up, and in parts they take twice as long.
    blocks.set_cache_index_and_filter_blocks(false);
    blocks.set_ribbon_filter(10.0);
    blocks.set_whole_key_filtering(false);
    blocks.set_block_size(4 * 1024);
    blocks.set_block_restart_interval(8);
    let mut universal = UniversalCompactOptions::default();
    universal.set_size_ratio(20);
    universal.set_min_merge_width(4);
    universal.set_max_size_amplification_percent(400);

    let mut options = plain.clone();
    options.set_block_based_table_factory(&blocks);
    // Look-ups in the files of a level below the first one begin with making an iterator for each, and take twice as long.
    options.set_num_levels(1);
    options.set_prefix_extractor(SliceTransform::create_fixed_prefix(prefix_bytes));
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Lz4);
    options.set_compaction_style(DBCompactionStyle::Universal);
    options.set_universal_compaction_options(&universal);
    options.set_level_zero_file_num_compaction_trigger(8);
    // Loads wait by themselves where compaction lags. RocksDB would slow down the writes of every namespace instead.
    options.set_level_zero_slowdown_writes_trigger(i32::MAX);
    options.set_level_zero_stop_writes_trigger(i32::MAX);
    options.set_soft_pending_compaction_bytes_limit(0);
    options.set_hard_pending_compaction_bytes_limit(0);
    options
}
