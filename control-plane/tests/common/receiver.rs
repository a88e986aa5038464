//! Somebody to tell: an HTTP server on a free port of the loopback that remembers what it was sent and answers as it is told.

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    /// With the query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The server. It ends with the program.
pub struct Receiver {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Receiver {
    /// `answer` gives status and body; `None`: the connection breaks.
    pub fn start(answer: impl FnMut(&Seen) -> Option<(u16, String)> + Send + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (seen.clone(), Arc::new(Mutex::new(answer)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Whoever starts it may be inside a runtime of their own.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (kept, answer) = (kept.clone(), answer.clone());
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (kept, answer) = (kept.clone(), answer.clone());
                        async move {
                            let (head, body) = request.into_parts();
                            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
                            let seen = Seen {
                                method: head.method,
                                path: head.uri.path_and_query().unwrap().to_string(),
                                headers: head.headers,
                                body,
                            };
                            kept.lock().unwrap().push(seen.clone());
                            let said = answer.lock().unwrap()(&seen);
                            let (status, body) = said.ok_or_else(|| io::Error::other("it hangs up"))?;
                            let response =
                                Response::builder().status(status).body(Full::new(Bytes::from(body)));
                            response.map_err(io::Error::other)
                        }
                    });
                    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
            });
        });
        Self { address, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}
