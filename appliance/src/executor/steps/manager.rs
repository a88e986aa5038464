//! What systemd says of a unit, over the socket that its own tools use: a question costs no process.
//!
//! The rule: it answers in D-Bus's wire format (D-Bus Specification, "Message Protocol"), of which only what these answers
//! are made of is read, and no more than an answer may have. A client library would cost more memory than the whole agent.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use super::Limit;

/// Where systemd listens for root.
const SOCKET: &str = "run/systemd/private";
/// The most bytes of an answer.
const ANSWER_MAX: usize = 64 << 10;
/// The most messages that are not the answer: signals.
const OTHERS_MAX: usize = 1000;
const MANAGER: (&str, &str) = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// How a unit stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnitState {
    /// `loaded`, `not-found`, `masked`, …
    pub(super) load: String,
    /// `active`, `inactive`, `failed`, …
    pub(super) active: String,
    /// How often systemd has restarted it by itself since somebody started it.
    pub(super) restarts: u32,
}

impl UnitState {
    /// Whether it is up.
    pub(super) fn is_up(&self) -> bool {
        self.load == "loaded" && matches!(self.active.as_str(), "active" | "reloading")
    }
}

/// Asks how a service stands.
pub(super) fn unit(root: &Path, name: &str, limit: &Limit<'_>) -> io::Result<UnitState> {
    let mut systemd = Systemd::connect(&root.join(SOCKET), limit.left())?;
    let object = systemd.call(MANAGER.0, MANAGER.1, "LoadUnit", &[name])?.text()?;
    let mut ask = |interface: &str, property: &str| {
        let mut answer = systemd.call(&object, PROPERTIES, "Get", &[interface, property])?;
        answer.variant().map(|kind| (kind, answer))
    };
    let mut text = |property: &str| match ask(UNIT, property)? {
        (b's', mut answer) => answer.text(),
        _ => Err(strange()),
    };
    let (load, active) = (text("LoadState")?, text("ActiveState")?);
    let restarts = match ask(SERVICE, "NRestarts")? {
        (b'u', mut answer) => answer.number()?,
        _ => return Err(strange()),
    };
    Ok(UnitState { load, active, restarts })
}

fn strange() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not an answer of systemd's")
}

struct Systemd {
    stream: UnixStream,
    serial: u32,
}

impl Systemd {
    fn connect(socket: &Path, within: Duration) -> io::Result<Self> {
        if within.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(within))?;
        stream.set_write_timeout(Some(within))?;
        // Who we are, the kernel says: EXTERNAL, with the number of the user in hexadecimal. In one go: systemd 252 does not
        // look again for a BEGIN that comes by itself.
        let me: String =
            nix::unistd::Uid::effective().to_string().bytes().map(|b| format!("{b:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {me}\r\nBEGIN\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
            if line.len() > 200 {
                return Err(strange());
            }
        }
        if !line.starts_with(b"OK ") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Self { stream, serial: 0 })
    }

    /// One call with arguments that are strings, and the body of its answer.
    fn call(&mut self, path: &str, interface: &str, member: &str, args: &[&str]) -> io::Result<Body> {
        self.serial += 1;
        let mut body = Message::default();
        args.iter().for_each(|arg| body.string(arg));
        let mut message = Message(vec![b'l', 1, 0, 1]);
        message.number(u32::try_from(body.0.len()).map_err(|_| strange())?);
        message.number(self.serial);
        let mut fields = Message::default();
        for (code, kind, value) in [(1, b'o', path), (2, b's', interface), (3, b's', member)] {
            fields.pad(8);
            fields.0.extend([code, 1, kind, 0]);
            fields.string(value);
        }
        fields.pad(8);
        fields.0.extend([8, 1, b'g', 0, u8::try_from(args.len()).map_err(|_| strange())?]);
        fields.0.extend(args.iter().map(|_| b's'));
        fields.0.push(0);
        message.number(u32::try_from(fields.0.len()).map_err(|_| strange())?);
        message.0.extend(&fields.0);
        message.pad(8);
        message.0.extend(&body.0);
        self.stream.write_all(&message.0)?;
        for _ in 0..OTHERS_MAX {
            let (kind, body) = self.receive()?;
            match kind {
                2 => return Ok(Body { bytes: body, at: 0 }),
                3 => {
                    let why = Body { bytes: body, at: 0 }.text().unwrap_or_default();
                    return Err(io::Error::other(why));
                }
                _ => {}
            }
        }
        Err(strange())
    }

    /// The next message: its type and its body.
    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (body, fields) = (number(4) as usize, number(12) as usize);
        if head[0] != b'l' || body > ANSWER_MAX || fields > ANSWER_MAX {
            return Err(strange());
        }
        let mut rest = vec![0; fields.next_multiple_of(8) + body];
        self.stream.read_exact(&mut rest)?;
        Ok((head[1], rest.split_off(fields.next_multiple_of(8))))
    }
}

/// A message as it is written; alignments count from its beginning.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn pad(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.pad(4);
        self.0.extend(number.to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.number(u32::try_from(text.len()).unwrap_or(0));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }
}

/// The body of an answer, as far as it was read.
struct Body {
    bytes: Vec<u8>,
    at: usize,
}

