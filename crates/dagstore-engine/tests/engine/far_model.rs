//! Random sequences of everything that can happen to remote shards, a few things at a time, held against what must be true of
//! each shard whatever happens.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use dagstore_car::{CarReader, IndexCodec, ReadOptions, V2Options};
use dagstore_engine::{Engine, GcOptions, Remote, ShardAccessor};
use dagstore_testkit::cars::{self, TestCar};
use dagstore_testkit::{Question, Wired};
use dagstore_types::ShardState;
use parking_lot::Mutex;

use super::support::*;

/// How many shards there are.
const SHARDS: usize = 3;

/// No shard needs more room, in bytes, than this.
const LARGEST: u64 = 80_000;

/// How many sequences are run; `FAR_SEQUENCES` in the environment asks for another number, `FAR_SEED` for another beginning.
const SEQUENCES: u64 = 60;

/// A source of numbers that are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Two contents of the same size without a block in common, with an index inside or without.
fn contents(is_indexed: bool) -> [TestCar; 2] {
    [0_u8, 100].map(|from| {
        let mut car = cars::of_blocks((0..24_u8).map(|at| vec![from + at; 3000]));
        if is_indexed {
            let bytes = bytes::Bytes::from(car.bytes.clone());
            let reader = CarReader::open(Arc::new(bytes), ReadOptions::default());
            let mut whole = Vec::new();
            reader.unwrap().wrap(V2Options::default().with_index(IndexCodec::MultihashSorted), &mut whole).unwrap();
            car.bytes = whole;
        }
        car
    })
}

/// What a sequence runs in.
struct Run {
    world: World,
    contents: [[TestCar; 2]; 2],
    /// Which source has a validator, and which an index inside.
    sources: [(bool, bool); SHARDS],
    open: Mutex<Vec<(usize, ShardAccessor)>>,
    log: Arc<Mutex<Vec<String>>>,
    quota: Option<u64>,
}

fn key(shard: usize) -> String {
    format!("s{shard}")
}

impl Run {
    fn source(&self, shard: usize, version: usize) -> Wired {
        let (has_validator, is_indexed) = self.sources[shard];
        let bytes = self.contents[usize::from(is_indexed)][version].bytes.clone();
        let number = u32::try_from(version).unwrap();
        if has_validator { Wired::new(bytes, number) } else { Wired::without_validator(bytes) }
    }

    /// What a shard answers must be of one content, and right.
    async fn check(&self, shard: usize, accessor: &ShardAccessor, block: usize) {
        let [one, other] = &self.contents[usize::from(self.sources[shard].1)];
        let mut has = Vec::new();
        for car in [one, other] {
            let (cid, data) = &car.blocks[block];
            match accessor.blockstore().unverified().get(cid).await {
                Ok(found) => assert_eq!(found, *data, "wrong bytes of shard {shard}"),
                Err(dagstore_engine::Error::BlockNotFound { .. }) => {}
                // The source fails.
                Err(_) => return,
            }
            match accessor.blockstore().has(cid).await {
                Ok(is_there) => has.push(is_there),
                Err(_) => return,
            }
        }
        assert!(has == [true, false] || has == [false, true], "shard {shard} has {has:?} of its two contents");
    }

