use super::*;

mod machine;
mod secrets;

const FULL: &str = r#"
[control_plane]
address = "https://127.0.0.1:8443"
[trust]
organization_keys = "/etc/orderly/organization.keys.json"
ca = "/etc/orderly/ca.pem"
[paths]
state = "/var/lib/orderly"
socket = "/run/orderly/executor.sock"
hold = "/var/lib/orderly/hold"
[agent]
user = "orderly-agent"
sample_seconds = 0.25
outbox_max_mb = 64
evidence_reserve_mb = 16
hold_seconds = 30
[executor]
agent_user = 990
heartbeat_seconds = 3600
evidence_max_mb = 64
evidence_key = "p256"
[limits]
orders_per_hour = 20
clinic_hours = ["monday-friday 08:00-18:00 America/Chicago", "saturday 09:00-12:00 America/Chicago"]
[[watch.directory]]
id = "uploads"
path = "/srv/uploads"
limit_bytes = 50_000_000
keep_newer_than_seconds = 0
[[watch.backup]]
id = "records"
repository = "/srv/backup"
password_file = "/etc/orderly/restic.password"
sources = ["/srv/records"]
max_age_seconds = 86400
restore_every_seconds = 604800
[[watch.backup]]
id = "offsite"
repository = "rest:https://backup.example/"
max_age_seconds = 86400
unit = "restic-records.service"
[[watch.log]]
id = "app"
path = "/var/log/app.log"
raise = ["ERROR"]
[[watch.metric]]
id = "memory"
metric = "memory-used-percent"
above = 95
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/orderly/appliance.toml"))
}

/// The complaint as a person sees it, chain and all.
fn complaint(text: &str) -> String {
    let error = parse(text).expect_err("must be refused");
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}")
}

#[test]
fn everything_there_is_to_say() {
    let config = parse(FULL).unwrap();
    assert_eq!(config.agent.sample, Duration::from_millis(250));
    assert_eq!(config.executor.agent_user, Some(User::Number(990)));
    assert_eq!(config.executor.evidence_key, KeyKind::P256);
    let hours: Vec<String> = config.limits.clinic_hours.iter().map(ToString::to_string).collect();
    assert_eq!(hours, ["monday-friday 08:00-18:00 America/Chicago", "saturday 09:00-12:00 America/Chicago"]);
    let kinds: Vec<String> =
        config.watch.values().map(|entry| format!("{} {}", entry.id(), entry.kind())).collect();
    assert_eq!(kinds, ["app log", "memory metric", "offsite backup", "records backup", "uploads directory"]);
}

#[test]
fn an_address_is_enough() {
    let config = parse("control_plane.address = \"https://control.msp.example:8443\"").unwrap();
    assert_eq!(config.paths.executor(), Path::new("/var/lib/orderly/executor"));
    assert!(config.watch.is_empty());
    assert!(config.limits.clinic_hours.is_empty());
}

