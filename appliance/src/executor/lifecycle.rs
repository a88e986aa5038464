//! Running orders, one at a time: measure, confirm, write down "started", do the steps, measure again, judge, and
//! write the evidence together with the end.
//!
//! The rule: "started" is on disk before the first step, so no power cut makes a step happen twice; and what was
//! accepted has evidence in the end, whatever happened.
//!
//! ```text
//!  accepted ──Check──> admitted, confirmed ──> started ──Run──────> finished: repaired, ineffective, failed
//!     └──────────────> refused                    └─ (power cut) ──Recover──> finished: interrupted, interrupted-repaired
//! ```

use std::time::Duration;

use proto::{
    digest::Digest,
    evidence::{Body, Execution, Readings, Step, StepResult, Verdict},
    field::BadField,
    ids::WatchId,
    order::{ORDER_LIFETIME_MAX, Order},
};
use runbooks::{Guardrail, Refusal, admit, verify};

use super::{
    ExecutorCore, ExecutorError, chain_of,
    standing::Looking,
    store::{Beginning, StoreError, Waiting, Write},
    work::{Done, Interrupted, Measured, Outcome, Performed, Running, Targets, Task, Work, flat, judge},
};

/// How often the hold file is looked at while there is nothing to do.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What there is to do next.
pub enum Next {
    /// Nothing, for that long.
    Idle(Duration),
    /// Something was done; ask again.
    Progress,
    /// Something that takes its time; hand what comes out to [`ExecutorCore::conclude`].
    Work(Work),
}

/// The end of an order, to be written down; again and again if the disk is full.
pub(super) struct Finish {
    sequence: u64,
    body: Body,
    verdict: Option<Verdict>,
    outputs: Vec<Vec<u8>>,
    restores: Vec<WatchId>,
}

impl ExecutorCore {
    /// Finds the next thing to do: evidence that could not be written, an order that a power cut broke off, the next
    /// order, a heartbeat, a change of the hold.
    pub fn next_work(&mut self) -> Result<Next, ExecutorError> {
        if let Some(finish) = self.unfinished.take() {
            self.finish(finish)?;
            return Ok(Next::Progress);
        }
        if self.note_hold()? {
            return Ok(Next::Progress);
        }
        if let Some(next) = self.next_order()? {
            return Ok(next);
        }
        if self.stands_due().is_zero() {
            return Ok(Next::Work(self.work(Task::Stands, Targets::new())));
        }
        let (mut idle, mut is_crowded) = (LOOK_EVERY, false);
        if let Some(due) = self.heartbeat_due()? {
            if due.is_zero() && self.has_room(1)? {
                self.beat()?;
                return Ok(Next::Progress);
            }
            is_crowded = due.is_zero();
            idle = if is_crowded { idle } else { idle.min(due) };
        }
        match self.next_look()? {
            Looking::Now(work) => return Ok(Next::Work(work)),
            Looking::In(due) => idle = idle.min(due),
            Looking::Never => {}
        }
        if let Some(due) = self.scan_due() {
            if due.is_zero() {
                return Ok(Next::Work(self.work(Task::Scan, Targets::new())));
            }
            idle = idle.min(due);
        }
        self.beat_if_due(is_crowded)?;
        Ok(Next::Idle(idle))
    }

    fn next_order(&mut self) -> Result<Option<Next>, ExecutorError> {
        if let Some(waiting) = self.store.view().started()? {
            if self.running == Some(waiting.sequence) {
                return Ok(None);
            }
            return self.recover(waiting).map(Some);
        }
        let Some(waiting) = self.store.view().accepted()? else { return Ok(None) };
        if self.time.now().is_none() && self.time.session() < ORDER_LIFETIME_MAX {
            // Begun anew with an order in hand: whether it is still fresh is said by the next token.
            return Ok(None);
        }
        let order = self.stored(&waiting, None)?;
        match self.admit_again(&waiting, |_| Ok(()))? {
            Ok(()) => {
                let targets = self.targets(&order)?;
                Ok(Some(Next::Work(self.work(Task::Check(waiting), targets))))
            }
            Err(refusal) => self.end_refused(&waiting, &order, &refusal).map(|()| Some(Next::Progress)),
        }
    }

