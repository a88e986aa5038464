//! What entries of the machine and of the network are refused for: each time key, value and what is allowed.

use super::{complaint, parse};

const GOOD: &str = r#"
control_plane.address = "https://127.0.0.1:8443"
[[watch.journal]]
id = "messages"
units = ["sshd.service"]
raise = ["ERROR"]
priority = 3
[[watch.unit]]
id = "frontdesk"
unit = "frontdesk.service"
[[watch.filesystem]]
id = "root"
path = "/"
limit_percent = 91
inodes_limit_percent = 92
keep_journal_mb = 100
caches = ["/var/cache"]
[[watch.processor]]
id = "cpu"
limit_percent = 60
may_throttle = ["index.service"]
throttle_percent = 20
may_restart = ["report.service"]
[[watch.drive]]
id = "disk"
device = "/dev/nvme0"
[[watch.sensor]]
id = "heat"
chip = "coretemp"
above_celsius = 90
[[watch.clock]]
id = "time"
unit = "chronyd.service"
[[watch.certificate]]
id = "portal"
server = "portal.clinic:443"
name = "portal.clinic"
roots = "/etc/roots.pem"
unit = "acme-portal.service"
[[watch.service]]
id = "dns"
target = "dns://192.168.1.1/portal.clinic"
timeout_seconds = 5
[[watch.service]]
id = "site"
target = "https://portal.clinic:443/login"
[[watch.service]]
id = "ehr"
target = "tcp://ehr.clinic:104"
[[watch.uplink]]
id = "wan"
interface = "enp1s0"
unit = "systemd-networkd.service"
[[watch.footprint]]
id = "self"
resident_limit_mb = 64
"#;

const UNIT: &str = "must be the name of a systemd unit that ends in .service";

#[test]
fn what_is_good_is_taken() {
    assert_eq!(parse(GOOD).unwrap().watch.len(), 13);
}

