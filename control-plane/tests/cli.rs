//! The command line against a real server: over the admin socket, and over TLS with a token.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "cli/deciding.rs"]
mod deciding;
#[path = "common/home.rs"]
mod home;
#[path = "common/program.rs"]
mod program;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use home::Home;
use program::run;
use serde_json::Value;

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn tenants_sites_and_tickets() {
    let home = Home::new();
    let server = home.start();
    let tenant = home.json(&["tenant", "create", "Elm Street Clinic"]);
    assert_eq!(tenant["name"], "Elm Street Clinic");
    assert_eq!(tenant["log_origin"], format!("evidence.msp.example/{}", tenant["id"].as_str().unwrap()));
    let again = home.run(&["tenant", "create", "Elm Street Clinic"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("is taken"), "{}", again.err);
    let listed = home.json(&["tenant", "list"]);
    // Its making is the first entry of its log.
    let mut since = tenant.clone();
    since["log_size"] = 1.into();
    assert_eq!(listed["tenants"], Value::from(vec![since]));
    let table = home.run(&["tenant", "list"]).out;
    assert!(table.starts_with("ID ") && table.contains("Elm Street Clinic"), "{table}");

    let site = home.json(&["site", "create", "--tenant", "Elm Street Clinic", "Main"]);
    let by_id = home.json(&["site", "list", "--tenant", tenant["id"].as_str().unwrap()]);
    assert_eq!(by_id["sites"], Value::from(vec![site]));

    let asked =
        ["appliance", "token", "--tenant", "Elm Street Clinic", "--site", "Main", "--out", "ticket.json"];
    let said = home.run(&asked);
    assert_eq!(said.code, 0, "{}", said.err);
    let file = home.path().join("ticket.json");
    assert_eq!(mode(&file), 0o600);
    let ticket: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert!(!said.out.contains(ticket["token"].as_str().unwrap()), "a ticket in a file is nowhere else");
    let keys: Vec<_> = ticket.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["address", "ca_pem", "expires", "organization_keys", "token"]);
    let trust: Value =
        serde_json::from_slice(&fs::read(home.directory().organization_keys()).unwrap()).unwrap();
    assert_eq!(ticket["organization_keys"], trust, "what the appliance pins is the trust file");
    assert_eq!(ticket["ca_pem"], fs::read_to_string(home.directory().ca_certificate()).unwrap());
    let taken = home.run(&asked);
    assert!(taken.code == 1 && taken.err.contains("not overwritten"), "{}", taken.err);

    let nowhere = home.run(&["appliance", "token", "--tenant", "Elm Street Clinic", "--site", "Nowhere"]);
    assert!(nowhere.code == 1 && nowhere.err.contains("no site"), "{}", nowhere.err);
    for (noun, key) in [("appliance", "appliances"), ("incident", "incidents"), ("order", "orders")] {
        assert_eq!(home.json(&[noun, "list"])[key], Value::Array(Vec::new()));
        assert_eq!(home.run(&[noun, "list"]).out, "none\n");
    }
    server.end();
    assert!(!home.directory().admin_socket().exists());
}

