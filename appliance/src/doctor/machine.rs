//! What this machine itself says of its network: interfaces, routes, neighbours, DNS servers.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
    sync::mpsc,
    time::Duration,
};

use nix::ifaddrs::getifaddrs;

use super::seen::{Link, Way};
use crate::{
    probe::{Deadline, tcp},
    world::Clock,
};

/// For how long the kernel takes a neighbour for granted at most (net.ipv4.neigh.*.base_reachable_time_ms, and half more).
const REACHABLE: Duration = Duration::from_secs(45);
/// A stale neighbour is asked again after 5 s, and given up after 3 more (net.ipv4.neigh defaults).
const NEIGHBOUR: Duration = Duration::from_secs(9);
/// Nobody answers there (RFC 863); the datagram is only to make the kernel look for the next hop.
const DISCARD: u16 = 9;
/// How often the neighbour table is read meanwhile.
const GLANCE: Duration = Duration::from_millis(100);

/// The interfaces, but for the loopback.
pub(super) fn links() -> Vec<Link> {
    let Ok(folder) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let mut names: Vec<String> =
        folder.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let addresses = addresses();
    let link = |name: String| {
        let of_it = |(interface, address): &(String, IpAddr)| (*interface == name).then_some(*address);
        // Of an interface that is down the kernel tells nothing (EINVAL).
        let carrier = fs::read_to_string(Path::new("/sys/class/net").join(&name).join("carrier"));
        Link {
            vlan: fs::read_to_string(format!("/proc/net/vlan/{name}")).ok().as_deref().and_then(vlan),
            carrier: carrier.is_ok_and(|text| text.trim() == "1"),
            addresses: addresses.iter().filter_map(of_it).collect(),
            name,
        }
    };
    names.into_iter().filter(|name| name != "lo").map(link).collect()
}

fn addresses() -> Vec<(String, IpAddr)> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    all.filter_map(|one| {
        let address = one.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let address = v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))?;
        (!makes_itself(address)).then_some((one.interface_name, address))
    })
    .collect()
}

/// Link-local: a machine gives it to itself when nobody else gives it one.
fn makes_itself(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// `eth0.7  VID: 7  REORDER_HDR: 1 …`
fn vlan(text: &str) -> Option<u16> {
    text.split_once("VID:")?.1.split_whitespace().next()?.parse().ok()
}

/// The way to `to`, once the next hop has had its time to answer. `patiently`: it may be known and gone since.
pub(super) fn way(to: IpAddr, patiently: bool, clock: &dyn Clock) -> Way {
    let any: SocketAddr = match to {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let source = UdpSocket::bind(any).and_then(|socket| {
        socket.connect((to, DISCARD))?;
        let source = socket.local_addr()?.ip();
        let _ = socket.send(&[]);
        Ok(source)
    });
    match source {
        Err(_) => return Way::None,
        Ok(source) if source == to || to.is_loopback() => return Way::Here,
        Ok(_) => {}
    }
    let IpAddr::V4(to) = to else {
        // The neighbour table of IPv6 is not in /proc.
        return Way::By { hop: to, interface: "?".to_owned(), answers: None };
    };
    let table = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let Some((hop, interface)) = next_hop(&table, to) else { return Way::None };
    // It is this very wire that is meant: a host that turns a connection away is there.
    if patiently && turns_away(hop, clock) {
        return Way::By { hop: hop.into(), interface, answers: Some(true) };
    }
    let (began, limit) = (clock.boot(), if patiently { REACHABLE + NEIGHBOUR } else { NEIGHBOUR });
    let mut answers = None;
    while clock.boot().saturating_sub(began) < limit {
        let neighbours = fs::read_to_string("/proc/net/arp").unwrap_or_default();
        answers = neighbour(&neighbours, hop, &interface);
        if answers == Some(true) && !patiently {
            break;
        }
        // Given up after a second each for three requests.
        if answers == Some(false) && clock.boot().saturating_sub(began) > Duration::from_secs(4) {
            break;
        }
        nudge(hop);
        pause(GLANCE);
    }
    Way::By { hop: hop.into(), interface, answers: Some(answers == Some(true)) }
}

/// Whether a connection to it is turned away, or taken: something answers there.
fn turns_away(hop: Ipv4Addr, clock: &dyn Clock) -> bool {
    let place = SocketAddr::from((hop, DISCARD)).to_string();
    match tcp::connect(&place, &Deadline::new(clock, Duration::from_secs(2))) {
        Ok(_) => true,
        Err(problem) => is_refusal(&problem),
    }
}

/// Has the kernel look for it again.
fn nudge(hop: Ipv4Addr) {
    let sent =
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| socket.send_to(&[], (hop, DISCARD)));
    // That it cannot be reached is what the table says.
    let _ = sent;
}

fn pause(time: Duration) {
    let (_kept, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

/// The most particular route of /proc/net/route: gateway, or the other side itself, and interface.
/// Columns: interface, destination, gateway, flags, …, metric, mask; RTF_UP is bit 0 (linux/route.h).
fn next_hop(table: &str, to: Ipv4Addr) -> Option<(Ipv4Addr, String)> {
    // As the kernel prints them: a number of this machine's byte order.
    let address =
        |text: &str| u32::from_str_radix(text, 16).ok().map(|raw| Ipv4Addr::from(raw.to_ne_bytes()));
    let routes = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [name, destination, gateway, flags, _, _, metric, mask, ..] = &columns[..] else { return None };
        let (destination, mask) = (address(destination)?.to_bits(), address(mask)?.to_bits());
        let up = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        let metric: u32 = metric.parse().ok()?;
        (up && to.to_bits() & mask == destination).then_some((
            mask,
            metric,
            address(gateway)?,
            (*name).to_owned(),
        ))
    });
    let best = routes.max_by_key(|(mask, metric, ..)| (*mask, std::cmp::Reverse(*metric)));
    best.map(|(_, _, gateway, name)| (if gateway.is_unspecified() { to } else { gateway }, name))
}

/// Whether /proc/net/arp has a hardware address for it (ATF_COM is bit 1 of the flags); `None`: it is not in the table.
fn neighbour(table: &str, hop: Ipv4Addr, interface: &str) -> Option<bool> {
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [address, _, flags, .., device] = &columns[..] else { return None };
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
        (address.parse() == Ok(hop) && *device == interface).then_some(flags & 2 == 2)
    })
}

