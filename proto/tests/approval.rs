//! Approvals: WebAuthn assertions, built by hand as section 6.1 and 7.2 of W3C WebAuthn Level 3 lay them out.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use proto::{
    approval::{Approval, ApprovalError, approvers},
    charter::Approver,
    digest::Digest,
    keys::SecretKey,
};

const RP: &str = "msp.example";
const ORIGIN: &str = "https://console.msp.example";

struct Person {
    key: SecretKey,
    approver: Approver,
}

fn person(name: &str) -> Person {
    let key = SecretKey::generate_p256();
    let approver = Approver { name: name.into(), key: key.public(), rp_id: RP.into(), origin: ORIGIN.into() };
    Person { key, approver }
}

fn core() -> Digest {
    Digest::of(b"the order's core")
}

/// rpIdHash || flags || signCount.
fn authenticator_data(rp: &str, flags: u8) -> Vec<u8> {
    [&Digest::of(rp.as_bytes()).0[..], &[flags], &7_u32.to_be_bytes()].concat()
}

fn client_data(kind: &str, challenge: Digest, origin: &str) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(challenge.0);
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#)
}

fn assertion(person: &Person, authenticator_data: Vec<u8>, client_data: &str) -> Approval {
    let signed = [&authenticator_data[..], &Digest::of(client_data.as_bytes()).0].concat();
    Approval {
        approver: person.approver.name.clone(),
        authenticator_data,
        client_data: client_data.as_bytes().to_vec(),
        signature: person.key.sign(&signed),
    }
}

fn approval(person: &Person) -> Approval {
    assertion(person, authenticator_data(RP, 0x05), &client_data("webauthn.get", core(), ORIGIN))
}

#[test]
fn an_assertion_over_this_core_counts() {
    let (ann, bob) = (person("ann"), person("bob"));
    let known = [ann.approver.clone(), bob.approver.clone()];
    assert_eq!(approvers(&[], &known, core()), Ok([].into()));
    assert_eq!(approvers(&[approval(&ann)], &known, core()), Ok(["ann"].into()));
    assert_eq!(approvers(&[approval(&bob), approval(&ann)], &known, core()), Ok(["ann", "bob"].into()));
}

#[test]
fn the_same_person_twice_is_one() {
    let ann = person("ann");
    let twice = [approval(&ann), approval(&ann)];
    assert_eq!(approvers(&twice, std::slice::from_ref(&ann.approver), core()).unwrap().len(), 1);
}

