//! One request, and receivers of every kind.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "common/keyring.rs"]
mod keyring;

use std::{convert::Infallible, sync::Arc, time::Duration};

use control_plane::{
    authorities::Authorities,
    ca::CertificateAuthority,
    serve::{
        listener::{Limits, serve_tls},
        outside::{Answer, Outside, Reply},
        tls,
    },
};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use keyring::{Clock, identity, trusting};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
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
        let got = whole(&mut stream).await;
        // A client that has heard enough hangs up; that is its right.
        let _ = stream.write_all(&answer).await;
        String::from_utf8(got).unwrap()
    });
    (uri, got)
}

/// A request, up to its last byte.
async fn whole(stream: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    while !got.ends_with(b"}") {
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).await.unwrap();
        assert_ne!(n, 0, "the request is not whole: {got:?}");
        got.extend_from_slice(&buffer[..n]);
    }
    got
}

async fn post(uri: &Uri) -> Reply {
    post_by(&Outside::new(LIMIT), uri).await
}

async fn post_by(outside: &Outside, uri: &Uri) -> Reply {
    let request = Request::builder().method("POST").uri(uri).header("idempotency-key", "note-1");
    outside.call(request, br#"{"incident":1}"#.to_vec()).await
}

fn answered(status: u16, retry_after: Option<u64>, body: &str) -> Reply {
    let retry_after = retry_after.map(Duration::from_secs);
    Reply::Answered(Answer { status, retry_after, body: Some(body.to_owned().into()) })
}

#[tokio::test]
async fn it_is_sent_once_and_whole() {
    let (uri, got) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(post(&uri).await, answered(204, None, ""));
    let request = got.await.unwrap().to_ascii_lowercase();
    for part in ["post /hook?a=b http/1.1", "idempotency-key: note-1", "\r\n\r\n{\"incident\":1}"] {
        assert!(request.contains(part), "{request} lacks {part}");
    }
}

#[tokio::test]
async fn a_refusal_says_status_a_printable_piece_of_the_answer_and_when_to_come_again() {
    let refusal = "HTTP/1.1 429 Busy\r\nretry-after: 90\r\ncontent-length: 11\r\n\r\nno\x1b[2J room";
    let (uri, _got) = receiver(refusal).await;
    let Reply::Answered(answer) = post(&uri).await else { panic!("no answer") };
    assert_eq!((answer.status, answer.said().as_str()), (429, "no [2J room"));
    assert_eq!(answer.retry_after, Some(Duration::from_secs(90)));
    let (uri, _got) = receiver(
        "HTTP/1.1 503 Busy\r\nretry-after: Fri, 20 Nov 2026 18:00:00 GMT\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    assert_eq!(post(&uri).await, answered(503, None, ""));
}

#[tokio::test]
async fn an_endless_answer_ends_and_its_status_counts() {
    let endless = format!("HTTP/1.1 500 Oh\r\ncontent-length: 10000000\r\n\r\n{}", "x".repeat(1_000_000));
    let (uri, _got) = receiver(endless).await;
    assert_eq!(post(&uri).await, Reply::Answered(Answer { status: 500, retry_after: None, body: None }));
}

#[tokio::test]
async fn a_status_whose_answer_drips_or_breaks_off_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let dripping = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        whole(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx").await.unwrap();
        // And never another byte, until the caller hangs up.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let said = post_by(&Outside::new(Duration::from_millis(200)), &uri).await;
    assert_eq!(said, Reply::Answered(Answer { status: 200, retry_after: None, body: None }));
    dripping.await.unwrap();
    let (uri, _got) = receiver("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    assert_eq!(post(&uri).await, Reply::Answered(Answer { status: 200, retry_after: None, body: None }));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (elsewhere, got) = receiver("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let (uri, _got) =
        receiver(format!("HTTP/1.1 307 There\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n")).await;
    assert_eq!(post(&uri).await, answered(307, None, ""));
    assert!(!got.is_finished());
}

#[tokio::test]
async fn who_does_not_answer_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    assert_eq!(post_by(&Outside::new(Duration::from_millis(50)), &uri).await, Reply::TimedOut);
}

#[tokio::test]
async fn nobody_there_is_said_in_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    assert!(matches!(post(&uri).await, Reply::Unreachable { reason } if reason.contains("refused")));
    for strange in ["SSH-2.0-OpenSSH\r\n", "", "HTTP/1.1 2"] {
        let (uri, _got) = receiver(strange).await;
        assert!(matches!(post(&uri).await, Reply::Unreachable { .. }), "{strange:?}");
    }
}

#[tokio::test]
async fn https_is_verified() {
    // Who does not know the authority judges by this machine's clock, and its first complaint is an end that is past.
    let now = control_plane::clock::now();
    let authority = Arc::new(CertificateAuthority::create("msp.example", now, [1; 16]).unwrap());
    let clock = Clock::at(now);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = tls::people(identity(&Authorities::one(authority.clone()), &clock), clock.shared()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let echo = service_fn(|request: Request<Body>| async {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, Infallible>(Response::builder().status(418).body(Body::new(Full::from(body))).unwrap())
    });
    let served = tokio::spawn(serve_tls(listener, config, echo, Limits::default(), stopped));
    let uri: Uri = format!("https://{address}/").parse().unwrap();

    let trusting = trusting(&[&rustls::version::TLS13], &authority, &clock).with_no_client_auth();
    let known = post_by(&Outside::with_tls(trusting, LIMIT), &uri).await;
    assert_eq!(known, answered(418, None, r#"{"incident":1}"#));
    // The public web has never heard of this authority.
    assert!(matches!(post(&uri).await, Reply::Unreachable { reason } if reason.contains("UnknownIssuer")));
    stop.send(true).unwrap();
    served.await.unwrap();
}
