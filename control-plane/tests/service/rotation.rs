//! The server's own keys exchanged by its operator, from the command line, while it runs.

use std::fs;

use control_plane::{ca::CertificateAuthority, clock, store::Store};
use proto::{charter::OrganizationKeys, keys::PublicKey};
use runbooks::Policy;

use crate::home::Home;

/// The one order key that a clinic's policy in the database verifies under.
fn signed_by<'a>(home: &Home, clinic: &str, keys: &[&'a str]) -> Vec<&'a str> {
    let directory = home.directory();
    let trust = OrganizationKeys::parse(&fs::read(directory.organization_keys()).unwrap()).unwrap();
    let mut charter = trust.open(&fs::read(directory.charter()).unwrap()).unwrap().into_value();
    let row = Store::open_reader(&directory.database()).unwrap().tenant_called(clinic).unwrap().unwrap();
    let mut verifies = |key: &str| {
        charter.order_keys = [key.parse::<PublicKey>().unwrap()].into();
        Policy::open(&row.policy, &charter).is_ok()
    };
    keys.iter().copied().filter(|key| verifies(key)).collect()
}

#[test]
fn order_and_log_keys_are_exchanged_without_a_moment_of_standstill() {
    let home = Home::new();
    let server = home.start();
    home.json(&["tenant", "create", "Elm Street Clinic"]);
    let (order, log) = (home.json(&["key", "rotate", "order"]), home.json(&["key", "rotate", "log"]));
    let of = |made: &serde_json::Value, what: &str| made[what].as_str().unwrap().to_owned();
    let (old, new) = (of(&order, "old"), of(&order, "public_key"));
    let (old_log, new_log) = (of(&log, "old"), of(&log, "public_key"));
    let again = home.run(&["key", "rotate", "order"]);
    assert!(again.code == 2 && again.err.contains("one exchange after the other"), "{}", again.err);

    // Made, and nothing is different.
    home.json(&["tenant", "create", "Oak Street Clinic"]);
    assert_eq!(signed_by(&home, "Oak Street Clinic", &[&old, &new]), [&old]);
    let signers = [home.offline("organization-1"), home.offline("organization-2")];
    let renew = |more: &[&str]| {
        let renew = ["charter", "renew", "--key", &signers[0], "--key", &signers[1]];
        home.run(&[&renew, more].concat())
    };
    let both = renew(&["--order-key", &new, "--log-key", &new_log]);
    assert_eq!(both.code, 0, "{}", both.err);
    home.json(&["tenant", "create", "Ash Street Clinic"]);
    assert_eq!(signed_by(&home, "Ash Street Clinic", &[&old, &new]), [&new]);
    assert_eq!(signed_by(&home, "Elm Street Clinic", &[&old, &new]), [&old], "the old one counts as yet");

    // A key that the server does not have, alone, would stop it: refused, and nothing changed.
    let stranger = format!("ed25519:{}", "07".repeat(32));
    let refused =
        renew(&["--order-key", &stranger, "--without-order-key", &old, "--without-order-key", &new]);
    assert!(
        refused.code == 2 && refused.err.contains("must name the keys"),
        "{} {}",
        refused.code,
        refused.err
    );
    let only = renew(&["--without-order-key", &old, "--without-log-key", &old_log]);
    assert_eq!(only.code, 0, "{}", only.err);
    assert_eq!(signed_by(&home, "Elm Street Clinic", &[&old, &new]), [&new], "signed anew");
    let none = renew(&["--without-order-key", &new]);
    assert!(none.code == 2 && none.err.contains("one key at least"), "{}", none.err);

    // The next exchange tidies up after this one; it was interrupted in the midst of it.
    fs::copy(home.directory().next_order_key(), home.directory().order_key()).unwrap();
    let next = home.json(&["key", "rotate", "order"]);
    assert_eq!(of(&next, "old"), new);
    server.end();
    let server = home.start();
    home.json(&["tenant", "create", "Fir Street Clinic"]);
    assert_eq!(signed_by(&home, "Fir Street Clinic", &[&old, &new]), [&new]);
    let listed = home.json(&["key", "list"]);
    let named = |key: &str| {
        listed["keys"].as_array().unwrap().iter().any(|k| k["public_key"] == key && k["named"] == true)
    };
    assert!(named(&new) && named(&new_log) && !named(&old), "{listed}");
    server.end();
}

#[test]
fn the_certificate_authority_is_exchanged_without_a_moment_of_standstill() {
    let home = Home::new();
    let server = home.start();
    home.json(&["tenant", "create", "Elm Street Clinic"]);
    home.json(&["site", "create", "--tenant", "Elm Street Clinic", "Main"]);
    let directory = home.directory();
    let old_pem = fs::read_to_string(directory.ca_certificate()).unwrap();
    let pinned = || {
        let ticket = ["appliance", "token", "--tenant", "Elm Street Clinic", "--site", "Main"];
        home.json(&ticket)["ca_pem"].as_str().unwrap().to_owned()
    };
    let made = home.json(&["key", "rotate", "ca"]);
    let of = |what: &str| made[what].as_str().unwrap().to_owned();
    let (old, new, file) = (of("old"), of("fingerprint"), of("file"));
    let again = home.run(&["key", "rotate", "ca"]);
    assert!(again.code == 2 && again.err.contains("one exchange after the other"), "{}", again.err);
    assert_eq!(pinned(), old_pem, "nobody has named it");

    let signers = [home.offline("organization-1"), home.offline("organization-2")];
    let renew = |more: &[&str]| {
        let renew = ["charter", "renew", "--key", &signers[0], "--key", &signers[1]];
        home.run(&[&renew, more].concat())
    };
    // Not here, alone, it would stop the server: refused, and nothing changed.
    let stranger = CertificateAuthority::create("msp.example", clock::now(), [7; 16]).unwrap();
    let strange = home.path().join("stranger.pem");
    fs::write(&strange, stranger.certificate_pem()).unwrap();
    let refused = renew(&["--authority", strange.to_str().unwrap(), "--without-authority", &old]);
    assert!(refused.code == 2 && refused.err.contains("must name one that is here"), "{}", refused.err);
    for (bad, says) in [
        (&["--without-authority", &old][..], "one authority at least"),
        (&["--without-authority", &new], "names no such authority"),
        (&["--authority", &signers[0]], "must be PEM certificates"),
    ] {
        let refused = renew(bad);
        assert!(refused.code == 2 && refused.err.contains(says), "{bad:?}: {}", refused.err);
    }
    assert_eq!(renew(&["--authority", &file]).code, 0);
    let new_pem = fs::read_to_string(directory.next_ca_certificate()).unwrap();
    assert_eq!(pinned(), format!("{old_pem}{new_pem}"));
    assert_eq!(renew(&["--without-authority", &old]).code, 0);
    assert_eq!(pinned(), new_pem);
    // The server has put it in the place of the one before, whose key is gone.
    assert_eq!(fs::read_to_string(directory.ca_certificate()).unwrap(), new_pem);
    assert!(!directory.next_ca_certificate().exists() && !directory.next_ca_key().exists());
    server.end();
    let server = home.start();
    let listed = home.json(&["key", "list"]);
    let is_listed =
        |print: &str| listed["keys"].as_array().unwrap().iter().any(|k| k["fingerprint"] == print);
    assert!(is_listed(&new) && !is_listed(&old), "{listed}");
    assert_eq!(home.json(&["key", "rotate", "ca"])["old"], new);
    server.end();
}
