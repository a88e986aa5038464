//! One question to a DNS server: does it know an address for a name (RFC 1035, section 4)?
//!
//! Over UDP, once again when the answer may have been lost, and over TCP when it did not fit.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket},
    time::Duration,
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, ResourceRecord, TYPE, rdata::RData};

use super::{Deadline, tcp};
use crate::world::{Entropy, draw};

const PORT: u16 = 53;
/// How long to wait before the question is asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// What a DNS server says of a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Its addresses.
    Addresses(Vec<IpAddr>),
    /// It has none, or there is no such name.
    Unknown,
    /// The server does not say; with that code (RFC 1035, section 4.1.1).
    Refuses(RCODE),
}

/// What `server` (`host` or `host:port`) says of the addresses of `name`.
pub(crate) fn ask(
    server: &str,
    name: &str,
    deadline: &Deadline<'_>,
    entropy: &dyn Entropy,
) -> io::Result<Reply> {
    let server = place(server).next().ok_or(io::ErrorKind::NotFound)?;
    let mut found = Vec::new();
    for kind in [TYPE::A, TYPE::AAAA] {
        let asked = Asked { id: u16::from_be_bytes(draw(entropy)), name, kind };
        let answer = match asked.ask(server, deadline) {
            Ok(answer) => answer,
            // Some do not answer what they do not know.
            Err(_) if !found.is_empty() => break,
            Err(problem) => return Err(problem),
        };
        if !matches!(answer.rcode, RCODE::NoError | RCODE::NameError) && found.is_empty() {
            return Ok(Reply::Refuses(answer.rcode));
        }
        found.extend(answer.addresses);
    }
    Ok(if found.is_empty() { Reply::Unknown } else { Reply::Addresses(found) })
}

/// Whether `server` (`host` or `host:port`) gives an address for `name`.
pub(super) fn resolves(
    server: &str,
    name: &str,
    deadline: &Deadline<'_>,
    entropy: &dyn Entropy,
) -> io::Result<()> {
    let server = place(server).next().ok_or(io::ErrorKind::NotFound)?;
    for kind in [TYPE::A, TYPE::AAAA] {
        let asked = Asked { id: u16::from_be_bytes(draw(entropy)), name, kind };
        if !asked.ask(server, deadline)?.addresses.is_empty() {
            return Ok(());
        }
    }
    Err(io::Error::other("it knows no address"))
}

fn place(server: &str) -> impl Iterator<Item = SocketAddr> {
    let with_port =
        server.to_socket_addrs().or_else(|_| (server.trim_matches(['[', ']']), PORT).to_socket_addrs());
    with_port.into_iter().flatten()
}

struct Asked<'a> {
    id: u16,
    name: &'a str,
    kind: TYPE,
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    rcode: RCODE,
    /// Empty unless there was no error.
    addresses: Vec<IpAddr>,
}

impl Asked<'_> {
    fn ask(&self, server: SocketAddr, deadline: &Deadline<'_>) -> io::Result<Answer> {
        let question = self.question()?;
        let socket = connected(server)?;
        let mut answer = [0; 4096];
        loop {
            socket.send(&question)?;
            let patience = deadline.left()?.min(AGAIN);
            let asked = deadline.took();
            while let Some(left) =
                patience.checked_sub(deadline.took().saturating_sub(asked)).filter(|left| !left.is_zero())
            {
                socket.set_read_timeout(Some(left))?;
                let read = match socket.recv(&mut answer) {
                    Ok(read) => read,
                    Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                        break;
                    }
                    Err(e) => return Err(e),
                };
                match self.read(&answer[..read]) {
                    Some(Ok(answer)) => return Ok(answer),
                    Some(Err(Cut)) => return self.ask_at_length(server, &question, deadline),
                    // Not ours: an answer to somebody else, or somebody else's answer.
                    None => {}
                }
            }
        }
    }

    fn ask_at_length(
        &self,
        server: SocketAddr,
        question: &[u8],
        deadline: &Deadline<'_>,
    ) -> io::Result<Answer> {
        let mut stream = tcp::connect(&server.to_string(), deadline)?;
        let length = u16::try_from(question.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], question].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut answer)?;
        let read = self.read(&answer).and_then(Result::ok);
        read.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "that is no answer"))
    }

    fn question(&self) -> io::Result<Vec<u8>> {
        let mut packet = Packet::new_query(self.id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new(self.name).map_err(io::Error::other)?;
        packet.questions.push(Question::new(name, self.kind.into(), CLASS::IN.into(), false));
        packet.build_bytes_vec().map_err(io::Error::other)
    }

    /// `None`: this is no answer to what was asked.
    fn read(&self, bytes: &[u8]) -> Option<Result<Answer, Cut>> {
        // A cut answer need not be readable to its end; its header is enough.
        let cut = simple_dns::header_buffer::has_flags(bytes, PacketFlag::RESPONSE | PacketFlag::TRUNCATION)
            .ok()?;
        if cut && simple_dns::header_buffer::id(bytes).ok()? == self.id {
            return Some(Err(Cut));
        }
        let packet = Packet::parse(bytes).ok()?;
        let name = Name::new(self.name).ok()?;
        let asked = packet.questions.first()?;
        let same = packet.id() == self.id
            && packet.has_flags(PacketFlag::RESPONSE)
            && asked.qtype == self.kind.into()
            && asked.qname.to_string().eq_ignore_ascii_case(&name.to_string());
        let rcode = packet.rcode();
        let address = |record: &ResourceRecord<'_>| match &record.rdata {
            RData::A(a) if self.kind == TYPE::A => Some(IpAddr::from(Ipv4Addr::from(a.address))),
            RData::AAAA(a) if self.kind == TYPE::AAAA => Some(IpAddr::from(Ipv6Addr::from(a.address))),
            _ => None,
        };
        let answers = packet.answers.iter().filter(|_| rcode == RCODE::NoError);
        let addresses = answers.filter_map(address).collect();
        same.then_some(Ok(Answer { rcode, addresses }))
    }
}

/// The answer did not fit.
#[derive(Debug, PartialEq, Eq)]
struct Cut;

/// A socket that was never bound by name: the agent's unit forbids that to it, and the kernel binds it by itself.
fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let family = if server.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket: UdpSocket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?.into();
    socket.connect(server)?;
    Ok(socket)
}
