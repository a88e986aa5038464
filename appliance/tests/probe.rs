//! Looks at real servers on this machine: TCP, HTTP, TLS and DNS.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, UdpSocket},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use appliance::{
    clock,
    config::{Config, WatchEntry},
    probe::{background::Probes, look},
    world::{Clock, World},
};
use proto::{evidence::Readings, time::Millis};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord, TYPE,
    rdata::{A, RData},
};

fn entries(watch: &str) -> Vec<WatchEntry> {
    let text = format!("control_plane.address = \"https://127.0.0.1:1\"\n{watch}");
    Config::parse(&text, Path::new("appliance.toml")).unwrap().watch.into_values().collect()
}

fn service(target: &str) -> WatchEntry {
    let watch = format!("[[watch.service]]\nid = \"it\"\ntarget = \"{target}\"\ntimeout_seconds = 1");
    entries(&watch).remove(0)
}

fn read(entry: &WatchEntry) -> Readings {
    let world: World = clock::system();
    look(entry, &world, world.clock.wall()).unwrap()
}

fn reachable(target: &str) -> bool {
    let found = read(&service(target));
    assert!((0..10_000).contains(&found["took_ms"]), "{found:?}");
    found["reachable"] == 1
}

/// Its boot-time clock stands still until it was looked at twice; then much time has passed.
#[derive(Default)]
struct Late(AtomicU32);

impl Clock for Late {
    fn wall(&self) -> Millis {
        clock::system().clock.wall()
    }
    fn boot(&self) -> Duration {
        if self.0.fetch_add(1, Ordering::SeqCst) < 2 { Duration::ZERO } else { Duration::from_secs(5) }
    }
}

/// A resolver has a time limit of its own, and does not know of ours.
#[test]
fn whoever_answers_when_its_time_is_over_was_not_reachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = service(&format!("tcp://127.0.0.1:{}", listener.local_addr().unwrap().port()));
    let late = World { clock: Arc::new(Late::default()), ..clock::system() };
    let found = look(&service, &late, late.clock.wall()).unwrap();
    assert_eq!((found["reachable"], found["took_ms"]), (0, 5000));
}

/// A server that gives every connection to `serve`; gives its port.
fn server<S: Read + Write>(
    open: impl Fn(std::net::TcpStream) -> S + Send + 'static,
    serve: impl Fn(S) + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(open(stream.unwrap()));
        }
    });
    port
}

/// Answers any request with `answer`.
fn answering<S: Read + Write>(answer: &'static str) -> impl Fn(S) {
    move |mut stream| {
        let mut request = [0; 1024];
        let read = stream.read(&mut request).unwrap_or(0);
        if request[..read].starts_with(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:") {
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.flush();
        }
    }
}

fn closed() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_port_that_listens_is_reachable_and_one_that_does_not_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(reachable(&format!("tcp://127.0.0.1:{port}")));
    assert!(reachable(&format!("tcp://localhost:{port}")));
    assert!(!reachable(&format!("tcp://127.0.0.1:{}", closed())));
    assert!(!reachable("tcp://no-such-host.invalid:80"));
}

#[test]
fn a_web_server_is_reachable_unless_it_says_that_it_is_broken() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\n\r\n", true),
        ("HTTP/1.0 404 Not Found\r\n\r\n", true),
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", true),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
        ("SSH-2.0-OpenSSH_9.2\r\n", false),
        ("", false),
    ] {
        let port = server(|stream| stream, answering(answer));
        assert_eq!(reachable(&format!("http://127.0.0.1:{port}/health")), expected, "{answer:?}");
    }
}

#[test]
fn a_server_that_drips_is_given_up_in_time() {
    let (done, wait) = mpsc::channel::<()>();
    let port = server(
        |stream| stream,
        move |mut stream| {
            for byte in b"HTTP/1.1 200 OK" {
                let _ = stream.write_all(&[*byte]);
                if wait.recv_timeout(Duration::from_millis(300)).is_ok() {
                    return;
                }
            }
        },
    );
    let found = read(&service(&format!("http://127.0.0.1:{port}/health")));
    assert_eq!(found["reachable"], 0);
    assert!((900..2500).contains(&found["took_ms"]), "{found:?}");
    let _ = done.send(());
}

