//! The demonstration itself, act by act.

use dagstore::car::{RawCid, Verdict, check};
use dagstore::{Dagstore, ShardState};

use super::cars::{self, Car, Plan};
use super::crash::Indexing;
use super::narrator::{Narrator, ShardFact};
use super::place::Place;
use super::{ensure, unexpected};
use crate::config::{Config, Wish};
use crate::context::Context;
use crate::exit::Outcome;
use crate::text::counted;

const SMALL: [Plan; 3] = [
    Plan { key: "letter", version: 1, leaves: 12, leaf_bytes: 200 },
    Plan { key: "pages", version: 1, leaves: 4000, leaf_bytes: 1024 },
    Plan { key: "charts", version: 2, leaves: 64, leaf_bytes: 16 * 1024 },
];

const LARGE: Plan = Plan { key: "atlas", version: 1, leaves: 6144, leaf_bytes: 4096 };

/// Which of the small CARs is read at the end.
const READ: usize = 1;

/// How many of its blocks are shown.
const SHOWN: usize = 3;

/// Plays all acts. The first thing that isn't as it should be ends the play.
pub(crate) async fn play(context: &Context, place: &Place, narrator: &mut Narrator<'_>) -> Outcome {
    narrator.say(&format!(
        "A store of blocks, and a process killed in the middle of its work, in {}",
        place.root.display()
    ))?;
    let mut cars = Vec::new();
    for plan in SMALL {
        cars.push(make(place, plan)?);
    }
    let described: Vec<_> = cars.iter().map(describe).collect();
    narrator.step(format!("wrote {}", described.join(", ")))?;
    let config = fill(context, place, narrator, &cars).await?;
    cars.push(make(place, LARGE)?);
    let large = &cars[SMALL.len()];
    narrator.step(format!("wrote a larger one, {} KiB: {}", large.size_bytes >> 10, describe(large)))?;
    crash(place, narrator, large).await?;
    look(context, place, &config, narrator).await?;
    let store = context.open_with(config.builder(&place.store)?).await?;
    let outcome = come_back(narrator, &store, &cars).await;
    context.close(store, outcome).await
}

fn make(place: &Place, plan: Plan) -> Outcome<Car> {
    cars::make(&place.cars, plan).map_err(|error| unexpected(format!("{}: {error}", plan.key)))
}

fn describe(car: &Car) -> String {
    format!("{} (CARv{}, {})", car.key, car.version, counted(car.blocks.len(), "block"))
}

/// Makes a store and registers the CARs.
async fn fill(context: &Context, place: &Place, narrator: &mut Narrator<'_>, cars: &[Car]) -> Outcome<Config> {
    let config = Config::new(Wish::default())?;
    let store = context.open_with(config.builder(&place.store)?).await?;
    let outcome = async {
        config.write_new(&place.store)?;
        narrator.step(format!("made a store with {config}"))?;
        for car in cars {
            register(&store, car).await?;
            let blocks = counted(car.blocks.len(), "block");
            narrator
                .step(format!("registered {}: Available, {blocks} indexed, each hashed and found right", car.key))?;
        }
        Ok(config)
    };
    let outcome = outcome.await;
    context.close(store, outcome).await
}

async fn register(store: &Dagstore, car: &Car) -> Outcome {
    let source = crate::source::Source::of(car.path.as_os_str())?;
    store.register(car.key, &source.url).await?;
    is_available(store, car).await
}

/// Checks that the shard is Available, and that every block of its CAR is in its index.
async fn is_available(store: &Dagstore, car: &Car) -> Outcome {
    let state = store.info(car.key)?.state;
    ensure(state == ShardState::Available, format_args!("{} is {state}", car.key))?;
    let entries = store.acquire(car.key).await?.blockstore().entries();
    let blocks = car.blocks.len();
    ensure(entries == blocks as u64, format_args!("{} has {entries} entries for {blocks} blocks", car.key))
}

/// Has another process index the large CAR, and kills it.
async fn crash(place: &Place, narrator: &mut Narrator<'_>, car: &Car) -> Outcome {
    let process = Indexing::start(&place.store, car).await?;
    let (pid, done_bytes, total_bytes) = (process.pid(), process.done_bytes, process.total_bytes);
    ensure(done_bytes < total_bytes, "the other process was done before it could be killed")?;
    narrator.facts().indexed_bytes_before_kill = done_bytes;
    narrator.facts().bytes_to_index = total_bytes;
    let (done, total) = (done_bytes >> 10, total_bytes >> 10);
    narrator
        .step(format!("started process {pid}, which registers {} and has indexed {done} of {total} KiB", car.key))?;
    process.kill()?;
    narrator.step(format!("killed process {pid} with SIGKILL"))
}

/// Looks at what the killed process left, without touching it.
async fn look(context: &Context, place: &Place, config: &Config, narrator: &mut Narrator<'_>) -> Outcome {
    let store = context.open_with(config.builder(&place.store)?.paused()).await?;
    let shards = store.shards();
    context.close(store, Ok(())).await?;
    let state_of = |plan: &Plan| shards.iter().find(|shard| shard.key.as_str() == plan.key).map(|shard| shard.state);
    let state = state_of(&LARGE);
    ensure(state == Some(ShardState::Initializing), format_args!("{} is {state:?}", LARGE.key))?;
    ensure(SMALL.iter().all(|plan| state_of(plan) == Some(ShardState::Available)), format_args!("{shards:?}"))?;
    narrator.facts().state_after_kill = ShardState::Initializing.name();
    narrator.step(format!("looked without touching: {} is Initializing, the others are Available", LARGE.key))
}

/// Sees the interrupted work finished, and reads blocks.
async fn come_back(narrator: &mut Narrator<'_>, store: &Dagstore, cars: &[Car]) -> Outcome {
    let report = store.resumed().await?;
    ensure((report.interrupted, report.available) == (1, 1), format_args!("{report:?}"))?;
    for car in cars {
        is_available(store, car).await?;
        let fact = ShardFact { key: car.key, state: ShardState::Available.name(), blocks: car.blocks.len() };
        narrator.facts().shards.push(fact);
    }
    narrator.facts().interrupted = report.interrupted;
    narrator.facts().resumed = report.available;
    narrator.step(format!("opened the store: it finished {} by itself, and every shard is Available", LARGE.key))?;
    let car = &cars[READ];
    let shard = store.acquire(car.key).await?;
    let mut shown = Vec::new();
    for cid in &car.blocks {
        let data = shard.blockstore().get(cid).await?;
        narrator.facts().blocks_read += 1;
        let matches = check(cid.multihash(), &data) == Verdict::Matches;
        narrator.facts().blocks_that_hash_to_their_cid += usize::from(matches);
        // The first block is the root, which is no text.
        if (1..=SHOWN).contains(&narrator.facts().blocks_read.saturating_sub(1)) {
            shown.push(show(cid, &data));
        }
    }
    let (read, good) = (narrator.facts().blocks_read, narrator.facts().blocks_that_hash_to_their_cid);
    ensure(read == car.blocks.len() && good == read, format_args!("{good} of {read} blocks hash to their CID"))?;
    narrator.step(format!("read the {} of {} by CID: all of them hash to it", counted(read, "block"), car.key))?;
    shown.iter().try_for_each(|line| narrator.say(line))
}

/// The CID and the beginning of the text.
fn show(cid: &RawCid, data: &[u8]) -> String {
    const CHARACTERS: usize = 60;
    let text: String = String::from_utf8_lossy(data).chars().take(CHARACTERS).collect();
    format!("    {cid}  {text}...")
}