    async fn act(&self, engine: &Engine, what: u64, shard: usize, number: u64) {
        let name = key(shard);
        let told = match what {
            0..=3 => match engine.acquire(&name).await {
                Ok(accessor) => {
                    self.check(shard, &accessor, usize::try_from(number % 24).unwrap()).await;
                    if number.is_multiple_of(3) {
                        self.open.lock().push((shard, accessor));
                    }
                    "acquired".to_owned()
                }
                Err(error) => format!("acquire: {error:?}"),
            },
            4 => {
                let acquiring = engine.acquire(&name);
                let left = tokio::time::timeout(Duration::from_micros(number % 3000), acquiring).await;
                format!("acquire and go away: {}", left.is_err())
            }
            5 => format!("recover {:?}", engine.recover(&name).await),
            6 => format!("evict {:?}", engine.evict(&name, number.is_multiple_of(3)).await),
            7 => format!("pin {:?}", engine.pin(&name).await),
            8 => format!("unpin {:?}", engine.unpin(&name).await),
            9 => format!("rebuild {:?}", engine.rebuild_index(&name).await),
            10 => {
                let mut options = GcOptions::default();
                options.idle_copies = true;
                format!("gc {:?}", engine.gc_with(options).await)
            }
            11 => match engine.acquire_local(&name).await {
                Ok(accessor) => format!("local {}", accessor.is_local()),
                Err(error) => format!("local {error:?}"),
            },
            12 => {
                let destroyed = engine.destroy(&name).await;
                let url = format!("wire:{name}");
                let registered = if number.is_multiple_of(2) {
                    engine.register(&name, &url).lazy().await
                } else {
                    engine.register(&name, &url).await
                };
                format!("destroy {destroyed:?} register {registered:?}")
            }
            13..=19 => self.disturb(what, &name, shard, number),
            _ => {
                self.open.lock().clear();
                "all dropped".to_owned()
            }
        };
        self.log.lock().push(format!("{name}: {told}"));
    }

    /// Something becomes of the source.
    fn disturb(&self, what: u64, name: &str, shard: usize, number: u64) -> String {
        let wire = &self.world.wire;
        let hang = (number * 7919) % 70_000;
        match what {
            13 => {
                wire.put(name, self.source(shard, usize::try_from(number % 2).unwrap()));
                format!("source {}", number % 2)
            }
            14 => {
                wire.change(name, |source| source.hangs_at = Some(hang));
                format!("hangs at {hang}")
            }
            15 => {
                wire.change(name, |source| source.breaks_at = Some(hang));
                format!("breaks at {hang}")
            }
            16 => {
                wire.change(name, |source| {
                    (source.hangs_at, source.breaks_at, source.silent, source.fails) = (None, None, None, None);
                });
                "mended".to_owned()
            }
            17 => {
                let question = [Question::Stat, Question::Stream, Question::Read][usize::try_from(number % 3).unwrap()];
                wire.change(name, |source| source.fails = Some(question));
                format!("fails {question:?}")
            }
            18 => {
                wire.remove(name);
                "gone".to_owned()
            }
            _ => {
                let question = [Question::Stream, Question::Read][usize::try_from(number % 2).unwrap()];
                wire.change(name, |source| source.silent = Some(question));
                format!("silent {question:?}")
            }
        }
    }

    fn is_within(&self, engine: &Engine) {
        if let Some(quota) = self.quota {
            let used = engine.copies_used_bytes();
            assert!(used <= quota, "{used} of {quota}");
        }
    }

    async fn open(&self, random: &mut Random) -> Engine {
        let remote = if random.below(4) == 0 { Remote::Copied } else { Remote::Piecewise };
        let fetching = usize::try_from(1 + random.below(3)).unwrap();
        let options = |options: &mut dagstore_engine::Options| {
            options.stat_deadline = Duration::from_millis(20);
            (options.remote, options.max_fetching) = (remote, fetching);
            // What is kept open behind its last accessor is what it was.
            options.keep_open = 0;
        };
        answered("the store opens", self.world.open_with(options)).await.unwrap()
    }

    /// Ends the store in some way, and does something to its folder.
    async fn end(&self, engine: Engine, random: &mut Random) {
        if random.below(2) == 0 {
            answered("the store closes", engine.close()).await.unwrap();
            drop(engine);
        } else {
            if random.below(2) == 0 {
                self.open.lock().clear();
            }
            self.world.crash(engine).await;
        }
        let files = self.world.copy_files();
        if files.is_empty() || random.below(3) > 0 {
            return;
        }
        let (name, size) = &files[usize::try_from(random.below(files.len() as u64)).unwrap()];
        let path = self.world.copies.as_ref().unwrap().path().join(name);
        match random.below(3) {
            0 => std::fs::remove_file(&path).unwrap(),
            1 if *size > 0 => {
                let bytes = std::fs::read(&path).unwrap();
                let length = usize::try_from(random.below(*size)).unwrap();
                // In a file of its own: what is cut while somebody still has it mapped is the end of the program.
                let cut = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
                std::fs::write(cut.path(), &bytes[..length]).unwrap();
                cut.persist(&path).unwrap();
            }
            _ => {}
        }
        self.log.lock().push(format!("{name} damaged"));
    }
}

