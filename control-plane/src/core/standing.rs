//! Standing orders: given in advance to every box whose watch list has something for a runbook of low risk, so that the
//! common faults are healed while nobody can be asked. Renewed at half life; one alive for each runbook and watch entry.

use std::{collections::BTreeMap, time::Duration};

use proto::{
    digest::Digest,
    evidence::{Execution, Identity, StandingUse},
    ids::{OrderId, RunbookId, SiteId, WatchId},
    standing::{STANDING_LIFETIME_MAX, StandingOrder, set_digest},
    sync::Exchange,
    time::Millis,
};
use runbooks::{Catalogue, Facts, Fault, History, Mode, Policy, Risk, WatchKind, fits};

use super::{
    Core, CoreError,
    incident::Input,
    orders::{verdict_word, watch_list},
};
use crate::store::{ApplianceRow, IncarnationRow, StandingRow};

/// How many executions one permits: once a day for all of its life.
const MOST: u32 = 30;
/// The most for one box.
const FOR_ONE_BOX: usize = 200;
/// A box that has refused one is not given the same again for that long.
const AFTER_REFUSAL: Duration = Duration::from_secs(24 * 3600);

/// One that a box should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which procedure.
    pub runbook: RunbookId,
    /// In which wording.
    pub digest: Digest,
    /// For which fault: the first of the procedure's that this kind of entry can have.
    pub trigger: Fault,
    /// On which entry.
    pub watch: WatchId,
}

/// What a box with this watch list should have: one for each runbook of low risk that runs by itself, and each entry it is
/// for; none where policy does not want it, and none in shadow mode.
#[must_use]
pub fn wanted(
    catalogue: &Catalogue,
    policy: &Policy,
    site: SiteId,
    watch: &BTreeMap<WatchId, WatchKind>,
    now: Millis,
) -> Vec<Wanted> {
    if !policy.standing_orders || policy.shadow(Some(now)).is_some() {
        return Vec::new();
    }
    let low = catalogue.entries.values().filter(|entry| {
        entry.runbook.risk == Risk::Low
            && policy.mode_of(&entry.runbook) == Mode::Automatic
            && policy.allows(&entry.runbook.id, site)
    });
    low.flat_map(|entry| {
        let runbook = &entry.runbook;
        watch.iter().filter_map(move |(id, kind)| {
            let fits =
                |fault: &&Fault| fault.kind() == *kind && runbook.parameters_for(**fault, id).is_some();
            let trigger = *runbook.triggers.iter().find(fits)?;
            Some(Wanted { runbook: runbook.id.clone(), digest: entry.digest, trigger, watch: id.clone() })
        })
    })
    .take(FOR_ONE_BOX)
    .collect()
}

/// Whether it is time for another in the place of `row`: half of its life is over, or it holds for something else by now.
#[must_use]
pub fn is_due(row: Option<&StandingRow>, next: &StandingOrder, now: Millis) -> bool {
    let Some(row) = row else { return true };
    let same = (row.incarnation, row.charter, row.policy)
        == (next.incarnation, next.charter_serial, next.policy_serial);
    if row.state == "refused" {
        return !same || row.ended.is_none_or(|ended| now.since(ended) >= AFTER_REFUSAL);
    }
    let half = row.issued.plus(row.expires.since(row.issued) / 2);
    !same || now >= half || row.used >= row.most
}

impl Core {
    /// Signs what this box should have and has not; then those in force, when the box holds another set. Says whether any
    /// was signed.
    pub(super) fn standing_orders(
        &mut self,
        appliance: &ApplianceRow,
        exchange: &Exchange,
        now: Millis,
    ) -> Result<(Vec<Vec<u8>>, bool), CoreError> {
        let none = (Vec::new(), false);
        let Some(tenant) = self.store.tenant(appliance.tenant)? else { return Ok(none) };
        // Given to a box that does not go by the same papers yet, it would be refused.
        let here = (self.charter.document.serial, self.catalogue.document.version, tenant.policy_serial);
        let there = (exchange.charter_serial, exchange.catalogue_version, exchange.policy_serial);
        let Some(beat) = &appliance.heartbeat else { return Ok(none) };
        if here != there
            || appliance.heartbeat_generation != self.generation
            || exchange.incarnation != appliance.incarnation
            || self.issues_beside(now)
        {
            return Ok(none);
        }
        let signed = self.sign_standing(appliance, &watch_list(&beat.watch), tenant.policy_serial, now)?;
        let rows = self.store.standing_of(appliance.id)?;
        let in_force = |row: &&StandingRow| {
            row.state == "alive"
                && (row.incarnation, row.charter, row.policy) == (appliance.incarnation, here.0, here.2)
                && now < row.expires
        };
        let alive: Vec<&StandingRow> = rows.iter().filter(in_force).collect();
        let set = (!alive.is_empty()).then(|| set_digest(alive.iter().map(|row| row.digest)));
        if set == exchange.standing {
            return Ok((Vec::new(), signed));
        }
        Ok((alive.into_iter().map(|row| row.envelope.clone()).collect(), signed))
    }

