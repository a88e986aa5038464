//! Facts: what a bundle's evidence says, once it was read and its signatures were checked.
//!
//! The rule: gaps and packet are made from facts and from nothing else, so whoever has the bundle can make them again.
//! What the provider alone says (names of clinic and boxes, when it was made) is kept apart and called that.

use std::collections::{BTreeMap, BTreeSet};

use baseline::{Baseline, Exception};
use proto::{
    act::Act,
    digest::Digest,
    evidence::Record,
    identity::KeyProtection,
    ids::{ApplianceId, Incarnation, RunbookId, TenantId},
    keys::PublicKey,
    log::{self, Hash},
    order::Order,
    standing::StandingOrder,
    succession::NamedHead,
};
use runbooks::Runbook;

use super::{Place, PreviousPacket, ProviderSays, Trace};

/// What a bundle says, apart from how far it can be believed.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Words of the provider that nothing signs.
    pub said: ProviderSays,
    /// Trust domain; empty when there is no charter.
    pub organization: String,
    /// Whose log it is; `None` when no checkpoint holds.
    pub tenant: Option<TenantId>,
    /// The log; `None` when no checkpoint holds.
    pub log: Option<LogFacts>,
    /// Records whose signature holds, by log index; of heartbeats those of the packet's month, and each appliance's newest.
    pub records: Vec<Fact>,
    /// All records whose signature holds, by log index, in short.
    pub traces: Vec<Trace>,
    /// Acts of the control plane whose signature holds, by log index.
    pub acts: Vec<ActFact>,
    /// Executors that wrote the records.
    pub executors: BTreeMap<Incarnation, Executor>,
    /// Versions of the catalogues in the bundle.
    pub catalogues: BTreeSet<u64>,
    /// Runbooks of these catalogues, by digest.
    pub runbooks: BTreeMap<Digest, RunbookFacts>,
    /// Orders in the bundle whose signature holds, standing ones too, by digest of the payload.
    pub orders: BTreeMap<Digest, Permission>,
    /// Last month's packet, in the provider's word; `None`: none is named.
    pub previous: Option<PreviousPacket>,
    /// Entries of the log whose records do not lie alone, by their place in the log.
    pub together: BTreeMap<u64, log::Bundle>,
    /// Baselines in the bundle that this program can read, by digest.
    pub baselines: BTreeMap<Digest, Baseline>,
    /// Exceptions in the bundle that records name, by digest.
    pub exceptions: BTreeMap<Digest, Exception>,
    /// Ranges of log indices, both ends included, below the checkpoint's size, whose record is not here.
    pub absent: Vec<(u64, u64)>,
    /// Executions whose order is not here.
    pub orders_missing: Vec<MissingOrder>,
    /// How the log ended that this one follows, when it follows one.
    pub follows: Option<NamedHead>,
    /// Outputs that records name and that are not here.
    pub outputs_missing: Vec<MissingOutput>,
    /// How many things contradict one another.
    pub faults: u64,
    /// What a record names as the one before it, where that is not what came before it in the log.
    pub(super) links: BTreeMap<u64, Digest>,
}

/// The log, as its signed checkpoint describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFacts {
    /// Its name.
    pub origin: String,
    /// Entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Place in the log.
    pub index: u64,
    /// SHA-256 of the envelope.
    pub digest: Digest,
    /// What it says.
    pub record: Record,
}

/// One act of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActFact {
    /// Place in the log.
    pub index: u64,
    /// SHA-256 of the envelope.
    pub digest: Digest,
    /// What it says.
    pub act: Act,
}

/// One executor's state: a key, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executor {
    /// The box.
    pub appliance: ApplianceId,
    /// What signs its evidence.
    pub evidence_key: PublicKey,
    /// How that key is kept.
    pub protection: KeyProtection,
}

/// What permitted an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// An order, for this one run.
    Order(Box<Order>),
    /// A standing order, given in advance.
    Standing(Box<StandingOrder>),
}