#[test]
fn every_complaint_names_key_value_and_what_is_allowed() {
    for (from, to, key, value, allowed) in [
        ("\"sshd.service\"", "\"sshd\"", "watch.journal.messages.units[0]", "\"sshd\"", UNIT),
        ("[\"ERROR\"]\npriority = 3", "[]", "watch.journal.messages.raise", "[]", "at least one pattern"),
        ("[\"ERROR\"]", "[\"\"]", "watch.journal.messages.raise", "[\"\"]", "1 to 200 bytes"),
        (
            "priority = 3",
            "priority = 8",
            "watch.journal.messages.priority",
            "8",
            "0 (emergency) to 7 (debug)",
        ),
        ("\"frontdesk.service\"", "\"-x.service\"", "watch.unit.frontdesk.unit", "\"-x.service\"", UNIT),
        ("\"frontdesk.service\"", "\".service\"", "watch.unit.frontdesk.unit", "\".service\"", UNIT),
        ("\"frontdesk.service\"", "\"a b.service\"", "watch.unit.frontdesk.unit", "\"a b.service\"", UNIT),
        (
            "path = \"/\"",
            "path = \"srv\"",
            "watch.filesystem.root.path",
            "\"srv\"",
            "must be an absolute path",
        ),
        (
            "percent = 91",
            "percent = 0",
            "watch.filesystem.root.limit_percent",
            "0",
            "must be 1 to 99 percent",
        ),
        ("percent = 92", "percent = 100", "watch.filesystem.root.inodes_limit_percent", "100", "1 to 99"),
        ("mb = 100", "mb = 0", "watch.filesystem.root.keep_journal_mb", "0", "at least 1 MiB"),
        ("[\"/var/cache\"]", "[\"cache\"]", "watch.filesystem.root.caches[0]", "\"cache\"", "absolute path"),
        (
            "[\"/var/cache\"]",
            "[\"/etc\"]",
            "watch.filesystem.root.caches[0]",
            "\"/etc\"",
            "must be called what it is",
        ),
        ("percent = 60", "percent = 100", "watch.processor.cpu.limit_percent", "100", "must be 1 to 99"),
        ("percent = 20", "percent = 4", "watch.processor.cpu.throttle_percent", "4", "must be 5 to 99"),
        ("index.service", "index.timer", "watch.processor.cpu.may_throttle[0]", "\"index.timer\"", UNIT),
        ("report.service", "report;service", "watch.processor.cpu.may_restart[0]", "report;service", UNIT),
        ("\"/dev/nvme0\"", "\"nvme0\"", "watch.drive.disk.device", "\"nvme0\"", "must be an absolute path"),
        ("\"/dev/nvme0\"", "\"/etc/shadow\"", "watch.drive.disk.device", "\"/etc/shadow\"", "below /dev"),
        ("\"coretemp\"", "\"../core\"", "watch.sensor.heat.chip", "\"../core\"", "a chip's name"),
        ("celsius = 90", "celsius = 201", "watch.sensor.heat.above_celsius", "201", "-50 to 200 degrees"),
        ("\"chronyd.service\"", "\"chronyd\"", "watch.clock.time.unit", "\"chronyd\"", UNIT),
        (
            "server = \"portal.clinic:443\"\n",
            "",
            "watch.certificate.portal.file",
            "given or not",
            "one of file and",
        ),
        (
            "portal.clinic:443\"\nname",
            "portal.clinic\"\nname",
            "watch.certificate.portal.server",
            "\"portal.clinic\"",
            "host:port",
        ),
        (
            "portal.clinic:443\"\nname",
            "portal.clinic:0\"\nname",
            "watch.certificate.portal.server",
            "clinic:0",
            "host:port",
        ),
        (
            "name = \"portal.clinic\"",
            "name = \"a b\"",
            "watch.certificate.portal.name",
            "\"a b\"",
            "a DNS name or an IP",
        ),
        (
            "\"/etc/roots.pem\"",
            "\"roots.pem\"",
            "watch.certificate.portal.roots",
            "\"roots.pem\"",
            "absolute path",
        ),
        ("acme-portal.service", "acme", "watch.certificate.portal.unit", "\"acme\"", UNIT),
        (
            "dns://192.168.1.1/portal.clinic",
            "dns://192.168.1.1",
            "watch.service.dns.target",
            "dns://192",
            "dns://server/name",
        ),
        (
            "https://portal.clinic:443/login",
            "ftp://portal.clinic:21/",
            "watch.service.site.target",
            "ftp://",
            "tcp://host:port",
        ),
        (
            "https://portal.clinic:443/login",
            "https://portal.clinic:443/\\u0007",
            "watch.service.site.target",
            "https://",
            "tcp://",
        ),
        (
            "tcp://ehr.clinic:104",
            "tcp://ehr.clinic",
            "watch.service.ehr.target",
            "tcp://ehr.clinic",
            "tcp://host:port",
        ),
        (
            "tcp://ehr.clinic:104",
            "tcp://ehr.clinic:104/x",
            "watch.service.ehr.target",
            ":104/x",
            "tcp://host:port",
        ),
        (
            "timeout_seconds = 5",
            "timeout_seconds = 61",
            "watch.service.dns.timeout_seconds",
            "61",
            "at most 60",
        ),
        (
            "\"enp1s0\"",
            "\"a-name-of-16-let\"",
            "watch.uplink.wan.interface",
            "a-name-of-16-let",
            "a network interface",
        ),
        ("\"enp1s0\"", "\"../x\"", "watch.uplink.wan.interface", "\"../x\"", "a network interface"),
        ("\"systemd-networkd.service\"", "\"networkd\"", "watch.uplink.wan.unit", "\"networkd\"", UNIT),
        (
            "resident_limit_mb = 64",
            "resident_limit_mb = 0",
            "watch.footprint.self.resident_limit_mb",
            "0",
            "at least 1 MiB",
        ),
    ] {
        assert_eq!(GOOD.matches(from).count(), 1, "{from} must stand there once");
        let complaint = complaint(&GOOD.replace(from, to));
        assert!(complaint.contains(&format!("{key} = ")), "{to}: expected {key} in: {complaint}");
        let said = complaint.split_once(" = ").map_or("", |(_, said)| said);
        assert!(said.contains(value) && said.contains(allowed), "{to}: {value}, {allowed} in: {complaint}");
    }
}
