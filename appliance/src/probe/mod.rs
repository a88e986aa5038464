//! Looks at what lies on the network: whether a service answers, and which certificate a server shows.
//!
//! The rule: one look is one short conversation, over before its time whatever the other side does, and nothing that the
//! other side says is kept but numbers. Blocking, on a thread of its own: see [`background`].

pub mod background;
pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod tcp;
pub(crate) mod tls;

use std::{io, time::Duration};

use proto::{evidence::Readings, time::Millis};
use rustls_pki_types::ServerName;

use crate::{
    certificate,
    config::{Certificate, Service, WatchEntry},
    world::{Clock, World},
};

/// How long a server may take to show its certificate.
const SHOWING: Duration = Duration::from_secs(10);
const HTTPS: &str = "443";
const HTTP: &str = "80";

/// Looks at an entry now; `None`: it does not lie on the network. `now`: by which certificates are judged.
#[must_use]
pub fn look(entry: &WatchEntry, world: &World, now: Millis) -> Option<Readings> {
    match entry {
        WatchEntry::Service(service) => Some(reach(service, world)),
        WatchEntry::Certificate(entry) => {
            entry.server.as_deref().map(|server| served(entry, server, world, now))
        }
        _ => None,
    }
}

/// `reachable` (1, 0) and `took_ms`.
fn reach(service: &Service, world: &World) -> Readings {
    let deadline = Deadline::new(&*world.clock, service.timeout);
    let answered = Target::read(&service.target).ok_or(io::ErrorKind::InvalidInput.into());
    let answered = answered.and_then(|target| target.reach(&deadline, world));
    if let Err(problem) = &answered {
        tracing::debug!(watch = %service.id, "service {} did not answer: {problem}", service.id);
    }
    // The resolver has a time limit of its own.
    let in_time = deadline.left().is_ok();
    let took = i64::try_from(deadline.took().as_millis()).unwrap_or(i64::MAX);
    let reachable = i64::from(answered.is_ok() && in_time);
    [("reachable".to_owned(), reachable), ("took_ms".to_owned(), took)].into()
}

/// As [`certificate::judge`] has it.
fn served(entry: &Certificate, server: &str, world: &World, now: Millis) -> Readings {
    let deadline = Deadline::new(&*world.clock, SHOWING);
    let shown = ServerName::try_from(entry.name.clone())
        .map_err(|_| io::ErrorKind::InvalidInput.into())
        .and_then(|name| tls::chain(tcp::connect(server, &deadline)?, name));
    if let Err(problem) = &shown {
        tracing::debug!(watch = %entry.id, "server of {} shows no certificate: {problem}", entry.id);
    }
    certificate::judge(&shown.unwrap_or_default(), entry, now)
}

/// What is to answer.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    /// `host:port` that takes a connection.
    Tcp(&'a str),
    /// `host:port` and path of a web server.
    Http { place: &'a str, path: &'a str, over_tls: bool },
    /// A DNS server, and a name that it is to know.
    Dns { server: &'a str, name: &'a str },
}

impl<'a> Target<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let at = rest.find('/').unwrap_or(rest.len());
        let (place, path) = rest.split_at(at);
        match scheme {
            "tcp" => Some(Self::Tcp(place)),
            "http" | "https" => Some(Self::Http { place, path, over_tls: scheme == "https" }),
            "dns" => Some(Self::Dns { server: place, name: path.strip_prefix('/')? }),
            _ => None,
        }
    }

    fn reach(&self, deadline: &Deadline<'_>, world: &World) -> io::Result<()> {
        match self {
            Self::Tcp(place) => tcp::connect(place, deadline).map(drop),
            Self::Dns { server, name } => dns::resolves(server, name, deadline, &*world.entropy),
            Self::Http { place, path, over_tls } => {
                let (host, port) = place.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
                let named = if port == if *over_tls { HTTPS } else { HTTP } { host } else { place };
                let tcp = tcp::connect(place, deadline)?;
                let status = if *over_tls {
                    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                        .map_err(|_| io::ErrorKind::InvalidInput)?;
                    http::status(tls::open(tcp, name)?, named, path)?
                } else {
                    http::status(tcp, named, path)?
                };
                if status < 500 { Ok(()) } else { Err(io::Error::other(format!("status {status}"))) }
            }
        }
    }
}

/// When a look must be over.
pub(crate) struct Deadline<'a> {
    clock: &'a dyn Clock,
    began: Duration,
    within: Duration,
}

impl<'a> Deadline<'a> {
    pub(crate) fn new(clock: &'a dyn Clock, within: Duration) -> Self {
        Self { clock, began: clock.boot(), within }
    }

    fn took(&self) -> Duration {
        self.clock.boot().saturating_sub(self.began)
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.within.saturating_sub(self.took());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        assert_eq!(Target::read("tcp://a:1"), Some(Target::Tcp("a:1")));
        let page = Target::Http { place: "a:1", path: "/b/c?d", over_tls: true };
        assert_eq!(Target::read("https://a:1/b/c?d"), Some(page));
        let bare = Target::Http { place: "[::1]:80", path: "", over_tls: false };
        assert_eq!(Target::read("http://[::1]:80"), Some(bare));
        let name = Target::Dns { server: "10.0.0.1", name: "portal.test" };
        assert_eq!(Target::read("dns://10.0.0.1/portal.test"), Some(name));
        assert_eq!(Target::read("dns://10.0.0.1"), None);
        assert_eq!(Target::read("ftp://a:1"), None);
    }
}
