//! The control plane's decisions and what they write: synchronous, with clock, randomness and storage as arguments.
//!
//! A command is a plain method that takes `now`; the writer thread (or a simulation) brackets commands in a transaction
//! and publishes the new checkpoints after it is durable, before any answer leaves. So no answer speaks of something that a
//! power cut could still undo.

mod acts;
pub mod admin;
mod ahead;
pub mod approvals;
pub mod approved;
pub mod asking;
mod beside;
mod budget;
pub mod calls;
mod counted;
pub mod deliveries;
mod drift;
mod effects;
mod enrol;
mod error;
mod evidence;
mod exchange;
pub mod export;
pub mod foresee;
mod history;
pub mod holds;
pub mod incident;
mod incidents;
mod kept;
pub mod letters;
pub mod level;
pub mod limits;
mod log;
mod mode;
pub mod months;
pub mod names;
mod offboarding;
mod order_papers;
mod orders;
mod ours;
mod outbox;
pub mod oversight;
pub mod packets;
mod papers;
pub mod people;
pub mod planner;
mod policies;
pub mod ports;
pub mod posture;
mod proposals;
pub mod provided;
mod publish;
mod quarantine;
mod quiet;
mod recipients;
mod rotation;
pub mod sessions;
pub mod shown;
mod sight;
mod silence;
pub mod standing;
mod steps;
mod stops;
mod succession;
mod templates;
pub mod tickets;
pub mod timestamps;
pub mod tokens;
mod trail;
mod unkept;
pub mod usage;
mod watchdog;
mod ways_in;
pub mod witnesses;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use proto::{
    charter::{Charter, OrganizationKeys},
    digest::Digest,
    dsse::Unsigned,
    evidence::CheckpointSeen,
    ids::{ApplianceId, TenantId},
    keys::SecretKey,
    time::Millis,
};
use runbooks::Catalogue;

use crate::{
    access::Principal,
    mode::Running,
    store::{Document, Store, StoreError, WaitingAct},
    telling::Rules,
};

pub use ahead::Ahead;
pub use counted::Counted;
pub use error::{CoreError, chain};
pub use evidence::Intake;
pub use exchange::Answer;
use ports::{Keyring, Ports, Signer};
pub use publish::Published;
pub use steps::{Step, StepKind};

/// The incident that says that a clinic's log is halted.
const LOG_HALTED: &str = "log.halted";

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Trust domain.
    pub organization: String,
    /// What appliances are told to call: `https://host:port`.
    pub address: String,
    /// How long an order lives; at most 15 minutes.
    pub order_lifetime: Duration,
    /// How long people may agree to an order that they are asked about; at most 23 hours.
    pub approval: Duration,
    /// How long an incident may stand still before a person is told.
    pub stall_after: Duration,
    /// How long evidence is kept: 45 CFR 164.316(b)(2)(i) says six years.
    pub retention: Duration,
    /// The most events of one box that are kept, an hour; five times as many a day.
    pub events_hour: u64,
    /// A box of which nothing was heard for so long is silent.
    pub silent_after: Duration,
    /// Who is told of what needs a person.
    pub telling: Rules,
    /// Whether packets go out by mail.
    pub mail: deliveries::Mailing,
    /// Whom to ask where several runbooks are allowed; `None`: the rules decide.
    pub model: Option<planner::Model>,
    /// In which mode this is run, under which name, with whose approvers.
    pub running: Running,
}

/// The online keys.
pub struct Keys {
    /// Signs orders, policies and time.
    pub order: Arc<dyn Signer>,
    /// Signs checkpoints.
    pub log: SecretKey,
    /// Where others are found when a charter names them.
    pub ring: Box<dyn Keyring>,
}

/// A charter in force, and the bytes that say so.
pub(crate) struct InForce<T> {
    pub(crate) document: T,
    pub(crate) envelope: Vec<u8>,
}

