//! Records: each file is what its name says, signed by the key of the executor that it names, and of this tenant.

use std::collections::BTreeMap;

use proto::{
    act::{self, Deed},
    digest::Digest,
    evidence::{Body, Claim, Record},
    field::BadField,
    log::{Hash, TlogProof, leaf_hash, verify_inclusion},
};

use super::{acts, charters::Charters, contents::Contents, findings::Findings, head::LogHead, keys::Keys};
use crate::bundle::{ActFact, Fact, Place, Source, enrolled::Papers};

/// Records as they were read.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Those whose signature holds, by log index.
    pub(super) facts: Vec<Fact>,
    /// Acts among them.
    pub(super) acts: Vec<ActFact>,
    /// Leaf hashes of all files, signed or not.
    pub(super) leaves: BTreeMap<u64, Hash>,
}

/// Reads all records.
pub(super) fn read(
    source: &dyn Source,
    contents: &Contents,
    keys: &Keys,
    charters: &Charters,
    head: Option<&LogHead>,
    findings: &mut Findings,
) -> Records {
    let mut tally = findings.begin("Every record is signed by its appliance's evidence key", "evidence/");
    let mut of_acts = findings
        .begin("Every act of the control plane is signed, and follows the one before it", "evidence/");
    let (mut records, mut has_acts) = (Records::default(), false);
    for (&index, &digest) in &contents.evidence {
        let place = Place::Evidence(index, digest);
        let Some(envelope) = findings.read(source, &place) else { continue };
        let path = place.to_string();
        let found = Digest::of(&envelope);
        if found != digest {
            findings.fault(&path, Some(index), &format!("has digest {found}, its name says otherwise"));
            continue;
        }
        records.leaves.insert(index, leaf_hash(&envelope));
        if let Ok(Some(claim)) = act::Claim::read(&envelope) {
            has_acts = true;
            match acts::read(claim, charters, head) {
                acts::Read::Act(act) => records.acts.push(ActFact { index, digest, act: *act }),
                acts::Read::NoCharter(serial) => of_acts.missing(format!("charter {serial} is not here")),
                acts::Read::Fault(problem) => findings.fault(&path, Some(index), &problem),
            }
            continue;
        }
        let claim = match Claim::read(&envelope) {
            Ok(claim) => claim,
            Err(error) => {
                findings.error(&path, Some(index), &error);
                continue;
            }
        };
        let Some(papers) = keys.get(&claim.incarnation()) else {
            tally.missing(format!("no key of executor {} is here that counts", claim.incarnation()));
            continue;
        };
        match claim.verify(&papers.proof.evidence_key) {
            Ok(verified) => {
                let record = verified.into_value();
                match is_of(&record, papers, head) {
                    Ok(()) => {
                        tally.proven += 1;
                        records.facts.push(Fact { index, digest, record });
                    }
                    Err(bad) => findings.fault(&path, Some(index), &bad.to_string()),
                }
            }
            Err(error) => findings.error(&path, Some(index), &error),
        }
    }
    if contents.evidence.is_empty() {
        tally.missing("there are no records");
    }
    findings.end(tally);
    if has_acts {
        acts::chain(&records.acts, charters, of_acts, findings);
    }
    newer(&records, findings);
    records
}

/// What nobody has read is not vouched for, however well it is signed.
fn newer(records: &Records, findings: &mut Findings) {
    let facts = records.facts.iter().filter(|fact| fact.record.body == Body::Unknown).map(|fact| fact.index);
    let acts = records.acts.iter().filter(|fact| fact.act.deed == Deed::Unknown).map(|fact| fact.index);
    let mut unread = facts.chain(acts);
    let Some(first) = unread.next() else { return };
    let mut tally = findings.begin("What every record says is known to this verifier", "evidence/");
    let more = match unread.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    tally.missing(format!(
        "record {first}{more}: of a newer version; signature and chain checked, content not"
    ));
    findings.end(tally);
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

/// Checks the proof file of every record on its own, as anyone else's software would.
pub(super) fn prove(
    source: &dyn Source,
    contents: &Contents,
    records: &Records,
    head: Option<&LogHead>,
    findings: &mut Findings,
) {
    let mut tally = findings.begin("Every record has a proof that it is in the log", "proofs/");
    let mut proven = std::collections::BTreeSet::new();
    for &index in &contents.proofs {
        let place = Place::Proof(index);
        let path = place.to_string();
        let Some(bytes) = findings.read(source, &place) else { continue };
        let Some(leaf) = records.leaves.get(&index) else {
            if !contents.evidence.contains_key(&index) {
                findings.fault(&path, Some(index), "is for a record that is not here");
            }
            continue;
        };
        let Some(head) = head else { continue };
        match check(&bytes, index, *leaf, head) {
            Ok(()) => {
                proven.insert(index);
            }
            Err(problem) => findings.fault(&path, Some(index), &problem),
        }
    }
    tally.proven = proven.len() as u64;
    if head.is_none() {
        tally.missing("no head of the log holds");
    }
    if let Some(index) = records.leaves.keys().find(|index| !proven.contains(index)) {
        tally.missing(format!("record {index} has none that holds"));
    }
    findings.end(tally);
}

fn check(bytes: &[u8], index: u64, leaf: Hash, head: &LogHead) -> Result<(), String> {
    let proof = TlogProof::parse(bytes).map_err(|error| error.to_string())?;
    if proof.index != index {
        return Err(format!("is for record {}", proof.index));
    }
    if !proof.extra.is_empty() {
        return Err("must have no extra line: nothing signs it".to_owned());
    }
    if proof.checkpoint != head.checkpoint.note() {
        return Err("must end with the bundle's own checkpoint".to_owned());
    }
    let log = head.head();
    verify_inclusion(leaf, index, log.size, &proof.hashes, log.root).map_err(|error| error.to_string())
}