/// Set, shown, taken back; and what was mistyped names the field.
#[test]
fn clinic_hours_and_maintenance_windows() {
    const CLINIC: &str = "Elm Street Clinic";
    let home = Home::new();
    let server = home.start();
    let tenant = home.json(&["tenant", "create", CLINIC]);
    for (noun, field) in [("hours", "clinic_hours"), ("windows", "windows")] {
        assert_eq!(tenant[field], Value::Array(Vec::new()));
        let week = ["monday-friday 08:00-18:00 America/Chicago", "saturday 09:00-12:00 America/Chicago"];
        let set = home.json(&["tenant", noun, CLINIC, week[0], week[1]]);
        assert_eq!(set[field], Value::from(week.to_vec()));
        assert_eq!(home.json(&["tenant", noun, CLINIC])[field], set[field], "without times they are shown");
        assert_eq!(home.json(&["tenant", "list"])["tenants"][0][field], set[field]);
        let said = home.run(&["tenant", noun, CLINIC]).out;
        assert!(said.contains(&week.join("; ")), "{said}");
        for (times, named) in [
            ("mon-fri 08:00-18:00 America/Chicago", "days must be one of: monday"),
            ("daily 8-18 America/Chicago", "hours must be two times of day"),
            ("daily 08:00-18:00 America/Gotham", "zone must be in the IANA time zone database"),
            ("daily 08:00-18:00", "zone must be an IANA time zone"),
        ] {
            let refused = home.run(&["tenant", noun, CLINIC, times]);
            assert!(refused.code == 2 && refused.err.contains(named), "{times}: {}", refused.err);
        }
        let help = home.run(&["tenant", noun, "--help"]).out;
        assert!(help.contains(&format!("tenant {noun} \"Elm Street Clinic\" --off")), "{help}");
        let nowhere = home.run(&["tenant", noun, "Nowhere", week[0]]);
        assert!(nowhere.code == 1 && nowhere.err.contains("no tenant"), "{}", nowhere.err);
        let both = home.run(&["tenant", noun, CLINIC, week[0], "--off"]);
        assert_eq!(both.code, 2, "{}", both.err);
        assert_eq!(home.json(&["tenant", noun, CLINIC])[field], set[field], "nothing has changed");
        let off = home.json(&["tenant", noun, CLINIC, "--off"]);
        assert_eq!(off[field], Value::Array(Vec::new()));
        let said = home.run(&["tenant", noun, CLINIC]).out;
        assert!(said.contains("none: "), "{said}");
    }
    server.end();
}

#[test]
fn over_the_network_a_token_and_the_right_authority_are_needed() {
    let home = Home::new();
    let server = home.start();
    home.json(&["tenant", "create", "Elm Street Clinic"]);
    let made = home.json(&[
        "operator",
        "token",
        "--name",
        "alice",
        "--role",
        "operator",
        "--days",
        "1",
        "--out",
        "alice.token",
    ]);
    assert_eq!(
        (made["about"]["name"].as_str(), mode(home.path().join("alice.token"))),
        (Some("alice"), 0o600)
    );
    let address = format!("https://{}", server.people);
    let remote = |token: &str, more: &[&str]| {
        let ca = home.directory().ca_certificate().display().to_string();
        let start = ["--address", &address, "--token-file", token, "--ca", &ca, "--json"];
        run(home.path(), &[&start, more].concat())
    };
    assert_eq!(remote("alice.token", &["tenant", "list"]).json()["tenants"][0]["name"], "Elm Street Clinic");

    let secret = home.path().join("wrong.token");
    fs::write(&secret, "not-a-token").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(remote("wrong.token", &["tenant", "list"]).code, 1);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = remote("wrong.token", &["tenant", "list"]);
    assert!(exposed.code == 1 && exposed.err.contains("chmod 600"), "{}", exposed.err);

    // A server that another authority vouches for never sees the token.
    let stranger = Home::new();
    let ca = stranger.directory().ca_certificate().display().to_string();
    let pinned = ["--address", &address, "--token-file", "alice.token", "--ca", &ca, "tenant", "list"];
    let refused = run(home.path(), &pinned);
    assert!(refused.code == 1 && refused.err.contains("certificate"), "{}", refused.err);

    let tokens = home.json(&["operator", "list"]);
    assert_eq!(tokens["tokens"][0]["name"], "alice");
    assert!(tokens["tokens"][0]["used"].is_string(), "{tokens}");
    assert_eq!(home.json(&["operator", "revoke", "alice"])["revoked"], true);
    assert_eq!(remote("alice.token", &["tenant", "list"]).code, 1);
    server.end();
}

