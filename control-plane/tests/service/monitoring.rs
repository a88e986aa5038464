//! Metrics, gRPC's health and reflection, as monitoring and operators meet them.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use http::StatusCode;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::net::UnixStream;
use tokio_stream::StreamExt as _;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::{ServingStatus, pb::health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tower::service_fn;

use crate::{home::Home, web::Web};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers-venv/bin/python");
/// The reference parser of OpenMetrics: it refuses what is not to the letter, and prints what it has read.
const PARSE: &str = "import sys\n\
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
    for family in read(sys.stdin.read()):\n    print(family.type, family.name, len(family.samples))\n";

/// What a parser that is not ours reads; `None`: there is none here.
fn read_by_another(text: &str) -> Option<String> {
    if !Path::new(PYTHON).exists() {
        assert!(std::env::var_os("CI").is_none(), "there must be a parser in CI: `.ci/setup test`");
        println!("skipped: no parser of metrics here; `.ci/setup test` gets one");
        return None;
    }
    let mut parser = Command::new(PYTHON)
        .args(["-c", PARSE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    parser.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = parser.wait_with_output().unwrap();
    assert!(output.status.success(), "not to the letter:\n{text}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn metrics_are_for_whoever_has_a_token_and_for_any_parser() {
    let home = Home::new();
    let server = home.start();
    home.json(&["tenant", "create", "Elm Street Clinic"]);
    let token = |name: &str, scope: &[&str]| {
        let file = format!("{name}.token");
        let made = ["operator", "token", "--name", name, "--role", "auditor", "--days", "1", "--out", &file];
        home.json(&[&made, scope].concat());
        fs::read_to_string(home.path().join(file)).unwrap().trim().to_owned()
    };
    let (token, of_one) = (token("monitoring", &[]), token("one", &["--tenant", "Elm Street Clinic"]));
    let ca = fs::read_to_string(home.directory().ca_certificate()).unwrap();
    let (people, runtime) = (server.people, tokio::runtime::Runtime::new().unwrap());
    let text = runtime.block_on(async {
        let web = Web::new(people, &ca);
        for wrong in [None, Some("guessed"), Some(&*of_one)] {
            let (status, _, text) = web.get("/metrics", wrong).await;
            let expected = if wrong.is_none() { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
            assert_eq!((status, &*text), (expected, ""));
        }
        assert_eq!(web.get("/healthz", None).await.0, StatusCode::OK);
        let (status, kind, text) = web.get("/metrics", Some(&*token)).await;
        assert_eq!(
            (status, &*kind),
            (StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8")
        );
        text
    });
    for part in [
        "orderly_vault_seconds_count{operation=\"put\"}",
        "orderly_ends_timestamp_seconds{what=\"charter\"}",
        "orderly_ends_timestamp_seconds{what=\"catalogue\"}",
        "orderly_ends_timestamp_seconds{what=\"certificate_authority\"}",
        "orderly_ends_timestamp_seconds{what=\"server_certificate\"}",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("Elm Street"), "{text}");
    if let Some(read) = read_by_another(&text) {
        assert!(
            read.contains("counter orderly_done ")
                && read.contains("histogram orderly_writer_commit_seconds "),
            "{read}"
        );
    }
    server.end();
}

async fn over(socket: std::path::PathBuf) -> Channel {
    let connect = service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://admin.sock").connect_with_connector(connect).await.unwrap()
}

/// What there is to call, as the server itself says.
async fn services(channel: Channel) -> Vec<String> {
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::once(ask)).await;
    match answers.unwrap().into_inner().next().await.unwrap().unwrap().message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|service| service.name).collect()
        }
        other => panic!("not a list: {other:?}"),
    }
}

#[test]
fn a_server_says_in_grpcs_own_words_how_it_is_and_what_it_can_be_asked() {
    let home = Home::new();
    let server = home.start();
    let socket = home.directory().admin_socket();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let channel = over(socket).await;
        let answer =
            HealthClient::new(channel.clone()).check(tonic_health::pb::HealthCheckRequest::default()).await;
        assert_eq!(answer.unwrap().into_inner().status, ServingStatus::Serving as i32);
        let services = services(channel.clone()).await;
        assert!(services.contains(&"grpc.health.v1.Health".to_owned()), "{services:?}");
        let ours: Vec<_> = services.iter().filter(|name| name.starts_with("orderly.")).collect();
        assert!(ours.len() >= 11, "{ours:?}");
        let described = prost_types::FileDescriptorSet::decode(proto::pb::DESCRIPTORS).unwrap();
        let all = described.file.iter().flat_map(|file| &file.service);
        for service in all {
            let name = format!("orderly.v1.{}", service.name());
            let path = format!("/{name}/{}", service.method[0].name());
            let mut grpc = tonic::client::Grpc::new(channel.clone());
            grpc.ready().await.unwrap();
            let codec = tonic_prost::ProstCodec::<(), ()>::default();
            let answer = grpc.unary(tonic::Request::new(()), path.parse().unwrap(), codec).await;
            let is_there = answer.map_or_else(|status| status.code() != Code::Unimplemented, |_| true);
            assert_eq!(services.contains(&name), is_there, "{name}: it is said to be what it is");
        }
    });
    server.end();
}
