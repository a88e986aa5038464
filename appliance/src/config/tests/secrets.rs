use super::*;

/// Nothing that this configuration names removes a secret, copies it, reads it, or is replaced by it.
#[test]
fn a_secret_lies_apart_from_everything_else() {
    let with = |path: &str| {
        FULL.replace(
            "[limits]",
            &format!("[secrets]\nrestic = \"{path}\"\nacme = \"/etc/acme.key\"\n[limits]"),
        ) + "[[watch.filesystem]]\nid = \"root\"\npath = \"/\"\ncaches = [\"/var/cache/app\"]\n"
            + "[[watch.certificate]]\nid = \"portal\"\nfile = \"/srv/portal.pem\"\nname = \"portal.test\"\n"
    };
    for (path, why) in [
        ("restic.password", "absolute path below /"),
        (
            "/srv/uploads/password",
            "apart from watch.directory.uploads.path = \"/srv/uploads\": old files are removed",
        ),
        ("/srv/uploads", "apart from watch.directory.uploads.path"),
        ("/srv", "apart from watch."),
        ("/var/log/app.log", "apart from watch.log.app.path = \"/var/log/app.log\": lines of it are sent"),
        ("/srv/backup/password", "apart from watch.backup.records.repository"),
        ("/var/cache/app/password", "apart from watch.filesystem.root.caches[0]"),
        ("/srv/portal.pem", "apart from watch.certificate.portal.file"),
        ("/etc/ssl/certs/ca-certificates.crt", "apart from watch.certificate.portal.roots"),
        ("/run/log/journal/password", "must not lie in /run/log/journal: the journal is read"),
        ("/var/log/journal/password", "must not lie in /var/log/journal"),
        ("/tmp/password", "its unit has PrivateTmp=yes, so not in /tmp"),
        ("/var/tmp/password", "its unit has PrivateTmp=yes, so not in /var/tmp"),
        ("/usr/lib/modules/password", "its unit has ProtectKernelModules=yes"),
        ("/proc/password", "must not lie in /proc"),
        ("/nix/password", "must not lie in /nix"),
        ("/var/lib/orderly/agent/password", "apart from the agent's folder = \"/var/lib/orderly/agent\""),
        ("/var/lib/orderly/executor/password", "apart from the executor's folder"),
        ("/var/lib/orderly", "apart from paths.hold"),
        (
            "/var/lib/orderly/hold",
            "apart from paths.hold = \"/var/lib/orderly/hold\": whatever lies there holds",
        ),
        ("/etc/orderly/appliance.toml", "apart from the configuration"),
        ("/etc/orderly/organization.keys.json", "apart from trust.organization_keys"),
        ("/etc/orderly/exceptions/password", "apart from paths.exceptions"),
        ("/etc/acme.key", "apart from secrets.restic = \"/etc/acme.key\": one would replace the other"),
        // What it is written to before it takes its place.
        ("/etc/acme.key.new", "apart from secrets.restic"),
    ] {
        let complaint = complaint(&with(path));
        assert!(complaint.contains(why), "{path}: expected {why:?} in: {complaint}");
        let key = if path.starts_with("/etc/acme") { "secrets.acme = " } else { "secrets.restic = " };
        assert!(complaint.contains(key) && complaint.contains(path.trim_end_matches(".new")), "{complaint}");
    }
    // Beside, and the very file that a repository's password is read from.
    for path in [
        "/etc/orderly/restic.password",
        "/var/lib/orderly/restic.password",
        "/srv/uploads-2",
        // A backup may have it too: it is encrypted, and by nobody's secret but this one.
        "/srv/records/password",
        "/run/password",
    ] {
        assert!(parse(&with(path)).is_ok(), "{path}: {:?}", parse(&with(path)).err());
    }
}
