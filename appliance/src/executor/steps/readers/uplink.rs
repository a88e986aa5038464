//! Whether there is a way out: the interface's carrier, and a default route over it.
//!
//! The executor has a network of its own, which is empty; so it looks through PID 1.

use std::{fs, path::Path};

use proto::evidence::Readings;

use super::readings;
use crate::config::Uplink;

/// `carrier` and `route`: 1 there, 0 not, −1 when it cannot be read.
pub(in crate::executor::steps) fn read(root: &Path, entry: &Uplink) -> Readings {
    let carrier = root.join("proc/1/root/sys/class/net").join(&entry.interface).join("carrier");
    // Of an interface that is down the kernel tells nothing (EINVAL), and one that is not there has no carrier either.
    let carrier = fs::read_to_string(carrier).is_ok_and(|text| text.trim() == "1");
    let ipv4 = fs::read_to_string(root.join("proc/1/net/route"));
    let ipv6 = fs::read_to_string(root.join("proc/1/net/ipv6_route")).unwrap_or_default();
    let route = ipv4.map_or(-1, |ipv4| {
        i64::from(default_ipv4(&ipv4, &entry.interface) || default_ipv6(&ipv6, &entry.interface))
    });
    readings([("carrier", i64::from(carrier)), ("route", route)])
}

/// Columns: interface, destination, gateway, flags, …, mask; RTF_UP is bit 0 (linux/route.h).
fn default_ipv4(table: &str, interface: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [name, "00000000", _, flags, _, _, _, "00000000", ..] = &columns[..] else { return false };
        *name == interface && u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1)
    })
}

/// Columns: destination, its length, …, flags, interface; RTF_REJECT is 0x200.
fn default_ipv6(table: &str, interface: &str) -> bool {
    table.lines().any(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [to, "00", _, _, _, _, _, _, flags, name] = &columns[..] else { return false };
        let usable = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 0x201 == 1);
        to.bytes().all(|b| b == b'0') && *name == interface && usable
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_are_found_where_they_are() {
        let ipv4 = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                    eth0 00000000 0102A8C0 0003 0 0 0 00000000 0 0 0\n\
                    eth1 0002A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
        assert!(default_ipv4(ipv4, "eth0"));
        assert!(!default_ipv4(ipv4, "eth1"));
        let zero = "0".repeat(32);
        let ipv6 = format!(
            "{zero} 00 {zero} 00 fe80 00000400 1 0 00000003 eth0\n{zero} 00 {zero} 00 0 ffffffff 1 0 00200200 lo\n"
        );
        assert!(default_ipv6(&ipv6, "eth0"));
        assert!(!default_ipv6(&ipv6, "lo"), "that one rejects");
    }

    #[test]
    fn carrier_and_route_are_read_apart_and_what_is_not_there_has_none() {
        let root = tempfile::tempdir().unwrap();
        let entry: Uplink = toml::from_str("id = \"it\"\ninterface = \"eth0\"").unwrap();
        let seen = || {
            let found = read(root.path(), &entry);
            [found["carrier"], found["route"]]
        };
        assert_eq!(seen(), [0, -1], "nothing can be read");
        let (net, interface) =
            (root.path().join("proc/1/net"), root.path().join("proc/1/root/sys/class/net/eth0"));
        fs::create_dir_all(&net).unwrap();
        fs::create_dir_all(&interface).unwrap();
        let heads = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";
        fs::write(net.join("route"), heads).unwrap();
        fs::write(interface.join("carrier"), "1\n").unwrap();
        assert_eq!(seen(), [1, 0]);
        fs::write(net.join("route"), format!("{heads}eth0 00000000 0102A8C0 0003 0 0 0 00000000 0 0 0\n"))
            .unwrap();
        assert_eq!(seen(), [1, 1]);
        fs::write(interface.join("carrier"), "0\n").unwrap();
        assert_eq!(seen(), [0, 1], "the cable is pulled");
        assert_eq!(runbooks::Fault::UplinkLost.holds(&read(root.path(), &entry)), Some(true));
    }
}
