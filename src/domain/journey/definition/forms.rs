//! What nodes have in common as they were written: where they lead, what they wait for, whether they may fail.

use smol_str::SmolStr;

use super::{AwaitedDefinition, NodeDefinition, NodeForm, OptimizeMethod, RacerDefinition, WaitDefinition};
use crate::domain::journey::findings::At;

impl NodeDefinition {
    /// Where it leads, in order; where an error leads comes last.
    pub fn targets(&self) -> Vec<&At<SmolStr>> {
        let mut targets = self.form.targets();
        targets.extend(&self.on_error);
        targets
    }
}

impl NodeDefinition {
    /// Where it leads, to be changed.
    pub fn targets_mut(&mut self) -> Vec<&mut At<SmolStr>> {
        let mut targets: Vec<&mut At<SmolStr>> = match &mut self.form {
            NodeForm::Wait { then, .. }
            | NodeForm::Message { then, .. }
            | NodeForm::UpdateProfile { then, .. }
            | NodeForm::Fragment { then, .. }
            | NodeForm::Jump { then, .. }
            | NodeForm::Lookup { then, .. }
            | NodeForm::Action { then, .. } => vec![then],
            NodeForm::Optimize { method } => match method {
                OptimizeMethod::Experiment { treatments, holdout } => {
                    let held_out = holdout.iter_mut().map(|(_, then)| then);
                    treatments.iter_mut().map(|treatment| &mut treatment.then).chain(held_out).collect()
                }
                OptimizeMethod::Targeting { rules, fallback } => {
                    rules.iter_mut().map(|rule| &mut rule.then).chain(fallback).collect()
                }
            },
            NodeForm::ProfileCap { then, otherwise, .. } => vec![then, otherwise],
            NodeForm::Split { shares } => shares.iter_mut().map(|share| &mut share.then).collect(),
            NodeForm::Condition { branches, otherwise } => {
                branches.iter_mut().map(|branch| &mut branch.then).chain(otherwise).collect()
            }
            NodeForm::Event { then, on_timeout, .. } => [then].into_iter().chain(on_timeout).collect(),
            NodeForm::FirstOf { arms } => arms.iter_mut().map(|arm| &mut arm.then).collect(),
            NodeForm::End | NodeForm::Broken => Vec::new(),
        };
        targets.extend(&mut self.on_error);
        targets
    }
}

impl NodeForm {
    /// Events that it waits for, to be changed.
    pub fn awaited_mut(&mut self) -> Vec<&mut AwaitedDefinition> {
        match self {
            Self::Event { awaited, .. } => vec![awaited],
            Self::FirstOf { arms } => {
                let events = arms.iter_mut().filter_map(|arm| match &mut arm.what {
                    RacerDefinition::Event(awaited) => Some(awaited),
                    RacerDefinition::Wait(_) => None,
                });
                events.collect()
            }
            _ => Vec::new(),
        }
    }

    /// Where it leads when all goes well, in order.
    fn targets(&self) -> Vec<&At<SmolStr>> {
        match self {
            Self::Wait { then, .. }
            | Self::Message { then, .. }
            | Self::UpdateProfile { then, .. }
            | Self::Jump { then, .. }
            | Self::Lookup { then, .. }
            | Self::Action { then, .. } => vec![then],
            Self::Optimize { method } => match method {
                OptimizeMethod::Experiment { treatments, holdout } => {
                    let held_out = holdout.iter().map(|(_, then)| then);
                    treatments.iter().map(|treatment| &treatment.then).chain(held_out).collect()
                }
                OptimizeMethod::Targeting { rules, fallback } => {
                    rules.iter().map(|rule| &rule.then).chain(fallback).collect()
                }
            },
            Self::ProfileCap { then, otherwise, .. } => vec![then, otherwise],
            Self::Split { shares } => shares.iter().map(|share| &share.then).collect(),
            Self::Condition { branches, otherwise } => branches.iter().map(|b| &b.then).chain(otherwise).collect(),
            Self::Event { then, on_timeout, .. } => [then].into_iter().chain(on_timeout).collect(),
            Self::FirstOf { arms } => arms.iter().map(|arm| &arm.then).collect(),
            Self::Fragment { then, .. } => vec![then],
            Self::End | Self::Broken => Vec::new(),
        }
    }

    /// Whether an instance may end here as completed.
    pub fn may_end(&self) -> bool {
        match self {
            Self::End | Self::Condition { otherwise: None, .. } => true,
            Self::Optimize { method: OptimizeMethod::Targeting { fallback, .. } } => fallback.is_none(),
            _ => false,
        }
    }

    /// Whether an instance may stop here for a time or an event.
    pub fn pauses(&self) -> bool {
        matches!(self, Self::Wait { .. } | Self::Event { .. } | Self::FirstOf { .. })
    }

    /// Events that it waits for, in order.
    pub fn awaited(&self) -> impl Iterator<Item = &AwaitedDefinition> {
        let (alone, arms) = match self {
            Self::Event { awaited, .. } => (Some(awaited), [].as_slice()),
            Self::FirstOf { arms } => (None, arms.as_slice()),
            _ => (None, [].as_slice()),
        };
        alone.into_iter().chain(arms.iter().filter_map(|arm| match &arm.what {
            RacerDefinition::Event(awaited) => Some(awaited),
            RacerDefinition::Wait(_) => None,
        }))
    }

    /// Waits of it, in order.
    pub fn waits(&self) -> impl Iterator<Item = &WaitDefinition> {
        let (alone, arms) = match self {
            Self::Wait { wait, .. } => (Some(wait), [].as_slice()),
            Self::FirstOf { arms } => (None, arms.as_slice()),
            _ => (None, [].as_slice()),
        };
        alone.into_iter().chain(arms.iter().filter_map(|arm| match &arm.what {
            RacerDefinition::Wait(wait) => Some(wait),
            RacerDefinition::Event(_) => None,
        }))
    }

    /// Whether an instant to wait for has to be worked out, which may fail.
    pub fn reckons(&self) -> bool {
        self.waits().any(|wait| matches!(wait, WaitDefinition::Until(_)))
    }

    /// Whether anything can fail here for which there is another way on.
    pub fn may_fail(&self) -> bool {
        match self {
            Self::Wait { .. } => self.reckons(),
            Self::Condition { .. }
            | Self::Event { .. }
            | Self::FirstOf { .. }
            | Self::UpdateProfile { .. }
            | Self::Jump { .. }
            | Self::Action { .. }
            | Self::Lookup { .. }
            | Self::Optimize { method: OptimizeMethod::Targeting { .. } }
            | Self::Broken => true,
            Self::Split { .. }
            | Self::Optimize { method: OptimizeMethod::Experiment { .. } }
            | Self::ProfileCap { .. }
            | Self::Message { .. }
            | Self::End
            | Self::Fragment { .. } => false,
        }
    }
}
