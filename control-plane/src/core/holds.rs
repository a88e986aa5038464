//! Holds: an operator's pause of everything, a clinic, one of its places or one box.
//!
//! The rule: a hold reaches a box as a stop does (see the module `stops`), signed for that box alone and taken at its next
//! exchange; there is no second way to say the same. A hold in the policy would do for a clinic, but a new policy makes every
//! standing order of its boxes void, and they would all be signed anew when it is released. While a hold lasts, guardrail 12
//! refuses on both sides, and what was signed before does not leave any more.

use proto::{
    act::Deed,
    field::{BadField, text},
    ids::TenantId,
    time::Millis,
};

use serde_json::{Value, json};

use super::{Core, CoreError, level::Level};
use crate::store::{ApplianceRow, ApplianceState, HoldRow};

/// What clinics are told instead of why the organization holds them all.
pub(super) const OF_ALL: &str = "the organization holds all its clinics";

impl Core {
    /// Holds a level; one that is held already is held for this reason, and for longer: who may hold may not release.
    pub fn hold(
        &mut self,
        level: Level,
        reason: &str,
        until: Option<Millis>,
        now: Millis,
    ) -> Result<HoldRow, CoreError> {
        let reason = text("reason", reason, 100)?;
        if until.is_some_and(|until| until <= now) {
            return Err(BadField::new("until", format!("must be later than now, {now}")).into());
        }
        let before = self.store.hold_of(&level.key())?;
        if let Some(held) = &before
            && until.is_some_and(|until| held.until.0 == 0 || until < held.until)
        {
            let end = if held.until.0 == 0 { "it is released".to_owned() } else { held.until.to_string() };
            return Err(CoreError::Precondition(format!(
                "it is held already, by {}, until {end}; hold it as long, or have it released first",
                held.by
            )));
        }
        let row = HoldRow {
            place: level.key(),
            tenant: level.tenant(),
            site: level.site(),
            appliance: level.appliance(),
            reason,
            by: self.acting.actor.to_string(),
            since: now,
            until: until.unwrap_or(Millis(0)),
        };
        self.store.put_hold_of(&row)?;
        self.changed(level.tenant(), "hold", before.as_ref().map_or(Value::Null, said), said(&row));
        tracing::warn!(place = row.place, reason = row.reason, by = row.by, "orders are held: {}", row.place);
        let (site, appliance) = (level.site(), level.appliance());
        let deed = Deed::Hold { level: level.word(), site, appliance, until };
        self.note_below(level, &deed, now)?;
        Ok(row)
    }

    /// Lets the orders of a level run again.
    pub fn release(&mut self, level: Level, now: Millis) -> Result<HoldRow, CoreError> {
        let row = self.store.end_hold_of(&level.key())?.ok_or_else(|| {
            let word = level.word();
            CoreError::NotFound(format!(
                "there is no hold of this {word}; `control-plane hold list` shows them"
            ))
        })?;
        self.changed(level.tenant(), "hold", said(&row), Value::Null);
        self.note_release(level, now)?;
        Ok(row)
    }

    /// Holds in sight, of a clinic or of all; what holds more than is in sight, holds that too. Why the organization holds all
    /// its clinics is its own affair: a clinic, and its auditor, learn that it does, since when, until when and by whom, as
    /// the clinic's own log says it.
    pub fn holds(&self, tenant: &str) -> Result<Vec<HoldRow>, CoreError> {
        let own = self.acting.grant.scope.site();
        let mut rows = self.store.holds(self.tenant_filter(tenant)?)?;
        rows.retain(|row| own.is_none() || row.site.is_none() || row.site == own);
        if !self.sees_organization() {
            rows.iter_mut().filter(|row| row.tenant.is_none()).for_each(|row| row.reason = OF_ALL.into());
        }
        Ok(rows)
    }

