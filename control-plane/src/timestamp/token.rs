//! One token: what it says, and whether it was said.

use aws_lc_rs::{
    digest::{self, Algorithm},
    signature::{self, VerificationAlgorithm},
};
use proto::{digest::Digest, time::Millis};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    Authority, BadToken,
    authority::CERTIFICATES_MAX,
    der::{Element, Elements, FIRST, INTEGER, OCTETS, OID, SECOND, SEQUENCE, SET, TIME},
    request::number,
};

const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
/// Which certificate signs, so that no other with the same key does: by SHA-1, and by what it says (RFC 5035).
const SIGNING_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x0c];
const SIGNING_CERTIFICATE_V2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x2f];
const SHA_2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
const PKCS_1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const ECDSA_SHA_2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const P_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P_384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const NOT_SIGNED_DATA: &str = "content";

/// An answer of an authority, read: **nothing in it is verified**.
#[derive(Debug)]
pub struct Token<'a> {
    /// The digest that it is of.
    pub imprint: Digest,
    /// When the authority had it, by its clock.
    pub at: Millis,
    nonce: Option<&'a [u8]>,
    info: &'a [u8],
    certificates: Vec<&'a [u8]>,
    signer: Signer<'a>,
}

#[derive(Debug)]
struct Signer<'a> {
    who: Who<'a>,
    hash: &'static Algorithm,
    attributes: Element<'a>,
    kind: &'a [u8],
    signature: &'a [u8],
}

#[derive(Debug)]
enum Who<'a> {
    /// Issuer's name and serial number.
    Serial(&'a [u8], &'a [u8]),
    /// Its subject key identifier.
    Key(&'a [u8]),
}

impl<'a> Token<'a> {
    /// Reads a TimeStampResp.
    pub fn parse(response: &'a [u8]) -> Result<Self, BadToken> {
        let mut outer = Elements(response);
        let mut response = outer.enter(SEQUENCE, "response")?;
        let mut status = response.enter(SEQUENCE, "status")?;
        match status.want(INTEGER, "status")? {
            // Granted, and granted with modifications.
            [0 | 1] => {}
            [other] => return Err(BadToken::Refused(*other)),
            _ => return Err(BadToken::Form("status")),
        }
        let mut content = response.enter(SEQUENCE, "token")?;
        if !outer.0.is_empty() || content.want(OID, NOT_SIGNED_DATA)? != SIGNED_DATA {
            return Err(BadToken::Form(NOT_SIGNED_DATA));
        }
        let mut signed = content.enter(FIRST, NOT_SIGNED_DATA)?.enter(SEQUENCE, NOT_SIGNED_DATA)?;
        signed.want(INTEGER, "version")?;
        signed.want(SET, "digest algorithms")?;
        let mut encapsulated = signed.enter(SEQUENCE, NOT_SIGNED_DATA)?;
        if encapsulated.want(OID, NOT_SIGNED_DATA)? != TST_INFO {
            return Err(BadToken::Form(NOT_SIGNED_DATA));
        }
        let info = encapsulated.enter(FIRST, NOT_SIGNED_DATA)?.want(OCTETS, NOT_SIGNED_DATA)?;
        let certificates = match signed.option(FIRST) {
            Some(certificates) => Elements(certificates.content).rest()?,
            None => Vec::new(),
        };
        signed.option(SECOND);
        let mut signers = signed.enter(SET, "signer")?;
        let signer = Signer::parse(signers.enter(SEQUENCE, "signer")?)?;
        if !signers.0.is_empty() {
            return Err(BadToken::Form("one signer"));
        }
        let (imprint, at, nonce) = said(info)?;
        let certificates = certificates.iter().take(CERTIFICATES_MAX).map(|one| one.whole).collect();
        Ok(Self { imprint, at, nonce, info, certificates, signer })
    }

    /// Whether it answers that request, about these bytes.
    pub fn answers(&self, bytes: &[u8], nonce: [u8; 8]) -> Result<(), BadToken> {
        self.is_of(bytes)?;
        if self.nonce == Some(&number(nonce)[..]) { Ok(()) } else { Err(BadToken::OtherRequest) }
    }

    /// Whether it is about these bytes.
    pub fn is_of(&self, bytes: &[u8]) -> Result<(), BadToken> {
        if self.imprint == Digest::of(bytes) { Ok(()) } else { Err(BadToken::OtherBytes) }
    }

