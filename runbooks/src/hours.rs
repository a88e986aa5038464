//! Clinic hours: when people work in a clinic, and must not be disturbed by a repair.
//!
//! The rule: outside of them is only what is certainly outside. A zone that this program does not know, or a time that it
//! cannot place, is within them; whatever else says that a repair may run, nothing lifts that.

use std::collections::BTreeSet;

use jiff::Timestamp;
use proto::{field::BadField, time::Millis};
use serde::{Deserialize, Serialize};

use crate::window::Window;

/// When people work, by the week; several may overlap. None: nobody has said, and nothing waits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClinicHours(BTreeSet<Window>);

/// Why what disturbs people does not run now. It becomes evidence, so it quotes nothing of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AtWork {
    /// No such zone here.
    #[error("the clinic hours name a time zone that is not known here; name one of the IANA database")]
    UnknownZone,
    /// People work, or nobody can say that they do not.
    #[error("it is within clinic hours; it must wait until they are over")]
    Now,
}

impl ClinicHours {
    /// While one of these is open.
    #[must_use]
    pub fn during(hours: impl IntoIterator<Item = Window>) -> Self {
        Self(hours.into_iter().collect())
    }

    /// Whether nobody has said when people work.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whenever people work by either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Window> {
        self.0.iter()
    }

    /// What all of them must hold to.
    pub fn check(&self) -> Result<(), BadField> {
        self.iter().try_for_each(Window::check)
    }

    /// Whether `now` is certainly outside of them.
    pub fn check_outside(&self, now: Millis) -> Result<(), AtWork> {
        if self.iter().any(|window| !window.is_known()) {
            return Err(AtWork::UnknownZone);
        }
        let at = Timestamp::from_millisecond(now.0).ok();
        let is_over = |window: &Window| at.and_then(|at| window.is_open(at)) == Some(false);
        if self.iter().all(is_over) { Ok(()) } else { Err(AtWork::Now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(all: &[&str]) -> ClinicHours {
        ClinicHours::during(all.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn disturbed_is_whoever_is_at_work_by_the_clock_on_the_wall() {
        let week =
            hours(&["monday-friday 08:00-18:00 America/Chicago", "saturday 09:00-12:00 America/Chicago"]);
        for (at, outside) in [
            // Friday 2026-11-13 in Chicago, UTC-6.
            ("2026-11-13T13:59:59.999Z", true),
            ("2026-11-13T14:00:00Z", false),
            ("2026-11-13T23:59:59.999Z", false),
            ("2026-11-14T00:00:00Z", true),
            ("2026-11-14T15:00:00Z", false),
            ("2026-11-14T18:00:00Z", true),
            ("2026-11-15T15:00:00Z", true),
            // In summer, UTC-5.
            ("2026-07-15T13:00:00Z", false),
        ] {
            assert_eq!(week.check_outside(at.parse().unwrap()).is_ok(), outside, "{at}");
        }
        assert_eq!(
            ClinicHours::default().check_outside(Millis(0)),
            Ok(()),
            "nobody has said when people work"
        );
    }

    #[test]
    fn what_cannot_be_told_is_within() {
        let now = "2026-11-15T12:00:00Z".parse().unwrap();
        let elsewhere = "sunday 01:00-02:00 UTC";
        assert_eq!(hours(&[elsewhere]).check_outside(now), Ok(()));
        let gotham = hours(&[elsewhere, "sunday 01:00-02:00 America/Gotham"]);
        assert_eq!(gotham.check_outside(now), Err(AtWork::UnknownZone));
        for far_out in [i64::MIN, i64::MAX] {
            assert_eq!(hours(&[elsewhere]).check_outside(Millis(far_out)), Err(AtWork::Now));
        }
    }
}
