//! What every control must hold to, wherever it was read from.

use proto::field::{BadField, text};

use super::{Binding, Control, NixValue, Reapply, Repair};
use crate::{
    expect::Predicate,
    probe::Probe,
    reading::ReadingValue,
    rule::{self, Designation},
};

impl Control {
    /// Refuses what must not be. The complaint names the key and what is right.
    pub fn check(&self) -> Result<(), BadField> {
        text("title", &self.title, 100)?;
        text("why", &self.why, 800)?;
        listed("hipaa", &self.hipaa)?;
        self.check_citations()?;
        listed("nist", &self.nist)?;
        if let Some(at) = self.nist.iter().position(|reference| !is_nist(reference)) {
            return Err(BadField::new(format!("nist[{at}]"), "must look like AC-17 or AC-17(2)"));
        }
        if let Some(stig) = &self.stig {
            let number = stig.id.strip_prefix("V-").unwrap_or_default();
            if number.len() != 6 || !number.bytes().all(|b| b.is_ascii_digit()) {
                return Err(BadField::new("stig.id", "must look like V-268137"));
            }
            text("stig.source", &stig.source, 200)?;
            if !stig.source.starts_with("https://") {
                return Err(BadField::new("stig.source", "must be an https URL where the rule can be read"));
            }
        }
        self.nixos.check()?;
        if let Probe::Setting { file, key } = &self.probe
            && key.source() != *file
        {
            return Err(BadField::new("probe.key", format!("is of {}, not of {file}", key.source())));
        }
        self.expect.check(&self.probe)?;
        self.check_repair()
    }

    fn check_citations(&self) -> Result<(), BadField> {
        let mut binds = false;
        for (at, citation) in self.hipaa.iter().enumerate() {
            let found = rule::lookup(citation).filter(|p| *citation == format!("45 CFR {}", p.citation));
            let Some(paragraph) = found else {
                let right = "must be a paragraph of security-rule.csv, such as 45 CFR 164.312(d)";
                return Err(BadField::new(format!("hipaa[{at}]"), right));
            };
            binds |= paragraph.designation != Designation::Addressable;
        }
        match (self.required, binds) {
            (Binding::Required, true) | (Binding::Addressable, false) => Ok(()),
            (Binding::Required, false) => {
                Err(BadField::new("required", "must be addressable: so is every paragraph that it cites"))
            }
            (Binding::Addressable, true) => {
                Err(BadField::new("required", "must be required: so is a paragraph that it cites"))
            }
        }
    }

    /// What is re-applied must be what is looked at, and applying it must be what is expected.
    fn check_repair(&self) -> Result<(), BadField> {
        let bad = |problem: &str| Err(BadField::new("repair", problem));
        match &self.repair {
            Repair::None { why } => text("repair.why", why, 400).map(drop),
            Repair::Backup {} | Repair::Restore {} if !matches!(self.probe, Probe::Backups {}) => {
                bad("must fit the probe: only backups are repaired by a backup or a restore")
            }
            Repair::Time {} if !matches!(self.probe, Probe::Chrony {}) => {
                bad("must fit the probe: only the clock is repaired by RB-TIME-001")
            }
            Repair::Drift { reapply: Reapply::Sysctl {} } => match (&self.probe, &self.nixos.value) {
                (Probe::Sysctl { .. }, NixValue::Number(n)) if self.takes("value", (*n).into()) => Ok(()),
                _ => bad("must fit the probe: a sysctl, set by an option whose number is as expected"),
            },
            Repair::Drift { reapply: Reapply::FileMode {} } => match &self.probe {
                Probe::File { .. } if self.expect.0.contains_key("mode") => Ok(()),
                _ => bad("must fit the probe: a file of which a mode is expected"),
            },
            Repair::Drift { reapply: Reapply::Remount {} } => {
                match (&self.probe, self.expect.0.get("options")) {
                    (Probe::Mount { .. }, Some(Predicate::Includes(_))) => Ok(()),
                    _ => bad("must fit the probe: a mount of which options are expected"),
                }
            }
            Repair::Drift { reapply: Reapply::UnloadModule {} } => match self.probe {
                Probe::Module { .. } => Ok(()),
                _ => bad("must fit the probe: a module"),
            },
            Repair::Drift { reapply: Reapply::SwapOff {} } => match self.probe {
                Probe::Swap {} => Ok(()),
                _ => bad("must fit the probe: swap"),
            },
            Repair::Drift { .. } | Repair::Backup {} | Repair::Restore {} | Repair::Time {} => Ok(()),
        }
    }

    fn takes(&self, field: &str, value: ReadingValue) -> bool {
        self.expect.0.get(field).is_some_and(|predicate| predicate.holds(&value))
    }
}

/// One to eight entries, none twice.
fn listed(key: &str, list: &[String]) -> Result<(), BadField> {
    if list.is_empty() || list.len() > 8 {
        return Err(BadField::new(key, format!("must have 1 to 8 entries, has {}", list.len())));
    }
    match (1..list.len()).find(|at| list[..*at].contains(&list[*at])) {
        None => Ok(()),
        Some(at) => Err(BadField::new(format!("{key}[{at}]"), "is listed twice; once is right")),
    }
}

/// A family of two letters, a number, and maybe an enhancement.
fn is_nist(text: &str) -> bool {
    let number = |digits: &str| {
        (1..=2).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0')
    };
    let Some((family, rest)) = text.split_once('-') else { return false };
    let family = family.len() == 2 && family.bytes().all(|b| b.is_ascii_uppercase());
    family
        && match rest.split_once('(') {
            None => number(rest),
            Some((base, enhancement)) => number(base) && enhancement.strip_suffix(')').is_some_and(number),
        }
}
