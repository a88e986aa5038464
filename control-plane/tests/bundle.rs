//! Bundles: a genuine one is sound, and whatever is done to it is found.

#[path = "common/tenant.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod tenant;

use control_plane::bundle::{Bundle, verify::{Completeness, Integrity, Report, verify}};

use tenant::Tenant;

fn check(tenant: &Tenant, bundle: &Bundle) -> Report {
    verify(bundle, Some(&tenant.trust()), tenant.now)
}

#[test]
fn a_genuine_bundle_is_sound_complete_and_anchored() {
    let tenant = Tenant::genuine(1);
    let bundle = tenant.bundle();
    let report = check(&tenant, &bundle);
    println!("{report}");
    assert_eq!((report.integrity, report.completeness), (Integrity::Sound, Completeness::Complete));
    assert_eq!(report.exit_code(), 0);
}