async fn run(seed: u64, log: Arc<Mutex<Vec<String>>>) {
    let mut random = Random(seed);
    let quota = [None, Some(100_000), Some(170_000), Some(40_000)][usize::try_from(random.below(4)).unwrap()];
    let mut world = World::with_copies(quota);
    world.idle_timeout = Duration::from_millis(30);
    world.room_deadline = Duration::from_millis(50);
    let sources = std::array::from_fn(|_| (random.below(3) > 0, random.below(2) == 0));
    let open = Mutex::default();
    let run = Arc::new(Run { world, contents: [contents(false), contents(true)], sources, open, log, quota });
    for shard in 0..SHARDS {
        run.world.wire.put(&key(shard), run.source(shard, 0));
    }
    let mut engine = run.open(&mut random).await;
    for shard in 0..SHARDS {
        let url = format!("wire:{}", key(shard));
        let registering = engine.register(&key(shard), &url);
        let _may_fail = if random.below(2) == 0 { registering.lazy().await } else { registering.await };
    }
    for _ in 0..12 {
        if random.below(8) == 0 {
            run.end(engine, &mut random).await;
            engine = run.open(&mut random).await;
        }
        let acts: Vec<_> = (0..=random.below(3))
            .map(|_| {
                let (run, engine) = (run.clone(), engine.clone());
                let (what, shard) = (random.below(21), usize::try_from(random.below(SHARDS as u64)).unwrap());
                let number = random.below(1 << 20);
                tokio::spawn(async move { run.act(&engine, what, shard, number).await })
            })
            .collect();
        for act in acts {
            answered("it is answered", act).await.unwrap();
        }
        run.is_within(&engine);
    }
    heal(&run, engine, &mut random).await;
}

/// Whatever has happened: where all sources are well again, so is every shard, and nothing is left of those that are destroyed.
async fn heal(run: &Run, engine: Engine, random: &mut Random) {
    run.open.lock().clear();
    for shard in 0..SHARDS {
        run.world.wire.put(&key(shard), run.source(shard, 0));
    }
    if random.below(2) == 0 {
        run.end(engine, random).await;
    } else {
        answered("the store closes", engine.close()).await.unwrap();
        drop(engine);
    }
    let engine = run.open(random).await;
    answered("everything is resumed", engine.resumed()).await.unwrap();
    for shard in 0..SHARDS {
        // What is pinned takes the room of the others for good.
        let _may_not_be = engine.unpin(&key(shard)).await;
    }
    let engine = make_room(run, engine, random).await;
    let is_one_too_large = run.quota.is_some_and(|quota| quota < LARGEST);
    for shard in (0..SHARDS).filter(|_| !is_one_too_large) {
        let name = key(shard);
        if engine.info(&name).is_err() {
            continue;
        }
        heal_one(run, &engine, shard, &name).await;
    }
    for shard in 0..SHARDS {
        let name = key(shard);
        if engine.info(&name).is_ok() {
            until_unused(&engine, &name).await;
            answered("it is destroyed", engine.destroy(&name)).await.unwrap();
        }
    }
    let report = answered("it is collected", engine.gc()).await.unwrap();
    // A file whose sidecar somebody took away can't be told from a user's own.
    let strays: Vec<_> = run.world.copy_files();
    assert!(strays.len() <= report.kept.len(), "{strays:?} {report:?}");
    let bytes: u64 = strays.iter().map(|(_, size)| size).sum();
    // What a reader had asked for ahead may still be on its way, and counts until it is thrown away.
    until("only what is there is counted", || engine.copies_used_bytes() == bytes).await;
    answered("the store closes", engine.close()).await.unwrap();
}

