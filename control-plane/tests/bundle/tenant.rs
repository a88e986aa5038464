//! A small tenant, made with the real keys and formats: what the bundle's tests export, verify and attack.

use std::{collections::BTreeMap, time::Duration};

use control_plane::{
    bundle::{
        Bundle, Enrolled, Month, PreviousPacket,
        export::{LoggedEnvelope, Parts, Tree, build, tree},
    },
    ca::CertificateAuthority,
};
use proto::{
    charter::{Approver, Charter, OrganizationKeys, Quorum},
    digest::Digest,
    evidence::{
        Beats, Body, CheckpointSeen, Clock, ClockSource, Enrolment, Head, Heartbeat, Hold, Identity, Record,
        Synchronised, seal,
    },
    identity::{KeyProof, KeyProtection, SpiffeId, csr_spki},
    ids::{ApplianceId, Incarnation, TenantId, WatchId},
    keys::SecretKey,
    log::{self, Checkpoint, SignedCheckpoint, VerifierKey, leaf_hash, root_of},
    time::Millis,
};
use runbooks::{Catalogue, Collect, Runbook};

#[path = "deeds.rs"]
mod deeds;
#[path = "month.rs"]
mod month;

pub use deeds::{BACKED_UP, Deed, PRUNED, RESTORED};
pub use month::WAIVED;

pub const ORGANIZATION: &str = "msp.example";
pub const HOUR: Duration = Duration::from_secs(3600);

/// One box and its executor.
pub struct Appliance {
    pub id: ApplianceId,
    pub incarnation: Incarnation,
    pub key: SecretKey,
    pub enrolled: Enrolled,
    spki: Digest,
    head: Head,
    sequence: u64,
    seen: Option<CheckpointSeen>,
    watch: BTreeMap<WatchId, String>,
}

/// A tenant and everything that its provider holds.
pub struct Tenant {
    seed: u8,
    pub tenant: TenantId,
    pub now: Millis,
    pub every: Duration,
    pub organization: Vec<SecretKey>,
    pub order_key: SecretKey,
    pub log_key: SecretKey,
    /// The owner's, who approves.
    pub passkey: SecretKey,
    /// What the boxes run.
    pub version: String,
    /// By what words the log follows others.
    pub successions: Vec<Vec<u8>>,
    pub charters: Vec<Vec<u8>>,
    pub catalogue: Vec<u8>,
    pub entries: Catalogue,
    pub authority: CertificateAuthority,
    pub boxes: Vec<Appliance>,
    pub evidence: Vec<Vec<u8>>,
    pub orders: Vec<Vec<u8>>,
    pub attachments: Vec<Vec<u8>>,
    pub previous: Option<PreviousPacket>,
    pub exceptions: Vec<Vec<u8>>,
    pub charter: Charter,
    pub synchronised: Option<Synchronised>,
    pub beats: Option<Beats>,
    pub up: Duration,
    pub linked: bool,
}

pub fn at(text: &str) -> Millis {
    text.parse().unwrap()
}

fn id(seed: u8, n: u8) -> [u8; 10] {
    [seed, n, 0, 0, 0, 0, 0, 0, seed, n]
}

impl Tenant {
    /// A tenant at `now`, without boxes. Another seed gives other keys and the same names.
    pub fn new(seed: u8, now: Millis) -> Self {
        let key = |n: u8| SecretKey::ed25519([seed.wrapping_mul(31).wrapping_add(n); 32]);
        let organization: Vec<SecretKey> = (0..3).map(key).collect();
        let release: Vec<SecretKey> = (3..6).map(key).collect();
        let (order_key, log_key, passkey) = (key(6), key(7), SecretKey::generate_p256());
        let authority = CertificateAuthority::create(ORGANIZATION, now, [seed; 16]).unwrap();
        let charter = Charter {
            organization: ORGANIZATION.into(),
            serial: 1,
            issued: now,
            not_after: now.plus(90 * 24 * HOUR),
            order_keys: [order_key.public()].into(),
            log_keys: [log_key.public()].into(),
            release_keys: Quorum { threshold: 2, keys: release.iter().map(SecretKey::public).collect() },
            certificate_authorities: vec![authority.certificate_pem().to_owned()],
            witnesses: vec![],
            witness_quorum: None,
            approvers: vec![Approver {
                name: "owner".into(),
                key: passkey.public(),
                rp_id: ORGANIZATION.into(),
                origin: format!("https://{ORGANIZATION}"),
            }],
        };
        let mut runbooks: Vec<Runbook> =
            runbooks::sources().iter().map(|(name, text)| runbooks::from_yaml(text, name).unwrap()).collect();
        // Whether the shipped ones keep outputs is not what is tested here.
        for runbook in runbooks.iter_mut().filter(|runbook| runbook.id.as_str() != "RB-DISK-002") {
            runbook.evidence = Collect::ALL.to_vec();
        }
        let payload = Catalogue::build(1, now, now.plus(365 * 24 * HOUR), runbooks).unwrap();
        Self {
            seed,
            tenant: TenantId::new(at("2026-10-01T00:00:00Z"), id(1, 1)),
            now,
            every: HOUR,
            successions: Vec::new(),
            charters: vec![charter.seal(&[&organization[0], &organization[2]])],
            charter,
            synchronised: Some(Synchronised::Yes),
            beats: None,
            up: 40 * 24 * HOUR,
            linked: true,
            catalogue: Catalogue::seal(&payload, &[&release[0], &release[1]]),
            entries: Catalogue::parse(&payload).unwrap(),
            organization,
            order_key,
            log_key,
            passkey,
            version: "0.1.0".into(),
            authority,
            boxes: vec![],
            evidence: vec![],
            orders: vec![],
            attachments: vec![],
            previous: None,
            exceptions: vec![],
        }
    }

