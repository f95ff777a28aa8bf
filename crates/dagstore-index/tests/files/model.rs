//! Indices against a map.

use std::collections::BTreeMap;

use dagstore_index::{IndexRepo, MAX_OFFSET, MAX_SIZE, MemoryIndexRepo};
use proptest::prelude::*;

use crate::{Block, meta, numbered, parsed, publish, real_repo};

/// Few multihashes, so that most come more than once; some come hundreds of times and fill pages.
fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let multihash = prop_oneof![
        4 => (0_u64..300).prop_map(numbered),
        2 => (0_u64..3).prop_map(numbered),
        1 => (0_u64..4, prop::collection::vec(0_u8..2, 0..4))
            .prop_map(|(code, digest)| dagstore_index::conformance::multihash(code, &digest)),
    ];
    let offset = prop_oneof![0_u64..1000, 0..=MAX_OFFSET];
    let data_size = prop_oneof![0_u64..1000, u64::from(MAX_SIZE) - 2..u64::from(MAX_SIZE) + 3, any::<u64>()];
    prop_oneof![
        prop::collection::vec((multihash.clone(), offset.clone(), data_size.clone()), 0..10),
        prop::collection::vec((multihash.clone(), offset.clone(), data_size.clone()), 44..49),
        prop::collection::vec((multihash, offset, data_size), 0..600),
    ]
}

fn check(repo: &dyn IndexRepo, blocks: &[Block]) -> Result<(), TestCaseError> {
    let mut model = BTreeMap::<&[u8], Vec<(u64, u64)>>::new();
    for (multihash, offset, data_size) in blocks {
        let too_large = u64::from(MAX_SIZE) + 1;
        model.entry(multihash).or_default().push((*offset, (*data_size).min(too_large)));
    }
    let summary = publish(repo, 1, blocks).unwrap();
    prop_assert_eq!(summary.entries, blocks.len() as u64);
    let index = repo.open(meta(1).name).unwrap().unwrap();
    prop_assert_eq!(index.len(), blocks.len() as u64);
    for (multihash, expected) in &mut model {
        expected.sort_unstable();
        let found = index.find(parsed(multihash)).unwrap();
        let pairs: Vec<_> =
            found.iter().map(|found| (found.offset, u64::from(found.size.unwrap_or(MAX_SIZE + 1)))).collect();
        prop_assert_eq!(&pairs, expected);
        prop_assert_eq!(index.find_first(parsed(multihash)).unwrap(), found.first().copied());
    }
    for absent in 300..350 {
        prop_assert!(index.find(parsed(&numbered(absent))).unwrap().is_empty());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn files_answer_as_a_map_does(
        blocks in blocks(),
        run_entries in prop_oneof![1_usize..50, Just(usize::MAX)],
        is_mapped: bool,
    ) {
        let directory = tempfile::tempdir().unwrap();
        check(&real_repo(directory.path(), run_entries).with_mapping(is_mapped), &blocks)?;
    }

    #[test]
    fn memory_answers_as_a_map_does(blocks in blocks()) {
        check(&MemoryIndexRepo::new(), &blocks)?;
    }
}
