//! Which packets are to be made now: of each clinic the oldest month that is over and has none, until all are there.
//!
//! The rule: a month is over when it is over in UTC, as packets count it, and the clinic has had its night: at six in the
//! morning by its own clock. What a server missed while it was away, it makes when it is back.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use proto::{ids::TenantId, time::Millis};

use super::{Core, CoreError};
use crate::bundle::Month;

/// What is late by an hour still gets into its month's packet.
const GRACE: Duration = Duration::from_secs(3600);
/// By the clinic's clock, on the first of the month.
const HOUR: i8 = 6;
/// How many months back at most: an installation that learns to make packets does not flood anybody.
const BACK_MOST: usize = 12;
/// The incident that says that a packet could not be made.
pub(super) const NOT_MADE: &str = "packet.not-made";

/// What decides for one clinic.
#[derive(Debug, Clone)]
pub struct Clinic {
    /// Its first record.
    pub began: Millis,
    /// The newest month that it has a packet of.
    pub newest: Option<Month>,
    /// Its clock.
    pub zone: TimeZone,
}

/// The month whose packet is to be made now.
#[must_use]
pub fn due(clinic: &Clinic, now: Millis) -> Option<Month> {
    let first = Month::of(clinic.began);
    let mut month = clinic.newest.map_or(first, |newest| newest.next().max(first));
    let this = Month::of(now);
    let earliest = (0..BACK_MOST).fold(this, |month, _| month.before());
    month = month.max(earliest);
    (month < this && made_from(month, &clinic.zone) <= now).then_some(month)
}

/// From when on a month's packet is made, for a clinic with that clock.
#[must_use]
pub fn made_from(month: Month, zone: &TimeZone) -> Millis {
    let over = month.end();
    // The day in UTC is the first; on the clinic's wall it is that date, too, some hours earlier or later.
    let first = Timestamp::from_millisecond(over.0).ok().map(|at| at.to_zoned(TimeZone::UTC).date());
    let morning = first.and_then(|date| date.at(HOUR, 0, 0, 0).to_zoned(zone.clone()).ok());
    let morning = morning.map_or(over, |morning| Millis(morning.timestamp().as_millisecond()));
    morning.max(over.plus(GRACE))
}

impl Core {
    /// Packets that are to be made now.
    pub fn packets_due(&mut self, now: Millis) -> Result<Vec<(TenantId, Month)>, CoreError> {
        let last = Month::of(now).before().to_string();
        let mut all = Vec::new();
        for (tenant, began, newest) in self.store.clinics_behind(&last)? {
            let newest = newest.and_then(|month| month.parse().ok());
            let zone = self.zone_of(tenant)?;
            all.extend(due(&Clinic { began, newest, zone }, now).map(|month| (tenant, month)));
        }
        Ok(all)
    }

    /// A clinic's clock is that of its hours, else of its windows; without either, UTC.
    fn zone_of(&mut self, tenant: TenantId) -> Result<TimeZone, CoreError> {
        let policy = self.policy_of(tenant)?;
        let named = policy.clinic_hours.iter().chain(policy.windows.iter()).next();
        Ok(named.and_then(|window| TimeZone::get(&window.zone).ok()).unwrap_or(TimeZone::UTC))
    }

    /// Tells somebody that a packet cannot be made.
    pub fn packet_not_made(&mut self, tenant: TenantId, month: Month, now: Millis) -> Result<(), CoreError> {
        let why =
            format!("the packet of {month} could not be made; the server's log says why; it is tried again");
        self.call_clinic_daily(tenant, NOT_MADE, &why, now)
    }

    /// Where it lives does not matter; that somebody is told does.
    pub(super) fn call_clinic_daily(
        &mut self,
        tenant: TenantId,
        kind: &str,
        why: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        match self.store.appliances(Some(tenant))?.first() {
            Some(appliance) => self.call_somebody_daily(appliance, kind, why, now),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        text.parse().unwrap()
    }

    fn clinic(began: &str, newest: Option<&str>, zone: &str) -> Clinic {
        Clinic {
            began: at(began),
            newest: newest.map(|month| month.parse().unwrap()),
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    #[test]
    fn a_packet_is_made_on_the_first_in_the_morning() {
        for (zone, from) in [
            ("UTC", "2026-12-01T06:00:00Z"),
            ("America/Chicago", "2026-12-01T12:00:00Z"),
            ("Pacific/Honolulu", "2026-12-01T16:00:00Z"),
            // There it is morning before the month is over as packets count it.
            ("Pacific/Auckland", "2026-12-01T01:00:00Z"),
        ] {
            let clinic = clinic("2026-11-03T00:00:00Z", None, zone);
            let from = at(from);
            assert_eq!(due(&clinic, from.minus(Duration::from_millis(1))), None, "{zone}");
            assert_eq!(due(&clinic, from).unwrap().to_string(), "2026-11", "{zone}");
        }
    }

    #[test]
    fn what_was_missed_is_made_one_after_the_other_and_not_for_ever_back() {
        let now = at("2027-03-20T10:00:00Z");
        for (began, newest, month) in [
            ("2026-11-03T00:00:00Z", None, Some("2026-11")),
            ("2026-11-03T00:00:00Z", Some("2026-12"), Some("2027-01")),
            ("2026-11-03T00:00:00Z", Some("2027-02"), None),
            ("2027-03-03T00:00:00Z", None, None),
            ("2020-01-01T00:00:00Z", None, Some("2026-03")),
            ("2020-01-01T00:00:00Z", Some("2022-05"), Some("2026-03")),
        ] {
            let made = due(&clinic(began, newest, "UTC"), now).map(|month| month.to_string());
            assert_eq!(made.as_deref(), month, "{began} {newest:?}");
        }
    }
}
