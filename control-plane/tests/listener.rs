//! What a peer may cost, and how a listener ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "common/certificates.rs"]
mod certificates;
#[path = "common/keyring.rs"]
mod keyring;
#[path = "common/loopback.rs"]
mod loopback;

use std::{
    convert::Infallible,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use certificates::{appliance_id, authority, now, openssl, request};
use control_plane::{
    authorities::Authorities,
    serve::{
        http::{Front, Health, HealthCheck, remembered},
        listener::{Address, AdminError, Limits, Peer, bind_admin, serve_admin, serve_tls},
        tls,
    },
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use keyring::{Clock, identity};
use loopback::{Client, Loopback, appliances, causes};
use proto::time::Millis;
use rcgen::KeyPair;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream, UnixStream},
    sync::{Notify, watch},
    time::timeout,
};
use tonic::{body::Body, service::Routes};
use tower::service_fn;

/// Long enough for a loaded machine; nothing here waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(50);
/// Long enough for a handshake on a loaded machine.
const BRIEF: Duration = Duration::from_secs(5);

async fn with(limits: Limits) -> (Loopback, Client) {
    let (authority, clock) = (Arc::new(authority()), Clock::at(now()));
    let loopback = appliances(&authority, &clock, limits).await;
    let client = Client::new(&loopback, &authority, &clock, None);
    (loopback, client)
}

/// Waits until the other side closes.
async fn closed(mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut rest = Vec::new();
    // A reset is as good as an end.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("must be closed");
}

#[tokio::test]
async fn who_says_nothing_is_sent_away() {
    let (loopback, _) = with(Limits { handshake: SHORT, ..Limits::default() }).await;
    closed(TcpStream::connect(loopback.address).await.unwrap()).await;
}

#[tokio::test]
async fn a_certificate_alone_does_not_let_one_stay() {
    let (authority, clock) = (Arc::new(authority()), Clock::at(now()));
    let loopback =
        appliances(&authority, &clock, Limits { handshake: BRIEF, drain: SHORT, ..Limits::default() }).await;
    let key = KeyPair::generate().unwrap();
    let certificate = authority.issue_appliance(&request(&key), &appliance_id(), now(), [9; 16]).unwrap();
    let shown = Some((certificate, key.serialize_der()));
    for shown in [None, shown] {
        let client = Client::new(&loopback, &authority, &clock, shown);
        closed(client.handshake().await.unwrap()).await;
    }
    loopback.end().await;
}

/// Answers every request; one for `/known` is admitted.
async fn admitting(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/known" {
        request.extensions().get::<Peer>().unwrap().admission.give();
    }
    Ok(Response::new(Body::empty()))
}

