//! How long exports take and how large they are.

use control_plane::{bundle::verify::facts, oscal};
use proto::evidence::{Body, Standing};

use super::tenant::{HOUR, Tenant, at};

/// How long they take and how large they are for a month of 10,000 records; `--ignored --nocapture` shows it.
#[test]
#[ignore = "shows figures, and proves nothing but that a flood of changes stays small"]
fn ten_thousand_records() {
    for (what, flood) in
        [("a month of heartbeats and daily scans", false), ("scans alone, each another drift", true)]
    {
        let mut tenant = Tenant::new(1, at("2026-11-01T00:00:00Z"));
        let boxes: Vec<usize> = (0..3).map(|_| tenant.enrol(false)).collect();
        let beat = |tenant: &mut Tenant, n: usize| {
            let Body::Heartbeat(beat) = proto::evidence::peek(&tenant.evidence[3]).unwrap().body else {
                panic!()
            };
            tenant.log(n, Body::Heartbeat(beat));
        };
        tenant.heartbeat(boxes[0]);
        while tenant.evidence.len() < 10_000 {
            let round = tenant.evidence.len();
            let drift: &[_] =
                if (round / 3).is_multiple_of(2) { &[("NXH-007", Standing::Drifted)] } else { &[] };
            for n in &boxes {
                if flood || round % 288 < 3 {
                    tenant.scan(*n, drift, None);
                } else {
                    beat(&mut tenant, *n);
                }
            }
            tenant.wait(HOUR / 6);
        }
        let bundle = tenant.bundle();
        let facts = facts(&bundle).unwrap();
        let begin = control_plane::clock::now();
        let made = oscal::build(&facts);
        let took = control_plane::clock::now().since(begin);
        eprintln!("{what}: {} records, {took:?}", tenant.evidence.len());
        for (export, bytes) in &made {
            eprintln!("  {:<28} {:>9} bytes", export.file(), bytes.len());
            assert!(bytes.len() < 2_000_000);
        }
    }
}
