//! An exception: a control waived for one tenant, because somebody answers for the risk until a day.
//!
//! It is 164.306(d)(3) as a document: where a measure is not reasonable and appropriate, say why, and what is done
//! instead. One without an end, past its end, or longer than a year is refused; nothing is waived for ever.

use std::time::Duration;

use proto::{
    digest::Digest,
    field::{BadField, text},
    time::Millis,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    control::ControlId,
    document::Baseline,
    tree::{BadSource, Keys},
};

/// The longest that an exception may last.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// One exception. The order of the fields is the order of its canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The control that is waived.
    pub control: ControlId,
    /// Why it cannot be kept.
    pub reason: String,
    /// What can happen because of that.
    pub risk: String,
    /// What is done instead.
    pub compensating: String,
    /// Who answers for it.
    pub approver: String,
    /// From when.
    pub issued: Millis,
    /// Until when; at most a year.
    pub expires: Millis,
}

impl Exception {
    /// Reads an exception from JSON and refuses one that does not hold at `now`. `file` names it in a complaint.
    pub fn from_json(bytes: &[u8], file: &str, now: Millis) -> Result<Self, BadSource> {
        let tree = serde_json::from_slice(bytes).map_err(|e| BadSource::new(file, "json", e.to_string()))?;
        let exception = Self::from_tree(tree, file, now)?;
        if exception.canonical() != bytes {
            let right = "must be canonical: no spaces, keys in the order of the schema and each once";
            return Err(BadSource::new(file, "json", right));
        }
        Ok(exception)
    }

    /// Reads one that a document gives: canonical, for the control that the document is named by. Whether it holds now is not
    /// asked.
    pub fn of_document(content: &[u8], control: &str) -> Result<Self, BadField> {
        let exception: Self =
            serde_json::from_slice(content).map_err(|e| BadField::new("content", e.to_string()))?;
        if exception.canonical() != content {
            let right = "must be canonical: no spaces, keys in the order of the schema and each once";
            return Err(BadField::new("content", right));
        }
        if exception.control.to_string() != control {
            let problem = format!("is {}, must be {control}: the document's name", exception.control);
            return Err(BadField::new("content.control", problem));
        }
        exception.check().map_err(|bad| bad.within("content"))?;
        Ok(exception)
    }

    /// Reads one that is baked into an image: JSON of any layout, every key once and no other. Whether it holds now is not
    /// asked: at its start, a box does not know the time.
    pub fn of_image(content: &[u8], file: &str) -> Result<Self, BadSource> {
        let exception: Self =
            serde_json::from_slice(content).map_err(|e| BadSource::new(file, "json", e.to_string()))?;
        exception.check().map_err(|bad| BadSource::new(file, &bad.field, bad.problem))?;
        if Baseline::hipaa_v1().control(exception.control).is_none() {
            let problem = format!("is {}, which the baseline does not have", exception.control);
            return Err(BadSource::new(file, "control", problem));
        }
        Ok(exception)
    }

    pub(crate) fn from_tree(tree: Value, file: &str, now: Millis) -> Result<Self, BadSource> {
        let mut keys = Keys::of(file, "", tree)?;
        let exception = Self {
            control: keys.one("control")?,
            reason: keys.one("reason")?,
            risk: keys.one("risk")?,
            compensating: keys.one("compensating")?,
            approver: keys.one("approver")?,
            issued: keys.one("issued")?,
            expires: keys.one("expires")?,
        };
        keys.finish()?;
        exception.holds(now).map_err(|refused| BadSource::new(file, &refused.field, refused.problem))?;
        Ok(exception)
    }

    /// Its canonical bytes.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data serialises")
    }

    /// What it is known by: SHA-256 of its canonical bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.canonical())
    }

    /// Refuses one that must not be, or does not hold at `now`; the complaint names the field.
    pub fn holds(&self, now: Millis) -> Result<(), BadField> {
        self.check()?;
        if now < self.issued {
            return Err(BadField::new("issued", format!("must not be after now, {now}")));
        }
        if now >= self.expires {
            return Err(BadField::new(
                "expires",
                format!("is past: {} came before now, {now}", self.expires),
            ));
        }
        Ok(())
    }

    /// Refuses one that must not be at any time.
    pub fn check(&self) -> Result<(), BadField> {
        for (field, value) in
            [("reason", &self.reason), ("risk", &self.risk), ("compensating", &self.compensating)]
        {
            text(field, value, 800)?;
        }
        text("approver", &self.approver, 120)?;
        if self.expires <= self.issued {
            return Err(BadField::new("expires", format!("must be after issued, {}", self.issued)));
        }
        if self.expires.since(self.issued) > LONGEST {
            let last = self.issued.plus(LONGEST);
            return Err(BadField::new("expires", format!("must be at most 365 days after issued: {last}")));
        }
        Ok(())
    }
}
