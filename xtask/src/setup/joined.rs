//! Compiles RocksDB in joined files: twenty sources `#include`d into one, so that their common headers are read once.
//!
//! That takes a ninth of the processor time of one file after the other. Sources that do not stand each other in one
//! file would fail to compile, so a batch that fails is compiled again source by source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};

use super::archive::Sources;
use super::compiler::Compiler;
use super::recipe::Recipe;
use crate::shell;

/// How many sources go into one file: with 20 a compiler stays under 2 GB, and 18 files keep many cores busy.
const SOURCES_PER_FILE: usize = 20;

/// Compiles all sources of the crate into `archive`, with its intermediate files in `scratch`.
///
/// # Errors
///
/// When a source doesn't compile by itself either.
pub(crate) fn build(
    sources: &Sources,
    compiler: &Compiler,
    recipe: &Recipe,
    scratch: &Path,
    archive: &Path,
) -> Result<()> {
    let list_path = sources.rocksdb_crate.join("rocksdb_lib_sources.txt");
    let list = fs::read_to_string(&list_path).with_context(|| format!("reading {}", list_path.display()))?;
    let names = source_names(&list);
    let batches = write_batches(&names, scratch)?;
    println!(
        "setup: compiling RocksDB, {} sources in {} files, {} at a time, with {}",
        names.len(),
        batches.len(),
        parallelism(),
        compiler.version()
    );
    let compilation = Compilation { sources, compiler, recipe, start: Instant::now() };
    let mut objects = compilation.run(&batches)?;
    objects.sort();
    let mut archiver = Command::new("ar");
    archiver.arg("crs").arg(archive).args(&objects);
    shell::run(&mut archiver)
}

/// One file that the compiler is started for.
#[derive(Debug, Clone)]
struct Unit {
    file: PathBuf,
    object: PathBuf,
    /// The sources it includes, for the fallback; empty where the file is a source itself.
    parts: Vec<PathBuf>,
}

/// The names of the list without the version file, of which the crate has its own.
fn source_names(list: &str) -> Vec<&str> {
    list.lines().map(str::trim).filter(|name| !name.is_empty() && *name != "util/build_version.cc").collect()
}

fn write_batches(names: &[&str], scratch: &Path) -> Result<Vec<Unit>> {
    let mut units = Vec::new();
    for (number, chunk) in names.chunks(SOURCES_PER_FILE).enumerate() {
        let file = scratch.join(format!("joined_{number:02}.cc"));
        let mut text = String::new();
        for name in chunk {
            text.extend(["#include \"", name, "\"\n"]);
        }
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        let parts = chunk.iter().map(PathBuf::from).collect();
        units.push(Unit { object: file.with_extension("o"), file, parts });
    }
    Ok(units)
}

fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

struct Compilation<'a> {
    sources: &'a Sources,
    compiler: &'a Compiler,
    recipe: &'a Recipe,
    start: Instant,
}

