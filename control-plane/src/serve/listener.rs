//! Accepts connections and hands their requests, each with its [`Peer`], to one service.
//!
//! The rule: whoever connects costs little until known. Handshakes, headers, bodies, streams and the number of
//! connections are bounded. A stranger is whoever has had no request admitted yet by the service, whatever certificate it
//! shows: it may not stay, and one address has room for few of them.
//!
//! ```text
//!  TcpListener ── TLS handshake ──┐
//!                                 ├── HTTP/1.1 or HTTP/2 ── Request + Peer ── service
//!  admin.sock ── peer's uid ──────┤
//!  TcpListener, plain ────────────┘
//! ```

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::Path,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use http_body_util::Limited;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

pub use super::presence::Admission;
use super::{
    crowd::{Crowd, Place},
    presence::{UnderWay, idle},
};

/// Becomes `true` when the server is to stop; a sender that is gone means the same.
pub type Stop = watch::Receiver<bool>;

/// Who sent a request. Every request carries one as an extension.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The client certificate (DER), verified by [`super::tls`]; `None`: there was none.
    pub certificate: Option<Vec<u8>>,
    /// From where.
    pub address: Address,
    /// To be given when the peer may stay.
    pub admission: Admission,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Over the network.
    Network(SocketAddr),
    /// Over the admin socket, by a process of this user.
    Local {
        /// The user's number, as the kernel says.
        uid: u32,
    },
}

/// What a peer may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Connections of strangers at once from one address (IPv6: one /64).
    pub strangers: usize,
    /// How long a TLS handshake or an HTTP/1.1 header may take, and then how long a stranger may stay.
    pub handshake: Duration,
    /// The most bytes of a request's header.
    pub header_bytes: u32,
    /// The most bytes of a request's body.
    pub body_bytes: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// A silent HTTP/2 connection is asked this often whether it still lives.
    pub keepalive: Duration,
    /// How long somebody known may stay without a request; `None`: for ever.
    pub idle: Option<Duration>,
    /// How long requests may go on once their connection, or the server, is told to end.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            strangers: 64,
            handshake: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            body_bytes: 8 << 20,
            streams: 64,
            keepalive: Duration::from_secs(20),
            idle: None,
            drain: Duration::from_secs(10),
        }
    }
}

/// Why there is no admin socket.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Somebody answers there.
    #[error("another control plane runs on {path}; stop it first")]
    InUse {
        /// The socket.
        path: String,
    },
    /// Something else lies there.
    #[error("{path} is not a socket and is left alone; move it away")]
    NotASocket {
        /// The path.
        path: String,
    },
    /// The system refused.
    #[error("cannot listen on {path}")]
    Bind {
        /// The socket.
        path: String,
        /// Why; paths of more than 107 bytes are too long for a socket.
        #[source]
        source: io::Error,
    },
}

/// Serves TLS connections until `stop`; returns when the last has ended or [`Limits::drain`] is over.
pub async fn serve_tls<S>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    service: S,
    limits: Limits,
    stop: Stop,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let door = TlsDoor { listener, acceptor: TlsAcceptor::from(tls), handshake: limits.handshake };
    serve(door, service, limits, stop).await;
}

/// Serves plain HTTP until `stop`, as [`serve_tls`] does: for what is public and signed.
pub async fn serve_plain<S>(listener: TcpListener, service: S, limits: Limits, stop: Stop)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    serve(PlainDoor(listener), service, limits, stop).await;
}

/// Makes the admin socket: for this user alone (0600), in place of one that nobody answers on.
pub fn bind_admin(path: &Path) -> Result<UnixListener, AdminError> {
    let name = || path.display().to_string();
    let wrong = |source| AdminError::Bind { path: name(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(wrong(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(AdminError::NotASocket { path: name() }),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(AdminError::InUse { path: name() });
        }
        // Left behind by a server that was killed.
        Ok(_) => std::fs::remove_file(path).map_err(wrong)?,
    }
    let listener = UnixListener::bind(path).map_err(wrong)?;
    // Between bind and this the umask decides; whoever connects is asked for the uid anyway.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(wrong)?;
    Ok(listener)
}

/// Serves the admin socket to its owner (and root) until `stop`, then removes it.
pub async fn serve_admin<S>(listener: UnixListener, service: S, limits: Limits, stop: Stop) -> io::Result<()>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let path = listener.local_addr()?.as_pathname().map(Path::to_owned);
    let owner = path.as_deref().map_or(Ok(0), |path| std::fs::symlink_metadata(path).map(|m| m.uid()))?;
    serve(AdminDoor { listener, owner }, service, limits, stop).await;
    path.map_or(Ok(()), std::fs::remove_file)
}

/// Completes when the server is to stop.
pub async fn stopped(stop: &mut Stop) {
    // An error means that the sender is gone: nobody could ever stop us.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A way in: what is accepted, and what must be known before the first request.
trait Door {
    type Knock: Send + 'static;
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Whose room a knock takes while it is a stranger's; `None`: it is none.
    fn address(knock: &Self::Knock) -> Option<IpAddr>;
    fn accept(&self) -> impl Future<Output = io::Result<Self::Knock>> + Send;
    fn admit(
        &self,
        knock: Self::Knock,
    ) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send + 'static;
}

struct TlsDoor {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshake: Duration,
}

impl Door for TlsDoor {
    type Knock = (TcpStream, SocketAddr);
    type Stream = TlsStream<TcpStream>;

    fn address((_, from): &Self::Knock) -> Option<IpAddr> {
        Some(network(from.ip()))
    }

    async fn accept(&self) -> io::Result<Self::Knock> {
        self.listener.accept().await
    }

    fn admit(
        &self,
        (tcp, address): Self::Knock,
    ) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send + 'static {
        let (acceptor, limit) = (self.acceptor.clone(), self.handshake);
        async move {
            tcp.set_nodelay(true)?;
            let stream = timeout(limit, acceptor.accept(tcp)).await??;
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let certificate = certificates.first().map(|leaf| leaf.to_vec());
            let (address, admission) = (Address::Network(address), Admission::new(false));
            Ok((stream, Peer { certificate, address, admission }))
        }
    }
}

struct PlainDoor(TcpListener);

impl Door for PlainDoor {
    type Knock = (TcpStream, SocketAddr);
    type Stream = TcpStream;

    fn address((_, from): &Self::Knock) -> Option<IpAddr> {
        Some(network(from.ip()))
    }

    async fn accept(&self) -> io::Result<Self::Knock> {
        self.0.accept().await
    }

    fn admit(
        &self,
        (tcp, address): Self::Knock,
    ) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send + 'static {
        let (address, admission) = (Address::Network(address), Admission::new(false));
        let peer = Peer { certificate: None, address, admission };
        std::future::ready(tcp.set_nodelay(true).map(|()| (tcp, peer)))
    }
}

