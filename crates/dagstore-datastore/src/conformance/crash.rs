//! What a test needs that kills a process while it writes.
//!
//! The test starts itself again as a child, which opens the store and calls [`write_until_killed`]. The parent hands
//! [`run`] two closures, one that makes the child's command and one that opens the store. `run` sees that the store
//! can't be opened beside the child, kills the child at some write, opens the store, and checks that everything the
//! child had acknowledged is there, no batch in part, and of a bulk load only a beginning. Then it begins again, on the same store, a few times.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use super::support::{Outcome, Problem, Row, all_rows, ensure, expect_row, noise, show};
use crate::{Batch, Datastore, Durability, Error, Namespace, Result, stream_of_rows};

const PARTS: Namespace = Namespace::new("crash_parts");
const LOADED: Namespace = Namespace::new("crash_loaded");
const LAST: Namespace = Namespace::new("crash_last");

/// Rows in a batch, beside the one that says which batch was the last.
const PARTS_EACH: u8 = 6;

/// Batches whose rows are there; each batch deletes those of the one that falls out.
const KEPT: u64 = 40;

/// Before each batch whose number is a multiple of this, all loaded rows are loaded anew.
const LOAD_EVERY: u64 = 8;

/// The rows of a load: together more than anybody writes as one piece.
const LOADED_ROWS: u64 = 300;

/// Acknowledgements after which the child is killed, for each round: the first at once, while it may still be making
/// its database.
const ROUNDS: [u64; 7] = [0, 1, 25, 90, 7, 150, 60];

/// What a child's line of acknowledgement begins with: a test harness prints lines of its own.
const ACKNOWLEDGED: &str = "acknowledged ";

/// The child's part: writes numbered batches and acknowledges on `out` what is durable, until the process is killed.
///
/// # Errors
/// When the store fails, or `out` can't be written because the parent has gone.
pub async fn write_until_killed(store: &dyn Datastore, mut out: impl Write) -> Result<(), Box<dyn std::error::Error>> {
    let mut number = last_batch(store).await.map_err(|problem| problem.to_string())?;
    loop {
        number += 1;
        if number % LOAD_EVERY == 0 {
            store.bulk_load(LOADED, stream_of_rows(loaded(number))).await?;
        }
        // Batches get durable in each way that there is: by themselves, by a sync, by the next one.
        match number % 3 {
            0 => store.write(batch(number), Durability::Synced).await?,
            1 => {
                store.write(batch(number), Durability::Buffered).await?;
                store.sync().await?;
            }
            _ => {
                store.write(batch(number), Durability::Buffered).await?;
                continue;
            }
        }
        writeln!(out, "{ACKNOWLEDGED}{number}")?;
        out.flush()?;
    }
}

/// The parent's part. `child` makes the command of a child that opens the store and calls [`write_until_killed`] with
/// its standard output; `open` opens the same store here.
///
/// # Panics
/// When the child can't be started, or with what is wrong in the store after it was killed.
pub async fn run<O, F>(child: impl Fn() -> Command, open: O)
where
    O: Fn() -> F,
    F: Future<Output = Result<Arc<dyn Datastore>>>,
{
    for (round, acknowledgements) in ROUNDS.into_iter().enumerate() {
        if let Err(problem) = one_round(child(), acknowledgements, &open).await {
            panic!("round {round}, killed after {acknowledgements} acknowledgements: {problem}");
        }
    }
}

async fn one_round<O, F>(child: Command, acknowledgements: u64, open: &O) -> Outcome
where
    O: Fn() -> F,
    F: Future<Output = Result<Arc<dyn Datastore>>>,
{
    let broken = |error: io::Error| Problem::new(format!("the child can't be started or read: {error}"));
    let mut child = Writing::start(child).map_err(broken)?;
    child.read_until(acknowledgements).map_err(broken)?;
    let count = child.count;
    ensure!(count == acknowledgements, "the child ended by itself, after {count} acknowledgements");
    if count > 0 {
        match open().await {
            Err(Error::InUse { .. }) => {}
            Err(error) => return Err(Problem::new(format!("opening it beside the child fails as: {error}"))),
            Ok(_) => return Err(Problem::new("it can be opened beside the child")),
        }
    }
    let acknowledged = child.kill().map_err(broken)?;
    let store = open().await?;
    let checked = check(&*store, acknowledged).await;
    store.close().await?;
    checked
}

/// A child that writes. It is killed at the latest when this is dropped.
struct Writing {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    /// How many acknowledgements were read.
    count: u64,
    /// The number of the last batch that was acknowledged, 0 where there is none.
    last: u64,
}