impl Body {
    fn take(&mut self, count: usize) -> io::Result<&[u8]> {
        let from = self.at;
        self.at = from.checked_add(count).ok_or_else(strange)?;
        self.bytes.get(from..self.at).ok_or_else(strange)
    }

    fn number(&mut self) -> io::Result<u32> {
        self.at = self.at.next_multiple_of(4);
        let bytes = self.take(4)?.try_into().map_err(|_| strange())?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// A string or the path of an object.
    fn text(&mut self) -> io::Result<String> {
        let length = self.number()? as usize;
        let text = self.take(length)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).map_err(|_| strange())
    }

    /// The type of what a variant holds, which is of one letter here.
    fn variant(&mut self) -> io::Result<u8> {
        match self.take(3)? {
            [1, kind, 0] => Ok(*kind),
            _ => Err(strange()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use proto::evidence::StepResult;

    use super::*;
    use crate::{
        clock::SystemClock,
        executor::steps::{Stop, failed, relieve::stays_up},
        world::{Clock as _, StepOutcome},
    };

    /// Answers one caller with these messages, whatever it says.
    fn answered(messages: Vec<Vec<u8>>) -> io::Result<UnitState> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("run/systemd")).unwrap();
        let listener = UnixListener::bind(root.path().join(SOCKET)).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n");
            for message in messages {
                let _ = stream.write_all(&message);
            }
            // It hangs up when the other has.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let (clock, stop) = (SystemClock, Stop::default());
        let limit = Limit { clock: &clock, stop: &stop, ends: clock.boot() + Duration::from_secs(20) };
        let found = unit(root.path(), "it.service", &limit);
        server.join().unwrap();
        found
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = Message(vec![b'l', kind, 1, 1]);
        message.number(u32::try_from(body.len()).unwrap());
        message.number(7);
        message.number(3);
        message.0.extend([1, 1, b'o']);
        message.pad(8);
        message.0.extend(body);
        message.0
    }

    fn text(kind: Option<u8>, text: &str) -> Vec<u8> {
        let mut body = Message::default();
        body.0.extend(kind.into_iter().flat_map(|kind| [1, kind, 0]));
        body.string(text);
        message(2, &body.0)
    }

    #[test]
    fn answers_are_read_and_what_is_none_is_an_error() {
        let object = text(None, "/org/freedesktop/systemd1/unit/it_2eservice");
        let (loaded, active) = (text(Some(b's'), "loaded"), text(Some(b's'), "active"));
        let restarts = message(2, &[1, b'u', 0, 0, 5, 0, 0, 0]);
        let signal = message(4, b"whatever");
        let whole = vec![object.clone(), signal, loaded.clone(), active.clone(), restarts.clone()];
        let state = answered(whole).unwrap();
        assert_eq!(state, UnitState { load: "loaded".into(), active: "active".into(), restarts: 5 });
        assert!(state.is_up());
        for broken in [
            vec![],
            vec![object.clone()],
            vec![message(3, &{
                let mut body = Message::default();
                body.string("no");
                body.0
            })],
            vec![object.clone(), restarts.clone(), active.clone(), restarts.clone()],
            vec![object.clone(), loaded.clone(), active.clone(), active.clone()],
            vec![message(2, &[255, 255, 255, 255])],
            vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()],
            vec![{
                let mut huge = object;
                huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
                huge
            }],
        ] {
            assert!(answered(broken).is_err());
        }
    }

    #[test]
    fn only_what_is_loaded_and_active_is_up() {
        for (load, active, is_up) in [
            ("loaded", "active", true),
            ("loaded", "reloading", true),
            ("loaded", "activating", false),
            ("loaded", "deactivating", false),
            ("loaded", "inactive", false),
            ("loaded", "failed", false),
            ("masked", "active", false),
            ("not-found", "inactive", false),
        ] {
            let state = UnitState { load: load.into(), active: active.into(), restarts: 0 };
            assert_eq!(state.is_up(), is_up, "{load} {active}");
        }
    }

    /// It is up whenever it is looked at, and was started again by systemd in between.
    #[test]
    fn a_unit_that_systemd_had_to_start_again_was_not_mended() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("run/systemd")).unwrap();
        let listener = UnixListener::bind(root.path().join(SOCKET)).unwrap();
        thread::spawn(move || {
            for (stream, restarts) in listener.incoming().zip(5_u8..) {
                let mut stream = stream.unwrap();
                let _ = stream.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n");
                for message in [
                    text(None, "/org/freedesktop/systemd1/unit/it_2eservice"),
                    text(Some(b's'), "loaded"),
                    text(Some(b's'), "active"),
                    message(2, &[1, b'u', 0, 0, restarts, 0, 0, 0]),
                ] {
                    let _ = stream.write_all(&message);
                }
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        let (clock, stop) = (SystemClock, Stop::default());
        let limit = Limit { clock: &clock, stop: &stop, ends: clock.boot() + Duration::from_secs(90) };
        let started = StepOutcome { result: StepResult::Done, ..failed(0) };
        let outcome = stays_up(root.path(), "it.service", &limit, started);
        assert_eq!((outcome.result, outcome.counts["restarted_again"]), (StepResult::Failed, 1));
    }
}
