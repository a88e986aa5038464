//! Somebody to tell: an HTTP server that keeps what it is sent, and is a ticket system with room for one ticket as well.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::Result;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What came: method and path, and the JSON with it.
type Got = Arc<Mutex<Vec<(String, Value)>>>;

const ALERTS: &str = "/alerts";
const TICKETS: &str = "/tickets";
/// The ticket's ID.
const TICKET: &str = "HD-7";

/// A webhook receiver on a free port of the loopback.
pub struct Receiver {
    address: SocketAddr,
    got: Got,
}

impl Receiver {
    /// Starts on a thread of its own; it ends with the program.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let got = Got::default();
        let kept = got.clone();
        thread::Builder::new()
            .name("receiver".into())
            .spawn(move || runtime.block_on(serve(listener, kept)))?;
        Ok(Self { address, got })
    }

    /// Where to post.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{ALERTS}", self.address)
    }

    /// What came to the webhook so far.
    #[must_use]
    pub fn got(&self) -> Vec<Value> {
        self.came().into_iter().filter(|(what, _)| what.ends_with(ALERTS)).map(|(_, said)| said).collect()
    }

    /// What the ticket system was asked so far: method and path, and what came along.
    #[must_use]
    pub fn tickets(&self) -> Vec<(String, Value)> {
        self.came().into_iter().filter(|(what, _)| what.contains(TICKETS)).collect()
    }

    /// The settings of a control plane that tells the ticket system too.
    #[must_use]
    pub fn channel(&self) -> String {
        let all = format!("http://{}{TICKETS}", self.address);
        let state = |state: &str| {
            format!(
                r#"{{ method = "PATCH", url = "{all}/{{ticket}}", body = '{{"state": "{state}", "note": "{{reason}}"}}' }}"#
            )
        };
        format!(
            r#"
[[escalation.channel]]
name = "desk"
kind = "ticket"
open = {{ method = "POST", url = "{all}", id = "/id", body = '{{"title": "{{title}}", "text": "{{text}}", "ref": "{{key}}"}}' }}
update = {}
reopen = {}
close = {}
"#,
            state("open"),
            state("open"),
            state("closed")
        )
    }

    fn came(&self) -> Vec<(String, Value)> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, got: Got) {
    while let Ok((stream, _)) = listener.accept().await {
        let got = got.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let got = got.clone();
            async move {
                let what = format!("{} {}", request.method(), request.uri().path());
                let answer = if what.ends_with(ALERTS) {
                    "thank you\n".to_owned()
                } else {
                    json!({ "id": TICKET }).to_string()
                };
                let body =
                    request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                if let Ok(value) = serde_json::from_slice(&body) {
                    got.lock().unwrap_or_else(PoisonError::into_inner).push((what, value));
                }
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer))))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
