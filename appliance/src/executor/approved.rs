//! Documents that people of the charter approved: exceptions from the baseline, and the box's watch list; and secrets that
//! are sealed to this box.
//!
//! The rule: an exception loosens, and a watch list says what may be worked on, so the control plane alone cannot give
//! either; an approver's signature is checked here, under
//! the newest charter, and again whenever there is another. Each is for this clinic or this box, its serial never falls, and
//! taking one is evidence. When its end comes it falls away by itself: nobody has to withdraw it.

use std::{collections::BTreeMap, path::Path};

use baseline::Exception;
use proto::{
    charter::Charter,
    digest::Digest,
    document::{Core, Document, Kind, Slot, succession},
    evidence::{Body, DocumentTaken, Identity},
    field::BadField,
    ids::WatchId,
    sealed::Binding,
    standing::set_digest,
    time::Millis,
};

use super::{
    ExecutorCore, ExecutorError, chain_of,
    store::{self, StoreError, View},
};
use crate::config::WatchEntry;

/// The documents that are kept.
#[derive(Default)]
pub(super) struct Approved(BTreeMap<Slot, Kept>);

/// The newest of a slot.
struct Kept {
    stored: store::Document,
    /// What it says, while the newest charter lets it hold.
    in_force: Option<Core>,
}

impl Approved {
    /// Goes on from what is kept.
    pub(super) fn resume(view: &View<'_>) -> Result<Self, StoreError> {
        let kept = |(slot, stored)| (slot, Kept { stored, in_force: None });
        Ok(Self(view.approved()?.into_iter().map(kept).collect()))
    }

    /// What of it is in force under this charter.
    fn judge(&mut self, charter: Option<&Charter>) {
        for kept in self.0.values_mut() {
            let opened = charter.and_then(|charter| Document::open(&kept.stored.envelope, charter).ok());
            kept.in_force = opened.map(|document| document.into_value().core);
        }
    }

    /// What the set of those in force is called by; `None` while there are none.
    pub(super) fn set(&self, now: Millis) -> Option<Digest> {
        let is_over = |core: &Core| exception_of(core).is_ok_and(|e| e.is_some_and(|e| now >= e.expires));
        let in_force = |kept: &&Kept| kept.in_force.as_ref().is_some_and(|core| !is_over(core));
        let digests: Vec<Digest> = self.0.values().filter(in_force).map(|kept| kept.stored.digest).collect();
        (!digests.is_empty()).then(|| set_digest(digests))
    }

    /// Secrets by name, sealed; `None`: withdrawn.
    fn secrets(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let in_force = self.0.values().filter_map(|kept| kept.in_force.as_ref());
        let secret = |core: &Core| (core.name.clone(), (!core.is_withdrawal()).then(|| core.content.clone()));
        in_force.filter(|core| core.kind == Kind::Secret).map(secret).collect()
    }

    /// The watch list in the place of the configuration's own.
    fn watch_list(&self) -> Option<&[u8]> {
        let mut in_force = self.0.values().filter_map(|kept| kept.in_force.as_ref());
        let list = in_force.find(|core| core.kind == Kind::WatchList && !core.is_withdrawal());
        list.map(|core| core.content.as_slice())
    }

    fn exceptions(&self) -> impl Iterator<Item = Exception> {
        let in_force = self.0.values().filter_map(|kept| kept.in_force.as_ref());
        in_force.filter_map(|core| exception_of(core).ok().flatten())
    }
}

/// The exception that a document gives; `None`: it withdraws one, or is something else.
fn exception_of(core: &Core) -> Result<Option<Exception>, BadField> {
    match core.kind {
        Kind::Exception if !core.is_withdrawal() => {
            Exception::of_document(&core.content, &core.name).map(Some)
        }
        Kind::Exception | Kind::WatchList | Kind::Secret => Ok(None),
    }
}

