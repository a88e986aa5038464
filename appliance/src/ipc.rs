//! What agent and executor say to each other, on the wire: a four-byte big-endian length, then one protobuf message.
//!
//! The rule: neither side believes the other's lengths or patience. A frame has at most 16 MB and memory grows only with
//! bytes that arrived; every read and write has a limit in time; the executor asks the kernel who is calling.

use std::{
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::Uid,
};
use prost::{DecodeError, Message};
use proto::local;

use crate::world::Executor;

/// The most bytes of one frame, without its length.
pub const FRAME_MAX: usize = 16 << 20;
/// How long one read or write may take, beyond what a request asks the other side to wait.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Why an exchange did not happen.
#[derive(Debug, thiserror::Error)]
pub enum IpcError {
    /// The executor's socket is not there, or nobody listens.
    #[error("cannot reach the executor at {path}")]
    Connect {
        /// Its socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Broken off in the middle, or too slow.
    #[error("cannot {doing} a message of the local protocol")]
    Broken {
        /// `send` or `receive`.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The other side hung up instead of answering.
    #[error("the executor hung up instead of answering")]
    HungUp,
    /// Larger than any message.
    #[error("a message of the local protocol must be at most {FRAME_MAX} bytes, has {0}")]
    TooLarge(usize),
    /// Not the message it should be.
    #[error("not a message of the local protocol")]
    Malformed(#[source] DecodeError),
    /// Another user's process.
    #[error("user {0} may not talk to the executor; see executor.agent_user")]
    Stranger(Uid),
}

/// Sends one frame.
pub fn send(stream: &mut impl Write, message: &impl Message) -> Result<(), IpcError> {
    let bytes = message.encode_to_vec();
    if bytes.len() > FRAME_MAX {
        return Err(IpcError::TooLarge(bytes.len()));
    }
    let length = u32::try_from(bytes.len()).map_err(|_| IpcError::TooLarge(bytes.len()))?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&bytes);
    stream.write_all(&frame).map_err(|source| IpcError::Broken { doing: "send", source })
}

/// Receives one frame; `None` when the other side hung up between two.
pub fn receive<M: Message + Default>(stream: &mut impl Read) -> Result<Option<M>, IpcError> {
    let broken = |source| IpcError::Broken { doing: "receive", source };
    let mut length = Vec::with_capacity(4);
    stream.by_ref().take(4).read_to_end(&mut length).map_err(broken)?;
    let length = match <[u8; 4]>::try_from(length.as_slice()) {
        Ok(length) => u32::from_be_bytes(length) as usize,
        Err(_) if length.is_empty() => return Ok(None),
        Err(_) => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
    };
    if length > FRAME_MAX {
        return Err(IpcError::TooLarge(length));
    }
    let mut bytes = Vec::new();
    stream.by_ref().take(length as u64).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() < length {
        return Err(broken(io::ErrorKind::UnexpectedEof.into()));
    }
    M::decode(bytes.as_slice()).map(Some).map_err(IpcError::Malformed)
}

/// The agent's end.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
}

impl Connection {
    /// Connects to the executor.
    pub fn open(path: &Path) -> Result<Self, IpcError> {
        UnixStream::connect(path)
            .map(Self::from)
            .map_err(|source| IpcError::Connect { path: path.to_owned(), source })
    }
}

impl From<UnixStream> for Connection {
    fn from(stream: UnixStream) -> Self {
        Self { stream }
    }
}

impl Executor for Connection {
    fn call(&mut self, request: local::Request) -> Result<local::Response, IpcError> {
        let patience = PATIENCE + asked_to_wait(&request);
        limit(&self.stream, patience)?;
        send(&mut self.stream, &request)?;
        receive(&mut self.stream)?.ok_or(IpcError::HungUp)
    }
}

/// How long a request asks the executor to wait before it answers.
#[must_use]
pub fn asked_to_wait(request: &local::Request) -> Duration {
    match &request.call {
        Some(local::request::Call::Collect(collect)) => Duration::from_millis(collect.wait_ms.into()),
        _ => Duration::ZERO,
    }
}

fn limit(stream: &UnixStream, patience: Duration) -> Result<(), IpcError> {
    stream
        .set_read_timeout(Some(patience))
        .and_then(|()| stream.set_write_timeout(Some(patience)))
        .map_err(|source| IpcError::Broken { doing: "limit the time of", source })
}

/// The executor's end: takes the next caller, once the kernel says that it is one of `allowed`.
pub fn accept(listener: &UnixListener, allowed: &[Uid]) -> Result<UnixStream, IpcError> {
    let broken = |source| IpcError::Broken { doing: "accept", source };
    let (stream, _) = listener.accept().map_err(broken)?;
    let peer = getsockopt(&stream, PeerCredentials).map_err(|errno| broken(errno.into()))?;
    let uid = Uid::from_raw(peer.uid());
    if !allowed.contains(&uid) {
        return Err(IpcError::Stranger(uid));
    }
    // Listeners handed over by systemd may be non-blocking.
    stream.set_nonblocking(false).map_err(broken)?;
    limit(&stream, PATIENCE)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collect(wait_ms: u32) -> local::Request {
        let collect = local::Collect { from: 7, wait_ms, most_bytes: 1 };
        local::Request { call: Some(local::request::Call::Collect(collect)) }
    }

    #[test]
    fn frames_read_back_and_the_end_between_two_is_no_error() {
        let mut wire = Vec::new();
        send(&mut wire, &collect(3)).unwrap();
        send(&mut wire, &local::Request::default()).unwrap();
        let mut wire = wire.as_slice();
        assert_eq!(receive::<local::Request>(&mut wire).unwrap(), Some(collect(3)));
        assert_eq!(receive::<local::Request>(&mut wire).unwrap(), Some(local::Request::default()));
        assert_eq!(receive::<local::Request>(&mut wire).unwrap(), None);
    }

    #[test]
    fn a_claimed_length_buys_no_memory() {
        let huge = u32::MAX.to_be_bytes();
        assert!(matches!(receive::<local::Request>(&mut &huge[..]), Err(IpcError::TooLarge(_))));
        let mut short = (FRAME_MAX as u32).to_be_bytes().to_vec();
        short.extend_from_slice(b"little");
        assert!(matches!(receive::<local::Request>(&mut short.as_slice()), Err(IpcError::Broken { .. })));
    }

    #[test]
    fn what_is_too_large_is_not_sent() {
        let request = local::Request {
            call: Some(local::request::Call::ProveKeys(local::ProveKeys {
                tls_spki: vec![0; FRAME_MAX],
                challenge: Vec::new(),
            })),
        };
        let mut wire = Vec::new();
        assert!(matches!(send(&mut wire, &request), Err(IpcError::TooLarge(_))));
        assert!(wire.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = receive::<local::Request>(&mut bytes.as_slice());
        }
    }

    #[test]
    fn a_call_over_a_real_socket_and_a_stranger() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("executor.sock");
        assert!(matches!(Connection::open(&path), Err(IpcError::Connect { .. })));
        let listener = UnixListener::bind(&path).unwrap();
        let me = Uid::current();
        let server = std::thread::spawn(move || {
            let mut stream = accept(&listener, &[me]).unwrap();
            let request: local::Request = receive(&mut stream).unwrap().unwrap();
            assert_eq!(request, collect(1));
            send(&mut stream, &local::Response::default()).unwrap();
            drop(stream);
            accept(&listener, &[Uid::from_raw(me.as_raw() + 1)]).map(drop)
        });
        let mut connection = Connection::open(&path).unwrap();
        assert_eq!(connection.call(collect(1)).unwrap(), local::Response::default());
        assert!(connection.call(collect(1)).is_err(), "it hung up");
        let mut stranger = Connection::open(&path).unwrap();
        assert!(matches!(server.join().unwrap(), Err(IpcError::Stranger(uid)) if uid == me));
        assert!(stranger.call(collect(1)).is_err());
    }

    #[test]
    fn waiting_is_added_to_patience() {
        assert_eq!(asked_to_wait(&collect(250)), Duration::from_millis(250));
        assert_eq!(asked_to_wait(&local::Request::default()), Duration::ZERO);
    }
}
