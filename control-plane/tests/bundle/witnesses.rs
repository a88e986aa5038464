//! What outside witnesses have cosigned: shown with size and time, and a contradiction where it is of another log.

use std::sync::LazyLock;

use control_plane::bundle::{
    Bundle,
    export::{Parts, build, tree},
    verify::{Report, Status, Witnessed, verify},
};
use proto::{
    keys::SecretKey,
    log::{Cosigner, KeyId, Policy, Signature, SignedCheckpoint, WitnessKey},
    time::Millis,
};

use super::{
    check, fault_in, relisted, status_of,
    tenant::{HOUR, Tenant, at},
    with, without,
};

const SEEN: &str = "witnesses have seen";
const BEFORE: &str = "after an outside witness";
pub const A: (&str, u8) = ("witness.example/a", 201);
const B: (&str, u8) = ("zeuge.example/b", 202);

pub fn key(who: (&str, u8)) -> WitnessKey {
    WitnessKey::new(who.0, &SecretKey::ed25519([who.1; 32]).public()).unwrap()
}

fn line(who: (&str, u8), checkpoint: &SignedCheckpoint, at: Millis) -> Signature {
    let secret = SecretKey::ed25519([who.1; 32]);
    Cosigner::new(who.0, &secret).unwrap().cosign(checkpoint, at).unwrap()
}

/// The tenant of the other tests, under a charter that names witnesses.
pub fn watched(witnesses: &[WitnessKey]) -> Tenant {
    watched_by(witnesses, None)
}

fn watched_by(witnesses: &[WitnessKey], quorum: Option<usize>) -> Tenant {
    let mut tenant = Tenant::genuine(1);
    tenant.charter.witness_quorum = quorum;
    tenant.charter.witnesses = witnesses.iter().map(ToString::to_string).collect();
    tenant.charters = vec![tenant.charter.seal(&[&tenant.organization[0], &tenant.organization[2]])];
    tenant
}

/// The head itself, cosigned by these.
fn cosigned_head(tenant: &Tenant, who: &[(&str, u8)]) -> Parts {
    let mut parts = tenant.parts(tenant.evidence.len(), None);
    let lines: Vec<Signature> = who.iter().map(|who| line(*who, &parts.checkpoint, tenant.now)).collect();
    parts.checkpoint = parts.checkpoint.with(&lines).unwrap();
    parts.proofs = tree(&parts.evidence, &parts.checkpoint).unwrap().proofs;
    parts
}

/// A checkpoint of its own for a witness that is behind.
fn behind(checkpoint: &SignedCheckpoint, who: (&str, u8), at: Millis) -> (KeyId, Vec<u8>) {
    let note = checkpoint.with(&[line(who, checkpoint, at)]).unwrap();
    (key(who).id(), note.note().as_bytes().to_vec())
}

/// The bundle in which `who` had cosigned this checkpoint, and no more.
pub fn lagging(tenant: &Tenant, checkpoint: &SignedCheckpoint, who: (&str, u8), at: Millis) -> Bundle {
    let mut parts = tenant.parts(tenant.evidence.len(), None);
    parts.cosigned = vec![behind(checkpoint, who, at)];
    build(&parts).unwrap()
}

fn place(who: (&str, u8)) -> String {
    format!("log/cosigned/{}", key(who).id())
}

fn seen(report: &Report) -> Vec<(Option<u64>, Option<Millis>)> {
    report.witnesses.iter().map(|Witnessed { size, at, .. }| (*size, *at)).collect()
}

static WATCHED: LazyLock<Tenant> = LazyLock::new(|| watched(&[key(A), key(B)]));

#[test]
fn a_head_that_a_witness_cosigned_is_sound_and_says_who_and_when() {
    let bundle = build(&cosigned_head(&WATCHED, &[A])).unwrap();
    let report = check(&WATCHED, &bundle);
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!(seen(&report), [(Some(30), Some(WATCHED.now)), (None, None)]);
    let text = report.to_string();
    assert!(text.contains("1 of 2 witnesses, quorum 1: 30 of 30 records"), "{text}");
    assert!(text.contains(&format!("witness.example/a: 30 records at {}\n", WATCHED.now)), "{text}");
    assert!(text.contains("zeuge.example/b: no cosignature that holds is here"), "{text}");
    assert!(!text.contains("Nobody outside has seen this log"), "{text}");
    // Nobody who does not vouch for the charter vouches for its witnesses.
    let stranger = verify(&bundle, None, WATCHED.now);
    assert_eq!((stranger.exit_code(), status_of(&stranger, SEEN)), (3, Status::NotProven), "{stranger}");
}

