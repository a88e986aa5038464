//! The program, started as people start it, and a box that enrols with it.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
};

use control_plane::clock;
use proto::{
    digest::Digest,
    evidence::{self, Body, Clock, ClockSource, Enrolment, Head, Heartbeat, Identity, Record},
    identity::{CertificateFacts, KeyProof, KeyProtection},
    ids::{EventId, Incarnation, StreamId},
    keys::SecretKey,
    pb::{self, enrollment_client::EnrollmentClient, link_client::LinkClient},
    sync::{self, Batch, Event, Phase},
};
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, client::WantsClientCert, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::Value;
use tonic::transport::Channel;

use crate::{home::Home, wire::channel};

/// A running `control-plane serve`. Killed when dropped.
pub struct Running {
    child: Child,
    pub appliances: SocketAddr,
}

impl Running {
    /// Starts it, and waits until it says where it listens.
    pub fn start(home: &Home) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_control-plane"))
            .args(["--json", "--dir", "orderly", "serve"])
            .current_dir(home.path())
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let line: Value = serde_json::from_str(&line).ok()?;
            let said = &line["fields"];
            (said["message"] == "serving").then(|| said["appliances"].as_str().unwrap().parse().unwrap())
        });
        // Whoever writes to a pipe that nobody reads would wait for ever.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, appliances: address.expect("it says where it listens") }
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client's settings up to the question of its own certificate: it trusts this installation's authority.
pub fn trusting(home: &Home) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(home.directory().ca_certificate()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
}

/// A box of its own keys.
pub struct Device {
    address: SocketAddr,
    tls: KeyPair,
    evidence_key: SecretKey,
    incarnation: Incarnation,
    certificate: Vec<u8>,
    head: Head,
    sent: (u64, Digest),
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    clock::random(&mut bytes);
    bytes
}

impl Device {
    /// Makes a clinic and a site, and enrols a box there.
    pub async fn enrol(home: &Home, address: SocketAddr) -> Self {
        home.json(&["tenant", "create", "Elm Street Clinic"]);
        home.json(&["site", "create", "--tenant", "Elm Street Clinic", "Main"]);
        let ticket = home.json(&["appliance", "token", "--tenant", "Elm Street Clinic", "--site", "Main"]);
        let token = ticket["token"].as_str().unwrap();
        let mut device = Self {
            address,
            tls: KeyPair::generate().unwrap(),
            evidence_key: SecretKey::ed25519(random()),
            incarnation: Incarnation(random()),
            certificate: Vec::new(),
            head: Head::default(),
            sent: (0, Digest::ZERO),
        };
        let proof = KeyProof {
            incarnation: device.incarnation,
            evidence_key: device.evidence_key.public(),
            protection: KeyProtection::File,
            tls_spki: device.spki(),
            challenge: Digest::of(token.as_bytes()),
        };
        let request = pb::EnrollRequest {
            token: token.into(),
            csr: CertificateParams::default().serialize_request(&device.tls).unwrap().der().to_vec(),
            key_proof: proof.seal(&device.evidence_key),
            hardware: "nuc-small".into(),
        };
        let channel = channel(address, trusting(home).with_no_client_auth()).await;
        device.certificate =
            EnrollmentClient::new(channel).enroll(request).await.unwrap().into_inner().certificate;
        device
    }

    fn spki(&self) -> Digest {
        Digest::of(&self.tls.subject_public_key_info())
    }

    /// Its link, over mutual TLS.
    pub async fn link(&self, home: &Home) -> LinkClient<Channel> {
        let key = PrivateKeyDer::try_from(self.tls.serialize_der()).unwrap();
        let certificate = CertificateDer::from(self.certificate.clone());
        let config = trusting(home).with_client_auth_cert(vec![certificate], key).unwrap();
        LinkClient::new(channel(self.address, config).await)
    }

    /// An exchange with these records in it, that may be held back for so long.
    pub fn exchange(&mut self, records: Vec<sync::Record>, hold_ms: u32) -> pb::SyncRequest {
        let batch = (!records.is_empty()).then(|| {
            let (number, previous) = self.sent;
            let stream = StreamId(self.incarnation.0);
            let batch = Batch { stream, number: number + 1, previous, records: sync::pack(records) };
            self.sent = (batch.number, Digest::of(&batch.records));
            batch.into()
        });
        pb::SyncRequest {
            batch,
            incarnation: self.incarnation.to_vec(),
            nonce: random::<16>().to_vec(),
            charter_serial: 1,
            catalogue_version: 1,
            policy_serial: 1,
            hold_ms,
            version: "0.1.0".into(),
            ..pb::SyncRequest::default()
        }
    }

    fn seal(&mut self, body: Body) -> sync::Record {
        let spiffe = CertificateFacts::read(&self.certificate).unwrap().spiffe;
        let now = clock::now();
        let record = Record {
            chain: self.head.link(self.incarnation),
            identity: Identity {
                organization: spiffe.trust_domain,
                tenant: spiffe.tenant,
                appliance: spiffe.appliance,
            },
            clock: Clock {
                at: now,
                source: ClockSource::Token,
                wall_offset_ms: 0,
                floor: now,
                synchronised: None,
            },
            checkpoint: None,
            key_protection: KeyProtection::File,
            body,
        };
        let envelope = evidence::seal(&record, &self.evidence_key).unwrap();
        self.head = self.head.after(Digest::of(&envelope));
        sync::Record::Evidence(envelope)
    }

    /// The same box; the server has another port.
    pub fn at(&mut self, address: SocketAddr) -> &Self {
        self.address = address;
        self
    }

    /// Its first two records.
    pub fn beginning(&mut self) -> Vec<sync::Record> {
        let enrolment = Enrolment {
            certificate: Digest::of(&self.certificate),
            tls_spki: self.spki(),
            charter_serial: 1,
            predecessor: None,
        };
        vec![self.seal(Body::Enrolment(enrolment)), self.beat()]
    }

    /// A heartbeat.
    pub fn beat(&mut self) -> sync::Record {
        let beat = Heartbeat {
            footprint: None,
            sealing_key: None,
            beats: None,
            charter_serial: 1,
            catalogue_version: 1,
            policy_serial: 1,
            order_high: 0,
            every_ms: 3_600_000,
            watch: [("uploads".parse().unwrap(), "directory".to_owned())].into(),
            hold: None,
            refusals_not_signed: 0,
            version: "0.1.0".into(),
            up_ms: 1,
        };
        self.seal(Body::Heartbeat(beat))
    }
}

/// Something seen that no runbook mends.
pub fn event() -> sync::Record {
    sync::Record::Event(Event {
        id: EventId::new(clock::now(), random()),
        kind: "disk.smells-odd".into(),
        watch: "uploads".parse().unwrap(),
        phase: Phase::Raised,
        at: clock::now(),
        readings: Vec::new(),
        note: String::new(),
    })
}
