//! The way through a clinic's HTTP proxy: CONNECT, and then TLS as ever (RFC 9110, section 9.3.6).
//!
//! The rule: a proxy sees whom we talk to and nothing else; what it is told besides is its own password. TLS is with
//! the control plane, so that one which opens it is found out.

use std::{io, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nix::unistd::Uid;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    config::{ControlPlane, User},
    files::{self, FileError},
    probe::http::{self, HEAD_MOST},
};

/// A proxy, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    credentials: Option<PathBuf>,
    /// Whose the credentials may be: root enrols, and then the agent reads them.
    owner: Uid,
}

/// Why a proxy does not connect us.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Our credentials for it.
    #[error("control_plane.proxy_credentials cannot be used")]
    Credentials(#[from] FileError),
    /// The same, by their content.
    #[error("{path} must hold one line USER:PASSWORD for the proxy (control_plane.proxy_credentials)")]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// It went away, or speaks something else.
    #[error("it does not speak HTTP as a proxy does")]
    Speech(#[source] io::Error),
    /// It said no.
    #[error("it answers CONNECT {to} with {status}{}", hint(*.status))]
    Refused {
        /// Whereto we wanted.
        to: String,
        /// What it said.
        status: u16,
    },
}

fn hint(status: u16) -> &'static str {
    if status == 407 { " (it wants user and password: control_plane.proxy_credentials)" } else { "" }
}

impl Proxy {
    /// The proxy of a configuration that was checked; `user`: the agent's.
    #[must_use]
    pub fn of(config: &ControlPlane, user: Option<&User>) -> Option<Self> {
        let (host, port) = config.proxy.as_deref()?.strip_prefix("http://")?.rsplit_once(':')?;
        let owner = user.and_then(|user| user.resolve().ok()).map_or_else(Uid::effective, |(uid, _)| uid);
        let credentials = config.proxy_credentials.clone();
        Some(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.parse().ok()?,
            credentials,
            owner,
        })
    }

    /// What it is asked. Credentials are read anew, so that new ones need no restart.
    pub fn request(&self, to: &str) -> Result<String, ProxyError> {
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        if let Some(path) = &self.credentials {
            let text = files::read_secret_of(path, self.owner)?;
            let secret = text.trim_end_matches(['\r', '\n']);
            if !secret.contains(':') || secret.contains(char::is_control) {
                return Err(ProxyError::Form { path: path.clone() });
            }
            // RFC 7617, section 2.
            request += &format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(secret));
        }
        Ok(request + "\r\n")
    }

    /// Has `stream`, which leads to the proxy, lead to `to`.
    pub(super) async fn tunnel(&self, stream: &mut TcpStream, to: &str) -> Result<(), ProxyError> {
        let request = self.request(to)?;
        stream.write_all(request.as_bytes()).await.map_err(ProxyError::Speech)?;
        let mut head = Vec::new();
        // Byte by byte: what comes after the head is the other side's.
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.map_err(ProxyError::Speech)?);
            if head.len() > HEAD_MOST {
                break;
            }
        }
        let read = http::parse(&head).ok_or_else(|| ProxyError::Speech(io::ErrorKind::InvalidData.into()))?;
        if (200..300).contains(&read.status) {
            return Ok(());
        }
        Err(ProxyError::Refused { to: to.to_owned(), status: read.status })
    }
}
