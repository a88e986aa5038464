//! A model of a box: keys, evidence chain, outbox stream, and the suspicion with which its executor takes an answer.

use std::collections::BTreeMap;

use proto::{
    charter::{Charter, OrganizationKeys},
    digest::Digest,
    dsse,
    evidence::{
        self, Body, CheckpointSeen, Clock, ClockSource, Enrolment, Execution, Head, Heartbeat, Hold,
        Identity, OrderFacts, Readings, Refusal, Step, StepResult, Verdict,
    },
    identity::{CertificateFacts, KeyProof, KeyProtection, csr_spki},
    ids::{ApplianceId, EventId, Incarnation, Nonce, StreamId, TenantId, WatchId},
    keys::SecretKey,
    log::{Checkpoint, Hash, SignedCheckpoint, VerifierKey, leaf_hash, verify_inclusion},
    order::{ORDER_TYPE, Order},
    pb,
    stop::Stop,
    sync::{Batch, Event, Exchange, Phase, Record, pack},
    time::Millis,
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};

use crate::world::{ORGANIZATION, Seeded};

/// A box.
pub struct Appliance {
    pub tls: KeyPair,
    pub evidence_key: SecretKey,
    pub incarnation: Incarnation,
    pub identity: Option<Identity>,
    pub certificate: Vec<u8>,
    /// End of its evidence chain.
    pub head: Head,
    pub stream: StreamId,
    /// Number and digest of the newest batch that was frozen.
    pub frozen: (u64, Digest),
    /// Its newest batch, until it is acknowledged.
    pub unacknowledged: Option<Batch>,
    /// Evidence of which it has no proof yet.
    pub unproven: Vec<Vec<u8>>,
    /// The newest checkpoint it has verified.
    pub checkpoint: Option<Checkpoint>,
    /// Which of the clinic's logs that is of.
    pub log: u64,
    /// Orders it was given, by sequence: verified, each once.
    pub orders: BTreeMap<u64, Order>,
    /// Highest sequence it tells the server.
    pub order_high: u64,
    pub watch: BTreeMap<WatchId, String>,
    pub charter_serial: u64,
    pub policy_serial: u64,
    /// What it calls its set of standing orders.
    pub standing: Option<Digest>,
    /// The newest stop or release it took.
    pub stop: Option<Stop>,
    /// The same of documents.
    pub documents: Option<Digest>,
    pub entropy: Seeded,
}

pub fn watch(id: &str) -> WatchId {
    id.parse().unwrap()
}

impl Appliance {
    pub fn new(seed: u64) -> Self {
        let mut entropy = Seeded::new(seed);
        Self {
            tls: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            evidence_key: SecretKey::ed25519(entropy.bytes()),
            incarnation: Incarnation(entropy.bytes()),
            identity: None,
            certificate: Vec::new(),
            head: Head::default(),
            stream: StreamId(entropy.bytes()),
            frozen: (0, Digest::ZERO),
            unacknowledged: None,
            unproven: Vec::new(),
            checkpoint: None,
            log: 1,
            orders: BTreeMap::new(),
            order_high: 0,
            watch: [("uploads", "directory"), ("scans", "directory"), ("records", "backup")]
                .into_iter()
                .map(|(id, kind)| (watch(id), kind.to_owned()))
                .collect(),
            charter_serial: 1,
            policy_serial: 1,
            standing: None,
            stop: None,
            documents: None,
            entropy,
        }
    }

    pub fn spki(&self) -> Digest {
        Digest::of(&self.tls.subject_public_key_info())
    }

    pub fn csr(&self) -> Vec<u8> {
        CertificateParams::default().serialize_request(&self.tls).unwrap().der().to_vec()
    }

    /// The executor's statement over both keys, in answer to a challenge.
    pub fn proof(&self, challenge: &[u8]) -> KeyProof {
        KeyProof {
            incarnation: self.incarnation,
            evidence_key: self.evidence_key.public(),
            protection: KeyProtection::File,
            tls_spki: self.spki(),
            challenge: Digest::of(challenge),
        }
    }

    pub fn enrol_request(&self, token: &str) -> pb::EnrollRequest {
        pb::EnrollRequest {
            token: token.into(),
            csr: self.csr(),
            key_proof: self.proof(token.as_bytes()).seal(&self.evidence_key),
            hardware: "small".into(),
        }
    }

    pub fn renew_request(&self) -> pb::RenewRequest {
        let csr = self.csr();
        pb::RenewRequest { key_proof: self.proof(&csr).seal(&self.evidence_key), csr }
    }

