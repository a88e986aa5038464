//! What agent and executor say to each other, on the wire: a four-byte big-endian length, then one protobuf message.
//!
//! The rule: neither side believes the other's lengths or patience. A response has at most 16 MB, a request 4 MB and so
//! many fields, counted before any is decoded: an empty one costs two bytes here and fifty in memory. Memory grows only
//! with bytes that arrived; every read and write has a limit in time; the executor asks the kernel who is calling.

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
use prost::{
    DecodeError, Message,
    bytes::Buf as _,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use proto::local;

use crate::world::Executor;

/// The most bytes of a frame, without its length.
pub const FRAME_MAX: usize = 16 << 20;
/// The most bytes of a request: what a delivery brings is small.
pub const REQUEST_MAX: usize = 4 << 20;
/// The most fields of a request, those of its parts included: a thousand inclusions in a log of a billion records.
const FIELDS_MAX: usize = 64 << 10;
/// Tags of `Request.deliver` and `Deliver.inclusions`, the messages that have repeated fields.
const DELIVER: u32 = 4;
const INCLUSIONS: u32 = 7;
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
    #[error("a message of the local protocol must be at most {most} bytes, has {bytes}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What it may have.
        most: usize,
    },
    /// More fields than any request.
    #[error("a request of the local protocol must have at most {FIELDS_MAX} fields")]
    TooManyFields,
    /// Not the message it should be.
    #[error("not a message of the local protocol")]
    Malformed(#[source] DecodeError),
    /// Another user's process.
    #[error("user {0} may not talk to the executor; see executor.agent_user")]
    Stranger(Uid),
}

/// Sends a response.
pub fn send(stream: &mut impl Write, response: &local::Response) -> Result<(), IpcError> {
    send_frame(stream, response, FRAME_MAX)
}

fn send_frame(stream: &mut impl Write, message: &impl Message, most: usize) -> Result<(), IpcError> {
    let bytes = message.encode_to_vec();
    let too_large = || IpcError::TooLarge { bytes: bytes.len(), most };
    if bytes.len() > most {
        return Err(too_large());
    }
    let length = u32::try_from(bytes.len()).map_err(|_| too_large())?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&bytes);
    stream.write_all(&frame).map_err(|source| IpcError::Broken { doing: "send", source })
}

/// Receives the bytes of a request, for [`read_request`]; `None` when the agent hung up between two.
pub fn receive(stream: &mut impl Read) -> Result<Option<Vec<u8>>, IpcError> {
    receive_frame(stream, REQUEST_MAX)
}

/// Reads a request, once it is known how much there is to read.
pub fn read_request(frame: &[u8]) -> Result<local::Request, IpcError> {
    let mut left = FIELDS_MAX;
    let mut within = Vec::new();
    count(frame, DELIVER, &mut left, &mut within)?;
    let mut inclusions = Vec::new();
    for deliver in within {
        count(deliver, INCLUSIONS, &mut left, &mut inclusions)?;
    }
    for inclusion in inclusions {
        count(inclusion, 0, &mut left, &mut Vec::new())?;
    }
    local::Request::decode(frame).map_err(IpcError::Malformed)
}

/// Takes the fields of a message from what may still come, and gives the contents of those with that tag.
fn count<'m>(
    message: &'m [u8],
    wanted: u32,
    left: &mut usize,
    found: &mut Vec<&'m [u8]>,
) -> Result<(), IpcError> {
    let mut rest = message;
    while rest.has_remaining() {
        *left = left.checked_sub(1).ok_or(IpcError::TooManyFields)?;
        let (tag, wire_type) = decode_key(&mut rest).map_err(IpcError::Malformed)?;
        let field = rest;
        skip_field(wire_type, tag, &mut rest, DecodeContext::default()).map_err(IpcError::Malformed)?;
        if tag == wanted && wire_type == WireType::LengthDelimited {
            let mut content = &field[..field.len() - rest.len()];
            decode_varint(&mut content).map_err(IpcError::Malformed)?;
            found.push(content);
        }
    }
    Ok(())
}

