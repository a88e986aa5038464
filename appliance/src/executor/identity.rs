//! How an executor learns who it is, and proves which keys belong together.
//!
//! The rule: it believes the pinned organization keys, the charter that they signed, the charter's certificate
//! authority, and the one certificate for the TLS key that it has vouched for. Once it is an appliance it is never
//! another one, and vouches for no other TLS key.

use proto::{
    charter::Charter,
    digest::Digest,
    evidence::{Body, Enrolment, Identity},
    field::BadField,
    identity::{CertificateFacts, KeyProof},
    local,
};

use super::{
    ExecutorCore, ExecutorError,
    deliver::keep_newer,
    store::{Adopted, StoreError},
    trust::Newer,
};

impl ExecutorCore {
    /// The statement that TLS key, evidence key and incarnation belong together.
    pub(super) fn prove_keys(
        &mut self,
        message: &local::ProveKeys,
    ) -> Result<local::KeyProof, ExecutorError> {
        let tls_spki = Digest::from_field("tls_spki", &message.tls_spki)?;
        let challenge = Digest::from_field("challenge", &message.challenge)?;
        let pinned = self.store.view().state()?.and_then(|state| state.tls_spki);
        if self.identity.is_some() && pinned != Some(tls_spki) {
            let problem = "is not the enrolled TLS key; a box with another TLS key must be enrolled anew, as a new incarnation";
            return Err(BadField::new("tls_spki", problem).into());
        }
        if pinned != Some(tls_spki) {
            self.store.write(|tx| tx.prove_tls(tls_spki))?;
        }
        let proof = KeyProof {
            incarnation: self.incarnation,
            evidence_key: self.key.public(),
            protection: self.protection,
            tls_spki,
            challenge,
        };
        Ok(local::KeyProof { envelope: proof.seal(&self.key) })
    }

    /// Learns who this executor is, or, later, takes a renewed certificate for the same keys and name.
    pub(super) fn adopt(&mut self, message: &local::Adopt) -> Result<local::Adopted, ExecutorError> {
        let mut newer = Vec::new();
        if !message.charter.is_empty() || self.trust.charter().is_none() {
            newer.extend(self.trust.offer_charter(&message.charter)?);
        }
        let offered = newer.first().and_then(|newer: &Newer| newer.charter.as_deref());
        let Some(charter) = offered.or(self.trust.charter()).cloned() else {
            return Err(BadField::new("charter", "must be given").into());
        };
        let adopted = self.believe(&message.certificate, &charter)?;
        if !message.catalogue.is_empty() {
            newer.extend(self.trust.offer_catalogue(&message.catalogue, &charter)?);
        }
        if !message.policy.is_empty() {
            newer.extend(self.trust.offer_policy(&message.policy, &charter, adopted.identity.tenant)?);
        }
        let first = self.identity.is_none().then(|| self.sealer(adopted.identity.clone()));
        let enrolment = Enrolment {
            certificate: Digest::of(&message.certificate),
            tls_spki: CertificateFacts::read(&message.certificate)?.spki,
            charter_serial: charter.serial,
            // A new incarnation knows nothing of the one before.
            predecessor: None,
        };
        let floor = newer.iter().find_map(|newer| self.floor_under(newer));
        self.store.write(|tx| {
            for newer in &newer {
                keep_newer(tx, newer, floor)?;
            }
            tx.keep_identity(&adopted)?;
            match first {
                Some(sealer) => sealer.append(tx, Body::Enrolment(enrolment)),
                None => Ok(()),
            }
        })?;
        newer.into_iter().for_each(|newer| self.trust.take(newer));
        let answer = wire(&adopted.identity);
        self.identity = Some(adopted.identity);
        self.apply_documents();
        Ok(local::Adopted { identity: Some(answer) })
    }

    /// Reads a certificate, and checks that it is for this executor.
    fn believe(&self, certificate: &[u8], charter: &Charter) -> Result<Adopted, ExecutorError> {
        let bad = |problem: String| ExecutorError::from(BadField::new("certificate", problem));
        let facts = CertificateFacts::issued_by(certificate, &charter.certificate_authorities)?;
        let name = facts.spiffe;
        if name.trust_domain != charter.organization {
            return Err(bad(format!(
                "is of trust domain {}; the charter is {}'s",
                name.trust_domain, charter.organization
            )));
        }
        let state = self.store.view().state()?.ok_or(StoreError::Conflict("there is no incarnation"))?;
        if state.tls_spki != Some(facts.spki) {
            return Err(bad(
                "is for a TLS key that this executor has not vouched for; prove the keys first".to_owned()
            ));
        }
        let identity =
            Identity { organization: name.trust_domain, tenant: name.tenant, appliance: name.appliance };
        match &self.identity {
            Some(known) if *known != identity => Err(bad(format!(
                "is for appliance {} of tenant {}; this executor is {} of {} and stays it; another needs a new incarnation",
                identity.appliance, identity.tenant, known.appliance, known.tenant
            ))),
            _ => Ok(Adopted { identity, certificate: certificate.to_vec() }),
        }
    }
}

/// For the local protocol.
pub(super) fn wire(identity: &Identity) -> local::Identity {
    local::Identity {
        organization: identity.organization.clone(),
        tenant: identity.tenant.to_string(),
        appliance: identity.appliance.to_string(),
    }
}
