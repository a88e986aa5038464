//! Bundles: a genuine one is sound, and whatever is done to it is found.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod acts;
mod baselines;
mod clocks;
mod command;
mod files;
mod history;
mod hostile;
mod monthly;
mod observed;
mod oscal;
mod oversight;
mod packets;
mod peers;
mod periods;
mod previous;
mod scans;
mod standing;
mod successions;
mod tenant;
mod timestamps;
mod together;
#[path = "../common/tsa.rs"]
mod tsa;
mod volume;
mod witnesses;

use control_plane::bundle::{
    Bundle, FileLine, Manifest, Source,
    verify::{Report, Status, verify},
};
use proto::digest::Digest;

use tenant::Tenant;

/// As an auditor does who has the organization's keys.
fn check(tenant: &Tenant, bundle: &dyn Source) -> Report {
    verify(bundle, Some(&tenant.trust()), tenant.now)
}

/// The manifest made anew for files that somebody changed: what a careful forger does.
fn relisted(bundle: &Bundle) -> Bundle {
    let mut files = bundle.files().clone();
    let mut manifest = Manifest::parse(&files.remove("manifest.json").unwrap()).unwrap();
    let proves = |path: &str| {
        let line = manifest.files.iter().find(|line| line.path == path);
        line.map_or_else(|| "whatever one likes".to_owned(), |line| line.proves.clone())
    };
    let line = |(path, bytes): (&String, &Vec<u8>)| FileLine {
        path: path.clone(),
        bytes: bytes.len() as u64,
        sha256: Digest::of(bytes),
        proves: proves(path),
    };
    manifest.files = files.iter().map(line).collect();
    files.insert("manifest.json".into(), manifest.encode());
    Bundle::new(files)
}

fn with(bundle: &Bundle, path: &str, bytes: Vec<u8>) -> Bundle {
    let mut files = bundle.files().clone();
    files.insert(path.to_owned(), bytes);
    Bundle::new(files)
}

fn without(bundle: &Bundle, path: &str) -> Bundle {
    let mut files = bundle.files().clone();
    files.remove(path).expect("a file of the bundle");
    Bundle::new(files)
}

/// The first problem that is about `path`.
#[track_caller]
fn fault_in(report: &Report, path: &str) -> String {
    let fault = report.faults.iter().find(|fault| fault.file.starts_with(path));
    fault.unwrap_or_else(|| panic!("no fault in {path}:\n{report}")).problem.clone()
}

#[track_caller]
fn status_of(report: &Report, claim: &str) -> Status {
    report
        .claims
        .iter()
        .find(|c| c.claim.contains(claim))
        .unwrap_or_else(|| panic!("no claim {claim}"))
        .status
}
