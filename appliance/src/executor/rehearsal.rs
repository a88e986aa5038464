//! A rehearsal: what a runbook of the catalogue would do on an entry now, for whoever stands at the box.
//!
//! The rule: nothing is done, nothing is counted and nothing is signed. It says names of files and units that evidence does
//! not, so it is said to the owner of the box and to nobody else: who asks is for [`serve`](super::serve) to look at.

use std::sync::Arc;

use proto::{
    evidence::Readings,
    field::BadField,
    ids::{RunbookId, WatchId},
    local,
};
use runbooks::{Fault, Runbook};

use super::{ExecutorCore, ExecutorError, measure::Target};
use crate::world::Host;

/// What is to be foreseen; may take its time.
pub struct Rehearsal {
    runbook: Runbook,
    parameter: String,
    target: Target,
    host: Arc<dyn Host>,
}

impl ExecutorCore {
    /// A rehearsal of `runbook` on the entry `watch`.
    pub fn rehearsal(&self, asked: &local::Foresee) -> Result<Rehearsal, ExecutorError> {
        let (id, watch): (RunbookId, WatchId) = (asked.runbook.parse()?, asked.watch.parse()?);
        let bad = |field: &str, problem: String| ExecutorError::from(BadField::new(field, problem));
        let catalogue = self.trust.catalogue();
        let entry = catalogue.runbook(&id).ok_or_else(|| {
            let known: Vec<&str> = catalogue.entries.keys().map(RunbookId::as_str).collect();
            bad("runbook", format!("{id} is not in the catalogue here; it has: {}", known.join(", ")))
        })?;
        let target =
            self.target(&watch)?.ok_or_else(|| bad("watch", format!("{watch} is not on the watch list")))?;
        let kind = target.entry.kind();
        let fits = |trigger: &Fault| entry.runbook.parameters_for(*trigger, &watch);
        let of_kind = entry.runbook.triggers.iter().filter(|trigger| trigger.kind() == kind);
        let parameter = of_kind.filter_map(fits).find_map(|parameters| parameters.into_keys().next());
        let parameter = parameter
            .ok_or_else(|| bad("watch", format!("{watch} is a {kind}, and {id} does nothing to one")))?;
        Ok(Rehearsal { runbook: entry.runbook.clone(), parameter, target, host: self.host.clone() })
    }
}

impl Rehearsal {
    /// Looks, and says what would be done.
    #[must_use]
    pub fn take(self) -> local::Foreseen {
        let Self { runbook, parameter, target, host } = self;
        let readings = host.measure(&target.entry, &target.facts);
        let presence = runbook.presence(&[(parameter, readings.clone())].into());
        let steps = runbook.steps.iter().map(|step| {
            let foreseen = host.foresee(step, &target.entry, &target.facts);
            local::ForeseenStep {
                action: step.action.to_string(),
                chosen: foreseen.chosen,
                counts: wire(&foreseen.counts),
            }
        });
        local::Foreseen {
            steps: steps.collect(),
            title: runbook.title.clone(),
            readings: wire(&readings),
            presence: presence.to_string(),
        }
    }
}

fn wire(readings: &Readings) -> Vec<local::Reading> {
    readings.iter().map(|(name, value)| local::Reading { name: name.clone(), value: *value }).collect()
}
