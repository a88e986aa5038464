//! What must outlive the database beside evidence: which clinics there are, who was enrolled, and whose keys and tokens
//! were taken back, as objects of the vault.
//!
//! A database that comes from a backup has forgotten the newest of each. Without the first two, evidence that lies in
//! the vault could not be verified again, and its log would halt; without the others, a stolen box or token would be
//! welcome once more.
//!
//! The rule: each carries a signature of ours, or is none (see the module `ours`): an enrolment its certificate, a charter
//! the organization keys', the others the order key's.

use std::collections::BTreeSet;

use proto::{
    digest::Digest,
    identity::{CertificateFacts, KeyProof},
    ids::{ApplianceId, Incarnation, SiteId, TenantId},
    time::Millis,
};
use serde::{Deserialize, Serialize};

use super::{Core, CoreError, log::log_folder, ours::first_part};
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

/// That something was taken back.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Revoked {
    Revoked,
}

const TENANTS: &str = "tenants";
pub(super) const CHARTERS: &str = "charters";
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
        let clinic = Clinic { name: row.name.clone(), created: row.created };
        let paper = self.seal_paper(&key, &clinic)?;
        let is_ours = |key: &str, bytes: &[u8]| self.open_paper::<Clinic>(key, bytes).is_some();
        self.keep_ours(&key, &paper, self.retain_until(now), is_ours)
    }

    /// Keeps a charter there: what was signed under it is verified by it, however old the database is.
    pub(super) fn keep_charter(&self, serial: u64, envelope: &[u8], now: Millis) -> Result<(), CoreError> {
        let is_ours = |_: &str, bytes: &[u8]| self.is_charter(serial, bytes);
        self.keep_ours(&format!("{CHARTERS}/{serial:010}"), envelope, self.retain_until(now), is_ours)
    }

    fn is_charter(&self, serial: u64, envelope: &[u8]) -> bool {
        self.trust.open(envelope).is_ok_and(|charter| charter.value().serial == serial)
    }

    /// Keeps the charters that the vault lacks, and takes over those that it has and the database has not.
    pub(super) fn restore_charters(&mut self, now: Millis) -> Result<(), CoreError> {
        let mut known = BTreeSet::new();
        for (serial, envelope) in self.store.documents(Document::Charter)? {
            self.keep_charter(serial, &envelope, now)?;
            known.insert(serial);
        }
        for (key, serial, envelope) in self.papers_in(CHARTERS, |serial| Ok(!known.contains(serial)))? {
            if !self.is_charter(serial, &envelope) {
                self.is_strange(&key)?;
            } else if serial < self.charter.document.serial {
                // A newer one is put in force by a person: this server's keys may not be of it.
                tracing::warn!(serial, "charter {serial} is read back from the vault");
                self.store.put_document(Document::Charter, serial, &envelope, now)?;
                known.insert(serial);
            }
        }
        self.learn_keys()?;
        let serial = |key: &str| first_part(key).parse().ok();
        self.note_unknown_in(CHARTERS, |key, bytes| {
            serial(key).is_some_and(|serial| self.is_charter(serial, bytes))
        })
    }

    /// Takes over the clinics that the vault knows and the database does not, each with an empty log and the default
    /// policy; what lies in the vault of them follows.
    pub(super) fn restore_tenants(&self) -> Result<(), CoreError> {
        let is_unknown = |id: &TenantId| Ok(self.store.tenant(*id)?.is_none());
        for (key, id, bytes) in self.papers_in(TENANTS, is_unknown)? {
            let Some(clinic) = self.clinic(id, &key, &bytes)? else {
                self.is_strange(&key)?;
                continue;
            };
            if self.store.tenant(id)?.is_some() {
                continue;
            }
            tracing::warn!(tenant = %id, "clinic {id} is read back from the vault");
            // Its name may have been given to another since.
            if !self.add_tenant(id, &clinic.name, clinic.created)? {
                self.add_tenant(id, &format!("{} ({id})", clinic.name), clinic.created)?;
            }
        }
        self.note_unknown_in(TENANTS, |key, bytes| {
            let named = first_part(key).parse().ok();
            named.is_some_and(|id| self.clinic(id, key, bytes).is_ok_and(|clinic| clinic.is_some()))
        })
    }

    /// A clinic by its paper. Where that was not signed, or by a key that was taken away since, the clinic's checkpoints vouch
    /// for it.
    fn clinic(&self, id: TenantId, key: &str, bytes: &[u8]) -> Result<Option<Clinic>, CoreError> {
        if let Some(clinic) = self.open_paper(key, bytes) {
            return Ok(Some(clinic));
        }
        let old = self.open_old_paper(key, bytes);
        let Some(clinic) = old.or_else(|| serde_json::from_slice(bytes).ok()) else { return Ok(None) };
        let origin = proto::log::log_origin(&self.settings.organization, id);
        let newest = self.newest_published(&log_folder(id, 1), &origin)?;
        Ok(newest.map(|_| clinic))
    }

    /// Keeps there that an API token was taken back, or (by the digest of their ID) that somebody was shut out.
    pub(super) fn keep_token_revocation(&self, hash: Digest, now: Millis) -> Result<(), CoreError> {
        self.keep_revoked(&format!("{REVOKED_TOKENS}/{hash}"), now)
    }

    /// Takes back the API tokens, and shuts out the people, that the vault says were.
    pub(super) fn restore_token_revocations(&self) -> Result<(), CoreError> {
        let known = self.ways_in()?;
        let holds = |hash: &Digest| {
            let token = self.store.operator_token(*hash)?;
            Ok(known.contains_key(hash) || token.is_some_and(|token| !token.revoked))
        };
        for (key, hash, bytes) in self.papers_in(REVOKED_TOKENS, holds)? {
            if self.open_old_paper::<Revoked>(&key, &bytes).is_none() {
                self.is_strange(&key)?;
            } else if self.store.revoke_operator_token_of(hash)? {
                tracing::warn!("an API token was taken back before this database was restored");
            } else if let Some(way) = known.get(&hash) {
                self.close(way)?;
            }
        }
        self.note_unknown_in(REVOKED_TOKENS, |key, bytes| {
            self.open_old_paper::<Revoked>(key, bytes).is_some()
        })
    }

    fn keep_revoked(&self, key: &str, now: Millis) -> Result<(), CoreError> {
        let paper = self.seal_paper(key, &Revoked::Revoked)?;
        let is_ours = |key: &str, bytes: &[u8]| self.open_old_paper::<Revoked>(key, bytes).is_some();
        self.keep_ours(key, &paper, self.retain_until(now), is_ours)
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

    /// Keeps a revocation there; it can be said again.
    pub(super) fn keep_revocation(
        &self,
        tenant: TenantId,
        id: ApplianceId,
        now: Millis,
    ) -> Result<(), CoreError> {
        self.keep_revoked(&revocation_key(tenant, id), now)
    }

    /// Takes over what the vault knows of a clinic's boxes and the database does not.
    pub(super) fn restore_papers(&self, tenant: TenantId) -> Result<(), CoreError> {
        for (key, named, bytes) in self.papers_in(&format!("{tenant}/enrolments"), |_: &String| Ok(true))? {
            self.restore_enrolment(tenant, &named, &key, &bytes)?;
        }
        let holds = |id: &ApplianceId| {
            let known = self.store.appliance(*id)?.filter(|row| row.state != ApplianceState::Revoked);
            Ok(known.is_some_and(|row| row.tenant == tenant))
        };
        for (key, id, bytes) in self.papers_in(&format!("{tenant}/revocations"), holds)? {
            if self.open_old_paper::<Revoked>(&key, &bytes).is_none() {
                self.is_strange(&key)?;
                continue;
            }
            tracing::warn!(appliance = %id, "appliance {id} was revoked before this database was restored");
            self.store.set_appliance_state(
                id,
                ApplianceState::Revoked,
                "revoked before the database was restored",
            )?;
        }
        Ok(())
    }

    /// Whether it is a paper of that folder of a clinic.
    pub(super) fn is_paper(&self, tenant: TenantId, folder: &str, key: &str, bytes: &[u8]) -> bool {
        match folder {
            "enrolments" => self.enrolment(tenant, first_part(key), bytes).is_some(),
            _ => self.open_old_paper::<Revoked>(key, bytes).is_some(),
        }
    }

    /// Takes over the enrolment of one executor, if the vault has it.
    pub(super) fn restore_enrolment_of(
        &self,
        tenant: TenantId,
        incarnation: Incarnation,
    ) -> Result<(), CoreError> {
        let key = enrolment_key(tenant, incarnation);
        match self.object(&key)? {
            Some(bytes) => self.restore_enrolment(tenant, first_part(&key), &key, &bytes),
            None => Ok(()),
        }
    }

    /// An enrolment of that executor in this clinic, whose papers agree, by a certificate of one of our authorities.
    fn enrolment(
        &self,
        tenant: TenantId,
        named: &str,
        bytes: &[u8],
    ) -> Option<(Enrolment, Enrolled, KeyProof)> {
        let kept: Enrolment = serde_json::from_slice(bytes).ok()?;
        let papers = Enrolled::parse(kept.papers.as_bytes()).ok()?;
        let proof = KeyProof::open_self_signed(&papers.key_proof).ok()?.into_value();
        let facts = CertificateFacts::issued_by(&papers.certificate, &self.authorities()).ok()?;
        let agrees = (facts.spiffe.tenant, facts.spiffe.appliance, facts.spki, proof.incarnation)
            == (tenant, papers.appliance, proof.tls_spki, papers.incarnation);
        (agrees
            && papers.incarnation.to_string() == named
            && facts.spiffe.trust_domain == self.settings.organization)
            .then_some((kept, papers, proof))
    }

    fn restore_enrolment(
        &self,
        tenant: TenantId,
        named: &str,
        key: &str,
        bytes: &[u8],
    ) -> Result<(), CoreError> {
        let Some((kept, papers, proof)) = self.enrolment(tenant, named, bytes) else {
            return self.is_strange(key);
        };
        if self.store.incarnation(papers.incarnation)?.is_some() {
            return Ok(());
        }
        if self.store.appliance_by_key(proof.tls_spki)?.is_some() {
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
            tls_spki: proof.tls_spki,
            certificate: &papers.certificate,
            evidence_key: &proof.evidence_key,
            protection: &proof.protection.to_string(),
            key_proof: &papers.key_proof,
            hardware: &kept.hardware,
            enrolled: kept.enrolled,
        })?)
    }
}