#[test]
fn every_complaint_names_key_value_and_what_is_allowed() {
    for (from, to, named) in [
        (
            "https://127.0.0.1:8443",
            "http://127.0.0.1:8443",
            &["control_plane.address", "http://127", "https://host:port"][..],
        ),
        ("127.0.0.1:8443", "127.0.0.1", &["control_plane.address", "https://host:port"]),
        (
            ":8443\"",
            ":8443\"\nproxy = \"http://clinic:secret@10.0.0.5:3128\"",
            &["control_plane.proxy", "clinic:secret", "http://host:port", "control_plane.proxy_credentials"],
        ),
        (":8443\"", ":8443\"\nproxy = \"10.0.0.5:3128\"", &["control_plane.proxy", "http://host:port"]),
        (
            ":8443\"",
            ":8443\"\nproxy_credentials = \"/etc/orderly/proxy\"",
            &["control_plane.proxy_credentials", "/etc/orderly/proxy", "without control_plane.proxy"],
        ),
        (
            ":8443\"",
            ":8443\"\nproxy = \"http://p:1\"\nproxy_credentials = \"proxy\"",
            &["control_plane.proxy_credentials", "\"proxy\"", "absolute"],
        ),
        ("state = \"/var/lib/orderly\"", "state = \"orderly\"", &["paths.state", "\"orderly\"", "absolute"]),
        ("\"/srv/uploads\"", "\"/srv/../etc\"", &["watch.directory.uploads.path", "/srv/../etc", ".."]),
        ("\"/srv/uploads\"", "\"/srv/uploads/\"", &["watch.directory.uploads.path", "slashes"]),
        ("\"/srv/uploads\"", "\"/\"", &["watch.directory.uploads.path", "below /"]),
        ("\"/srv/uploads\"", "\"/var/lib\"", &["watch.directory.uploads.path", "/var/lib", "paths.state"]),
        ("\"/srv/uploads\"", "\"/var/lib/orderly/agent\"", &["watch.directory.uploads.path", "paths.state"]),
        (
            "\"/srv/uploads\"",
            "\"/srv/backup/data\"",
            &["watch.directory.uploads.path", "watch.backup.records.repository"],
        ),
        ("50_000_000", "0", &["watch.directory.uploads.limit_bytes", "0", "must be 1 to"]),
        ("50_000_000", "-1", &["limit_bytes = -1", "u64"]),
        (
            "keep_newer_than_seconds = 0",
            "keep_newer_than_seconds = -1",
            &["keep_newer_than_seconds", "-1", "more than 0"],
        ),
        ("sample_seconds = 0.25", "sample_seconds = 0", &["sample_seconds = 0", "more than 0"]),
        ("sample_seconds = 0.25", "sample_seconds = \"1\"", &["sample_seconds = \"1\"", "expected f64"]),
        ("hold_seconds = 30", "hold_seconds = 61", &["agent.hold_seconds", "61", "at most 60"]),
        (
            "evidence_reserve_mb = 16",
            "evidence_reserve_mb = 64",
            &["agent.evidence_reserve_mb", "64", "less than"],
        ),
        (
            "evidence_reserve_mb = 16",
            "evidence_reserve_mb = 0",
            &["agent.evidence_reserve_mb", "0", "must be 1 to"],
        ),
        ("outbox_max_mb = 64", "outbox_max_mb = 1", &["agent.outbox_max_mb", "1", "must be 2 to"]),
        (
            "\"/run/orderly/executor.sock\"",
            &format!("\"/run/{}\"", "x".repeat(103)),
            &["paths.socket", "/run/xxx", "at most 107 bytes, has 108"],
        ),
        ("evidence_max_mb = 64", "evidence_max_mb = 0", &["executor.evidence_max_mb", "0", "must be 1 to"]),
        ("orders_per_hour = 20", "orders_per_hour = 0", &["limits.orders_per_hour", "at least 1"]),
        (
            "\"monday-friday",
            "\"mon-fri",
            &["clinic_hours[0]", "mon-fri 08:00", "days must be one of: monday, tuesday"],
        ),
        (
            "09:00-12:00",
            "9-12",
            &["clinic_hours[1]", "9-12", "hours must be two times of day", "08:00-18:00"],
        ),
        ("09:00-12:00", "09:00-24:00", &["clinic_hours[1]", "09:00-24:00", "00:00 to 23:59"]),
        ("08:00-18:00 America/Chicago", "08:00-18:00 America/Gotham", &["clinic_hours[0]", "Gotham", "IANA"]),
        (
            "08:00-18:00 America/Chicago",
            "08:00-18:00",
            &["clinic_hours[0]", "zone must be an IANA time zone"],
        ),
        ("clinic_hours = [", "clinic_hours = [8, ", &["clinic_hours = [8", "expected a string"]),
        ("\"p256\"", "\"rsa\"", &["evidence_key = \"rsa\"", "ed25519"]),
        (
            "agent_user = 990",
            "agent_user = 990\nhold_key = { device = \"event0\", code = 116 }",
            &["executor.hold_key.device", "\"event0\"", "absolute"],
        ),
        (
            "agent_user = 990",
            "agent_user = 990\nhold_key = { device = \"/dev/input/event0\", code = 0 }",
            &["executor.hold_key.code", "0", "1 to 767"],
        ),
        ("agent_user = 990", "agent_user = 1.5", &["agent_user = 1.5", "name or number"]),
        (
            "\"/srv/backup\"",
            "\"backup\"",
            &["watch.backup.records.repository", "\"backup\"", "absolute path"],
        ),
        (
            "password_file = \"/etc/orderly/restic.password\"\n",
            "",
            &["watch.backup.records.password_file", "must be given"],
        ),
        ("[\"/srv/records\"]", "[]", &["watch.backup.records.sources", "at least one"]),
        ("[\"/srv/records\"]", "[\"records\"]", &["watch.backup.records.sources[0]", "absolute"]),
        ("restic-records.service", "-x; reboot", &["watch.backup.offsite.unit", ".service"]),
        ("unit = \"restic-records.service\"", "", &["watch.backup.offsite.repository", "rest:https", "unit"]),
        (
            "unit = \"restic",
            "restore_every_seconds = 1\nunit = \"restic",
            &["watch.backup.offsite.restore_every_seconds"],
        ),
        (
            "unit = \"restic",
            "check_every_seconds = 1\nunit = \"restic",
            &["watch.backup.offsite.check_every_seconds", "cannot reach"],
        ),
        ("[\"ERROR\"]", "[\"\"]", &["watch.log.app.raise", "1 to 100 substrings"]),
        ("above = 95", "above = 101", &["watch.metric.memory.above", "101", "0 to 100"]),
        ("memory-used-percent", "luck", &["metric = \"luck\"", "memory-used-percent"]),
        ("id = \"memory\"", "id = \"app\"", &["watch.metric.id", "\"app\"", "is also the ID of a log"]),
        ("id = \"memory\"", "id = \"../app\"", &["../app", "lower-case letters"]),
        ("[limits]", "[limits]\nshell = true", &["shell", "expected `orders_per_hour` or `clinic_hours`"]),
        ("[limits]", "[limit]", &["limit", "expected one of"]),
        ("address = \"https://127.0.0.1:8443\"", "", &["missing field `address`"]),
    ] {
        assert!(FULL.contains(from), "{from}");
        let complaint = complaint(&FULL.replacen(from, to, 1));
        assert!(complaint.contains("/etc/orderly/appliance.toml"), "{complaint}");
        for part in named {
            assert!(complaint.contains(part), "{to}: expected {part:?} in: {complaint}");
        }
    }
}

