//! What operators do: tenants, sites, charter, catalogue. Each verb answers with what is now.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proto::{
    act::Deed,
    charter,
    field::{BadField, text},
    ids::{SiteId, TenantId, WatchId},
    time::Millis,
};
use runbooks::{Catalogue, Policy};
use serde_json::{Value, json};

use super::{Core, CoreError, InForce, incident::State, names, payload_digest};
use crate::store::{
    ApplianceRow, ApplianceState, Document, EvidenceRow, GapRow, IncidentRow, LinesRow, NewTenant, OrderRow,
    SiteRow, TenantRow, TimelineRow,
};

/// The most bytes of lines in one answer.
const LINES_SHOWN: u64 = 8 << 20;

/// A token as its owner gets it, once.
pub struct Token {
    /// The secret.
    pub secret: String,
    /// Until when.
    pub expires: Millis,
}

impl Core {
    /// Adds a clinic with an empty log and the default policy.
    pub fn create_tenant(&mut self, name: &str, now: Millis) -> Result<TenantRow, CoreError> {
        let name = plain_name(name)?;
        let id = TenantId::new(now, self.random());
        let is_taken = self.store.tenants()?.iter().any(|row| names::same(&row.name, &name));
        if is_taken || !self.add_tenant(id, &name, now)? {
            return Err(CoreError::Exists(format!(
                "name {name:?} is taken by another tenant; choose another"
            )));
        }
        // Its paper goes where its checkpoints will go, once it is durable here.
        self.grown.insert(id);
        self.note_in_force(id, now)?;
        self.changed(Some(id), "clinic", Value::Null, json!(name));
        self.tenant(&name)
    }

    /// Adds it; `false` when the name is taken.
    pub(super) fn add_tenant(&self, id: TenantId, name: &str, created: Millis) -> Result<bool, CoreError> {
        let policy = self.seal(&self.first_policy(id)?.unsigned())?;
        let added = self.store.add_tenant(&NewTenant {
            id,
            name,
            created,
            policy_serial: 1,
            policy: &policy,
            log_origin: &proto::log::log_origin(&self.settings.organization, id),
        })?;
        if added {
            // What it says itself, apart from what the organization says.
            self.store.put_policy_level(&id.to_string(), &Policy::default_local(), created)?;
        }
        Ok(added)
    }

    /// Adds a site.
    pub fn create_site(&mut self, tenant: &str, name: &str, now: Millis) -> Result<SiteRow, CoreError> {
        let tenant = self.served(tenant)?;
        let name = plain_name(name)?;
        let site = SiteRow { id: SiteId::new(now, self.random()), tenant: tenant.id, name, created: now };
        let is_taken = self.store.sites(tenant.id)?.iter().any(|row| names::same(&row.name, &site.name));
        if is_taken || !self.store.add_site(&site)? {
            return Err(CoreError::Exists(format!("{} has a site {:?} already", tenant.name, site.name)));
        }
        self.changed(Some(tenant.id), "site", Value::Null, json!({ "id": site.id, "name": site.name }));
        Ok(site)
    }

    /// Revokes an appliance, for good.
    pub fn revoke_appliance(
        &mut self,
        id: &str,
        reason: &str,
        now: Millis,
    ) -> Result<ApplianceRow, CoreError> {
        let before = self.appliance("id", id)?;
        let (id, reason) = (before.id, text("reason", reason, 200)?);
        if !self.store.set_appliance_state(id, ApplianceState::Revoked, &reason)? {
            return Err(CoreError::Precondition(format!(
                "appliance {id} is revoked already: {}",
                before.state_reason
            )));
        }
        let row = self.appliance("id", &id.to_string())?;
        self.state_changed(&before, &row);
        self.keep_revocation(row.tenant, id, now)?;
        self.note_act(row.tenant, Deed::Revocation { appliance: id }, now);
        self.box_is_gone(&row, &format!("the appliance was revoked: {reason}"), now)?;
        self.wake.insert(id);
        Ok(row)
    }

    /// How far the chain of an appliance's incarnation is kept.
    pub fn chain_next(&self, appliance: &ApplianceRow) -> Result<(u64, String), CoreError> {
        let row = self.store.incarnation(appliance.incarnation)?;
        Ok(row.map_or((0, String::new()), |row| (row.chain.next, row.protection)))
    }

    /// What is missing of what an appliance should have sent, and why.
    pub fn gaps(&self, appliance: &ApplianceRow) -> Result<Vec<GapRow>, CoreError> {
        Ok(self.store.gaps(appliance.id)?)
    }

    /// The newest lines of a box's logs, or of one log; and how many ever came.
    pub fn lines(&self, id: &str, watch: &str, most: u32) -> Result<(Vec<LinesRow>, u64), CoreError> {
        let id = self.appliance("appliance", id)?.id;
        let watch = match watch {
            "" => None,
            id => Some(id.parse::<WatchId>().map_err(|bad| bad.within("watch"))?),
        };
        let watch = watch.as_ref().map(WatchId::as_str);
        let rows = self.store.newest_lines(id, watch, limit(most).into(), LINES_SHOWN)?;
        Ok((rows, self.store.lines_taken(id)?))
    }