struct Shown {
    folder: tempfile::TempDir,
    port: u16,
}

/// A server that shows a certificate for `name` that lasts until 2027-07-01, and a file of those who vouch for it.
fn showing(name: &str) -> Shown {
    let key = KeyPair::generate().unwrap();
    showing_with(name, &key, &key)
}

/// The same for one that signs with another key than its certificate's.
fn showing_with(name: &str, key: &KeyPair, other: &KeyPair) -> Shown {
    let mut own = CertificateParams::new(vec![name.to_owned()]).unwrap();
    own.not_before = rcgen::date_time_ymd(2026, 1, 1);
    own.not_after = rcgen::date_time_ymd(2027, 7, 1);
    let certificate = own.self_signed(key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("roots.pem"), certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let signs = provider.key_provider.load_private_key(other.serialize_der().try_into().unwrap()).unwrap();
    let shown = rustls::sign::CertifiedKey::new(vec![certificate.der().clone()], signs);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
    let config = Arc::new(config);
    let open = move |tcp| StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), tcp);
    let port = server(open, answering("HTTP/1.1 200 OK\r\n\r\n"));
    Shown { folder, port }
}

/// Anybody can show a certificate that is public; what counts is who holds its key.
#[test]
fn a_certificate_whose_key_the_server_does_not_hold_is_none() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let judged = |shown: &Shown| {
        let roots = shown.folder.path().join("roots.pem");
        let watch = format!(
            "[[watch.certificate]]\nid = \"it\"\nserver = \"127.0.0.1:{}\"\nname = \"portal.test\"\nroots = {roots:?}",
            shown.port
        );
        let now: Millis = "2027-06-01T00:00:00Z".parse().unwrap();
        look(&entries(&watch)[0], &clock::system(), now).unwrap()["chain"]
    };
    assert_eq!(judged(&showing_with("portal.test", &key, &key)), 1);
    assert_eq!(judged(&showing_with("portal.test", &key, &other)), -1);
}

#[test]
fn a_certificate_is_judged_as_it_is_served() {
    let shown = showing("portal.test");
    let judged = |name: &str, port: u16, at: &str| {
        let roots = shown.folder.path().join("roots.pem");
        let watch = format!(
            "[[watch.certificate]]\nid = \"it\"\nserver = \"127.0.0.1:{port}\"\nname = \"{name}\"\nroots = {roots:?}"
        );
        let now: Millis = at.parse().unwrap();
        let found = look(&entries(&watch)[0], &clock::system(), now).unwrap();
        ["left_seconds", "chain", "name"].map(|name| found[name])
    };
    const DAY: i64 = 24 * 3600;
    assert_eq!(judged("portal.test", shown.port, "2027-06-01T00:00:00Z"), [30 * DAY, 1, 1]);
    assert_eq!(judged("portal.test", shown.port, "2027-08-01T00:00:00Z"), [-1, 1, 1]);
    assert_eq!(judged("other.test", shown.port, "2027-06-01T00:00:00Z"), [30 * DAY, 1, 0]);
    assert_eq!(judged("portal.test", closed(), "2027-06-01T00:00:00Z"), [-1, -1, -1]);
    assert!(reachable(&format!("https://127.0.0.1:{}/health", shown.port)), "whoever vouches for it");
    let plain = server(|stream| stream, answering("HTTP/1.1 200 OK\r\n\r\n"));
    assert!(!reachable(&format!("https://127.0.0.1:{plain}/health")), "that is no TLS");
}