    /// How many boxes in sight a hold holds.
    pub fn held_by(&self, hold: &HoldRow) -> Result<usize, CoreError> {
        let scope = &self.acting.grant.scope;
        let boxes = self.below(level_of(hold))?;
        let counts = |row: &&ApplianceRow| {
            row.state != ApplianceState::Revoked && scope.sees_site(row.tenant, row.site)
        };
        Ok(boxes.iter().filter(counts).count())
    }

    /// The hold that a box is under.
    pub(super) fn hold_over(
        &self,
        appliance: &ApplianceRow,
        now: Millis,
    ) -> Result<Option<HoldRow>, CoreError> {
        Ok(self.store.hold_over(appliance, now)?)
    }

    /// Ends the holds whose time is over.
    pub(super) fn end_holds(&mut self, now: Millis) -> Result<(), CoreError> {
        for hold in self.store.holds(None)? {
            if hold.until.0 != 0 && hold.until <= now && self.store.end_hold_of(&hold.place)?.is_some() {
                self.note_release(level_of(&hold), now)?;
            }
        }
        Ok(())
    }

    fn note_release(&mut self, level: Level, now: Millis) -> Result<(), CoreError> {
        tracing::warn!(place = level.key(), "orders are not held any more: {}", level.key());
        let (site, appliance) = (level.site(), level.appliance());
        let deed = Deed::Release { level: level.word(), site, appliance };
        self.note_below(level, &deed, now)?;
        // What waited for this waits no longer; a box that still holds says when it no longer does.
        self.below(level)?.iter().try_for_each(|row| Ok(self.store.order_at_once(row.id, now)?))
    }

    /// An act of each clinic that it concerns; and each box is to hear of it at once.
    fn note_below(&mut self, level: Level, deed: &Deed, now: Millis) -> Result<(), CoreError> {
        match level.tenant() {
            Some(tenant) => self.note_act(tenant, deed.clone(), now),
            None => self.note_act_everywhere(deed, now)?,
        }
        self.wake.extend(self.below(level)?.into_iter().map(|row| row.id));
        Ok(())
    }

    /// A hold or its end, read back from the log by a database from a backup.
    pub(super) fn hold_again(&mut self, tenant: TenantId, deed: &Deed, now: Millis) -> Result<(), CoreError> {
        use proto::act::Level as Word;
        let of = |level: Word, site, appliance| match (level, site, appliance) {
            (Word::Organization, ..) => Some(Level::Organization),
            (Word::Tenant, ..) => Some(Level::Tenant(tenant)),
            (Word::Site, Some(site), _) => Some(Level::Site(tenant, site)),
            (Word::Appliance, Some(site), Some(box_)) => Some(Level::Appliance(tenant, site, box_)),
            (Word::Site | Word::Appliance, ..) => None,
        };
        match deed {
            Deed::Hold { level, site, appliance, until } => {
                let Some(level) = of(*level, *site, *appliance) else { return Ok(()) };
                self.wake.extend(self.below(level)?.into_iter().map(|row| row.id));
                Ok(self.store.put_hold_of(&HoldRow {
                    place: level.key(),
                    tenant: level.tenant(),
                    site: level.site(),
                    appliance: level.appliance(),
                    reason: "it was held before this database was restored".into(),
                    by: "control plane".into(),
                    since: now,
                    until: until.unwrap_or(Millis(0)),
                })?)
            }
            Deed::Release { level, site, appliance } => {
                let Some(level) = of(*level, *site, *appliance) else { return Ok(()) };
                self.store.end_hold_of(&level.key())?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn said(row: &HoldRow) -> Value {
    let until = (row.until.0 != 0).then_some(row.until);
    json!({ "of": row.place, "reason": row.reason, "by": row.by, "since": row.since, "until": until })
}

/// The level of a hold.
#[must_use]
pub fn level_of(hold: &HoldRow) -> Level {
    match (hold.tenant, hold.site, hold.appliance) {
        (Some(tenant), Some(site), Some(appliance)) => Level::Appliance(tenant, site, appliance),
        (Some(tenant), Some(site), None) => Level::Site(tenant, site),
        (Some(tenant), None, _) => Level::Tenant(tenant),
        (None, ..) => Level::Organization,
    }
}