    /// Takes an enrolment's answer as an executor does: the certificate must come from a CA of a charter that the
    /// organization's keys have signed.
    pub fn adopt(&mut self, trust: &OrganizationKeys, answer: &pb::EnrollResponse) {
        let charter = trust.open(&answer.charter).unwrap().into_value();
        let facts =
            CertificateFacts::issued_by(&answer.certificate, &charter.certificate_authorities).unwrap();
        assert_eq!((facts.spki, facts.spki), (self.spki(), csr_spki(&self.csr()).unwrap()));
        assert_eq!(facts.spiffe.trust_domain, ORGANIZATION);
        self.identity = Some(Identity {
            organization: facts.spiffe.trust_domain,
            tenant: facts.spiffe.tenant,
            appliance: facts.spiffe.appliance,
        });
        self.certificate.clone_from(&answer.certificate);
    }

    pub fn id(&self) -> ApplianceId {
        self.identity.as_ref().unwrap().appliance
    }

    pub fn tenant(&self) -> TenantId {
        self.identity.as_ref().unwrap().tenant
    }

    /// Signs the next record of the chain.
    pub fn seal(&mut self, at: Millis, body: Body) -> Vec<u8> {
        let envelope = evidence::seal(&self.record(at, body), &self.evidence_key).unwrap();
        self.head = self.head.after(Digest::of(&envelope));
        self.unproven.push(envelope.clone());
        envelope
    }

    /// The next record of the chain, not signed yet.
    pub fn record(&self, at: Millis, body: Body) -> evidence::Record {
        evidence::Record {
            chain: self.head.link(self.incarnation),
            identity: self.identity.clone().unwrap(),
            clock: Clock { at, source: ClockSource::Token, wall_offset_ms: 0, floor: at, synchronised: None },
            checkpoint: self.checkpoint.as_ref().map(|seen| CheckpointSeen {
                size: seen.size,
                root: Digest(seen.root.0),
                log: self.log,
            }),
            key_protection: KeyProtection::File,
            body,
        }
    }

    pub fn enrolment(&mut self, at: Millis) -> Record {
        let body = Body::Enrolment(Enrolment {
            certificate: Digest::of(&self.certificate),
            tls_spki: self.spki(),
            charter_serial: self.charter_serial,
            predecessor: None,
        });
        Record::Evidence(self.seal(at, body))
    }

    pub fn beat(&self) -> Heartbeat {
        Heartbeat {
            charter_serial: self.charter_serial,
            catalogue_version: 1,
            policy_serial: 1,
            order_high: self.order_high,
            every_ms: 3_600_000,
            watch: self.watch.clone(),
            hold: None,
            refusals_not_signed: 0,
            version: "0.1.0".into(),
            up_ms: 1,
            footprint: None,
            sealing_key: None,
            beats: None,
        }
    }

    pub fn heartbeat(&mut self, at: Millis) -> Record {
        let beat = self.beat();
        Record::Evidence(self.seal(at, Body::Heartbeat(beat)))
    }

    pub fn hold(&mut self, at: Millis, held: bool) -> Record {
        Record::Evidence(self.seal(at, Body::Hold(Hold { held, by: "file".into(), checkpoint: None })))
    }

    pub fn executed(&mut self, at: Millis, order: &Order, verdict: Verdict) -> Record {
        let body = execution(order, verdict, None);
        Record::Evidence(self.seal(at, body))
    }

    pub fn refused(&mut self, at: Millis, order: &Order, guardrail: u8) -> Record {
        let name = runbooks::Guardrail::ALL[usize::from(guardrail) - 1].name().to_owned();
        let body = Body::Refusal(Refusal {
            order_digest: Digest::of(&order.encode()),
            order: Some(facts(order)),
            guardrail,
            name,
            reason: "it must be otherwise".into(),
        });
        Record::Evidence(self.seal(at, body))
    }

    pub fn event(&mut self, at: Millis, kind: &str, watch_id: &str, phase: Phase) -> Record {
        Record::Event(Event {
            id: EventId::new(at, self.entropy.bytes()),
            kind: kind.into(),
            watch: watch(watch_id),
            phase,
            at,
            readings: vec![("bytes".into(), 12)],
            note: String::new(),
        })
    }

    /// Freezes the next batch.
    pub fn freeze(&mut self, records: Vec<Record>) -> Batch {
        assert!(self.unacknowledged.is_none(), "one batch at a time");
        self.freeze_bytes(pack(records))
    }

    pub fn freeze_bytes(&mut self, records: Vec<u8>) -> Batch {
        let (number, previous) = self.frozen;
        let batch = Batch { stream: self.stream, number: number + 1, previous, records };
        self.frozen = (batch.number, Digest::of(&batch.records));
        self.unacknowledged = Some(batch.clone());
        batch
    }

    pub fn acknowledged(&mut self, batch: &Batch) {
        if self.unacknowledged.as_ref() == Some(batch) {
            self.unacknowledged = None;
        }
    }

