//! Appliances, and the executor states (incarnations) they ever had.

use proto::{
    digest::Digest,
    evidence::{Head, Heartbeat},
    ids::{ApplianceId, Incarnation, SiteId, TenantId},
    keys::PublicKey,
    sync::StreamState,
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// How many batches of a stream are remembered: more than are sent while a copy of one lies in some buffer.
const BATCHES: u64 = 512;

/// What an appliance may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplianceState {
    /// Everything.
    Active,
    /// Its orders are withheld; its evidence keeps coming.
    Quarantined,
    /// Nothing, for good.
    Revoked,
}

impl ApplianceState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Quarantined, Self::Revoked];

    /// Its name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Quarantined => "quarantined",
            Self::Revoked => "revoked",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// A box.
#[derive(Debug, Clone)]
pub struct ApplianceRow {
    /// Its ID.
    pub id: ApplianceId,
    /// Whose.
    pub tenant: TenantId,
    /// Where.
    pub site: SiteId,
    /// What it may do.
    pub state: ApplianceState,
    /// Why.
    pub state_reason: String,
    /// The executor state in force.
    pub incarnation: Incarnation,
    /// SHA-256 of its TLS key's SubjectPublicKeyInfo: what is admitted.
    pub tls_spki: Digest,
    /// Its newest certificate, DER.
    pub certificate: Vec<u8>,
    /// Since when.
    pub enrolled: Millis,
    /// Newest exchange; 0: none.
    pub seen: Millis,
    /// Program version, reported.
    pub version: String,
    /// What it said it is made of when it enrolled; empty: nothing.
    pub hardware: String,
    /// Highest sequence issued.
    pub issued_high: u64,
    /// Highest sequence its agent says it handed over.
    pub taken_high: u64,
    /// Restore generation in which the newest heartbeat came; 0: none.
    pub heartbeat_generation: u64,
    /// When that was.
    pub heartbeat_at: Millis,
    /// That heartbeat.
    pub heartbeat: Option<Heartbeat>,
}

/// A box that enrols, or enrols anew.
#[derive(Debug)]
pub struct NewAppliance<'a> {
    /// Its ID.
    pub id: ApplianceId,
    /// Whose.
    pub tenant: TenantId,
    /// Where.
    pub site: SiteId,
    /// Its executor's state.
    pub incarnation: Incarnation,
    /// SHA-256 of its TLS key's SubjectPublicKeyInfo.
    pub tls_spki: Digest,
    /// Its certificate, DER.
    pub certificate: &'a [u8],
    /// The key of its evidence.
    pub evidence_key: &'a PublicKey,
    /// How that key is kept.
    pub protection: &'a str,
    /// The executor's statement over both keys.
    pub key_proof: &'a [u8],
    /// What it says it is made of.
    pub hardware: &'a str,
    /// Now.
    pub enrolled: Millis,
}

/// An executor state that was enrolled once.
#[derive(Debug, Clone)]
pub struct IncarnationRow {
    /// Its ID.
    pub incarnation: Incarnation,
    /// Of which box.
    pub appliance: ApplianceId,
    /// Of which clinic.
    pub tenant: TenantId,
    /// The key of its evidence.
    pub evidence_key: PublicKey,
    /// How that key is kept.
    pub protection: String,
    /// The executor's statement over both keys.
    pub key_proof: Vec<u8>,
    /// The certificate it enrolled with, DER.
    pub certificate: Vec<u8>,
    /// End of the unbroken beginning of its chain.
    pub chain: Head,
}

