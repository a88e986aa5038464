//! From readings to findings: a pure function, the same readings, the same findings.
//!
//! The rule: of what lies one behind the other only the first that is wrong is named, because the rest follows from it.

use std::net::IpAddr;

use proto::{
    identity::{Standing, standing},
    time::Millis,
};
use serde::Serialize;

use super::seen::{Answer, Names, Own, Reach, Said, Seen, Shown, Tunnel, Way, Web};
use crate::trouble::Trouble;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its code.
    pub code: Trouble,
    /// What was seen.
    pub what: String,
    /// What to do.
    pub advice: &'static str,
}

fn finding(code: Trouble, what: impl Into<String>) -> Finding {
    Finding { code, what: what.into(), advice: code.advice() }
}

/// What is wrong, the network's first.
#[must_use]
pub fn judge(seen: &Seen) -> Vec<Finding> {
    let network = wire(seen).or_else(|| names(seen)).or_else(|| far_side(seen));
    let time = network.is_none().then(|| time(seen)).flatten();
    let timed = time.is_some();
    let papers = if timed { None } else { papers(seen) };
    let said = match &seen.said {
        Some(Said::Trouble(code, words)) if network.is_none() && !timed => Some(finding(*code, words)),
        _ => None,
    };
    let said = said.filter(|said| papers.as_ref().is_none_or(|papers| papers.code != said.code));
    network.into_iter().chain(time).chain(papers).chain(said).collect()
}

/// Cable, address, route, gateway.
fn wire(seen: &Seen) -> Option<Finding> {
    if seen.way == Some(Way::Here) {
        return None;
    }
    let linked = || seen.links.iter().filter(|link| link.carrier);
    let list = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    if linked().next().is_none() {
        let all = list(seen.links.iter().map(|link| link.name.as_str()).collect());
        return Some(finding(Trouble::NoLink, format!("no interface has a link (there are: {all})")));
    }
    if linked().all(|link| link.addresses.is_empty()) {
        let all = list(linked().map(|link| link.name.as_str()).collect());
        return Some(finding(Trouble::NoAddress, format!("{all} has a link, and no address")));
    }
    match seen.way.as_ref()? {
        Way::None => Some(finding(Trouble::NoRoute, format!("there is no route to {}", seen.first()))),
        Way::By { hop, interface, answers: Some(false) } => {
            let link = seen.links.iter().find(|link| link.name == *interface);
            let addresses = link.map(|link| link.addresses.as_slice()).unwrap_or_default();
            let own = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let vlan = match link.and_then(|link| link.vlan) {
                Some(vlan) => format!("tagged for VLAN {vlan}"),
                None => "not tagged for a VLAN".to_owned(),
            };
            Some(finding(
                Trouble::GatewaySilent,
                format!("{hop} does not answer on {interface} ({own}, {vlan})"),
            ))
        }
        Way::Here | Way::By { .. } => None,
    }
}

fn names(seen: &Seen) -> Option<Finding> {
    let Names { name, servers, invented } = seen.names.as_ref()?;
    if servers.is_empty() {
        return Some(finding(
            Trouble::DnsMissing,
            format!("{name} must be asked for, and there is no DNS server"),
        ));
    }
    let of = |code, what: &str| Some(finding(code, format!("{name}: {what} ({})", spoken(servers))));
    let known: Vec<&IpAddr> = servers
        .iter()
        .filter_map(|(_, answer)| if let Answer::Addresses(known) = answer { Some(known) } else { None })
        .flatten()
        .collect();
    // A portal answers for every name, too; what it wants is clicked away, so that is said instead.
    if portal(seen).is_none()
        && let Some((server, address)) = invented
    {
        return of(Trouble::DnsLies, &format!("{server} gives {address} for a name that cannot exist"));
    }
    if !known.is_empty() {
        let nowhere = |address: &&IpAddr| address.is_unspecified() || address.is_loopback();
        return known
            .iter()
            .all(nowhere)
            .then(|| of(Trouble::DnsLies, "that is no address of a server"))
            .flatten();
    }
    let any = |wanted: fn(&Answer) -> bool| servers.iter().any(|(_, answer)| wanted(answer));
    if any(|answer| *answer == Answer::Unknown) {
        of(Trouble::DnsUnknownName, "no DNS server knows it")
    } else if any(|answer| matches!(answer, Answer::Refuses(_))) {
        of(Trouble::DnsRefuses, "no DNS server answers it")
    } else {
        of(Trouble::DnsSilent, "no DNS server says anything")
    }
}

