//! A control plane without sockets: the real core over an in-memory database, a vault that outlives it, seeded chance.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use control_plane::{
    ca::CertificateAuthority,
    core::{
        self, Core, CoreError, Settings,
        deliveries::Mailing,
        ports::{Entropy, Ports},
    },
    store::{Document, Store},
    telling::Rules,
    vault::{MemoryVault, Vault},
};
use proto::{
    charter::{Approver, Charter, OrganizationKeys, Quorum},
    digest::Digest,
    dsse,
    keys::SecretKey,
    pb,
    time::Millis,
};
use runbooks::{Catalogue, Runbook, from_yaml, sources};
use rusqlite::{Connection, backup::Backup};

use crate::{appliance::Appliance, issuer::Issuer, ring::keys};

pub const ORGANIZATION: &str = "msp.example";
pub const START: Millis = Millis(1_795_000_000_000);
pub const CHANNEL: &str = "webhook";
pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);
pub const DISK: &str = "directory.over-limit";
pub const BACKUP: &str = "backup.stale";

/// The same bytes for the same seed, for ever.
pub struct Seeded(u64, u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(seed, 0)
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            self.1 += 1;
            let block = Digest::of(&[self.0.to_be_bytes(), self.1.to_be_bytes()].concat());
            chunk.copy_from_slice(&block.0[..chunk.len()]);
        }
    }
}

/// What the organization keeps in its safe, and what every restart of the server finds again.
pub struct Safe {
    pub organization: Vec<SecretKey>,
    pub release: Vec<SecretKey>,
    pub order: [u8; 32],
    pub log: [u8; 32],
    /// Keys that are to follow, where there are such; whether the order key is out of reach, where it is not at hand.
    pub next: Option<([u8; 32], [u8; 32])>,
    pub away: Option<Arc<AtomicBool>>,
    pub trust: OrganizationKeys,
    pub charter: Charter,
    pub catalogue: Vec<u8>,
    pub settings: Settings,
    pub issuer: Issuer,
}

impl Safe {
    fn new() -> Self {
        let keys = |from: u8| (from..from + 3).map(|n| SecretKey::ed25519([n; 32])).collect::<Vec<_>>();
        let public = |keys: &[SecretKey]| keys.iter().map(SecretKey::public).collect();
        let (organization, release, order, log) = (keys(1), keys(11), [21; 32], [31; 32]);
        let authority = CertificateAuthority::create(ORGANIZATION, START.minus(DAY), [9; 16]).unwrap();
        let named = vec![authority.certificate_pem().to_owned()];
        let charter = Charter {
            organization: ORGANIZATION.into(),
            serial: 1,
            issued: START.minus(DAY),
            not_after: START.plus(90 * DAY),
            order_keys: [SecretKey::ed25519(order).public()].into(),
            log_keys: [SecretKey::ed25519(log).public()].into(),
            release_keys: Quorum { threshold: 2, keys: public(&release) },
            certificate_authorities: named.clone(),
            witnesses: Vec::new(),
            witness_quorum: None,
            approvers: Vec::<Approver>::new(),
        };
        let mut safe = Self {
            trust: OrganizationKeys {
                organization: ORGANIZATION.into(),
                threshold: 2,
                keys: public(&organization),
            },
            organization,
            release,
            order,
            log,
            next: None,
            away: None,
            charter,
            catalogue: Vec::new(),
            settings: Settings {
                organization: ORGANIZATION.into(),
                address: "https://control.msp.example:8443".into(),
                order_lifetime: 10 * MINUTE,
                approval: 4 * HOUR,
                stall_after: 30 * MINUTE,
                retention: 2000 * DAY,
                events_hour: 2000,
                silent_after: 30 * MINUTE,
                telling: Rules::at_once([(CHANNEL.to_owned(), Vec::new())].into()),
                mail: Mailing::WithLinks,
                model: None,
                running: Default::default(),
            },
            issuer: Issuer::of(vec![Arc::new(authority)], &named),
        };
        safe.catalogue = safe.catalogue(1, shipped());
        safe
    }

    /// The device CA, as the server has it.
    pub fn authority(&self) -> Arc<CertificateAuthority> {
        self.issuer.authorities.named().issues.clone()
    }

    /// A catalogue signed by two of three release keys.
    pub fn catalogue(&self, version: u64, runbooks: Vec<Runbook>) -> Vec<u8> {
        let payload = Catalogue::build(version, START, START.plus(60 * DAY), runbooks).unwrap();
        Catalogue::seal(&payload, &[&self.release[0], &self.release[2]])
    }

    /// A charter signed by two of three organization keys, one after the other.
    pub fn charter(&self, change: impl FnOnce(&mut Charter)) -> Vec<u8> {
        let mut charter = self.charter.clone();
        change(&mut charter);
        dsse::countersign(&charter.seal(&[&self.organization[0]]), &self.organization[1]).unwrap()
    }
}

