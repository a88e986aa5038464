//! Checkpoints: the signed head of a log (C2SP tlog-checkpoint v1.0.0).
//!
//! The rule: a checkpoint counts only when a known key signed it whose name is the checkpoint's origin. So one
//! tenant's log can never pass for another's, though one secret key may sign for both.

use super::{
    EMPTY_ROOT, Hash, Head, decimal,
    merkle::{ProofError, verify_consistency},
    note::{Note, NoteError},
    signature::Signature,
    vkey::{BadKey, Signer, VerifierKey},
};
use crate::keys::SecretKey;

/// What a log says of itself: who it is, how many entries it has, and their root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Identity of the log, the name of its keys: `evidence.example.com/<tenant>`. One line.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// A checkpoint that a known key of its log signed, with the note that says so. Only [`SignedCheckpoint::open`] and
/// [`Checkpoint::sign`] make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
    verbatim: String,
}

/// Why a checkpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a note, or not signed as it should be.
    #[error("checkpoint is not a note signed by a known key")]
    Note(#[source] NoteError),
    /// The origin cannot be a key's name, or the key cannot sign for a log.
    #[error("log of origin {origin:?} cannot sign with this key")]
    Key {
        /// Origin of the log.
        origin: String,
        /// What is wrong with name or key.
        #[source]
        cause: BadKey,
    },
    /// Identity, size and root are not optional.
    #[error("checkpoint must have three lines, origin, size and root, and no empty ones")]
    Lines,
    /// One spelling only.
    #[error("size of the checkpoint must be a decimal number without leading zeros, is {0:?}")]
    Size(String),
    /// One spelling only.
    #[error("root of the checkpoint must be base64 of 32 bytes, is {0:?}")]
    Root(String),
    /// No entries, and yet a root over some.
    #[error("root of a checkpoint of size 0 must be {EMPTY_ROOT}, is {0}")]
    NotEmpty(Hash),
    /// Signed by a known key, but one of another log.
    #[error("checkpoint of {origin:?} must be signed by a key of that name")]
    Origin {
        /// Origin that the checkpoint claims.
        origin: String,
    },
    /// To be continued only by the same log.
    #[error("checkpoint of {new:?} cannot continue one of {old:?}")]
    OtherLog {
        /// Origin of the older checkpoint.
        old: String,
        /// Origin of the newer one.
        new: String,
    },
    /// A fork, or a damaged proof.
    #[error("checkpoint of {size} entries does not continue the one known before")]
    Forked {
        /// Entries in the newer checkpoint.
        size: u64,
        /// Where the proof fails.
        #[source]
        cause: ProofError,
    },
}

impl Checkpoint {
    /// The checkpoint of the log `origin` at `head`.
    #[must_use]
    pub fn new(origin: &str, head: Head) -> Self {
        Self { origin: origin.to_owned(), size: head.size, root: head.root }
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { size: self.size, root: self.root }
    }

    /// The text that is signed: three lines, no extensions (nobody could audit them).
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Reads the text of a checkpoint. Extension lines are tolerated and ignored. Nothing is verified here.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n').collect();
        let [origin, size, root, ..] = lines[..] else { return Err(CheckpointError::Lines) };
        if lines.contains(&"") {
            return Err(CheckpointError::Lines);
        }
        let head = Head {
            size: decimal(size).ok_or_else(|| CheckpointError::Size(size.to_owned()))?,
            root: Hash::from_base64(root).ok_or_else(|| CheckpointError::Root(root.to_owned()))?,
        };
        if head.size == 0 && head.root != EMPTY_ROOT {
            return Err(CheckpointError::NotEmpty(head.root));
        }
        Ok(Self::new(origin, head))
    }

    /// Signs in the name of the log, that is under its origin. The caller has made sure that this head continues
    /// every one that the log signed before, and has stored it: a log that signs a fork is done for.
    pub fn sign(&self, secret: &SecretKey) -> Result<SignedCheckpoint, CheckpointError> {
        let signer = Signer::new(&self.origin, secret)
            .map_err(|cause| CheckpointError::Key { origin: self.origin.clone(), cause })?;
        let text = self.text();
        let checkpoint = Self::parse(&text)?;
        let note = Note::sign(&text, &[signer]).map_err(CheckpointError::Note)?;
        Ok(SignedCheckpoint { checkpoint, verbatim: note.to_string(), note })
    }

    /// Checks that this checkpoint continues `older`, of the same log, by `proof` (of [`super::prove_consistency`]).
    pub fn verify_continues(&self, older: &Self, proof: &[Hash]) -> Result<(), CheckpointError> {
        if self.origin != older.origin {
            return Err(CheckpointError::OtherLog { old: older.origin.clone(), new: self.origin.clone() });
        }
        verify_consistency(older.size, older.root, self.size, self.root, proof)
            .map_err(|cause| CheckpointError::Forked { size: self.size, cause })
    }
}

