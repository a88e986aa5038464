//! Enrolment may be cut anywhere and run again: it completes, or says precisely what is wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use appliance::{
    agent::{
        credentials::{self, Folder},
        enroll::{EnrollError, Enrolled, Ticket, enroll},
        link::LinkError,
    },
    config::Config,
    ipc::IpcError,
    world::Executor,
};
use proto::{
    charter::{Charter, OrganizationKeys, Quorum},
    digest::Digest,
    identity::{CertificateFacts, KeyProof, KeyProtection, csr_spki},
    ids::Incarnation,
    keys::SecretKey,
    local::{self, request::Call, response::Answer},
    pb,
    time::Millis,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair,
    SanType,
};

const ID: &str = "spiffe://msp.example/tenant/0190a0c0-0000-7000-8000-000000000001/appliance/0190a0c0-0000-7000-8000-000000000002";

/// A user that is nobody's.
const AGENT: u32 = 65_534;

/// An executor that vouches and adopts, and can be out of reach for either.
struct Fake {
    key: SecretKey,
    vouched: Option<Digest>,
    identity: Option<local::Identity>,
    fails: Option<&'static str>,
}

impl Executor for Fake {
    fn call(&mut self, request: local::Request) -> Result<local::Response, IpcError> {
        let call = request.call.unwrap();
        let name = match &call {
            Call::ProveKeys(_) => "prove",
            Call::Adopt(_) => "adopt",
            _ => "",
        };
        if self.fails == Some(name) {
            return Err(IpcError::HungUp);
        }
        let answer = match call {
            Call::Describe(_) => Answer::Description(local::Description {
                identity: self.identity.clone(),
                ..Default::default()
            }),
            Call::ProveKeys(ask) => {
                let proof = KeyProof {
                    incarnation: Incarnation([1; 16]),
                    evidence_key: self.key.public(),
                    protection: KeyProtection::File,
                    tls_spki: Digest::from_field("tls_spki", &ask.tls_spki).unwrap(),
                    challenge: Digest::from_field("challenge", &ask.challenge).unwrap(),
                };
                self.vouched = Some(proof.tls_spki);
                Answer::KeyProof(local::KeyProof { envelope: proof.seal(&self.key) })
            }
            Call::Adopt(adopt) => {
                let facts = CertificateFacts::read(&adopt.certificate).unwrap();
                assert_eq!(Some(facts.spki), self.vouched);
                let (tenant, appliance) =
                    (facts.spiffe.tenant.to_string(), facts.spiffe.appliance.to_string());
                let identity = local::Identity { organization: facts.spiffe.trust_domain, tenant, appliance };
                self.identity = Some(identity.clone());
                Answer::Adopted(local::Adopted { identity: Some(identity) })
            }
            other => panic!("{other:?}"),
        };
        Ok(local::Response { answer: Some(answer) })
    }
}

/// A control plane that takes its token once, and again from the same keys.
struct Server {
    organization: [SecretKey; 3],
    authority: CertifiedIssuer<'static, KeyPair>,
    used_by: Option<Digest>,
    asked: usize,
}

impl Server {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            organization: [1, 2, 3].map(|n| SecretKey::ed25519([n; 32])),
            authority: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
            used_by: None,
            asked: 0,
        }
    }

    fn keys(&self) -> OrganizationKeys {
        let keys = self.organization.iter().map(SecretKey::public).collect();
        OrganizationKeys { organization: "msp.example".to_owned(), threshold: 2, keys }
    }

    fn charter(&self, signers: usize) -> Vec<u8> {
        let keys: BTreeSet<_> = self.organization.iter().map(SecretKey::public).collect();
        let charter = Charter {
            organization: "msp.example".to_owned(),
            serial: 1,
            issued: Millis(0),
            not_after: Millis(0).plus(Duration::from_secs(3600)),
            order_keys: keys.clone(),
            log_keys: keys.clone(),
            release_keys: Quorum { threshold: 2, keys },
            certificate_authorities: vec![self.authority.pem()],
            witnesses: vec![],
            witness_quorum: None,
            approvers: vec![],
        };
        charter.seal(&self.organization.iter().take(signers).collect::<Vec<_>>())
    }

    fn enroll(&mut self, request: &pb::EnrollRequest, ticket: &Ticket) -> pb::EnrollResponse {
        self.asked += 1;
        assert_eq!(request.token, ticket.token);
        let spki = csr_spki(&request.csr).unwrap();
        let proof = KeyProof::open_self_signed(&request.key_proof).unwrap().into_value();
        assert_eq!((proof.tls_spki, proof.challenge), (spki, Digest::of(ticket.token.as_bytes())));
        assert!(self.used_by.is_none_or(|known| known == spki), "the token was used with another key");
        self.used_by = Some(spki);
        let mut csr = CertificateSigningRequestParams::from_der(&request.csr.clone().into()).unwrap();
        csr.params.subject_alt_names = vec![SanType::URI(ID.try_into().unwrap())];
        let certificate = csr.signed_by(&self.authority).unwrap().der().to_vec();
        pb::EnrollResponse { certificate, charter: self.charter(2), catalogue: vec![1], policy: vec![2] }
    }
}

