//! Sockets that another host can reach, by `/proc/1/net`.

use std::path::Path;

use baseline::{Blind, Reading};

use super::{Look, count, read, reading};

/// States of `include/net/tcp_states.h`: listening, and unconnected (what UDP and raw sockets call closed).
const LISTENING: &str = "0A";
const UNCONNECTED: &str = "07";
/// Ports of a DHCP client, IPv4 and IPv6.
const DHCP: [u16; 2] = [68, 546];

/// Counts them, IPv4 and IPv6 together.
pub(super) fn read(look: &Look<'_>) -> Result<Reading, Blind> {
    let net = look.root.join("proc/1/net");
    // Every Linux has this one; without it nobody has looked.
    let tcp = open_ports(&read::file(&net.join("tcp"))?, LISTENING);
    let tcp = tcp.len() + ports(&net, &["tcp6"], LISTENING)?.len();
    let udp = ports(&net, &["udp", "udp6"], UNCONNECTED)?;
    let dhcp = udp.iter().filter(|port| DHCP.contains(port)).count();
    let other = ports(&net, &["udplite", "udplite6", "icmp", "icmp6"], UNCONNECTED)?.len();
    Ok(reading([
        ("dhcp_client", count(dhcp)),
        ("other", count(other + sctp(&net)?)),
        ("raw", count(ports(&net, &["raw", "raw6"], UNCONNECTED)?.len())),
        ("tcp", count(tcp)),
        ("udp", count(udp.len() - dhcp)),
    ]))
}

fn ports(net: &Path, tables: &[&str], state: &str) -> Result<Vec<u16>, Blind> {
    let mut ports = Vec::new();
    for table in tables {
        match read::file(&net.join(table)) {
            Ok(text) => ports.extend(open_ports(&text, state)),
            // A protocol that this kernel does not have has no sockets.
            Err(Blind::Absent) => {}
            Err(blind) => return Err(blind),
        }
    }
    Ok(ports)
}

/// Columns: number, local address and port in hexadecimal, remote ones, state.
fn open_ports(table: &str, state: &str) -> Vec<u16> {
    let open = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, found, ..] = &columns[..] else { return None };
        let (address, port) = local.rsplit_once(':')?;
        (*found == state && !is_loopback(address)).then(|| u16::from_str_radix(port, 16).ok())?
    };
    table.lines().skip(1).filter_map(open).collect()
}

/// Addresses are printed as 32-bit words in the machine's own byte order.
fn is_loopback(address: &str) -> bool {
    let words: Option<Vec<u32>> = (0..address.len())
        .step_by(8)
        .map(|at| u32::from_str_radix(address.get(at..at + 8)?, 16).ok())
        .collect();
    match words.as_deref() {
        Some([v4]) => v4.to_ne_bytes()[0] == 127,
        Some([0, 0, 0, last]) => last.to_ne_bytes() == [0, 0, 0, 1],
        Some([0, 0, mapped, v4]) => mapped.to_ne_bytes() == [0, 0, 0xff, 0xff] && v4.to_ne_bytes()[0] == 127,
        _ => false,
    }
}

/// SCTP's endpoints: the local addresses stand behind eight columns.
fn sctp(net: &Path) -> Result<usize, Blind> {
    match read::file(&net.join("sctp/eps")) {
        Ok(text) => {
            let reachable = |line: &&str| {
                let mut addresses = line.split_whitespace().skip(8).peekable();
                addresses.peek().is_some() && !addresses.all(|a| a.starts_with("127.") || a == "::1")
            };
            Ok(text.lines().skip(1).filter(reachable).count())
        }
        Err(Blind::Absent) => Ok(0),
        Err(blind) => Err(blind),
    }
}
