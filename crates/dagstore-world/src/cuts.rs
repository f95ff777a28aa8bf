//! The power goes at every moment.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use dagstore_testkit::power::{Image, Moment};

use crate::act::{perform, promise, threaten};
use crate::check::check;
use crate::claims::Claims;
use crate::deadline::Deadline;
use crate::machine::Machine;
use crate::operation::Operation;
use crate::plan::Plan;
use crate::process::{self, settle};
use crate::report::{Failure, Report};
use crate::scene::Scene;

/// Does every operation, and switches the machine on again with all that a cut can leave at each moment of it; and that once more
/// with what a cut leaves at the moments of the opening.
pub fn cuts(plan: &Plan) -> Report {
    plan.spread(plan.operations.clone(), |operation, report| {
        let broken = |disturbed: String, what| Failure { operation: operation.name, disturbed, what };
        let scene = Scene::of(operation).map_err(|what| broken(String::new(), what))?;
        let (moments, told) = live(operation, &scene).map_err(|what| broken(String::new(), what))?;
        let mut seen = Seen::default();
        for moment in moments.iter().filter(|moment| plan.takes(0, moment.number as u64)) {
            let arguments = format!("--at {} (behind: {})", moment.number, moment.point);
            let claims = &told[moment.mark];
            let mut checks = Checks { plan, operation, seen: &mut seen, claims, mark: moment.mark };
            let (first, again) = checks.look_at(moment).map_err(|what| broken(arguments, what))?;
            report.count(operation.name, "cut", Some(&moment.point), first);
            report.count(operation.name, "cut again", None, again);
        }
        Ok(())
    })
}

/// Does the operation with nothing failing. Returns the moments, and what was acknowledged, by their marks.
fn live(operation: &Operation, scene: &Scene) -> Result<(Vec<Moment>, Vec<Claims>), String> {
    let machine = Machine::of(&scene.image, 1);
    let mut claims = scene.claims.clone();
    let told = process::run(async {
        let mut engine = None;
        if !operation.opens() {
            let opened = machine.open(operation.remote).await.map_err(|error| format!("not opened: {error:?}"))?;
            opened.resumed().await.map_err(|error| format!("not resumed: {error:?}"))?;
            settle().await;
            engine = Some(opened);
        }
        scene.set(operation.act, &machine, &mut claims).await?;
        threaten(operation.act, &mut claims, false);
        let mut told = vec![claims.clone()];
        machine.power.watch();
        let done = perform(operation, &machine, scene, &mut engine).await;
        done.map_err(|undone| format!("it fails though nothing does: {undone:?}"))?;
        promise(operation.act, &mut claims);
        told.push(claims);
        machine.power.mark(1);
        settle().await;
        Ok(told)
    })?;
    Ok((machine.power.take_moments(), told))
}

/// Which machines were looked through already, and with which claims.
#[derive(Debug, Default)]
struct Seen(HashSet<(usize, u64)>);

impl Seen {
    fn is_new(&mut self, mark: usize, image: &Image) -> bool {
        let mut hasher = DefaultHasher::new();
        image.hash(&mut hasher);
        self.0.insert((mark, hasher.finish()))
    }
}

struct Checks<'a> {
    plan: &'a Plan,
    operation: &'a Operation,
    seen: &'a mut Seen,
    claims: &'a Claims,
    mark: usize,
}

impl Checks<'_> {
    /// Returns how many stores were opened after one cut, and after two.
    fn look_at(&mut self, moment: &Moment) -> Result<(u64, u64), String> {
        let (mut first, mut second) = (0, 0);
        for (number, image) in moment.images().iter().enumerate() {
            if !self.seen.is_new(self.mark, image) {
                continue;
            }
            let _deadline = Deadline::begin(format!("{} --at {} image {number}", self.operation.name, moment.number));
            first += 1;
            let opening = check(image, self.claims, 2).map_err(|what| format!("image {number}: {what}"))?;
            second += self.again(&opening).map_err(|what| format!("image {number}, {what}"))?;
        }
        Ok((first, second))
    }

    /// The power goes again while the store is opened.
    fn again(&mut self, opening: &[Moment]) -> Result<u64, String> {
        let mut checks = 0;
        let is_taken = |moment: &&Moment| {
            self.plan.again > 0 && (moment.number as u64).wrapping_add(self.plan.seed).is_multiple_of(self.plan.again)
        };
        for moment in opening.iter().filter(is_taken).collect::<Vec<_>>() {
            for image in moment.images() {
                if self.seen.is_new(self.mark, &image) {
                    checks += 1;
                    check(&image, self.claims, 3)
                        .map_err(|what| format!("again behind \"{}\" of the opening: {what}", moment.point))?;
                }
            }
        }
        Ok(checks)
    }
}