/// What lies in a cache folder goes, all of it.
#[test]
fn nothing_but_a_cache_is_taken_for_one() {
    let with = |path: &str, cache: &str| {
        FULL.to_owned()
            + "[[watch.directory]]\nid = \"spool\"\npath = \"/srv/cache/spool\"\nlimit_bytes = 1\n"
            + "[[watch.backup]]\nid = \"near\"\nrepository = \"/srv/tmp/backup\"\nmax_age_seconds = 60\n\
               password_file = \"/srv/cache-keys/password\"\nsources = [\"/srv/cached/records\"]\n"
            + "[[watch.log]]\nid = \"mailer\"\npath = \"/srv/cache-log/app.log\"\nraise = [\"x\"]\n"
            + "[[watch.certificate]]\nid = \"portal\"\nfile = \"/srv/Cache/portal.pem\"\nname = \"portal.test\"\n"
            + "[[watch.filesystem]]\nid = \"data\"\npath = \"/srv/tmp/data\"\n"
            + &format!("[[watch.filesystem]]\nid = \"it\"\npath = \"{path}\"\ncaches = [\"{cache}\"]\n")
    };
    for (path, cache, why) in [
        ("/", "/", "absolute path below /"),
        ("/", "/var/../cache", "absolute path below /"),
        ("/", "/var/lib", "must be called what it is"),
        ("/", "/etc/orderly", "must be called what it is"),
        ("/", "/srv/backup", "must be called what it is"),
        ("/", "/home/practice", "must be called what it is"),
        ("/", "/var/lib/postgresql", "must be called what it is"),
        ("/", "/etc/cache", "must not lie in /etc"),
        ("/", "/usr/share/cache", "must not lie in /usr"),
        ("/", "/nix/var/cache", "must not lie in /nix"),
        ("/", "/boot/tmp", "must not lie in /boot"),
        ("/", "/var/lib/orderly/cache", "apart from paths.state = \"/var/lib/orderly\""),
        ("/", "/srv/tmp", "apart from watch.backup.near.repository"),
        ("/", "/srv/tmp/backup", "apart from watch.backup.near.repository"),
        ("/", "/srv/tmp/backup/data", "apart from watch.backup.near.repository"),
        ("/", "/srv/cache-keys", "apart from watch.backup.near.password_file"),
        ("/", "/srv/cached", "apart from watch.backup.near.sources[0]"),
        ("/", "/srv/cached/records", "apart from watch.backup.near.sources[0]"),
        ("/", "/srv/cache", "apart from watch.directory.spool.path"),
        ("/", "/srv/cache/spool/a", "apart from watch.directory.spool.path"),
        ("/", "/srv/cache-log", "apart from watch.log.mailer.path"),
        ("/", "/srv/Cache", "apart from watch.certificate.portal.file"),
        ("/", "/srv/tmp/data", "apart from watch.filesystem.data.path"),
        ("/data", "/var/cache", "must lie below \"/data\""),
        ("/srv/cache-disk", "/srv/cache-disk", "must lie below \"/srv/cache-disk\""),
    ] {
        let complaint = complaint(&with(path, cache));
        for part in ["watch.filesystem.it.caches[0]", why] {
            assert!(complaint.contains(part), "{cache}: expected {part:?} in: {complaint}");
        }
    }
    for (path, cache) in [
        ("/", "/var/cache"),
        ("/", "/var/tmp"),
        ("/", "/var/lib/app/cache"),
        ("/", "/home/practice/.cache/browser"),
        ("/srv/small", "/srv/small/cache"),
        ("/", "/srv/cached/records/cache"),
    ] {
        assert!(parse(&with(path, cache)).is_ok(), "{cache}: {:?}", parse(&with(path, cache)).err());
    }
}

