//! What takes its time and needs no database: measuring, and doing the steps. It is done without holding the core, so
//! that the agent is answered meanwhile.
//!
//! The rule: only what [`runbooks::Confirmed`] holds is done, and a step that was not done ends the rest.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proto::{
    digest::Digest,
    evidence::{Readings, Step, StepResult, Verdict},
    ids::WatchId,
    order::Order,
    time::Millis,
};
use runbooks::{Collect, Confirmed, Runbook};

use super::{
    measure::{Taken, Target},
    standing::{Key, Look},
    store::{Beginning, Waiting},
};
use crate::{
    redact::redact,
    world::{Clock, Host, HostFacts, Scanned, Stands},
};

/// A measurement or the steps of one order.
pub struct Work {
    pub(super) task: Task,
    pub(super) targets: Targets,
    /// The best time at hand when it was handed out.
    pub(super) now: Millis,
    pub(super) host: Arc<dyn Host>,
    pub(super) clock: Arc<dyn Clock>,
}

pub(super) type Targets = BTreeMap<String, Target>;
pub(super) type Measured = BTreeMap<String, Readings>;

pub(super) enum Task {
    Scan,
    /// To see what runs here, and how the clock is kept.
    Stands,
    Check(Waiting),
    Run(Box<Running>),
    Recover(Box<Interrupted>),
    /// To see whether the fault of a standing order is there.
    Look(Box<Look>),
}

/// An order that passed all twelve guardrails, and is written down as started.
pub(super) struct Running {
    pub(super) waiting: Waiting,
    pub(super) confirmed: Confirmed,
    pub(super) before: Measured,
}

/// An order that had started when the power failed.
pub(super) struct Interrupted {
    pub(super) waiting: Waiting,
    pub(super) order: Order,
    pub(super) beginning: Beginning,
}

/// What came out of [`Work`].
pub struct Done(pub(super) Outcome);

pub(super) enum Outcome {
    Stands(Stands),
    Scanned { scanned: Scanned, at: Duration, took: Duration },
    Checked { waiting: Waiting, readings: Measured },
    Ran { running: Box<Running>, performed: Performed, after: Measured, took: Duration },
    Recovered { interrupted: Box<Interrupted>, after: Measured },
    Looked { key: Key, taken: Taken },
}

impl Done {
    /// Whether nothing was done yet: the order can as well begin another time.
    #[must_use]
    pub fn is_before_the_start(&self) -> bool {
        matches!(
            self.0,
            Outcome::Checked { .. } | Outcome::Scanned { .. } | Outcome::Looked { .. } | Outcome::Stands(_)
        )
    }
}

/// What the steps came to.
#[derive(Default)]
pub(super) struct Performed {
    pub(super) steps: Vec<Step>,
    pub(super) outputs: Vec<Vec<u8>>,
    pub(super) restores: Vec<WatchId>,
}

impl Work {
    /// Does it.
    #[must_use]
    pub fn perform(mut self) -> Done {
        let began = self.clock.boot();
        Done(match self.task {
            Task::Scan => {
                let scanned = self.host.scan(self.now);
                let took = self.clock.boot().saturating_sub(began);
                Outcome::Scanned { scanned, at: began, took }
            }
            Task::Stands => Outcome::Stands(self.host.stands()),
            Task::Check(waiting) => Outcome::Checked {
                waiting,
                readings: measure(&*self.host, &*self.clock, &self.targets, began),
            },
            Task::Run(running) => {
                let runbook = running.confirmed.runbook();
                let performed = perform(runbook, &mut self.targets, &*self.host, &*self.clock);
                let after = measure(&*self.host, &*self.clock, &self.targets, began);
                Outcome::Ran { performed, after, took: self.clock.boot().saturating_sub(began), running }
            }
            Task::Look(look) => Outcome::Looked { key: look.key, taken: look.measurement.take() },
            Task::Recover(interrupted) => Outcome::Recovered {
                interrupted,
                after: measure(&*self.host, &*self.clock, &self.targets, began),
            },
        })
    }
}

/// The facts, by now: time goes on while steps run.
fn facts_by_now(facts: &HostFacts, passed: Duration) -> HostFacts {
    HostFacts {
        now: facts.now.plus(passed),
        restore_proven: facts.restore_proven.map(|since| since + passed),
    }
}