struct AdminDoor {
    listener: UnixListener,
    owner: u32,
}

impl Door for AdminDoor {
    type Knock = UnixStream;
    type Stream = UnixStream;

    fn address(_: &Self::Knock) -> Option<IpAddr> {
        None
    }

    async fn accept(&self) -> io::Result<Self::Knock> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    fn admit(
        &self,
        stream: UnixStream,
    ) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send + 'static {
        let owner = self.owner;
        async move {
            let uid = stream.peer_cred()?.uid();
            if uid != owner && uid != 0 {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("user {uid} may not use the admin socket"),
                ));
            }
            let (address, admission) = (Address::Local { uid }, Admission::new(true));
            Ok((stream, Peer { certificate: None, address, admission }))
        }
    }
}

async fn serve<D, S>(door: D, service: S, limits: Limits, mut stop: Stop)
where
    D: Door,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let limits = Arc::new(limits);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let strangers = Crowd::default();
    let mut connections = JoinSet::new();
    loop {
        let next = async { (slots.clone().acquire_owned().await, door.accept().await) };
        let (slot, knock) = tokio::select! {
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => continue,
            (slot, knock) = next => (slot, knock),
        };
        match knock {
            Ok(knock) => {
                let room = D::address(&knock).map(|address| strangers.enter(address, limits.strangers));
                let room = match room {
                    // Closed at once: whoever has more to say than that says it to nobody.
                    Some(None) => continue,
                    room => room.flatten(),
                };
                let (admission, service, limits, stop) =
                    (door.admit(knock), service.clone(), limits.clone(), stop.clone());
                connections.spawn(async move {
                    let _slot = slot;
                    match admission.await {
                        Ok((stream, peer)) => converse(stream, peer, room, service, &limits, stop).await,
                        Err(error) => tracing::debug!(%error, "turned away at the door: {error}"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection: {error}");
                pause().await;
            }
        }
    }
    // Whoever comes now is refused at once, not left waiting in the kernel's queue.
    drop(door);
    // Each connection has heard of the stop by itself, and ends within the drain time.
    while connections.join_next().await.is_some() {}
}

/// Out of file descriptors, most likely: an accept that fails at once must not become a busy loop.
#[expect(clippy::disallowed_methods, reason = "a network shell that backs off")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn converse<I, S>(
    stream: I,
    peer: Peer,
    room: Option<Place<IpAddr>>,
    service: S,
    limits: &Limits,
    mut stop: Stop,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let (admission, body_bytes) = (peer.admission.clone(), limits.body_bytes);
    let (asking, mut asked) = watch::channel(0_usize);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(|body| Body::new(Limited::new(body, body_bytes)));
        request.extensions_mut().insert(peer.clone());
        let answer = service.clone().oneshot(request);
        let under_way = UnderWay::begin(&asking);
        async move {
            let _under_way = under_way;
            answer.await
        }
    });
    let builder = http(limits);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let leave = async {
        let known = tokio::select! {
            known = timeout(limits.handshake, admission.given()) => known.is_ok(),
            () = stopped(&mut stop) => false,
        };
        if !known {
            return room;
        }
        drop(room);
        tokio::select! {
            () = stopped(&mut stop) => {}
            () = idle(&mut asked, limits.idle) => {}
        }
        None
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _room = leave => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.drain, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection broke: {error}");
    }
}

/// The part of an address that one customer of a network has.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

fn http(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake)
        .max_buf_size(limits.header_bytes.max(8192) as usize)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.keepalive)
        .keep_alive_timeout(limits.keepalive)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes);
    builder
}
