//! How large exports get.

use control_plane::{bundle::verify::facts, oscal};
use proto::evidence::Standing;

use super::tenant::{HOUR, Tenant, at};

/// The bytes of all exports of a month in which so many scans each found another drift than the one before.
fn of_flood(scans: usize) -> usize {
    let mut tenant = Tenant::new(1, at("2026-11-01T00:00:00Z"));
    let n = tenant.enrol(false);
    for round in 0..scans {
        let drift: &[_] = if round.is_multiple_of(2) { &[("NXH-007", Standing::Drifted)] } else { &[] };
        tenant.scan(n, drift, None);
        tenant.wait(HOUR / 6);
    }
    oscal::build(&facts(&tenant.bundle()).unwrap()).values().map(Vec::len).sum()
}

/// Changes of one control are listed up to a number, the rest are counted: a box that flaps fills no auditor's disk.
#[test]
fn a_flood_of_changes_stays_small() {
    let (some, many) = (of_flood(100), of_flood(400));
    assert!(many < some + some / 100, "{some} bytes for 100 changes, {many} for 400");
    assert!(of_flood(4) < some, "a few are all listed");
}
