//! Assistants over HTTP: MCP's streamable transport at [`PATH`], without sessions: each request brings its own token.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderValue, Request, Response, Version, header, request::Parts};
use rmcp::{
    RoleServer,
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use tonic::body::Body;
use tower::{ServiceExt as _, service_fn, util::BoxCloneSyncService};

use super::{
    gate::{Gate, Rule},
    http::Front,
    listener::Peer,
};
use crate::mcp::{Assistant, Door, Doors};

/// Where assistants ask.
pub const PATH: &str = "/mcp";
/// The most bytes that one asks with.
pub const ASKED_MAX: usize = 64 * 1024;

/// Answers at [`PATH`].
#[derive(Clone)]
pub struct Assistants(StreamableHttpService<Assistant<ByToken>, NeverSessionManager>);

impl Assistants {
    /// Asks through the people's own door: `rule`, and behind it `front`. `names` are those of this server: what is asked
    /// of another, or by a page in a browser, is refused.
    #[must_use]
    pub fn new(rule: Rule, front: Front, names: Vec<String>) -> Self {
        let mut config = StreamableHttpServerConfig::default();
        config.legacy_session_mode = false;
        config.json_response = true;
        config.max_request_body_bytes = ASKED_MAX;
        // A host that is an IPv6 address stands in brackets.
        let bracketed = |name: String| match name.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => name,
        };
        config.allowed_hosts = names.into_iter().map(bracketed).collect();
        let config = config.enforce_origin_validation();
        let door = ByToken(Gate::new(rule, front));
        let make = move || Ok(Assistant::new(door.clone()));
        Self(StreamableHttpService::new(make, Arc::new(NeverSessionManager::default()), config))
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (mut parts, body) =
            self.0.clone().oneshot(request).await.unwrap_or_else(|never| match never {}).into_parts();
        parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Response::from_parts(parts, Body::new(body))
    }
}

/// The people's door, asked with what a request brought.
#[derive(Clone)]
pub struct ByToken(Gate<Front>);

impl Doors for ByToken {
    fn door(&self, context: &RequestContext<RoleServer>) -> Result<Door, String> {
        let parts = context.extensions.get::<Parts>().ok_or("the request has no headers")?;
        let token = parts.headers.get(header::AUTHORIZATION).cloned().ok_or("this needs an API token")?;
        let peer = parts.extensions.get::<Peer>().cloned();
        let gate = self.0.clone();
        let ask = service_fn(move |mut request: Request<Body>| {
            request.headers_mut().insert(header::AUTHORIZATION, token.clone());
            *request.version_mut() = Version::HTTP_2;
            if let Some(peer) = peer.clone() {
                request.extensions_mut().insert(peer);
            }
            gate.clone().oneshot(request)
        });
        Ok(BoxCloneSyncService::new(ask.map_err(|never| match never {})))
    }
}