    pub fn ask(&mut self, batch: Option<Batch>) -> Exchange {
        Exchange {
            batch,
            incarnation: self.incarnation,
            nonce: Nonce(self.entropy.bytes()),
            checkpoint_size: self.checkpoint.as_ref().map_or(0, |seen| seen.size),
            unproven: self.unproven.iter().take(64).map(|envelope| Digest::of(envelope)).collect(),
            order_high: self.order_high,
            charter_serial: self.charter_serial,
            catalogue_version: 1,
            policy_serial: self.policy_serial,
            standing: self.standing,
            stop_serial: self.stop.as_ref().map_or(0, |stop| stop.serial),
            documents: self.documents,
            log: self.log,
            hold_ms: 0,
            version: "0.1.0".into(),
        }
    }

    /// Takes an answer as an executor does: checkpoint by a log key, continuing the one kept, proofs that hold, orders
    /// by an order key. Panics at anything that a real one would raise an alarm over.
    pub fn absorb(&mut self, charter: &Charter, response: &pb::SyncResponse) {
        if !response.checkpoint.is_empty() {
            self.absorb_checkpoint(charter, response);
        }
        if !response.stop.is_empty() {
            let stop = Stop::open(&response.stop, charter).unwrap().into_value();
            assert!(stop.is_for(self.identity.as_ref().unwrap()));
            assert!(self.stop.as_ref().is_none_or(|before| before.serial < stop.serial), "serials rise");
            self.stop = Some(stop);
        }
        for envelope in &response.orders {
            let order = open_order(envelope, charter);
            let before = self.orders.insert(order.sequence, order.clone());
            assert!(
                before.is_none_or(|before| before == order),
                "two orders with sequence {}",
                order.sequence
            );
        }
    }

    /// Follows a succession as an executor does.
    pub fn follow(&mut self, trust: &OrganizationKeys, response: &pb::SyncResponse) {
        let said = trust.open_succession(&response.succession).unwrap().into_value();
        assert_eq!((said.tenant, said.number()), (self.tenant(), self.log + 1));
        let proof: Vec<Hash> =
            response.consistency.iter().map(|hash| Hash::from_field("hash", hash).unwrap()).collect();
        let kept = self.checkpoint.take();
        assert_eq!(kept.map_or(Ok(true), |kept| said.is_shown_after(kept.head(), &proof)), Ok(true));
        self.log = said.number();
    }

    fn absorb_checkpoint(&mut self, charter: &Charter, response: &pb::SyncResponse) {
        let hashes =
            |raw: &[Vec<u8>]| raw.iter().map(|h| Hash::from_field("hash", h).unwrap()).collect::<Vec<_>>();
        let origin = proto::log::origin_of(ORGANIZATION, self.tenant(), self.log);
        let keys: Vec<VerifierKey> =
            charter.log_keys.iter().map(|key| VerifierKey::new(&origin, key).unwrap()).collect();
        let signed = SignedCheckpoint::open(&response.checkpoint, &keys).unwrap();
        let offered = signed.checkpoint();
        if let Some(kept) = &self.checkpoint {
            offered.verify_continues(kept, &hashes(&response.consistency)).unwrap();
        }
        for inclusion in &response.inclusions {
            let at = self.unproven.iter().position(|e| Digest::of(e).to_vec() == inclusion.sha256).unwrap();
            let leaf = leaf_hash(&self.unproven[at]);
            verify_inclusion(leaf, inclusion.index, offered.size, &hashes(&inclusion.hashes), offered.root)
                .unwrap();
            self.unproven.remove(at);
        }
        self.checkpoint = Some(offered.clone());
    }

    /// The newest order it was given.
    pub fn newest_order(&self) -> Order {
        self.orders.last_key_value().expect("it was given an order").1.clone()
    }
}

/// Opens an order as an executor does.
pub fn open_order(envelope: &[u8], charter: &Charter) -> Order {
    let payload = dsse::open(envelope, ORDER_TYPE, &charter.order_keys, 1).unwrap();
    Order::decode(payload.value()).unwrap()
}

pub fn facts(order: &Order) -> OrderFacts {
    OrderFacts {
        digest: Digest::of(&order.encode()),
        id: order.core.id,
        incident: order.core.incident,
        sequence: order.sequence,
        charter_serial: order.charter_serial,
        policy_serial: order.policy_serial,
        runbook: order.core.runbook.clone(),
        runbook_digest: order.core.runbook_digest,
        parameters: order.core.parameters.clone(),
        plan: order.plan.clone(),
        approvers: Vec::new(),
        standing: None,
    }
}

pub fn execution(order: &Order, verdict: Verdict, output: Option<Digest>) -> Body {
    Body::Execution(Box::new(Execution {
        order: facts(order),
        hipaa: vec!["45 CFR 164.312(b)".into()],
        guardrails: vec!["signature".into()],
        before: Readings::from([("bytes".into(), 12)]),
        steps: vec![Step {
            action: "files.prune".into(),
            result: StepResult::Done,
            took_ms: 5,
            counts: Readings::new(),
            output,
        }],
        after: Readings::from([("bytes".into(), 3)]),
        verdict,
        took_ms: 7,
    }))
}