impl SignedCheckpoint {
    /// Verifies a checkpoint. `known` are the keys of the logs whose checkpoints are welcome here.
    pub fn open(note: &[u8], known: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let note = Note::parse(note).map_err(CheckpointError::Note)?;
        let opened = note.clone().verify(known).map_err(CheckpointError::Note)?;
        let checkpoint = Checkpoint::parse(opened.text())?;
        if !opened.signers().iter().any(|key| key.name() == checkpoint.origin) {
            return Err(CheckpointError::Origin { origin: checkpoint.origin });
        }
        Ok(Self { checkpoint, verbatim: note.to_string(), note })
    }

    /// What the log says.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note, byte for byte, cosignatures included: what is stored, served and put into proofs.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.verbatim
    }

    /// What its signatures are over: with extension lines, if there are any.
    #[must_use]
    pub fn text(&self) -> &str {
        self.note.text()
    }

    /// All signature lines. Of those beside the log's own **nothing is verified**.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        self.note.signatures()
    }

    /// The same checkpoint with more signature lines beneath: those of witnesses. One that is there already is not there
    /// twice.
    pub fn with(&self, lines: &[Signature]) -> Result<Self, NoteError> {
        let mut verbatim = self.verbatim.clone();
        for (at, line) in lines.iter().enumerate() {
            if !self.signatures().contains(line) && !lines[..at].contains(line) {
                verbatim.push_str(&format!("{line}\n"));
            }
        }
        let note = Note::parse(verbatim.as_bytes())?;
        Ok(Self { checkpoint: self.checkpoint.clone(), note, verbatim })
    }

    /// The same checkpoint without the lines of anybody but `known`, which are the keys that it was opened with.
    pub fn without_strangers(&self, known: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let is_known =
            |line: &&Signature| known.iter().any(|key| key.name() == line.name && key.id() == line.id);
        let lines: String =
            self.signatures().iter().filter(is_known).map(|line| format!("{line}\n")).collect();
        Self::open(format!("{}\n{lines}", self.text()).as_bytes(), known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::leaf_hash;

    const ORIGIN: &str = "evidence.example.com/0192f0c1";

    fn checkpoint() -> Checkpoint {
        Checkpoint::new(ORIGIN, Head { size: 20_852_163, root: leaf_hash(b"x") })
    }

    fn secret() -> SecretKey {
        SecretKey::ed25519([9; 32])
    }

    fn key(name: &str) -> VerifierKey {
        VerifierKey::new(name, &secret().public()).unwrap()
    }

    #[test]
    fn what_was_signed_is_opened() {
        let signed = checkpoint().sign(&secret()).unwrap();
        assert!(signed.note().starts_with(&format!("{}\n\u{2014} {ORIGIN} ", checkpoint().text())));
        let opened = SignedCheckpoint::open(signed.note().as_bytes(), &[key("other"), key(ORIGIN)]).unwrap();
        assert_eq!(opened, signed);
        assert_eq!(opened.checkpoint(), &checkpoint());
    }

    #[test]
    fn one_logs_key_does_not_sign_for_another_log() {
        let signers = secret();
        let foreign =
            Note::sign(&checkpoint().text(), &[Signer::new("other", &signers).unwrap()]).unwrap().to_string();
        let known = [key("other"), key(ORIGIN)];
        let refused = CheckpointError::Origin { origin: ORIGIN.into() };
        assert_eq!(SignedCheckpoint::open(foreign.as_bytes(), &known), Err(refused));

        let signed = checkpoint().sign(&secret()).unwrap();
        let unknown = CheckpointError::Note(NoteError::Unknown { known: 1 });
        assert_eq!(SignedCheckpoint::open(signed.note().as_bytes(), &[key("other")]), Err(unknown));
    }

    #[test]
    fn extension_lines_are_read_and_not_written() {
        let text = format!("{}extension\nmore\n", checkpoint().text());
        let parsed = Checkpoint::parse(&text).unwrap();
        assert_eq!(parsed.text(), checkpoint().text());
        let secret = secret();
        let note = Note::sign(&text, &[Signer::new(ORIGIN, &secret).unwrap()]).unwrap().to_string();
        let opened = SignedCheckpoint::open(note.as_bytes(), &[key(ORIGIN)]).unwrap();
        assert_eq!((opened.checkpoint(), opened.note()), (&parsed, note.as_str()));
    }

    #[test]
    fn the_text_has_one_spelling() {
        let root = checkpoint().root.to_base64();
        for wrong in [
            "",
            "\n",
            "log\n",
            "log\n1\n",
            "log\n1",
            "\n1\nROOT\n",
            "log\n1\nROOT",
            "log\n1\nROOT\n\n",
            "log\n1\nROOT\n\nmore\n",
        ] {
            let wrong = wrong.replace("ROOT", &root);
            assert_eq!(Checkpoint::parse(&wrong), Err(CheckpointError::Lines), "{wrong:?}");
        }
        for size in ["01", "+1", "-1", "1 ", "0x1", "18446744073709551616"] {
            let text = format!("log\n{size}\n{root}\n");
            assert_eq!(Checkpoint::parse(&text), Err(CheckpointError::Size(size.into())));
        }
        for root in ["AAAA", &root[..43], &format!("{root} "), &root.replace('=', "")] {
            let text = format!("log\n1\n{root}\n");
            assert_eq!(Checkpoint::parse(&text), Err(CheckpointError::Root(root.to_string())));
        }
        let empty = format!("log\n0\n{root}\n");
        assert_eq!(Checkpoint::parse(&empty), Err(CheckpointError::NotEmpty(checkpoint().root)));
        assert_eq!(
            Checkpoint::parse(&Checkpoint::new("log", Head::EMPTY).text()).unwrap().head(),
            Head::EMPTY
        );
    }

    #[test]
    fn lines_of_witnesses_are_added_once_and_taken_off_again() {
        let signed = checkpoint().sign(&secret()).unwrap();
        let line =
            |n: u8| Signature { name: "w".into(), id: super::super::KeyId([n; 4]), bytes: vec![n; 72] };
        let more = signed.with(&[line(1), line(2), line(1)]).unwrap();
        assert_eq!(more.note(), format!("{}{}\n{}\n", signed.note(), line(1), line(2)));
        assert_eq!(more.with(&[line(2)]).unwrap(), more);
        assert_eq!((more.text(), more.signatures().len()), (signed.text(), 3));
        assert_eq!(SignedCheckpoint::open(more.note().as_bytes(), &[key(ORIGIN)]), Ok(more.clone()));
        assert_eq!(more.without_strangers(&[key(ORIGIN)]), Ok(signed));
        let many: Vec<Signature> = (0..100).map(line).collect();
        assert_eq!(more.with(&many), Err(NoteError::TooMany));
    }

    #[test]
    fn what_could_not_be_opened_is_not_signed() {
        for origin in ["", "two\nlines", "with space", "a+b"] {
            let refused = Checkpoint::new(origin, Head::EMPTY).sign(&secret()).unwrap_err();
            assert!(matches!(refused, CheckpointError::Key { .. }), "{origin:?}: {refused}");
        }
        let wrong = Checkpoint::new("log", Head { size: 0, root: leaf_hash(b"x") });
        assert!(matches!(wrong.sign(&secret()), Err(CheckpointError::NotEmpty(_))));
    }

    #[test]
    fn only_the_same_log_continues_a_log() {
        let newer = checkpoint();
        let older = Checkpoint::new("other", Head::EMPTY);
        assert!(matches!(newer.verify_continues(&older, &[]), Err(CheckpointError::OtherLog { .. })));
        let older = Checkpoint::new(ORIGIN, Head::EMPTY);
        assert_eq!(newer.verify_continues(&older, &[]), Ok(()));
        assert!(matches!(older.verify_continues(&newer, &[]), Err(CheckpointError::Forked { .. })));
    }
}
