//! Enrolment and renewal: which keys are admitted, and for whom.

use std::time::Duration;

use proto::{
    act::Deed,
    digest::Digest,
    enrolment::{Enrolment, Renewal},
    identity::{CertificateFacts, KeyProof, SpiffeId, Standing, standing},
    ids::{ApplianceId, SiteId, TenantId},
    pb,
    time::Millis,
};

use super::{Core, CoreError};
use crate::store::{ApplianceRow, ApplianceState, NewAppliance};

/// One answer to every bad token, so that guessing teaches nothing.
const BAD_TOKEN: &str =
    "enrolment token is unknown, used or run out; make a new one with `control-plane appliance token`";

/// How long a certificate is renewed by itself: a request that comes sooner is answered with it.
const RENEWED_ANEW: Duration = Duration::from_secs(3600);

impl Core {
    /// Exchanges a one-time token for a certificate. Sent again by the same keys (the answer was lost) it gives the same appliance.
    pub fn enroll(&mut self, request: &Enrolment, now: Millis) -> Result<pb::EnrollResponse, CoreError> {
        let (hash, spki, proof) = (request.token, request.tls_spki, &request.proof);
        let token = self.store.enrolment_token(hash)?.ok_or_else(|| CoreError::Denied(BAD_TOKEN.into()))?;
        if let Some(id) = token.appliance {
            return self.enrolled_before(id, proof, spki);
        }
        if now >= token.expires {
            return Err(CoreError::Denied(BAD_TOKEN.into()));
        }
        // Enrolled before, and forgotten here: the transaction was undone, or the database comes from a backup.
        self.restore_enrolment_of(token.tenant, proof.incarnation)?;
        if let Some(id) = self.store.enrolment_token(hash)?.and_then(|token| token.appliance) {
            self.note_papers(token.tenant, now)?;
            return self.enrolled_before(id, proof, spki);
        }
        if self.store.appliance_by_key(spki)?.is_some()
            || self.store.incarnation(proof.incarnation)?.is_some()
        {
            return Err(CoreError::Exists(
                "these keys are enrolled already; wipe the appliance's state to enrol it anew".into(),
            ));
        }
        if self.why_void(&token, now)?.is_some() {
            return Err(CoreError::Denied(BAD_TOKEN.into()));
        }
        let id = ApplianceId::new(now, self.random());
        let spiffe = SpiffeId {
            trust_domain: self.settings.organization.clone(),
            tenant: token.tenant,
            appliance: id,
        };
        let certificate = self.certificate_for(&request.csr, &spiffe, now)?;
        self.store.use_enrolment_token(hash, id)?;
        let new = NewAppliance {
            id,
            tenant: token.tenant,
            site: token.site,
            incarnation: proof.incarnation,
            tls_spki: spki,
            certificate: &certificate,
            evidence_key: &proof.evidence_key,
            protection: &proof.protection.to_string(),
            key_proof: &request.key_proof,
            hardware: &request.hardware,
            enrolled: now,
        };
        self.keep_enrolment(&new, hash)?;
        self.store.add_appliance(&new)?;
        let (incarnation, site) = (proof.incarnation, token.site);
        let claim = Deed::Claim { appliance: id, incarnation, site, certificate: Digest::of(&certificate) };
        self.note_act(token.tenant, claim, now);
        self.welcome(token.tenant, token.site, certificate)
    }

    fn enrolled_before(
        &mut self,
        id: ApplianceId,
        proof: &KeyProof,
        spki: Digest,
    ) -> Result<pb::EnrollResponse, CoreError> {
        let denied = || CoreError::Denied(BAD_TOKEN.into());
        let known = self.store.appliance(id)?.ok_or_else(denied)?;
        let executor = self.store.incarnation(proof.incarnation)?.ok_or_else(denied)?;
        if known.tls_spki != spki
            || known.incarnation != proof.incarnation
            || executor.evidence_key != proof.evidence_key
            || known.state == ApplianceState::Revoked
        {
            return Err(denied());
        }
        self.welcome(known.tenant, known.site, known.certificate)
    }

    fn welcome(
        &mut self,
        tenant: TenantId,
        site: SiteId,
        certificate: Vec<u8>,
    ) -> Result<pb::EnrollResponse, CoreError> {
        let tenant =
            self.store.tenant(tenant)?.ok_or_else(|| CoreError::NotFound("tenant is gone".into()))?;
        Ok(pb::EnrollResponse {
            certificate,
            charter: self.charter.envelope.clone(),
            catalogue: self.catalogue.envelope.clone(),
            policy: self.policy_for(&tenant, site)?,
        })
    }

