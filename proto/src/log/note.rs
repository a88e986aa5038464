//! Signed notes: text with signature lines beneath (C2SP signed-note v1.0.0).
//!
//! The rule: text is worth nothing until a key that is already known has signed it; and when a known key's signature
//! is wrong, the whole note is refused, even if another known key's is right.

use std::fmt;

use super::{
    signature::Signature,
    vkey::{KeyId, Signer, VerifierKey},
};

/// Most signatures that a note may carry. The specification asks for 16 at least.
pub const SIGNATURES_MAX: usize = 100;

/// Longest note in bytes: room for the most and the largest signatures there are (post-quantum, under 5,000 bytes).
const NOTE_MAX: usize = 1 << 20;

/// A note as it was read: **nothing in it is verified**. Prints as its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// A note that at least one known key signed. Only [`Note::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedNote {
    text: String,
    signers: Vec<VerifierKey>,
    others: Vec<Signature>,
}

/// Why a note was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than any honest note.
    #[error("note must be at most {NOTE_MAX} bytes, has {0}")]
    TooLong(usize),
    /// Notes are text.
    #[error("note must be UTF-8")]
    NotUtf8,
    /// Nothing that moves a cursor or hides text.
    #[error("note must not contain control character {0:?}")]
    Control(char),
    /// Text ends where its last line does.
    #[error("text of the note must end with a newline")]
    Unended,
    /// Text, a blank line, and signature lines.
    #[error("note must have a blank line and then at least one signature")]
    NoSignatures,
    /// Not `— <key name> <base64>`.
    #[error(
        "signature line {0} of the note must be an em dash, a key name and base64 of key id and signature"
    )]
    Line(usize),
    /// Verifying costs time.
    #[error("note must have at most {SIGNATURES_MAX} signatures")]
    TooMany,
    /// Forged or damaged.
    #[error("signature by {name:?}, key {id}, does not verify")]
    Forged {
        /// The known key's name.
        name: String,
        /// The known key's ID.
        id: KeyId,
    },
    /// Two different known keys would answer to one signature.
    #[error("two of the known keys are both {name:?}, key {id}")]
    Ambiguous {
        /// The name they share.
        name: String,
        /// The ID they share.
        id: KeyId,
    },
    /// Signed by strangers only.
    #[error("none of the {known} known keys signed the note")]
    Unknown {
        /// Number of keys that were known.
        known: usize,
    },
}

impl Note {
    /// Signs `text`, which ends with a newline, with at least one key.
    pub fn sign(text: &str, signers: &[Signer<'_>]) -> Result<Self, NoteError> {
        let signatures = signers.iter().map(|signer| Signature {
            name: signer.key().name().to_owned(),
            id: signer.key().id(),
            bytes: signer.sign(text),
        });
        let note = Self { text: text.to_owned(), signatures: signatures.collect() };
        if !text.ends_with('\n') {
            return Err(NoteError::Unended);
        }
        Self::parse(note.to_string().as_bytes())
    }

    /// Reads a note without verifying it. It prints as exactly these bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_MAX {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        if let Some(control) = note.chars().find(|c| *c < ' ' && *c != '\n') {
            return Err(NoteError::Control(control));
        }
        // Text may have blank lines of its own: the last one divides.
        let (before, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        let signatures = lines
            .split('\n')
            .enumerate()
            .map(|(n, line)| {
                if n >= SIGNATURES_MAX {
                    return Err(NoteError::TooMany);
                }
                Signature::parse(line).ok_or(NoteError::Line(n + 1))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { text: format!("{before}\n"), signatures })
    }

    /// The text, verified by nobody, its last newline included.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in order, verified by nobody.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Believes the text if at least one of the `known` keys signed it and none is said to have that did not.
    /// Signatures by other keys are kept, and decide nothing.
    pub fn verify(self, known: &[VerifierKey]) -> Result<OpenedNote, NoteError> {
        let mut signers: Vec<VerifierKey> = Vec::new();
        let mut others = Vec::new();
        for signature in self.signatures {
            let (name, id) = (&signature.name, signature.id);
            let mut keys = known.iter().filter(|key| key.name() == name && key.id() == id);
            let Some(key) = keys.next() else {
                others.push(signature);
                continue;
            };
            if keys.any(|other| other != key) {
                return Err(NoteError::Ambiguous { name: signature.name, id });
            }
            if key.verify(&self.text, &signature.bytes).is_err() {
                return Err(NoteError::Forged { name: signature.name, id });
            }
            if !signers.contains(key) {
                signers.push(key.clone());
            }
        }
        if signers.is_empty() {
            return Err(NoteError::Unknown { known: known.len() });
        }
        Ok(OpenedNote { text: self.text, signers, others })
    }
}

impl OpenedNote {
    /// The text, its last newline included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Known keys that signed, each once.
    #[must_use]
    pub fn signers(&self) -> &[VerifierKey] {
        &self.signers
    }

