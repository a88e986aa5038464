//! gRPC-web over HTTP/1.1, as a browser speaks it: for people, and for nobody else.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use prost::Message;
use proto::pb;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    home::Home,
    running::{Running, trusting},
};

/// What a browser gets.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    /// Messages, then the trailers' text.
    frames: Vec<Vec<u8>>,
    trailers: String,
}

/// Sends one message as a browser does.
async fn ask<I>(stream: I, kind: &str, method: &str, token: &str, message: &impl Message) -> Got
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let message = message.encode_to_vec();
    let frame = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    let request = Request::post(format!("/orderly.v1.{method}"))
        .header("host", "127.0.0.1")
        .header("content-type", kind)
        .header("x-grpc-web", "1")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::new(Bytes::from(frame)))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap();
    assert!(body.trailers().is_none(), "HTTP/1.1 trailers do not reach a browser");
    let body = body.to_bytes();
    let (mut frames, mut trailers, mut rest) = (Vec::new(), String::new(), &body[..]);
    while headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc-web"))
        && let Some((head, more)) = rest.split_at_checked(5)
    {
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let (content, more) = more.split_at(length);
        match head[0] {
            0 => frames.push(content.to_vec()),
            0x80 => trailers.push_str(std::str::from_utf8(content).unwrap()),
            other => panic!("no frame begins with {other}"),
        }
        rest = more;
    }
    Got { status, headers, frames, trailers }
}

impl Got {
    /// The gRPC status and its words, wherever a browser finds them: an answer without a message has them in its head.
    fn outcome(&self) -> (String, String) {
        let kind = self.headers["content-type"].to_str().unwrap();
        assert!(
            kind.starts_with("application/grpc-web"),
            "a browser's client looks at no answer of type {kind}"
        );
        let from_trailers = |name: &str| {
            let line = self.trailers.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
            line.map(|value| value.trim().to_owned())
        };
        let from_head = |name: &str| Some(self.headers.get(name)?.to_str().unwrap().to_owned());
        let find = |name: &str| from_trailers(name).or_else(|| from_head(name)).unwrap_or_default();
        (find("grpc-status"), find("grpc-message"))
    }
}

async fn tls(home: &Home, address: SocketAddr, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = trusting(home).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let tcp = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("127.0.0.1").unwrap(), tcp).await
}

#[test]
fn a_browser_gets_answers_and_errors_over_http_1() {
    let home = Home::new();
    let server = home.start();
    home.json(&[
        "operator",
        "token",
        "--name",
        "alice",
        "--role",
        "operator",
        "--days",
        "1",
        "--out",
        "alice.token",
    ]);
    let token = std::fs::read_to_string(home.path().join("alice.token")).unwrap().trim().to_owned();
    let people = server.people;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let asked = |kind: &'static str, method: &'static str, token: &str, name: &str| {
        let (name, stream) = (name.to_owned(), runtime.block_on(tls(&home, people, &[b"http/1.1"])).unwrap());
        runtime.block_on(ask(stream, kind, method, token, &pb::CreateTenant { name }))
    };
    for (kind, name) in [("application/grpc-web+proto", "Elm Street"), ("application/grpc-web", "Oak Street")]
    {
        let got = asked(kind, "Tenants/Create", &token, name);
        assert_eq!((got.status, got.frames.len()), (StatusCode::OK, 1));
        assert_eq!(pb::Tenant::decode(&got.frames[0][..]).unwrap().name, name);
        assert!(got.trailers.to_ascii_lowercase().contains("grpc-status:0"), "{:?}", got.trailers);
    }
    // A real error of the service: 6 is "already exists".
    let got = asked("application/grpc-web+proto", "Tenants/Create", &token, "Elm Street");
    let (code, words) = got.outcome();
    assert_eq!((got.status, got.frames.len(), code.as_str()), (StatusCode::OK, 0, "6"), "{:?}", got.trailers);
    assert!(words.contains("taken"), "{words}");
    // Of the door: 16 is "unauthenticated", 7 "permission denied".
    for (token, method, expected) in
        [("no-such-token", "Tenants/Create", "7"), (token.as_str(), "Operators/ListTokens", "7")]
    {
        let got = asked("application/grpc-web+proto", method, token, "x");
        assert_eq!((got.frames.len(), got.outcome().0.as_str()), (0, expected), "{method}");
    }
    // And of a call whose answer would have been a stream: 5 is "not found".
    let export = pb::ExportBundle { tenant: "Nowhere".into(), month: String::new(), log: 0 };
    let got = runtime.block_on(async {
        let stream = tls(&home, people, &[b"http/1.1"]).await.unwrap();
        ask(stream, "application/grpc-web+proto", "Evidence/Export", &token, &export).await
    });
    assert_eq!((got.frames.len(), got.outcome().0.as_str()), (0, "5"));
    server.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_grpc_and_nothing_else() {
    let home = Home::new();
    let running = Running::start(&home);
    let request = pb::EnrollRequest { token: "none".into(), ..pb::EnrollRequest::default() };
    for kind in [
        "application/grpc-web+proto",
        "application/grpc-web",
        "application/grpc-web-text",
        "application/grpc",
    ] {
        let stream = tls(&home, running.appliances, &[]).await.unwrap();
        let got = ask(stream, kind, "Enrollment/Enroll", "", &request).await;
        assert_eq!((got.status, got.frames.len()), (StatusCode::NOT_FOUND, 0), "{kind} over HTTP/1.1");
        let admin = UnixStream::connect(home.directory().admin_socket()).await.unwrap();
        let got = ask(admin, kind, "Tenants/List", "", &pb::ListTenants {}).await;
        assert_eq!((got.status, got.frames.len()), (StatusCode::NOT_FOUND, 0), "{kind} on the admin socket");
    }
    let refused = tls(&home, running.appliances, &[b"http/1.1"]).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "who asks for HTTP/1.1: {refused}");
    // Over HTTP/2 the same call is gRPC, and is answered.
    let channel = crate::wire::channel(running.appliances, trusting(&home).with_no_client_auth()).await;
    let mut client = pb::enrollment_client::EnrollmentClient::new(channel);
    let refused = client.enroll(request).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (tonic::Code::InvalidArgument, "csr is not a DER PKCS#10 request")
    );
}
