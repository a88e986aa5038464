//! Documents that people approve: drawn up here, signed by an approver of the charter, delivered through Sync.
//!
//! The rule: nothing is in force because an operator of this server says so. Draft says what is to be signed; what comes back
//! with an approval that holds is kept, and sent to the boxes that it is for, signed by the order key under the charter of the
//! day. Boxes check all of that again.

use baseline::{Baseline, Exception};
use proto::{
    act::Deed,
    approval::Approval,
    document::{Core as Drawn, DOCUMENTS_MAX, Document, Kind, Slot, succession},
    field::BadField,
    ids::{ApplianceId, TenantId},
    keys::PublicKey,
    standing::set_digest,
    sync::Exchange,
    time::Millis,
};

use serde_json::json;

use super::{Core, CoreError};
use crate::store::ApplianceRow;

/// Which document an operator means.
#[derive(Debug, Clone, Copy)]
pub struct Called<'a> {
    /// The clinic, by ID or name.
    pub tenant: &'a str,
    /// The box, by ID; empty: every box of the clinic.
    pub appliance: &'a str,
    /// What it decides: `exception`.
    pub kind: &'a str,
    /// Which of its kind: `NXH-028`.
    pub name: &'a str,
}

/// How a document stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It holds.
    InForce,
    /// Its end has come.
    Expired,
    /// It took back the one before it.
    Withdrawn,
    /// The charter does not name its approver any more.
    NotApproved,
}

impl Standing {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::InForce => "in-force",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::NotApproved => "not-approved",
        }
    }
}

impl Core {
    /// Draws up a document; what comes back is for approvers to sign.
    pub fn draft_document(
        &mut self,
        called: Called<'_>,
        content: Vec<u8>,
        now: Millis,
    ) -> Result<Vec<u8>, CoreError> {
        let drawn = self.draw_up(called, content, now)?;
        if drawn.is_withdrawal() {
            return Err(BadField::new("content", "must not be empty; withdraw the document instead").into());
        }
        check_content(&drawn, now)?;
        Ok(drawn.encode())
    }

    /// Takes a document with its approvals.
    pub fn publish_document(
        &mut self,
        core: &[u8],
        approvals: Vec<Approval>,
        now: Millis,
    ) -> Result<Document, CoreError> {
        let document = Document::new(core, self.charter.document.serial, approvals)?;
        let drawn = &document.core;
        if drawn.organization != self.settings.organization {
            let problem = format!("is {}, must be {}", drawn.organization, self.settings.organization);
            return Err(BadField::new("organization", problem).into());
        }
        let tenant = self.tenant(&drawn.tenant.to_string())?;
        for approval in &document.approvals {
            self.must_approve_in(tenant.id, &approval.approver)?;
        }
        let box_ = drawn.appliance.map(|id| self.box_of(tenant.id, id)).transpose()?;
        if let (Some(named), Some(box_)) = (drawn.incarnation, &box_)
            && named != box_.incarnation
        {
            let problem = format!("is {named}; the box is {} by now: draw it up anew", box_.incarnation);
            return Err(BadField::new("incarnation", problem).into());
        }
        check_content(drawn, now)?;
        self.keep_document(document, now)
    }

    /// Takes back a document: its slot is empty from then on.
    pub fn withdraw_document(&mut self, called: Called<'_>, now: Millis) -> Result<Document, CoreError> {
        let drawn = self.draw_up(called, Vec::new(), now)?;
        let newest = self.store.newest_approved(drawn.tenant, drawn.appliance, &drawn.slot())?;
        if newest.is_none_or(|newest| newest.core.is_withdrawal()) {
            let Called { kind, name, .. } = called;
            return Err(CoreError::NotFound(format!(
                "there is no {kind} {name:?} to withdraw; `control-plane {kind} list` shows them"
            )));
        }
        let document = Document::new(&drawn.encode(), self.charter.document.serial, Vec::new())?;
        self.keep_document(document, now)
    }

