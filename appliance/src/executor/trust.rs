//! What is believed: pinned organization keys, the newest charter under them, and what it makes of catalogue and policy.
//!
//! The rule: each document is judged under the newest charter, anew whenever there is another one. The newest of each
//! kind that was ever verified is remembered even while it is not in force, so that nothing older can come back: but only
//! as long as its keys count. A policy goes by charter and serial, in that order; what an order key has signed that the
//! newest charter does not name any more holds nothing up, or a stolen key would outlive its rotation.

use proto::{
    charter::{self, Charter, CharterError, OrganizationKeys},
    digest::Digest,
    dsse::{Envelope, Verified},
    evidence::Identity,
    field::BadField,
    ids::TenantId,
    log::log_origin,
    stop::Stop,
    succession::Succession,
    time::Millis,
};
use runbooks::{Catalogue, Policy, catalogue, policy};

use super::store::{Document, DocumentKind, StoreError, View};

/// The documents as they stand.
pub(super) struct Trust {
    keys: Option<OrganizationKeys>,
    charter: Option<(Document, Charter)>,
    catalogue: Option<Document>,
    catalogue_in_force: Catalogue,
    policy: Option<Document>,
    policy_in_force: Option<Policy>,
    stop: Option<Document>,
    stop_in_force: Option<Stop>,
    succession: Option<Succession>,
}

/// A document that is newer than the one kept, verified; write it down, then [`Trust::take`] it.
pub(super) struct Newer {
    pub(super) kind: DocumentKind,
    pub(super) document: Document,
    /// What it says, when it is a charter.
    pub(super) charter: Option<Box<Charter>>,
}

fn nothing() -> Catalogue {
    Catalogue { spec: catalogue::SPEC, version: 0, issued: Millis(0), expires: Millis(0), entries: [].into() }
}

fn document(serial: u64, envelope: &[u8]) -> Document {
    let digest = payload_digest(envelope).unwrap_or_else(|| Digest::of(envelope));
    Document { serial, digest, envelope: envelope.to_vec() }
}

/// SHA-256 of what an envelope carries, believed or not.
pub(super) fn payload_digest(envelope: &[u8]) -> Option<Digest> {
    Envelope::parse(envelope).ok().map(|envelope| Digest::of(envelope.unverified_payload()))
}

fn seen(document: Option<&Document>) -> Option<(u64, Digest)> {
    document.map(|document| (document.serial, document.digest))
}

/// The complaint about a document: what is wrong, cause and all, in one sentence.
fn bad(kind: DocumentKind, error: &dyn std::error::Error) -> BadField {
    BadField::new(kind.name(), super::chain_of(error))
}

impl Trust {
    /// Goes on from what is kept. A charter that the pinned keys did not sign is an error: one of the two was changed.
    pub(super) fn resume(
        keys: Option<OrganizationKeys>,
        view: &View<'_>,
    ) -> Result<Result<Self, CharterError>, StoreError> {
        let mut trust = Self {
            charter: None,
            catalogue: view.document(DocumentKind::Catalogue)?,
            catalogue_in_force: nothing(),
            policy: view.document(DocumentKind::Policy)?,
            policy_in_force: None,
            stop: view.document(DocumentKind::Stop)?,
            stop_in_force: None,
            succession: None,
            keys: None,
        };
        if let Some(keys) = keys
            && let Err(refused) = trust.pin(keys, view)?
        {
            return Ok(Err(refused));
        }
        Ok(Ok(trust))
    }