impl Writing {
    fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { child, output: BufReader::new(output).lines(), count: 0, last: 0 })
    }

    /// Reads until there were so many acknowledgements, or the child has ended.
    fn read_until(&mut self, acknowledgements: u64) -> io::Result<()> {
        while self.count < acknowledgements {
            let Some(line) = self.output.next() else { break };
            if let Some(number) = line?.strip_prefix(ACKNOWLEDGED).and_then(|number| number.parse().ok()) {
                (self.count, self.last) = (self.count + 1, number);
            }
        }
        Ok(())
    }

    /// Kills the child, and returns the last batch that it had acknowledged by then.
    fn kill(mut self) -> io::Result<u64> {
        self.child.kill()?;
        self.child.wait()?;
        self.read_until(u64::MAX)?;
        Ok(self.last)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // It may be dead already, and if not, nothing here can help.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

async fn check(store: &dyn Datastore, acknowledged: u64) -> Outcome {
    let last = last_batch(store).await?;
    ensure!(last >= acknowledged, "batch {acknowledged} was acknowledged, but {last} is the last that is there");
    let mut expected: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for number in last.saturating_sub(KEPT - 1).max(1)..=last {
        expected.extend(parts(number));
    }
    for (key, value) in all_rows(store, PARTS, b"").await? {
        let row = expected.remove(&key);
        ensure!(row.is_some(), "batch {last} is the last, but row {} of another one is there", show(&key));
        ensure!(row == Some(value), "row {} has a wrong value", show(&key));
        expect_row(store, PARTS, &key, row.as_deref()).await?;
    }
    let absent = expected.keys().next();
    ensure!(absent.is_none(), "batch {last} is the last, but row {} is absent", show(absent.map_or(b"", |key| key)));
    check_loaded(&all_rows(store, LOADED, b"").await?, last - last % LOAD_EVERY)
}

/// Checks that `load` is there as a whole, but for a beginning of the load behind it.
fn check_loaded(found: &[Row], load: u64) -> Outcome {
    let next = load + LOAD_EVERY;
    let of_next = loaded(next).zip(found).take_while(|(expected, found)| expected == *found).count();
    let rest: Vec<Row> = if load == 0 { Vec::new() } else { loaded(load).skip(of_next).collect() };
    ensure!(
        found[of_next..] == rest[..],
        "of load {next} the first {of_next} rows are there, and the {} behind them aren't those of load {load}",
        found.len() - of_next
    );
    Ok(())
}

/// The rows of the load with this number: the keys are the same for all.
fn loaded(load: u64) -> impl Iterator<Item = Row> + Send {
    (0..LOADED_ROWS).map(move |at| (at.to_be_bytes().to_vec(), noise(load << 32 | at, 2_000)))
}

/// The number of the last batch that is there, 0 where there is none.
async fn last_batch(store: &dyn Datastore) -> Outcome<u64> {
    let Some(row) = store.get(LAST, b"").await? else { return Ok(0) };
    let number =
        row.as_ref().try_into().map_err(|_| Problem::new("the row with the last batch's number has a wrong length"))?;
    Ok(u64::from_be_bytes(number))
}

fn batch(number: u64) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in parts(number) {
        batch.put(PARTS, &key, &value);
    }
    batch.put(LAST, b"", &number.to_be_bytes());
    for (key, _) in number.checked_sub(KEPT).into_iter().flat_map(parts) {
        batch.delete(PARTS, &key);
    }
    batch
}

/// The rows of a batch: their sizes go from nothing to more than a page of any engine's.
fn parts(number: u64) -> impl Iterator<Item = Row> {
    (0..PARTS_EACH).map(move |part| {
        let size = usize::try_from(number.wrapping_mul(37) % 700).unwrap_or(0) * usize::from(part) * 4;
        ([&number.to_be_bytes()[..], &[part]].concat(), noise(number, size))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DatastoreExt, MemoryDatastore};

    /// Output to a parent that has gone after so many acknowledgements.
    struct Pipe(u64);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0 -= 1;
            if self.0 == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
        }
    }

    async fn written(acknowledgements: u64) -> MemoryDatastore {
        let store = MemoryDatastore::new();
        write_until_killed(&store, Pipe(acknowledgements)).await.unwrap_err();
        store
    }

    #[tokio::test]
    async fn a_store_that_lost_nothing_passes_and_a_child_goes_on_where_the_last_one_was_killed() {
        check(&MemoryDatastore::new(), 0).await.unwrap();
        for acknowledgements in [1, 2, 30, 100] {
            let store = written(acknowledgements).await;
            let last = last_batch(&store).await.unwrap();
            check(&store, last).await.unwrap();
            write_until_killed(&store, Pipe(1)).await.unwrap_err();
            assert!(last_batch(&store).await.unwrap() > last);
            check(&store, last).await.unwrap();
        }
    }

    #[tokio::test]
    async fn lost_partial_and_wrong_batches_are_found() {
        let last = last_batch(&written(60).await).await.unwrap();
        let part = |number: u64, part| [&number.to_be_bytes()[..], &[part]].concat();
        let shorter = written(60).await;
        assert!(check(&shorter, last + 1).await.is_err(), "a lost batch");

        let partial = written(60).await;
        partial.delete(PARTS, &part(last, 3)).await.unwrap();
        assert!(check(&partial, last).await.is_err(), "the last batch in part");

        let early = written(60).await;
        early.put(PARTS, &part(last + 1, 0), b"").await.unwrap();
        assert!(check(&early, last).await.is_err(), "a later batch in part");

        let undeleted = written(60).await;
        undeleted.put(PARTS, &part(last - KEPT, 0), b"").await.unwrap();
        assert!(check(&undeleted, last).await.is_err(), "a row that was deleted");

        let load = last - last % LOAD_EVERY;
        for (of, at, what) in [
            (load - LOAD_EVERY, 5, "a row of a load was lost"),
            (load + LOAD_EVERY, 5, "a row of a load without those before it"),
            (load + 2 * LOAD_EVERY, 0, "a row of a load that was never begun"),
        ] {
            let wrong = written(60).await;
            let (key, value) = loaded(of).nth(at).unwrap();
            wrong.put(LOADED, &key, &value).await.unwrap();
            assert!(check(&wrong, last).await.is_err(), "{what}");
        }
        let begun = written(60).await;
        begun.bulk_load(LOADED, stream_of_rows(loaded(load + LOAD_EVERY).take(77))).await.unwrap();
        check(&begun, last).await.unwrap();

        let wrong = written(60).await;
        wrong.put(PARTS, &part(last, 0), b"other").await.unwrap();
        assert!(check(&wrong, last).await.is_err(), "a row with a wrong value");
    }
}
