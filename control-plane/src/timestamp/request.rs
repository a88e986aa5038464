//! What an authority is asked: TimeStampReq of RFC 3161, for a SHA-256 digest, with the certificate in the answer.

use proto::digest::Digest;

use super::der::{INTEGER, OCTETS, SEQUENCE, element};

/// id-sha256 with no parameters, which RFC 5754 asks to leave out and all take.
const SHA_256: &[u8] = &[0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const TRUE: &[u8] = &[0x01, 0x01, 0xff];

/// A request about these bytes.
#[must_use]
pub fn request(bytes: &[u8], nonce: [u8; 8]) -> Vec<u8> {
    let digest = Digest::of(bytes);
    let imprint = element(SEQUENCE, &[SHA_256, &element(OCTETS, &[&digest.0])]);
    let version = element(INTEGER, &[&[1]]);
    element(SEQUENCE, &[&version, &imprint, &element(INTEGER, &[&number(nonce)]), TRUE])
}

/// As an integer of DER: positive, and with no byte more than needed.
pub(super) fn number(mut nonce: [u8; 8]) -> [u8; 8] {
    nonce[0] = nonce[0] & 0x3f | 0x40;
    nonce
}
