//! Scans of the baseline: on the executor's own timer and after each execution, signed every day and whenever what has
//! drifted or is excepted changes.
//!
//! The rule: nobody has to ask for one, and a box is looked at whether its watch list says so or not. The agent's questions
//! are answered from the last scan; what an order is decided on is looked at anew. The control plane opens and closes
//! incidents of the baseline by what is signed here, so whatever could do either is signed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use baseline::{Baseline, ControlId, Finding, ReadingValue, Verdict, Word};
use proto::{
    digest::Digest,
    evidence::{Body, ControlFinding, Readings, Scan, Seen, Standing, Token},
    field::BadField,
    ids::WatchId,
};

use super::{ExecutorCore, ExecutorError, measure::Taken};
use crate::{config::WatchEntry, world::Scanned};

/// How long the first scan waits: a box that is just starting is not all up yet, the agent first of all.
const SETTLING: Duration = Duration::from_secs(60);
/// How often a box is scanned whose watch list says nothing about it.
const SCAN_EVERY: Duration = Duration::from_secs(3600);
/// How often a scan is signed in which nothing has changed.
const SIGN_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What is known of the machine's drift.
#[derive(Default)]
pub(super) struct Scans {
    /// When the next one is due, by the boot-time clock; `None`: not begun yet.
    due: Option<Duration>,
    /// What the last one that was signed said, and when that was (active time).
    signed: Option<(Known, Duration)>,
    /// Something was done to the machine since the last one.
    was_worked_on: bool,
}

/// What makes a scan say something new.
#[derive(PartialEq, Eq)]
struct Known {
    /// Controls that have drifted or are excepted, and by which exception.
    controls: BTreeMap<ControlId, (Verdict, Option<Digest>)>,
    /// What their faults are judged by.
    readings: Readings,
}

impl Known {
    fn of(scanned: &Scanned) -> Self {
        let told = |found: &&Finding| matches!(found.verdict, Verdict::Drifted | Verdict::Excepted);
        let one = |found: &Finding| (found.control, (found.verdict, found.exception));
        let mut readings = scanned.readings.clone();
        // A program that sometimes does not answer in time would have every scan signed.
        readings.remove("not_evaluable");
        Self { controls: scanned.findings.iter().filter(told).map(one).collect(), readings }
    }

    fn has_drift(&self) -> bool {
        self.controls.values().any(|(verdict, _)| *verdict == Verdict::Drifted)
    }
}

impl ExecutorCore {
    /// Time until the next scan; `None`: nobody can sign it.
    pub(super) fn scan_due(&mut self) -> Option<Duration> {
        self.identity.as_ref()?;
        let every = self.scan_every();
        let now = self.time.boot();
        let due = *self.scans.due.get_or_insert(now + every.min(SETTLING));
        Some(due.saturating_sub(now))
    }

    /// The next scan must come now: something was done to the machine.
    pub(super) fn scan_soon(&mut self) {
        self.look_again();
        self.scans.was_worked_on = true;
    }

    /// The next scan must come now: what it is judged by has changed.
    pub(super) fn look_again(&mut self) {
        self.scans.due = Some(Duration::ZERO);
    }

    fn scan_every(&self) -> Duration {
        let every = |entry: &WatchEntry| match entry {
            WatchEntry::Baseline(entry) => Some(entry.every),
            _ => None,
        };
        self.settings.watch.values().filter_map(every).min().unwrap_or(SCAN_EVERY)
    }

    /// Keeps a scan for whoever asks, and signs it where it says something new.
    pub(super) fn end_scan(
        &mut self,
        scanned: &Scanned,
        at: Duration,
        took: Duration,
    ) -> Result<(), ExecutorError> {
        let every = self.scan_every();
        self.scans.due = Some(self.time.boot() + every);
        let entries = self.settings.watch.values().filter(|entry| matches!(entry, WatchEntry::Baseline(_)));
        let watch: BTreeSet<WatchId> = entries.map(|entry| entry.id().clone()).collect();
        for id in &watch {
            // For two turns: one that is late must not have the agent look for itself.
            self.remember_for(Taken::new(id.clone(), scanned.readings.clone(), at, took), every * 2);
        }
        let known = Known::of(scanned);
        let active = self.time.active();
        // After a repair, drift is said again: it may be back already, as it was before.
        let is_back = self.scans.was_worked_on && known.has_drift();
        let is_news = self
            .scans
            .signed
            .as_ref()
            .is_none_or(|(before, when)| *before != known || active >= *when + SIGN_EVERY);
        let Some(identity) = self.identity.clone().filter(|_| is_news || is_back) else {
            self.scans.was_worked_on = false;
            return Ok(());
        };
        if !self.has_room(1)? {
            return Ok(());
        }
        let scan = record(scanned, watch)?;
        let sealer = self.sealer(identity);
        self.store.write(|tx| sealer.append(tx, Body::Scan(scan)))?;
        self.scans.signed = Some((known, active));
        self.scans.was_worked_on = false;
        Ok(())
    }
}

/// A scan as evidence keeps it.
fn record(scanned: &Scanned, watch: BTreeSet<WatchId>) -> Result<Scan, BadField> {
    let one = |found: &Finding| {
        let reading = found.reading.iter().flatten();
        let finding = ControlFinding {
            standing: match found.verdict {
                Verdict::Compliant => Standing::Compliant,
                Verdict::Drifted => Standing::Drifted,
                Verdict::Excepted => Standing::Excepted,
                Verdict::NotEvaluable => Standing::NotEvaluable,
            },
            reading: reading
                .map(|(field, value)| Ok((Token::try_from(field.clone())?, seen(value)?)))
                .collect::<Result<_, BadField>>()?,
            blind: found.blind.map(|why| Token::try_from(why.to_string())).transpose()?,
            exception: found.exception,
        };
        Ok((found.control.to_string().try_into()?, finding))
    };
    let findings = scanned.findings.iter().map(one).collect::<Result<_, BadField>>()?;
    let baseline = Baseline::hipaa_v1().digest();
    Ok(Scan { baseline, watch, readings: scanned.readings.clone(), findings })
}

fn seen(value: &ReadingValue) -> Result<Seen, BadField> {
    let token = |word: &Word| Token::try_from(word.as_str().to_owned());
    Ok(match value {
        ReadingValue::Flag(flag) => Seen::Flag(*flag),
        ReadingValue::Number(number) => Seen::Number(*number),
        ReadingValue::Word(word) => Seen::Word(token(word)?),
        ReadingValue::Words(words) => Seen::Words(words.iter().map(token).collect::<Result<_, _>>()?),
    })
}
