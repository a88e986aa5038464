//! Certificates as the contract reads them: one name, no CA, from the charter's authority, and nothing after the end.
//!
//! They stand here and not in `proto`, as here is who makes certificates.

use control_plane::ca::CertificateAuthority;
use proptest::prelude::*;
use proto::{
    digest::Digest,
    field::BadField,
    identity::{CertificateFacts, SpiffeId, csr_spki},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _, SanType,
};

use crate::world::{DAY, ORGANIZATION, START};

const NAME: &str = "spiffe://msp.example/tenant/0190a0c0-0000-7000-8000-000000000001/appliance/0190a0c0-0000-7000-8000-000000000002";

/// An authority of the test's own, which signs anything.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    authority_with(|_| {})
}

fn authority_with(change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

impl Authority {
    fn leaf(
        &self,
        key: &KeyPair,
        names: Vec<SanType>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        change(&mut params);
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn why(outcome: Result<CertificateFacts, BadField>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn a_certificate_says_one_name_one_key_and_its_life() {
    let (authority, key) = (authority(), key());
    let der = authority.leaf(&key, vec![uri(NAME)], |params| {
        params.not_before = rcgen::date_time_ymd(2026, 11, 1);
        params.not_after = rcgen::date_time_ymd(2026, 11, 8);
    });
    let facts = CertificateFacts::issued_by(&der, &[authority.pem]).unwrap();
    assert_eq!(facts.spiffe.to_string(), NAME);
    assert_eq!(facts.spki, Digest::of(&key.subject_public_key_info()));
    assert_eq!(facts.not_before, "2026-11-01T00:00:00Z".parse().unwrap());
    assert_eq!(facts.not_after, "2026-11-08T00:00:00Z".parse().unwrap());
}

#[test]
fn exactly_one_uri_is_the_name() {
    let (authority, key) = (authority(), key());
    let dns = || SanType::DnsName("msp.example".try_into().unwrap());
    let names = |names| CertificateFacts::read(&authority.leaf(&key, names, |_| {}));
    assert_eq!(names(vec![dns(), uri(NAME), dns()]).unwrap().spiffe.to_string(), NAME);
    let other = NAME.replace("000000000002", "000000000003");
    for (case, wrong) in [
        ("none at all", vec![]),
        ("no URI", vec![dns()]),
        ("two", vec![uri(NAME), uri(&other)]),
        ("the same twice", vec![uri(NAME), uri(NAME)]),
        ("one of them something else", vec![uri(NAME), uri("https://msp.example/")]),
    ] {
        assert!(why(names(wrong)).contains("exactly one URI SAN"), "{case}");
    }
    for wrong in [
        "https://msp.example/",
        "spiffe://msp.example/tenant/x/appliance/y",
        &NAME.replace("spiffe", "SPIFFE"),
        &NAME.replace("0190a0c0", "0190A0C0"),
        &format!("{NAME}/"),
        &format!("{NAME}?x"),
        &NAME.replace("msp.example", ""),
        &NAME.replace("tenant", "site"),
    ] {
        assert!(why(names(vec![uri(wrong)])).contains("spiffe://"), "{wrong}");
    }
}

#[test]
fn a_ca_is_no_appliance() {
    let (authority, key) = (authority(), key());
    for is_ca in [IsCa::Ca(BasicConstraints::Unconstrained), IsCa::Ca(BasicConstraints::Constrained(0))] {
        let der = authority.leaf(&key, vec![uri(NAME)], |params| params.is_ca = is_ca);
        assert!(why(CertificateFacts::read(&der)).contains("CA"));
    }
    let der = authority.leaf(&key, vec![uri(NAME)], |params| params.is_ca = IsCa::ExplicitNoCa);
    assert!(CertificateFacts::read(&der).is_ok());
}

#[test]
fn it_must_come_from_one_of_the_charters_authorities() {
    let (ours, older, stranger, key) = (authority(), authority(), authority(), key());
    let by = |authority: &Authority| authority.leaf(&key, vec![uri(NAME)], |_| {});
    let listed = [older.pem.clone(), ours.pem.clone()];
    assert!(CertificateFacts::issued_by(&by(&ours), &listed).is_ok());
    assert!(CertificateFacts::issued_by(&by(&older), &listed).is_ok());
    assert!(why(CertificateFacts::issued_by(&by(&stranger), &listed)).contains("authority"));
    assert!(why(CertificateFacts::issued_by(&by(&ours), &[])).contains("authority"));
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri(NAME)];
    let own = params.self_signed(&key).unwrap().der().to_vec();
    assert!(why(CertificateFacts::issued_by(&own, &listed)).contains("authority"), "signed by itself");
    // One that is listed, but is no authority: another appliance's certificate, say.
    let leaf_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut leaf = CertificateParams::default();
    leaf.subject_alt_names = vec![uri(NAME)];
    let leaf_pem = leaf.signed_by(&leaf_key, &ours.issuer).unwrap().pem();
    let below = Authority { pem: leaf_pem.clone(), issuer: Issuer::new(leaf, leaf_key) };
    assert!(why(CertificateFacts::issued_by(&by(&below), &[leaf_pem])).contains("authority"));
    for broken in ["", "PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let refused = CertificateFacts::issued_by(&by(&ours), &[broken.to_owned()]).unwrap_err();
        assert_eq!(refused.field, "certificate_authorities", "{broken:?}");
    }
}

#[test]
fn nothing_may_stand_after_it_and_no_byte_makes_it_say_something_else() {
    let (authority, key) = (authority(), key());
    let good = authority.leaf(&key, vec![uri(NAME)], |_| {});
    let listed = [authority.pem.clone()];
    let facts = CertificateFacts::issued_by(&good, &listed).unwrap();
    for rest in [&[0_u8][..], &good] {
        let longer = [&good[..], rest].concat();
        assert!(why(CertificateFacts::read(&longer)).contains("nothing after it"));
    }
    for cut in 0..good.len() {
        assert!(CertificateFacts::read(&good[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        // Around the signature DER readers are lax: other bytes may pass, but never say anything else.
        if let Ok(read) = CertificateFacts::issued_by(&flipped, &listed) {
            assert_eq!(read, facts, "byte {at}");
        }
    }
}

#[test]
fn a_request_proves_its_own_key() {
    let (mine, other) = (key(), key());
    let request = |key: &KeyPair| CertificateParams::default().serialize_request(key).unwrap().der().to_vec();
    let good = request(&mine);
    assert_eq!(csr_spki(&good), Ok(Digest::of(&mine.subject_public_key_info())));
    let edwards = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    assert_eq!(csr_spki(&request(&edwards)), Ok(Digest::of(&edwards.subject_public_key_info())));
    // My request with somebody else's key in it: the signature is mine, the key is not.
    let mine_spki = Digest::of(&mine.subject_public_key_info());
    let (from, to) = (mine.subject_public_key_info(), other.subject_public_key_info());
    let at = good.windows(from.len()).position(|window| window == from).unwrap();
    let mut borrowed = good.clone();
    borrowed[at..at + to.len()].copy_from_slice(&to);
    assert!(csr_spki(&borrowed).unwrap_err().to_string().contains("own key"));
    assert!(csr_spki(&[&good[..], &[0]].concat()).unwrap_err().to_string().contains("nothing after"));
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        assert!(
            csr_spki(&flipped).is_ok_and(|spki| spki == mine_spki) || csr_spki(&flipped).is_err(),
            "byte {at}"
        );
        assert!(csr_spki(&good[..at]).is_err(), "cut at {at}");
    }
}

/// What a request asks for is not what its certificate says: the control plane names, nobody else.
#[test]
fn a_request_cannot_choose_its_name() {
    let authority = CertificateAuthority::create(ORGANIZATION, START.minus(DAY), [1; 16]).unwrap();
    let key = key();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri(&NAME.replace("000000000002", "000000000009"))];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&key).unwrap().der().to_vec();
    assert!(CertificateSigningRequestParams::from_der(&csr.clone().into()).is_ok());
    let id: SpiffeId = NAME.parse().unwrap();
    let der = authority.issue_appliance(&csr, &id, START, [2; 16]).unwrap();
    let facts = CertificateFacts::issued_by(&der, &[authority.certificate_pem().to_owned()]).unwrap();
    assert_eq!(facts.spiffe, id);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_neither(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(CertificateFacts::read(&bytes).is_err());
        prop_assert!(csr_spki(&bytes).is_err());
    }

    #[test]
    fn only_the_one_spelling_is_a_name(text in "\\PC{0,40}", at in any::<prop::sample::Index>()) {
        prop_assert!(text.parse::<SpiffeId>().is_err());
        let mut changed: Vec<char> = NAME.chars().collect();
        let at = at.index(changed.len());
        changed.insert(at, '%');
        let changed: String = changed.into_iter().collect();
        if let Ok(read) = changed.parse::<SpiffeId>() {
            prop_assert_eq!(read.to_string(), changed, "at most another trust domain");
        }
    }
}