    /// The newest documents of a clinic, or of all.
    pub fn documents(
        &self,
        tenant: &str,
        kind: &str,
        now: Millis,
    ) -> Result<Vec<(Document, Standing)>, CoreError> {
        let kind: Kind = kind.parse()?;
        let mut all = Vec::new();
        for tenant in self.tenants_or_one(tenant)? {
            all.extend(self.store.approved(tenant)?.into_iter().filter(|one| one.core.kind == kind));
        }
        let one = |document: Document| {
            let stands = self.document_stands(&document, now);
            (document, stands)
        };
        Ok(all.into_iter().map(one).collect())
    }

    /// What a box's secrets are sealed to: its newest heartbeat, and the key that signed it.
    pub fn sealing_key(&self, appliance: &str) -> Result<(TenantId, Vec<u8>, PublicKey), CoreError> {
        let id = ApplianceId::from_field("appliance", appliance)?;
        let none = || CoreError::NotFound(format!("appliance {id} has told no key to seal to yet"));
        let row = self.seen_appliance(id)?.ok_or_else(none)?;
        let heartbeat = self.store.newest_of_kind(row.incarnation, "heartbeat")?.ok_or_else(none)?;
        let signer = self.store.incarnation(row.incarnation)?.ok_or_else(none)?;
        Ok((row.tenant, heartbeat, signer.evidence_key))
    }

    /// How a document stands.
    #[must_use]
    pub fn document_stands(&self, document: &Document, now: Millis) -> Standing {
        if document.core.is_withdrawal() {
            return Standing::Withdrawn;
        }
        if document.holds(&self.charter.document).is_err() {
            return Standing::NotApproved;
        }
        if is_over(&document.core, now) { Standing::Expired } else { Standing::InForce }
    }

    fn tenants_or_one(&self, called: &str) -> Result<Vec<TenantId>, CoreError> {
        match self.tenant_filter(called)? {
            Some(tenant) => Ok(vec![tenant]),
            None => Ok(self.tenants()?.into_iter().map(|row| row.id).collect()),
        }
    }

    fn box_of(&self, tenant: TenantId, id: ApplianceId) -> Result<ApplianceRow, CoreError> {
        let found = self.seen_appliance(id)?.filter(|row| row.tenant == tenant);
        found.ok_or_else(|| {
            CoreError::NotFound(format!(
                "the clinic has no appliance {id}; `control-plane appliance list` shows them"
            ))
        })
    }

    fn draw_up(&self, called: Called<'_>, content: Vec<u8>, now: Millis) -> Result<Drawn, CoreError> {
        let tenant = self.tenant(called.tenant)?;
        let box_ = match called.appliance {
            "" => None,
            id => Some(self.box_of(tenant.id, ApplianceId::from_field("appliance", id)?)?),
        };
        let kind: Kind = called.kind.parse()?;
        let appliance = box_.as_ref().map(|row| row.id);
        let slot = Slot { kind, name: called.name.to_owned(), is_for_one: appliance.is_some() };
        let newest = self.store.newest_approved(tenant.id, appliance, &slot)?;
        // By the clock, so that it rises even where a restored database has forgotten the newest.
        let serial =
            newest.map_or(0, |newest| newest.core.serial).saturating_add(1).max(now.0.unsigned_abs());
        Ok(Drawn {
            organization: self.settings.organization.clone(),
            tenant: tenant.id,
            appliance,
            incarnation: box_.map(|row| row.incarnation),
            kind,
            name: slot.name,
            serial,
            issued: now,
            content,
        })
    }