/// The runbooks that ship.
pub fn shipped() -> Vec<Runbook> {
    sources().iter().map(|(name, text)| from_yaml(text, name).unwrap()).collect()
}

/// A control plane and the world around it.
pub struct World {
    pub safe: Arc<Safe>,
    pub now: Millis,
    pub core: Core,
    pub vault: MemoryVault,
    /// A second connection to the core's database: to look at it, and to copy it.
    pub db: Memory,
    pub tenant: String,
    pub site: String,
    seed: u64,
}

impl World {
    /// A clinic with one site and nothing in it.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same, under other settings.
    pub fn with(change: impl FnOnce(&mut Safe)) -> Self {
        let mut safe = Safe::new();
        change(&mut safe);
        let safe = Arc::new(safe);
        let (vault, db) = (MemoryVault::default(), Memory::new());
        let store = Store::with(db.share()).unwrap();
        let charter = safe.charter(|_| {});
        core::seed(&store, Document::Charter, safe.charter.serial, &charter, START).unwrap();
        core::seed(&store, Document::Catalogue, 1, &safe.catalogue, START).unwrap();
        let core = open(&safe, store, Box::new(vault.clone()), 7, START).unwrap();
        let mut world = Self {
            safe,
            now: START,
            core,
            vault,
            db,
            tenant: String::new(),
            site: "Main St".into(),
            seed: 100,
        };
        world.tenant = world.tenant_named("Riverside Dental");
        world
    }

    /// One more clinic with one site.
    pub fn tenant_named(&mut self, name: &str) -> String {
        let site = self.site.clone();
        let now = self.now;
        let id = self.core.run(now, |core| core.create_tenant(name, now)).unwrap().id.to_string();
        self.core.run(now, |core| core.create_site(&id, &site, now)).unwrap();
        id
    }

    /// An enrolment token for the clinic.
    pub fn token(&mut self, tenant: &str) -> String {
        let (site, now) = (self.site.clone(), self.now);
        self.core.run(now, |core| core.issue_enrolment_token(tenant, &site, HOUR, now)).unwrap().secret
    }

    /// A box that nobody knows yet.
    pub fn unknown_box(&mut self) -> Appliance {
        self.seed += 1;
        Appliance::new(self.seed)
    }

    /// A box of the clinic, enrolled; it has said nothing yet.
    pub fn enrolled(&mut self) -> Appliance {
        let tenant = self.tenant.clone();
        self.enrolled_at(&tenant)
    }

    /// The same, of another clinic.
    pub fn enrolled_at(&mut self, tenant: &str) -> Appliance {
        let token = self.token(tenant);
        let mut appliance = self.unknown_box();
        let answer = self.enroll(&appliance.enrol_request(&token)).unwrap();
        appliance.adopt(&self.safe.trust, &answer);
        appliance
    }

    /// A box of the clinic that has sent its enrolment record and its first heartbeat.
    pub fn appliance(&mut self) -> Appliance {
        let tenant = self.tenant.clone();
        self.appliance_at(&tenant)
    }

    /// The same, of another clinic.
    pub fn appliance_at(&mut self, tenant: &str) -> Appliance {
        let mut appliance = self.enrolled_at(tenant);
        let records = vec![appliance.enrolment(self.now), appliance.heartbeat(self.now)];
        self.send(&mut appliance, records);
        appliance
    }

    pub fn enroll(&mut self, request: &pb::EnrollRequest) -> Result<pb::EnrollResponse, CoreError> {
        let now = self.now;
        self.core.run(now, |core| core.enroll(&request.clone().try_into()?, now))
    }

    pub fn renew(&mut self, peer: &[u8], request: &pb::RenewRequest) -> Result<pb::RenewResponse, CoreError> {
        let now = self.now;
        self.core.run(now, |core| core.renew(peer, &request.clone().try_into()?, now))
    }

    /// One exchange; the box takes nothing from it.
    pub fn exchange(
        &mut self,
        appliance: &Appliance,
        asked: &proto::sync::Exchange,
    ) -> Result<pb::SyncResponse, CoreError> {
        let (now, spki) = (self.now, appliance.spki());
        self.core.run(now, |core| core.sync(spki, asked, now)).map(|answer| answer.response)
    }

    /// A box sends these records in its next batch and takes the answer, which must acknowledge them.
    pub fn send(&mut self, appliance: &mut Appliance, records: Vec<proto::sync::Record>) -> pb::SyncResponse {
        let batch = appliance.freeze(records);
        let asked = appliance.ask(Some(batch.clone()));
        let response = self.exchange(appliance, &asked).unwrap();
        assert!(response.ack.is_some(), "not acknowledged: {}", response.quarantine);
        appliance.acknowledged(&batch);
        appliance.absorb(&self.safe.charter, &response);
        response
    }

    /// A box calls without anything to send.
    pub fn call(&mut self, appliance: &mut Appliance) -> pb::SyncResponse {
        let asked = appliance.ask(None);
        let response = self.exchange(appliance, &asked).unwrap();
        appliance.absorb(&self.safe.charter, &response);
        response
    }

