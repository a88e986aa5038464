//! A control: one line of the baseline, as data.
//!
//! It says what must be so, why, which paragraph it serves, what sets it on NixOS, what looks at it on the live machine,
//! what must be seen, and who puts it right. Strict and closed; everything in it is checked when a baseline is read.

mod check;
mod nixos;
mod repair;

use std::{fmt, str::FromStr};

use proto::field::BadField;
use serde::{Deserialize, Serialize};

use crate::{expect::Expect, probe::Probe};

pub use nixos::{NixValue, Nixos, Setting};
pub use repair::{Reapply, Repair};

/// A control's name: `NXH-` and three digits, from 001.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ControlId(u16);

impl ControlId {
    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

impl FromStr for ControlId {
    type Err = BadField;
    fn from_str(text: &str) -> Result<Self, BadField> {
        let digits =
            text.strip_prefix("NXH-").filter(|d| d.len() == 3 && d.bytes().all(|b| b.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| *number > 0);
        number.map(Self).ok_or_else(|| BadField::new("control", "must look like NXH-007"))
    }
}

impl TryFrom<String> for ControlId {
    type Error = BadField;
    fn try_from(text: String) -> Result<Self, BadField> {
        text.parse()
    }
}

impl From<ControlId> for String {
    fn from(id: ControlId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for ControlId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("NXH-{:03}", self.0))
    }
}

proto::vocabulary! {
    /// What a control is about.
    pub enum Area as "area" {
        /// Who gets in from elsewhere, and how.
        Access = "access-and-ssh",
        /// Accounts, and how they prove themselves.
        Users = "users-and-authentication",
        /// Data at rest, and keys.
        Encryption = "encryption-and-keys",
        /// What is recorded.
        Audit = "logging-and-audit",
        /// What can be reached, and what passes.
        Network = "network",
        /// The clock.
        Time = "time",
        /// What runs is what was released.
        Updates = "updates-and-integrity",
        /// Copies that can be restored.
        Backup = "backup",
        /// The kernel and the programs on it.
        Kernel = "kernel-and-services",
    }
}

proto::vocabulary! {
    /// How bad it is when it does not hold; the later, the worse.
    pub enum Severity as "severity" {
        /// A layer of defence is thinner.
        Low = "low",
        /// A layer of defence is gone.
        Medium = "medium",
        /// Data can be read, lost or changed.
        High = "high",
        /// Anybody can do so, at once.
        Critical = "critical",
    }
}

proto::vocabulary! {
    /// How the rule binds that a control serves.
    pub enum Binding as "required" {
        /// It serves a paragraph that must be implemented.
        Required = "required",
        /// It serves addressable paragraphs only: implemented where reasonable, else the reason is written down, which
        /// is what an exception is.
        Addressable = "addressable",
    }
}

/// A rule of a DISA Security Technical Implementation Guide, and where it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stig {
    /// `V-268137`.
    pub id: String,
    /// Where it can be read.
    pub source: String,
}

/// One control. The order of the fields is the order of its canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Its name.
    pub id: ControlId,
    /// What must be so, in a few words.
    pub title: String,
    /// Why anyone wants it so.
    pub why: String,
    /// What it is about.
    pub area: Area,
    /// What it helps to comply with: `45 CFR 164.312(d)`.
    pub hipaa: Vec<String>,
    /// Controls of NIST SP 800-53 revision 5 that it supports: `AC-17(2)`.
    pub nist: Vec<String>,
    /// A STIG rule that asks for the same, if one is known from a source that can be cited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stig: Option<Stig>,
    /// How the rule binds.
    pub required: Binding,
    /// How bad it is when it does not hold.
    pub severity: Severity,
    /// What sets it.
    pub nixos: Nixos,
    /// What looks at it.
    pub probe: Probe,
    /// What must be seen.
    pub expect: Expect,
    /// Who puts it right.
    pub repair: Repair,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_three_digits_from_001() {
        for good in ["NXH-001", "NXH-042", "NXH-999"] {
            assert_eq!(good.parse::<ControlId>().unwrap().to_string(), good);
        }
        for bad in ["", "NXH-000", "NXH-1", "NXH-0001", "nxh-001", "NXH-+01", "NXH-01a", "RB-DISK-001"] {
            assert!(bad.parse::<ControlId>().is_err(), "{bad}");
        }
        assert!("NXH-009".parse::<ControlId>().unwrap() < "NXH-010".parse().unwrap());
    }
}