struct Appliance {
    dir: tempfile::TempDir,
    config: Config,
    ticket: Ticket,
    executor: Fake,
    server: Server,
}

impl Appliance {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let text = format!(
            "control_plane.address = \"https://127.0.0.1:1\"\n[trust]\norganization_keys = {:?}\nca = {:?}\n[paths]\nstate = {:?}\nsocket = {:?}\nhold = {:?}\n",
            at("etc/keys.json"),
            at("etc/ca.pem"),
            at("state"),
            at("executor.sock"),
            at("hold")
        );
        let config = Config::parse(&text, Path::new("appliance.toml")).unwrap();
        let server = Server::new();
        let executor = Fake { key: SecretKey::ed25519([9; 32]), vouched: None, identity: None, fails: None };
        let ticket = Ticket {
            token: "one-time".to_owned(),
            expires: Millis(0),
            address: "https://127.0.0.1:1".to_owned(),
            ca_pem: server.authority.pem(),
            organization_keys: server.keys(),
        };
        Self { dir, config, ticket, executor, server }
    }

    fn folder(&self) -> Folder {
        Folder::at(self.config.paths.agent())
    }

    fn run(&mut self) -> Result<Enrolled, EnrollError> {
        let (server, ticket) = (&mut self.server, &self.ticket);
        enroll(&self.config, ticket, &mut self.executor, |request| Ok(server.enroll(&request, ticket)))
    }

    fn is_enrolled(&mut self) {
        assert!(self.run().unwrap().already);
        assert_eq!(credentials::certificate(&self.folder()).unwrap().1.spiffe.to_string(), ID);
        let left: BTreeSet<PathBuf> =
            fs::read_dir(self.folder().path()).unwrap().map(|e| e.unwrap().path()).collect();
        let folder = self.folder();
        assert_eq!(left, BTreeSet::from([folder.certificate(), folder.key(), folder.lock()]));
        for private in left {
            assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600, "{private:?}");
        }
    }
}

fn lost() -> LinkError {
    LinkError::Silent { address: "test".to_owned(), call: "Enroll", seconds: 0 }
}

#[test]
fn a_ticket_becomes_an_identity_once() {
    let mut appliance = Appliance::new();
    let enrolled = appliance.run().unwrap();
    assert!(!enrolled.already && enrolled.certificate.spiffe.to_string() == ID);
    appliance.is_enrolled();
    assert_eq!(appliance.server.asked, 1);
    let keys = fs::read(&appliance.config.trust.organization_keys).unwrap();
    assert_eq!(OrganizationKeys::parse(&keys).unwrap(), appliance.ticket.organization_keys);
    assert_eq!(fs::read_to_string(&appliance.config.trust.ca).unwrap(), appliance.ticket.ca_pem);
    let mode = fs::metadata(&appliance.config.trust.ca).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644, "both processes read it");
}