/// Answers over UDP, and over TCP on the same port.
fn dns(answer: impl Fn(&Packet<'_>) -> Vec<Vec<u8>> + Send + 'static, long: Vec<u8>) -> u16 {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Somebody else may have the port for TCP.
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            break (udp, tcp);
        }
    };
    let port = udp.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut bytes = [0; 512];
        loop {
            let (read, from) = udp.recv_from(&mut bytes).unwrap();
            for answer in answer(&Packet::parse(&bytes[..read]).unwrap()) {
                udp.send_to(&answer, from).unwrap();
            }
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let mut question = [0; 512];
            let read = stream.read(&mut question).unwrap();
            // The ID of the question, and what was prepared behind it.
            let mut answer = long.clone();
            answer[..2].copy_from_slice(&question[2..read.min(4)]);
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length[..], &answer].concat()).unwrap();
        }
    });
    port
}

fn reply(question: &Packet<'_>, id: u16, knows: bool) -> Packet<'static> {
    let mut reply = Packet::new_reply(id);
    reply.questions.extend(question.questions.iter().cloned().map(simple_dns::Question::into_owned));
    if knows {
        let name = Name::new("portal.test").unwrap();
        reply.answers.push(ResourceRecord::new(name, CLASS::IN, 60, RData::A(A { address: 0x0a00_0001 })));
    } else {
        *reply.rcode_mut() = RCODE::NameError;
    }
    reply
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    packet.build_bytes_vec().unwrap()
}

#[test]
fn a_dns_server_is_reachable_when_it_knows_the_name() {
    let knows = |question: &Packet<'_>| {
        // Strays before the answer: another question's, and nonsense.
        let stray = reply(question, question.id() ^ 1, false);
        vec![bytes(&stray), vec![7; 9], bytes(&reply(question, question.id(), true))]
    };
    let port = dns(knows, vec![0; 12]);
    assert!(reachable(&format!("dns://127.0.0.1:{port}/portal.test")));
    let port = dns(|question| vec![bytes(&reply(question, question.id(), false))], vec![0; 12]);
    assert!(!reachable(&format!("dns://127.0.0.1:{port}/portal.test")));
    let port = dns(|_| vec![], vec![0; 12]);
    assert!(!reachable(&format!("dns://127.0.0.1:{port}/portal.test")), "silence");
}

#[test]
fn an_answer_that_does_not_fit_is_fetched_over_tcp() {
    let mut question = Packet::new_query(0);
    let name = Name::new("portal.test").unwrap();
    question.questions.push(simple_dns::Question::new(name, TYPE::A.into(), CLASS::IN.into(), false));
    let long = bytes(&reply(&question, 0, true));
    let cut = |question: &Packet<'_>| {
        let mut cut = reply(question, question.id(), true);
        cut.answers.clear();
        cut.set_flags(PacketFlag::TRUNCATION);
        vec![bytes(&cut)]
    };
    let port = dns(cut, long);
    assert!(reachable(&format!("dns://127.0.0.1:{port}/portal.test")));
}

#[test]
fn looks_beside_everything_else_hold_nobody_up() {
    // Takes connections and never says a word: each look lasts its whole three seconds.
    let mut watch = String::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for n in 0..9 {
        watch += &format!(
            "[[watch.service]]\nid = \"silent-{n}\"\ntarget = \"http://127.0.0.1:{port}/\"\ntimeout_seconds = 3\n"
        );
    }
    let world = clock::system();
    let probes = Probes::new(&entries(&watch), Duration::from_secs(3600), world.clone());
    let (mut found, mut longest) = (Vec::new(), Duration::ZERO);
    let (_never, pause) = mpsc::channel::<()>();
    while found.len() < 9 {
        let before = world.clock.boot();
        found.extend(probes.poll());
        longest = longest.max(world.clock.boot() - before);
        let _ = pause.recv_timeout(Duration::from_millis(20));
    }
    assert!(found.iter().all(|(_, readings)| readings["reachable"] == 0), "{found:?}");
    assert!(longest < Duration::from_secs(2), "one that waits for a look takes three seconds: {longest:?}");
    assert!(probes.poll().is_empty(), "each rests");
}