/// The control plane without its sockets.
pub struct Core {
    pub(crate) store: Store,
    pub(crate) ports: Ports,
    pub(crate) keys: Keys,
    pub(crate) settings: Settings,
    pub(crate) trust: OrganizationKeys,
    pub(crate) charter: InForce<Charter>,
    pub(crate) catalogue: InForce<Catalogue>,
    /// Restore generation: rises whenever this database turned out to be older than what left it.
    pub(crate) generation: u64,
    /// Tenants whose log grew in this transaction.
    pub(crate) grown: BTreeSet<TenantId>,
    /// Tenants whose log was level with the vault, with nothing undone since: what they append needs no look there before.
    pub(crate) level: BTreeSet<TenantId>,
    /// What this transaction has appended that is not in the vault yet.
    pub(crate) unkept: unkept::Unkept,
    /// Tenants of whose log the answer of a command speaks.
    pub(crate) spoken_of: BTreeSet<TenantId>,
    /// Logs that must not be continued, and why, until that is stored.
    pub(crate) halts: BTreeMap<TenantId, String>,
    /// The checkpoint that was found to be of its log last, since this transaction began.
    pub(crate) agreed: Option<(TenantId, CheckpointSeen)>,
    /// Policies that were opened once.
    pub(crate) policies: BTreeMap<TenantId, incidents::OpenedPolicy>,
    /// Appliances that something waits for; whoever holds their call open should answer it.
    pub(crate) wake: BTreeSet<ApplianceId>,
    pub(crate) woke_until: Millis,
    /// The set of documents that each box was told last.
    pub(crate) told: BTreeMap<ApplianceId, Digest>,
    /// Boxes for which there was nothing just now.
    pub(crate) quiet: quiet::Quiet,
    /// In whose name the command is run.
    pub(crate) acting: Principal,
    /// What this command changed, for the audit trail.
    pub(crate) changes: Vec<trail::Change>,
    /// What this command did, to be logged at its end.
    pub(crate) acts: Vec<(TenantId, WaitingAct)>,
    /// Whether what happens was in the log before: it is read back.
    pub(crate) replaying: bool,
    /// Whether another server writes to the same vault.
    pub(crate) beside: beside::Beside,
    /// Whose word in the vault counts.
    pub(crate) known: ours::Known,
    /// What commands did, since it was taken last.
    pub(crate) counted: Counted,
    /// The steps that incidents took, since they were taken last.
    pub(crate) steps: Vec<Step>,
    /// Since when this server has been listening.
    pub(crate) listening: silence::Listening,
}

impl Core {
    /// Opens on a store. Charter and catalogue come from it; the given ones are taken when it has none or older ones.
    pub fn open(
        store: Store,
        ports: Ports,
        keys: Keys,
        settings: Settings,
        trust: OrganizationKeys,
        now: Millis,
    ) -> Result<Self, CoreError> {
        let (charter, catalogue) = documents(&store, &trust)?;
        for (field, listed, key) in [
            ("order_keys", &charter.document.order_keys, keys.order.public()),
            ("log_keys", &charter.document.log_keys, keys.log.public()),
        ] {
            if !listed.contains(&key) {
                return Err(CoreError::Precondition(format!(
                    "the charter's {field} do not name this server's key {key}"
                )));
            }
        }
        let mut core = Self {
            generation: store.number("generation")?.max(1),
            store,
            ports,
            keys,
            settings,
            trust,
            charter,
            catalogue,
            grown: BTreeSet::new(),
            level: BTreeSet::new(),
            unkept: unkept::Unkept::default(),
            spoken_of: BTreeSet::new(),
            halts: BTreeMap::new(),
            agreed: None,
            policies: BTreeMap::new(),
            wake: BTreeSet::new(),
            woke_until: now,
            told: BTreeMap::new(),
            quiet: quiet::Quiet::default(),
            acting: Principal::control_plane(),
            changes: Vec::new(),
            acts: Vec::new(),
            replaying: false,
            beside: beside::Beside::default(),
            known: ours::Known::default(),
            counted: Counted::default(),
            steps: Vec::new(),
            listening: silence::Listening::since(now),
        };
        core.run(now, |core| {
            core.recover_logs(now)?;
            core.sign_anew(now)?;
            core.sort_outbox()?;
            core.note_documents(now)?;
            core.note_mode(now)
        })?;
        core.beside.is_up = true;
        Ok(core)
    }

    /// Runs one command in a transaction of its own: for start-up, simulation and tests. The writer thread groups many.
    pub fn run<T>(
        &mut self,
        now: Millis,
        command: impl FnOnce(&mut Self) -> Result<T, CoreError>,
    ) -> Result<T, CoreError> {
        self.begin()?;
        let outcome = self.attempt(command);
        self.commit(now)?;
        outcome
    }

    /// Runs a command inside the open transaction; what it wrote is undone when it fails.
    pub fn attempt<T>(
        &mut self,
        command: impl FnOnce(&mut Self) -> Result<T, CoreError>,
    ) -> Result<T, CoreError> {
        self.mark()?;
        let before = (self.charter.document.serial, self.catalogue.document.version);
        let (counted, steps) = (self.counted, self.steps.len());
        let outcome = command(self).and_then(|done| self.keep_acts().map(|()| done));
        self.acts.clear();
        match &outcome {
            Ok(_) => self.keep_since_mark()?,
            Err(_) => {
                self.counted = counted;
                self.steps.truncate(steps);
                self.undo_to_mark()?;
            }
        }
        if outcome.is_err() && before != (self.charter.document.serial, self.catalogue.document.version) {
            self.reread()?;
        }
        outcome
    }