#[test]
fn cut_off_anywhere_it_is_finished_by_the_next_run() {
    // The executor was not there.
    let mut appliance = Appliance::new();
    appliance.executor.fails = Some("prove");
    assert!(matches!(appliance.run(), Err(EnrollError::Executor(_))));
    appliance.executor.fails = None;
    appliance.run().unwrap();
    appliance.is_enrolled();

    // The answer was lost: the same token and key are asked for again.
    let mut appliance = Appliance::new();
    let (server, ticket) = (&mut appliance.server, &appliance.ticket);
    let first = enroll(&appliance.config, ticket, &mut appliance.executor, |request| {
        server.enroll(&request, ticket);
        Err(lost())
    });
    assert!(matches!(first, Err(EnrollError::Link(_))));
    appliance.run().unwrap();
    appliance.is_enrolled();

    // The answer was kept, the executor did not take it: nobody is asked again.
    let mut appliance = Appliance::new();
    appliance.executor.fails = Some("adopt");
    assert!(matches!(appliance.run(), Err(EnrollError::Executor(_))));
    assert!(appliance.folder().pending().exists());
    appliance.executor.fails = None;
    appliance.run().unwrap();
    appliance.is_enrolled();
    assert_eq!(appliance.server.asked, 1);

    // The executor took it, the certificate was not kept.
    let mut appliance = Appliance::new();
    let obstacle = appliance.folder().certificate().with_extension("der.new");
    fs::create_dir_all(obstacle.join("in the way")).unwrap();
    assert!(appliance.run().is_err());
    assert!(appliance.executor.identity.is_some());
    fs::remove_dir_all(&obstacle).unwrap();
    appliance.run().unwrap();
    appliance.is_enrolled();
    assert_eq!(appliance.server.asked, 1);

    // The certificate was kept, the rest not tidied.
    let mut appliance = Appliance::new();
    appliance.run().unwrap();
    fs::write(appliance.folder().pending(), b"left").unwrap();
    appliance.is_enrolled();
}