#[test]
fn what_newer_browsers_and_keys_add_is_tolerated() {
    let ann = person("ann");
    let known = [ann.approver.clone()];
    let more =
        client_data("webauthn.get", core(), ORIGIN).replace('}', r#","extra_keys_may_be_added_here":"yes"}"#);
    // Backup flags, extension data after the counter, and client data without crossOrigin.
    let extended = [authenticator_data(RP, 0x9d), vec![0xa0]].concat();
    let bare = client_data("webauthn.get", core(), ORIGIN).replace(r#","crossOrigin":false"#, "");
    for (authenticator, client) in [
        (authenticator_data(RP, 0x05), more.as_str()),
        (extended, bare.as_str()),
        (authenticator_data(RP, 0xff), bare.as_str()),
    ] {
        assert!(approvers(&[assertion(&ann, authenticator, client)], &known, core()).is_ok(), "{client}");
    }
}

#[test]
fn each_part_must_be_right() {
    let (ann, bob) = (person("ann"), person("bob"));
    let known = [ann.approver.clone(), bob.approver.clone()];
    let good_client = client_data("webauthn.get", core(), ORIGIN);
    let good_authenticator = || authenticator_data(RP, 0x05);
    let client = |text: &str| assertion(&ann, good_authenticator(), text);
    let authenticator = |data: Vec<u8>| assertion(&ann, data, &good_client);
    let mut unsigned = approval(&ann);
    unsigned.signature.clear();
    let mut by_bob = approval(&bob);
    by_bob.approver = "ann".into();
    let mut other_bytes = approval(&ann);
    other_bytes.client_data.push(b' ');
    let mut other_count = approval(&ann);
    other_count.authenticator_data[36] ^= 1;
    type Says = fn(&ApprovalError) -> bool;
    let client_error: Says = |e| matches!(e, ApprovalError::ClientData { .. });
    let authenticator_error: Says = |e| matches!(e, ApprovalError::AuthenticatorData { .. });
    let signature_error: Says = |e| matches!(e, ApprovalError::Signature { .. });
    let cases: Vec<(&str, Approval, Says)> = vec![
        ("another core", client(&client_data("webauthn.get", Digest::of(b"another"), ORIGIN)), client_error),
        ("padded challenge", client(&good_client.replace(r#"","origin"#, r#"=","origin"#)), client_error),
        (
            "no challenge",
            client(r#"{"type":"webauthn.get","origin":"https://console.msp.example"}"#),
            client_error,
        ),
        ("a registration", client(&client_data("webauthn.create", core(), ORIGIN)), client_error),
        (
            "another origin",
            client(&client_data("webauthn.get", core(), "https://evil.example")),
            client_error,
        ),
        (
            "the same host, plain",
            client(&client_data("webauthn.get", core(), "http://console.msp.example")),
            client_error,
        ),
        (
            "an origin that only begins so",
            client(&client_data("webauthn.get", core(), "https://console.msp.example.evil")),
            client_error,
        ),
        ("inside another page", client(&good_client.replace("false", "true")), client_error),
        (
            "the challenge twice",
            client(&good_client.replacen('{', r#"{"challenge":"AAAA","#, 1)),
            client_error,
        ),
        ("not JSON", client("webauthn.get"), client_error),
        ("nothing", client(""), client_error),
        (
            "another relying party",
            authenticator(authenticator_data("evil.example", 0x05)),
            authenticator_error,
        ),
        ("nobody present", authenticator(authenticator_data(RP, 0x04)), authenticator_error),
        ("present, not verified", authenticator(authenticator_data(RP, 0x01)), authenticator_error),
        ("no flags set", authenticator(authenticator_data(RP, 0x00)), authenticator_error),
        ("too short", authenticator(authenticator_data(RP, 0x05)[..36].to_vec()), authenticator_error),
        ("without flags", authenticator(authenticator_data(RP, 0x05)[..32].to_vec()), authenticator_error),
        ("empty", authenticator(Vec::new()), authenticator_error),
        ("not signed", unsigned, signature_error),
        ("signed by somebody else", by_bob, signature_error),
        ("client data changed afterwards", other_bytes, signature_error),
        ("authenticator data changed afterwards", other_count, signature_error),
    ];
    for (case, wrong, says) in cases {
        let refused = approvers(std::slice::from_ref(&wrong), &known, core()).unwrap_err();
        assert!(says(&refused), "{case}: {refused}");
        // One that does not hold is not outvoted by one that does.
        assert!(approvers(&[approval(&bob), wrong], &known, core()).is_err(), "{case}");
    }
}

#[test]
fn nobody_approves_who_is_not_in_the_charter() {
    let (ann, eve) = (person("ann"), person("eve"));
    let unknown = [approval(&eve)];
    let refused = approvers(&unknown, std::slice::from_ref(&ann.approver), core());
    assert_eq!(refused, Err(ApprovalError::UnknownApprover("eve".into())));
    // Nor under the name of one who is.
    let impostor = Person { approver: ann.approver.clone(), ..eve };
    assert!(matches!(
        approvers(&[approval(&impostor)], &[ann.approver], core()),
        Err(ApprovalError::Signature { .. })
    ));
}

#[test]
fn a_signature_over_the_core_itself_is_no_approval() {
    let ann = person("ann");
    let bare = Approval { signature: ann.key.sign(&core().0), ..approval(&ann) };
    assert!(matches!(approvers(&[bare], &[ann.approver], core()), Err(ApprovalError::Signature { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_is_refused_and_never_panics(
        authenticator_data in prop::collection::vec(any::<u8>(), 0..80),
        client_data in prop::collection::vec(any::<u8>(), 0..80),
        signature in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let ann = person("ann");
        let wrong = Approval { approver: "ann".into(), authenticator_data, client_data, signature };
        prop_assert!(approvers(&[wrong], &[ann.approver], core()).is_err());
    }
}
