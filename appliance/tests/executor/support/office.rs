//! An organization: all its keys, its charter, catalogue and policy, a tenant's log, and orders of every kind.

use std::{collections::BTreeMap, time::Duration};

use proto::{
    charter::{Charter, OrganizationKeys, Quorum},
    digest::Digest,
    evidence::{self, Record},
    identity::CertificateFacts,
    ids::{ApplianceId, Incarnation, IncidentId, Nonce, OrderId, SiteId, TenantId},
    keys::SecretKey,
    local,
    log::{
        Checkpoint, Hash, Head, MemoryTiles, append, leaf_hash, log_origin, origin_of, prove_consistency,
        prove_inclusion, root,
    },
    order::{Core, Issuance, Order, Plan},
    standing::StandingOrder,
    time::{Millis, TimeToken},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use runbooks::{Catalogue, Collect, Policy, Runbook};

pub const ORGANIZATION: &str = "msp.example";

/// The organization, and what it knows of one box.
pub struct Office {
    pub organization: [SecretKey; 3],
    pub order_key: SecretKey,
    pub log_key: SecretKey,
    pub release: [SecretKey; 3],
    pub tenant: TenantId,
    pub site: SiteId,
    pub appliance: ApplianceId,
    pub now: Millis,
    pub charter: Charter,
    pub policy_serial: u64,
    ca: (CertificateParams, KeyPair),
    pub tls: KeyPair,
    /// The log of the tenant, and what it is called.
    pub origin: String,
    tiles: MemoryTiles,
    pub head: Head,
    /// Evidence by index, as it arrived; and by log index.
    pub archive: BTreeMap<u64, Vec<u8>>,
    logged: Vec<Digest>,
}

fn id<T: std::str::FromStr<Err = proto::field::BadField>>(n: u8) -> T {
    format!("0190a0c0-0000-7000-8000-0000000000{n:02x}").parse().unwrap()
}

fn keys(first: u8) -> [SecretKey; 3] {
    [0, 1, 2].map(|n| SecretKey::ed25519([first + n; 32]))
}

fn runbook(json: serde_json::Value) -> Runbook {
    let runbook: Runbook = serde_json::from_value(json).unwrap();
    runbook.check().unwrap();
    runbook
}

/// A procedure of one step that mends one fault.
fn one_step(id: &str, risk: &str, step: &str, parameter: &str, kind: &str, fault: &str) -> Runbook {
    runbook(serde_json::json!({
        "id": id, "title": "a test", "version": 1, "why": "to see it run", "hipaa": ["45 CFR 164.308(a)(7)(ii)(A)"],
        "risk": risk, "disruptive": true, "triggers": [fault], "parameters": {parameter: kind},
        "precondition": [{"fault": fault, "on": parameter, "expect": "present"}],
        "steps": [{"do": step, "target": parameter}],
        "verification": [{"fault": fault, "on": parameter, "expect": "gone"}],
        "on_failure": "escalate", "cooldown_seconds": 300, "limits": {"per_hour": 6}, "timeout_seconds": 600,
        "evidence": ["readings", "counts"], "undo": "nobody can"
    }))
}

/// The catalogue's procedures.
pub fn runbooks() -> Vec<Runbook> {
    vec![
        one_step("RB-DISK-002", "medium", "files.prune", "directory", "directory", "directory.over-limit"),
        one_step(
            "RB-DISK-003",
            "destructive",
            "files.prune",
            "directory",
            "directory",
            "directory.over-limit",
        ),
        one_step("RB-BACKUP-001", "low", "restic.backup", "backup", "backup", "backup.stale"),
        Runbook {
            disruptive: Some(false),
            evidence: vec![Collect::Readings, Collect::Output],
            ..one_step("RB-RESTORE-001", "low", "restic.test-restore", "backup", "backup", "restore.due")
        },
    ]
}

impl Office {
    pub fn new(now: Millis) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = ca.self_signed(&ca_key).unwrap().pem();
        let (order_key, log_key, release) =
            (SecretKey::ed25519([20; 32]), SecretKey::ed25519([21; 32]), keys(30));
        let charter = Charter {
            organization: ORGANIZATION.into(),
            serial: 1,
            issued: now.minus(Duration::from_secs(3600)),
            not_after: now.plus(Duration::from_secs(90 * 86_400)),
            order_keys: [order_key.public()].into(),
            log_keys: [log_key.public()].into(),
            release_keys: Quorum { threshold: 2, keys: release.iter().map(SecretKey::public).collect() },
            certificate_authorities: vec![pem],
            witnesses: Vec::new(),
            witness_quorum: None,
            approvers: Vec::new(),
        };
        Self {
            organization: keys(10),
            order_key,
            log_key,
            release,
            tenant: id(1),
            site: id(2),
            appliance: id(3),
            now,
            charter,
            policy_serial: 1,
            ca: (ca, ca_key),
            tls: KeyPair::generate().unwrap(),
            origin: log_origin(ORGANIZATION, id(1)),
            tiles: MemoryTiles::default(),
            head: Head::EMPTY,
            archive: BTreeMap::new(),
            logged: Vec::new(),
        }
    }

    pub fn trust(&self) -> OrganizationKeys {
        OrganizationKeys {
            organization: ORGANIZATION.into(),
            threshold: 2,
            keys: self.organization.iter().map(SecretKey::public).collect(),
        }
    }

    pub fn charter_bytes(&self) -> Vec<u8> {
        self.charter.seal(&[&self.organization[0], &self.organization[2]])
    }

    pub fn catalogue_bytes(&self, version: u64) -> Vec<u8> {
        let expires = self.now.plus(Duration::from_secs(86_400 * 30));
        let payload = Catalogue::build(version, self.charter.issued, expires, runbooks()).unwrap();
        Catalogue::seal(&payload, &[&self.release[0], &self.release[1]])
    }

    pub fn policy(&self) -> Policy {
        Policy::for_tenant(self.policy_serial, self.tenant)
    }

    pub fn policy_bytes(&self) -> Vec<u8> {
        self.policy().seal(&self.order_key)
    }

    /// A certificate for `appliance` and the box's TLS key.
    pub fn certificate_for(&self, appliance: ApplianceId, tls: &KeyPair) -> Vec<u8> {
        let uri = format!("spiffe://{ORGANIZATION}/tenant/{}/appliance/{appliance}", self.tenant);
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        let issuer = Issuer::from_params(&self.ca.0, &self.ca.1);
        params.signed_by(tls, &issuer).unwrap().der().to_vec()
    }

    pub fn certificate(&self) -> Vec<u8> {
        self.certificate_for(self.appliance, &self.tls)
    }

    /// SHA-256 of the box's TLS key.
    pub fn spki(&self) -> Digest {
        CertificateFacts::read(&self.certificate()).unwrap().spki
    }

    pub fn adopt(&self) -> local::Adopt {
        local::Adopt {
            charter: self.charter_bytes(),
            certificate: self.certificate(),
            catalogue: self.catalogue_bytes(1),
            policy: self.policy_bytes(),
        }
    }

    pub fn token(&self, incarnation: &[u8], nonce: &[u8]) -> Vec<u8> {
        TimeToken {
            incarnation: Incarnation::from_field("incarnation", incarnation).unwrap(),
            nonce: Nonce::from_field("nonce", nonce).unwrap(),
            at: self.now,
        }
        .seal(&self.order_key)
    }

    /// What an order is about: `runbook` on `watch`, for this box.
    pub fn core(&self, n: u8, incarnation: &[u8], runbook_id: &str, watch: &str) -> Core {
        let catalogue = Catalogue::build(1, Millis(0), Millis(1), runbooks()).unwrap();
        let catalogue = Catalogue::parse(&catalogue).unwrap();
        let entry = catalogue.runbook(&runbook_id.parse().unwrap()).unwrap();
        let parameter = entry.runbook.parameters.keys().next().unwrap().clone();
        Core {
            id: id::<OrderId>(n),
            organization: ORGANIZATION.into(),
            tenant: self.tenant,
            site: self.site,
            appliance: self.appliance,
            incarnation: Incarnation::from_field("incarnation", incarnation).unwrap(),
            incident: id::<IncidentId>(n),
            runbook: entry.runbook.id.clone(),
            runbook_digest: entry.digest,
            parameters: [(parameter, watch.parse().unwrap())].into(),
            approve_until: None,
        }
    }

    /// Puts a core in force, unsigned.
    pub fn issue(&self, core: Core, sequence: u64) -> Order {
        let issuance = Issuance {
            charter_serial: self.charter.serial,
            policy_serial: self.policy_serial,
            sequence,
            issued: self.now,
            lifetime: Duration::from_secs(600),
        };
        let plan = Plan {
            planner: "rules".into(),
            model: String::new(),
            prompt_digest: None,
            reason: "it triggers".into(),
        };
        Order::issue(core, &issuance, plan, Vec::new())
    }

    /// A good standing order, for two executions.
    pub fn standing(&self, n: u8, incarnation: &[u8], runbook: &str, watch: &str) -> StandingOrder {
        let core = self.core(n, incarnation, runbook, watch);
        let trigger = if runbook == "RB-DISK-002" { "directory.over-limit" } else { "backup.stale" };
        StandingOrder {
            id: core.id,
            organization: core.organization,
            tenant: core.tenant,
            site: core.site,
            appliance: core.appliance,
            incarnation: core.incarnation,
            runbook: core.runbook,
            runbook_digest: core.runbook_digest,
            trigger: trigger.into(),
            watch: watch.parse().unwrap(),
            most: 2,
            issued: self.now,
            expires: self.now.plus(Duration::from_secs(20 * 86_400)),
            charter_serial: self.charter.serial,
            policy_serial: self.policy_serial,
        }
    }

    /// A good order.
    pub fn order(&self, n: u8, sequence: u64, incarnation: &[u8], runbook: &str, watch: &str) -> Vec<u8> {
        self.issue(self.core(n, incarnation, runbook, watch), sequence).seal(&self.order_key)
    }

    /// Takes evidence as it comes, and logs what is new. A record that contradicts one that is here is a fork.
    pub fn take(&mut self, items: &[local::Item]) {
        for item in items {
            if let Some(known) = self.archive.get(&item.index) {
                assert_eq!(*known, item.envelope, "two records at index {}", item.index);
                continue;
            }
            self.archive.insert(item.index, item.envelope.clone());
            self.log(&item.envelope);
        }
    }

    fn log(&mut self, envelope: &[u8]) {
        let appended = append(&self.tiles, self.head, &[leaf_hash(envelope)]).unwrap();
        self.tiles.write(appended.writes);
        self.head = appended.head;
        self.logged.push(Digest::of(envelope));
    }

    /// Begins the log that follows, with what is wanted of the one before.
    pub fn begin_log(&mut self, number: u64, wanted: &[Vec<u8>]) {
        self.origin = origin_of(ORGANIZATION, self.tenant, number);
        (self.tiles, self.head) = (MemoryTiles::default(), Head::EMPTY);
        self.logged.clear();
        let of = |envelope: &&Vec<u8>| wanted.contains(&Digest::of(envelope).to_vec());
        let carried: Vec<Vec<u8>> = self.archive.values().filter(of).cloned().collect();
        carried.iter().for_each(|envelope| self.log(envelope));
    }

    /// The log as it stood.
    pub fn head_at(&self, size: u64) -> Head {
        Head { size, root: root(&self.tiles, size).unwrap() }
    }

    pub fn checkpoint(&self) -> Vec<u8> {
        Checkpoint::new(&self.origin, self.head).sign(&self.log_key).unwrap().note().as_bytes().to_vec()
    }

    pub fn consistency(&self, from: u64) -> Vec<Vec<u8>> {
        prove_consistency(&self.tiles, from, self.head.size).unwrap().into_iter().map(Hash::to_vec).collect()
    }

    /// Proofs for those of `wanted` that are logged.
    pub fn inclusions(&self, wanted: &[Vec<u8>]) -> Vec<local::Inclusion> {
        let place = |sha256: &Vec<u8>| self.logged.iter().position(|logged| logged.to_vec() == *sha256);
        wanted
            .iter()
            .filter_map(|sha256| Some((sha256.clone(), place(sha256)? as u64)))
            .map(|(sha256, index)| {
                let proof = prove_inclusion(&self.tiles, index, self.head.size).unwrap();
                local::Inclusion { sha256, index, hashes: proof.into_iter().map(Hash::to_vec).collect() }
            })
            .collect()
    }

    /// The archive, read and checked: unbroken from the first record on.
    pub fn records(&self) -> Vec<Record> {
        let key = super::box_world::Appliance::key().public();
        let mut previous = Digest::ZERO;
        self.archive
            .iter()
            .enumerate()
            .map(|(at, (index, envelope))| {
                assert_eq!(at as u64, *index, "a record is missing");
                let record = evidence::open(envelope, &key).unwrap().into_value();
                assert_eq!(
                    (record.chain.index, record.chain.previous),
                    (*index, previous),
                    "the chain is broken"
                );
                previous = Digest::of(envelope);
                record
            })
            .collect()
    }
}
