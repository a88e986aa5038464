//! Certificates as watched: whether one lasts, is vouched for, and is for the right name; from a file or from a server.

use std::{fs, sync::Arc, time::Duration};

use proto::{evidence::Readings, time::Millis};
use rustls::{
    CertificateError, Error, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use x509_parser::parse_x509_certificate;

use crate::config::Certificate;

/// The certificates of a PEM file, the server's own first; what is no certificate is left out.
#[must_use]
pub fn chain_of(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect()
}

/// `left_seconds` (−1: over, or there is none to read), `wanted_seconds`, `chain` and `name` (1 right, 0 wrong, −1 there
/// is none, or no root to judge by). A certificate that is over is judged as of its last second, so that one fault is one fault.
#[must_use]
pub fn judge(chain: &[CertificateDer<'static>], entry: &Certificate, now: Millis) -> Readings {
    let (left, good, name) = judged(chain, entry, now).unwrap_or((-1, -1, -1));
    let wanted = i64::try_from(entry.wanted.as_secs()).unwrap_or(i64::MAX);
    [("left_seconds", left), ("wanted_seconds", wanted), ("chain", good), ("name", name)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

fn judged(chain: &[CertificateDer<'static>], entry: &Certificate, now: Millis) -> Option<(i64, i64, i64)> {
    let (own, others) = chain.split_first()?;
    let parsed = parse_x509_certificate(own).ok()?.1;
    let (begins, ends) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let now = now.0.div_euclid(1000);
    let left = if now > ends { -1 } else { ends - now };
    let roots = CertificateDer::pem_slice_iter(&fs::read(&entry.roots).ok()?)
        .filter_map(Result::ok)
        .collect::<Vec<_>>();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(store.into(), provider).build() else {
        return Some((left, -1, -1)); // no roots
    };
    let at = UnixTime::since_unix_epoch(Duration::from_secs(now.clamp(begins, ends).try_into().ok()?));
    let server = ServerName::try_from(entry.name.clone()).ok()?;
    let name = |name: &ServerName<'_>| verifier.verify_server_cert(own, others, name, &[], at);
    Some(match name(&server) {
        Ok(_) => (left, 1, 1),
        Err(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => (left, 1, 0),
        Err(_) => (left, 0, i64::from(is_for(&parsed, &server))),
    })
}

/// Whether a certificate that nobody vouches for at least names the server.
fn is_for(certificate: &x509_parser::certificate::X509Certificate<'_>, server: &ServerName<'_>) -> bool {
    let der = CertificateDer::from(certificate.as_raw().to_vec());
    let parsed = rustls::server::ParsedCertificate::try_from(&der);
    parsed.is_ok_and(|parsed| rustls::client::verify_server_name(&parsed, server).is_ok())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::*;

    const DAY: i64 = 24 * 3600;
    /// 2026-06-01, in the life of the certificate.
    const NOW: Millis = Millis(1_780_272_000_000);

    struct Made {
        folder: tempfile::TempDir,
        chain: Vec<CertificateDer<'static>>,
    }

    fn made() -> Made {
        let mut root = CertificateParams::new(vec![]).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_key = KeyPair::generate().unwrap();
        let root_certificate = root.self_signed(&root_key).unwrap();
        let issuer = Issuer::new(root, root_key);
        let mut own = CertificateParams::new(vec!["portal.test".to_owned()]).unwrap();
        (own.not_before, own.not_after) = (date_time_ymd(2026, 5, 1), date_time_ymd(2026, 7, 1));
        let certificate = own.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("roots.pem"), root_certificate.pem()).unwrap();
        Made { folder, chain: chain_of(certificate.pem().as_bytes()) }
    }

    fn entry(made: &Made, name: &str, roots: &str) -> Certificate {
        let roots = made.folder.path().join(roots);
        toml::from_str(&format!(
            "id = \"it\"\nfile = \"/x\"\nname = \"{name}\"\nroots = {roots:?}\nwanted_seconds = {}",
            21 * DAY
        ))
        .unwrap()
    }

    fn verdicts(made: &Made, entry: &Certificate, now: Millis) -> [i64; 3] {
        let found = judge(&made.chain, entry, now);
        ["left_seconds", "chain", "name"].map(|name| found[name])
    }

    #[test]
    fn life_chain_and_name_are_judged_apart() {
        let made = made();
        let right = entry(&made, "portal.test", "roots.pem");
        assert_eq!(verdicts(&made, &right, NOW), [30 * DAY, 1, 1]);
        assert_eq!(verdicts(&made, &entry(&made, "other.test", "roots.pem"), NOW), [30 * DAY, 1, 0]);
        assert_eq!(verdicts(&made, &entry(&made, "10.0.0.1", "roots.pem"), NOW), [30 * DAY, 1, 0]);
        assert_eq!(verdicts(&made, &entry(&made, "portal.test", "none.pem"), NOW), [-1, -1, -1]);
        let later = Millis(NOW.0 + 31 * DAY * 1000);
        assert_eq!(verdicts(&made, &right, later), [-1, 1, 1], "over, and nothing else");
        let other = self::made();
        let strange = Certificate { roots: other.folder.path().join("roots.pem"), ..right.clone() };
        assert_eq!(verdicts(&made, &strange, NOW), [30 * DAY, 0, 1]);
        assert_eq!(judge(&[], &right, NOW)["chain"], -1);
    }
}
