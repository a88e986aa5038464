//! Whom to believe about time: certificates, given from elsewhere.

use proto::time::Millis;
use x509_parser::{
    pem::Pem,
    prelude::{FromDer as _, X509Certificate},
};

/// Most certificates of an authority, or in a token.
pub(super) const CERTIFICATES_MAX: usize = 16;
/// Longest way from one that signed to one that was given.
const DEPTH_MAX: usize = 5;

/// An authority's own certificates, or those that signed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority(Vec<Vec<u8>>);

/// Not certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be from 1 to {CERTIFICATES_MAX} certificates, PEM")]
pub struct BadAuthority;

impl Authority {
    /// Reads certificates in PEM.
    pub fn parse(pem: &[u8]) -> Result<Self, BadAuthority> {
        let blocks: Vec<Pem> =
            Pem::iter_from_buffer(pem).collect::<Result<_, _>>().map_err(|_| BadAuthority)?;
        let is_one = |block: &Pem| {
            block.label == "CERTIFICATE"
                && X509Certificate::from_der(&block.contents).is_ok_and(|(rest, _)| rest.is_empty())
        };
        if blocks.is_empty() || blocks.len() > CERTIFICATES_MAX || !blocks.iter().all(is_one) {
            return Err(BadAuthority);
        }
        Ok(Self(blocks.into_iter().map(|block| block.contents).collect()))
    }

    pub(super) fn certificates(&self) -> &[Vec<u8>] {
        &self.0
    }
}

/// Whether a certificate is one of the `given`, or was signed by one that leads to one, all of them good at `at`.
pub(super) fn leads(
    known: &[(&[u8], X509Certificate<'_>)],
    given: &[Vec<u8>],
    from: (&[u8], &X509Certificate<'_>),
    at: Millis,
) -> bool {
    let good = |one: &X509Certificate<'_>| {
        let (begin, end) = (one.validity().not_before.timestamp(), one.validity().not_after.timestamp());
        (begin..=end).contains(&at.0.div_euclid(1000))
    };
    if given.is_empty() {
        return false;
    }
    // A stranger's certificates may sign one another in circles: each is gone through once.
    let mut left: Vec<_> = known.iter().collect();
    let mut reached = vec![from];
    for _ in 0..DEPTH_MAX {
        reached.retain(|(_, one)| good(one));
        if reached.iter().any(|(der, _)| given.iter().any(|one| one == der)) {
            return true;
        }
        let signs = |issuer: &X509Certificate<'_>| {
            issuer.is_ca()
                && reached.iter().any(|(_, one)| {
                    one.issuer().as_raw() == issuer.subject().as_raw()
                        && one.verify_signature(Some(issuer.public_key())).is_ok()
                })
        };
        let (next, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, one)| signs(one));
        left = rest;
        reached = next.into_iter().map(|(der, one)| (*der, one)).collect();
    }
    false
}
