//! The link insists: TLS 1.3, the pinned authority, HTTP/2, and our own certificate.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use appliance::{
    agent::{
        authorities::Authorities,
        credentials::{Folder, TlsKey, keep_certificate},
        link::{GrpcLink, Identity, Link as _, LinkError, Pins},
    },
    clock::SystemClock,
    world::Clock,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use proto::{
    charter::{Charter, OrganizationKeys, Quorum},
    keys::SecretKey,
    pb::{
        self,
        link_server::{Link, LinkServer},
    },
    time::Millis,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair,
    SanType,
};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    pki_types::PrivateKeyDer,
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn server(&self) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().der().to_vec(), key)
    }

    /// Enrols the key of `folder`.
    fn appliance(&self, folder: &Folder) {
        let key = TlsKey::load_or_make(folder).unwrap();
        let mut csr = CertificateSigningRequestParams::from_der(&key.request().unwrap().into()).unwrap();
        let id = "spiffe://msp.example/tenant/0190a0c0-0000-7000-8000-000000000001/appliance/0190a0c0-0000-7000-8000-000000000002";
        csr.params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        (csr.params.not_before, csr.params.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2090, 1, 1));
        keep_certificate(folder, &key, csr.signed_by(&self.0).unwrap().der()).unwrap();
    }
}

struct Service;

#[tonic::async_trait]
impl Link for Service {
    async fn sync(&self, request: Request<pb::SyncRequest>) -> Result<Response<pb::SyncResponse>, Status> {
        match request.into_inner().version.as_str() {
            "refuse" => Err(Status::permission_denied("the certificate has expired; only Renew is allowed")),
            version => {
                Ok(Response::new(pb::SyncResponse { quarantine: version.to_owned(), ..Default::default() }))
            }
        }
    }

    async fn renew(&self, _: Request<pb::RenewRequest>) -> Result<Response<pb::RenewResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

/// Serves one authority's clients; gives the address.
async fn serve(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    protocol: &[u8],
) -> String {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut clients = RootCertStore::empty();
    clients.add(authority.0.der().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(clients), provider.clone()).build().unwrap();
    let (certificate, key) = authority.server();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.into()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(tls) = acceptor.accept(tcp).await else { continue };
            let service = TowerToHyperService::new(LinkServer::new(Service));
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(tls), service).await;
            });
        }
    });
    address
}

struct Appliance {
    dir: tempfile::TempDir,
}