    /// Begins the transaction of a group of commands.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        self.agreed = None;
        self.unkept.forget();
        self.store.begin()
    }

    /// Makes a group of commands durable, then puts its checkpoints where they cannot be lost. Only then may answers leave.
    pub fn commit(&mut self, now: Millis) -> Result<(), CoreError> {
        self.commit_group(now)?.why.map_or(Ok(()), Err)
    }

    /// The same, where commands of many clinics wait: one whose checkpoint cannot be kept holds up its own alone.
    pub fn commit_group(&mut self, now: Millis) -> Result<Published, CoreError> {
        let kept = self.keep_findings(now).and_then(|()| self.keep_unkept(now));
        if let Err(error) = kept.and_then(|()| Ok(self.store.commit()?)) {
            self.level.clear();
            self.unkept.forget();
            self.quiet.ends();
            let _ = self.store.rollback();
            self.acts.clear();
            self.reread()?;
            return Err(error);
        }
        self.ports.issuer.in_force(&self.charter.document.certificate_authorities);
        self.publish(now)
    }

    /// What was found out about this database itself outlives the command that found it and was undone.
    fn keep_findings(&mut self, now: Millis) -> Result<(), CoreError> {
        for (tenant, reason) in self.halts.clone() {
            if self.store.log_head(tenant)?.halted.is_some() {
                continue;
            }
            self.store.halt_log(tenant, &reason)?;
            // Where it lives does not matter; that somebody is told does.
            if let Some(appliance) = self.store.appliances(Some(tenant))?.first() {
                self.call_somebody(appliance, LOG_HALTED, &reason, now)?;
            }
        }
        self.tell_of_beside(now)?;
        if self.store.number("generation")?.max(1) != self.generation {
            self.store.put_number("generation", self.generation)?;
        }
        self.keep_acts()
    }

    /// Begins a part of a command, of which all is kept or nothing: each mark needs one of the two that follow.
    pub(crate) fn mark(&mut self) -> Result<(), StoreError> {
        self.unkept.mark();
        self.store.mark()
    }

    /// Keeps what it wrote.
    pub(crate) fn keep_since_mark(&mut self) -> Result<(), StoreError> {
        self.unkept.keep_since_mark();
        self.store.keep_since_mark()
    }

    /// Undoes it. What it put into the vault is there still.
    pub(crate) fn undo_to_mark(&mut self) -> Result<(), StoreError> {
        self.level.clear();
        self.quiet.ends();
        self.unkept.undo_to_mark();
        self.store.undo_to_mark()
    }

    /// After a transaction was undone: in force is what the database says.
    fn reread(&mut self) -> Result<(), CoreError> {
        (self.charter, self.catalogue) = documents(&self.store, &self.trust)?;
        // A charter that was undone may have brought other keys into use.
        match self.keys_under(&self.charter.document) {
            Ok(keys) => self.take_keys(keys),
            Err(error) => tracing::error!(error = chain(&error), "the keys of the charter in force"),
        }
        Ok(())
    }

    /// Appliances to wake since the last call.
    pub fn take_wakes(&mut self) -> BTreeSet<ApplianceId> {
        let wake = std::mem::take(&mut self.wake);
        wake.iter().for_each(|appliance| self.quiet.ends_for(*appliance));
        wake
    }

    /// Clinics of whose log the commands since the last call have spoken.
    pub fn take_spoken_of(&mut self) -> BTreeSet<TenantId> {
        std::mem::take(&mut self.spoken_of)
    }

    /// What the commands since the last call did.
    pub fn take_counted(&mut self) -> Counted {
        std::mem::take(&mut self.counted)
    }

    /// The charter in force.
    #[must_use]
    pub fn charter(&self) -> &Charter {
        &self.charter.document
    }

    /// Signs with the order key.
    pub(crate) fn seal(&self, unsigned: &Unsigned) -> Result<Vec<u8>, CoreError> {
        Ok(self.keys.order.seal(unsigned)?)
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.ports.entropy.fill(&mut bytes);
        bytes
    }
}

fn documents(
    store: &Store,
    trust: &OrganizationKeys,
) -> Result<(InForce<Charter>, InForce<Catalogue>), CoreError> {
    let missing =
        |what: &str| CoreError::Precondition(format!("there is no {what} yet; run `control-plane init`"));
    let envelope = store.newest_document(Document::Charter)?.ok_or_else(|| missing("charter"))?;
    let charter = InForce { document: trust.open(&envelope)?.into_value(), envelope };
    let envelope = store.newest_document(Document::Catalogue)?.ok_or_else(|| missing("catalogue"))?;
    let catalogue =
        InForce { document: Catalogue::open(&envelope, &charter.document)?.into_value(), envelope };
    Ok((charter, catalogue))
}

/// Keeps a charter or catalogue that was verified elsewhere: what `init` hands over.
pub fn seed(
    store: &Store,
    kind: Document,
    serial: u64,
    envelope: &[u8],
    now: Millis,
) -> Result<(), StoreError> {
    store.put_document(kind, serial, envelope, now)
}

pub(crate) fn payload_digest(envelope: &[u8]) -> Result<Digest, CoreError> {
    let envelope = proto::dsse::Envelope::parse(envelope).map_err(CoreError::Envelope)?;
    Ok(Digest::of(envelope.unverified_payload()))
}