/// Does what the error says where files that nobody claims leave too little room: removes those that a collection names.
async fn make_room(run: &Run, engine: Engine, random: &mut Random) -> Engine {
    let mut options = GcOptions::default();
    options.dry_run = true;
    let report = answered("it is told what is kept", engine.gc_with(options)).await.unwrap();
    let folder = run.world.copies.as_ref().unwrap().path();
    let unclaimed = report.kept.iter().map(|kept| folder.join(&kept.what)).filter(|path| path.is_file());
    let unclaimed: std::collections::BTreeSet<_> = unclaimed.collect();
    let bytes: u64 = unclaimed.iter().map(|path| path.metadata().unwrap().len()).sum();
    if run.quota.is_none_or(|quota| quota >= bytes + LARGEST) {
        return engine;
    }
    answered("the store closes", engine.close()).await.unwrap();
    drop(engine);
    for path in unclaimed {
        std::fs::remove_file(path).unwrap();
    }
    let engine = run.open(random).await;
    answered("everything is resumed", engine.resumed()).await.unwrap();
    engine
}

/// Recovers and reads a shard until all of it is what it should be.
async fn heal_one(run: &Run, engine: &Engine, shard: usize, name: &str) {
    for attempt in 0.. {
        let info = engine.info(name).unwrap();
        if info.state == ShardState::Errored {
            let recovered = answered("it is recovered", engine.recover(name)).await;
            run.log.lock().push(format!("{name}: heal recover {recovered:?}"));
        }
        match answered("it is acquired", engine.acquire(name)).await {
            Ok(accessor) => {
                let car = &run.contents[usize::from(run.sources[shard].1)][0];
                let mut is_all = true;
                for (cid, data) in &car.blocks {
                    match answered("it is read", accessor.blockstore().get(cid)).await {
                        Ok(found) => assert_eq!(found, *data),
                        Err(error) => {
                            run.log.lock().push(format!("{name}: heal get {error:?}"));
                            is_all = false;
                            break;
                        }
                    }
                }
                if is_all {
                    break;
                }
                // The copy is the old content, of a source that can't tell the one from the other.
                drop(accessor);
                let evicted = engine.evict(name, true).await;
                run.log.lock().push(format!("{name}: heal evict {evicted:?}"));
            }
            Err(error) => {
                run.log.lock().push(format!("{name}: heal acquire {error:?}"));
                force_last_copies(run, engine).await;
            }
        }
        assert!(attempt < 4, "shard {name} isn't well again: {:?}", engine.info(name));
    }
}

/// Does what the error says where copies of what their sources have no more take the room: those go only by force.
async fn force_last_copies(run: &Run, engine: &Engine) {
    use dagstore_engine::Error;
    use dagstore_transient::{Error as Copy, Reason};
    for name in (0..SHARDS).map(key) {
        let evicted = answered("it is evicted or kept", engine.evict(&name, false)).await;
        if matches!(evicted, Err(Error::Copy { source: Copy::Kept { reason: Reason::MayBeTheLast, .. }, .. })) {
            let forced = answered("it is evicted by force", engine.evict(&name, true)).await;
            run.log.lock().push(format!("{name}: heal forced {forced:?}"));
        }
    }
}

async fn until_unused(engine: &Engine, name: &str) {
    until("nobody uses it", || engine.info(name).unwrap().references == 0).await;
}

#[test]
fn remote_shards_get_well_whatever_happens() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |value| value.parse().unwrap());
    let first = number("FAR_SEED", 0);
    for seed in first..first + number("FAR_SEQUENCES", SEQUENCES) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let running = run(seed, log.clone());
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(running)));
        assert!(ran.is_ok(), "seed {seed}: {:#?}", log.lock());
        runtime.shutdown_timeout(Duration::from_secs(5));
    }
}