impl Compilation<'_> {
    /// Compiles everything and returns the object files.
    fn run(&self, batches: &[Unit]) -> Result<Vec<PathBuf>> {
        let version_file = self.sources.rocksdb_crate.join("build_version.cc");
        let scratch = batches.first().and_then(|unit| unit.file.parent()).context("the list of sources is empty")?;
        let version = Unit { file: version_file, object: scratch.join("build_version.o"), parts: Vec::new() };
        let mut units = batches.to_vec();
        units.push(version);
        let outcomes = self.compile_all(&units);
        let mut objects = Vec::new();
        let mut singles = Vec::new();
        for (unit, outcome) in units.iter().zip(outcomes) {
            match outcome {
                Ok(()) => objects.push(unit.object.clone()),
                Err(error) if unit.parts.is_empty() => return Err(error),
                Err(error) => {
                    let reason = format!("{error:#}");
                    let reason = reason.lines().nth(1).unwrap_or(&reason).to_owned();
                    println!("setup: {} goes source by source: {reason}", unit.file.display());
                    singles.extend(self.split(unit));
                }
            }
        }
        for (unit, outcome) in singles.iter().zip(self.compile_all(&singles)) {
            outcome?;
            objects.push(unit.object.clone());
        }
        Ok(objects)
    }

    /// The sources of a batch as units of their own.
    fn split(&self, batch: &Unit) -> Vec<Unit> {
        let unit = |(number, part): (usize, &PathBuf)| Unit {
            file: self.sources.rocksdb_crate.join("rocksdb").join(part),
            object: batch.object.with_extension(format!("{number:02}.o")),
            parts: Vec::new(),
        };
        batch.parts.iter().enumerate().map(unit).collect()
    }

    /// Compiles the units, as many at a time as there are cores; the outcomes are in the order of the units.
    fn compile_all(&self, units: &[Unit]) -> Vec<Result<()>> {
        let next = AtomicUsize::new(0);
        let finished = AtomicUsize::new(0);
        let outcomes: Mutex<Vec<(usize, Result<()>)>> = Mutex::new(Vec::new());
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(unit) = units.get(number) else { break };
                let outcome = self.compile(unit);
                let count = finished.fetch_add(1, Ordering::Relaxed) + 1;
                self.print_progress(count, units.len(), unit);
                outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((number, outcome));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..parallelism().min(units.len()) {
                scope.spawn(work);
            }
        });
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|(number, _)| *number);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    fn print_progress(&self, count: usize, total: usize, unit: &Unit) {
        let seconds = self.start.elapsed().as_secs_f64();
        let name = unit.file.file_name().unwrap_or_default().display();
        println!("setup: [{seconds:4.0} s] {count:3} of {total} {name}");
    }

    fn compile(&self, unit: &Unit) -> Result<()> {
        let folder = &self.sources.rocksdb_crate;
        let mut command = Command::new(self.compiler.program());
        command.args(self.recipe.flags());
        let includes = [folder.join("rocksdb/include"), folder.join("rocksdb"), folder.clone()];
        for include in includes.iter().chain([&self.sources.lz4, &self.sources.zstd]) {
            command.arg("-I").arg(include);
        }
        command.arg("-c").arg(&unit.file).arg("-o").arg(&unit.object);
        shell::capture(&mut command).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::{SOURCES_PER_FILE, build, source_names, write_batches};
    use crate::setup::archive::Sources;
    use crate::setup::compiler::Compiler;
    use crate::setup::recipe::Recipe;
    use crate::shell;
    use crate::test::log_skip;

    #[test]
    fn the_version_file_of_the_list_is_left_out() {
        assert_eq!(source_names("a/b.cc\n util/build_version.cc\n\nc.cc \n"), ["a/b.cc", "c.cc"]);
    }

    #[test]
    fn batches_hold_every_source_once_and_in_order() {
        let names: Vec<String> = (0..=SOURCES_PER_FILE * 2).map(|number| format!("{number}.cc")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let folder = tempfile::tempdir().unwrap();
        let units = write_batches(&names, folder.path()).unwrap();
        assert_eq!(units.len(), 3);
        let text: String = units.iter().map(|unit| fs::read_to_string(&unit.file).unwrap()).collect();
        let included = text.lines().filter_map(|line| line.strip_prefix("#include \"")?.strip_suffix('"'));
        assert_eq!(included.collect::<Vec<_>>(), names);
    }

    /// Builds an archive of a made-up crate with two sources and returns the names of its functions.
    fn build_example(first: &str, second: &str, compiler: &Compiler) -> anyhow::Result<String> {
        let folder = tempfile::tempdir()?;
        let rocksdb_crate = folder.path().join("crate");
        fs::create_dir_all(rocksdb_crate.join("rocksdb"))?;
        fs::write(rocksdb_crate.join("rocksdb_lib_sources.txt"), "first.cc\nsecond.cc\nutil/build_version.cc\n")?;
        fs::write(rocksdb_crate.join("rocksdb/first.cc"), first)?;
        fs::write(rocksdb_crate.join("rocksdb/second.cc"), second)?;
        fs::write(rocksdb_crate.join("build_version.cc"), "int version() { return 1; }")?;
        let nowhere = Path::new("nowhere");
        let sources = Sources { rocksdb_crate, lz4: nowhere.to_owned(), zstd: nowhere.to_owned() };
        let recipe = Recipe::new(compiler.target(), "0.19.0")?;
        let archive = folder.path().join("example.a");
        build(&sources, compiler, &recipe, folder.path(), &archive)?;
        shell::capture(Command::new("nm").arg(&archive))
    }

    #[test]
    fn sources_that_do_not_stand_each_other_are_compiled_one_by_one() {
        let Ok(compiler) = Compiler::find() else {
            return log_skip("xtask::sources_that_do_not_stand_each_other", "no C++ compiler");
        };
        let source = |name: &str| format!("static int same() {{ return 1; }}\nint {name}() {{ return same(); }}\n");
        let symbols = build_example(&source("first"), &source("second"), &compiler).unwrap();
        for name in ["first", "second", "version"] {
            assert!(symbols.contains(name), "{name} is not in {symbols}");
        }
    }

    #[test]
    fn a_source_that_does_not_compile_is_an_error() {
        let Ok(compiler) = Compiler::find() else {
            return log_skip("xtask::a_source_that_does_not_compile", "no C++ compiler");
        };
        let error = build_example("int first() { return 1; }", "int second() { return nothing; }", &compiler);
        assert!(error.unwrap_err().to_string().contains("second.cc"));
    }
}