#[test]
fn wrong_usage_is_2_and_says_what_would_be_right() {
    let home = Home::new();
    for (arguments, says) in [
        (&["--address", "https://a:1", "tenant", "list"][..], "--token-file"),
        (&["--token-file", "x", "tenant", "list"], "--address"),
        (&["--address", "http://a:1", "--token-file", "x", "tenant", "list"], "must be https://HOST:PORT"),
        (&["tenant"], "Usage"),
        (&["charter", "renew", "--key", "a", "--days", "181"], "1..=180"),
        (
            &["catalogue", "build", ".", "--version", "0", "--expires", "2027-01-01", "--out", "x"],
            "--version",
        ),
        (&["catalogue", "build", ".", "--version", "1", "--expires", "soon", "--out", "x"], "2027-11-01"),
    ] {
        let said = home.run(arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(says), "{arguments:?} -> {}", said.err);
        assert_eq!(said.out, "");
    }
    let absent = home.run(&["tenant", "list"]);
    assert!(
        absent.code == 1 && absent.err.contains("no control plane answers on orderly/admin.sock"),
        "{}",
        absent.err
    );
    let help = home.run(&["appliance", "token", "--help"]);
    assert!(help.code == 0 && help.out.contains("Example:"), "{}", help.out);
}

#[test]
fn settings_are_checked_before_anything_is_done() {
    let home = Home::new();
    assert_eq!(home.json(&["serve", "--check-config"])["right"], true);
    let config = home.directory().config();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("lifetime_seconds = 600", "lifetime_seconds = 9000")).unwrap();
    for arguments in [&["serve", "--check-config"][..], &["serve"]] {
        let said = home.run(arguments);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(
            said.err.contains("orders.lifetime_seconds is \"9000\", must be a whole number from 10 to 900"),
            "{}",
            said.err
        );
    }
    // Whose settings they are, the charter knows.
    fs::write(&config, text.replace("\"msp.example\"", "\"other.example\"")).unwrap();
    let before = everything(home.path());
    for arguments in [&["serve", "--check-config"][..], &["serve"]] {
        let said = home.run(arguments);
        assert_eq!(said.code, 2, "{}", said.err);
        let right = "organization is \"other.example\", must be \"msp.example\", as the charter says";
        assert!(said.err.contains(right), "{}", said.err);
    }
    assert_eq!(everything(home.path()), before, "nothing was written");
    assert!(!home.directory().database().exists());
}

/// Every file below `folder`, with what is in it.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(everything(&path));
        } else {
            all.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    all
}

#[test]
fn a_charter_is_renewed_by_two_people_with_and_without_a_server() {
    let home = Home::new();
    let [one, two, release] =
        ["organization-1", "organization-3", "release-1"].map(|name| home.offline(name));
    let renew = |keys: &[&str]| {
        let keys: Vec<&str> = keys.iter().flat_map(|key| ["--key", key]).collect();
        home.run(&[&["charter", "renew", "--json", "--days", "90"], keys.as_slice()].concat())
    };
    for (keys, says) in [
        (&[&*one][..], "2 different organization keys must sign, 1 given"),
        (&[&*one, &*one], "2 different organization keys must sign, 1 given"),
        (&[&*one, &*release], "is not a key of msp.example"),
    ] {
        let said = renew(keys);
        assert!(said.code == 2 && said.err.contains(says), "{}", said.err);
    }
    assert_eq!(home.json(&["charter", "show"])["serial"], 1, "nothing came of these");

    let renewed = renew(&[&one, &two]).json();
    assert_eq!((renewed["serial"].as_u64(), renewed["source"].as_str()), (Some(2), Some("file")));
    let server = home.start();
    let renewed = renew(&[&one, &two]).json();
    assert_eq!(renewed["source"], "server");
    let shown = home.json(&["charter", "show"]);
    assert_eq!((&shown["serial"], &shown["source"]), (&renewed["serial"], &Value::from("server")));
    server.end();
    let shown = home.json(&["charter", "show"]);
    assert_eq!(
        (&shown["serial"], &shown["source"]),
        (&renewed["serial"], &Value::from("file")),
        "also beside it"
    );
    // Only against keys that lie apart.
    let stranger = Home::new();
    let trust = stranger.directory().organization_keys().display().to_string();
    let said = home.run(&["charter", "show", "--trust", &trust]);
    assert!(said.code == 1 && said.err.contains("not signed by enough"), "{}", said.err);
}