impl Store {
    /// Adds an appliance and its first incarnation.
    pub fn add_appliance(&self, new: &NewAppliance<'_>) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO appliance VALUES (?1, ?2, ?3, 'active', '', ?4, ?5, ?6, ?7, 0, '', 0, 0, 0, 0, NULL, ?8)",
            )?
            .execute(params![
                Col(new.id),
                Col(new.tenant),
                Col(new.site),
                Col(new.incarnation),
                Col(new.tls_spki),
                new.certificate,
                Col(new.enrolled),
                new.hardware
            ])?;
        self.db
            .prepare_cached("INSERT INTO incarnation VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)")?
            .execute(params![
                Col(new.incarnation),
                Col(new.id),
                Col(new.tenant),
                new.evidence_key.to_string(),
                new.protection,
                new.key_proof,
                new.certificate,
                Col(Digest::ZERO)
            ])?;
        Ok(())
    }

    /// The appliance that an enrolled TLS key belongs to.
    pub fn appliance_by_key(&self, spki: Digest) -> Result<Option<ApplianceRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT * FROM appliance WHERE tls_spki = ?1")?
            .query_row([Col(spki)], appliance)
            .optional()?)
    }

    /// What the appliance that an enrolled TLS key belongs to may do: all that a door must know.
    pub fn state_by_key(&self, spki: Digest) -> Result<Option<ApplianceState>, StoreError> {
        let found: Option<String> = self
            .db
            .prepare_cached("SELECT state FROM appliance WHERE tls_spki = ?1")?
            .query_row([Col(spki)], |row| row.get(0))
            .optional()?;
        let corrupt = StoreError::Corrupt { column: "appliance.state" };
        found.map(|name| ApplianceState::named(&name).ok_or(corrupt)).transpose()
    }

    /// One appliance.
    pub fn appliance(&self, id: ApplianceId) -> Result<Option<ApplianceRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT * FROM appliance WHERE id = ?1")?
            .query_row([Col(id)], appliance)
            .optional()?)
    }

    /// Whether a box is in this state.
    pub fn appliance_is(&self, id: ApplianceId, state: ApplianceState) -> Result<bool, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT 1 FROM appliance WHERE id = ?1 AND state = ?2")?;
        Ok(statement.exists(params![Col(id), state.name()])?)
    }

    /// Whether a box is this incarnation today.
    pub fn is_in_force(&self, id: ApplianceId, incarnation: Incarnation) -> Result<bool, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT 1 FROM appliance WHERE id = ?1 AND incarnation = ?2")?;
        Ok(statement.exists(params![Col(id), Col(incarnation)])?)
    }

    /// Appliances by age, of one clinic or of all.
    pub fn appliances(&self, tenant: Option<TenantId>) -> Result<Vec<ApplianceRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM appliance WHERE ?1 IS NULL OR tenant = ?1 ORDER BY enrolled_ms, id",
        )?;
        Ok(statement.query_map([tenant.map(Col)], appliance)?.collect::<Result<_, _>>()?)
    }

    /// Notes that an appliance was heard.
    pub fn saw_appliance(
        &self,
        id: ApplianceId,
        now: Millis,
        version: &str,
        taken_high: u64,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE appliance SET seen_ms = ?2, version = ?3, taken_high = ?4 WHERE id = ?1")?
            .execute(params![Col(id), Col(now), version, Col(taken_high)])?;
        Ok(())
    }

    /// Changes what an appliance may do. Revoked stays revoked.
    pub fn set_appliance_state(
        &self,
        id: ApplianceId,
        state: ApplianceState,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE appliance SET state = ?2, state_reason = ?3 WHERE id = ?1 AND state <> 'revoked'",
            )?
            .execute(params![Col(id), state.name(), reason])?;
        Ok(changed == 1)
    }

    /// The certificate that answered this request of that appliance before.
    pub fn renewal(&self, id: ApplianceId, csr: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT certificate FROM renewal WHERE csr = ?2 AND appliance = ?1")?
            .query_row(params![Col(id), Col(csr)], |row| row.get(0))
            .optional()?)
    }

    /// Keeps a renewed certificate, and which request it answers.
    pub fn put_certificate(
        &self,
        id: ApplianceId,
        csr: Digest,
        certificate: &[u8],
    ) -> Result<(), StoreError> {
        self.db.prepare_cached("INSERT INTO renewal VALUES (?1, ?2, ?3) ON CONFLICT (csr) DO UPDATE SET certificate = excluded.certificate")?.execute(params![
            Col(csr),
            Col(id),
            certificate
        ])?;
        self.db
            .prepare_cached("UPDATE appliance SET certificate = ?2 WHERE id = ?1")?
            .execute(params![Col(id), certificate])?;
        Ok(())
    }

    /// Keeps the newest heartbeat of an appliance.
    pub fn put_heartbeat(
        &self,
        id: ApplianceId,
        generation: u64,
        at: Millis,
        beat: &Heartbeat,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(beat).map_err(|_| StoreError::Corrupt { column: "heartbeat" })?;
        self.db
            .prepare_cached(
                "UPDATE appliance SET heartbeat_generation = ?2, heartbeat_ms = ?3, heartbeat = ?4 WHERE id = ?1",
            )?
            .execute(params![Col(id), Col(generation), Col(at), text])?;
        Ok(())
    }

    /// Waits for a heartbeat as after a restore.
    pub fn await_heartbeat(&self, id: ApplianceId) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE appliance SET heartbeat_generation = 0 WHERE id = ?1")?
            .execute([Col(id)])?;
        Ok(())
    }

    /// Keeps why orders are held at the box, as its newest record says.
    pub fn put_hold(&self, id: ApplianceId, hold: Option<&str>) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE appliance SET heartbeat = json_set(heartbeat, '$.hold', ?2) WHERE id = ?1",
            )?
            .execute(params![Col(id), hold])?;
        Ok(())
    }

    /// Raises the highest sequence issued; refuses one that does not rise.
    pub fn raise_issued_high(&self, id: ApplianceId, sequence: u64) -> Result<(), StoreError> {
        let changed = self
            .db
            .prepare_cached("UPDATE appliance SET issued_high = ?2 WHERE id = ?1 AND issued_high < ?2")?
            .execute(params![Col(id), Col(sequence)])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict { what: "order sequence" }) }
    }

    /// One incarnation.
    pub fn incarnation(&self, incarnation: Incarnation) -> Result<Option<IncarnationRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT * FROM incarnation WHERE incarnation = ?1")?
            .query_row([Col(incarnation)], incarnation_row)
            .optional()?)
    }

    /// All incarnations of a clinic.
    pub fn incarnations(&self, tenant: TenantId) -> Result<Vec<IncarnationRow>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT * FROM incarnation WHERE tenant = ?1 ORDER BY incarnation")?;
        Ok(statement.query_map([Col(tenant)], incarnation_row)?.collect::<Result<_, _>>()?)
    }

    /// Moves the end of a chain forward.
    pub fn put_chain(&self, incarnation: Incarnation, chain: Head) -> Result<(), StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE incarnation SET chain_next = ?2, chain_digest = ?3 WHERE incarnation = ?1 AND chain_next < ?2",
            )?
            .execute(params![Col(incarnation), Col(chain.next), Col(chain.digest)])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict { what: "evidence chain" }) }
    }

    /// The end of a stream; the default when it is new.
    pub fn stream(
        &self,
        appliance: ApplianceId,
        stream: proto::ids::StreamId,
    ) -> Result<StreamState, StoreError> {
        let found = self
            .db
            .prepare_cached("SELECT number, digest FROM stream WHERE appliance = ?1 AND stream = ?2")?
            .query_row(params![Col(appliance), Col(stream)], |row| {
                Ok(StreamState { number: col(row, "number")?, digest: col(row, "digest")? })
            })
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Whether that batch, one of the last few hundred, was committed with that digest.
    pub fn has_batch(
        &self,
        appliance: ApplianceId,
        stream: proto::ids::StreamId,
        batch: StreamState,
    ) -> Result<bool, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT 1 FROM batch WHERE appliance = ?1 AND stream = ?2 AND number = ?3 AND digest = ?4",
            )?
            .exists(params![Col(appliance), Col(stream), Col(batch.number), Col(batch.digest)])?)
    }

    /// Moves the end of a stream forward.
    pub fn put_stream(
        &self,
        appliance: ApplianceId,
        stream: proto::ids::StreamId,
        state: StreamState,
    ) -> Result<(), StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "INSERT INTO stream VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET number = excluded.number, digest = excluded.digest
                 WHERE stream.number < excluded.number",
            )?
            .execute(params![Col(appliance), Col(stream), Col(state.number), Col(state.digest)])?;
        if changed != 1 {
            return Err(StoreError::Conflict { what: "stream" });
        }
        self.db.prepare_cached("INSERT INTO batch VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            Col(appliance),
            Col(stream),
            Col(state.number),
            Col(state.digest)
        ])?;
        self.db
            .prepare_cached("DELETE FROM batch WHERE appliance = ?1 AND stream = ?2 AND number <= ?3")?
            .execute(params![Col(appliance), Col(stream), Col(state.number.saturating_sub(BATCHES))])?;
        Ok(())
    }
}

