//! Timestamps of an authority that is none of ours: what they prove, to whom, and what nobody can make of them.

use std::{fs, sync::LazyLock};

use control_plane::{
    bundle::{
        Bundle, Folder,
        export::{Parts, build},
        verify::{Asked, Report, Status, verify_within},
    },
    timestamp::{Authority, BadToken, Token, request},
};

use super::{check, fault_in, relisted, status_of, tenant::Tenant, tsa::Tsa, with, without};

const CLAIM: &str = "outside authority says";
const NONCE: [u8; 8] = [0xff, 1, 2, 3, 4, 5, 6, 7];
const TOKEN: &str = "log/timestamps/27.tsr";
const NOTE: &str = "log/timestamps/27.checkpoint";

static TENANT: LazyLock<Tenant> = LazyLock::new(|| Tenant::genuine(1));
static TSA: LazyLock<Tsa> = LazyLock::new(Tsa::make);
/// The genuine bundle with one timestamp, and the packet of its month.
static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| build(&stamped(27)).unwrap());

fn note(size: usize) -> Vec<u8> {
    TENANT.checkpoint(size).note().as_bytes().to_vec()
}

fn stamped(size: usize) -> Parts {
    let mut parts = TENANT.parts(TENANT.evidence.len(), Some("2026-11".parse().unwrap()));
    let token = TSA.reply(&request(&note(size), NONCE));
    parts.stamps.insert(size as u64, (note(size), token));
    parts
}

fn authority(tsa: &Tsa, name: &str) -> Authority {
    Authority::parse(&fs::read(tsa.path(name)).unwrap()).unwrap()
}

fn under(tsa: &Tsa, name: &str, bundle: &Bundle) -> Report {
    let asked = Asked { tsa: Some(authority(tsa, name)), ..Asked::default() };
    verify_within(bundle, Some(&TENANT.trust()), asked, TENANT.now)
}

#[test]
fn a_timestamp_is_proven_under_the_certificate_that_was_given_and_openssl_agrees() {
    for given in ["root.pem", "stamp.pem"] {
        let report = under(&TSA, given, &BUNDLE);
        assert_eq!((report.exit_code(), status_of(&report, CLAIM)), (0, Status::Proven), "{report}");
        assert!(report.to_string().contains("the newest: 27 records by 20"), "{report}");
    }
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("bundle");
    BUNDLE.write(&root).unwrap();
    assert!(TSA.takes(&root.join(TOKEN), &root.join(NOTE)));
    assert!(!TSA.takes(&root.join(TOKEN), &root.join("log/checkpoint")));
    assert_eq!(check(&TENANT, &Folder::open(&root).unwrap()).fault_count, 0);
}

#[test]
fn without_a_certificate_from_elsewhere_it_is_not_proven_and_the_way_is_named() {
    // Nothing is missing that anybody asked about: a bundle is no worse for being stamped.
    let report = check(&TENANT, &*BUNDLE);
    assert_eq!((report.exit_code(), status_of(&report, CLAIM)), (0, Status::NotAsked), "{report}");
    assert!(report.to_string().contains("all is proven but an outside authority's times"), "{report}");
    let command = format!("openssl ts -verify -in {TOKEN} -data {NOTE} -CAfile TSA.pem");
    let claim = report.claims.iter().find(|claim| claim.claim.contains(CLAIM)).unwrap();
    assert_eq!(claim.reason, format!("give the authority's certificate with --tsa, or run: {command}"));
    let packet = String::from_utf8(BUNDLE.files()["packet.md"].clone()).unwrap();
    assert!(packet.contains(&command) && packet.contains("holds 1 timestamp of an outside"), "{packet}");
    // Somebody else's certificates vouch for nothing, though the token has its own in it.
    let report = under(&Tsa::make(), "root.pem", &BUNDLE);
    assert_eq!((report.exit_code(), status_of(&report, CLAIM)), (3, Status::Missing), "{report}");
    assert!(report.to_string().contains("does not lead to one that was given"), "{report}");
    // Where there is none nothing is claimed.
    let none = check(&TENANT, &TENANT.bundle());
    assert!(!none.claims.iter().any(|claim| claim.claim.contains(CLAIM)), "{none}");
}

