//! What people are shown: files that change while the server runs, and a certificate by ACME from an authority that is not
//! ours (Pebble, Let's Encrypt's own for tests).

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use control_plane::{ca::CertificateAuthority, clock};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{net::TcpStream, runtime::Runtime};
use tokio_rustls::TlsConnector;

use crate::{home::Home, web::Web};

/// An authority that is asked again and again has given us one by then, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(120);
const NAME: &str = "control.msp.example";
const PEBBLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/running/root/usr/bin");

/// A certificate for `name` by itself, and its key; PEM.
fn made(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The certificate that a server shows to whoever calls it by `name` and trusts `roots` (PEM); `None`: none that they trust.
async fn shown(people: SocketAddr, name: &str, roots: &str) -> Option<Vec<u8>> {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
        store.add(root.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    let tcp = TcpStream::connect(people).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.ok()?;
    Some(stream.get_ref().1.peer_certificates()?.first()?.to_vec())
}

fn append(home: &Home, text: &str) {
    let path = home.directory().config();
    let before = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{before}{text}")).unwrap();
}

#[test]
fn files_are_taken_anew_when_they_change_and_never_when_they_do_not_fit() {
    let home = Home::new();
    let (chain, key) = (home.path().join("people.pem"), home.path().join("people.key"));
    let settings = format!(
        "\n[certificate]\nkind = \"files\"\nchain = \"{}\"\nkey_file = \"{}\"\n",
        chain.display(),
        key.display()
    );
    append(&home, &settings);
    let ((first, first_key), (second, second_key), (_, other_key)) = (made(NAME), made(NAME), made(NAME));
    fs::write(&chain, &first).unwrap();
    secret(&key, &other_key);
    let wrong = home.run(&["serve", "--check-config"]);
    assert!(wrong.code == 2 && wrong.err.contains("certificate.chain"), "{}", wrong.err);
    secret(&key, &first_key);
    let server = home.start();
    let own = fs::read_to_string(home.directory().ca_certificate()).unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let people = server.people;
        assert!(shown(people, NAME, &first).await.is_some());
        assert!(shown(people, "127.0.0.1", &own).await.is_some(), "the command line pins our own");
        assert!(shown(people, "localhost", &own).await.is_some(), "nor is it shown under another name");
        // Half of the change: a chain without its key is not taken.
        fs::write(&chain, &second).unwrap();
        assert!(shown(people, NAME, &first).await.is_some());
        secret(&key, &second_key);
        while shown(people, NAME, &second).await.is_none() {
            tokio::task::yield_now().await;
        }
        assert!(shown(people, NAME, &first).await.is_none());
    });
    server.end();
}

/// A program that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ports that nobody has now.
fn free<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|one| one.local_addr().unwrap().port())
}

/// An authority by ACME that looks for what is to be proven at `people`, its management, and what it runs beside.
fn pebble(home: &Home, people: u16, [directory, management, dns, control]: [u16; 4]) -> [Running; 2] {
    let authority = CertificateAuthority::create("pebble", clock::now(), [7; 16]).unwrap();
    let web = authority.issue_server(&["127.0.0.1".into()], clock::now(), [8; 16]).unwrap();
    let pem = |label: &str, der: &[u8]| {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
    };
    let path = |name: &str| home.path().join(name);
    fs::write(path("pebble-ca.pem"), authority.certificate_pem()).unwrap();
    fs::write(path("pebble.pem"), pem("CERTIFICATE", &web.certificate)).unwrap();
    fs::write(path("pebble.key"), pem("PRIVATE KEY", web.key.secret_der())).unwrap();
    let config = serde_json::json!({ "pebble": {
        "listenAddress": format!("127.0.0.1:{directory}"),
        "managementListenAddress": format!("127.0.0.1:{management}"),
        "certificate": path("pebble.pem"),
        "privateKey": path("pebble.key"),
        "httpPort": 5002,
        "tlsPort": people,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": false,
    }});
    fs::write(path("pebble.json"), config.to_string()).unwrap();
    let run = |name: &str, arguments: &[String]| {
        let log = fs::File::create(path(&format!("{name}.log"))).unwrap();
        let mut command = Command::new(Path::new(PEBBLE).join(name));
        command.args(arguments).env("PEBBLE_VA_NOSLEEP", "1").stdin(Stdio::null());
        Running(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    };
    let names = run(
        "pebble-challtestsrv",
        &[
            "-dns01".into(),
            format!("127.0.0.1:{dns}"),
            "-http01=".into(),
            "-https01=".into(),
            "-tlsalpn01=".into(),
            "-defaultIPv6=".into(),
            "-defaultIPv4=127.0.0.1".into(),
            format!("-management=127.0.0.1:{control}"),
        ],
    );
    let authority = run(
        "pebble",
        &[
            "-config".into(),
            path("pebble.json").display().to_string(),
            "-dnsserver".into(),
            format!("127.0.0.1:{dns}"),
        ],
    );
    [names, authority]
}

#[test]
fn a_public_certificate_is_got_by_acme_kept_and_shown_again_at_the_next_start() {
    if !Path::new(PEBBLE).join("pebble").exists() {
        assert!(std::env::var_os("CI").is_none(), "there must be an ACME authority in CI: `.ci/setup test`");
        println!("skipped: no ACME authority here; `.ci/setup test` gets one");
        return;
    }
    let home = Home::new();
    let ports = free::<4>();
    let settings = format!(
        "\n[certificate]\nkind = \"acme\"\nnames = [\"{NAME}\"]\ndirectory = \"https://127.0.0.1:{}/dir\"\n\
         contact = \"operations@msp.example\"\nauthority = \"{}\"\n",
        ports[0],
        home.path().join("pebble-ca.pem").display()
    );
    append(&home, &settings);
    // The authority comes up after the server, which so has to ask again.
    let server = home.start();
    let running = pebble(&home, server.people.port(), ports);
    let runtime = Runtime::new().unwrap();
    let own = fs::read_to_string(home.directory().ca_certificate()).unwrap();
    let ca = fs::read_to_string(home.path().join("pebble-ca.pem")).unwrap();
    // A folder for this authority, and in it what it gave us.
    let kept = || {
        let folder = fs::read_dir(home.directory().acme()).ok()?.next()?.ok()?.path();
        let kept = ["account.json", "people.pem"].map(|name| folder.join(name));
        kept.iter().all(|path| path.exists()).then_some(kept)
    };
    let begin = clock::stopwatch();
    let kept = loop {
        if let Some(kept) = kept() {
            break kept;
        }
        let said = || fs::read_to_string(home.path().join("pebble.log"));
        assert!(begin.elapsed() < PATIENCE, "no certificate: {:?}", said());
        std::thread::yield_now();
    };
    let root = runtime.block_on(async {
        let management = Web::new(SocketAddr::from(([127, 0, 0, 1], ports[1])), &ca);
        let root = management.get("/roots/0", None).await.2;
        while shown(server.people, NAME, &root).await.is_none() {
            tokio::task::yield_now().await;
        }
        assert!(shown(server.people, "127.0.0.1", &own).await.is_some(), "the command line pins our own");
        root
    });
    server.end();
    drop(running);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(kept.each_ref().map(mode), [0o600; 2], "the account's key, and the certificate's");
    let server = home.start();
    runtime.block_on(async {
        while shown(server.people, NAME, &root).await.is_none() {
            tokio::task::yield_now().await;
        }
    });
    server.end();
}
