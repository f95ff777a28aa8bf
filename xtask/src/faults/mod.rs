//! `cargo xtask faults`: brings the faults of `xtask/faults.toml` back, one at a time, to see that their tests fail then.
//!
//! The change is made in a copy of the workspace below the target folder. A test that stays green is a failure here.

mod choice;
mod list;
mod planting;

use anyhow::{Result, bail};

use crate::faults::planting::{Planting, Seen};
use crate::tally::Tally;
use crate::workspace::Workspace;

pub(crate) use crate::faults::list::{Fault, Plant, faults};

/// How many faults continuous integration plants.
const CHOSEN: usize = 3;

/// What to do with the faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Print them.
    List,
    /// Plant one, every way in which it comes back.
    One(u32),
    /// Plant all.
    All,
}

/// Prints or plants the faults; `false` where a test did not do what it should.
///
/// # Errors
///
/// When the list can't be read, or there is no fault of the number.
pub(crate) fn run(workspace: &Workspace, what: What) -> Result<bool> {
    let faults = faults()?;
    let wanted: Vec<&Fault> = match what {
        What::List => {
            print(&faults);
            return Ok(true);
        }
        What::One(number) => faults.iter().filter(|fault| fault.number == number).collect(),
        What::All => faults.iter().collect(),
    };
    let plants: Vec<&Plant> = wanted.iter().flat_map(|fault| &fault.plants).collect();
    if plants.is_empty() {
        bail!("there is no such fault to plant: `cargo xtask faults` lists them");
    }
    let tally = plant_all(workspace, &plants)?;
    tally.print_details();
    println!("faults: {}", summary(&tally, plants.len()));
    Ok(tally.is_success())
}

/// Plants a few, which the commit chooses: so each of them is seen to fail again and again.
///
/// # Errors
///
/// When the list can't be read or the workspace can't be copied.
pub(crate) fn plant_some(workspace: &Workspace) -> Result<Tally> {
    plant_all(workspace, &chosen(workspace, &plants()?))
}

/// Builds the tests of those few as they are, so that planting compiles what a fault changes and no more.
///
/// # Errors
///
/// When the list can't be read, or the workspace can't be copied or built.
pub(crate) fn build_some(workspace: &Workspace) -> Result<()> {
    let (planting, plants) = (Planting::prepare(workspace)?, plants()?);
    chosen(workspace, &plants).into_iter().try_for_each(|plant| planting.build(plant).map(drop))
}

fn chosen<'plants>(workspace: &Workspace, plants: &'plants [Plant]) -> Vec<&'plants Plant> {
    let places = choice::choose(choice::seed(workspace), plants.len(), CHOSEN);
    places.into_iter().filter_map(|at| plants.get(at)).collect()
}

/// The ways in which faults come back, in the order of the list.
///
/// # Errors
///
/// When the list can't be read.
pub(crate) fn plants() -> Result<Vec<Plant>> {
    Ok(faults()?.into_iter().flat_map(|fault| fault.plants).collect())
}

/// Plants one of them; `false` where its test didn't fail.
///
/// # Errors
///
/// When the workspace can't be copied.
pub(crate) fn plant_one(workspace: &Workspace, plant: &Plant) -> Result<bool> {
    let tally = plant_all(workspace, &[plant])?;
    tally.print_details();
    Ok(tally.is_success())
}

/// Plants them one by one. Each counts as a test that has passed where its own test has failed.
fn plant_all(workspace: &Workspace, plants: &[&Plant]) -> Result<Tally> {
    let planting = Planting::prepare(workspace)?;
    let mut tally = Tally::default();
    for plant in plants {
        let seen = planting.plant(plant);
        match &seen {
            Ok(Seen::Red) => tally.add_pass(),
            Ok(Seen::Green) => tally.add_failure(format!("{}: green, though the fault is there", plant.test)),
            Err(error) => tally.add_failure(format!("{}: {error:#}", plant.test)),
        }
        println!("faults: {}: {}", plant.test, seen.map_or("could not be planted", Seen::name));
    }
    Ok(tally)
}

fn summary(tally: &Tally, plants: usize) -> String {
    if tally.is_success() { format!("all {plants} red") } else { format!("not all of {plants} red") }
}

fn print(faults: &[Fault]) {
    for fault in faults {
        println!("{:>3}  {}", fault.number, fault.original);
        for plant in &fault.plants {
            println!("     {}", plant.test);
            println!("         {}: {}", plant.file, plant.what);
        }
    }
}