    /// Two boxes, 30 records, half a day.
    pub fn genuine(seed: u8) -> Self {
        let mut tenant = Self::new(seed, at("2026-11-03T06:00:00Z"));
        let (a, b) = (tenant.enrol(false), tenant.enrol(true));
        for hour in 0..12 {
            tenant.wait(HOUR);
            for n in [a, b] {
                tenant.heartbeat(n);
            }
            match hour {
                3 => tenant.execute(a, &PRUNED),
                5 => tenant.execute(b, &BACKED_UP),
                7 => tenant.execute(b, &RESTORED),
                9 => tenant.refuse(a, "2 binding", "order is for another appliance; one for this is right"),
                _ => {}
            }
        }
        assert_eq!(tenant.evidence.len(), 30);
        tenant.wait(HOUR / 2);
        tenant
    }

    pub fn trust(&self) -> OrganizationKeys {
        let keys = self.organization.iter().map(SecretKey::public).collect();
        OrganizationKeys { organization: ORGANIZATION.into(), threshold: 2, keys }
    }

    pub fn wait(&mut self, span: Duration) {
        self.now = self.now.plus(span);
    }

    /// Enrols a box; gives its number.
    pub fn enrol(&mut self, p256: bool) -> usize {
        let n = u8::try_from(self.boxes.len()).unwrap();
        let appliance = ApplianceId::new(at("2026-10-02T00:00:00Z"), id(2, n));
        self.enrol_as(appliance, p256, None)
    }