#[test]
fn the_policy_in_the_bundle_is_for_other_peoples_verifiers() {
    let bundle = build(&cosigned_head(&WATCHED, &[B])).unwrap();
    let policy = Policy::parse(&bundle.files()["log/policy"]).unwrap();
    let (opened, cosigned) = policy.open(&bundle.files()["log/checkpoint"]).unwrap();
    assert_eq!((opened.checkpoint().size, cosigned.len()), (30, 1));
    assert_eq!((cosigned[0].witness.clone(), policy.witnesses()), (key(B), &[key(A), key(B)][..]));
    let bare = WATCHED.bundle();
    assert!(policy.open(&bare.files()["log/checkpoint"]).is_err());

    // Who watches, and how many are enough, is the charter's to say, which the server does not sign.
    let text = String::from_utf8(bundle.files()["log/policy"].clone()).unwrap();
    for wrong in [
        text.replace(" any ", " 2 "),
        text.replace(" any ", " 3 "),
        text.replace(&key(B).to_string(), &key(("zeuge.example/b", 9)).to_string()),
        format!("{}\nquorum none\n", text.lines().next().unwrap()),
    ] {
        let report = check(&WATCHED, &relisted(&with(&bundle, "log/policy", wrong.into_bytes())));
        assert_eq!(report.exit_code(), 1, "{report}");
        assert!(fault_in(&report, "log/policy").contains("the charter's witnesses and quorum"), "{report}");
    }
}

#[test]
fn how_many_are_enough_is_the_charters_to_say() {
    let two = watched_by(&[key(A), key(B)], Some(2));
    let claim = |report: &Report| {
        let claim = report.claims.iter().find(|claim| claim.claim.contains(SEEN)).unwrap();
        (report.exit_code(), claim.status, claim.count, claim.reason.clone())
    };
    let one = check(&two, &build(&cosigned_head(&two, &[A])).unwrap());
    let few = "1 of 2 witnesses cosigned, and the charter asks for 2".to_owned();
    assert_eq!(claim(&one), (3, Status::Missing, 0, few), "{one}");
    let both = build(&cosigned_head(&two, &[A, B])).unwrap();
    let report = check(&two, &both);
    let enough = "2 of 2 witnesses, quorum 2: 30 of 30 records".to_owned();
    assert_eq!(claim(&report), (0, Status::Proven, 2, enough), "{report}");
    // The same for other people's verifiers.
    let policy = Policy::parse(&both.files()["log/policy"]).unwrap();
    assert!(policy.open(&both.files()["log/checkpoint"]).is_ok());
    let alone = cosigned_head(&two, &[A]).checkpoint;
    assert!(policy.open(alone.note().as_bytes()).is_err());

    // Of two that have seen different much, both have seen the smaller.
    let mut parts = cosigned_head(&two, &[A]);
    parts.cosigned = vec![behind(&two.checkpoint(27), B, two.now)];
    let report = check(&two, &build(&parts).unwrap());
    let smaller = "2 of 2 witnesses, quorum 2: 27 of 30 records".to_owned();
    assert_eq!(claim(&report), (0, Status::Proven, 2, smaller), "{report}");
    let any = check(&WATCHED, &build(&cosigned_head(&WATCHED, &[A])).unwrap());
    assert_eq!(claim(&any).3, "1 of 2 witnesses, quorum 1: 30 of 30 records");
}