impl Appliance {
    fn new(pinned: &Authority, enrolled_by: &Authority) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), pinned.0.pem()).unwrap();
        enrolled_by.appliance(&Folder::at(dir.path()));
        Self { dir }
    }

    fn pins(&self, clock: Arc<dyn Clock>) -> Pins {
        let identity = Identity::Folder(Folder::at(self.dir.path()));
        Pins { authorities: self.authorities(), identity, clock }
    }

    fn authorities(&self) -> Authorities {
        let keys = self.dir.path().join("organization.keys.json");
        Authorities::pinned(self.ca()).until(Folder::at(self.dir.path()).charter(), keys)
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    async fn sync(&self, address: &str, version: &str) -> Result<pb::SyncResponse, LinkError> {
        let mut link = GrpcLink::new(address, self.pins(Arc::new(SystemClock)))?;
        link.sync(pb::SyncRequest { version: version.to_owned(), ..Default::default() }).await
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn the_pinned_one_is_talked_to_and_its_words_are_heard() {
    let authority = Authority::new();
    let address = serve(&authority, &[&TLS13], b"h2").await;
    let here = Appliance::new(&authority, &authority);
    assert_eq!(here.sync(&address, "0.1").await.unwrap().quarantine, "0.1");
    let refused = here.sync(&address, "refuse").await.unwrap_err();
    assert!(refused.is_refusal());
    assert!(
        chain(&refused).ends_with("Sync: the certificate has expired; only Renew is allowed"),
        "{}",
        chain(&refused)
    );
}

#[tokio::test]
async fn anything_less_is_no_connection_and_says_why() {
    let (ours, other) = (Authority::new(), Authority::new());
    let good = serve(&ours, &[&TLS13], b"h2").await;
    let old = serve(&ours, &[&TLS12], b"h2").await;
    let http1 = serve(&ours, &[&TLS13], b"http/1.1").await;
    for (case, here, address, said) in [
        ("another authority is pinned", Appliance::new(&other, &ours), &good, "invalid peer certificate"),
        ("it does not know our certificate's authority", Appliance::new(&ours, &other), &good, "Sync"),
        ("TLS 1.2", Appliance::new(&ours, &ours), &old, "no TLS connection to 127.0.0.1"),
        ("not HTTP/2", Appliance::new(&ours, &ours), &http1, "127.0.0.1"),
        (
            "nobody listens",
            Appliance::new(&ours, &ours),
            &"https://127.0.0.1:1".to_owned(),
            "cannot connect to 127.0.0.1 port 1",
        ),
    ] {
        let refused = here.sync(address, "0.1").await.unwrap_err();
        let text = chain(&refused);
        assert!(!refused.is_refusal() && text.contains(said), "{case}: {text}");
        assert_eq!(
            text.matches("trust.ca").count(),
            text.matches("no TLS connection").count().min(1),
            "{text}"
        );
    }
    let here = Appliance::new(&ours, &ours);
    std::fs::write(here.ca(), "not PEM").unwrap();
    let refused = here.sync(&good, "0.1").await.unwrap_err();
    assert!(chain(&refused).contains("trust.ca"), "{}", chain(&refused));
    std::fs::remove_file(Folder::at(here.dir.path()).certificate()).unwrap();
    assert!(matches!(here.sync("nowhere", "0.1").await, Err(LinkError::Address { .. })));
}

/// A charter that names these authorities, signed by the organization's keys of these seeds.
fn charter(serial: u64, authorities: &[&Authority], signers: &[u8]) -> Vec<u8> {
    let key = |seed: u8| SecretKey::ed25519([seed; 32]);
    let charter = Charter {
        organization: "msp.example".into(),
        serial,
        issued: Millis(0),
        not_after: Millis(0).plus(Duration::from_secs(86_400)),
        order_keys: [key(21).public()].into(),
        log_keys: [key(31).public()].into(),
        release_keys: Quorum { threshold: 2, keys: [11, 12].map(|seed| key(seed).public()).into() },
        certificate_authorities: authorities.iter().map(|authority| authority.0.pem()).collect(),
        witnesses: Vec::new(),
        witness_quorum: None,
        approvers: Vec::new(),
    };
    charter.seal(&signers.iter().map(|seed| key(*seed)).collect::<Vec<_>>().iter().collect::<Vec<_>>())
}

/// An authority follows another by the organization's word alone; then whoever has the old one's key is nobody here.
#[tokio::test]
async fn the_newest_charter_says_which_authorities_count() {
    let (old, new) = (Authority::new(), Authority::new());
    let (at_old, at_new) = (serve(&old, &[&TLS13], b"h2").await, serve(&new, &[&TLS13], b"h2").await);
    let here = Appliance::new(&old, &old);
    let keys = OrganizationKeys {
        organization: "msp.example".into(),
        threshold: 2,
        keys: [1, 2, 3].map(|seed| SecretKey::ed25519([seed; 32]).public()).into(),
    };
    let file = here.dir.path().join("organization.keys.json");
    let serial = |taken: Option<Charter>| taken.map(|charter| charter.serial);
    let knows = async |at: &str| match here.sync(at, "0.1").await {
        Ok(_) => true,
        Err(refused) if chain(&refused).contains("UnknownIssuer") => false,
        // It is talked to; that it does not know our certificate is another matter.
        Err(refused) => !chain(&refused).contains("no TLS connection"),
    };
    let both = charter(2, &[&old, &new], &[1, 3]);
    assert_eq!(here.authorities().go_by(&both).unwrap(), None, "nobody is pinned whom it could be by");
    std::fs::write(&file, serde_json::to_vec(&keys).unwrap()).unwrap();
    for (case, forged) in [
        ("by one key", charter(2, &[&new], &[1])),
        ("by strangers", charter(2, &[&new], &[7, 8])),
        ("no charter", b"{}".to_vec()),
    ] {
        assert_eq!(here.authorities().go_by(&forged).unwrap(), None, "{case}");
    }
    assert!(knows(&at_old).await && !knows(&at_new).await, "nothing has changed");

    assert_eq!(serial(here.authorities().go_by(&both).unwrap()), Some(2));
    assert!(knows(&at_old).await && knows(&at_new).await);
    here.authorities().go_by(&charter(3, &[&new], &[2, 3])).unwrap();
    assert!(!knows(&at_old).await && knows(&at_new).await);
    assert_eq!(serial(here.authorities().go_by(&both).unwrap()), Some(2), "genuine, but older");
    assert!(!knows(&at_old).await, "and changes nothing");
    // What cannot be read counts no more than if it had never come.
    std::fs::write(Folder::at(here.dir.path()).charter(), b"half a char").unwrap();
    assert!(knows(&at_old).await && !knows(&at_new).await);
}

struct DeadBattery;

impl Clock for DeadBattery {
    fn wall(&self) -> Millis {
        Millis(1000)
    }
    fn boot(&self) -> Duration {
        Duration::from_secs(1)
    }
}

#[tokio::test]
async fn a_box_with_a_dead_clock_still_gets_through() {
    let authority = Authority::new();
    let address = serve(&authority, &[&TLS13], b"h2").await;
    let here = Appliance::new(&authority, &authority);
    let mut link = GrpcLink::new(&address, here.pins(Arc::new(DeadBattery))).unwrap();
    link.sync(pb::SyncRequest::default()).await.unwrap();
    let nobody = Pins { identity: Identity::None, ..here.pins(Arc::new(DeadBattery)) };
    let mut link = GrpcLink::new(&address, nobody).unwrap();
    assert!(link.sync(pb::SyncRequest::default()).await.is_err(), "without a certificate there is no floor");
}
