//! The executor: verifies every order itself from the signed bytes, runs it at most once, and signs what it saw and did.
//!
//! The rule: the agent that delivers is not trusted. It can lose an order, but not forge, change, repeat or redirect
//! one; and it cannot lose evidence, which stays here until its inclusion in the log is proven. The core is synchronous
//! and asks nothing of the world but through [`crate::world`]; [`serve`] puts threads around it.
//!
//! ```text
//!  Deliver ─> charter, catalogue, policy, time, checkpoint ─> proven evidence goes
//!     └─> order ─ verify, admit ─> accepted ─ measure, confirm ─> started ─ steps, measure ─> finished + evidence
//!                     │ one commit with the sequence    │ one commit          │ one commit with the record
//!                     └──────── refused + evidence <────┘
//! ```

mod answer;
mod approved;
mod chain;
mod checkpoint;
mod deliver;
mod drift;
mod heartbeat;
mod history;
mod hold;
mod identity;
pub mod keys;
mod lifecycle;
mod measure;
mod orders;
mod probes;
mod pulse;
mod rehearsal;
mod running;
pub mod serve;
mod standing;
pub mod steps;
mod store;
#[cfg(test)]
mod testing;
mod time;
mod trust;
mod work;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proto::{
    charter::{CharterError, OrganizationKeys},
    evidence::{EvidenceError, Identity},
    field::BadField,
    identity::KeyProtection,
    ids::{Incarnation, WatchId},
    keys::{PublicKey, SecretKey},
    sealed::OpeningKey,
    time::Millis,
};
use runbooks::{ClinicHours, Policy, WatchKind};
use rusqlite::Connection;

use crate::{
    config::{Config, WatchEntry},
    world::{Cost, Host, World, draw},
};

use self::{
    approved::Approved, checkpoint::Earlier, lifecycle::Finish, measure::Recent, standing::Guard,
    store::Store, time::Time, trust::Trust,
};
pub use self::{
    lifecycle::Next,
    measure::Measurement,
    store::StoreError,
    work::{Done, Work},
};

/// What the configuration says to an executor.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The watch list.
    pub watch: BTreeMap<WatchId, WatchEntry>,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// Time between two looks of the agent.
    pub sample: Duration,
    /// The most bytes of unproven evidence.
    pub evidence_max: u64,
    /// The most executions in an hour.
    pub orders_per_hour: u32,
    /// When people work here.
    pub clinic_hours: ClinicHours,
    /// How long a fault is there before a standing order is drawn on: meanwhile an order may come.
    pub standing_after: Duration,
    /// The configuration that all of this is from: an approved watch list is checked within it.
    pub config: Arc<Config>,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            watch: config.watch.clone(),
            heartbeat: config.executor.heartbeat,
            sample: config.agent.sample,
            evidence_max: config.executor.evidence_max_mb << 20,
            orders_per_hour: config.limits.orders_per_hour,
            clinic_hours: config.limits.clinic_hours.clone(),
            standing_after: config.executor.standing_after,
            config: Arc::new(config.clone()),
        }
    }
}

/// Everything an executor is given when it is opened, beside its database.
pub struct Setup {
    /// From the configuration.
    pub settings: Settings,
    /// The pinned organization keys; `None` before the enrolment wrote them ([`ExecutorCore::pin`]).
    pub trust: Option<OrganizationKeys>,
    /// Signs evidence.
    pub evidence_key: SecretKey,
    /// How that key is kept.
    pub protection: KeyProtection,
    /// Clock and randomness.
    pub world: World,
    /// The machine.
    pub host: Arc<dyn Host>,
    /// When this program was built: no time before is believed.
    pub build: Millis,
}