#[test]
fn a_word_from_the_future_counts_for_nothing_and_is_named() {
    // A log that nobody has seen for a day: its provider has an old cosignature of a clock that was ahead.
    let mut tenant = watched(&[key(A)]);
    let (early, size) = (tenant.now, tenant.evidence.len());
    let seen = tenant.checkpoint(size);
    for _ in 0..26 {
        tenant.wait(HOUR);
        (0..2).for_each(|n| tenant.heartbeat(n));
    }
    let ahead = tenant.now.plus(90 * 24 * HOUR);
    let bundle = lagging(&tenant, &seen, A, ahead);
    let report = check(&tenant, &bundle);
    assert_eq!((report.exit_code(), status_of(&report, SEEN)), (3, Status::Missing), "{report}");
    assert_eq!(self::seen(&report), [(None, None)]);
    let says = format!("its cosignature of {size} records says {ahead}, which is still to come");
    assert!(report.witnesses[0].problem.starts_with(&says), "{report}");
    let claim = report.claims.iter().find(|claim| claim.claim.contains(SEEN)).unwrap();
    assert!(claim.reason.contains("still to come"), "{}", claim.reason);
    // Clocks may differ a little; and what is past by then counts again.
    let near = lagging(&tenant, &tenant.checkpoint(size + 52), A, tenant.now.plus(HOUR / 20));
    assert_eq!(check(&tenant, &near).exit_code(), 0);
    let later = verify(&bundle, Some(&tenant.trust()), ahead);
    assert_eq!(self::seen(&later), [(Some(size as u64), Some(ahead))], "{later}");
    // An earlier word of the same witness still counts, and the other is named beside it.
    let mut parts = tenant.parts(tenant.evidence.len(), None);
    parts.checkpoint = parts.checkpoint.with(&[line(A, &parts.checkpoint, ahead)]).unwrap();
    parts.proofs = tree(&parts.evidence, &parts.checkpoint).unwrap().proofs;
    parts.cosigned = vec![behind(&seen, A, early)];
    let report = check(&tenant, &build(&parts).unwrap());
    assert_eq!(self::seen(&report), [(Some(size as u64), Some(early))]);
    assert_eq!(status_of(&report, SEEN), Status::Missing, "{report}");
    assert!(
        report.to_string().contains(&format!("{size} records at {early}; its cosignature of 82 records"))
    );
}

#[test]
fn a_witness_that_is_behind_has_seen_the_beginning() {
    let cosigned = WATCHED.now.minus(HOUR);
    let bundle = lagging(&WATCHED, &WATCHED.checkpoint(27), A, cosigned);
    assert!(bundle.files().contains_key(&place(A)));
    let report = check(&WATCHED, &bundle);
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!(seen(&report)[0], (Some(27), Some(cosigned)));
    let file = report.files.iter().find(|line| line.path == place(A)).unwrap();
    assert!(file.proves.contains("outside witness"), "{}", file.proves);
}

#[test]
fn what_nobody_has_seen_for_long_is_missing() {
    let none = check(&WATCHED, &WATCHED.bundle());
    assert_eq!((none.exit_code(), status_of(&none, SEEN)), (3, Status::Missing), "{none}");
    assert!(none.to_string().contains("no cosignature of a witness is here"), "{none}");

    let mut tenant = watched(&[key(A)]);
    let (early, size) = (tenant.now, tenant.evidence.len());
    for _ in 0..26 {
        tenant.wait(HOUR);
        (0..2).for_each(|n| tenant.heartbeat(n));
    }
    let report = check(&tenant, &lagging(&tenant, &tenant.checkpoint(size), A, early));
    assert_eq!((report.exit_code(), status_of(&report, SEEN)), (3, Status::Missing), "{report}");
    assert!(report.to_string().contains("what came after record 29 of 82"), "{report}");
    let later = check(&tenant, &lagging(&tenant, &tenant.checkpoint(size + 4), A, early.plus(2 * HOUR)));
    assert_eq!(later.exit_code(), 0, "{later}");
}

/// The packet of November, with what witnesses had said by then.
fn with_packet(tenant: &Tenant, change: impl Fn(&mut Parts)) -> (Bundle, String) {
    let mut parts = tenant.parts(tenant.evidence.len(), Some("2026-11".parse().unwrap()));
    change(&mut parts);
    let bundle = build(&parts).unwrap();
    let packet = String::from_utf8(bundle.files()["packet.md"].clone()).unwrap();
    (bundle, packet)
}

