//! Certificates for tests, and OpenSSL's opinion of them.

use std::{path::Path, process::Command, time::Duration};

use control_plane::ca::CertificateAuthority;
use proto::{identity::SpiffeId, time::Millis};
use rcgen::KeyPair;

pub const DAY: Duration = Duration::from_secs(86_400);

/// The time of these tests, whatever the machine's clock says.
pub fn now() -> Millis {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// An authority that is sixty days old.
pub fn authority() -> CertificateAuthority {
    CertificateAuthority::create("msp.example", now().minus(60 * DAY), [0x5a; 16]).unwrap()
}

pub fn appliance_id() -> SpiffeId {
    "spiffe://msp.example/tenant/0190a0c0-0000-7000-8000-000000000001/appliance/0190a0c0-0000-7000-8000-000000000002"
        .parse()
        .unwrap()
}

/// A request as an appliance makes it: its key and nothing else.
pub fn request(key: &KeyPair) -> Vec<u8> {
    rcgen::CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

/// Runs openssl in `folder`; what it said, and whether it was content.
pub fn openssl(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output =
        Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl is installed");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}
