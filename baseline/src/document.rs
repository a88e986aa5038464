//! The baseline: all controls of a version, one document.
//!
//! It is known by the SHA-256 of its canonical JSON: no spaces, keys in the order of the types, maps sorted. An appliance
//! reads those bytes and never YAML; two readers cannot see two baselines in them.

use std::{collections::BTreeMap, sync::LazyLock};

use proto::{
    charter::Charter,
    digest::Digest,
    dsse::{self, EnvelopeError, Verified},
    field::{BadField, text},
    keys::SecretKey,
};
use serde::{Deserialize, Serialize};

use crate::{
    control::{Control, ControlId},
    probe::Probe,
};

/// DSSE payload type of a baseline.
pub const BASELINE_TYPE: &str = "application/vnd.orderly.baseline.v1+json";
/// The version of the format that this program reads and writes.
pub const SPEC: u32 = 1;
/// NixOS-HIPAA v1 in canonical JSON, generated from `hipaa-v1.yaml`.
pub const HIPAA_V1: &str = include_str!("../hipaa-v1.json");

/// Why a baseline was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaselineError {
    /// Not enough release keys signed it.
    #[error("baseline is not signed by enough release keys of the charter")]
    Signature(#[source] EnvelopeError),
    /// Not a baseline, or one that must not be; names the control and the key.
    #[error("baseline: {0}")]
    Content(BadField),
}

/// All controls of a version. The order of the fields is the order of its canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Version of the format.
    pub spec: u32,
    /// `nixos-hipaa`.
    pub name: String,
    /// Rises with every change.
    pub version: u32,
    /// For people.
    pub title: String,
    /// By number, from 1, without holes.
    pub controls: Vec<Control>,
}

impl Baseline {
    /// The baseline that this program was built with.
    #[must_use]
    pub fn hipaa_v1() -> &'static Self {
        static HIPAA: LazyLock<Baseline> =
            LazyLock::new(|| Baseline::parse(HIPAA_V1.as_bytes()).expect("a test reads what ships"));
        &HIPAA
    }

    /// Opens a baseline: enough release keys of the charter signed it, and everything in it is as it must be.
    pub fn open(envelope: &[u8], charter: &Charter) -> Result<Verified<Self>, BaselineError> {
        let keys = &charter.release_keys;
        dsse::open(envelope, BASELINE_TYPE, &keys.keys, keys.threshold)
            .map_err(BaselineError::Signature)?
            .parse(|bytes| Self::parse(&bytes))
    }

    /// Signs it with as many release keys as are at hand; others countersign ([`dsse::countersign`]).
    #[must_use]
    pub fn seal(&self, keys: &[&SecretKey]) -> Vec<u8> {
        dsse::seal(BASELINE_TYPE, &self.canonical(), keys)
    }

    /// Reads canonical JSON that somebody else vouches for.
    pub fn parse(bytes: &[u8]) -> Result<Self, BaselineError> {
        let content = |bad| BaselineError::Content(bad);
        let baseline: Self =
            serde_json::from_slice(bytes).map_err(|e| content(BadField::new("json", e.to_string())))?;
        if baseline.canonical() != bytes {
            let right = "must be canonical: no spaces, keys in the order of the schema and each once";
            return Err(content(BadField::new("json", right)));
        }
        baseline.check().map_err(content)?;
        Ok(baseline)
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

    /// The control of that name.
    #[must_use]
    pub fn control(&self, id: ControlId) -> Option<&Control> {
        self.controls.get(usize::from(id.number()).checked_sub(1)?)
    }

    /// What a scan must look at, each once, and the controls that each look serves.
    #[must_use]
    pub fn probes(&self) -> BTreeMap<&Probe, Vec<ControlId>> {
        let mut probes: BTreeMap<&Probe, Vec<ControlId>> = BTreeMap::new();
        for control in &self.controls {
            probes.entry(&control.probe).or_default().push(control.id);
        }
        probes
    }

    /// Refuses what must not be; the complaint names the control and the key.
    pub fn check(&self) -> Result<(), BadField> {
        if self.spec != SPEC {
            return Err(BadField::new("spec", format!("must be {SPEC}, is {}", self.spec)));
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=40).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            return Err(BadField::new("name", "must be 1 to 40 small letters, digits and hyphens"));
        }
        if self.version == 0 {
            return Err(BadField::new("version", "must be at least 1"));
        }
        text("title", &self.title, 100)?;
        if self.controls.is_empty() || self.controls.len() > 999 {
            return Err(BadField::new("controls", format!("must be 1 to 999, are {}", self.controls.len())));
        }
        for (at, control) in self.controls.iter().enumerate() {
            if usize::from(control.id.number()) != at + 1 {
                let problem =
                    format!("is {}, must be NXH-{:03}: rising by one, without holes", control.id, at + 1);
                return Err(BadField::new(format!("controls[{at}].id"), problem));
            }
            control.check().map_err(|bad| bad.within(&control.id.to_string()))?;
        }
        Ok(())
    }
}
