//! Records that lie together, as the log's entries: they prove as much as alone, and nothing can be done to them unseen.

use std::sync::LazyLock;

use control_plane::bundle::{
    Bundle, GapKind, Manifest,
    export::{build, build_as},
    verify::Status,
};
use proto::{digest::Digest, log::Bundle as Entries};

use super::{
    check, fault_in, relisted, status_of,
    tenant::{HOUR, Tenant},
    with, without,
};

/// Long enough for one full file of records and another that is not.
static TENANT: LazyLock<Tenant> = LazyLock::new(|| {
    let mut tenant = Tenant::genuine(1);
    while tenant.evidence.len() < 300 {
        tenant.wait(HOUR);
        tenant.heartbeat(0);
        tenant.heartbeat(1);
    }
    tenant
});
static BUNDLE: LazyLock<Bundle> =
    LazyLock::new(|| build_as(&TENANT.parts(TENANT.evidence.len(), None), true).unwrap());

const FULL: &str = "log/tile/entries/000";
const LAST: &str = "log/tile/entries/001.p/44";

fn entries(path: &str) -> Vec<Vec<u8>> {
    let width = if path == FULL { 256 } else { 44 };
    let decoded = Entries::new(0, width).unwrap().decode(&BUNDLE.files()[path]).unwrap();
    decoded.into_iter().map(<[u8]>::to_vec).collect()
}

/// As a careful forger writes it: with the manifest made anew.
fn with_entries(path: &str, entries: &[Vec<u8>]) -> Bundle {
    let bytes = Entries::new(0, u16::try_from(entries.len()).unwrap()).unwrap().encode(entries).unwrap();
    relisted(&with(&BUNDLE, path, bytes))
}

#[test]
fn they_prove_as_much_as_alone() {
    let report = check(&TENANT, &*BUNDLE);
    assert_eq!(report.exit_code(), 0, "{report}");
    assert!(!BUNDLE.files().keys().any(|path| path.starts_with("evidence/") || path.starts_with("proofs/")));
    let alone = check(&TENANT, &build(&TENANT.parts(TENANT.evidence.len(), None)).unwrap());
    assert_eq!(alone.exit_code(), 0, "{alone}");
    for (here, there) in report.claims.iter().zip(&alone.claims) {
        assert_eq!((&here.claim, here.status), (&there.claim, there.status));
        let manifest = here.claim.contains("manifest");
        assert!(manifest || here.count == there.count, "{}: {} and {}", here.claim, here.count, there.count);
    }
}

#[test]
fn a_changed_dropped_doubled_or_moved_record_is_found() {
    for path in [FULL, LAST] {
        let genuine = entries(path);
        for at in [0, 20, genuine.len() - 1] {
            let mut flipped = genuine.clone();
            let middle = flipped[at].len() / 2;
            flipped[at][middle] ^= 1;
            let mut dropped = genuine.clone();
            dropped[at].clear();
            let mut doubled = genuine.clone();
            doubled[at] = genuine[(at + 1) % genuine.len()].clone();
            let mut moved = genuine.clone();
            moved.swap(at, (at + 1) % genuine.len());
            for (what, changed) in
                [("flipped", flipped), ("dropped", dropped), ("doubled", doubled), ("moved", moved)]
            {
                let report = check(&TENANT, &with_entries(path, &changed));
                assert_eq!(report.exit_code(), 1, "{path} {at} {what}:\n{report}");
                assert_ne!(status_of(&report, "root follows"), Status::Proven, "{path} {at} {what}");
            }
        }
    }
}

#[test]
fn a_file_of_records_that_is_cut_or_padded_or_missing_is_found() {
    for path in [FULL, LAST] {
        let bytes = &BUNDLE.files()[path];
        for wrong in [bytes[..bytes.len() - 1].to_vec(), [bytes, &b"\0"[..]].concat(), Vec::new()] {
            let report = check(&TENANT, &relisted(&with(&BUNDLE, path, wrong)));
            assert_eq!(report.exit_code(), 1, "{path}:\n{report}");
            fault_in(&report, path);
        }
        let report = check(&TENANT, &relisted(&without(&BUNDLE, path)));
        assert_ne!(report.exit_code(), 0, "{report}");
        assert_eq!(report.gaps[0].kind, GapKind::NotInBundle, "{report}");
        // The tiles stand in for what is not here: that the log itself was not changed can still be seen.
        assert_eq!(status_of(&report, "root follows"), Status::Proven, "{report}");
    }
}

#[test]
fn records_may_lie_in_both_ways_and_must_be_the_same() {
    let digest = Digest::of(&TENANT.evidence[7]);
    let alone = format!("evidence/00000007-{digest}.json");
    let listed = |bundle: Bundle| {
        let mut files = relisted(&bundle).into_files();
        let mut manifest = Manifest::parse(&files["manifest.json"]).unwrap();
        let line = manifest.files.iter_mut().find(|line| line.path == alone).unwrap();
        line.proves = "record 7: a heartbeat".into();
        files.insert("manifest.json".into(), manifest.encode());
        Bundle::new(files)
    };
    let both = listed(with(&BUNDLE, &alone, TENANT.evidence[7].clone()));
    let report = check(&TENANT, &both);
    // Nobody exports half of each: where a record lies alone, those beside it have to.
    assert_eq!((report.exit_code(), report.gaps[0].kind), (1, GapKind::NotInBundle), "{report}");

    let mut changed = entries(FULL);
    changed[7] = changed[9].clone();
    let report =
        check(&TENANT, &listed(with(&with_entries(FULL, &changed), &alone, TENANT.evidence[7].clone())));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, FULL).contains("does not hold the log's entries"), "{report}");
}

/// Records that are there and that no head covers are not proven to be in the log, however well they lie together.
#[test]
fn what_lies_beyond_the_head_is_not_proven_with_the_rest() {
    let shorter = build_as(&TENANT.parts(280, None), true).unwrap();
    let cut = without(&shorter, "log/tile/entries/001.p/24");
    let report = check(&TENANT, &relisted(&with(&cut, LAST, BUNDLE.files()[LAST].clone())));
    let claim =
        report.claims.iter().find(|claim| claim.claim.contains("proof that it is in the log")).unwrap();
    assert_eq!((claim.status, claim.count), (Status::Missing, 280), "{report}");
    assert!(claim.reason.contains("20 records in the log's entries lie beyond its head"), "{}", claim.reason);
    assert!(report.gaps.iter().any(|gap| gap.kind == GapKind::NotCovered), "{report}");
    // The same without them: all that is there is proven.
    let report = check(&TENANT, &shorter);
    assert_eq!(status_of(&report, "proof that it is in the log"), Status::Proven, "{report}");
}

#[test]
fn what_is_not_whole_lies_alone() {
    let mut parts = TENANT.parts(TENANT.evidence.len(), None);
    parts.evidence.remove(3);
    let bundle = build_as(&parts, true).unwrap();
    let alone = bundle.files().keys().filter(|path| path.starts_with("evidence/")).count();
    assert_eq!((alone, bundle.files().contains_key(LAST)), (255, true));
    assert_eq!(check(&TENANT, &bundle).exit_code(), 1, "a proof without its record");
}
