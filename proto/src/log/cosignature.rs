//! Cosignatures: a witness's word that a checkpoint continues all that it has seen of a log, and when it said so
//! (C2SP tlog-cosignature v1.0.1, `cosignature/v1`).
//!
//! The rule: a witness speaks only of checkpoints whose log has signed them, and its word counts only under its own name.
//! A key of a type that is not verified here (0x06, ML-DSA-44) is carried along, and counts for nothing.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint},
    note::{Note, NoteError},
    signature::Signature,
    vkey::{BadKey, KeyId, check_name, key_id, parts},
};
use crate::{
    keys::{PublicKey, SecretKey},
    time::Millis,
};

/// Signature types of witnesses' cosignatures.
const ED25519: u8 = 0x04;
const ML_DSA_44: u8 = 0x06;

/// Bytes of the time before the signature itself.
const TIME: usize = 8;
/// The last second that a calendar of four-digit years has: what is later was made up.
const LAST_SECOND: u64 = 253_402_300_799;

/// A witness's name and public key. Prints as a vkey: `name+hex(id)+base64(type || key)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WitnessKey {
    name: String,
    /// `type || key`.
    encoded: Vec<u8>,
}

/// One witness's word on one checkpoint, verified. Only [`cosignatures`] and [`CosignedCheckpoint::open`] make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// Whose.
    pub witness: WitnessKey,
    /// When the witness had seen nothing larger of this log.
    pub at: Millis,
}

/// A checkpoint that at least one known witness cosigned. What its log says of it is another question
/// ([`SignedCheckpoint::open`]). Only [`CosignedCheckpoint::open`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignedCheckpoint {
    checkpoint: Checkpoint,
    cosigned: Vec<Cosigned>,
}

/// Why a cosigned checkpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignedError {
    /// Not a note.
    #[error("cosigned checkpoint cannot be read")]
    Note(#[source] NoteError),
    /// Not a checkpoint.
    #[error("cosigned checkpoint cannot be read")]
    Checkpoint(#[source] CheckpointError),
    /// A line that is said to be a known witness's and is not.
    #[error("checkpoint carries a wrong cosignature")]
    Cosignature(#[source] BadCosignature),
    /// By strangers only.
    #[error("none of the {known} known witnesses cosigned the checkpoint")]
    Unknown {
        /// Number of witnesses that were known.
        known: usize,
    },
}

/// Why a cosignature was refused, or not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCosignature {
    /// Forged or damaged.
    #[error("cosignature by {name:?}, key {id}, does not verify")]
    Forged {
        /// The witness's name.
        name: String,
        /// The witness's key.
        id: KeyId,
    },
    /// No clock says that.
    #[error("time of a cosignature must be from 1 to {LAST_SECOND} seconds after 1970, is {0}")]
    Time(u64),
}

impl WitnessKey {
    /// The Ed25519 key that cosigns as `name`.
    pub fn new(name: &str, key: &PublicKey) -> Result<Self, BadKey> {
        let PublicKey::Ed25519(key) = key else { return Err(BadKey::Kind(name.to_owned())) };
        check_name(name)?;
        Ok(Self { name: name.to_owned(), encoded: [&[ED25519], key.as_slice()].concat() })
    }

    /// Who cosigns.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which key of that name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        key_id(&self.name, &self.encoded)
    }

    /// The key without its name, as far as its cosignatures can be verified here.
    #[must_use]
    pub fn public(&self) -> Option<PublicKey> {
        match self.encoded.split_first() {
            Some((&ED25519, key)) => key.try_into().ok().map(PublicKey::Ed25519),
            _ => None,
        }
    }

    /// Whether both are one key, under whatever names.
    #[must_use]
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }

    fn verify(&self, key: &PublicKey, text: &str, signature: &Signature) -> Result<Millis, BadCosignature> {
        let forged = || BadCosignature::Forged { name: self.name.clone(), id: self.id() };
        let (time, bytes) = signature.bytes.split_first_chunk::<TIME>().ok_or_else(forged)?;
        let seconds = u64::from_be_bytes(*time);
        key.verify(message(seconds, text).as_bytes(), bytes).map_err(|_| forged())?;
        millis(seconds)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, self.id(), STANDARD.encode(&self.encoded))
    }
}

