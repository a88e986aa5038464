//! What every runbook must hold to, wherever it was read from: checked when a catalogue is built and when it is opened.

use std::collections::BTreeSet;

use proto::field::{BadField, text};

use super::{Collect, Condition, Expect, Runbook};
use crate::fault::WatchKind;

/// The longest that cooldown and timeout may be: a day.
pub const SPAN_MAX_SECONDS: u64 = 24 * 3600;

impl Runbook {
    /// Refuses what must not be. The complaint names the key and what is right.
    pub fn check(&self) -> Result<(), BadField> {
        let bad = |key: &str, problem: String| Err(BadField::new(key, problem));
        text("title", &self.title, 120)?;
        text("why", &self.why, 1000)?;
        text("undo", &self.undo, 1000)?;
        if self.version == 0 {
            return bad("version", "must be at least 1".into());
        }
        listed("hipaa", &self.hipaa, 16)?;
        for (at, citation) in self.hipaa.iter().enumerate() {
            if !is_citation(citation) {
                return bad(&format!("hipaa[{at}]"), "must look like 45 CFR 164.308(a)(7)(ii)(A)".into());
            }
        }
        listed("triggers", &self.triggers, 16)?;
        listed("evidence", &self.evidence, Collect::ALL.len())?;
        if self.limits.per_hour == 0 {
            return bad("limits.per_hour", "must be at least 1".into());
        }
        if self.cooldown_seconds > SPAN_MAX_SECONDS {
            return bad("cooldown_seconds", format!("must be at most {SPAN_MAX_SECONDS}"));
        }
        if self.timeout_seconds == 0 || self.timeout_seconds > SPAN_MAX_SECONDS {
            return bad("timeout_seconds", format!("must be 1 to {SPAN_MAX_SECONDS}"));
        }
        self.check_parameters()?;
        self.check_conditions("precondition", &self.precondition, Expect::Present)?;
        self.check_conditions("verification", &self.verification, Expect::Gone)?;
        self.check_that_repair_is_verified()
    }

    /// Declared and used are the same set, and every use is of the right kind.
    fn check_parameters(&self) -> Result<(), BadField> {
        for name in self.parameters.keys() {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if !(1..=40).contains(&name.len())
                || !name.bytes().all(plain)
                || !name.as_bytes()[0].is_ascii_lowercase()
            {
                let right =
                    "must be 1 to 40 lower-case letters, digits and underscores, beginning with a letter";
                return Err(BadField::new(format!("parameters.{name}"), right));
            }
        }
        if self.steps.is_empty() || self.steps.len() > 16 {
            return Err(BadField::new("steps", format!("must be 1 to 16 steps, are {}", self.steps.len())));
        }
        for (at, step) in self.steps.iter().enumerate() {
            let (action, target) = (step.action, &step.target);
            self.check_use(&format!("steps[{at}].target"), target, action.kind(), action.as_str())?;
        }
        for (at, fault) in self.triggers.iter().enumerate() {
            if !self.parameters.values().any(|kind| *kind == fault.kind()) {
                let problem = format!("{fault} happens to a {}, but no parameter is one", fault.kind());
                return Err(BadField::new(format!("triggers[{at}]"), problem));
            }
        }
        let conditions =
            self.precondition.iter().chain(&self.verification).map(|condition| condition.on.as_str());
        let used: BTreeSet<&str> =
            self.steps.iter().map(|step| step.target.as_str()).chain(conditions).collect();
        match self.parameters.keys().find(|name| !used.contains(name.as_str())) {
            None => Ok(()),
            Some(name) => Err(BadField::new(
                format!("parameters.{name}"),
                "is declared and never used; remove it, or name it in a step or a condition",
            )),
        }
    }

    fn check_conditions(&self, key: &str, conditions: &[Condition], wanted: Expect) -> Result<(), BadField> {
        if conditions.len() > 16 || !conditions.iter().any(|condition| condition.expect == wanted) {
            return Err(BadField::new(
                key,
                format!("must be 1 to 16 conditions, at least one that expects {wanted}"),
            ));
        }
        for (at, condition) in conditions.iter().enumerate() {
            let (fault, on) = (condition.fault, &condition.on);
            self.check_use(&format!("{key}[{at}].on"), on, fault.kind(), fault.as_str())?;
            if conditions[..at].iter().any(|other| other.fault == fault && other.on == *on) {
                return Err(BadField::new(
                    format!("{key}[{at}]"),
                    format!("says twice what {fault} must be; once is right"),
                ));
            }
        }
        Ok(())
    }

    fn check_use(&self, key: &str, name: &str, needs: WatchKind, by: &str) -> Result<(), BadField> {
        match self.parameters.get(name) {
            Some(kind) if *kind == needs => Ok(()),
            Some(kind) => {
                Err(BadField::new(key, format!("names parameter {name}, a {kind}; {by} needs a {needs}")))
            }
            None => {
                let declared: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
                let problem = format!("names no declared parameter; declared are: {}", declared.join(", "));
                Err(BadField::new(key, problem))
            }
        }
    }

    /// A repair that nobody checks is a hope: what had to be there must be gone afterwards.
    fn check_that_repair_is_verified(&self) -> Result<(), BadField> {
        let gone = |before: &Condition| {
            self.verification.iter().any(|after| {
                after.fault == before.fault && after.on == before.on && after.expect == Expect::Gone
            })
        };
        match self.precondition.iter().find(|before| before.expect == Expect::Present && !gone(before)) {
            None => Ok(()),
            Some(before) => {
                let problem = format!(
                    "must expect {} on {} gone: the precondition expects it present",
                    before.fault, before.on
                );
                Err(BadField::new("verification", problem))
            }
        }
    }
}

/// One to `most` entries, none twice.
fn listed<T: PartialEq>(key: &str, list: &[T], most: usize) -> Result<(), BadField> {
    if list.is_empty() || list.len() > most {
        return Err(BadField::new(key, format!("must have 1 to {most} entries, has {}", list.len())));
    }
    match (1..list.len()).find(|at| list[..*at].contains(&list[*at])) {
        None => Ok(()),
        Some(at) => Err(BadField::new(format!("{key}[{at}]"), "is listed twice; once is right")),
    }
}

/// `45 CFR 164.3xx` and at least one paragraph: a section alone cites everything and nothing.
fn is_citation(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("45 CFR 164.3") else { return false };
    let (section, paragraphs) = rest.split_at(rest.find('(').unwrap_or(rest.len()));
    let plain = |s: &str| (1..=4).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric());
    section.len() == 2
        && section.bytes().all(|b| b.is_ascii_digit())
        && paragraphs
            .strip_prefix('(')
            .and_then(|p| p.strip_suffix(')'))
            .is_some_and(|p| p.split(")(").all(plain))
}