#[test]
fn what_is_pinned_is_not_replaced_and_both_are_named() {
    let mut appliance = Appliance::new();
    appliance.run().unwrap();
    let mut other = appliance.ticket.clone();
    other.organization_keys.organization = "other.example".to_owned();
    let refuse = |ticket: &Ticket, executor: &mut Fake, config: &Config| {
        let error = enroll(config, ticket, executor, |_| panic!("asked")).unwrap_err();
        assert!(matches!(error, EnrollError::Pin(_)));
        std::error::Error::source(&error).unwrap().to_string()
    };
    let said = refuse(&other, &mut appliance.executor, &appliance.config);
    for part in ["trust.organization_keys", "keys.json", "of msp.example", "of other.example"] {
        assert!(said.contains(part), "{said}");
    }
    let other = Ticket { ca_pem: Server::new().authority.pem(), ..appliance.ticket.clone() };
    let said = refuse(&other, &mut appliance.executor, &appliance.config);
    assert!(said.contains("trust.ca") && said.matches("SHA-256").count() == 2, "{said}");
    fs::write(&appliance.config.trust.organization_keys, b"{").unwrap();
    let said = refuse(&appliance.ticket.clone(), &mut appliance.executor, &appliance.config);
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn what_is_not_signed_by_the_pinned_keys_is_not_adopted() {
    let mut appliance = Appliance::new();
    let (server, ticket) = (&mut appliance.server, &appliance.ticket);
    let one_signature = enroll(&appliance.config, ticket, &mut appliance.executor, |request| {
        Ok(pb::EnrollResponse { charter: server.charter(1), ..server.enroll(&request, ticket) })
    });
    assert!(matches!(one_signature, Err(EnrollError::Charter(_))));
    let stranger = Server::new().enroll_other(&mut appliance);
    assert!(matches!(stranger, Err(EnrollError::Certificate(_))), "{stranger:?}");
    assert!(appliance.executor.identity.is_none() && !appliance.folder().pending().exists());
    appliance.run().unwrap();
}

impl Server {
    /// A certificate by an authority that the charter does not name.
    fn enroll_other(mut self, appliance: &mut Appliance) -> Result<Enrolled, EnrollError> {
        let charter = appliance.server.charter(2);
        let ticket = &appliance.ticket;
        enroll(&appliance.config, ticket, &mut appliance.executor, |request| {
            Ok(pb::EnrollResponse { charter, ..self.enroll(&request, ticket) })
        })
    }
}

#[test]
fn halves_that_do_not_fit_are_told_apart() {
    let mut appliance = Appliance::new();
    appliance.run().unwrap();
    let identity = appliance.executor.identity.take();
    let said = appliance.run().unwrap_err().to_string();
    assert!(said.contains("new incarnation") && said.contains("certificate.der"), "{said}");
    appliance.executor.identity =
        identity.map(|identity| local::Identity { tenant: "other".to_owned(), ..identity });
    let said = appliance.run().unwrap_err().to_string();
    assert!(said.contains(ID) && said.contains("tenant/other"), "{said}");
    fs::remove_file(appliance.folder().certificate()).unwrap();
    fs::write(appliance.folder().pending(), b"\xff").unwrap();
    assert!(matches!(appliance.run(), Err(EnrollError::Pending { .. })));
    let alone = appliance::files::lock(&appliance.folder().lock()).unwrap();
    assert!(matches!(appliance.run(), Err(EnrollError::File(_))), "another process is at it");
    drop(alone);
}

#[test]
fn a_ticket_that_cannot_be_right_is_refused_by_name() {
    let appliance = Appliance::new();
    let path = appliance.dir.path().join("ticket.json");
    let good = serde_json::json!({
        "token": "one-time",
        "expires": "2026-11-01T00:00:00Z",
        "address": "https://127.0.0.1:1",
        "ca_pem": appliance.ticket.ca_pem,
        "organization_keys": serde_json::to_value(&appliance.ticket.organization_keys).unwrap(),
    });
    fs::write(&path, good.to_string()).unwrap();
    let read = Ticket::read(&path).unwrap();
    assert_eq!(read.organization_keys, appliance.ticket.organization_keys);
    assert!(!format!("{read:?}").contains("one-time"), "the token is a secret");
    for (field, value, named) in [
        ("token", serde_json::json!(""), "token"),
        ("ca_pem", serde_json::json!("none"), "ca_pem"),
        ("expires", serde_json::json!("soon"), "RFC 3339"),
        ("more", serde_json::json!(1), "more"),
        (
            "organization_keys",
            serde_json::json!({"organization": "a", "threshold": 1, "keys": []}),
            "organization_keys",
        ),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        fs::write(&path, bad.to_string()).unwrap();
        let error = Ticket::read(&path).unwrap_err();
        let said = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(said.contains("ticket.json") && said.contains(named), "{said}");
    }
}

/// Root enrols in a folder that the agent owned before, and whose agent is a stranger's: it plants names there.
#[test]
fn root_does_nothing_in_the_agents_folder_that_the_agent_could_not() {
    if !nix::unistd::Uid::effective().is_root() {
        println!("skipped: only root could be misled");
        return;
    }
    let appliance = Appliance::new();
    let dir = appliance.dir.path();
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    open(dir);
    let config = dir.join("appliance.toml");
    let at = |name: &str| dir.join(name).display().to_string();
    let text = format!(
        "control_plane.address = \"https://127.0.0.1:1\"\nagent.user = {AGENT}\n[trust]\norganization_keys = {:?}\n\
         ca = {:?}\n[paths]\nstate = {:?}\nsocket = {:?}\nhold = {:?}\n",
        at("etc/keys.json"),
        at("etc/ca.pem"),
        at("state"),
        at("executor.sock"),
        at("hold")
    );
    fs::write(&config, text).unwrap();
    let ticket = dir.join("ticket.json");
    let json = serde_json::json!({
        "token": "one-time",
        "expires": "2026-11-01T00:00:00Z",
        "address": "https://127.0.0.1:1",
        "ca_pem": appliance.ticket.ca_pem,
        "organization_keys": serde_json::to_value(&appliance.ticket.organization_keys).unwrap(),
    });
    fs::write(&ticket, json.to_string()).unwrap();
    let run = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_appliance"));
        command.arg("--config").arg(&config).args(["enroll", "--token-file"]).arg(&ticket);
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    let owner = |path: &Path| std::os::unix::fs::MetadataExt::uid(&fs::symlink_metadata(path).unwrap());

    // There is no executor, so it goes no further than to its own key: in a folder, and as a user, of the agent's.
    let output = run();
    assert!(output.contains("executor"), "{output}");
    let folder = appliance.folder();
    assert_eq!((owner(folder.path()), owner(&folder.key()), owner(&folder.lock())), (AGENT, AGENT, AGENT));

    let secret = dir.join("secret");
    fs::write(&secret, "root's").unwrap();
    let planted = dir.join("state/planted");
    fs::remove_file(folder.lock()).unwrap();
    std::os::unix::fs::symlink(&planted, folder.lock()).unwrap();
    std::os::unix::fs::symlink(&secret, folder.path().join("name")).unwrap();
    let output = run();
    assert!(output.contains("lock"), "{output}");
    assert!(!planted.exists() && owner(&secret) == 0);
}
