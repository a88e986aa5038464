//! The certificate authority, judged by OpenSSL.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "common/certificates.rs"]
mod certificates;

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use certificates::{DAY, appliance_id, authority, now, openssl, request};
use control_plane::ca::{AUTHORITY_LIFETIME, CaError, CertificateAuthority, SKEW};
use proto::{
    identity::{CERTIFICATE_LIFETIME, CertificateFacts, csr_spki},
    time::Millis,
};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// What `openssl verify` says of a certificate at a time.
fn verify(folder: &Path, at: Millis, more: &[&str]) -> (bool, String) {
    let at = (at.0 / 1000).to_string();
    let mut arguments = vec!["verify", "-x509_strict", "-check_ss_sig", "-CAfile", "ca.pem", "-attime", &at];
    arguments.extend(more);
    arguments.push("leaf.pem");
    openssl(folder, &arguments)
}

fn lay_out(authority: &CertificateAuthority, leaf: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca.pem"), authority.certificate_pem()).unwrap();
    fs::write(folder.path().join("leaf.pem"), pem("CERTIFICATE", leaf)).unwrap();
    folder
}

fn text(folder: &Path, file: &str) -> String {
    openssl(folder, &["x509", "-noout", "-text", "-in", file]).1
}

#[test]
fn the_authority_is_one_and_nothing_below_it_can_be() {
    let authority = authority();
    let folder = lay_out(&authority, &[]);
    let text = text(folder.path(), "ca.pem");
    for part in [
        "CA:TRUE, pathlen:0",
        "Certificate Sign, CRL Sign",
        "O = msp.example",
        "prime256v1",
        "Subject Key Identifier",
    ] {
        assert!(text.contains(part), "lacks {part}:\n{text}");
    }
    let begin = now().minus(60 * DAY);
    for (at, good) in [
        (begin, true),
        (begin.plus(AUTHORITY_LIFETIME).minus(DAY), true),
        (begin.plus(AUTHORITY_LIFETIME).plus(DAY), false),
    ] {
        let at_text = (at.0 / 1000).to_string();
        let judged = openssl(
            folder.path(),
            &["verify", "-x509_strict", "-CAfile", "ca.pem", "-attime", &at_text, "ca.pem"],
        );
        assert_eq!(judged.0, good, "{at}: {}", judged.1);
    }
}

#[test]
fn an_appliance_gets_seven_days_one_name_and_one_use() {
    let authority = authority();
    for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let csr = request(&KeyPair::generate_for(kind).unwrap());
        let leaf = authority.issue_appliance(&csr, &appliance_id(), now(), [7; 16]).unwrap();

        let facts = CertificateFacts::issued_by(&leaf, &[authority.certificate_pem().to_owned()]).unwrap();
        assert_eq!(facts.spiffe, appliance_id());
        assert_eq!(facts.spki, csr_spki(&csr).unwrap(), "what is enrolled is what was asked for");
        assert_eq!(
            (facts.not_before, facts.not_after),
            (now().minus(SKEW), now().plus(CERTIFICATE_LIFETIME))
        );

        let folder = lay_out(&authority, &leaf);
        let text = text(folder.path(), "leaf.pem");
        let names: Vec<_> = text
            .lines()
            .skip_while(|l| !l.contains("Subject Alternative Name: critical"))
            .nth(1)
            .into_iter()
            .collect();
        assert_eq!(names[0].trim(), format!("URI:{}", appliance_id()), "the only name:\n{text}");
        for part in ["CA:FALSE", "TLS Web Client Authentication", "Digital Signature", "Subject: \n"] {
            assert!(text.contains(part), "lacks {part:?}:\n{text}");
        }
        assert!(!text.contains("TLS Web Server Authentication"));
        for (at, purpose, good) in [
            (now(), "sslclient", true),
            (now(), "sslserver", false),
            (now().minus(SKEW), "sslclient", true),
            (now().minus(SKEW).minus(DAY), "sslclient", false),
            (now().plus(7 * DAY).plus(DAY), "sslclient", false),
        ] {
            let (judged, said) = verify(folder.path(), at, &["-purpose", purpose]);
            assert_eq!(judged, good, "{at} {purpose}: {said}");
        }
    }
}