    fn sign_standing(
        &mut self,
        appliance: &ApplianceRow,
        watch: &BTreeMap<WatchId, WatchKind>,
        policy_serial: u64,
        now: Millis,
    ) -> Result<bool, CoreError> {
        let policy = self.policy_at(appliance.tenant, appliance.site)?;
        let wanted = wanted(&self.catalogue.document, &policy, appliance.site, watch, now);
        if wanted.is_empty() {
            return Ok(false);
        }
        let rows = self.store.standing_of(appliance.id)?;
        let identity = Identity {
            organization: self.settings.organization.clone(),
            tenant: appliance.tenant,
            appliance: appliance.id,
        };
        let mut signed = Vec::new();
        for want in wanted {
            let row = rows.iter().find(|row| row.runbook == want.runbook && row.watch == want.watch);
            let id = OrderId::new(now, self.random());
            let next = StandingOrder {
                id,
                organization: identity.organization.clone(),
                tenant: appliance.tenant,
                site: appliance.site,
                appliance: appliance.id,
                incarnation: appliance.incarnation,
                runbook: want.runbook,
                runbook_digest: want.digest,
                trigger: want.trigger.to_string(),
                watch: want.watch,
                most: MOST,
                issued: now,
                expires: now.plus(STANDING_LIFETIME_MAX),
                charter_serial: self.charter.document.serial,
                policy_serial,
            };
            if !is_due(row, &next, now) || row.is_some_and(|row| row.issued >= now) {
                continue;
            }
            let facts = Facts {
                identity: &identity,
                incarnation: appliance.incarnation,
                charter: &self.charter.document,
                catalogue: &self.catalogue.document,
                policy: &policy,
                policy_serial,
                watch,
                now: Some(now),
                wall: None,
                order_high: 0,
                taken_before: false,
                history: History::default(),
                hold: None,
            };
            if let Err(refusal) = fits(&next, &facts) {
                tracing::warn!(appliance = %appliance.id, %refusal, "no standing order for appliance {}", appliance.id);
                continue;
            }
            let envelope = self.seal(&next.unsigned())?;
            self.store.add_standing(&next, &envelope)?;
            signed.push((Digest::of(&next.encode()), envelope));
        }
        if !signed.is_empty() {
            self.keep_orders(appliance.tenant, &signed, now)?;
        }
        Ok(!signed.is_empty())
    }

    /// Evidence: a standing order was drawn on.
    pub(super) fn standing_was_used(
        &mut self,
        signer: &IncarnationRow,
        execution: &Execution,
        used: &StandingUse,
        now: Millis,
    ) -> Result<(), CoreError> {
        let own =
            |row: &StandingRow| row.appliance == signer.appliance && row.digest == execution.order.digest;
        let Some(row) = self.store.standing(used.id)?.filter(own) else { return Ok(()) };
        self.store.standing_used(row.id, used.count)?;
        let Some(incident) = self.store.newest_incident(row.appliance, &row.trigger, &row.watch)? else {
            return Ok(());
        };
        let word = verdict_word(execution.verdict);
        let reason = format!(
            "standing order {}, execution {} of {}: {} {word}",
            row.id, used.count, row.most, row.runbook
        );
        let input = if execution.verdict.is_good() { Input::Repaired } else { Input::NotRepaired };
        self.move_incident(&incident, input, &reason, now)
    }

    /// Evidence: a box refused to take one.
    pub(super) fn standing_was_refused(
        &mut self,
        signer: &IncarnationRow,
        digest: Digest,
        used: &StandingUse,
        now: Millis,
    ) -> Result<(), CoreError> {
        let own = |row: &StandingRow| row.appliance == signer.appliance && row.digest == digest;
        match self.store.standing(used.id)?.filter(own) {
            // A use that was refused says nothing about the next.
            Some(row) if used.count == 0 => Ok(self.store.refuse_standing(row.id, now)?),
            _ => Ok(()),
        }
    }

    /// The standing orders of a box, newest of each.
    pub fn standing(&self, appliance: &ApplianceRow) -> Result<Vec<StandingRow>, CoreError> {
        Ok(self.store.standing_of(appliance.id)?)
    }
}
