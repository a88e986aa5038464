//! Reading records: what one file says and whose signature holds, apart from all the others.
//!
//! The rule: pure, so that many are read at once; what follows from one record for another is for [`super::records`]. Of a
//! record that is read as much is handed on as anybody will ask for, because there are a million of them.

use std::collections::BTreeMap;

use proto::{
    act,
    digest::Digest,
    evidence::{Body, CheckpointSeen, Claim, Record},
    field::BadField,
    ids::Incarnation,
    log::{Hash, leaf_hash},
    time::Millis,
};

use super::{acts, charters::Charters, contents::Carrier, findings::chain, head::LogHead, keys::Keys};
use crate::bundle::{Fact, Period, Place, ReadError, Sign, Source, Trace, enrolled::Papers};

/// What records are read by.
pub(super) struct Reader<'r> {
    pub(super) source: &'r dyn Source,
    /// Each with its number, as traces have it.
    keys: BTreeMap<Incarnation, (u16, &'r Papers)>,
    pub(super) charters: &'r Charters,
    pub(super) head: Option<&'r LogHead>,
    /// The packet's month: its heartbeats are kept whole.
    pub(super) month: Option<Period>,
}

/// A file of records.
pub(super) struct Load {
    pub(super) place: Place,
    /// Its records by index; or why there are none.
    pub(super) records: Result<Vec<(u64, Entry)>, String>,
}

/// One record of a file.
pub(super) struct Entry {
    /// `None`: it is not the one that its name says, and so no leaf of any log.
    pub(super) leaf: Option<Hash>,
    pub(super) read: Read,
}

/// What became of one.
pub(super) enum Read {
    /// Its signature holds.
    Holds(Box<Held>),
    /// It is an act of the control plane.
    Act(Box<AnAct>),
    /// No key of its executor is here that counts.
    NoKey(Incarnation),
    /// Something is wrong with it.
    Fault(String),
}

/// What became of an act.
pub(super) struct AnAct {
    pub(super) digest: Digest,
    pub(super) read: acts::Read,
}

/// A record whose signature holds.
pub(super) struct Held {
    pub(super) trace: Trace,
    /// Digest of the one before it in its chain.
    pub(super) previous: Digest,
    pub(super) seen: Option<CheckpointSeen>,
    /// The record itself, where it is kept.
    pub(super) fact: Option<Fact>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(
        source: &'r dyn Source,
        keys: &'r Keys,
        charters: &'r Charters,
        head: Option<&'r LogHead>,
        month: Option<Period>,
    ) -> Self {
        let numbered =
            (0..).zip(keys).map(|(number, (incarnation, papers))| (*incarnation, (number, papers)));
        Self { source, keys: numbered.collect(), charters, head, month }
    }
}

impl Reader<'_> {
    /// Which of its tenant's logs it reads.
    pub(super) fn log(&self) -> u64 {
        self.head.map_or(1, LogHead::number)
    }

    /// Reads one file.
    pub(super) fn load(&self, carrier: &Carrier) -> Load {
        let place = carrier.place();
        let records = match self.source.read(&place.to_string()) {
            Err(ReadError::Absent) => Ok(Vec::new()),
            Err(error) => Err(chain(&error)),
            Ok(bytes) => self.records(carrier, &bytes),
        };
        let records = records.map(|mut records| {
            self.thin_out(&mut records);
            records
        });
        Load { place, records }
    }

    fn records(&self, carrier: &Carrier, bytes: &[u8]) -> Result<Vec<(u64, Entry)>, String> {
        match carrier {
            Carrier::Alone(index, digest) => {
                let found = Digest::of(bytes);
                if found != *digest {
                    let read = Read::Fault(format!("has digest {found}, its name says otherwise"));
                    return Ok(vec![(*index, Entry { leaf: None, read })]);
                }
                Ok(vec![(*index, self.entry(*index, found, bytes))])
            }
            Carrier::Together(bundle) => {
                let entries = bundle.decode(bytes).map_err(|error| error.to_string())?;
                let indexed = (carrier.range().0..).zip(entries);
                Ok(indexed
                    .map(|(index, entry)| (index, self.entry(index, Digest::of(entry), entry)))
                    .collect())
            }
        }
    }

    fn entry(&self, index: u64, digest: Digest, envelope: &[u8]) -> Entry {
        Entry { leaf: Some(leaf_hash(envelope)), read: self.read(index, digest, envelope) }
    }

    fn read(&self, index: u64, digest: Digest, envelope: &[u8]) -> Read {
        let claim = match Claim::read(envelope) {
            Ok(claim) => claim,
            // Nearly all entries are records, so that is what is tried first.
            Err(error) => {
                return match act::Claim::read(envelope) {
                    Ok(Some(claim)) => {
                        let read = acts::read(claim, self.charters, self.head);
                        Read::Act(Box::new(AnAct { digest, read }))
                    }
                    Ok(None) | Err(_) => Read::Fault(chain(&error)),
                };
            }
        };
        let Some((executor, papers)) = self.keys.get(&claim.incarnation()) else {
            return Read::NoKey(claim.incarnation());
        };
        let record = match claim.verify(&papers.proof.evidence_key) {
            Ok(verified) => verified.into_value(),
            Err(error) => return Read::Fault(chain(&error)),
        };
        if let Err(bad) = is_of(&record, papers, self.head) {
            return Read::Fault(bad.to_string());
        }
        Read::Holds(Box::new(Held {
            trace: Trace::of(index, digest, *executor, &record, self.log()),
            previous: record.chain.previous,
            seen: record.checkpoint,
            fact: Some(Fact { index, digest, record }),
        }))
    }

    /// Lets go of the heartbeats that nobody will ask for: of other months but each executor's last of this file.
    fn thin_out(&self, records: &mut [(u64, Entry)]) {
        let end = self.month.map_or(Millis(i64::MAX), |month| month.to);
        let mut last: BTreeMap<u16, &mut Held> = BTreeMap::new();
        for (_, entry) in records {
            let Read::Holds(held) = &mut entry.read else { continue };
            let trace = &held.trace;
            if is_kept(trace, self.month) {
                continue;
            }
            if trace.at >= end {
                held.fact = None;
            } else if let Some(before) = last.insert(trace.executor, held) {
                before.fact = None;
            }
        }
    }
}

/// Whether a record is kept whole for what it is: not so the heartbeats of other months than the packet's that tell nothing.
pub(super) fn is_kept(trace: &Trace, month: Option<Period>) -> bool {
    let is_idle = matches!(trace.sign, Sign::Heartbeat(beat) if !beat.tells()) && trace.chain_index > 0;
    !is_idle || month.is_some_and(|month| month.contains(trace.at))
}

fn is_of(record: &Record, papers: &Papers, head: Option<&LogHead>) -> Result<(), BadField> {
    let bad = |field: &str, problem: &str| Err(BadField::new(field, problem));
    let identity = &record.identity;
    if identity.organization != papers.spiffe.trust_domain {
        return bad("identity.organization", "is not the one in the appliance's certificate");
    }
    if identity.tenant != papers.spiffe.tenant || head.is_some_and(|head| head.tenant != identity.tenant) {
        return bad("identity.tenant", "is not the one of the log and of the appliance's certificate");
    }
    if identity.appliance != papers.spiffe.appliance {
        return bad("identity.appliance", "is not the one in the appliance's certificate");
    }
    // A newer version may have another word for it.
    if record.body != Body::Unknown && record.key_protection != papers.proof.protection {
        return bad("key_protection", "is not the one that the appliance was enrolled with");
    }
    Ok(())
}
