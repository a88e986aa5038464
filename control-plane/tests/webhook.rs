//! One POST, and receivers of every kind.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "common/keyring.rs"]
mod keyring;

use std::{convert::Infallible, sync::Arc, time::Duration};

use control_plane::{
    ca::CertificateAuthority,
    serve::{
        listener::{Limits, serve_tls},
        tls,
        webhook::{Outcome, Webhook},
    },
};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use keyring::{Clock, identity, trusting};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};
use tonic::body::Body;
use tower::service_fn;

const LIMIT: Duration = Duration::from_secs(20);

/// A receiver that takes one request, whole, and answers with `answer`, byte for byte.
async fn receiver(answer: impl Into<Vec<u8>>) -> (Uri, JoinHandle<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/hook?a=b", listener.local_addr().unwrap()).parse().unwrap();
    let got = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"}") {
            let mut buffer = [0; 1024];
            let n = stream.read(&mut buffer).await.unwrap();
            assert_ne!(n, 0, "the request is not whole: {got:?}");
            got.extend_from_slice(&buffer[..n]);
        }
        // A client that has heard enough hangs up; that is its right.
        let _ = stream.write_all(&answer).await;
        String::from_utf8(got).unwrap()
    });
    (uri, got)
}

async fn post(uri: &Uri) -> Outcome {
    Webhook::new(LIMIT).post(uri, "note-1", br#"{"incident":1}"#.to_vec()).await
}

#[tokio::test]
async fn it_posts_json_once_with_a_key() {
    let (uri, got) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(post(&uri).await, Outcome::Delivered { status: 204 });
    let request = got.await.unwrap().to_ascii_lowercase();
    for part in [
        "post /hook?a=b http/1.1",
        "content-type: application/json",
        "idempotency-key: note-1",
        "\r\n\r\n{\"incident\":1}",
    ] {
        assert!(request.contains(part), "{request} lacks {part}");
    }
}

#[tokio::test]
async fn a_refusal_says_status_and_a_printable_piece_of_the_answer() {
    let (uri, _got) = receiver("HTTP/1.1 503 Busy\r\ncontent-length: 11\r\n\r\nno\x1b[2J room").await;
    assert_eq!(post(&uri).await, Outcome::Refused { status: 503, answer: "no [2J room".into() });
}

#[tokio::test]
async fn an_endless_answer_ends() {
    let endless = format!("HTTP/1.1 500 Oh\r\ncontent-length: 10000000\r\n\r\n{}", "x".repeat(1_000_000));
    let (uri, _got) = receiver(endless).await;
    assert_eq!(post(&uri).await, Outcome::Refused { status: 500, answer: String::new() });
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (elsewhere, got) = receiver("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let (uri, _got) =
        receiver(format!("HTTP/1.1 307 There\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n")).await;
    assert!(
        matches!(post(&uri).await, Outcome::Refused { status: 307, answer } if answer.contains("not followed"))
    );
    assert!(!got.is_finished());
}

#[tokio::test]
async fn who_does_not_answer_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let webhook = Webhook::new(Duration::from_millis(50));
    assert_eq!(webhook.post(&uri, "k", Vec::new()).await, Outcome::TimedOut);
}

#[tokio::test]
async fn nobody_there_is_said_in_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    assert!(matches!(post(&uri).await, Outcome::Unreachable { reason } if reason.contains("refused")));
    let (uri, _got) = receiver("SSH-2.0-OpenSSH\r\n").await;
    assert!(matches!(post(&uri).await, Outcome::Unreachable { .. }));
}

#[tokio::test]
async fn https_is_verified() {
    // Who does not know the authority judges by this machine's clock, and its first complaint is an end that is past.
    let now = control_plane::clock::now();
    let authority = Arc::new(CertificateAuthority::create("msp.example", now, [1; 16]).unwrap());
    let clock = Clock::at(now);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = tls::people(identity(&authority, &clock), clock.shared()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let echo = service_fn(|request: Request<Body>| async {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, Infallible>(Response::builder().status(418).body(Body::new(Full::from(body))).unwrap())
    });
    let served = tokio::spawn(serve_tls(listener, config, echo, Limits::default(), stopped));
    let uri: Uri = format!("https://{address}/").parse().unwrap();

    let trusting = trusting(&[&rustls::version::TLS13], &authority, &clock).with_no_client_auth();
    let known = Webhook::with_tls(trusting, LIMIT).post(&uri, "k", b"{}".to_vec()).await;
    assert_eq!(known, Outcome::Refused { status: 418, answer: "{}".into() });
    // The public web has never heard of this authority.
    assert!(matches!(post(&uri).await, Outcome::Unreachable { reason } if reason.contains("UnknownIssuer")));
    stop.send(true).unwrap();
    served.await.unwrap();
}