fn spoken(servers: &[(String, Answer)]) -> String {
    let one = |(server, answer): &(String, Answer)| match answer {
        Answer::Addresses(known) => {
            format!("{server}: {}", known.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        }
        Answer::Unknown => format!("{server}: no such name"),
        Answer::Refuses(why) => format!("{server}: {why}"),
        Answer::Silent => format!("{server}: silence"),
    };
    servers.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Whereto a web server sends everybody who asks at the control plane's address, if not to itself.
fn portal(seen: &Seen) -> Option<String> {
    let Web { status, location } = seen.web.as_ref()?;
    let own = host_of(&seen.control_plane);
    match location {
        _ if matches!(seen.shown, Some(Shown::Pinned { .. })) => None,
        Some(to) if (300..400).contains(status) => {
            let there = to.split_once("://").map_or("", |(_, rest)| rest);
            let there = there.split(['/', '?', '#']).next().unwrap_or_default();
            (!there.is_empty() && host_of(there) != own).then(|| to.clone())
        }
        // RFC 6585, section 6: Network Authentication Required.
        other if *status == 511 => Some(other.clone().unwrap_or_else(|| "a page of its own".to_owned())),
        _ => None,
    }
}

fn host_of(place: &str) -> &str {
    match place.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => place,
    }
}

/// The proxy, the port, and who is behind it.
fn far_side(seen: &Seen) -> Option<Finding> {
    let first = seen.first();
    if let Some(to) = portal(seen) {
        let what = format!("a plain request to {} is sent to {to}", host_of(&seen.control_plane));
        return Some(finding(Trouble::CaptivePortal, what));
    }
    match (seen.reach?, &seen.proxy, &seen.announced) {
        (Reach::Open, ..) => {}
        (_, Some(_), _) => {
            return Some(finding(
                Trouble::ProxyUnreachable,
                format!("the proxy {first} takes no connection"),
            ));
        }
        (_, None, Some(proxy)) => {
            let what =
                format!("{first} cannot be reached directly, and the network announces a proxy at {proxy}");
            return Some(finding(Trouble::ProxyNeeded, what));
        }
        (Reach::Closed, ..) => {
            return Some(finding(Trouble::PortClosed, format!("{first} refuses connections")));
        }
        (Reach::Filtered, ..) => {
            return Some(finding(Trouble::PortFiltered, format!("nothing comes back from {first}")));
        }
    }
    tunnel(seen).or_else(|| shown(seen))
}

fn tunnel(seen: &Seen) -> Option<Finding> {
    let there = &seen.control_plane;
    Some(match seen.tunnel.as_ref()? {
        Tunnel::Open => return None,
        // RFC 9110 has 407; some say 401 to a wrong password (tinyproxy).
        Tunnel::Status(status @ (401 | 407)) => {
            finding(Trouble::ProxyAuthentication, format!("the proxy wants other credentials ({status})"))
        }
        Tunnel::Credentials(why) => finding(Trouble::ProxyAuthentication, why.clone()),
        Tunnel::Status(status) => {
            finding(Trouble::ProxyRefuses, format!("the proxy answers CONNECT {there} with {status}"))
        }
        Tunnel::Nonsense(why) => {
            finding(Trouble::ProxyRefuses, format!("what answers as the proxy is no HTTP proxy: {why}"))
        }
    })
}

fn shown(seen: &Seen) -> Option<Finding> {
    let there = &seen.control_plane;
    Some(match seen.shown.as_ref()? {
        Shown::Pinned { .. } | Shown::NoPin => return None,
        Shown::Foreign { issuer } => finding(
            Trouble::TlsInspected,
            format!(
                "{there} shows a certificate that is not by an authority of the newest charter (or of trust.ca) but by {issuer}"
            ),
        ),
        Shown::OtherName => finding(
            Trouble::NotControlPlane,
            format!("{there} shows a certificate of the right authority for another name"),
        ),
        Shown::NoTls => match &seen.web {
            Some(Web { status: 407, .. }) => {
                finding(Trouble::ProxyNeeded, "a proxy in the way wants to be asked (407)")
            }
            _ => finding(Trouble::NotControlPlane, format!("{there} takes connections, and speaks no TLS")),
        },
        Shown::Cut(why) => finding(
            Trouble::PortFiltered,
            format!("{there} takes connections, and then TLS is cut off: {why}"),
        ),
    })
}

/// Certificates by this machine's clock: the control plane's is renewed in time, so the clock is what is wrong.
fn time(seen: &Seen) -> Option<Finding> {
    let outside = |whose: &str, from: Millis, until: Millis, late: bool| {
        (seen.now < from || (late && seen.now > until)).then(|| {
            let now = seen.now;
            finding(
                Trouble::ClockWrong,
                format!(
                    "by this machine's clock it is {now}; {whose} certificate lasts from {from} to {until}"
                ),
            )
        })
    };
    let theirs = match &seen.shown {
        Some(Shown::Pinned { from, until }) => outside("the control plane's", *from, *until, true),
        _ => None,
    };
    let ours = match &seen.own {
        // Its end says nothing about the clock: a box may have been off for long.
        Own::Lasts { from, until } => outside("this box's own", *from, *until, false),
        _ => None,
    };
    theirs.or(ours)
}

fn papers(seen: &Seen) -> Option<Finding> {
    match &seen.own {
        Own::None => Some(finding(Trouble::NotEnrolled, "this box has no certificate")),
        Own::Unreadable(why) => Some(finding(Trouble::NotEnrolled, why.clone())),
        Own::Lasts { from, until } => {
            (standing(*from, *until, seen.now) != Standing::Valid && seen.now >= *from).then(|| {
                finding(Trouble::CertificateExpired, format!("this box's certificate ended on {until}"))
            })
        }
    }
}

impl Seen {
    /// Whom we talk to first.
    fn first(&self) -> &str {
        self.proxy.as_deref().unwrap_or(&self.control_plane)
    }
}