    /// Whether `authority` said it. Without one only whether it contradicts itself: then it is never `Ok`.
    pub fn verify(&self, authority: Option<&Authority>) -> Result<Millis, BadToken> {
        let given = authority.map_or(&[][..], Authority::certificates);
        let known = given.iter().map(Vec::as_slice).chain(self.certificates.iter().copied());
        let known: Vec<(&[u8], X509Certificate<'_>)> =
            known.filter_map(|der| Some((der, X509Certificate::from_der(der).ok()?.1))).collect();
        let (der, certificate) =
            known.iter().find(|(_, one)| self.signer.is(one)).ok_or(BadToken::NoCertificate)?;
        self.signer.signed(self.info, der)?;
        let key = certificate.public_key();
        let curve = key.algorithm.parameters.as_ref().map(|parameters| parameters.data);
        let kind = self.signer.verification(key.algorithm.algorithm.as_bytes(), curve)?;
        // What is signed is the set, not its place in the message.
        let mut attributes = self.signer.attributes.whole.to_vec();
        attributes[0] = SET;
        signature::UnparsedPublicKey::new(kind, &key.subject_public_key.data)
            .verify(&attributes, self.signer.signature)
            .map_err(|_| BadToken::Signature)?;
        let usage = certificate.extended_key_usage().ok().flatten();
        let right = |usage: &x509_parser::extensions::ExtendedKeyUsage<'_>| {
            usage.time_stamping
                && usage.other.is_empty()
                && !(usage.any || usage.server_auth || usage.client_auth || usage.code_signing)
                && !(usage.email_protection || usage.ocsp_signing)
        };
        if !usage.is_some_and(|usage| usage.critical && right(usage.value)) {
            return Err(BadToken::Purpose);
        }
        super::authority::leads(&known, given, (der, certificate), self.at)
            .then_some(self.at)
            .ok_or(BadToken::NotAnchored)
    }
}

impl<'a> Signer<'a> {
    fn parse(mut signer: Elements<'a>) -> Result<Self, BadToken> {
        signer.want(INTEGER, "version")?;
        let who = match signer.option(SEQUENCE) {
            Some(issued) => {
                let mut issued = Elements(issued.content);
                Who::Serial(issued.next()?.whole, issued.want(INTEGER, "serial number")?)
            }
            None => Who::Key(signer.want(0x80, "signer's name")?),
        };
        let hash = hash(signer.want(SEQUENCE, "digest algorithm")?)?;
        let attributes = signer.option(FIRST).ok_or(BadToken::Form("signed attributes"))?;
        let kind =
            Elements(signer.want(SEQUENCE, "signature algorithm")?).want(OID, "signature algorithm")?;
        Ok(Self { who, hash, attributes, kind, signature: signer.want(OCTETS, "signature")? })
    }

    fn is(&self, certificate: &X509Certificate<'_>) -> bool {
        match self.who {
            Who::Serial(issuer, serial) => {
                certificate.issuer().as_raw() == issuer && certificate.raw_serial() == serial
            }
            Who::Key(id) => certificate.iter_extensions().any(|extension| {
                use x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier;
                matches!(extension.parsed_extension(), SubjectKeyIdentifier(found) if found.0 == id)
            }),
        }
    }

    /// Whether what is signed speaks of this content and of this certificate.
    fn signed(&self, info: &[u8], certificate: &[u8]) -> Result<(), BadToken> {
        let (mut kind, mut digest, mut bound) = (false, false, false);
        for attribute in Elements(self.attributes.content).rest()? {
            let mut attribute = Elements(attribute.content);
            let name = attribute.want(OID, "signed attributes")?;
            let mut value = attribute.enter(SET, "signed attributes")?;
            match name {
                CONTENT_TYPE => kind = value.want(OID, "signed attributes")? == TST_INFO,
                MESSAGE_DIGEST => {
                    let found = value.want(OCTETS, "signed attributes")?;
                    digest = found == digest::digest(self.hash, info).as_ref();
                }
                SIGNING_CERTIFICATE => {
                    bound = is_named(value, &digest::SHA1_FOR_LEGACY_USE_ONLY, certificate)?
                }
                SIGNING_CERTIFICATE_V2 => bound = is_named(value, &digest::SHA256, certificate)?,
                _ => {}
            }
        }
        if kind && digest && bound { Ok(()) } else { Err(BadToken::Attributes) }
    }

