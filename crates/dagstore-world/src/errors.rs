//! Every call fails once, and every one from some call on.

use dagstore_testkit::Fault;
use dagstore_testkit::power::Image;

use crate::act::{perform, promise, threaten};
use crate::check::{Read, all_usable, check};
use crate::claims::Claims;
use crate::deadline::Deadline;
use crate::machine::Machine;
use crate::operation::{Act, Operation};
use crate::plan::Plan;
use crate::process::{self, settle};
use crate::report::{Failure, Report};
use crate::scene::Scene;

/// How often a datastore that works again is waited for, for some seconds each.
const MENDING: u32 = 24;

/// A call that fails.
#[derive(Debug, Clone, Copy)]
struct Disturbed {
    fault: Fault,
    call: u64,
    for_ever: bool,
}

/// Does every operation with the N-th call failing, for each N of the plan until a run meets none.
pub fn errors(plan: &Plan) -> Report {
    let ways = || [false, true].into_iter().filter(|way| plan.for_ever.is_none_or(|wanted| wanted == *way));
    let of_operation = |operation: &&'static Operation| {
        let of_fault = |fault: &Fault| ways().map(|for_ever| (*operation, *fault, for_ever)).collect::<Vec<_>>();
        plan.faults.iter().flat_map(of_fault).collect::<Vec<_>>()
    };
    let pieces = plan.operations.iter().flat_map(of_operation).collect();
    plan.spread(pieces, |(operation, fault, for_ever), report| {
        let broken = |disturbed: String, what| Failure { operation: operation.name, disturbed, what };
        let scene = Scene::of(operation).map_err(|what| broken(String::new(), what))?;
        // Small and different for each.
        let salt = (operation.name.len() + fault.name().len() + usize::from(*for_ever)) as u64;
        let kind = format!("{fault}{}", if *for_ever { " for ever" } else { "" });
        for call in (1..).filter(|call| plan.takes(salt, *call)) {
            let disturbed = Disturbed { fault: *fault, call, for_ever: *for_ever };
            let _deadline = Deadline::begin(format!("{} {}", operation.name, disturbed.arguments()));
            let (point, checks) =
                run(operation, &scene, disturbed).map_err(|what| broken(disturbed.arguments(), what))?;
            report.count(operation.name, &kind, point.as_deref(), checks);
            if point.is_none() || plan.at.is_some() {
                break;
            }
        }
        Ok(())
    })
}

impl Disturbed {
    fn arguments(self) -> String {
        let for_ever = if self.for_ever { "yes" } else { "no" };
        format!("--fault {} --at {} --for-ever {for_ever}", self.fault, self.call)
    }
}

/// One run. Returns what failed first, if anything did, and how many stores were looked through.
fn run(operation: &Operation, scene: &Scene, disturbed: Disturbed) -> Result<(Option<String>, u64), String> {
    let machine = Machine::of(&scene.image, 1);
    let mut claims = scene.claims.clone();
    let disturb = async {
        let mut engine = None;
        if !operation.opens() {
            let opened = machine.open(operation.remote).await.map_err(|error| format!("not opened: {error:?}"))?;
            opened.resumed().await.map_err(|error| format!("not resumed: {error:?}"))?;
            settle().await;
            engine = Some(opened);
        }
        scene.set(operation.act, &machine, &mut claims).await?;
        threaten(operation.act, &mut claims, true);
        machine.faults.order(disturbed.fault, disturbed.call, disturbed.for_ever);
        match perform(operation, &machine, scene, &mut engine).await {
            Ok(()) => promise(operation.act, &mut claims),
            Err(Read::Failed(_)) => {}
            Err(Read::Wrong(what)) => return Err(what),
        }
        settle().await;
        // What a process leaves that is killed now, and what the power leaves.
        let left = [machine.power.kept(), machine.power.least()];
        machine.faults.heal();
        if let Some(engine) = engine.filter(|_| operation.act != Act::Close) {
            go_on(&machine, &engine).await.map_err(|what| format!("the same process: {what}"))?;
        }
        Ok(left)
    };
    let [kept, least] = process::run(disturb)?;
    let later = machine.power.least();
    let point = machine.faults.point();
    let checks = look_at(&[("killed", &kept), ("cut", &least), ("cut later", &later)], &claims);
    let checks = checks.map_err(|what| format!("{}: {what}", point.as_deref().unwrap_or("nothing has failed")))?;
    Ok((point, checks))
}

/// Nothing fails any more, and the store goes on by itself.
async fn go_on(machine: &Machine, engine: &dagstore_engine::Engine) -> Result<(), String> {
    for _ in 0..MENDING {
        settle().await;
        if engine.degraded().is_none() {
            break;
        }
    }
    all_usable(machine, engine).await
}

fn look_at(left: &[(&str, &Image)], claims: &Claims) -> Result<u64, String> {
    let mut checks = 0;
    for (at, (how, image)) in left.iter().enumerate() {
        if left[..at].iter().all(|(_, before)| before != image) {
            checks += 1;
            check(image, claims, 2).map_err(|what| format!("{how}, and opened again: {what}"))?;
        }
    }
    Ok(checks)
}
