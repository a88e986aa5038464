//! What must outlive the database beside evidence: which clinics there are, who was enrolled, and whose keys and tokens
//! were taken back, as objects of the vault.
//!
//! A database that comes from a backup has forgotten the newest of each. Without the first two, evidence that lies in
//! the vault could not be verified again, and its log would halt; without the others, a stolen box or token would be
//! welcome once more.

use std::collections::BTreeSet;

use proto::{
    digest::Digest,
    identity::{CertificateFacts, KeyProof},
    ids::{ApplianceId, Incarnation, SiteId, TenantId},
    time::Millis,
};
use serde::{Deserialize, Serialize};

use super::{Core, CoreError};
use crate::{
    bundle::Enrolled,
    store::{ApplianceState, Document, NewAppliance, SiteRow, TenantRow},
};

/// An enrolment as the vault keeps it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolment {
    site: SiteId,
    site_name: String,
    enrolled: Millis,
    /// SHA-256 of the token it used up.
    token: Digest,
    /// As bundles have them.
    papers: String,
    /// What the box said it is made of.
    #[serde(default)]
    hardware: String,
}

/// A clinic as the vault keeps it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Clinic {
    name: String,
    created: Millis,
}

const TENANTS: &str = "tenants";
const CHARTERS: &str = "charters";
const REVOKED_TOKENS: &str = "revoked-tokens";

/// One for each incarnation: whoever asks again after an enrolment that was undone gets that one.
fn enrolment_key(tenant: TenantId, incarnation: Incarnation) -> String {
    format!("{tenant}/enrolments/{incarnation}")
}

fn revocation_key(tenant: TenantId, appliance: ApplianceId) -> String {
    format!("{tenant}/revocations/{appliance}")
}

impl Core {
    /// Keeps a clinic where a restored database finds it.
    pub(super) fn keep_tenant(&self, row: &TenantRow, now: Millis) -> Result<(), CoreError> {
        let key = format!("{TENANTS}/{}", row.id);
        if self.ports.vault.get(&key)?.is_some() {
            return Ok(());
        }
        let clinic = Clinic { name: row.name.clone(), created: row.created };
        let bytes = serde_json::to_vec(&clinic).expect("plain data serialises");
        self.keep(&key, &bytes, self.retain_until(now))
    }

    /// Keeps a charter there: what was signed under it is verified by it, however old the database is.
    pub(super) fn keep_charter(&self, serial: u64, envelope: &[u8], now: Millis) -> Result<(), CoreError> {
        let key = format!("{CHARTERS}/{serial:010}");
        if self.ports.vault.get(&key)?.is_some() {
            return Ok(());
        }
        self.keep(&key, envelope, self.retain_until(now))
    }

    /// Keeps the charters that the vault lacks, and takes over those that it has and the database has not.
    pub(super) fn restore_charters(&mut self, now: Millis) -> Result<(), CoreError> {
        let mut known = BTreeSet::new();
        for (serial, envelope) in self.store.documents(Document::Charter)? {
            self.keep_charter(serial, &envelope, now)?;
            known.insert(serial);
        }
        for key in self.ports.vault.list(CHARTERS)? {
            let Some(serial) = last_part::<u64>(&key).filter(|serial| !known.contains(serial)) else {
                continue;
            };
            // A newer one is put in force by a person: this server's keys may not be of it.
            if serial < self.charter.document.serial
                && let Some(envelope) = self.ports.vault.get(&key)?
                && self.trust.open(&envelope).is_ok_and(|charter| charter.value().serial == serial)
            {
                tracing::warn!(serial, "charter {serial} is read back from the vault");
                self.store.put_document(Document::Charter, serial, &envelope, now)?;
            }
        }
        Ok(())
    }

    /// Takes over the clinics that the vault knows and the database does not, each with an empty log and the default
    /// policy; what lies in the vault of them follows.
    pub(super) fn restore_tenants(&self) -> Result<(), CoreError> {
        for key in self.ports.vault.list(TENANTS)? {
            let Some(id) = last_part::<TenantId>(&key) else { continue };
            if self.store.tenant(id)?.is_some() {
                continue;
            }
            let Some(bytes) = self.ports.vault.get(&key)? else { continue };
            let broken = |problem: String| CoreError::Log { tenant: id.to_string(), problem };
            let clinic: Clinic = serde_json::from_slice(&bytes).map_err(|e| broken(format!("{key} {e}")))?;
            tracing::warn!(tenant = %id, "clinic {id} is read back from the vault");
            // Its name may have been given to another since.
            if !self.add_tenant(id, &clinic.name, clinic.created)? {
                self.add_tenant(id, &format!("{} ({id})", clinic.name), clinic.created)?;
            }
        }
        self.note_unknown_in(TENANTS)
    }

    /// Keeps there that an API token was taken back.
    pub(super) fn keep_token_revocation(&self, hash: Digest, now: Millis) -> Result<(), CoreError> {
        let key = format!("{REVOKED_TOKENS}/{hash}");
        self.keep(&key, b"revoked\n", self.retain_until(now))
    }

    /// Takes back the API tokens that the vault says were.
    pub(super) fn restore_token_revocations(&self) -> Result<(), CoreError> {
        for key in self.ports.vault.list(REVOKED_TOKENS)? {
            let Some(hash) = last_part::<Digest>(&key) else { continue };
            if self.store.revoke_operator_token_of(hash)? {
                tracing::warn!("an API token was taken back before this database was restored");
            }
        }
        self.note_unknown_in(REVOKED_TOKENS)
    }