impl FromStr for WitnessKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        let (name, id, encoded) = parts(text)?;
        check_name(name)?;
        match encoded.split_first() {
            Some((&ED25519, key)) if key.len() == 32 => {}
            Some((&ML_DSA_44, key)) if key.len() == 1312 => {}
            Some((&(ED25519 | ML_DSA_44), _)) | None => return Err(BadKey::Form(text.to_owned())),
            Some((kind, _)) => return Err(BadKey::NoWitness { name: name.to_owned(), kind: *kind }),
        }
        let parsed = Self { name: name.to_owned(), encoded };
        if id != parsed.id().to_string() {
            return Err(BadKey::Id { name: name.to_owned(), have: id.to_owned(), want: parsed.id() });
        }
        Ok(parsed)
    }
}

/// A witness's secret key and the name that it cosigns under.
pub struct Cosigner<'a> {
    key: WitnessKey,
    secret: &'a SecretKey,
}

impl<'a> Cosigner<'a> {
    /// Cosigns as `name` with an Ed25519 key, which must cosign under no other name: the name is not in what is signed.
    pub fn new(name: &str, secret: &'a SecretKey) -> Result<Self, BadKey> {
        Ok(Self { key: WitnessKey::new(name, &secret.public())?, secret })
    }

    /// What verifies its cosignatures.
    #[must_use]
    pub fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// The cosignature of a checkpoint at `at`, to the second. The caller has made sure that the checkpoint continues
    /// every one of its log that it cosigned before, and has stored it.
    pub fn cosign(&self, checkpoint: &SignedCheckpoint, at: Millis) -> Result<Signature, BadCosignature> {
        let seconds = u64::try_from(at.0.div_euclid(1000)).unwrap_or(0);
        millis(seconds)?;
        let signed = self.secret.sign(message(seconds, checkpoint.text()).as_bytes());
        let bytes = [&seconds.to_be_bytes(), signed.as_slice()].concat();
        Ok(Signature { name: self.key.name.clone(), id: self.key.id(), bytes })
    }
}

impl CosignedCheckpoint {
    /// Verifies what is said of a checkpoint by `witnesses`.
    pub fn open(note: &[u8], witnesses: &[WitnessKey]) -> Result<Self, CosignedError> {
        let note = Note::parse(note).map_err(CosignedError::Note)?;
        let cosigned =
            words(note.text(), note.signatures(), witnesses).map_err(CosignedError::Cosignature)?;
        if cosigned.is_empty() {
            return Err(CosignedError::Unknown { known: witnesses.len() });
        }
        let checkpoint = Checkpoint::parse(note.text()).map_err(CosignedError::Checkpoint)?;
        Ok(Self { checkpoint, cosigned })
    }

    /// What the witnesses have seen.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Who, and when; at least one, and each at most once.
    #[must_use]
    pub fn cosigned(&self) -> &[Cosigned] {
        &self.cosigned
    }
}

/// The words that `witnesses` have on a checkpoint, each at most once: of several by one, the latest. A line that is said
/// to be by one of them and is not spoils them all, as in [`Note::verify`]; lines of strangers decide nothing.
pub fn cosignatures(
    checkpoint: &SignedCheckpoint,
    witnesses: &[WitnessKey],
) -> Result<Vec<Cosigned>, BadCosignature> {
    words(checkpoint.text(), checkpoint.signatures(), witnesses)
}