#[test]
fn what_a_request_asks_for_is_not_what_it_gets() {
    let folder = tempfile::tempdir().unwrap();
    // A request made by somebody else's program, that asks for everything.
    let (made, said) = openssl(
        folder.path(),
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "key.pem",
            "-outform",
            "DER",
            "-out",
            "csr.der",
            "-subj",
            "/O=evil/CN=root",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "subjectAltName=DNS:control.msp.example,URI:spiffe://msp.example/other",
            "-addext",
            "extendedKeyUsage=serverAuth",
        ],
    );
    assert!(made, "{said}");
    let csr = fs::read(folder.path().join("csr.der")).unwrap();
    let authority = authority();
    let leaf = authority.issue_appliance(&csr, &appliance_id(), now(), [7; 16]).unwrap();
    let folder = lay_out(&authority, &leaf);
    let text = text(folder.path(), "leaf.pem");
    for part in ["evil", "root", "CA:TRUE", "DNS:", "other", "Server"] {
        assert!(!text.contains(part), "has {part}:\n{text}");
    }
    assert_eq!(CertificateFacts::read(&leaf).unwrap().spki, csr_spki(&csr).unwrap());
}

#[test]
fn bad_requests_are_refused_with_what_is_wrong() {
    let authority = authority();
    let refuse = |csr: &[u8]| match authority.issue_appliance(csr, &appliance_id(), now(), [7; 16]) {
        Err(CaError::Request(bad)) => bad.to_string(),
        other => panic!("{other:?}"),
    };
    let good = request(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());
    assert!(refuse(b"").contains("PKCS#10"));
    assert!(refuse(&good[..good.len() - 1]).contains("PKCS#10"));
    assert!(refuse(&[good.as_slice(), b"x"].concat()).contains("nothing after it"));
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(refuse(&forged).contains("own key"), "possession of the key must be proven");
    let p384 = request(&KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap());
    assert!(refuse(&p384).contains("P-256"));
}

#[test]
fn serial_numbers_are_the_random_bytes_and_positive() {
    let authority = authority();
    let csr = request(&KeyPair::generate().unwrap());
    let serial = |bytes| {
        let leaf = authority.issue_appliance(&csr, &appliance_id(), now(), bytes).unwrap();
        let folder = lay_out(&authority, &leaf);
        openssl(folder.path(), &["x509", "-noout", "-serial", "-in", "leaf.pem"]).1.trim().to_owned()
    };
    assert_eq!(serial([0xff; 16]), format!("serial=7F{}", "FF".repeat(15)), "never negative");
    assert_eq!(serial([0; 16]), format!("serial=40{}", "00".repeat(15)), "never zero");
}

#[test]
fn a_server_certificate_is_for_its_names_alone() {
    let authority = authority();
    let names = ["control.msp.example", "127.0.0.1", "2001:db8::1"].map(str::to_owned);
    let made = authority.issue_server(&names, now(), [7; 16]).unwrap();
    let folder = lay_out(&authority, &made.certificate);
    for (check, name, good) in [
        ("-verify_hostname", "control.msp.example", true),
        ("-verify_ip", "127.0.0.1", true),
        ("-verify_ip", "2001:db8::1", true),
        ("-verify_hostname", "other.msp.example", false),
        ("-verify_ip", "127.0.0.2", false),
    ] {
        let (judged, said) = verify(folder.path(), now(), &["-purpose", "sslserver", check, name]);
        assert_eq!(judged, good, "{name}: {said}");
    }
    assert!(!verify(folder.path(), now(), &["-purpose", "sslclient"]).0);
    let refused = authority.issue_server(&["not a name".to_owned()], now(), [7; 16]).unwrap_err().to_string();
    assert!(refused.contains("\"not a name\""), "{refused}");
}

#[test]
fn certificate_and_key_must_belong_together_and_hold() {
    let (one, other) = (authority(), authority());
    CertificateAuthority::load(one.certificate_pem(), &one.key_pem()).unwrap();
    assert!(matches!(
        CertificateAuthority::load(one.certificate_pem(), &other.key_pem()),
        Err(CaError::Authority(_))
    ));
    let leaf = one.issue_server(&["a".to_owned()], now(), [7; 16]).unwrap();
    let leaf = pem("CERTIFICATE", &leaf.certificate);
    assert!(matches!(CertificateAuthority::load(&leaf, &one.key_pem()), Err(CaError::Authority(_))));

    let end = now().minus(60 * DAY).plus(AUTHORITY_LIFETIME);
    let csr = request(&KeyPair::generate().unwrap());
    one.issue_appliance(&csr, &appliance_id(), end.minus(8 * DAY), [7; 16]).unwrap();
    let late = one.issue_appliance(&csr, &appliance_id(), end.minus(6 * DAY), [7; 16]);
    assert!(matches!(late, Err(CaError::Ended { .. })), "no certificate outlives its authority");
    assert!(matches!(one.issue_appliance(&csr, &appliance_id(), Millis(-1), [7; 16]), Err(CaError::Time(_))));
    assert!(CertificateAuthority::create("a", Millis(i64::MAX), [0; 16]).is_err());
}

#[test]
fn debug_shows_no_key() {
    let authority = authority();
    let secret: String = authority.key_pem().lines().nth(1).unwrap().chars().take(40).collect();
    assert!(!format!("{authority:?}").contains(&secret));
}
