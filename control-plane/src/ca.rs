//! The device certificate authority: says which public key is which appliance, for seven days at a time.
//!
//! The rule: from a request only the public key is taken, after its own signature proved possession. Name, life and
//! use are what the control plane decided, never what the device asked for. SPIFFE X.509-SVID: exactly one URI SAN.

use std::time::Duration;

use proto::{
    digest::Digest,
    field::BadField,
    identity::{CERTIFICATE_LIFETIME, SpiffeId, csr_spki},
    time::Millis,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType, SerialNumber,
    SubjectPublicKeyInfo, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509CertificationRequest};

/// How long the authority itself lasts.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long a server certificate lasts; it is renewed daily.
pub const SERVER_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// Certificates begin this much before now: clocks differ.
pub const SKEW: Duration = Duration::from_secs(5 * 60);

/// Random bytes of a serial number (RFC 5280 section 4.1.2.2 allows at most 20 octets, and wants it unguessable).
pub type Serial = [u8; 16];

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The request is not one, or its key is of a kind that is not issued for.
    #[error("certificate request is not acceptable")]
    Request(#[source] BadField),
    /// The authority's own files.
    #[error("certificate authority cannot be read")]
    Authority(#[source] BadField),
    /// A server name that is none.
    #[error("server name {name:?} must be a host name or an IP address")]
    ServerName {
        /// The name.
        name: String,
    },
    /// The authority would end before the certificate, or the clock is off.
    #[error(
        "certificate authority holds until {not_after}, which is too soon for a certificate at {now}; `control-plane key rotate ca` makes the next"
    )]
    Ended {
        /// End of the authority.
        not_after: Millis,
        /// The time asked for.
        now: Millis,
    },
    /// A time that no certificate can say.
    #[error("time {0} must lie between the years 1970 and 9999")]
    Time(Millis),
    /// The library refused.
    #[error("certificate cannot be made")]
    Make(#[source] rcgen::Error),
}

/// A certificate with its key, for the server's own listeners.
#[derive(Debug)]
pub struct ServerCertificate {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// When it ends.
    pub not_after: Millis,
}

/// The authority: certificate and key.
#[derive(Debug)]
pub struct CertificateAuthority {
    pem: String,
    der: CertificateDer<'static>,
    not_after: Millis,
    issuer: Issuer<'static, KeyPair>,
}