pub(super) fn appliance(row: &Row<'_>) -> rusqlite::Result<ApplianceRow> {
    let state: String = row.get("state")?;
    let heartbeat: Option<String> = row.get("heartbeat")?;
    let corrupt = |column: &str| rusqlite::Error::InvalidColumnName(column.to_owned());
    Ok(ApplianceRow {
        id: col(row, "id")?,
        tenant: col(row, "tenant")?,
        site: col(row, "site")?,
        state: ApplianceState::named(&state).ok_or_else(|| corrupt("appliance.state"))?,
        state_reason: row.get("state_reason")?,
        incarnation: col(row, "incarnation")?,
        tls_spki: col(row, "tls_spki")?,
        certificate: row.get("certificate")?,
        enrolled: col(row, "enrolled_ms")?,
        seen: col(row, "seen_ms")?,
        version: row.get("version")?,
        hardware: row.get("hardware")?,
        issued_high: col(row, "issued_high")?,
        taken_high: col(row, "taken_high")?,
        heartbeat_generation: col(row, "heartbeat_generation")?,
        heartbeat_at: col(row, "heartbeat_ms")?,
        heartbeat: heartbeat
            .map(|text| serde_json::from_str(&text).map_err(|_| corrupt("appliance.heartbeat")))
            .transpose()?,
    })
}

fn incarnation_row(row: &Row<'_>) -> rusqlite::Result<IncarnationRow> {
    Ok(IncarnationRow {
        incarnation: col(row, "incarnation")?,
        appliance: col(row, "appliance")?,
        tenant: col(row, "tenant")?,
        evidence_key: col(row, "evidence_key")?,
        protection: row.get("protection")?,
        key_proof: row.get("key_proof")?,
        certificate: row.get("certificate")?,
        chain: Head { next: col(row, "chain_next")?, digest: col(row, "chain_digest")? },
    })
}