/// A folder with the runbooks that ship.
fn runbooks(home: &Home) -> PathBuf {
    let folder = home.path().join("runbooks");
    fs::create_dir(&folder).unwrap();
    for (name, text) in runbooks::sources() {
        fs::write(folder.join(name), text).unwrap();
    }
    folder
}

#[test]
fn a_catalogue_goes_from_yaml_to_the_server() {
    let home = Home::new();
    runbooks(&home);
    let build = |version: &str, expires: &str, out: &str| {
        home.run(&[
            "catalogue",
            "build",
            "runbooks",
            "--version",
            version,
            "--expires",
            expires,
            "--out",
            out,
        ])
    };
    assert_eq!(build("2", "2100-01-01", "two.json").code, 0);
    assert_eq!(build("2", "2100-01-01", "two.json").code, 1, "an existing file is left alone");
    let verify = |file: &str| {
        let (trust, charter) = ("orderly/trust/organization.keys.json", "orderly/charter.json");
        let said = home.run(&["catalogue", "verify", "--json", "--trust", trust, "--charter", charter, file]);
        let verdict: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}", said.err));
        (said.code, verdict["verdict"].as_str().unwrap().to_owned())
    };
    let sign = |key: &str, file: &str| home.run(&["catalogue", "sign", "--key", key, file]);
    let [first, second, organization] =
        ["release-1", "release-2", "organization-1"].map(|name| home.offline(name));

    assert_eq!(verify("two.json"), (1, "not-enough".to_owned()));
    let said = sign(&first, "two.json");
    assert!(
        said.code == 0 && said.out.contains("RB-DISK-002"),
        "who signs sees what: {}{}",
        said.out,
        said.err
    );
    assert_eq!(verify("two.json"), (1, "not-enough".to_owned()));
    assert_eq!(sign(&first, "two.json").code, 0);
    assert_eq!(verify("two.json"), (1, "not-enough".to_owned()), "one key twice is one");
    assert_eq!(sign(&organization, "two.json").code, 0);
    assert_eq!(verify("two.json"), (1, "not-enough".to_owned()), "a key of another use does not count");
    assert_eq!(sign(&second, "two.json").code, 0);
    assert_eq!(verify("two.json"), (0, "valid".to_owned()));

    assert_eq!(build("3", "2100-01-01", "half.json").code, 0);
    assert_eq!(sign(&first, "half.json").code, 0);
    let server = home.start();
    assert_eq!(home.json(&["catalogue", "show"])["version"], 1);
    let published = home.json(&["catalogue", "publish", "two.json"]);
    assert_eq!(published["version"], 2);
    assert_eq!(home.json(&["catalogue", "show"]), published);
    for refused in ["half.json", "orderly/catalogue.json", "orderly/charter.json"] {
        let said = home.run(&["catalogue", "publish", refused]);
        assert_eq!(said.code, 2, "{refused}: {}", said.err);
    }
    assert_eq!(home.json(&["catalogue", "show"])["version"], 2);
    server.end();

    // What is no catalogue is not signed as one.
    let before = fs::read(home.directory().charter()).unwrap();
    assert_eq!(sign(&first, "orderly/charter.json").code, 1);
    assert_eq!(fs::read(home.directory().charter()).unwrap(), before);
}