/// Why an executor does not open. It then runs nothing and signs nothing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be read.
    #[error("executor.db cannot be used; no order runs")]
    Store(#[from] StoreError),
    /// Another key than the incarnation's.
    #[error(
        "evidence key {given} is not this incarnation's, {kept}; put that one back, or move executor.db away and enrol anew"
    )]
    OtherKey {
        /// Key in the file.
        given: Box<PublicKey>,
        /// Key that the incarnation began with.
        kept: Box<PublicKey>,
    },
    /// Pinned keys and kept charter do not belong together.
    #[error(
        "the kept charter is not signed by the pinned organization keys; put the right ones back, or enrol anew"
    )]
    Trust(#[source] CharterError),
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The database says no.
    #[error("nothing was done")]
    Store(#[from] StoreError),
    /// A record cannot be signed.
    #[error("cannot sign a record")]
    Evidence(#[from] EvidenceError),
    /// Something delivered was not believed, or makes no sense.
    #[error("{0}")]
    Refused(#[from] BadField),
}

/// The executor.
pub struct ExecutorCore {
    store: Store,
    settings: Settings,
    kinds: BTreeMap<WatchId, WatchKind>,
    local: Policy,
    world: World,
    host: Arc<dyn Host>,
    key: Arc<SecretKey>,
    protection: KeyProtection,
    incarnation: Incarnation,
    identity: Option<Identity>,
    trust: Trust,
    time: Time,
    recent: Recent,
    earlier: Earlier,
    standing: Guard,
    approved: Approved,
    /// The watch list of the configuration, for when no other is approved.
    own_watch: BTreeMap<WatchId, WatchEntry>,
    /// What secrets are sealed to.
    opening_key: OpeningKey,
    /// What is watched has changed; the control plane must hear of it.
    beat_soon: bool,
    /// The sequence that [`Work`] is being done for.
    running: Option<u64>,
    /// Done, but not written down yet: the disk was full.
    unfinished: Option<Finish>,
    /// The newest beat, and those that no heartbeat has told of.
    pulse: pulse::Pulse,
    /// When this session made its newest (boot-time clock).
    pulsed: Option<Duration>,
    /// When this session last looked at what runs here (boot-time clock).
    stood: Option<Duration>,
    /// Whether this session has signed a heartbeat.
    has_beaten: bool,
    /// What this program used when it last said so, and when that was (boot-time clock).
    cost: Option<(Cost, Duration)>,
    /// Looks at the baseline.
    scans: drift::Scans,
}

impl ExecutorCore {
    /// Opens the database, and begins an incarnation in a new one.
    pub fn open(connection: Connection, setup: Setup) -> Result<Self, OpenError> {
        let Setup { settings, trust, evidence_key, protection, world, host, build } = setup;
        let mut store = Store::open(connection)?;
        let given = evidence_key.public();
        let state = match store.view().state()? {
            Some(state) => state,
            None => {
                let incarnation = Incarnation(draw(&*world.entropy));
                store.write(|tx| tx.begin(incarnation, &given, build))?;
                store.view().state()?.ok_or(StoreError::Conflict("a new incarnation was not kept"))?
            }
        };
        if state.evidence_key != given {
            return Err(OpenError::OtherKey { given: Box::new(given), kept: Box::new(state.evidence_key) });
        }
        let opening_key = match store.view().opening_key()? {
            Some(key) => key,
            None => {
                let key = OpeningKey::new(draw(&*world.entropy));
                store.write(|tx| tx.keep_opening_key(&key))?;
                key
            }
        };
        let identity = store.view().identity()?.map(|adopted| adopted.identity);
        let trust = Trust::resume(trust, &store.view())?.map_err(OpenError::Trust)?;
        let local = Policy {
            per_appliance_hour: settings.orders_per_hour,
            clinic_hours: settings.clinic_hours.clone(),
            ..Policy::default_local()
        };
        let mut core = Self {
            kinds: settings.watch.iter().map(|(id, entry)| (id.clone(), entry.kind())).collect(),
            time: Time::resume(world.clock.clone(), &state.times, build),
            pulse: store.view().pulse()?,
            pulsed: None,
            stood: None,
            key: Arc::new(evidence_key),
            incarnation: state.incarnation,
            recent: Recent::default(),
            earlier: Earlier::default(),
            standing: Guard::resume(&store.view())?,
            approved: Approved::resume(&store.view())?,
            own_watch: settings.watch.clone(),
            beat_soon: false,
            opening_key,
            running: None,
            unfinished: None,
            has_beaten: false,
            cost: None,
            scans: drift::Scans::default(),
            store,
            settings,
            local,
            world,
            host,
            protection,
            identity,
            trust,
        };
        core.apply_documents();
        Ok(core)
    }

    /// The database's incarnation.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether organization keys are pinned.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.trust.is_pinned()
    }

    /// Pins the organization keys that enrolment wrote after this executor was opened. Keys already pinned stay.
    pub fn pin(&mut self, keys: OrganizationKeys) -> Result<(), OpenError> {
        if self.trust.is_pinned() {
            return Ok(());
        }
        self.trust.pin(keys, &self.store.view())?.map_err(OpenError::Trust)?;
        self.apply_documents();
        Ok(())
    }

    /// Does the next piece of pending work, all of it; `false`: there is none.
    pub fn step(&mut self) -> Result<bool, ExecutorError> {
        match self.next_work()? {
            Next::Idle(_) => Ok(false),
            Next::Progress => Ok(true),
            Next::Work(mut work) => {
                while let Some(more) = self.conclude(work.perform())? {
                    work = more;
                }
                Ok(true)
            }
        }
    }
}

/// An error and its causes, as one sentence.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
