//! Somebody to tell: an HTTP server that keeps what it is sent.

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
use serde_json::Value;
use tokio::net::TcpListener;

/// A webhook receiver on a free port of the loopback.
pub struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    /// Starts on a thread of its own; it ends with the program.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = got.clone();
        thread::Builder::new()
            .name("receiver".into())
            .spawn(move || runtime.block_on(serve(listener, kept)))?;
        Ok(Self { address, got })
    }

    /// Where to post.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/alerts", self.address)
    }

    /// What came so far.
    #[must_use]
    pub fn got(&self) -> Vec<Value> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, got: Arc<Mutex<Vec<Value>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let got = got.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let got = got.clone();
            async move {
                let body =
                    request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                if let Ok(value) = serde_json::from_slice(&body) {
                    got.lock().unwrap_or_else(PoisonError::into_inner).push(value);
                }
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"thank you\n"))))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
