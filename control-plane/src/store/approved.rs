//! Documents that people approved: core and approvals as they came, so that they can be signed anew for another charter.

use proto::{
    document::{Document, Kind, Slot},
    ids::{ApplianceId, Incarnation, TenantId},
    time::Millis,
};
use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreError, convert::Col};

impl Store {
    /// Keeps a document; its serial must rise within its slot.
    pub fn add_approved(&self, document: &Document, now: Millis) -> Result<(), StoreError> {
        let core = &document.core;
        let added = self
            .db
            .prepare_cached(
                "INSERT INTO approved SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (
                   SELECT 1 FROM approved WHERE tenant = ?1 AND appliance = ?2 AND kind = ?3 AND name = ?4 AND serial >= ?5)",
            )?
            .execute(params![
                Col(core.tenant),
                addressee(core.appliance),
                core.kind.as_str(),
                core.name,
                Col(core.serial),
                document.encode(),
                Col(now)
            ])?;
        if added == 1 { Ok(()) } else { Err(StoreError::Conflict { what: "document" }) }
    }

    /// The newest record of a kind in an incarnation's chain: the exact envelope.
    pub fn newest_of_kind(
        &self,
        incarnation: Incarnation,
        kind: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let query = "SELECT envelope FROM evidence WHERE incarnation = ?1 AND kind = ?2
                     ORDER BY chain_index DESC LIMIT 1";
        let mut statement = self.db.prepare_cached(query)?;
        Ok(statement.query_row(params![Col(incarnation), kind], |row| row.get(0)).optional()?)
    }

    /// The newest document of each slot of a clinic, for all its boxes and for single ones.
    pub fn approved(&self, tenant: TenantId) -> Result<Vec<Document>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT payload FROM approved a WHERE tenant = ?1 AND serial = (
               SELECT max(serial) FROM approved b
               WHERE (b.tenant, b.appliance, b.kind, b.name) = (a.tenant, a.appliance, a.kind, a.name))
             ORDER BY appliance, kind, name",
        )?;
        let payloads = statement.query_map([Col(tenant)], |row| row.get::<_, Vec<u8>>(0))?;
        let mut all = Vec::new();
        for payload in payloads {
            let document = Document::decode(&payload?);
            all.push(document.map_err(|_| StoreError::Corrupt { column: "approved.payload" })?);
        }
        Ok(all)
    }

    /// The contents of all documents of a kind that a clinic ever had, without withdrawals, oldest first.
    pub fn approved_contents(&self, tenant: TenantId, kind: Kind) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT payload FROM approved WHERE tenant = ?1 AND kind = ?2 ORDER BY added_ms, appliance, name, serial",
        )?;
        let payloads =
            statement.query_map(params![Col(tenant), kind.as_str()], |row| row.get::<_, Vec<u8>>(0))?;
        let mut all = Vec::new();
        for payload in payloads {
            let document = Document::decode(&payload?);
            let document = document.map_err(|_| StoreError::Corrupt { column: "approved.payload" })?;
            all.extend((!document.core.is_withdrawal()).then_some(document.core.content));
        }
        Ok(all)
    }

    /// The newest document of one slot.
    pub fn newest_approved(
        &self,
        tenant: TenantId,
        appliance: Option<ApplianceId>,
        slot: &Slot,
    ) -> Result<Option<Document>, StoreError> {
        let is = |document: &Document| document.core.appliance == appliance && document.core.slot() == *slot;
        Ok(self.approved(tenant)?.into_iter().find(is))
    }
}

fn addressee(appliance: Option<ApplianceId>) -> String {
    appliance.map(|id| id.to_string()).unwrap_or_default()
}