/// On the people's listener as on the other: whoever only asks for the page is not known by that.
#[tokio::test]
async fn whoever_had_a_request_admitted_may_stay_and_nobody_else() {
    let (authority, clock) = (Arc::new(authority()), Clock::at(now()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = tls::people(identity(&Authorities::one(authority.clone()), &clock), clock.shared()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let limits = Limits { handshake: BRIEF, drain: SHORT, ..Limits::default() };
    let served = tokio::spawn(serve_tls(listener, config, service_fn(admitting), limits, stopped));
    let loopback = Loopback { address, stop, served };
    let client = Client::new(&loopback, &authority, &clock, None);
    for (path, stays) in [("/", false), ("/known", true)] {
        let stream = TokioIo::new(client.handshake().await.unwrap());
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        let mut connection = tokio::spawn(connection);
        let request =
            Request::get(format!("https://127.0.0.1{path}")).body(Full::<Bytes>::default()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
        let ended = timeout(if stays { BRIEF * 3 } else { PATIENCE }, &mut connection).await;
        assert_eq!(ended.is_err(), stays, "{path}");
    }
    loopback.end().await;
}

#[tokio::test]
async fn somebody_known_who_asks_nothing_any_more_is_sent_away() {
    let (authority, clock) = (Arc::new(authority()), Clock::at(now()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = tls::people(identity(&Authorities::one(authority.clone()), &clock), clock.shared()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let limits = Limits { idle: Some(BRIEF), drain: SHORT, ..Limits::default() };
    let go_on = Arc::new(Notify::new());
    let wait = go_on.clone();
    let service = service_fn(move |request: Request<Body>| {
        let wait = wait.clone();
        async move {
            request.extensions().get::<Peer>().unwrap().admission.give();
            if request.uri().path() == "/held" {
                wait.notified().await;
            }
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let served = tokio::spawn(serve_tls(listener, config, service, limits, stopped));
    let loopback = Loopback { address, stop, served };
    let client = Client::new(&loopback, &authority, &clock, None);
    let stream = TokioIo::new(client.handshake().await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let mut connection = tokio::spawn(connection);
    let request = Request::get("https://127.0.0.1/held").body(Full::<Bytes>::default()).unwrap();
    let mut answer = Box::pin(sender.send_request(request));
    // What is under way is not idle, however long it takes.
    assert!(timeout(BRIEF * 2, &mut answer).await.is_err());
    assert!(!connection.is_finished());
    go_on.notify_one();
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
    let _ = timeout(PATIENCE, &mut connection).await.expect("must be sent away");
    loopback.end().await;
}

#[tokio::test]
async fn one_address_has_room_for_few_strangers() {
    let (_loopback, client) = with(Limits { strangers: 1, ..Limits::default() }).await;
    let first = client.handshake().await.unwrap();
    closed(TcpStream::connect(client.address).await.unwrap()).await;
    assert!(client.handshake().await.is_err());
    drop(first);
    // The server sees the first one's end when it gets to it.
    let again = async { while client.handshake().await.is_err() {} };
    timeout(PATIENCE, again).await.expect("there is room again");
}

#[tokio::test]
async fn more_connections_wait_for_their_turn() {
    let (_loopback, client) = with(Limits { connections: 1, ..Limits::default() }).await;
    let first = client.handshake().await.unwrap();
    let mut second = Box::pin(client.handshake());
    assert!(timeout(SHORT, &mut second).await.is_err(), "must wait");
    drop(first);
    timeout(PATIENCE, second).await.expect("its turn").unwrap();
}

#[tokio::test]
async fn headers_and_bodies_are_bounded() {
    let (_loopback, client) = with(Limits { body_bytes: 1000, ..Limits::default() }).await;
    let post = |body: usize, header: usize| {
        Request::post("https://127.0.0.1/")
            .header("x-filler", "a".repeat(header))
            .body(Full::from(Bytes::from(vec![0; body])))
            .unwrap()
    };
    assert_eq!(client.ask_with(post(1000, 10)).await.unwrap(), "200 none 1000");
    assert_eq!(client.ask_with(post(1001, 10)).await.unwrap(), "200 too much");
    let refused = client.ask_with(post(0, 20_000)).await;
    assert!(refused.as_ref().map_or(true, |answer| answer.starts_with("431")), "{refused:?}");
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_end() {
    let (authority, clock) = (Arc::new(authority()), Clock::at(now()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let trusted = Authorities::one(authority.clone());
    let own = identity(&trusted, &clock);
    let config = tls::appliances(trusted, own, clock.shared()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (began.clone(), go_on.clone());
    let service = service_fn(move |_: Request<Body>| {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            tell.notify_one();
            wait.notified().await;
            Ok::<_, Infallible>(Response::new(Body::new(Full::from("late"))))
        }
    });
    let served = tokio::spawn(serve_tls(listener, config, service, Limits::default(), stopped));
    let loopback = Loopback { address, stop, served };
    let client = Arc::new(Client::new(&loopback, &authority, &clock, None));
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.ask().await }
    });
    began.notified().await;
    loopback.stop.send(true).unwrap();
    // Only once nobody new is let in is it sure that the stop was heard.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go_on.notify_one();
    assert_eq!(asking.await.unwrap().unwrap(), "200 late");
    timeout(PATIENCE, loopback.served).await.expect("must end").unwrap();
}

#[tokio::test]
async fn who_does_not_end_is_ended() {
    let (loopback, client) = with(Limits { drain: SHORT, ..Limits::default() }).await;
    // Speaks TLS and then nothing.
    let stream = client.handshake().await.unwrap();
    timeout(PATIENCE, loopback.end()).await.expect("must end");
    closed(stream).await;
}

/// Answers with the number of the user that asks.
async fn whoami(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let text = match request.extensions().get::<Peer>().unwrap().address {
        Address::Local { uid } => uid.to_string(),
        Address::Network(_) => "network".to_owned(),
    };
    Ok(Response::new(Body::new(Full::from(text))))
}

async fn get<I>(stream: I, path: &str) -> (StatusCode, String)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "here").body(Full::<Bytes>::default()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_admin_socket_is_for_its_owner_and_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let (stop, stopped) = watch::channel(false);
    let listener = bind_admin(&path).unwrap();
    let served = tokio::spawn(serve_admin(listener, service_fn(whoami), Limits::default(), stopped));
    let file = fs::symlink_metadata(&path).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let answer = get(UnixStream::connect(&path).await.unwrap(), "/").await;
    assert_eq!(answer, (StatusCode::OK, file.uid().to_string()));

    assert!(matches!(bind_admin(&path), Err(AdminError::InUse { .. })), "a second server is refused");
    stop.send(true).unwrap();
    timeout(PATIENCE, served).await.unwrap().unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_anything_else_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (stale, file) = (folder.path().join("stale.sock"), folder.path().join("file"));
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    bind_admin(&stale).unwrap();
    fs::write(&file, "mine").unwrap();
    assert!(matches!(bind_admin(&file), Err(AdminError::NotASocket { .. })));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let long = folder.path().join("a".repeat(120));
    assert!(causes(&bind_admin(&long).unwrap_err()).contains(&"a".repeat(120)));
}

/// A check that says what it is told to say.
fn told(health: watch::Receiver<Health>) -> HealthCheck {
    Arc::new(move || {
        let health = health.borrow().clone();
        Box::pin(async { health })
    })
}

/// `/healthz` is for anybody, and may be asked for as often as anybody likes.
#[tokio::test]
async fn the_health_is_looked_up_once_for_many() {
    static LOOKED_UP: AtomicUsize = AtomicUsize::new(0);
    static NOW: AtomicI64 = AtomicI64::new(1000);
    let second = Duration::from_secs(1);
    let check = || {
        LOOKED_UP.fetch_add(1, Relaxed);
        Health::Well
    };
    let health = remembered(check, || Health::Well, second, || Millis(NOW.load(Relaxed)));
    for (time, looked_up) in [(1000, 1), (1000, 1), (1999, 1), (2000, 2), (2001, 2), (500, 3), (501, 3)] {
        NOW.store(time, Relaxed);
        let all = tokio::join!(health(), health());
        assert_eq!(all, (Health::Well, Health::Well));
        assert_eq!(LOOKED_UP.load(Relaxed), looked_up, "at {time}");
    }
}

#[tokio::test]
async fn people_get_a_page_the_health_and_nothing_else() {
    let (authority, clock) = (Arc::new(authority()), Clock::at(now()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = tls::people(identity(&Authorities::one(authority.clone()), &clock), clock.shared()).unwrap();
    let (well, health) = watch::channel(Health::Well);
    let front = Front::people(Routes::default(), told(health), None);
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(serve_tls(listener, config, front, Limits::default(), stopped));
    let loopback = Loopback { address, stop, served };
    let mut client = Client::new(&loopback, &authority, &clock, None);

    // HTTP/2 and HTTP/1.1 alike.
    assert!(client.ask().await.unwrap().starts_with("200 Orderly control plane."));
    client.config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let asked = async |path| get(client.handshake().await.unwrap(), path).await;
    assert_eq!(asked("/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
    well.send_replace(Health::Unwell("the charter ended".to_owned()));
    assert_eq!(asked("/healthz").await, (StatusCode::SERVICE_UNAVAILABLE, "the charter ended\n".to_owned()));
    for path in ["/healthz/", "/admin", "/../etc/passwd", "/index.html"] {
        assert_eq!(asked(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }

    client.config.alpn_protocols = vec![b"h2".to_vec()];
    let send = async |request: http::request::Builder| {
        client.ask_with(request.body(Full::default()).unwrap()).await.unwrap()
    };
    assert!(send(Request::post("https://a/")).await.starts_with("405 "));
    assert_eq!(send(Request::head("https://a/")).await, "200 ", "HEAD has no body");
    // gRPC of a service that there is not: the routes answer, not the page.
    assert_eq!(
        send(Request::post("https://a/x.Y/Z").header("content-type", "application/grpc")).await,
        "200 "
    );
    loopback.end().await;
}

#[tokio::test]
async fn a_stranger_sees_what_openssl_sees() {
    // An outside client agrees that the connection is HTTP/2 over TLS 1.3 and that no certificate is demanded.
    let (loopback, _) = with(Limits::default()).await;
    let address = loopback.address.to_string();
    let said = tokio::task::spawn_blocking(move || {
        openssl(
            std::path::Path::new("/"),
            &["s_client", "-connect", &address, "-alpn", "h2,http/1.1", "-brief", "-msg"],
        )
    });
    let (_, said) = said.await.unwrap();
    assert!(said.contains("TLSv1.3") && said.contains("CertificateRequest"), "{said}");
}