impl CertificateAuthority {
    /// A new authority (P-256) for `organization`, its key from the library's own generator.
    pub fn create(organization: &str, now: Millis, serial: Serial) -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Make)?;
        let mut params = parameters(now, AUTHORITY_LIFETIME, serial)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organization);
        // Whoever meets a certificate of the one before is to say that it is by another, not that its signature is wrong.
        let number = u32::from_be_bytes([serial[0], serial[1], serial[2], serial[3]]);
        params.distinguished_name.push(DnType::CommonName, format!("Orderly device CA {number:08x}"));
        // Path length 0: what it signs cannot sign.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(CaError::Make)?;
        Self::load(&certificate.pem(), &key.serialize_pem())
    }

    /// The authority of two PEM files, which must belong together.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, CaError> {
        let bad = |field: &str, problem: &str| CaError::Authority(BadField::new(field, problem));
        let key =
            KeyPair::from_pem(key_pem).map_err(|_| bad("CA key", "must be a private key in PEM (PKCS#8)"))?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes())
            .map_err(|_| bad("CA certificate", "must be PEM"))?;
        let certificate = pem.parse_x509().map_err(|_| bad("CA certificate", "must be X.509"))?;
        if !certificate.is_ca() {
            return Err(bad("CA certificate", "must say CA:true"));
        }
        if certificate.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(bad("CA key", "must be the key of the CA certificate"));
        }
        let der = CertificateDer::from(pem.contents.clone());
        let not_after = Millis(certificate.validity().not_after.timestamp().saturating_mul(1000));
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key).map_err(CaError::Make)?;
        Ok(Self { pem: certificate_pem.to_owned(), der, not_after, issuer })
    }

    /// The certificate: what charter, appliances and browsers are told.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// What it is told from others by: SHA-256 of the certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// When it ends.
    #[must_use]
    pub fn not_after(&self) -> Millis {
        self.not_after
    }

    /// The private key, PKCS#8 in PEM: for the one file that keeps it, mode 0600.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate for the key of `csr` (PKCS#10, DER), good for seven days and for TLS clients alone.
    pub fn issue_appliance(
        &self,
        csr: &[u8],
        identity: &SpiffeId,
        now: Millis,
        serial: Serial,
    ) -> Result<Vec<u8>, CaError> {
        let spki = csr_spki(csr).map_err(CaError::Request)?;
        let key = requested_key(csr)?;
        let name = identity.to_string().try_into().map_err(CaError::Make)?;
        let mut params = self.leaf_parameters(now, CERTIFICATE_LIFETIME, serial)?;
        params.subject_alt_names = vec![SanType::URI(name)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let der = params.signed_by(&key, &self.issuer).map_err(CaError::Make)?.der().to_vec();
        // What is admitted later is the digest of these bytes, so it must not have changed on the way.
        if X509Certificate::from_der(&der).map(|(_, cert)| Digest::of(cert.public_key().raw)) != Ok(spki) {
            return Err(CaError::Request(BadField::new("csr", "must encode its public key in DER")));
        }
        Ok(der)
    }

    /// A certificate and a fresh key for the server itself, under all of `names` (host names and IP addresses).
    pub fn issue_server(
        &self,
        names: &[String],
        now: Millis,
        serial: Serial,
    ) -> Result<ServerCertificate, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Make)?;
        let mut params = self.leaf_parameters(now, SERVER_LIFETIME, serial)?;
        params.subject_alt_names = names.iter().map(|name| server_name(name)).collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).map_err(CaError::Make)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(ServerCertificate { certificate, key, not_after: now.plus(SERVER_LIFETIME) })
    }

    fn leaf_parameters(
        &self,
        now: Millis,
        lifetime: Duration,
        serial: Serial,
    ) -> Result<CertificateParams, CaError> {
        if now.plus(lifetime) > self.not_after {
            return Err(CaError::Ended { not_after: self.not_after, now });
        }
        let mut params = parameters(now, lifetime, serial)?;
        // No subject: the name is the SAN, which is critical then (RFC 5280 section 4.2.1.6).
        params.distinguished_name = DistinguishedName::new();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}

/// The public key of a request whose signature has been checked.
fn requested_key(csr: &[u8]) -> Result<SubjectPublicKeyInfo, CaError> {
    let bad = |problem: &str| CaError::Request(BadField::new("csr", problem));
    let (_, request) =
        X509CertificationRequest::from_der(csr).map_err(|_| bad("is not a DER PKCS#10 request"))?;
    let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw);
    key.ok()
        .filter(|key| {
            let kind = rcgen::PublicKeyData::algorithm(key);
            *kind == PKCS_ECDSA_P256_SHA256 || *kind == PKCS_ED25519
        })
        .ok_or_else(|| bad("must be for a P-256 or an Ed25519 key"))
}

/// What the certificate of an authority (PEM) is told from others by.
pub fn fingerprint(pem: &str) -> Result<Digest, BadField> {
    let wrong = || BadField::new("certificate authority", "must be a certificate in PEM");
    CertificateDer::from_pem_slice(pem.as_bytes()).map(|der| Digest::of(&der)).map_err(|_| wrong())
}

fn server_name(name: &str) -> Result<SanType, CaError> {
    let wrong = || CaError::ServerName { name: name.to_owned() };
    // The same judge as the clients', who compare it.
    match rustls_pki_types::ServerName::try_from(name).map_err(|_| wrong())? {
        rustls_pki_types::ServerName::IpAddress(ip) => Ok(SanType::IpAddress(ip.into())),
        _ => Ok(SanType::DnsName(name.try_into().map_err(|_| wrong())?)),
    }
}

fn parameters(now: Millis, lifetime: Duration, serial: Serial) -> Result<CertificateParams, CaError> {
    const YEAR_9999: i64 = 253_370_764_800_000;
    let epoch = date_time_ymd(1970, 1, 1);
    let at = |time: Millis| match u64::try_from(time.0) {
        Ok(ms) if time.0 < YEAR_9999 => Ok(epoch + Duration::from_secs(ms / 1000)),
        _ => Err(CaError::Time(time)),
    };
    let mut params = CertificateParams::default();
    params.not_before = at(now.minus(SKEW))?;
    params.not_after = at(now.plus(lifetime))?;
    let mut serial = serial;
    // Positive, and never zero, whatever the generator gives.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}
