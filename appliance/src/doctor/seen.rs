//! What a look at the network found: readings only, no verdict.

use std::net::IpAddr;

use proto::time::Millis;
use serde::Serialize;

use crate::trouble::Trouble;

/// Everything that was looked at; `None`: not looked at, because something before it was not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// `host:port` of the control plane.
    pub control_plane: String,
    /// `host:port` of the proxy, when one is configured.
    pub proxy: Option<String>,
    /// The interfaces, but for the loopback.
    pub links: Vec<Link>,
    /// The way to the first that we talk to: proxy, or control plane, or before its address is known, a DNS server.
    pub way: Option<Way>,
    /// What the DNS servers say, when a name had to be asked for.
    pub names: Option<Names>,
    /// Whether a connection to the first that we talk to stands.
    pub reach: Option<Reach>,
    /// A proxy that the network announces (WPAD), and that is not configured.
    pub announced: Option<String>,
    /// What the configured proxy said.
    pub tunnel: Option<Tunnel>,
    /// What a web server at the control plane's address said to a plain request.
    pub web: Option<Web>,
    /// What was shown in TLS.
    pub shown: Option<Shown>,
    /// This box's own certificate.
    pub own: Own,
    /// What this machine's clock says.
    pub now: Millis,
    /// What the control plane said to our certificate.
    pub said: Option<Said>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// The VLAN that it is tagged for.
    pub vlan: Option<u16>,
    /// Whether something is at the other end.
    pub carrier: bool,
    /// Its addresses, but for those that a machine gives itself (link-local).
    pub addresses: Vec<IpAddr>,
}

/// The way to an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// It is this machine's own.
    Here,
    /// None.
    None,
    /// By that next hop on that interface. `answers`: whether it gave its hardware address; `None`: the kernel does not say.
    By {
        /// A gateway, or the other side itself.
        hop: IpAddr,
        /// Where.
        interface: String,
        /// To an ARP request.
        answers: Option<bool>,
    },
}

/// What DNS says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Names {
    /// The name.
    pub name: String,
    /// Each server, and its answer.
    pub servers: Vec<(String, Answer)>,
    /// A server that gave an address for a name that cannot exist, and the address.
    pub invented: Option<(String, IpAddr)>,
}

/// Of one DNS server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// These.
    Addresses(Vec<IpAddr>),
    /// There is no such name, or no address for it.
    Unknown,
    /// It answers, with that error.
    Refuses(String),
    /// Nothing came back.
    Silent,
}

/// How an attempt to connect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// It stands.
    Open,
    /// Turned away.
    Closed,
    /// Nothing came back, or a router said no.
    Filtered,
}

/// What a proxy made of CONNECT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tunnel {
    /// Connected.
    Open,
    /// That HTTP status instead.
    Status(u16),
    /// No HTTP.
    Nonsense(String),
    /// Our own credentials cannot be read.
    Credentials(String),
}

/// What a web server said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Web {
    /// The status.
    pub status: u16,
    /// Whereto it sends.
    pub location: Option<String>,
}

/// What was shown in TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// A certificate of the pinned authority for the right name, from then until then.
    Pinned {
        /// Begin.
        from: Millis,
        /// End.
        until: Millis,
    },
    /// A certificate of somebody else.
    Foreign {
        /// Whose.
        issuer: String,
    },
    /// Of the pinned authority, for another name.
    OtherName,
    /// A certificate of whom nobody can say: no authority is pinned yet.
    NoPin,
    /// No TLS.
    NoTls,
    /// The connection was cut, or nothing came.
    Cut(String),
}

/// This box's own certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Own {
    /// There is none.
    #[default]
    None,
    /// It cannot be read.
    Unreadable(String),
    /// It lasts from then until then.
    Lasts {
        /// Begin.
        from: Millis,
        /// End.
        until: Millis,
    },
}

/// What the control plane said to our certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// Come in.
    Welcome,
    /// No, or nothing.
    Trouble(Trouble, String),
    /// Something that none of our codes is for.
    Other(String),
}
