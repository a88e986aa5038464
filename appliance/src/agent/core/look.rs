//! Looking: every source once, what it came to into the outbox, the cursor with it.

use proto::{
    ids::EventId,
    local,
    sync::{Event, Phase},
    time::Millis,
};

use super::{AgentCore, AgentError, incarnation};
use crate::{
    agent::{
        detect,
        executor::{self, AskError},
        outbox::{Intake, Item},
        sources::{
            Observation, Produced,
            evidence::{self, Place},
        },
    },
    world::draw,
};

/// The most readings of one event, as the contract has it.
const READINGS_MAX: usize = 32;

/// What a look at all sources came to.
#[derive(Debug, Default)]
pub struct Collected {
    /// New records in the outbox.
    pub records: usize,
    /// Whether a log has more to read now.
    pub more: bool,
    /// Whether a log waits until there is room for its lines.
    pub waits: bool,
    /// What went wrong, by source; the others were looked at all the same, and nothing is lost: a cursor moves only
    /// together with its records.
    pub problems: Vec<AgentError>,
}

impl Collected {
    fn note(&mut self, result: Result<usize, AgentError>) {
        match result {
            Ok(records) => self.records += records,
            Err(problem) => self.problems.push(problem),
        }
    }
}

impl AgentCore {
    /// Looks at every source, each by itself, so that one that fails hides no other.
    pub fn collect(&mut self, now: Millis) -> Collected {
        let readings = self.measured.poll(self.executor.as_mut());
        self.collect_measured(readings, now)
    }

    /// The same with readings that were taken beside: opening a repository takes seconds, in which an answer of the
    /// control plane should not have to wait for this core.
    pub fn collect_measured(&mut self, readings: (Produced, Vec<AskError>), now: Millis) -> Collected {
        let mut collected = Collected::default();
        collected.note(self.collect_evidence(now));
        let (measured, problems) = readings;
        collected.problems.extend(problems.into_iter().map(AgentError::from));
        collected.note(self.take("readings", measured, now));
        let metrics = self.metrics.poll();
        collected.note(self.take("metrics", metrics, now));
        self.look_at_logs(&mut collected, now);
        for at in 0..self.journals.len() {
            collected.note(self.collect_journal(at, now));
        }
        collected
    }

    /// Looks at the logs alone, once.
    pub fn collect_logs(&mut self, now: Millis) -> Collected {
        let mut collected = Collected::default();
        self.look_at_logs(&mut collected, now);
        collected
    }

    fn look_at_logs(&mut self, collected: &mut Collected, now: Millis) {
        for at in 0..self.logs.len() {
            let room = match (self.logs[at].is_forwarder(), self.outbox.lines_room()) {
                // What a watcher finds makes room for itself: the oldest lines go.
                (false, _) => usize::MAX,
                (true, 0) => {
                    collected.waits = true;
                    continue;
                }
                (true, room) => room,
            };
            let taken = self.collect_log(at, now, room);
            collected.more |= taken.as_ref().is_ok_and(|(_, more)| *more);
            collected.note(taken.map(|(records, _)| records));
        }
    }

    fn collect_log(&mut self, at: usize, now: Millis, room: usize) -> Result<(usize, bool), AgentError> {
        let name = self.logs[at].name();
        let cursor = self.outbox.cursor(&name)?;
        let produced = self.logs[at].poll(cursor.as_deref(), now, room);
        let more = produced.more;
        Ok((self.take(&name, produced, now)?, more))
    }

    fn collect_journal(&mut self, at: usize, now: Millis) -> Result<usize, AgentError> {
        let name = self.journals[at].name();
        let cursor = self.outbox.cursor(&name)?;
        let produced = self.journals[at].poll(cursor.as_deref(), now);
        self.take(&name, produced, now)
    }

    /// Takes the evidence that the executor has and the outbox has room for. Gives how many records.
    pub fn collect_evidence(&mut self, now: Millis) -> Result<usize, AgentError> {
        let mut place = self.evidence_place()?;
        let mut taken = 0;
        loop {
            let room = u32::try_from(self.outbox.evidence_room()).unwrap_or(u32::MAX);
            if room == 0 {
                return Ok(taken);
            }
            let most_bytes = room.min(evidence::AT_ONCE);
            let ask = local::Collect { from: place.next, wait_ms: 0, most_bytes };
            let collected = executor::collect(self.executor.as_mut(), ask)?;
            let (after, mut items): (Vec<u64>, Vec<_>) =
                evidence::items(collected, place.next).into_iter().unzip();
            items.truncate(self.outbox.evidence_that_fits(&items));
            let Some(next) = items.len().checked_sub(1).map(|last| after[last]) else { return Ok(taken) };
            place.next = next;
            taken += items.len();
            let source = evidence::SOURCE.to_owned();
            let intake = Intake { source, cursor: Some(place.write()), items, ..Intake::default() };
            self.outbox.commit(&intake, now)?;
        }
    }

    /// Where the next evidence begins: what to wait for.
    pub fn evidence_place(&mut self) -> Result<Place, AgentError> {
        let incarnation = incarnation(&executor::describe(self.executor.as_mut())?)?;
        Ok(Place::read(self.outbox.cursor(evidence::SOURCE)?.as_deref(), incarnation))
    }

    fn take(&mut self, source: &str, produced: Produced, now: Millis) -> Result<usize, AgentError> {
        let mut intake = Intake { source: source.to_owned(), cursor: produced.cursor, ..Intake::default() };
        for observation in produced.observations {
            let key = detect::Key { fault: observation.fault, watch: observation.watch.clone() };
            let before = self.outbox.detector(&key)?;
            let holds = observation.fault.holds(&observation.readings);
            let (after, phase) = detect::step(observation.fault, before, holds, now);
            intake.detectors.push((key, after));
            intake.items.extend(phase.map(|phase| self.event(observation, phase, now).into()));
        }
        intake.items.extend(produced.lines.into_iter().map(Item::Lines));
        self.outbox.commit(&intake, now)?;
        Ok(intake.items.len())
    }

    fn event(&self, observation: Observation, phase: Phase, now: Millis) -> Event {
        Event {
            id: EventId::new(now, draw(self.entropy.as_ref())),
            kind: observation.fault.to_string(),
            watch: observation.watch,
            phase,
            at: now,
            readings: observation.readings.into_iter().take(READINGS_MAX).collect(),
            note: observation.note,
        }
    }
}
