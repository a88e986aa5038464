//! The baselines that scans were judged by: here, and the ones that were meant.

use std::collections::BTreeMap;

use baseline::{Baseline, HIPAA_V1};
use control_plane::bundle::{Bundle, Manifest, verify::Status};
use proto::{
    digest::Digest,
    evidence::{Body, Scan},
};

use super::{check, fault_in, relisted, status_of, tenant::Tenant, with, without};

const CLAIM: &str = "baselines that scans were judged by";

fn scanned(baseline: Digest) -> Tenant {
    let mut tenant = Tenant::genuine(1);
    tenant.log(
        0,
        Body::Scan(Scan { baseline, watch: [].into(), readings: [].into(), findings: BTreeMap::new() }),
    );
    tenant
}

fn place(digest: Digest) -> String {
    format!("baseline/{digest}.json")
}

/// A baseline that this version does not have.
fn another() -> (Digest, Vec<u8>) {
    let text = Baseline { version: 7, ..Baseline::hipaa_v1().clone() }.canonical();
    (Digest::of(&text), text)
}

#[test]
fn the_baseline_is_in_the_bundle_under_the_digest_that_scans_cite() {
    let tenant = scanned(Baseline::hipaa_v1().digest());
    let bundle = tenant.bundle();
    assert_eq!(bundle.files()[&place(Baseline::hipaa_v1().digest())], HIPAA_V1.as_bytes());
    let report = check(&tenant, &bundle);
    assert_eq!((report.exit_code(), status_of(&report, CLAIM)), (0, Status::Proven), "{report}");
}

#[test]
fn without_it_nobody_can_say_what_a_scan_meant() {
    let own = Baseline::hipaa_v1().digest();
    let tenant = scanned(own);
    let report = check(&tenant, &relisted(&without(&tenant.bundle(), &place(own))));
    assert_eq!((report.exit_code(), status_of(&report, CLAIM)), (3, Status::Missing), "{report}");

    // One of another version does not stand in for the one that was cited.
    let (digest, text) = another();
    let tenant = scanned(digest);
    let report = check(&tenant, &tenant.bundle());
    assert_eq!((report.exit_code(), status_of(&report, CLAIM)), (3, Status::Missing), "{report}");
    assert!(report.to_string().contains(&format!("baseline {digest}, which record 30 cites")), "{report}");
    let with_it = relisted(&with(&tenant.bundle(), &place(digest), text));
    assert_eq!(status_of(&check(&tenant, &with_it), CLAIM), Status::Proven);
}

#[test]
fn one_that_no_scan_cites_is_this_versions_own_or_a_fault() {
    let tenant = scanned(Baseline::hipaa_v1().digest());
    let (digest, text) = another();
    let doubled = with(&tenant.bundle(), &place(digest), text);
    let report = check(&tenant, &relisted(&doubled));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert_eq!(fault_in(&report, &place(digest)), "no scan cites it");

    // Another version's own is not known here: no fault, and the bundle is not the worse for it.
    let mut files = relisted(&doubled).into_files();
    let mut manifest = Manifest::parse(&files["manifest.json"]).unwrap();
    manifest.provider_says.generator = "orderly control-plane 9.0.0".into();
    files.insert("manifest.json".into(), manifest.encode());
    let report = check(&tenant, &Bundle::new(files));
    assert_eq!(status_of(&report, CLAIM), Status::Proven, "{report}");
}