    /// Guardrails 1 to 10 and 12 on an order of the journal, as of now; then `confirm`.
    fn admit_again<T>(
        &self,
        waiting: &Waiting,
        confirm: impl FnOnce(runbooks::Admitted) -> Result<T, Refusal>,
    ) -> Result<Result<T, Refusal>, ExecutorError> {
        let Some(charter) = self.trust.charter() else {
            return Err(BadField::new("charter", "is not believed here any more").into());
        };
        if let Some(used) = waiting.standing {
            return self.admit_standing_again(waiting, used, charter, confirm);
        }
        let verified = match verify(&waiting.envelope, charter, self.time.now()) {
            Ok(verified) => verified,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // Its own acceptance raised the highest sequence to it.
        let high_before = waiting.sequence.saturating_sub(1);
        self.with_facts(&verified.value().clone(), high_before, |facts| confirm(admit(verified, facts)?))
    }

    fn targets(&self, order: &Order) -> Result<Targets, StoreError> {
        let mut targets = Targets::new();
        for (name, watch) in &order.core.parameters {
            if let Some(target) = self.target(watch)? {
                targets.insert(name.clone(), target);
            }
        }
        Ok(targets)
    }

    pub(super) fn work(&self, task: Task, targets: Targets) -> Work {
        let now = self.time.best();
        Work { task, targets, now, host: self.host.clone(), clock: self.world.clock.clone() }
    }

    /// Takes what came out of [`Work`]; gives what follows from it at once.
    pub fn conclude(&mut self, done: Done) -> Result<Option<Work>, ExecutorError> {
        match done.0 {
            Outcome::Scanned { scanned, at, took } => self.end_scan(&scanned, at, took).map(|()| None),
            Outcome::Checked { waiting, readings } => self.start(waiting, readings),
            Outcome::Ran { running, performed, after, took } => {
                self.pulse.was_at_work(took);
                self.end_run(&running, performed, &after, took).map(|()| None)
            }
            Outcome::Recovered { interrupted, after } => {
                self.end_recovered(&interrupted, &after).map(|()| None)
            }
            Outcome::Stands(stands) => self.end_stands(stands).map(|()| None),
            Outcome::Looked { key, taken } => self.looked(&key, &taken).map(|()| None),
        }
    }

    /// All twelve guardrails at one moment, with what was just measured; then "started", durably; then the steps.
    fn start(&mut self, waiting: Waiting, readings: Measured) -> Result<Option<Work>, ExecutorError> {
        let order = self.stored(&waiting, None)?;
        let confirmed = self.admit_again(&waiting, |admitted| {
            let presence = admitted.runbook().presence(&readings);
            admitted.confirm(presence).map_err(|(_, refusal)| refusal)
        })?;
        let confirmed = match confirmed {
            Ok(confirmed) => confirmed,
            Err(refusal) => return self.end_refused(&waiting, &order, &refusal).map(|()| None),
        };
        let beginning = Beginning {
            runbook: confirmed.runbook().clone(),
            guardrails: confirmed.passed().iter().copied().map(Guardrail::name).map(str::to_owned).collect(),
            before: flat(&readings),
        };
        let targets = self.targets(&order)?;
        let times = self.time.durable();
        self.store.write(|tx| {
            tx.start(waiting.sequence, &beginning, times.active)?;
            tx.keep_times(&times)
        })?;
        self.running = Some(waiting.sequence);
        let task = Task::Run(Box::new(Running { waiting, confirmed, before: readings }));
        Ok(Some(self.work(task, targets)))
    }

    /// An order that had begun when the power failed: nothing of it is done again.
    fn recover(&mut self, waiting: Waiting) -> Result<Next, ExecutorError> {
        let beginning = self.store.view().beginning(waiting.sequence)?;
        let order = self.stored(&waiting, Some(&beginning.runbook))?;
        let targets = self.targets(&order)?;
        let interrupted = Interrupted { waiting, order, beginning };
        Ok(Next::Work(self.work(Task::Recover(Box::new(interrupted)), targets)))
    }

    fn end_run(
        &mut self,
        running: &Running,
        performed: Performed,
        after: &Measured,
        took: Duration,
    ) -> Result<(), ExecutorError> {
        let runbook = running.confirmed.runbook();
        let verdict = judge(&performed.steps, runbook.steps.len(), runbook.worked(after));
        let execution = Execution {
            order: self.waiting_facts(&running.waiting, running.confirmed.order())?,
            hipaa: runbook.hipaa.clone(),
            guardrails: running
                .confirmed
                .passed()
                .iter()
                .copied()
                .map(Guardrail::name)
                .map(str::to_owned)
                .collect(),
            before: flat(&running.before),
            steps: performed.steps,
            after: flat(after),
            verdict,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        self.finish(Finish {
            sequence: running.waiting.sequence,
            body: Body::Execution(Box::new(execution)),
            verdict: Some(verdict),
            outputs: performed.outputs,
            restores: performed.restores,
        })
    }

    fn end_recovered(&mut self, interrupted: &Interrupted, after: &Measured) -> Result<(), ExecutorError> {
        let Interrupted { waiting, order, beginning } = interrupted;
        let runbook = &beginning.runbook;
        let worked = runbook.worked(after);
        let verdict = if worked { Verdict::InterruptedRepaired } else { Verdict::Interrupted };
        // Which of the steps it was, nobody knows: the first may not have begun, the last may be done.
        let unknown = |step: &runbooks::Step| Step {
            action: step.action.to_string(),
            result: StepResult::Interrupted,
            took_ms: 0,
            counts: Readings::new(),
            output: None,
        };
        let execution = Execution {
            order: self.waiting_facts(waiting, order)?,
            hipaa: runbook.hipaa.clone(),
            guardrails: beginning.guardrails.clone(),
            before: beginning.before.clone(),
            steps: runbook.steps.iter().map(unknown).collect(),
            after: flat(after),
            verdict,
            took_ms: 0,
        };
        self.finish(Finish {
            sequence: waiting.sequence,
            body: Body::Execution(Box::new(execution)),
            verdict: Some(verdict),
            outputs: Vec::new(),
            restores: Vec::new(),
        })
    }

    fn end_refused(
        &mut self,
        waiting: &Waiting,
        order: &Order,
        refusal: &Refusal,
    ) -> Result<(), ExecutorError> {
        let facts = self.waiting_facts(waiting, order)?;
        let body = self.refusal_body(waiting.digest, Some(facts), refusal);
        self.finish(Finish {
            sequence: waiting.sequence,
            body,
            verdict: None,
            outputs: Vec::new(),
            restores: Vec::new(),
        })
    }

    /// Evidence and journal in one commit. What cannot be written stays in memory and is tried again; until then no
    /// other order runs, and after a power cut the journal says "started".
    fn finish(&mut self, finish: Finish) -> Result<(), ExecutorError> {
        let written = self.write_end(&finish);
        if let Err(error) = &written {
            tracing::error!(
                order.sequence = finish.sequence,
                "evidence could not be written yet: {}",
                chain_of(error)
            );
            self.unfinished = Some(finish);
            return written;
        }
        self.running = None;
        self.forget_readings();
        self.scan_soon();
        written
    }

    fn write_end(&mut self, finish: &Finish) -> Result<(), ExecutorError> {
        let identity = self
            .identity
            .clone()
            .ok_or_else(|| BadField::new("identity", "this executor is not enrolled"))?;
        let sealer = self.sealer(identity);
        let active = sealer.times().active;
        self.store.write(|tx: &Write<'_>| {
            sealer.append(tx, finish.body.clone())?;
            match finish.verdict {
                Some(verdict) => tx.finish(finish.sequence, verdict, active)?,
                None => tx.refuse(finish.sequence, active)?,
            }
            for output in &finish.outputs {
                tx.keep_output(finish.sequence, Digest::of(output), output)?;
            }
            for watch in &finish.restores {
                tx.prove_restore(watch, active)?;
            }
            Ok(())
        })
    }
}