    /// Incidents, newest first.
    pub fn incidents(&self, tenant: &str, state: &str, most: u32) -> Result<Vec<IncidentRow>, CoreError> {
        let state = match state {
            "" => None,
            name => Some(State::named(name).ok_or_else(|| {
                let names: Vec<_> = State::ALL.iter().map(|s| s.name()).collect();
                BadField::new("state", format!("must be one of {}", names.join(", ")))
            })?),
        };
        Ok(self.store.incidents(self.within(tenant)?, state, limit(most))?)
    }

    /// One incident and how it went.
    pub fn incident(&self, id: &str) -> Result<(IncidentRow, Vec<TimelineRow>), CoreError> {
        let row = self.seen_incident("id", id)?;
        let timeline = self.store.timeline(row.id)?;
        Ok((row, timeline))
    }

    /// Orders, newest first.
    pub fn orders(&self, tenant: &str, most: u32) -> Result<Vec<OrderRow>, CoreError> {
        Ok(self.store.orders(self.within(tenant)?, limit(most))?)
    }

    /// A clinic's evidence from a log index on, and how much there is.
    pub fn evidence(&self, tenant: &str, from: u64, most: u32) -> Result<(Vec<EvidenceRow>, u64), CoreError> {
        let tenant = self.tenant(tenant)?;
        Ok((self.store.evidence(tenant.id, from, limit(most))?, tenant.log_size))
    }

    /// The charter in force.
    pub fn charter_envelope(&self) -> &[u8] {
        &self.charter.envelope
    }

    /// Puts a newer charter in force. The online keys it names must be this server's.
    pub fn publish_charter(&mut self, envelope: &[u8], now: Millis) -> Result<(), CoreError> {
        let offered = self.trust.open(envelope)?.into_value();
        let digest = payload_digest(envelope)?;
        let newest = (self.charter.document.serial, payload_digest(&self.charter.envelope)?);
        if !charter::succession(Some(newest), (offered.serial, digest))? {
            return Ok(());
        }
        let keys = self.keys_under(&offered)?;
        Catalogue::open(&self.catalogue.envelope, &offered)?;
        self.keep_charter(offered.serial, envelope, now)?;
        self.store.put_document(Document::Charter, offered.serial, envelope, now)?;
        self.learn_keys()?;
        self.wake_everyone()?;
        let before = self.charter.document.serial;
        self.changed(None, "charter", json!(before), json!(offered.serial));
        self.charter = InForce { document: offered, envelope: envelope.to_vec() };
        self.take_keys(keys);
        self.note_documents(now)?;
        self.sign_anew(now)
    }

    /// The catalogue in force.
    pub fn catalogue(&self) -> (&Catalogue, &[u8]) {
        (&self.catalogue.document, &self.catalogue.envelope)
    }

    /// Puts a newer catalogue in force.
    pub fn publish_catalogue(&mut self, envelope: &[u8], now: Millis) -> Result<(), CoreError> {
        let offered = Catalogue::open(envelope, &self.charter.document)?.into_value();
        let digest = payload_digest(envelope)?;
        let newest = (self.catalogue.document.version, payload_digest(&self.catalogue.envelope)?);
        if !runbooks::succession(Some(newest), (offered.version, digest))? {
            return Ok(());
        }
        self.store.put_document(Document::Catalogue, offered.version, envelope, now)?;
        self.wake_everyone()?;
        let before = self.catalogue.document.version;
        self.changed(None, "catalogue", json!(before), json!(offered.version));
        self.catalogue = InForce { document: offered, envelope: envelope.to_vec() };
        self.note_documents(now)
    }

    /// Says in the trail how a box stood, and how it stands now.
    pub(super) fn state_changed(&mut self, before: &ApplianceRow, after: &ApplianceRow) {
        let said = |row: &ApplianceRow| json!({ "id": row.id, "state": row.state.name(), "reason": row.state_reason });
        self.changed(Some(after.tenant), "appliance", said(before), said(after));
    }

    fn wake_everyone(&mut self) -> Result<(), CoreError> {
        self.wake.extend(self.store.appliances(None)?.into_iter().map(|row| row.id));
        Ok(())
    }

    pub(super) fn secret(&mut self) -> String {
        URL_SAFE_NO_PAD.encode(self.random::<32>())
    }
}

/// A name that people type where an ID would do as well: it must not be one, or it could mean somebody else.
fn plain_name(name: &str) -> Result<String, BadField> {
    if name.parse::<TenantId>().is_ok() {
        return Err(BadField::new("name", "must not look like an ID"));
    }
    names::name("name", name, 100)
}

pub(super) fn limit(most: u32) -> u32 {
    if most == 0 { 100 } else { most.min(1000) }
}
