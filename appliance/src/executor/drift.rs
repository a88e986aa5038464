//! Scans of the baseline: on the executor's own timer and after each execution, signed every day and whenever the set of
//! drifted controls changes.
//!
//! The rule: nobody has to ask for one. The agent's questions are answered from the last scan; what an order is decided
//! on is looked at anew.

use std::{collections::BTreeSet, time::Duration};

use baseline::{Baseline, ControlId, Finding, ReadingValue, Verdict, Word};
use proto::{
    evidence::{Body, ControlFinding, Scan, Seen, Standing, Token},
    field::BadField,
};

use super::{ExecutorCore, ExecutorError, measure::Taken};
use crate::config::WatchEntry;

/// How long the first scan waits: a box that is just starting is not all up yet, the agent first of all.
const SETTLING: Duration = Duration::from_secs(60);
/// How often a scan is signed in which nothing has changed.
const SIGN_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What is known of the machine's drift.
#[derive(Default)]
pub(super) struct Scans {
    /// When the next one is due, by the boot-time clock; `None`: not begun yet.
    due: Option<Duration>,
    /// What had drifted in the last one that was signed, and when that was (active time).
    signed: Option<(BTreeSet<ControlId>, Duration)>,
}

impl ExecutorCore {
    /// Time until the next scan; `None`: nobody wants one, or nobody can sign it.
    pub(super) fn scan_due(&mut self) -> Option<Duration> {
        self.identity.as_ref()?;
        let every = self.scan_every()?;
        let now = self.time.boot();
        let due = *self.scans.due.get_or_insert(now + every.min(SETTLING));
        Some(due.saturating_sub(now))
    }

    /// The next scan must come now: something was done to the machine.
    pub(super) fn scan_soon(&mut self) {
        self.scans.due = Some(Duration::ZERO);
    }

    fn scan_every(&self) -> Option<Duration> {
        let every = |entry: &WatchEntry| match entry {
            WatchEntry::Baseline(entry) => Some(entry.every),
            _ => None,
        };
        self.settings.watch.values().filter_map(every).min()
    }

    /// Keeps a scan for whoever asks, and signs it where it says something new.
    pub(super) fn end_scan(
        &mut self,
        findings: &[Finding],
        at: Duration,
        took: Duration,
    ) -> Result<(), ExecutorError> {
        let Some(every) = self.scan_every() else { return Ok(()) };
        self.scans.due = Some(self.time.boot() + every);
        let readings = super::steps::drift_readings(findings);
        let entries = self.settings.watch.values().filter(|entry| matches!(entry, WatchEntry::Baseline(_)));
        let ids: Vec<_> = entries.map(|entry| entry.id().clone()).collect();
        for id in ids {
            // For two turns: one that is late must not have the agent look for itself.
            self.remember_for(Taken::new(id, readings.clone(), at, took), every * 2);
        }
        let drifted: BTreeSet<ControlId> =
            findings.iter().filter(|f| f.verdict == Verdict::Drifted).map(|f| f.control).collect();
        let active = self.time.active();
        let is_news = self
            .scans
            .signed
            .as_ref()
            .is_none_or(|(before, when)| *before != drifted || active >= *when + SIGN_EVERY);
        let Some(identity) = self.identity.clone().filter(|_| is_news) else { return Ok(()) };
        if !self.has_room(1)? {
            return Ok(());
        }
        let scan = record(findings)?;
        let sealer = self.sealer(identity);
        self.store.write(|tx| sealer.append(tx, Body::Scan(scan)))?;
        self.scans.signed = Some((drifted, active));
        Ok(())
    }
}

/// Findings as evidence keeps them.
fn record(findings: &[Finding]) -> Result<Scan, BadField> {
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
    let findings = findings.iter().map(one).collect::<Result<_, BadField>>()?;
    Ok(Scan { baseline: Baseline::hipaa_v1().digest(), findings })
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