/// What a packet says of a runbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunbookFacts {
    /// Its name.
    pub id: RunbookId,
    /// Its title.
    pub title: String,
    /// Citations of 45 CFR.
    pub hipaa: Vec<String>,
    /// Actions of its steps, in order.
    pub actions: Vec<&'static str>,
    /// Its outputs are kept, as attachments.
    pub keeps_output: bool,
    /// The procedure itself: what a standing order's parameters follow from.
    pub procedure: Runbook,
}

/// An execution without its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingOrder {
    /// Log index of the execution.
    pub record: u64,
    /// Digest of the order.
    pub order: Digest,
}

/// An output that a record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingOutput {
    /// Log index of the record.
    pub record: u64,
    /// Digest of the output.
    pub output: Digest,
}

impl Facts {
    /// Of a bundle in which there is nothing but the provider's words.
    #[must_use]
    pub fn new(said: ProviderSays) -> Self {
        Self {
            said,
            organization: String::new(),
            tenant: None,
            log: None,
            records: vec![],
            traces: vec![],
            links: BTreeMap::new(),
            acts: vec![],
            executors: BTreeMap::new(),
            catalogues: BTreeSet::new(),
            runbooks: BTreeMap::new(),
            orders: BTreeMap::new(),
            previous: None,
            together: BTreeMap::new(),
            baselines: BTreeMap::new(),
            exceptions: BTreeMap::new(),
            absent: vec![],
            follows: None,
            orders_missing: vec![],
            outputs_missing: vec![],
            faults: 0,
        }
    }

    /// What to call a box: the provider's name for it, or the end of its ID (the begin is a time, and alike for many).
    #[must_use]
    pub fn name_of(&self, appliance: ApplianceId) -> String {
        self.said.appliances.get(&appliance).cloned().unwrap_or_else(|| {
            let id = appliance.to_string();
            format!("appliance {}", &id[id.len() - 12..])
        })
    }

    /// The file that a record lies in. With many records the files are few: 256 records to one.
    #[must_use]
    pub fn place_of(&self, fact: &Fact) -> Place {
        self.place_at(fact.index, fact.digest)
    }

    /// The same of any entry of the log, acts too.
    #[must_use]
    pub fn place_at(&self, index: u64, digest: Digest) -> Place {
        let entries = self.together.range(..=index / u64::from(log::TILE_WIDTH)).next_back();
        let entries = entries.map(|(_, bundle)| bundle).filter(|bundle| {
            let first = bundle.first().unwrap_or(u64::MAX);
            (first..first.saturating_add(bundle.width().into())).contains(&index)
        });
        entries.map_or(Place::Evidence(index, digest), |bundle| Place::Entries(*bundle))
    }

    /// Every box whose papers hold; no other one's records count.
    #[must_use]
    pub fn appliances(&self) -> BTreeSet<ApplianceId> {
        self.executors.values().map(|executor| executor.appliance).collect()
    }

    /// The chains, each by its index; of a chain that forked, all records.
    #[must_use]
    pub fn chains(&self) -> BTreeMap<Incarnation, Vec<&Trace>> {
        let mut chains: Vec<Vec<&Trace>> = vec![Vec::new(); self.executors.len()];
        for trace in &self.traces {
            if let Some(chain) = chains.get_mut(usize::from(trace.executor)) {
                chain.push(trace);
            }
        }
        for chain in &mut chains {
            chain.sort_by_key(|trace| (trace.chain_index, trace.index));
        }
        self.executors.keys().copied().zip(chains).filter(|(_, chain)| !chain.is_empty()).collect()
    }

    /// The record at `index`, where it is kept whole.
    #[must_use]
    pub fn record(&self, index: u64) -> Option<&Record> {
        let at = self.records.binary_search_by_key(&index, |fact| fact.index).ok()?;
        self.records.get(at).map(|fact| &fact.record)
    }

    /// Whose a record is: the executor's state, and the box.
    #[must_use]
    pub fn writer_of(&self, trace: &Trace) -> Option<(Incarnation, ApplianceId)> {
        let (incarnation, executor) = self.executors.iter().nth(trace.executor.into())?;
        Some((*incarnation, executor.appliance))
    }

    /// Which box's a record is.
    #[must_use]
    pub fn appliance_of(&self, trace: &Trace) -> Option<ApplianceId> {
        self.writer_of(trace).map(|(_, appliance)| appliance)
    }
}