fn words(
    text: &str,
    signatures: &[Signature],
    witnesses: &[WitnessKey],
) -> Result<Vec<Cosigned>, BadCosignature> {
    let mut all: Vec<Cosigned> = Vec::new();
    for signature in signatures {
        let known = witnesses.iter().find(|key| key.name == signature.name && key.id() == signature.id);
        let Some((witness, key)) = known.and_then(|witness| Some((witness, witness.public()?))) else {
            continue;
        };
        let at = witness.verify(&key, text, signature)?;
        match all.iter_mut().find(|other| other.witness == *witness) {
            Some(other) => other.at = other.at.max(at),
            None => all.push(Cosigned { witness: witness.clone(), at }),
        }
    }
    Ok(all)
}

/// What a witness signs: type and time bound in before the whole text of the checkpoint.
fn message(seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

fn millis(seconds: u64) -> Result<Millis, BadCosignature> {
    match i64::try_from(seconds) {
        Ok(signed) if (1..=LAST_SECOND).contains(&seconds) => Ok(Millis(signed * 1000)),
        _ => Err(BadCosignature::Time(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Checkpoint, Head, leaf_hash};

    const AT: Millis = Millis(1_679_315_147_999);

    fn checkpoint() -> SignedCheckpoint {
        Checkpoint::new("example.com/log", Head { size: 7, root: leaf_hash(b"x") })
            .sign(&SecretKey::ed25519([9; 32]))
            .unwrap()
    }

    fn cosigned(name: &str, seed: u8, at: Millis) -> (Signature, WitnessKey) {
        let secret = SecretKey::ed25519([seed; 32]);
        let cosigner = Cosigner::new(name, &secret).unwrap();
        (cosigner.cosign(&checkpoint(), at).unwrap(), cosigner.key().clone())
    }

    fn vkey(name: &str, encoded: &[u8]) -> String {
        format!("{name}+{}+{}", key_id(name, encoded), STANDARD.encode(encoded))
    }

    #[test]
    fn a_cosignature_says_who_and_when_to_the_second() {
        let (line, key) = cosigned("witness.example/w1", 1, AT);
        let note = checkpoint().with(std::slice::from_ref(&line)).unwrap();
        let found = cosignatures(&note, std::slice::from_ref(&key)).unwrap();
        assert_eq!(found, [Cosigned { witness: key.clone(), at: Millis(1_679_315_147_000) }]);
        let opened = CosignedCheckpoint::open(note.note().as_bytes(), std::slice::from_ref(&key)).unwrap();
        assert_eq!((opened.checkpoint(), opened.cosigned()), (note.checkpoint(), &found[..]));
        let bare = CosignedCheckpoint::open(checkpoint().note().as_bytes(), std::slice::from_ref(&key));
        assert_eq!(bare, Err(CosignedError::Unknown { known: 1 }));
        assert_eq!(line.bytes.len(), 72);
        assert_eq!(cosignatures(&checkpoint(), &[key]).unwrap(), []);
    }

    #[test]
    fn one_witness_counts_once_and_strangers_not_at_all() {
        let ((early, key), (late, _)) = (cosigned("w", 1, AT), cosigned("w", 1, Millis(AT.0 + 5_000)));
        let (other, other_key) = cosigned("v", 2, AT);
        let note = checkpoint().with(&[late, other, early]).unwrap();
        let found = cosignatures(&note, std::slice::from_ref(&key)).unwrap();
        assert_eq!(found, [Cosigned { witness: key.clone(), at: Millis(1_679_315_152_000) }]);
        assert_eq!(cosignatures(&note, &[key, other_key]).unwrap().len(), 2);
        assert_eq!(cosignatures(&note, &[]).unwrap(), []);
    }

    #[test]
    fn whatever_is_changed_is_found() {
        let (line, key) = cosigned("w", 1, AT);
        let forged = BadCosignature::Forged { name: "w".into(), id: key.id() };
        for at in [0, 7, 8, 71] {
            let mut changed = line.clone();
            changed.bytes[at] ^= 1;
            let note = checkpoint().with(&[changed]).unwrap();
            assert_eq!(cosignatures(&note, std::slice::from_ref(&key)), Err(forged.clone()), "{at}");
        }
        for bytes in
            [line.bytes[..71].to_vec(), line.bytes[..8].to_vec(), vec![1], [&line.bytes[..], &[0]].concat()]
        {
            let note = checkpoint().with(&[Signature { bytes, ..line.clone() }]).unwrap();
            assert_eq!(cosignatures(&note, std::slice::from_ref(&key)), Err(forged.clone()));
        }
        let other = Checkpoint::new("example.com/log", Head { size: 8, root: leaf_hash(b"x") });
        let moved = other.sign(&SecretKey::ed25519([9; 32])).unwrap().with(&[line]).unwrap();
        assert_eq!(cosignatures(&moved, &[key]), Err(forged));
    }

    #[test]
    fn no_time_is_no_cosignature() {
        let secret = SecretKey::ed25519([1; 32]);
        let cosigner = Cosigner::new("w", &secret).unwrap();
        for (at, seconds) in [(0, 0), (999, 0), (-5_000, 0), (i64::MAX, 9_223_372_036_854_775)] {
            let refused = cosigner.cosign(&checkpoint(), Millis(at));
            assert_eq!(refused, Err(BadCosignature::Time(seconds)), "{at}");
        }
        // Also not one that somebody signed all the same.
        for seconds in [0, LAST_SECOND + 1, u64::MAX] {
            let signed = secret.sign(message(seconds, checkpoint().text()).as_bytes());
            let bytes = [&seconds.to_be_bytes(), signed.as_slice()].concat();
            let line = Signature { name: "w".into(), id: cosigner.key().id(), bytes };
            let note = checkpoint().with(&[line]).unwrap();
            assert_eq!(
                cosignatures(&note, std::slice::from_ref(cosigner.key())),
                Err(BadCosignature::Time(seconds))
            );
        }
    }

    #[test]
    fn keys_of_witnesses_read_and_print() {
        let of = |kind: u8, len: usize| [vec![kind], vec![0xfb; len]].concat();
        for (kind, len, verified) in [(0x04, 32, true), (0x06, 1312, false)] {
            let text = vkey("witness.example/w1", &of(kind, len));
            let key: WitnessKey = text.parse().unwrap();
            assert_eq!((key.to_string(), key.public().is_some()), (text, verified));
        }
        for (kind, len) in [(0x04, 31), (0x04, 33), (0x06, 32)] {
            let wrong = vkey("w", &of(kind, len));
            assert_eq!(wrong.parse::<WitnessKey>(), Err(BadKey::Form(wrong.clone())), "{kind} of {len}");
        }
        for wrong in ["", "w", "w+00000000", "w+00000000+", "w+00000000+!"] {
            assert_eq!(wrong.parse::<WitnessKey>(), Err(BadKey::Form(wrong.into())), "{wrong}");
        }
        let log = vkey("w", &of(0x01, 32)).parse::<WitnessKey>();
        assert!(matches!(log, Err(BadKey::NoWitness { kind: 0x01, .. })));
        assert!(matches!(vkey(" ", &of(4, 32)).parse::<WitnessKey>(), Err(BadKey::Name(_))));
        let other = vkey("w", &of(4, 32)).replacen('w', "v", 1);
        assert!(matches!(other.parse::<WitnessKey>(), Err(BadKey::Id { .. })));
    }

    #[test]
    fn what_cannot_be_verified_here_counts_for_nothing() {
        let key: WitnessKey = vkey("w", &[vec![0x06], vec![0xfb; 1312]].concat()).parse().unwrap();
        let line = Signature { name: "w".into(), id: key.id(), bytes: vec![7; 8 + 2420] };
        let note = checkpoint().with(std::slice::from_ref(&line)).unwrap();
        assert_eq!(cosignatures(&note, &[key]).unwrap(), []);
        assert!(note.note().ends_with(&format!("{line}\n")), "and it is carried along");
    }
}
