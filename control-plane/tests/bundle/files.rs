//! What can be done to files: each is done to every file of a genuine bundle.

use std::sync::LazyLock;

use control_plane::bundle::{
    Bundle, Folder, Manifest,
    verify::{Completeness, Integrity, Status, verify},
};
use proptest::prelude::*;
use proto::{dsse::Envelope, log::Bundle as Entries};

use super::{
    check, fault_in, relisted, status_of,
    tenant::Tenant,
    with, without,
    witnesses::{A, key, lagging, watched},
};

/// With a witness that is behind, so that its cosigned checkpoint is a file of its own.
static TENANT: LazyLock<Tenant> = LazyLock::new(|| watched(&[key(A)]));
static BUNDLE: LazyLock<Bundle> = LazyLock::new(genuine);

fn genuine() -> Bundle {
    lagging(&TENANT, &TENANT.checkpoint(27), A, TENANT.now)
}

fn flipped(bytes: &[u8], at: usize, mask: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= mask;
    bytes
}

/// What the envelope says, when that is all that is signed of a file.
fn meaning(path: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let signed = ["charter/", "catalogue/", "orders/"].iter().any(|folder| path.starts_with(folder));
    signed.then(|| Envelope::parse(bytes).ok().map(|envelope| envelope.unverified_payload().to_vec()))?
}

/// What was refused need not be anybody's order, so a bundle without it is whole.
fn refused_order() -> String {
    let digest = proto::evidence::peek(&TENANT.evidence[25]).unwrap().body.order_digest().unwrap();
    format!("orders/{digest}.json")
}

#[test]
fn a_genuine_bundle_is_sound_complete_and_anchored() {
    let report = check(&TENANT, &*BUNDLE);
    assert_eq!(
        (report.integrity, report.completeness),
        (Integrity::Sound, Completeness::Complete),
        "{report}"
    );
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!(BUNDLE.files().len(), 83);
    assert!(report.claims.iter().all(|claim| claim.count > 0), "{report}");
}

#[test]
fn without_keys_from_elsewhere_nothing_is_proven() {
    let report = verify(&*BUNDLE, None, TENANT.now);
    assert_eq!(
        (report.integrity, report.anchored, report.exit_code()),
        (Integrity::Sound, false, 3),
        "{report}"
    );
    assert!(report.claims.iter().all(|claim| claim.status == Status::NotProven));
    assert!(report.to_string().contains("nobody vouches"), "{report}");
}

#[test]
fn one_made_anew_with_other_keys_is_unanchored_at_best() {
    let forged = Tenant::genuine(2).bundle();
    let report = check(&TENANT, &forged);
    assert_eq!((report.exit_code(), report.anchored), (1, false), "{report}");
    assert!(fault_in(&report, "charter/1.json").contains("not signed by enough organization keys"));
    assert_eq!(verify(&forged, None, TENANT.now).exit_code(), 3);

    // A charter that the organization did sign does not help a forger either: it names none of his keys.
    let charter = BUNDLE.files()["charter/1.json"].clone();
    let report = check(&TENANT, &relisted(&with(&forged, "charter/1.json", charter)));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, "log/vkey").contains("not a log key"));
}

#[test]
fn a_flipped_byte_is_found_in_every_file() {
    for (path, bytes) in BUNDLE.files() {
        for at in [0, bytes.len() / 3, bytes.len() - 1] {
            let report = check(&TENANT, &with(&BUNDLE, path, flipped(bytes, at, 0x01)));
            assert_eq!(report.exit_code(), 1, "{path} at {at}:\n{report}");
            fault_in(&report, path);
        }
    }
}

#[test]
fn a_flipped_byte_is_found_though_the_manifest_was_made_anew() {
    for (path, bytes) in BUNDLE.files().iter().filter(|(path, _)| *path != "manifest.json") {
        for at in [bytes.len() / 4, bytes.len() / 2] {
            let changed = flipped(bytes, at, 0x02);
            let report = check(&TENANT, &relisted(&with(&BUNDLE, path, changed.clone())));
            // In an envelope, what is not signed means nothing: a key's hint, for one.
            let meant = meaning(path, bytes);
            assert!(
                report.exit_code() != 0 || (meant.is_some() && meant == meaning(path, &changed)),
                "{path} at {at}:\n{report}"
            );
        }
    }
}

#[test]
fn a_dropped_file_is_missed() {
    for path in BUNDLE.files().keys() {
        let dropped = without(&BUNDLE, path);
        let expected = if path == "manifest.json" { 3 } else { 1 };
        let report = check(&TENANT, &dropped);
        assert_eq!(report.exit_code(), expected, "{path}:\n{report}");
        if path != "manifest.json" && *path != refused_order() {
            assert_ne!(check(&TENANT, &relisted(&dropped)).exit_code(), 0, "{path}, relisted");
        }
    }
}

#[test]
fn a_truncated_file_is_found() {
    for (path, bytes) in BUNDLE.files() {
        for length in [0, bytes.len() - 1] {
            let cut = with(&BUNDLE, path, bytes[..length].to_vec());
            let cut = if path == "manifest.json" { cut } else { relisted(&cut) };
            assert_ne!(check(&TENANT, &cut).exit_code(), 0, "{path} cut to {length}");
        }
    }
}

#[test]
fn swapped_files_are_found() {
    let files: Vec<_> = BUNDLE.files().iter().collect();
    for pair in files.windows(2) {
        let ((a, in_a), (b, in_b)) = (pair[0], pair[1]);
        let swapped = with(&with(&BUNDLE, a, in_b.clone()), b, in_a.clone());
        // Relisted where that can be: a manifest that lists the swap says less against it.
        let manifest = a == "manifest.json" || b == "manifest.json";
        let swapped = if manifest { swapped } else { relisted(&swapped) };
        assert_ne!(check(&TENANT, &swapped).exit_code(), 0, "{a} and {b}");
    }
}