#[test]
fn the_packet_says_who_has_seen_the_log_and_when() {
    let cosigned = WATCHED.now.minus(HOUR / 2);
    let (bundle, packet) = with_packet(&WATCHED, |parts| {
        parts.cosigned = vec![behind(&WATCHED.checkpoint(27), A, cosigned)];
    });
    let when = cosigned.to_string()[..16].replace('T', " ");
    for line in [
        format!("| Outside witnesses | 1 of 2 have seen 27 records by {when} UTC; 1 must |"),
        format!("| witness.example/a | 27 | {when} |"),
        "| zeuge.example/b | none | – | no cosignature that holds is here |".to_owned(),
    ] {
        assert!(packet.contains(&line), "{line}\n\n{packet}");
    }
    // It is made again from the bundle alone, now and later, when a time that was to come is past.
    assert_eq!(check(&WATCHED, &bundle).exit_code(), 0);
    let (to_come, packet) = with_packet(&WATCHED, |parts| {
        parts.cosigned = vec![behind(&WATCHED.checkpoint(27), A, WATCHED.now.plus(48 * HOUR))];
    });
    assert!(packet.contains("| Outside witnesses | fewer than 1 of 2 have seen this log |"), "{packet}");
    assert!(packet.contains("which is still to come, and does not count"), "{packet}");
    for now in [WATCHED.now, WATCHED.now.plus(72 * HOUR)] {
        let report = verify(&to_come, Some(&WATCHED.trust()), now);
        assert_eq!((report.fault_count, status_of(&report, "packet says")), (0, Status::Proven), "{report}");
    }
    // Without the cosignature it would say something else.
    let report = check(&WATCHED, &relisted(&without(&bundle, &place(A))));
    assert_eq!((report.exit_code(), status_of(&report, "packet says")), (1, Status::NotProven), "{report}");
    let (_, nobody) = with_packet(&Tenant::genuine(1), |_| {});
    let none = "| Outside witnesses | none: nobody outside the service provider has seen this log |";
    assert!(nobody.contains(none) && nobody.contains("The organization's charter names none"), "{nobody}");
}

#[test]
fn a_log_signed_again_with_a_stolen_key_is_found_by_its_witness() {
    // All keys of the server, and no appliance that has seen the log since: it takes the newest records out.
    let genuine = watched(&[key(A)]);
    let seen = genuine.checkpoint(30);
    let mut forged = watched(&[key(A)]);
    forged.evidence.truncate(28);
    (0..2).for_each(|n| forged.heartbeat(n));
    let bundle = lagging(&forged, &seen, A, genuine.now);
    let report = check(&genuine, &bundle);
    assert_eq!((report.exit_code(), status_of(&report, SEEN)), (1, Status::NotProven), "{report}");
    let fault = fault_in(&report, &place(A));
    assert!(
        fault.contains("witness.example/a had seen")
            && fault.contains("is of another log: its first 30 records"),
        "{fault}"
    );

    forged.evidence.truncate(29);
    let report = check(&genuine, &lagging(&forged, &seen, A, genuine.now));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, &place(A)).contains("records were cut off"), "{report}");
    // Who leaves out the cosignature has proven nothing.
    let report = check(&genuine, &relisted(&without(&bundle, &place(A))));
    assert_eq!(status_of(&report, SEEN), Status::Missing, "{report}");
}

#[test]
fn what_is_not_the_witnesses_word_is_a_fault() {
    let checkpoint = WATCHED.checkpoint(27);
    let bundle = lagging(&WATCHED, &checkpoint, A, WATCHED.now);
    let note = String::from_utf8(bundle.files()[&place(A)].clone()).unwrap();
    let stranger = checkpoint.with(&[line(("witness.example/a", 7), &checkpoint, WATCHED.now)]).unwrap();
    let by_b = checkpoint.with(&[line(B, &checkpoint, WATCHED.now)]).unwrap();
    let (text, log_line) = (checkpoint.text(), checkpoint.signatures()[0].to_string());
    let not_by_the_log = format!("{text}\n{}\n", line(A, &checkpoint, WATCHED.now));
    for (wrong, says) in [
        (note.replace("\n27\n", "\n26\n"), "does not verify"),
        (stranger.note().to_owned(), "none of the 1 known witnesses"),
        (by_b.note().to_owned(), "none of the 1 known witnesses"),
        (note.replace(&format!("{log_line}\n"), ""), "known keys signed"),
        (not_by_the_log, "known keys signed"),
        ("nothing".to_owned(), "cannot be read"),
    ] {
        let report = check(&WATCHED, &relisted(&with(&bundle, &place(A), wrong.into_bytes())));
        assert_eq!(report.exit_code(), 1, "{report}");
        assert!(fault_in(&report, &place(A)).contains(says), "{says}: {report}");
    }
    // Under the name of a key that the charter does not have.
    let moved = with(&without(&bundle, &place(A)), "log/cosigned/00000000", note.into_bytes());
    let report = check(&WATCHED, &relisted(&moved));
    assert!(fault_in(&report, "log/cosigned/00000000").contains("no witness that the newest charter names"));
    // A forged line under the head itself.
    let mut parts = cosigned_head(&WATCHED, &[A]);
    let mut forged = line(B, &parts.checkpoint, WATCHED.now);
    forged.bytes[40] ^= 1;
    parts.checkpoint = parts.checkpoint.with(&[forged]).unwrap();
    parts.proofs = tree(&parts.evidence, &parts.checkpoint).unwrap().proofs;
    let report = check(&WATCHED, &build(&parts).unwrap());
    assert!(fault_in(&report, "log/checkpoint").contains("wrong cosignature"), "{report}");
}