    /// Pins the organization keys, and believes the kept charter under them.
    pub(super) fn pin(
        &mut self,
        keys: OrganizationKeys,
        view: &View<'_>,
    ) -> Result<Result<(), CharterError>, StoreError> {
        if let Some(kept) = view.document(DocumentKind::Charter)? {
            match keys.open(&kept.envelope) {
                Ok(charter) => self.charter = Some((kept, charter.into_value())),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        let followed = view.succession()?;
        self.succession =
            followed.and_then(|envelope| keys.open_succession(&envelope).ok()).map(Verified::into_value);
        self.keys = Some(keys);
        self.judge();
        Ok(Ok(()))
    }

    /// Whether there are pinned keys.
    pub(super) fn is_pinned(&self) -> bool {
        self.keys.is_some()
    }

    /// The newest charter.
    pub(super) fn charter(&self) -> Option<&Charter> {
        self.charter.as_ref().map(|(_, charter)| charter)
    }

    /// The catalogue in force; an empty one when there is none.
    pub(super) fn catalogue(&self) -> &Catalogue {
        &self.catalogue_in_force
    }

    /// The control plane's policy in force.
    pub(super) fn policy(&self) -> Option<&Policy> {
        self.policy_in_force.as_ref()
    }

    /// The control plane's stop, or release, in force.
    pub(super) fn stop(&self) -> Option<&Stop> {
        self.stop_in_force.as_ref()
    }

    /// What the log is called whose checkpoints count.
    pub(super) fn origin(&self, identity: &Identity) -> String {
        let first = || log_origin(&identity.organization, identity.tenant);
        self.succession.as_ref().map_or_else(first, |followed| followed.new.origin.clone())
    }

    /// Which of its clinic's logs that is; from 1.
    pub(super) fn log(&self) -> u64 {
        self.succession.as_ref().map_or(1, Succession::number)
    }

    /// Serials of charter, catalogue and policy that are in force here; 0 where there is none.
    pub(super) fn serials(&self) -> (u64, u64, u64) {
        let charter = self.charter().map_or(0, |charter| charter.serial);
        (charter, self.catalogue_in_force.version, self.policy().map_or(0, |policy| policy.serial))
    }

    /// Verifies a charter. `None`: it is the one that is kept.
    pub(super) fn offer_charter(&self, envelope: &[u8]) -> Result<Option<Newer>, BadField> {
        let kind = DocumentKind::Charter;
        let keys = self.keys.as_ref().ok_or_else(|| {
            BadField::new(
                kind.name(),
                "cannot be believed: no organization keys are pinned; see trust.organization_keys",
            )
        })?;
        let charter = keys.open(envelope).map_err(|e| bad(kind, &e))?.into_value();
        let offered = document(charter.serial, envelope);
        let newer = charter::succession(
            seen(self.charter.as_ref().map(|(d, _)| d)),
            (offered.serial, offered.digest),
        );
        Ok(newer.map_err(|e| bad(kind, &e))?.then(|| Newer {
            kind,
            document: offered,
            charter: Some(Box::new(charter)),
        }))
    }

    /// Verifies a catalogue under `charter`. `None`: it is the one that is kept and in force.
    pub(super) fn offer_catalogue(
        &self,
        envelope: &[u8],
        charter: &Charter,
    ) -> Result<Option<Newer>, BadField> {
        let kind = DocumentKind::Catalogue;
        let catalogue = Catalogue::open(envelope, charter).map_err(|e| bad(kind, &e))?.into_value();
        let offered = document(catalogue.version, envelope);
        let counts = |kept: &&Document| Catalogue::open(&kept.envelope, charter).is_ok();
        let floor = seen(self.catalogue.as_ref().filter(counts));
        let newer =
            catalogue::succession(floor, (offered.serial, offered.digest)).map_err(|e| bad(kind, &e))?;
        // Signed anew with other keys, it is in force again.
        let again = self.catalogue_in_force.version != catalogue.version;
        Ok((newer || again).then_some(Newer { kind, document: offered, charter: None }))
    }

    /// Verifies a policy for `tenant` under `charter`. `None`: it is the one that is kept and in force.
    pub(super) fn offer_policy(
        &self,
        envelope: &[u8],
        charter: &Charter,
        tenant: TenantId,
    ) -> Result<Option<Newer>, BadField> {
        let kind = DocumentKind::Policy;
        let policy = Policy::open(envelope, charter).map_err(|e| bad(kind, &e))?.into_value();
        if let Some(other) = policy.tenant.filter(|other| *other != tenant) {
            return Err(BadField::new(
                kind.name(),
                format!("is for tenant {other}; this box belongs to {tenant}"),
            ));
        }
        let offered = document(policy.serial, envelope);
        let counts = |kept: &&Document| Policy::open(&kept.envelope, charter).is_ok();
        let floor = seen(self.policy.as_ref().filter(counts));
        let newer = policy::succession(floor, (offered.serial, offered.digest)).map_err(|e| bad(kind, &e))?;
        let again = self.policy_in_force.as_ref().is_none_or(|kept| kept.serial != policy.serial);
        Ok((newer || again).then_some(Newer { kind, document: offered, charter: None }))
    }

    /// Verifies a stop of this box, or a release, under `charter`. `None`: it is the one that is kept and in force.
    pub(super) fn offer_stop(
        &self,
        envelope: &[u8],
        charter: &Charter,
        identity: &Identity,
    ) -> Result<Option<Newer>, BadField> {
        let kind = DocumentKind::Stop;
        let stop = Stop::open(envelope, charter).map_err(|e| bad(kind, &e))?.into_value();
        if !stop.is_for(identity) {
            return Err(BadField::new(kind.name(), format!("is for appliance {}", stop.appliance)));
        }
        let offered = document(stop.serial, envelope);
        let counts = |kept: &&Document| Stop::open(&kept.envelope, charter).is_ok();
        let floor = seen(self.stop.as_ref().filter(counts));
        let newer = charter::succession(floor, (offered.serial, offered.digest)).map_err(|_| {
            BadField::new(kind.name(), "is older than the one that is kept, or another of its serial")
        })?;
        let again = self.stop_in_force.as_ref().is_none_or(|kept| kept.serial != stop.serial);
        Ok((newer || again).then_some(Newer { kind, document: offered, charter: None }))
    }

    /// Verifies a succession. `None`: it leads to the log that is gone by.
    pub(super) fn offer_succession(
        &self,
        envelope: &[u8],
        identity: &Identity,
    ) -> Result<Option<Succession>, BadField> {
        let bad = |problem: String| BadField::new("succession", problem);
        let keys = self
            .keys
            .as_ref()
            .ok_or_else(|| bad("cannot be judged: no organization keys are pinned".into()))?;
        let offered = keys.open_succession(envelope).map_err(|e| bad(super::chain_of(&e)))?.into_value();
        if !offered.is_for(identity) {
            return Err(bad(format!("is of tenant {}", offered.tenant)));
        }
        let here = self.origin(identity);
        if offered.new.origin == here {
            return Ok(None);
        }
        if offered.old.origin != here {
            return Err(bad(format!("ends {}, this box goes by {here}", offered.old.origin)));
        }
        Ok(Some(offered))
    }

    /// Goes by the log that follows, which is on disk by now.
    pub(super) fn follow(&mut self, succession: Succession) {
        self.succession = Some(succession);
    }

    /// Believes what is on disk by now.
    pub(super) fn take(&mut self, newer: Newer) {
        match (newer.kind, newer.charter) {
            (DocumentKind::Charter, Some(charter)) => self.charter = Some((newer.document, *charter)),
            // Only `offer_charter` makes one, and never without what it says.
            (DocumentKind::Charter, None) => {}
            (DocumentKind::Catalogue, _) => self.catalogue = Some(newer.document),
            (DocumentKind::Policy, _) => self.policy = Some(newer.document),
            (DocumentKind::Stop, _) => self.stop = Some(newer.document),
        }
        self.judge();
    }

    /// What of the kept documents is in force under the newest charter.
    fn judge(&mut self) {
        let Some((_, charter)) = &self.charter else { return };
        let open = |kept: &Document| Catalogue::open(&kept.envelope, charter).ok();
        let catalogue = self.catalogue.as_ref().and_then(open);
        self.catalogue_in_force = catalogue.map_or_else(nothing, |verified| verified.into_value());
        let open = |kept: &Document| Policy::open(&kept.envelope, charter).ok();
        self.policy_in_force = self.policy.as_ref().and_then(open).map(|verified| verified.into_value());
        let open = |kept: &Document| Stop::open(&kept.envelope, charter).ok();
        self.stop_in_force = self.stop.as_ref().and_then(open).map(|verified| verified.into_value());
    }
}
