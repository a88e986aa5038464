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
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use certificates::{appliance_id, authority, now, openssl, request};
use control_plane::serve::{
    http::{Front, Health},
    listener::{Address, AdminError, Limits, Peer, bind_admin, serve_admin, serve_tls},
    tls,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use keyring::{Clock, identity};
use loopback::{Client, Loopback, appliances, causes};
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
async fn without_a_certificate_one_may_not_stay() {
    let (loopback, client) = with(Limits { anonymous: Some(SHORT), ..Limits::default() }).await;
    closed(client.handshake().await.unwrap()).await;
    loopback.end().await;
}

#[tokio::test]
async fn with_a_certificate_one_may_stay() {
    let (authority, clock) = (Arc::new(authority()), Clock::at(now()));
    let loopback =
        appliances(&authority, &clock, Limits { anonymous: Some(SHORT), ..Limits::default() }).await;
    let key = KeyPair::generate().unwrap();
    let certificate = authority.issue_appliance(&request(&key), &appliance_id(), now(), [9; 16]).unwrap();
    let client = Client::new(&loopback, &authority, &clock, Some((certificate, key.serialize_der())));
    let mut stream = client.handshake().await.unwrap();
    // The server's HTTP/2 settings come, and then it waits for ours: no end of file for ten times as long.
    let mut buffer = [0; 1024];
    let ends = async { while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {} };
    assert!(timeout(SHORT * 10, ends).await.is_err(), "must not be closed");
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
    let config = tls::appliances(
        &[authority.certificate_pem().to_owned()],
        identity(&authority, &clock),
        clock.shared(),
    )
    .unwrap();
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

#[tokio::test]
async fn people_get_a_page_the_health_and_nothing_else() {
    let (authority, clock) = (Arc::new(authority()), Clock::at(now()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = tls::people(identity(&authority, &clock), clock.shared()).unwrap();
    let (well, health) = watch::channel(Health::Well);
    let front = Front::people(Routes::default(), Arc::new(move || health.borrow().clone()));
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