    /// Signatures by other keys, unverified: cosignatures of witnesses, a successor's key.
    #[must_use]
    pub fn others(&self) -> &[Signature] {
        &self.others
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?; // the text ends its own last line
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SecretKey;

    const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";

    fn secret(seed: u8) -> SecretKey {
        SecretKey::ed25519([seed; 32])
    }

    fn signed(text: &str, names: &[(&str, u8)]) -> (String, Vec<VerifierKey>) {
        let secrets: Vec<_> = names.iter().map(|(name, seed)| (*name, secret(*seed))).collect();
        let signers: Vec<_> =
            secrets.iter().map(|(name, secret)| Signer::new(name, secret).unwrap()).collect();
        let keys = signers.iter().map(|signer| signer.key().clone()).collect();
        (Note::sign(text, &signers).unwrap().to_string(), keys)
    }

    fn open(note: &str, known: &[VerifierKey]) -> Result<OpenedNote, NoteError> {
        Note::parse(note.as_bytes())?.verify(known)
    }

    #[test]
    fn what_was_signed_is_opened_by_each_key() {
        let (note, keys) = signed(TEXT, &[("a.example/log", 1), ("b.example/log", 2)]);
        for key in &keys {
            let opened = open(&note, std::slice::from_ref(key)).unwrap();
            assert_eq!((opened.text(), opened.signers()), (TEXT, std::slice::from_ref(key)));
            assert_eq!(opened.others().len(), 1);
        }
        let opened = open(&note, &[keys.clone(), keys.clone()].concat()).unwrap();
        assert_eq!(opened.signers(), keys, "knowing a key twice makes it no second signer");
        let last = note.lines().last().unwrap();
        let opened = open(&format!("{note}{last}\n"), &keys).unwrap();
        assert_eq!(opened.signers(), keys, "nor does signing twice");
        assert_eq!(Note::parse(note.as_bytes()).unwrap().to_string(), note);
    }

    #[test]
    fn text_may_have_blank_lines() {
        for text in ["\n", "\n\n\n", "a\n\n", "a\n\nb\n", "— a b\n", "a\n\n— a AAAAAAA=\n"] {
            let (note, keys) = signed(text, &[("log", 1)]);
            assert_eq!(open(&note, &keys).unwrap().text(), text);
        }
    }

    #[test]
    fn strangers_are_kept_and_decide_nothing() {
        let (note, keys) = signed(TEXT, &[("log", 1)]);
        let stranger = Signature { name: "log".into(), id: KeyId([4; 4]), bytes: vec![0x04; 72] };
        let both = format!("{note}{stranger}\n{stranger}\n");
        let opened = open(&both, &keys).unwrap();
        assert_eq!(opened.others(), [stranger.clone(), stranger]);
        assert_eq!(open(&both, &[]), Err(NoteError::Unknown { known: 0 }));
        let (_, unrelated) = signed(TEXT, &[("log", 2), ("other", 1)]);
        assert_eq!(open(&both, &unrelated), Err(NoteError::Unknown { known: 2 }));
    }

    #[test]
    fn one_wrong_signature_by_a_known_key_spoils_the_note() {
        let (note, keys) = signed(TEXT, &[("a", 1), ("b", 2)]);
        for wrong in
            [note.replace("answer", "Answer"), note.replace("— b ", "— a ").replacen("— a ", "— b ", 1)]
        {
            assert!(open(&wrong, &keys).is_err());
        }
        let forged = Signature { name: "b".into(), id: keys[1].id(), bytes: vec![1; 64] };
        let refused = NoteError::Forged { name: "b".into(), id: keys[1].id() };
        assert_eq!(
            open(&format!("{note}{forged}\n"), &keys),
            Err(refused),
            "even after a good one by the same key"
        );
    }

    #[test]
    fn malformed_notes_are_refused() {
        let (note, keys) = signed("text\n", &[("log", 1)]);
        let line = note.strip_prefix("text\n\n").unwrap();
        for (wrong, why) in [
            (String::new(), NoteError::NoSignatures),
            ("text\n".into(), NoteError::NoSignatures),
            ("text\n\n".into(), NoteError::NoSignatures),
            (format!("text\n{line}"), NoteError::NoSignatures),
            (note.trim_end().into(), NoteError::NoSignatures),
            (format!("{note}\n"), NoteError::NoSignatures),
            (note.replace('\n', "\r\n"), NoteError::Control('\r')),
            (format!("\0{note}"), NoteError::Control('\0')),
            (note.replace('—', "-"), NoteError::Line(1)),
            (note.replace("— ", "—"), NoteError::Line(1)),
            (note.replace("log ", "log  "), NoteError::Line(1)),
            (note.replace("log ", ""), NoteError::Line(1)),
            (note.replace("log ", "l+og "), NoteError::Line(1)),
            (note.replace("log ", "l\u{a0}og "), NoteError::Line(1)),
            (format!("{note}— log AAAAAA==\n"), NoteError::Line(2)),
            (format!("{note}— log A\n"), NoteError::Line(2)),
            (format!("{note}comment\n"), NoteError::Line(2)),
        ] {
            assert_eq!(open(&wrong, &keys), Err(why), "{wrong:?}");
        }
        assert_eq!(Note::parse(b"text\n\n\xff\n"), Err(NoteError::NotUtf8));
        assert_eq!(Note::parse(&vec![b'a'; NOTE_MAX + 1]), Err(NoteError::TooLong(NOTE_MAX + 1)));
    }

    #[test]
    fn what_could_not_be_read_is_not_signed() {
        let key = secret(1);
        let sign = |text: &str| Note::sign(text, &[Signer::new("log", &key).unwrap()]);
        assert_eq!(sign("no newline"), Err(NoteError::Unended));
        assert_eq!(sign(""), Err(NoteError::Unended));
        assert_eq!(sign("tab\t\n"), Err(NoteError::Control('\t')));
        assert_eq!(Note::sign("text\n", &[]), Err(NoteError::NoSignatures));
    }
}