    /// Time goes on, and the watchdog makes its round.
    pub fn wait(&mut self, span: Duration) {
        self.now = self.now.plus(span);
        let now = self.now;
        self.core.run(now, |core| core.watch(now)).unwrap();
    }

    /// The program ends, however it stood, and starts again on the same database and vault.
    pub fn restart(&mut self) {
        self.try_restart().unwrap();
    }

    pub fn try_restart(&mut self) -> Result<(), CoreError> {
        let db = self.db.share();
        self.start_on(db)
    }

    /// A copy of the database as it is now.
    pub fn backup(&self) -> Memory {
        let mut copy = Memory::new();
        Backup::new(&self.db.db, &mut copy.db)
            .unwrap()
            .run_to_completion(1000, Duration::ZERO, None)
            .unwrap();
        copy
    }

    /// The program ends, its database is replaced by an older copy, and it starts again; the vault is what it is.
    pub fn restore(&mut self, copy: Memory) -> Result<(), CoreError> {
        self.db = copy;
        self.try_restart()
    }

    fn start_on(&mut self, db: Connection) -> Result<(), CoreError> {
        // The old core's connection must be gone before the new one looks: its open transaction dies with it.
        let parked = Core::open(
            seeded_store(&self.safe),
            ports(&self.safe, Box::new(MemoryVault::default()), 0),
            keys(&self.safe),
            self.safe.settings.clone(),
            self.safe.trust.clone(),
            self.now,
        )?;
        drop(std::mem::replace(&mut self.core, parked));
        self.seed += 1;
        self.core = open(&self.safe, Store::with(db)?, Box::new(self.vault.clone()), self.seed, self.now)?;
        Ok(())
    }

    /// A second control plane on the same keys and the same vault, with a copy of the database.
    pub fn twin(&self, vault: Box<dyn Vault>) -> Self {
        let db = self.backup();
        let core =
            open(&self.safe, Store::with(db.share()).unwrap(), vault, self.seed + 5000, self.now).unwrap();
        Self {
            safe: self.safe.clone(),
            now: self.now,
            core,
            vault: self.vault.clone(),
            db,
            tenant: self.tenant.clone(),
            site: self.site.clone(),
            seed: self.seed + 10_000,
        }
    }

    /// Keys of the vault that lie in a folder of that name, of any tenant.
    pub fn vault_keys(&self, folder: &str) -> Vec<String> {
        let keys = self.vault.list("").unwrap();
        keys.into_iter().filter(|key| key.split('/').nth(1) == Some(folder)).collect()
    }

    /// The one number that this SQL gives.
    pub fn count(&self, sql: &str) -> i64 {
        self.db.db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// The one text that this SQL gives.
    pub fn text(&self, sql: &str) -> String {
        self.db.db.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

/// The words with which a command was denied.
pub fn denied<T>(outcome: Result<T, CoreError>) -> String {
    match outcome {
        Err(CoreError::Denied(why)) => why,
        Err(other) => panic!("must be denied, is: {other}"),
        Ok(_) => panic!("must be denied, was done"),
    }
}

/// The field that a command refused.
pub fn bad_field<T>(outcome: Result<T, CoreError>) -> String {
    match outcome {
        Err(CoreError::Bad(bad)) => bad.field,
        Err(other) => panic!("must name a field, says: {other}"),
        Ok(_) => panic!("must name a field, was done"),
    }
}

/// Opens a core.
pub fn open(
    safe: &Safe,
    store: Store,
    vault: Box<dyn Vault>,
    seed: u64,
    now: Millis,
) -> Result<Core, CoreError> {
    Core::open(store, ports(safe, vault, seed), keys(safe), safe.settings.clone(), safe.trust.clone(), now)
}

fn ports(safe: &Safe, vault: Box<dyn Vault>, seed: u64) -> Ports {
    Ports { entropy: Box::new(Seeded::new(seed)), vault, issuer: Box::new(safe.issuer.clone()) }
}

fn seeded_store(safe: &Safe) -> Store {
    let store = Store::with(Connection::open_in_memory().unwrap()).unwrap();
    core::seed(&store, Document::Charter, safe.charter.serial, &safe.charter(|_| {}), START).unwrap();
    core::seed(&store, Document::Catalogue, 1, &safe.catalogue, START).unwrap();
    store
}

/// A database in memory that several connections can share; it is gone with the last of them.
pub struct Memory {
    name: String,
    db: Connection,
}

impl Memory {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("file:/orderly-{}?vfs=memdb", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { db: Connection::open(&name).unwrap(), name }
    }

    /// One more connection to it.
    pub fn share(&self) -> Connection {
        let db = Connection::open(&self.name).unwrap();
        db.busy_timeout(Duration::ZERO).unwrap(); // nobody else is there to wait for
        db
    }
}