#[test]
fn a_duplicate_has_no_place() {
    for (path, bytes) in BUNDLE.files() {
        for copy in [format!("{path}.copy"), path.replacen('0', "1", 1), path.replacen("000000", "000009", 1)]
        {
            if BUNDLE.files().contains_key(&copy) {
                continue;
            }
            let doubled = with(&BUNDLE, &copy, bytes.clone());
            assert_eq!(check(&TENANT, &doubled).exit_code(), 1, "{copy}");
            assert_eq!(check(&TENANT, &relisted(&doubled)).exit_code(), 1, "{copy}, relisted");
        }
    }
}

#[test]
fn a_file_must_be_called_what_it_is() {
    for place in ["evidence/00000010", "orders/", "attachments/"] {
        let (path, bytes) = BUNDLE.files().iter().find(|(path, _)| path.starts_with(place)).unwrap();
        let digest = path.rsplit(['/', '-']).next().unwrap().trim_end_matches(".json");
        let renamed = path.replace(digest, &proto::digest::Digest::of(b"another").to_string());
        let moved = relisted(&with(&without(&BUNDLE, path), &renamed, bytes.clone()));
        let report = check(&TENANT, &moved);
        assert_eq!(report.exit_code(), 1, "{report}");
        fault_in(&report, &renamed);
    }
}

#[test]
fn the_logs_entries_may_be_there_twice_and_must_be_listed() {
    let bundle = Entries::new(0, 30).unwrap();
    let place = control_plane::bundle::Place::Entries(bundle).to_string();
    let right = with(&BUNDLE, &place, bundle.encode(&TENANT.evidence).unwrap());
    let report = check(&TENANT, &right);
    assert!(fault_in(&report, &place).contains("not in the manifest"), "{report}");
    let mut listed = relisted(&right).into_files();
    let mut manifest = Manifest::parse(&listed["manifest.json"]).unwrap();
    let line = manifest.files.iter_mut().find(|line| line.path == place).unwrap();
    line.proves = "the records themselves, as the log has them".into();
    listed.insert("manifest.json".into(), manifest.encode());
    assert_eq!(check(&TENANT, &Bundle::new(listed)).exit_code(), 0);

    let mut entries = TENANT.evidence.clone();
    entries.swap(3, 4);
    let wrong = relisted(&with(&BUNDLE, &place, bundle.encode(&entries).unwrap()));
    assert!(fault_in(&check(&TENANT, &wrong), &place).contains("does not hold the log's entries"));
}

#[test]
fn a_folder_is_as_good_as_the_bundle_and_a_link_in_it_is_found() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("bundle");
    BUNDLE.write(&root).unwrap();
    let report = check(&TENANT, &Folder::open(&root).unwrap());
    assert_eq!(report.exit_code(), 0, "{report}");

    let moved = scratch.path().join("elsewhere");
    std::fs::rename(root.join("log/checkpoint"), &moved).unwrap();
    std::os::unix::fs::symlink(&moved, root.join("log/checkpoint")).unwrap();
    let report = check(&TENANT, &Folder::open(&root).unwrap());
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, "log/checkpoint").contains("symbolic link"));
}

#[test]
fn the_same_parts_give_the_same_bytes() {
    assert_eq!(genuine(), *BUNDLE);
}

#[test]
fn what_is_missing_is_named_when_the_manifest_hides_it() {
    for (place, claim) in [
        ("appliances/", "signed by its appliance"),
        ("proofs/00000007", "has a proof"),
        ("log/tile/0/000.p/30", "root follows"),
        ("catalogue/1.json", "out of a signed catalogue"),
        ("orders/", "out of a signed catalogue"),
        ("attachments/", "Outputs"),
        ("charter/1.json", "Charters"),
        ("log/vkey", "head is signed"),
        ("log/checkpoint", "head is signed"),
        ("log/policy", "head is signed"),
        ("log/cosigned/", "witnesses have seen"),
    ] {
        let path =
            BUNDLE.files().keys().find(|path| path.starts_with(place) && **path != refused_order()).unwrap();
        let report = check(&TENANT, &relisted(&without(&BUNDLE, path)));
        assert_eq!(status_of(&report, claim), Status::Missing, "{path}:\n{report}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn no_single_byte_can_change_unseen(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), mask in 1_u8..) {
        let (path, bytes) = BUNDLE.files().iter().nth(file.index(BUNDLE.files().len())).unwrap();
        let changed = with(&BUNDLE, path, flipped(bytes, at.index(bytes.len()), mask));
        prop_assert_eq!(check(&TENANT, &changed).exit_code(), 1);
    }

    #[test]
    fn no_single_byte_can_change_unseen_by_making_the_manifest_anew(
        file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), mask in 1_u8..,
    ) {
        let (path, bytes) = BUNDLE.files().iter().nth(file.index(BUNDLE.files().len())).unwrap();
        prop_assume!(path != "manifest.json");
        let changed = flipped(bytes, at.index(bytes.len()), mask);
        let report = check(&TENANT, &relisted(&with(&BUNDLE, path, changed.clone())));
        let meant = meaning(path, bytes);
        let unsigned = path.starts_with("appliances/") || (meant.is_some() && meant == meaning(path, &changed));
        prop_assert!(report.exit_code() != 0 || unsigned, "{}:\n{}", path, report);
    }
}