#[test]
fn a_token_of_something_else_is_a_fault_with_or_without_a_certificate() {
    let other = TSA.reply(&request(&note(28), NONCE));
    let forged = Tenant::genuine(2).checkpoint(27).note().as_bytes().to_vec();
    let of_forged = TSA.reply(&request(&forged, NONCE));
    let cases = [
        (relisted(&with(&BUNDLE, TOKEN, other.clone())), TOKEN, "of other bytes"),
        (relisted(&with(&BUNDLE, NOTE, note(28))), TOKEN, "of other bytes"),
        (relisted(&with(&with(&BUNDLE, TOKEN, other), NOTE, note(28))), NOTE, "is of 28 records"),
        // Another log's, and stamped all the same.
        (
            relisted(&with(&with(&BUNDLE, TOKEN, of_forged), NOTE, forged)),
            NOTE,
            "not signed with the log's key",
        ),
        (relisted(&without(&BUNDLE, TOKEN)), NOTE, "no timestamp beside it"),
        (relisted(&with(&BUNDLE, TOKEN, b"nothing".to_vec())), TOKEN, "cannot be read as a timestamp"),
    ];
    for (bundle, path, says) in cases {
        for report in [check(&TENANT, &bundle), under(&TSA, "root.pem", &bundle)] {
            assert_eq!((report.exit_code(), status_of(&report, CLAIM)), (1, Status::NotProven), "{report}");
            assert!(fault_in(&report, path).contains(says), "{says}: {report}");
        }
    }
    let report = under(&TSA, "root.pem", &relisted(&without(&BUNDLE, NOTE)));
    assert_eq!(status_of(&report, CLAIM), Status::Missing, "{report}");
}

#[test]
fn no_changed_byte_of_a_token_is_proven_as_another_time() {
    let (token, right) = (&BUNDLE.files()[TOKEN], authority(&TSA, "root.pem"));
    let said = Token::parse(token).unwrap().verify(Some(&right)).unwrap();
    let mut refused = 0;
    for at in 0..token.len() {
        let mut changed = token.clone();
        changed[at] ^= 0x01;
        let verdict = Token::parse(&changed).and_then(|read| {
            read.answers(&note(27), NONCE)?;
            read.verify(Some(&right))
        });
        match verdict {
            // Not all of it is signed: the status, for one, or a certificate that nobody needs.
            Ok(at) => assert_eq!(at, said),
            Err(_) => refused += 1,
        }
    }
    assert!(refused * 2 > token.len(), "{refused} of {}", token.len());
    for end in 0..token.len() {
        assert!(Token::parse(&token[..end]).is_err(), "cut to {end}");
    }
    assert_eq!(Token::parse(token).unwrap().answers(&note(27), [1; 8]), Err(BadToken::OtherRequest));
}

#[test]
fn a_certificate_that_is_for_something_else_stamps_nothing() {
    // OpenSSL would not: by hand, out of a genuine token's content.
    fs::write(TSA.path("genuine.tsr"), &BUNDLE.files()[TOKEN]).unwrap();
    TSA.openssl(&["ts", "-reply", "-in", "genuine.tsr", "-token_out", "-out", "genuine.der"]);
    let der = ["-inform", "DER", "-in", "genuine.der", "-out", "content.der"];
    TSA.openssl(&[&["cms", "-verify", "-noverify"][..], &der].concat());
    let verdict = |name: &str| {
        let (pem, key) = (format!("{name}.pem"), format!("{name}.key"));
        let kind = ["-econtent_type", "1.2.840.113549.1.9.16.1.4", "-binary", "-nodetach", "-cades"];
        let by = ["-signer", &pem, "-inkey", &key, "-md", "sha256", "-outform", "DER", "-out", "made.der"];
        TSA.openssl(&[&["cms", "-sign", "-in", "content.der"][..], &kind, &by].concat());
        let made = fs::read(TSA.path("made.der")).unwrap();
        let length = u16::try_from(made.len() + 5).unwrap().to_be_bytes();
        let response = [&[0x30, 0x82, length[0], length[1], 0x30, 3, 2, 1, 0][..], &made].concat();
        Token::parse(&response).unwrap().verify(Some(&authority(&TSA, "root.pem"))).map(drop)
    };
    assert_eq!(verdict("stamp"), Ok(()));
    assert_eq!(verdict("server"), Err(BadToken::Purpose));
}

/// Everything in it is right but the authority's signature, which stands last.
#[test]
fn a_token_that_the_authority_did_not_sign_proves_nothing() {
    let mut token = BUNDLE.files()[TOKEN].clone();
    *token.last_mut().unwrap() ^= 1;
    let report = under(&TSA, "root.pem", &relisted(&with(&BUNDLE, TOKEN, token)));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, TOKEN).contains("signature"), "{report}");
}
