//! A verifier that is not ours: what a stranger with a bundle and `openssl` finds out about one record.
//!
//! The rule: only what the formats say is done here, unpacking base64 and writing DSSE's pre-authentication encoding; the
//! signature is judged by OpenSSL alone.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use control_plane::bundle::Enrolled;
use proto::{identity::KeyProof, keys::PublicKey};

/// What stands before an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410 section 4).
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Whether OpenSSL takes the signature of this envelope for one of the bundle's appliances; `None`: it cannot be asked, or
/// there is no envelope any more.
pub(super) fn agrees(envelope: &[u8], bundle: &Path) -> Result<Option<bool>> {
    if Command::new("openssl").arg("version").output().is_err() {
        return Ok(None);
    }
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(envelope) else { return Ok(None) };
    let bytes = |value: &serde_json::Value| STANDARD.decode(value.as_str().unwrap_or_default()).ok();
    let (Some(payload), Some(signature)) = (bytes(&json["payload"]), bytes(&json["signatures"][0]["sig"]))
    else {
        return Ok(None);
    };
    let kind = json["payloadType"].as_str().unwrap_or_default();
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend(payload);
    let scratch = tempfile::tempdir()?;
    let path = |name: &str| scratch.path().join(name);
    fs::write(path("message"), message)?;
    fs::write(path("signature"), signature)?;
    for papers in fs::read_dir(bundle.join("appliances"))? {
        let papers = Enrolled::parse(&fs::read(papers?.path())?)?;
        let proof = KeyProof::open_self_signed(&papers.key_proof)?.into_value();
        let PublicKey::Ed25519(key) = proof.evidence_key else { continue };
        fs::write(path("key"), [&ED25519[..], &key].concat())?;
        let mut openssl = Command::new("openssl");
        openssl
            .args(["pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey"])
            .arg(path("key"));
        let output = openssl.arg("-in").arg(path("message")).arg("-sigfile").arg(path("signature")).output();
        let output = output.context("openssl")?;
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(said.contains("Signature Verif"), "openssl was asked wrongly: {said}");
        if output.status.success() {
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}
