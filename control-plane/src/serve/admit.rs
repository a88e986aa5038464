//! Who may call what: one table, and what is not in it is refused.
//!
//! An appliance is admitted by its enrolled public key; a valid certificate alone opens nothing.

use proto::{
    identity::{CertificateFacts, Standing, standing},
    sync::BATCH_MAX,
    time::Millis,
};
use tonic::Status;

use crate::store::ApplianceState;

/// What a method asks of an appliance that calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: the request carries its own proof.
    Nothing,
    /// An enrolled key; the certificate may have ended up to 30 days ago.
    EnrolledKey,
    /// An enrolled key and a certificate that holds.
    Certificate,
}

/// The most bytes of a request with keys and certificates.
pub const PAPERS_MAX: usize = 64 << 10;
/// The most bytes of an exchange: a batch, and what stands around it.
pub const EXCHANGE_MAX: usize = BATCH_MAX + PAPERS_MAX;

/// Every method of the appliances' listener, and how large its requests may be.
const APPLIANCES: &[(&str, Needs, usize)] = &[
    ("/orderly.v1.Enrollment/Enroll", Needs::Nothing, PAPERS_MAX),
    ("/orderly.v1.Link/Renew", Needs::EnrolledKey, PAPERS_MAX),
    ("/orderly.v1.Link/Sync", Needs::Certificate, EXCHANGE_MAX),
];

/// A caller who may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Whether it is known: enrolled, with a certificate that holds. Whoever may only enrol or renew is not.
    pub known: bool,
    /// The most bytes of its request.
    pub bytes: usize,
}

/// Whether a caller may go on. `enrolled` is what the database has under the certificate's key.
pub fn appliance(
    path: &str,
    certificate: Option<&CertificateFacts>,
    enrolled: Option<ApplianceState>,
    now: Millis,
) -> Result<Admitted, Status> {
    let (_, needs, bytes) = APPLIANCES
        .iter()
        .find(|(method, ..)| *method == path)
        .ok_or_else(|| Status::permission_denied("there is no such method for appliances"))?;
    let admitted = Admitted { known: *needs == Needs::Certificate, bytes: *bytes };
    if *needs == Needs::Nothing {
        return Ok(admitted);
    }
    let certificate =
        certificate.ok_or_else(|| Status::unauthenticated("this call needs an appliance's certificate"))?;
    match enrolled {
        None => return Err(Status::permission_denied("this key is not enrolled")),
        Some(ApplianceState::Revoked) => return Err(Status::permission_denied("this appliance is revoked")),
        Some(ApplianceState::Active | ApplianceState::Quarantined) => {}
    }
    match (standing(certificate.not_before, certificate.not_after, now), needs) {
        (Standing::Valid, _) | (Standing::RenewOnly, Needs::EnrolledKey) => Ok(admitted),
        (Standing::RenewOnly, _) => Err(Status::unauthenticated("the certificate has ended; call Renew")),
        (Standing::Refused, _) => {
            Err(Status::unauthenticated("the certificate does not hold; enrol the appliance anew"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        digest::Digest,
        identity::SpiffeId,
        ids::{ApplianceId, TenantId},
    };
    use tonic::Code;

    use super::*;

    const DAY: i64 = 86_400_000;
    const SYNC: &str = "/orderly.v1.Link/Sync";
    const RENEW: &str = "/orderly.v1.Link/Renew";

    fn certificate() -> CertificateFacts {
        CertificateFacts {
            spiffe: SpiffeId {
                trust_domain: "msp.example".into(),
                tenant: TenantId::new(Millis(0), [1; 10]),
                appliance: ApplianceId::new(Millis(0), [2; 10]),
            },
            spki: Digest::of(b"key"),
            not_before: Millis(0),
            not_after: Millis(7 * DAY),
        }
    }

    fn code(
        path: &str,
        certificate: Option<&CertificateFacts>,
        enrolled: Option<ApplianceState>,
        day: i64,
    ) -> Option<Code> {
        appliance(path, certificate, enrolled, Millis(day * DAY)).err().map(|status| status.code())
    }

    #[test]
    fn the_table() {
        let cert = certificate();
        let active = Some(ApplianceState::Active);
        for (case, path, cert, enrolled, day, expected) in [
            ("enrol without anything", "/orderly.v1.Enrollment/Enroll", None, None, 1, None),
            ("sync", SYNC, Some(&cert), active, 1, None),
            (
                "sync while quarantined: evidence flows",
                SYNC,
                Some(&cert),
                Some(ApplianceState::Quarantined),
                1,
                None,
            ),
            ("sync without certificate", SYNC, None, active, 1, Some(Code::Unauthenticated)),
            ("sync by a key that is not enrolled", SYNC, Some(&cert), None, 1, Some(Code::PermissionDenied)),
            (
                "sync when revoked",
                SYNC,
                Some(&cert),
                Some(ApplianceState::Revoked),
                1,
                Some(Code::PermissionDenied),
            ),
            ("sync after the end", SYNC, Some(&cert), active, 8, Some(Code::Unauthenticated)),
            ("renew after the end", RENEW, Some(&cert), active, 8, None),
            ("renew 31 days after the end", RENEW, Some(&cert), active, 38, Some(Code::Unauthenticated)),
            (
                "renew when revoked",
                RENEW,
                Some(&cert),
                Some(ApplianceState::Revoked),
                8,
                Some(Code::PermissionDenied),
            ),
            (
                "an operator's method",
                "/orderly.v1.Tenants/List",
                Some(&cert),
                active,
                1,
                Some(Code::PermissionDenied),
            ),
            ("no method", "/", Some(&cert), active, 1, Some(Code::PermissionDenied)),
        ] {
            assert_eq!(code(path, cert, enrolled, day), expected, "{case}");
        }
    }

    #[test]
    fn only_an_exchange_makes_a_caller_known_and_may_be_large() {
        let (cert, active) = (certificate(), Some(ApplianceState::Active));
        let admitted = |path| appliance(path, Some(&cert), active, Millis(DAY)).unwrap();
        assert_eq!(admitted(SYNC), Admitted { known: true, bytes: EXCHANGE_MAX });
        for path in [RENEW, "/orderly.v1.Enrollment/Enroll"] {
            assert_eq!(admitted(path), Admitted { known: false, bytes: PAPERS_MAX }, "{path}");
        }
    }

    #[test]
    fn every_method_of_the_contract_is_in_the_table() {
        let contract = include_str!("../../../proto/orderly/v1/link.proto");
        let mut service = "";
        let mut methods = Vec::new();
        for line in contract.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("service ") {
                service = rest.trim_end_matches(" {");
            }
            if let Some(rest) = line.strip_prefix("rpc ") {
                let name = rest.split('(').next().unwrap();
                methods.push(format!("/orderly.v1.{service}/{name}"));
            }
        }
        let mut table: Vec<_> = APPLIANCES.iter().map(|(method, ..)| (*method).to_owned()).collect();
        table.sort();
        methods.sort();
        assert_eq!(table, methods);
    }
}