fn measure(host: &dyn Host, clock: &dyn Clock, targets: &Targets, began: Duration) -> Measured {
    let read = |target: &Target| {
        let passed = clock.boot().saturating_sub(began);
        host.measure(&target.entry, &facts_by_now(&target.facts, passed))
    };
    targets.iter().map(|(name, target)| (name.clone(), read(target))).collect()
}

/// Does the steps in order, until one of them is not done or the time is over.
fn perform(runbook: &Runbook, targets: &mut Targets, host: &dyn Host, clock: &dyn Clock) -> Performed {
    let began = clock.boot();
    let passed = || clock.boot().saturating_sub(began);
    let mut performed = Performed::default();
    for step in &runbook.steps {
        let at = passed();
        // Guardrail 7 has seen that every parameter names an entry.
        let Some(target) = targets.get_mut(&step.target) else { break };
        let within = runbook.timeout().saturating_sub(at);
        let outcome = host.perform(step, &target.entry, &facts_by_now(&target.facts, at), within);
        let took_ms = u64::try_from(passed().saturating_sub(at).as_millis()).unwrap_or(u64::MAX);
        // Redacted even where it stays here: what it names touches this disk no second time.
        let kept = redact(&outcome.output).into_bytes();
        // Only where the procedure says so: of a short or guessable text, a digest tells the text.
        let travels = runbook.evidence.contains(&Collect::Output) && !kept.is_empty();
        let output = travels.then(|| Digest::of(&kept));
        let action = step.action.to_string();
        performed.steps.push(Step {
            action,
            result: outcome.result,
            took_ms,
            counts: outcome.counts,
            output,
        });
        if !kept.is_empty() {
            performed.outputs.push(kept);
        }
        if outcome.result != StepResult::Done {
            break;
        }
        if step.action == runbooks::Action::ResticTestRestore {
            // Proven just now; what passes from here on is added to it.
            target.facts.restore_proven = Some(Duration::ZERO);
            performed.restores.push(target.entry.id().clone());
        }
    }
    performed
}

/// What an execution came to. A step that was not done is never good, even where the fault is gone: a backup that could
/// not read every file makes its repository fresh.
pub(super) fn judge(steps: &[Step], all: usize, worked: bool) -> Verdict {
    let ended = |result| steps.iter().any(|step| step.result == result);
    if ended(StepResult::Interrupted) {
        return if worked { Verdict::InterruptedRepaired } else { Verdict::Interrupted };
    }
    if steps.len() < all || steps.iter().any(|step| step.result != StepResult::Done) {
        return Verdict::Failed;
    }
    if worked { Verdict::Repaired } else { Verdict::Ineffective }
}

/// Readings as a record keeps them: by name, with the parameter before it where there are several.
pub(super) fn flat(measured: &Measured) -> Readings {
    if let (1, Some(readings)) = (measured.len(), measured.values().next()) {
        return readings.clone();
    }
    let named = |parameter: &str, name: &str| format!("{parameter}.{name}");
    measured
        .iter()
        .flat_map(|(parameter, readings)| {
            readings.iter().map(move |(name, value)| (named(parameter, name), *value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(result: StepResult) -> Step {
        Step { action: "files.prune".into(), result, took_ms: 1, counts: Readings::new(), output: None }
    }

    #[test]
    fn verdicts() {
        use StepResult::{Done, Failed, Interrupted, TimedOut};
        for (results, all, worked, expected) in [
            (&[Done, Done][..], 2, true, Verdict::Repaired),
            (&[Done, Done], 2, false, Verdict::Ineffective),
            (&[Done], 2, true, Verdict::Failed),
            (&[Done, Failed], 2, true, Verdict::Failed),
            (&[Failed], 2, false, Verdict::Failed),
            (&[TimedOut], 1, false, Verdict::Failed),
            (&[Done, Interrupted], 2, false, Verdict::Interrupted),
            (&[Interrupted], 1, true, Verdict::InterruptedRepaired),
        ] {
            let steps: Vec<Step> = results.iter().copied().map(step).collect();
            assert_eq!(judge(&steps, all, worked), expected, "{results:?} of {all}, worked: {worked}");
        }
    }

    #[test]
    fn readings_of_several_parameters_say_whose_they_are() {
        let one = |value| Readings::from([("bytes".to_owned(), value)]);
        assert_eq!(flat(&Measured::from([("directory".into(), one(1))])), one(1));
        let two = flat(&Measured::from([("a".into(), one(1)), ("b".into(), one(2))]));
        assert_eq!(two, Readings::from([("a.bytes".to_owned(), 1), ("b.bytes".to_owned(), 2)]));
    }
}
