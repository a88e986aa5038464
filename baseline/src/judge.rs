//! The verdict on a control: a pure function of what was seen, the exceptions, and the time.
//!
//! ```text
//!  nobody could look, or saw too little ──────────────────────────────> not-evaluable   (never "fine")
//!  seen: as expected ─────────────────────────────────────────────────> compliant
//!  seen: not as expected ──── no exception in force ──────────────────> drifted
//!                       └──── an exception of this control in force ──> excepted
//! ```

use std::collections::BTreeMap;

use proto::{digest::Digest, time::Millis};
use serde::{Deserialize, Serialize};

use crate::{
    control::{Control, ControlId},
    document::Baseline,
    exception::Exception,
    expect::Met,
    probe::Probe,
    reading::{Blind, Looked, Reading},
};

proto::vocabulary! {
    /// How a control stands.
    pub enum Verdict as "verdict" {
        /// As it must be.
        Compliant = "compliant",
        /// Not as it must be.
        Drifted = "drifted",
        /// Not as it must be, and somebody answers for that until a day.
        Excepted = "excepted",
        /// Nobody can tell.
        NotEvaluable = "not-evaluable",
    }
}

/// What a scan found of one control; made to be evidence, so it holds words and numbers that the probe declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Which control.
    pub control: ControlId,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen, if anything was.
    pub reading: Option<Reading>,
    /// Fields that are not as they must be, or that are missing.
    pub fields: Vec<String>,
    /// Why nobody can tell.
    pub blind: Option<Blind>,
    /// The exception in force, by the SHA-256 of its canonical JSON.
    pub exception: Option<Digest>,
}

/// Judges one control.
///
/// `now` is the trusted time, or its floor where there is none: an exception ends for certain when even the floor is past
/// its end. An exception waives the setting, not the looking: what nobody could see is not evaluable, excepted or not.
#[must_use]
pub fn judge(control: &Control, looked: &Looked, exceptions: &[Exception], now: Millis) -> Finding {
    let mut finding = Finding {
        control: control.id,
        verdict: Verdict::NotEvaluable,
        reading: None,
        fields: Vec::new(),
        blind: None,
        exception: None,
    };
    let reading = match looked {
        Looked::Blind(blind) => {
            finding.blind = Some(*blind);
            return finding;
        }
        // It might hold anything; not even its field names are kept.
        Looked::Saw(reading) if control.probe.admits(reading).is_err() => {
            finding.blind = Some(Blind::Undeclared);
            return finding;
        }
        Looked::Saw(reading) => reading,
    };
    finding.reading = Some(reading.clone());
    match control.expect.met(reading) {
        Met::All => finding.verdict = Verdict::Compliant,
        Met::Unknown(fields) => {
            finding.fields = fields;
            finding.blind = Some(Blind::Incomplete);
        }
        Met::Not(fields) => {
            finding.fields = fields;
            let waived = exceptions.iter().find(|e| e.control == control.id && e.holds(now).is_ok());
            finding.exception = waived.map(Exception::digest);
            finding.verdict = if waived.is_some() { Verdict::Excepted } else { Verdict::Drifted };
        }
    }
    finding
}

/// Judges every control of a baseline, in order; what nobody looked at is not evaluable.
#[must_use]
pub fn judge_all(
    baseline: &Baseline,
    looked: &BTreeMap<Probe, Looked>,
    exceptions: &[Exception],
    now: Millis,
) -> Vec<Finding> {
    let nobody = Looked::Blind(Blind::NotLooked);
    baseline
        .controls
        .iter()
        .map(|control| judge(control, looked.get(&control.probe).unwrap_or(&nobody), exceptions, now))
        .collect()
}