    /// A new certificate for the same keys, the executor co-signing. `peer` is the certificate the caller connected with.
    pub fn renew(
        &mut self,
        peer: &[u8],
        request: &Renewal,
        now: Millis,
    ) -> Result<pb::RenewResponse, CoreError> {
        let facts = CertificateFacts::read(peer)?;
        let denied = |why: &str| CoreError::Denied(why.to_owned());
        let appliance =
            self.store.appliance_by_key(facts.spki)?.ok_or_else(|| denied("this key is not enrolled"))?;
        if appliance.state == ApplianceState::Revoked {
            return Err(denied("this appliance is revoked"));
        }
        if standing(facts.not_before, facts.not_after, now) == Standing::Refused {
            return Err(denied("this certificate ended more than 30 days ago; enrol the appliance anew"));
        }
        if request.tls_spki != appliance.tls_spki {
            return Err(denied("renewal is for the enrolled key; enrol the appliance anew to change it"));
        }
        let incarnation = self
            .store
            .incarnation(appliance.incarnation)?
            .ok_or_else(|| CoreError::NotFound("incarnation is gone".into()))?;
        let proof = KeyProof::open(&request.key_proof, &incarnation.evidence_key)
            .map_err(|_| denied("renewal must be co-signed by the enrolled evidence key"))?
            .into_value();
        let asked = Digest::of(&request.csr);
        if proof.challenge != asked
            || proof.tls_spki != appliance.tls_spki
            || proof.incarnation != appliance.incarnation
        {
            return Err(denied("key_proof must answer this csr, for the enrolled keys"));
        }
        // The executor co-signs each renewal: what it signed once (and somebody recorded) does not renew for ever.
        if let Some(certificate) = self.store.renewal(appliance.id, asked)? {
            if now >= CertificateFacts::read(&certificate)?.not_after {
                return Err(denied("this request was answered long ago; sign the csr anew"));
            }
            if self.is_listed(&certificate) {
                return Ok(self.renewed(certificate));
            }
        }
        // For the same key, so the one that it has serves as well; and an agent that asks without end gets no more of them.
        let is_fresh = now.since(CertificateFacts::read(&appliance.certificate)?.not_before) < RENEWED_ANEW;
        if is_fresh && self.is_listed(&appliance.certificate) {
            return Ok(self.renewed(appliance.certificate));
        }
        let spiffe = SpiffeId {
            trust_domain: self.settings.organization.clone(),
            tenant: appliance.tenant,
            appliance: appliance.id,
        };
        let certificate = self.certificate_for(&request.csr, &spiffe, now)?;
        self.store.put_certificate(appliance.id, asked, &certificate)?;
        let renewal = Deed::Renewal {
            appliance: appliance.id,
            incarnation: appliance.incarnation,
            certificate: Digest::of(&certificate),
            until: CertificateFacts::read(&certificate)?.not_after,
        };
        self.note_act(appliance.tenant, renewal, now);
        Ok(self.renewed(certificate))
    }

    /// The charter goes with it: a box that was away knows no authority but those of the charter that it has.
    fn renewed(&self, certificate: Vec<u8>) -> pb::RenewResponse {
        pb::RenewResponse { certificate, charter: self.charter.envelope.clone() }
    }

    /// Whether an authority of the charter in force signed it; who goes by that charter believes no other.
    fn is_listed(&self, certificate: &[u8]) -> bool {
        CertificateFacts::issued_by(certificate, &self.charter.document.certificate_authorities).is_ok()
    }

    /// How many boxes have a certificate of an authority that the charter in force leaves out. They are not let in any more.
    pub fn left_out(&self) -> Result<usize, CoreError> {
        let boxes = self.store.appliances(None)?;
        let left_out =
            |row: &&ApplianceRow| row.state != ApplianceState::Revoked && !self.is_listed(&row.certificate);
        Ok(boxes.iter().filter(left_out).count())
    }

    fn certificate_for(&self, csr: &[u8], id: &SpiffeId, now: Millis) -> Result<Vec<u8>, CoreError> {
        Ok(self.ports.issuer.issue(csr, id, &self.charter.document.certificate_authorities, now)?)
    }
}