/// Receives one frame; `None` when the other side hung up between two.
fn receive_frame(stream: &mut impl Read, most: usize) -> Result<Option<Vec<u8>>, IpcError> {
    let broken = |source| IpcError::Broken { doing: "receive", source };
    let mut length = Vec::with_capacity(4);
    stream.by_ref().take(4).read_to_end(&mut length).map_err(broken)?;
    let length = match <[u8; 4]>::try_from(length.as_slice()) {
        Ok(length) => u32::from_be_bytes(length) as usize,
        Err(_) if length.is_empty() => return Ok(None),
        Err(_) => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
    };
    if length > most {
        return Err(IpcError::TooLarge { bytes: length, most });
    }
    let mut bytes = Vec::new();
    stream.by_ref().take(length as u64).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() < length {
        return Err(broken(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Some(bytes))
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
        send_frame(&mut self.stream, &request, REQUEST_MAX)?;
        let frame = receive_frame(&mut self.stream, FRAME_MAX)?.ok_or(IpcError::HungUp)?;
        local::Response::decode(frame.as_slice()).map_err(IpcError::Malformed)
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
        send_frame(&mut wire, &collect(3), REQUEST_MAX).unwrap();
        send_frame(&mut wire, &local::Request::default(), REQUEST_MAX).unwrap();
        let mut wire = wire.as_slice();
        for expected in [collect(3), local::Request::default()] {
            assert_eq!(read_request(&receive(&mut wire).unwrap().unwrap()).unwrap(), expected);
        }
        assert_eq!(receive(&mut wire).unwrap(), None);
    }

    fn delivery(inclusions: usize, hashes: usize, orders: usize) -> Vec<u8> {
        let inclusion = local::Inclusion { hashes: vec![Vec::new(); hashes], ..local::Inclusion::default() };
        let deliver = local::Deliver {
            inclusions: vec![inclusion; inclusions],
            orders: vec![Vec::new(); orders],
            ..local::Deliver::default()
        };
        local::Request { call: Some(local::request::Call::Deliver(deliver)) }.encode_to_vec()
    }

    #[test]
    fn fields_are_counted_before_they_are_decoded() {
        assert!(read_request(&delivery(1024, 40, 64)).is_ok(), "the most that makes sense");
        for frame in [
            delivery(FIELDS_MAX, 0, 0),
            delivery(1024, 64, 0),
            delivery(0, 0, FIELDS_MAX),
            // One message in two parts is one message.
            [delivery(FIELDS_MAX / 2, 0, 0), delivery(0, 0, FIELDS_MAX / 2)].concat(),
        ] {
            assert!(frame.len() < REQUEST_MAX);
            assert!(matches!(read_request(&frame), Err(IpcError::TooManyFields)));
        }
    }

    #[test]
    fn a_claimed_length_buys_no_memory() {
        let huge = u32::MAX.to_be_bytes();
        assert!(matches!(receive(&mut &huge[..]), Err(IpcError::TooLarge { most: REQUEST_MAX, .. })));
        let mut short = (REQUEST_MAX as u32).to_be_bytes().to_vec();
        short.extend_from_slice(b"little");
        assert!(matches!(receive(&mut short.as_slice()), Err(IpcError::Broken { .. })));
    }

    /// In numbers, so that the bounds cannot grow unseen: sixteen callers at once on a box of 4 GB.
    #[test]
    fn what_once_took_a_box_down_is_refused() {
        let claimed = (5_u32 << 20).to_be_bytes();
        assert!(matches!(receive(&mut &claimed[..]), Err(IpcError::TooLarge { .. })));
        // Two bytes each on the wire, 56 when decoded.
        assert!(matches!(read_request(&delivery(100_000, 0, 0)), Err(IpcError::TooManyFields)));
    }

    #[test]
    fn what_is_too_large_is_not_sent() {
        let request = local::Request {
            call: Some(local::request::Call::ProveKeys(local::ProveKeys {
                tls_spki: vec![0; REQUEST_MAX],
                challenge: Vec::new(),
            })),
        };
        let mut wire = Vec::new();
        let sent = send_frame(&mut wire, &request, REQUEST_MAX);
        assert!(matches!(sent, Err(IpcError::TooLarge { .. })));
        assert!(wire.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = receive(&mut bytes.as_slice());
            let _ = read_request(&bytes);
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
            let frame = receive(&mut stream).unwrap().unwrap();
            assert_eq!(read_request(&frame).unwrap(), collect(1));
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