    fn keep_document(&mut self, document: Document, now: Millis) -> Result<Document, CoreError> {
        document.holds(&self.charter.document).map_err(CoreError::Document)?;
        let core = &document.core;
        let all = self.store.approved(core.tenant)?;
        let is_same =
            |one: &&Document| one.core.appliance == core.appliance && one.core.slot() == core.slot();
        let newest = all.iter().find(is_same).map(|newest| (newest.core.serial, newest.core_digest));
        if !succession(newest, (core.serial, document.core_digest)).map_err(CoreError::Document)? {
            return Ok(document);
        }
        let concerns = |one: &&Document| one.core.appliance.is_none() || one.core.appliance == core.appliance;
        if newest.is_none() && all.iter().filter(concerns).count() >= DOCUMENTS_MAX {
            return Err(CoreError::Precondition(format!(
                "the clinic has {DOCUMENTS_MAX} documents, withdrawn ones too, and no box keeps more"
            )));
        }
        self.store.add_approved(&document, now)?;
        let before = all.iter().find(is_same).map(|one| one.core_digest);
        self.changed(
            Some(core.tenant),
            &format!("{} {}", core.kind, core.name),
            json!(before),
            json!(document.core_digest),
        );
        let approval = Deed::Approval {
            what: core.kind,
            name: core.name.clone(),
            serial: core.serial,
            appliance: core.appliance,
            core: document.core_digest,
            is_withdrawal: core.is_withdrawal(),
            approvers: document.approvals.iter().map(|approval| approval.approver.clone()).collect(),
        };
        self.note_act(core.tenant, approval, now);
        match core.appliance {
            Some(appliance) => self.wake.extend([appliance]),
            None => {
                let boxes = self.store.appliances(Some(core.tenant))?;
                self.wake.extend(boxes.into_iter().map(|row| row.id));
            }
        }
        Ok(document)
    }

    /// Documents for a box, when it holds another set of them; and whether that is news.
    pub(super) fn documents_for(
        &mut self,
        appliance: &ApplianceRow,
        exchange: &Exchange,
        now: Millis,
    ) -> Result<(Vec<Vec<u8>>, bool), CoreError> {
        let charter = &self.charter.document;
        let is_for = |one: &Document| {
            one.core.appliance.is_none_or(|id| id == appliance.id)
                && one.core.incarnation.is_none_or(|incarnation| incarnation == appliance.incarnation)
                && one.holds(charter).is_ok()
                && !is_over(&one.core, now)
        };
        let all: Vec<Document> = self.store.approved(appliance.tenant)?.into_iter().filter(is_for).collect();
        let set = (!all.is_empty()).then(|| set_digest(all.iter().map(|one| one.core_digest)));
        if set == exchange.documents || exchange.incarnation != appliance.incarnation {
            return Ok((Vec::new(), false));
        }
        let serial = charter.serial;
        // A box that does not take what it is given must not be told without end.
        let is_news = set.is_some_and(|set| self.told.insert(appliance.id, set) != Some(set));
        let seal = |one: Document| self.seal(&one.under(serial).unsigned());
        Ok((all.into_iter().map(seal).collect::<Result<_, _>>()?, is_news))
    }
}

/// Refuses content that is not as its kind must be, or does not hold now; the complaint names the field.
fn check_content(drawn: &Drawn, now: Millis) -> Result<(), BadField> {
    match drawn.kind {
        Kind::Exception if drawn.is_withdrawal() => Ok(()),
        Kind::Exception => {
            let exception = Exception::of_document(&drawn.content, &drawn.name)?;
            if Baseline::hipaa_v1().control(exception.control).is_none() {
                let problem = format!("is {}, which the baseline does not have", exception.control);
                return Err(BadField::new("content.control", problem));
            }
            exception.holds(now).map_err(|bad| bad.within("content"))
        }
        Kind::WatchList | Kind::Secret if drawn.incarnation.is_none() => {
            Err(BadField::new("appliance", format!("must name the box that the {} is for", drawn.kind)))
        }
        // Sealed, so nothing of it can be seen from here.
        Kind::Secret => Ok(()),
        Kind::WatchList => watch_list(&drawn.content),
    }
}

/// What can be seen from here: TOML with a watch list and nothing else. The box checks each entry before it takes it.
fn watch_list(content: &[u8]) -> Result<(), BadField> {
    let bad = |problem: String| BadField::new("content", problem);
    let text = std::str::from_utf8(content).map_err(|_| bad("must be UTF-8".into()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| bad(error.to_string()))?;
    match table.keys().find(|key| *key != "watch") {
        Some(key) => {
            Err(bad(format!("{key} is no part of a watch list; it holds [[watch.…]] and nothing else")))
        }
        None => Ok(()),
    }
}

fn is_over(drawn: &Drawn, now: Millis) -> bool {
    match drawn.kind {
        Kind::Exception => Exception::of_document(&drawn.content, &drawn.name)
            .is_ok_and(|exception| now >= exception.expires),
        Kind::WatchList | Kind::Secret => false,
    }
}