#[test]
fn two_watched_directories_lie_apart() {
    let nested = FULL.to_owned()
        + "[[watch.directory]]\nid = \"inner\"\npath = \"/srv/uploads/inner\"\nlimit_bytes = 1\n";
    let complaint = complaint(&nested);
    assert!(
        complaint.contains("watch.directory.inner.path")
            && complaint.contains("watch.directory.uploads.path"),
        "{complaint}"
    );
    let beside = FULL.to_owned()
        + "[[watch.directory]]\nid = \"beside\"\npath = \"/srv/uploads-2\"\nlimit_bytes = 1\n";
    assert!(parse(&beside).is_ok());
}

#[test]
fn a_watch_list_is_short_enough_to_be_named_in_every_heartbeat() {
    let with = |entries: usize| {
        let entry = |n: usize| {
            format!("[[watch.metric]]\nid = \"m{n}\"\nmetric = \"memory-used-percent\"\nabove = 90\n")
        };
        "control_plane.address = \"https://127.0.0.1:1\"\n".to_owned()
            + &(0..entries).map(entry).collect::<String>()
    };
    assert!(parse(&with(256)).is_ok());
    let complaint = complaint(&with(257));
    assert!(complaint.contains("watch") && complaint.contains("at most 256"), "{complaint}");
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nonexistent/appliance.toml")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read configuration /nonexistent/appliance.toml");
}

#[test]
fn users_by_name_and_number() {
    assert_eq!(User::Name("root".into()).resolve().unwrap().0, nix::unistd::Uid::from_raw(0));
    assert_eq!(User::Number(4_000_000).resolve().unwrap().1, nix::unistd::Gid::from_raw(4_000_000));
    let unknown = User::Name("no-such-user-here".into()).resolve().unwrap_err();
    assert!(unknown.to_string().contains("no-such-user-here"));
}

#[test]
fn exceptions_of_the_image_are_read_strictly() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("exceptions");
    let file = dir.path().join("appliance.toml");
    let text = format!("control_plane.address = \"https://cp:1\"\npaths.exceptions = {folder:?}\n");
    std::fs::write(&file, text).unwrap();
    let said = || {
        let error = Config::load(&file).unwrap_err();
        chain(&error)
    };
    assert_eq!(Config::load(&file).unwrap().exceptions, [], "no folder, no exceptions");
    std::fs::create_dir(&folder).unwrap();
    let good = r#"{ "control": "NXH-053", "reason": "Calibration.", "risk": "A stick.", "compensating": "In hand.",
        "approver": "Lead", "issued": "2026-11-16T00:00:00.000Z", "expires": "2026-12-01T00:00:00.000Z" }"#;
    let one = folder.join("usb.json");
    std::fs::write(&one, good).unwrap();
    assert_eq!(Config::load(&file).unwrap().exceptions[0].control.to_string(), "NXH-053");
    std::fs::write(folder.join("usb-again.json"), good).unwrap();
    assert!(said().contains("control = NXH-053: must have one exception"), "{}", said());
    std::fs::remove_file(folder.join("usb-again.json")).unwrap();
    std::fs::write(&one, good.replace(r#", "expires": "2026-12-01T00:00:00.000Z""#, "")).unwrap();
    assert!(said().contains("usb.json") && said().contains("missing field `expires`"), "{}", said());
    std::fs::write(&one, good).unwrap();
    std::fs::write(folder.join("README"), "").unwrap();
    assert!(said().contains("must end with .json"), "{}", said());
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