impl ExecutorCore {
    /// Takes a document: newer than the one kept, for this box, approved, and as its kind must be.
    pub(super) fn take_document(&mut self, envelope: &[u8]) -> Result<(), ExecutorError> {
        let (Some(charter), Some(identity)) = (self.trust.charter(), self.identity.clone()) else {
            return Err(refused("cannot be judged: no charter is believed here"));
        };
        let document = Document::open(envelope, charter).map_err(|e| refused(chain_of(&e)))?.into_value();
        let core = &document.core;
        core.is_for(&identity, self.incarnation).map_err(|bad| bad.within("documents"))?;
        if core.kind == Kind::WatchList && !core.is_withdrawal() {
            self.as_watched(&core.content).map_err(|bad| bad.within("documents"))?;
        }
        if core.kind == Kind::Secret {
            self.secret_of(&identity, &core.name, &core.content).map_err(|bad| bad.within("documents"))?;
        }
        let exception = exception_of(core).map_err(|bad| bad.within("documents"))?;
        if let Some((exception, now)) = exception.as_ref().zip(self.time.now()) {
            exception.holds(now).map_err(|bad| bad.within("documents"))?;
        }
        let slot = core.slot();
        let stored = store::Document {
            serial: core.serial,
            digest: document.core_digest,
            envelope: envelope.to_vec(),
        };
        let before = self.approved.0.get(&slot);
        let seen = before.map(|kept| (kept.stored.serial, kept.stored.digest));
        let is_new = succession(seen, (stored.serial, stored.digest)).map_err(|e| refused(chain_of(&e)))?;
        if !is_new && before.is_some_and(|kept| kept.in_force.is_some()) {
            return Ok(());
        }
        // What is only signed anew, after the order key changed, decides nothing new.
        let taken = is_new.then(|| DocumentTaken {
            what: core.kind,
            name: core.name.clone(),
            serial: core.serial,
            core: document.core_digest,
            content: Digest::of(&core.content),
            is_withdrawal: core.is_withdrawal(),
            approvers: document.approvals.iter().map(|approval| approval.approver.clone()).collect(),
        });
        if taken.is_some() && !self.has_room(1)? {
            return Err(refused("is not taken: there is no room for its evidence"));
        }
        let sealer = self.sealer(identity);
        let is_kept = self.store.write(|tx| -> Result<bool, ExecutorError> {
            let is_kept = tx.keep_approved(&slot, &stored)?;
            if let Some(taken) = taken.filter(|_| is_kept) {
                sealer.append(tx, Body::Document(taken))?;
            }
            Ok(is_kept)
        })?;
        if !is_kept {
            return Err(refused("is not taken: there are too many documents here; withdraw one first"));
        }
        self.approved.0.insert(slot, Kept { stored, in_force: None });
        self.apply_documents();
        // What it changes is seen, and signed, at once.
        self.look_again();
        Ok(())
    }

    /// Puts in force what the newest charter lets hold.
    pub(super) fn apply_documents(&mut self) {
        self.approved.judge(self.trust.charter());
        let image = self.settings.config.exceptions.iter().cloned();
        self.host.waive(image.chain(self.approved.exceptions()).collect());
        self.place_secrets();
        let given = self.approved.watch_list().map(<[u8]>::to_vec);
        let watched = given.as_deref().and_then(|content| match self.as_watched(content) {
            Ok(watched) => Some(watched),
            // It was checked within another configuration.
            Err(bad) => {
                tracing::error!(
                    "the approved watch list does not fit this configuration, its own holds: {bad}"
                );
                None
            }
        });
        let text =
            watched.as_ref().and(given.as_deref()).and_then(|content| std::str::from_utf8(content).ok());
        let watch = watched.unwrap_or_else(|| self.own_watch.clone());
        self.host.watch(&watch, text);
        if watch != self.settings.watch {
            self.kinds = watch.iter().map(|(id, entry)| (id.clone(), entry.kind())).collect();
            self.settings.watch = watch;
            self.forget_readings();
            self.beat_soon = true;
        }
    }

    /// Puts every secret where this box's configuration wants it.
    fn place_secrets(&self) {
        let Some(identity) = &self.identity else { return };
        for (name, sealed) in self.approved.secrets() {
            let Some(path) = self.settings.config.secrets.get(&name) else { continue };
            let opened = sealed.map(|sealed| self.secret_of(identity, &name, &sealed)).transpose();
            let placed = match opened {
                Ok(secret) => {
                    self.host.place(path, secret.flatten().as_deref()).map_err(|error| error.to_string())
                }
                Err(bad) => Err(bad.to_string()),
            };
            if let Err(problem) = placed {
                tracing::error!("secret {name} cannot be put to {}: {problem}", path.display());
            }
        }
    }

    /// A secret, opened; `None`: it is withdrawn. One that this box's configuration has no place for is refused.
    fn secret_of(&self, identity: &Identity, name: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, BadField> {
        if !self.settings.config.secrets.contains_key(name) {
            let problem = format!("is {name}; this box's configuration names no such place under [secrets]");
            return Err(BadField::new("name", problem));
        }
        if sealed.is_empty() {
            return Ok(None);
        }
        let binding = Binding { appliance: identity.appliance, incarnation: self.incarnation, name };
        self.opening_key.open(sealed, &binding).map(Some)
    }

    /// What is watched by this text, if it is as a configuration's must be.
    fn as_watched(&self, content: &[u8]) -> Result<BTreeMap<WatchId, WatchEntry>, BadField> {
        let bad = |problem: String| BadField::new("content", problem);
        let text = std::str::from_utf8(content).map_err(|_| bad("must be UTF-8".into()))?;
        let config = self.settings.config.with_watch(text, Path::new("of the document"));
        config.map(|config| config.watch).map_err(|error| bad(chain_of(&error)))
    }

    /// The approved watch list that is in force, as its approver signed it; empty: the configuration's own is.
    pub(super) fn watch_list(&self) -> &[u8] {
        self.approved.watch_list().unwrap_or_default()
    }
}

fn refused(problem: impl Into<String>) -> ExecutorError {
    BadField::new("documents", problem).into()
}