    /// How a signature of its kind is verified with a key of that kind.
    fn verification(
        &self,
        key: &[u8],
        curve: Option<&[u8]>,
    ) -> Result<&'static dyn VerificationAlgorithm, BadToken> {
        let bits = self.hash.output_len() * 8;
        let by = |last: u8| match last {
            // RSA, its digest said elsewhere; or here.
            1 => Some(bits),
            11 | 2 => Some(256),
            12 | 3 => Some(384),
            13 | 4 => Some(512),
            _ => None,
        };
        let kinds = [PKCS_1, ECDSA_SHA_2].map(|kind| self.kind.strip_prefix(kind));
        Ok(match (kinds, curve) {
            ([Some(&[last @ (1 | 11..=13)]), _], _) if key.starts_with(PKCS_1) => match by(last) {
                Some(256) => &signature::RSA_PKCS1_2048_8192_SHA256,
                Some(384) => &signature::RSA_PKCS1_2048_8192_SHA384,
                _ => &signature::RSA_PKCS1_2048_8192_SHA512,
            },
            ([_, Some(&[last @ 2..=4])], Some(curve)) => match (curve, by(last)) {
                (P_256, Some(256)) => &signature::ECDSA_P256_SHA256_ASN1,
                (P_256, Some(384)) => &signature::ECDSA_P256_SHA384_ASN1,
                (P_384, Some(256)) => &signature::ECDSA_P384_SHA256_ASN1,
                (P_384, Some(384)) => &signature::ECDSA_P384_SHA384_ASN1,
                _ => return Err(BadToken::Kind),
            },
            _ if self.kind == ED25519 && key == ED25519 => &signature::ED25519,
            _ => return Err(BadToken::Kind),
        })
    }
}

/// The first certificate of SigningCertificate, or of its second version, which says how it is hashed unless by SHA-256.
fn is_named(
    mut value: Elements<'_>,
    default: &'static Algorithm,
    certificate: &[u8],
) -> Result<bool, BadToken> {
    const WHAT: &str = "signing certificate";
    let mut first = value.enter(SEQUENCE, WHAT)?.enter(SEQUENCE, WHAT)?.enter(SEQUENCE, WHAT)?;
    let algorithm = match first.option(SEQUENCE) {
        Some(algorithm) => hash(algorithm.content)?,
        None => default,
    };
    Ok(first.want(OCTETS, WHAT)? == digest::digest(algorithm, certificate).as_ref())
}

fn hash(algorithm: &[u8]) -> Result<&'static Algorithm, BadToken> {
    let oid = Elements(algorithm).want(OID, "digest algorithm")?;
    match oid.strip_prefix(SHA_2) {
        Some([1]) => Ok(&digest::SHA256),
        Some([2]) => Ok(&digest::SHA384),
        Some([3]) => Ok(&digest::SHA512),
        _ => Err(BadToken::Kind),
    }
}

/// What a TSTInfo says: of which digest, when, and in answer to which nonce.
fn said(info: &[u8]) -> Result<(Digest, Millis, Option<&[u8]>), BadToken> {
    let mut info = Elements(info).enter(SEQUENCE, "content")?;
    info.want(INTEGER, "version")?;
    info.want(OID, "policy")?;
    let mut imprint = info.enter(SEQUENCE, "imprint")?;
    let algorithm = imprint.want(SEQUENCE, "imprint")?;
    if hash(algorithm).ok() != Some(&digest::SHA256) {
        return Err(BadToken::Digest);
    }
    let imprint = imprint.want(OCTETS, "imprint")?.try_into().map_err(|_| BadToken::Form("imprint"))?;
    info.want(INTEGER, "serial number")?;
    let at = time(info.want(TIME, "time")?).ok_or(BadToken::Form("time"))?;
    info.option(SEQUENCE);
    info.option(0x01);
    Ok((Digest(imprint), at, info.option(INTEGER).map(|nonce| nonce.content)))
}

/// `20261129224000.25Z`.
fn time(text: &[u8]) -> Option<Millis> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let (day, hour) = whole.split_at(8);
    let (year, month, day) = (&day[..4], &day[4..6], &day[6..]);
    format!("{year}-{month}-{day}T{}:{}:{}.{fraction}Z", &hour[..2], &hour[2..4], &hour[4..]).parse().ok()
}