#[test]
fn another_logs_checkpoint_is_not_this_logs() {
    let mut other = watched(&[key(A)]);
    other.tenant = proto::ids::TenantId::new(at("2026-10-01T00:00:00Z"), [9; 10]);
    let report = check(&WATCHED, &lagging(&WATCHED, &other.checkpoint(27), A, WATCHED.now));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, &place(A)).contains("known keys signed"), "{report}");
}

#[test]
fn a_record_that_is_younger_than_its_witness_was_made_by_a_wrong_clock() {
    // The witness says that it had seen all of it hours before the appliances say that they made the last of it.
    let mut parts = cosigned_head(&WATCHED, &[]);
    let early = WATCHED.now.minus(3 * HOUR);
    parts.checkpoint = parts.checkpoint.with(&[line(A, &parts.checkpoint, early)]).unwrap();
    parts.proofs = tree(&parts.evidence, &parts.checkpoint).unwrap().proofs;
    let report = check(&WATCHED, &build(&parts).unwrap());
    assert_eq!((report.exit_code(), status_of(&report, BEFORE)), (3, Status::NotProven), "{report}");
    assert!(report.to_string().contains("a clock was wrong"), "{report}");
    let right = check(&WATCHED, &build(&cosigned_head(&WATCHED, &[A])).unwrap());
    assert_eq!(status_of(&right, BEFORE), Status::Proven, "{right}");
}

#[test]
fn a_key_that_is_not_verified_here_counts_for_nothing_and_breaks_nothing() {
    let encoded = [vec![0x06], vec![7; 1312]].concat();
    let digest = proto::digest::Digest::of(&[b"pq.example\n", encoded.as_slice()].concat());
    let vkey = format!(
        "pq.example+{}+{}",
        &digest.to_string()[..8],
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &encoded)
    );
    let tenant = watched(&[vkey.parse().unwrap(), key(A)]);
    let report = check(&tenant, &build(&cosigned_head(&tenant, &[A])).unwrap());
    assert_eq!(report.exit_code(), 0, "{report}");
    assert!(
        report.to_string().contains("pq.example: its kind of signature is not verified here"),
        "{report}"
    );
    let alone = watched(&[vkey.parse().unwrap()]);
    let report = check(&alone, &alone.bundle());
    assert_eq!((report.exit_code(), status_of(&report, SEEN)), (3, Status::Missing), "{report}");
}

#[test]
fn without_witnesses_in_the_charter_nothing_is_claimed() {
    let tenant = Tenant::genuine(1);
    let report = check(&tenant, &tenant.bundle());
    assert_eq!((report.exit_code(), report.witnesses.len()), (0, 0), "{report}");
    assert!(!report.claims.iter().any(|claim| claim.claim.contains("witness")), "{report}");
    assert!(
        report.to_string().contains("Nobody outside has seen this log: the charter names no witness"),
        "{report}"
    );
    // Nor is one who is not in it any more: an older charter's witness has no say.
    let mut tenant = watched(&[key(A)]);
    tenant.charter.serial = 2;
    tenant.charter.witnesses.clear();
    tenant.charters.push(tenant.charter.seal(&[&tenant.organization[0], &tenant.organization[1]]));
    let report = check(&tenant, &tenant.bundle());
    assert_eq!(report.exit_code(), 0, "{report}");
}