/// What /etc/resolv.conf says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resolver {
    pub(super) servers: Vec<IpAddr>,
    pub(super) search: Vec<String>,
}

/// resolv.conf(5).
pub(super) fn resolver() -> Resolver {
    read_resolver(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

fn read_resolver(text: &str) -> Resolver {
    let mut found = Resolver::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                found.servers.extend(words.next().and_then(|server| server.parse::<IpAddr>().ok()))
            }
            Some("search" | "domain") => found.search = words.map(ToOwned::to_owned).collect(),
            _ => {}
        }
    }
    found
}

/// The addresses that /etc/hosts has for a name.
pub(super) fn hosts(name: &str) -> Vec<IpAddr> {
    read_hosts(&fs::read_to_string("/etc/hosts").unwrap_or_default(), name)
}

fn read_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let line = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|known| known.eq_ignore_ascii_case(name)).then_some(address)
    };
    text.lines().filter_map(line).collect()
}

/// Why a connection was not made: turned away, or nothing.
pub(super) fn is_refusal(problem: &io::Error) -> bool {
    matches!(problem.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_particular_route_is_taken() {
        let table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                     eth0 00000000 0100000A 0003 0 0 100 00000000 0 0 0\n\
                     eth1 00000000 0200000A 0003 0 0 50 00000000 0 0 0\n\
                     eth0 0000000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n\
                     eth2 006433C6 00000000 0000 0 0 0 00FFFFFF 0 0 0\n";
        let to = |text: &str| next_hop(table, text.parse().unwrap());
        let hop = |text: &str, name: &str| Some((text.parse().unwrap(), name.to_owned()));
        assert_eq!(to("10.0.0.7"), hop("10.0.0.7", "eth0"), "on this wire");
        assert_eq!(to("198.51.100.1"), hop("10.0.0.2", "eth1"), "the smaller metric; eth2's route is down");
        assert_eq!(next_hop("", "10.0.0.1".parse().unwrap()), None);
    }

    #[test]
    fn a_neighbour_answers_or_does_not() {
        let table = "IP address HW type Flags HW address Mask Device\n\
                     10.0.0.1 0x1 0x2 aa:bb:cc:dd:ee:ff * eth0\n\
                     10.0.0.2 0x1 0x0 00:00:00:00:00:00 * eth0\n";
        let of = |address: &str, device| neighbour(table, address.parse().unwrap(), device);
        assert_eq!(of("10.0.0.1", "eth0"), Some(true));
        assert_eq!(of("10.0.0.2", "eth0"), Some(false));
        assert_eq!((of("10.0.0.1", "eth1"), of("10.0.0.3", "eth0")), (None, None));
    }

    #[test]
    fn files_are_read_as_their_manuals_say() {
        let found =
            read_resolver("# x\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch clinic.test lan\n");
        assert_eq!(found.servers, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(found.search, ["clinic.test", "lan"]);
        let known = read_hosts("127.0.0.1 localhost # cp.test\n10.0.0.9 other CP.test\n", "cp.test");
        assert_eq!(known, ["10.0.0.9".parse::<IpAddr>().unwrap()]);
        assert_eq!(vlan("eth0.7  VID: 7\t REORDER_HDR: 1"), Some(7));
        assert_eq!(vlan("nothing"), None);
    }
}
