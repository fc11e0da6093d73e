//! What to do: the one command, and the steps by hand.

use super::super::elsewhere::elsewhere;
use super::super::units::duration;
use super::{Fact, capitalised, fact};
use crate::model::manifest::{Manifest, Step};
use serde::Serialize;

/// What to do.
#[derive(Debug, Serialize)]
pub(super) struct Steps {
    summary: String,
    /// The commands that do all of it: the one that shows what would be done first.
    commands: Vec<Fact>,
    requires: Vec<Fact>,
    by_hand: Vec<StepView>,
    /// Ways back without the store.
    elsewhere: Vec<Fact>,
}

/// One step by hand.
#[derive(Debug, Serialize)]
struct StepView {
    order: u32,
    action: String,
    owner: Option<String>,
    command: Option<String>,
    destructive: bool,
    estimate: Option<String>,
}

/// Says what to do.
pub(super) fn steps(manifest: &Manifest) -> Steps {
    let rollback = &manifest.rollback;
    let commands = rollback.commands.as_ref().map(|commands| {
        let does_it =
            "Then let holdpoint do it, which freezes the environment, saves the present state, and does the steps";
        vec![fact("Look at it first, which changes nothing", &commands.plan), fact(does_it, &commands.rollback)]
    });
    Steps {
        summary: capitalised(&rollback.summary),
        commands: commands.unwrap_or_default(),
        requires: rollback.requires.iter().map(|(name, value)| fact(name, value)).collect(),
        by_hand: rollback.steps.iter().map(step).collect(),
        elsewhere: elsewhere(manifest).into_iter().map(|way| fact(&capitalised(&way.when), way.command)).collect(),
    }
}

fn step(step: &Step) -> StepView {
    StepView {
        order: step.order,
        action: step.action.clone(),
        owner: step.owner.clone(),
        command: step.command.clone(),
        destructive: step.destructive,
        estimate: step.estimate_seconds.map(duration),
    }
}