#[test]
fn a_catalogue_whose_time_is_over_is_told_apart() {
    use proto::{keys::SecretKey, time::Millis};
    let home = Home::new();
    let read = |name: &str| control_plane::files::read_secret_key(Path::new(&home.offline(name))).unwrap();
    let keys: [SecretKey; 2] = ["release-1", "release-2"].map(read);
    let runbooks =
        runbooks::sources().iter().map(|(name, text)| runbooks::from_yaml(text, name).unwrap()).collect();
    let past: Millis = "2020-01-01T00:00:00Z".parse().unwrap();
    let payload =
        runbooks::Catalogue::build(5, past, past.plus(std::time::Duration::from_secs(1)), runbooks).unwrap();
    fs::write(home.path().join("old.json"), runbooks::Catalogue::seal(&payload, &keys.each_ref())).unwrap();
    let trust = "orderly/trust/organization.keys.json";
    let said =
        home.run(&["catalogue", "verify", "--trust", trust, "--charter", "orderly/charter.json", "old.json"]);
    assert!(said.code == 3 && said.out.starts_with("expired"), "{}{}", said.out, said.err);
    let stranger = Home::new();
    let trust = stranger.directory().organization_keys().display().to_string();
    let said = home.run(&[
        "catalogue",
        "verify",
        "--trust",
        &trust,
        "--charter",
        "orderly/charter.json",
        "old.json",
    ]);
    assert!(said.code == 1 && said.out.starts_with("refused"), "{}{}", said.out, said.err);
}

#[test]
fn keys_are_made_once_and_only_the_public_half_is_shown() {
    let home = Home::new();
    for kind in ["ed25519", "p256"] {
        let file = format!("{kind}.key");
        let said = home.run(&["catalogue", "keygen", "--kind", kind, "--out", &file]);
        assert_eq!(said.code, 0, "{}", said.err);
        let path = home.path().join(&file);
        assert_eq!(mode(&path), 0o600);
        let key = control_plane::files::read_secret_key(&path).unwrap();
        assert_eq!(said.out.trim(), key.public().to_string());
        let again = home.run(&["catalogue", "keygen", "--kind", kind, "--out", &file]);
        assert!(again.code == 1 && again.err.contains("not overwritten"), "{}", again.err);
        assert_eq!(control_plane::files::read_secret_key(&path).unwrap().public(), key.public());
    }
}

#[test]
fn a_new_clinics_log_begins_with_its_making() {
    let home = Home::new();
    let server = home.start();
    home.json(&["tenant", "create", "Elm Street Clinic"]);
    let listed = home.json(&["evidence", "list", "--tenant", "Elm Street Clinic"]);
    assert_eq!((listed["size"].as_u64(), listed["evidence"].as_array().map(Vec::len)), (Some(1), Some(1)));
    // Who has access to it: the first owner, whom `init` invited.
    assert_eq!(listed["evidence"][0]["kind"], "access");
    let exported = home.run(&["evidence", "export", "--tenant", "Elm Street Clinic", "--out", "bundle"]);
    server.end();
    assert_eq!(exported.code, 0, "{}", exported.err);
    assert!(home.path().join("bundle").exists());
}

#[test]
fn verifying_needs_a_bundle_and_a_trust_file_to_say_anything() {
    let home = Home::new();
    let trust = "orderly/trust/organization.keys.json";
    fs::create_dir(home.path().join("empty")).unwrap();
    for (arguments, code, says) in [
        (&["evidence", "verify", "--trust", trust, "none"][..], 2, "must be the folder of a bundle"),
        (&["evidence", "verify", "--trust", "none", "empty"], 2, "must be a file of organization keys"),
        (
            &["evidence", "verify", "--trust", "orderly/charter.json", "empty"],
            2,
            "must be a file of organization keys",
        ),
        (&["evidence", "verify", "--trust", trust, "empty"], 3, "NOT PROVEN"),
    ] {
        let said = home.run(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {}{}", said.out, said.err);
        assert!(
            format!("{}{}", said.out, said.err).contains(says),
            "{arguments:?}: {}{}",
            said.out,
            said.err
        );
    }
}