    /// Keeps an enrolment where a restored database finds it.
    pub(super) fn keep_enrolment(&self, new: &NewAppliance<'_>, token: Digest) -> Result<(), CoreError> {
        let site_name =
            self.store.sites(new.tenant)?.into_iter().find(|site| site.id == new.site).map(|site| site.name);
        let papers = Enrolled {
            appliance: new.id,
            incarnation: new.incarnation,
            certificate: new.certificate.to_vec(),
            key_proof: new.key_proof.to_vec(),
        };
        let enrolment = Enrolment {
            site: new.site,
            site_name: site_name.unwrap_or_default(),
            enrolled: new.enrolled,
            token,
            papers: String::from_utf8_lossy(&papers.encode()).into_owned(),
            hardware: new.hardware.to_owned(),
        };
        let bytes = serde_json::to_vec(&enrolment).expect("plain data serialises");
        let key = enrolment_key(new.tenant, new.incarnation);
        self.keep(&key, &bytes, self.retain_until(new.enrolled))
    }

    /// Keeps a revocation there. Always the same bytes, so that it can be said again.
    pub(super) fn keep_revocation(
        &self,
        tenant: TenantId,
        id: ApplianceId,
        now: Millis,
    ) -> Result<(), CoreError> {
        self.keep(&revocation_key(tenant, id), b"revoked\n", self.retain_until(now))
    }

    /// Takes over what the vault knows of a clinic's boxes and the database does not.
    pub(super) fn restore_papers(&self, tenant: TenantId) -> Result<(), CoreError> {
        for key in self.ports.vault.list(&format!("{tenant}/enrolments"))? {
            let Some(bytes) = self.ports.vault.get(&key)? else { continue };
            self.restore_enrolment(tenant, &key, &bytes)?;
        }
        for key in self.ports.vault.list(&format!("{tenant}/revocations"))? {
            let Some(id) = last_part::<ApplianceId>(&key) else { continue };
            let known = self.store.appliance(id)?.filter(|row| row.state != ApplianceState::Revoked);
            if known.is_some_and(|row| row.tenant == tenant) {
                tracing::warn!(appliance = %id, "appliance {id} was revoked before this database was restored");
                self.store.set_appliance_state(
                    id,
                    ApplianceState::Revoked,
                    "revoked before the database was restored",
                )?;
            }
        }
        Ok(())
    }

    /// Takes over the enrolment of one executor, if the vault has it.
    pub(super) fn restore_enrolment_of(
        &self,
        tenant: TenantId,
        incarnation: Incarnation,
    ) -> Result<(), CoreError> {
        let key = enrolment_key(tenant, incarnation);
        match self.ports.vault.get(&key)? {
            Some(bytes) => self.restore_enrolment(tenant, &key, &bytes),
            None => Ok(()),
        }
    }

    fn restore_enrolment(&self, tenant: TenantId, key: &str, bytes: &[u8]) -> Result<(), CoreError> {
        let broken = |problem: String| CoreError::Log {
            tenant: tenant.to_string(),
            problem: format!("{key} {problem}"),
        };
        let kept: Enrolment = serde_json::from_slice(bytes).map_err(|e| broken(e.to_string()))?;
        let papers = Enrolled::parse(kept.papers.as_bytes()).map_err(|bad| broken(bad.to_string()))?;
        if self.store.incarnation(papers.incarnation)?.is_some() {
            return Ok(());
        }
        let proof =
            KeyProof::open_self_signed(&papers.key_proof).map_err(|e| broken(e.to_string()))?.into_value();
        let facts = CertificateFacts::read(&papers.certificate).map_err(|bad| broken(bad.to_string()))?;
        if (facts.spiffe.tenant, facts.spiffe.appliance, facts.spki, proof.incarnation)
            != (tenant, papers.appliance, proof.tls_spki, papers.incarnation)
        {
            return Err(broken("contradicts itself".into()));
        }
        if self.store.appliance_by_key(facts.spki)?.is_some() {
            return Ok(());
        }
        tracing::warn!(%tenant, appliance = %papers.appliance, "the enrolment of {} is read back from the vault", papers.appliance);
        if !self.store.sites(tenant)?.iter().any(|site| site.id == kept.site) {
            let site = SiteRow { id: kept.site, tenant, name: kept.site_name, created: kept.enrolled };
            self.store.add_site(&site)?;
        }
        if self.store.enrolment_token(kept.token)?.is_some_and(|token| token.appliance.is_none()) {
            self.store.use_enrolment_token(kept.token, papers.appliance)?;
        }
        Ok(self.store.add_appliance(&NewAppliance {
            id: papers.appliance,
            tenant,
            site: kept.site,
            incarnation: papers.incarnation,
            tls_spki: facts.spki,
            certificate: &papers.certificate,
            evidence_key: &proof.evidence_key,
            protection: &proof.protection.to_string(),
            key_proof: &papers.key_proof,
            hardware: &kept.hardware,
            enrolled: kept.enrolled,
        })?)
    }
}

fn last_part<T: std::str::FromStr>(key: &str) -> Option<T> {
    key.rsplit('/').next()?.parse().ok()
}