    /// Enrols another executor for a box.
    pub fn enrol_as(&mut self, appliance: ApplianceId, p256: bool, predecessor: Option<Digest>) -> usize {
        let n = u8::try_from(self.boxes.len()).unwrap();
        let key = if p256 {
            SecretKey::generate_p256()
        } else {
            SecretKey::ed25519([self.seed.wrapping_add(100 + n); 32])
        };
        let incarnation = Incarnation([self.seed.wrapping_add(n); 16]);
        let tls = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&tls).unwrap();
        let spiffe = SpiffeId { trust_domain: ORGANIZATION.into(), tenant: self.tenant, appliance };
        let certificate = self.authority.issue_appliance(csr.der(), &spiffe, self.now, [n; 16]).unwrap();
        let spki = csr_spki(csr.der()).unwrap();
        let proof = KeyProof {
            incarnation,
            evidence_key: key.public(),
            protection: if p256 { KeyProtection::Tpm } else { KeyProtection::File },
            tls_spki: spki,
            challenge: Digest::of(b"token"),
        };
        let enrolled = Enrolled { appliance, incarnation, certificate, key_proof: proof.seal(&key) };
        let watch = [("uploads", "directory"), ("records", "backup")];
        let watch = watch.iter().map(|(id, kind)| (id.parse().unwrap(), (*kind).to_owned())).collect();
        self.boxes.push(Appliance {
            id: appliance,
            incarnation,
            key,
            spki,
            enrolled,
            head: Head::default(),
            sequence: 0,
            seen: None,
            watch,
        });
        let number = self.boxes.len() - 1;
        let enrolment = Enrolment {
            certificate: Digest::of(&self.boxes[number].enrolled.certificate),
            tls_spki: self.boxes[number].spki,
            charter_serial: 1,
            predecessor,
        };
        self.log(number, Body::Enrolment(enrolment));
        number
    }

    pub fn head_of(&self, n: usize) -> Digest {
        self.boxes[n].head.digest
    }

    /// Signs a record as the box would, without logging it.
    pub fn record(&mut self, n: usize, body: Body) -> Vec<u8> {
        let (tenant, now, synchronised) = (self.tenant, self.now, self.synchronised);
        let it = &mut self.boxes[n];
        let record = Record {
            chain: it.head.link(it.incarnation),
            identity: Identity { organization: ORGANIZATION.into(), tenant, appliance: it.id },
            clock: Clock { at: now, source: ClockSource::Token, wall_offset_ms: 3, floor: now, synchronised },
            checkpoint: it.seen,
            key_protection: if matches!(it.key.public(), proto::keys::PublicKey::P256(_)) {
                KeyProtection::Tpm
            } else {
                KeyProtection::File
            },
            body,
        };
        let envelope = seal(&record, &it.key).unwrap();
        it.head = it.head.after(Digest::of(&envelope));
        envelope
    }

    /// The box forgets its chain and begins again.
    pub fn forget(&mut self, n: usize) {
        self.boxes[n].head = Head::default();
    }

    /// The box takes something else for its newest record.
    pub fn mislead(&mut self, n: usize, newest: Digest) {
        self.boxes[n].head.digest = newest;
    }

    pub fn log(&mut self, n: usize, body: Body) {
        let envelope = self.record(n, body);
        self.evidence.push(envelope);
    }

    /// A heartbeat; by then the box has verified the log as it is, unless it has no link.
    pub fn heartbeat(&mut self, n: usize) {
        if !self.evidence.is_empty() && self.linked {
            let leaves: Vec<log::Hash> = self.evidence.iter().map(|e| leaf_hash(e)).collect();
            self.boxes[n].seen = Some(CheckpointSeen {
                size: leaves.len() as u64,
                root: Digest(root_of(&leaves).0),
                log: self.number(),
            });
        }
        let beat = Heartbeat {
            charter_serial: 1,
            catalogue_version: 1,
            policy_serial: 1,
            order_high: self.boxes[n].sequence,
            every_ms: u64::try_from(self.every.as_millis()).unwrap(),
            watch: self.boxes[n].watch.clone(),
            hold: None,
            refusals_not_signed: 0,
            version: self.version.clone(),
            up_ms: u64::try_from(self.up.as_millis()).unwrap(),
            footprint: None,
            sealing_key: None,
            beats: self.beats,
        };
        self.log(n, Body::Heartbeat(beat));
    }

    pub fn hold(&mut self, n: usize, held: bool) {
        self.log(n, Body::Hold(Hold { held, by: "file".into(), checkpoint: None }));
    }

    /// The log's signed head over the first `size` records.
    pub fn checkpoint(&self, size: usize) -> SignedCheckpoint {
        let leaves: Vec<log::Hash> = self.evidence[..size].iter().map(|e| leaf_hash(e)).collect();
        let head = log::Head { size: size as u64, root: root_of(&leaves) };
        Checkpoint::new(&self.origin(), head).sign(&self.log_key).unwrap()
    }

    /// What the provider would export of the first `size` records.
    pub fn parts(&self, size: usize, packet: Option<Month>) -> Parts {
        let entry = |(index, envelope): (usize, &Vec<u8>)| LoggedEnvelope {
            index: index as u64,
            envelope: envelope.clone(),
        };
        let evidence: Vec<LoggedEnvelope> = self.evidence[..size].iter().enumerate().map(entry).collect();
        let checkpoint = self.checkpoint(size);
        let Tree { tiles, proofs } = tree(&evidence, &checkpoint).unwrap();
        let names = ["Front desk", "Server closet", "Imaging"];
        let month: Month = "2026-11".parse().unwrap();
        Parts {
            brand: Default::default(),
            clinic: "Northside Family Practice".into(),
            appliance_names: self
                .boxes
                .iter()
                .zip(names)
                .map(|(it, name)| (it.id, name.to_owned()))
                .collect(),
            period: month.until(self.now),
            made_at: self.now,
            evidence,
            attachments: self.attachments.clone(),
            orders: self.orders.clone(),
            key: VerifierKey::new(&self.origin(), &self.log_key.public()).unwrap(),
            checkpoint,
            cosigned: vec![],
            stamps: Default::default(),
            tiles,
            proofs,
            successions: self.successions.clone(),
            charters: self.charters.clone(),
            catalogues: vec![self.catalogue.clone()],
            exceptions: self.exceptions.clone(),
            appliances: self.boxes.iter().map(|it| it.enrolled.clone()).collect(),
            packet,
            previous: self.previous.clone(),
            made: None,
        }
    }

    /// A bundle of everything, without a packet.
    pub fn bundle(&self) -> Bundle {
        build(&self.parts(self.evidence.len(), None)).unwrap()
    }
}
