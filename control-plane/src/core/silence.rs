//! Boxes that fall silent: an incident of its own for each, with what was known of it last; over when it is heard again, or
//! revoked. A quarantined box is to call, and is missed as any other.
//!
//! The rule: silence is judged by who listened. A server that was away, or slept, or whose clock was moved, has not heard
//! that nobody called; it begins to listen anew.

use std::time::Duration;

use proto::{identity::CertificateFacts, time::Millis};

use super::{Core, CoreError, incident::Input};
use crate::store::{ApplianceRow, ApplianceState, GapRow};

/// The incident that says so.
pub(super) const SILENT: &str = "appliance.silent";
/// Rounds of the watchdog further apart than this: it was not listening in between.
const DEAF_AFTER: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Since when this server has been listening without a break.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listening {
    since: Millis,
    round: Millis,
    looked: Millis,
}

impl Listening {
    pub(crate) fn since(now: Millis) -> Self {
        Self { since: now, round: now, looked: now }
    }

    /// A round of the watchdog at `now`; whether it is time to look.
    pub(super) fn go_on(&mut self, now: Millis) -> bool {
        if now < self.round || now.since(self.round) > DEAF_AFTER {
            *self = Self::since(now);
        }
        self.round = now;
        let looks = now.since(self.looked) >= LOOK_EVERY;
        if looks {
            self.looked = now;
        }
        looks
    }
}

impl Core {
    /// One look at who was not heard for too long, and who is heard again.
    pub(super) fn look_for_silence(&mut self, now: Millis) -> Result<(), CoreError> {
        for row in self.store.silent_incidents()? {
            let appliance = self.store.appliance(row.appliance)?;
            let why = match &appliance {
                Some(appliance) if appliance.state == ApplianceState::Revoked => "it was revoked".to_owned(),
                Some(appliance) if appliance.seen > row.opened => {
                    let minutes = appliance.seen.since(row.opened).as_secs() / 60;
                    format!("heard again at {}, {minutes} minutes after people were told", appliance.seen)
                }
                _ => continue,
            };
            self.move_incident(&row, Input::Returned, &why, now)?;
        }
        let before = now.minus(self.settings.silent_after);
        if self.listening.since > before {
            return Ok(());
        }
        let silent = self.store.silent_appliances(before)?;
        for appliance in &silent {
            let of_site = silent.iter().filter(|other| other.site == appliance.site).count();
            let gaps = self.store.gaps(appliance.id)?;
            let newest = gaps.iter().max_by_key(|gap| gap.last);
            self.call_somebody(appliance, SILENT, &last_known(appliance, newest, of_site, now), now)?;
        }
        Ok(())
    }
}

/// What is known of a box that is silent, for a person who has to find out why.
fn last_known(appliance: &ApplianceRow, gap: Option<&GapRow>, of_site: usize, now: Millis) -> String {
    let since = appliance.seen.max(appliance.enrolled);
    let minutes = now.since(since).as_secs() / 60;
    let mut said = match appliance.seen.0 {
        0 => format!("it was enrolled {minutes} minutes ago, at {since}, and has never called"),
        _ => format!("nothing was heard of it for {minutes} minutes, since {since}"),
    };
    let mut add = |more: String| said.push_str(&format!("; {more}"));
    if of_site > 1 {
        add(format!("{of_site} boxes of its site fell silent together: its line, or its power"));
    }
    match CertificateFacts::read(&appliance.certificate).map(|facts| facts.not_after) {
        Ok(end) if end <= now => add(format!("its certificate ended at {end}")),
        Ok(end) if end <= now.plus(Duration::from_secs(24 * 3600)) => {
            add(format!("its certificate ends at {end}"));
        }
        Ok(_) | Err(_) => {}
    }
    if appliance.state == ApplianceState::Quarantined {
        add(format!("it is quarantined: {}", appliance.state_reason));
    }
    match &appliance.heartbeat {
        Some(beat) => {
            let held =
                beat.hold.as_ref().map(|by| format!(", orders held there by {by}")).unwrap_or_default();
            add(format!(
                "its newest heartbeat is of {}, {} minutes after it was started{held}",
                appliance.heartbeat_at,
                beat.up_ms / 60_000
            ));
        }
        None => add("it has sent no heartbeat".to_owned()),
    }
    if let Some(gap) = gap {
        add(format!("the last that it lost: {}, at {}", gap.cause, gap.last));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_away_begins_to_listen_anew() {
        let second = Duration::from_secs(1);
        let mut listening = Listening::since(Millis(0));
        let mut now = Millis(0);
        let mut looks = 0;
        for _ in 0..90 {
            now = now.plus(second);
            looks += u32::from(listening.go_on(now));
        }
        assert_eq!((looks, listening.since), (3, Millis(0)));
        let after = now.plus(61 * second);
        assert!(!listening.go_on(after));
        assert_eq!(listening.since, after, "it slept");
        let before = after.minus(second);
        listening.go_on(before);
        assert_eq!(listening.since, before, "its clock was moved");
    }
}
