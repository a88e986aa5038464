//! What a log asks of a witness, and what the witness answers (C2SP tlog-witness v1.0.0, `add-checkpoint`).
//!
//! The rule: a witness cosigns a checkpoint when a log key that it trusts has signed it, and when it is proven to continue
//! the newest that this witness has cosigned of that log; nothing else is asked, and nothing less will do. Deciding and
//! keeping are one step for the caller: of two requests that come at once, the second is judged by what the first left.

use std::fmt;

use super::{
    Hash, Head,
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint},
    decimal,
    note::NoteError,
    vkey::VerifierKey,
};

/// Longest request in bytes: room for a checkpoint that 16 post-quantum keys signed, and the proof.
pub const ADD_CHECKPOINT_MAX: usize = 128 * 1024;

/// A consistency proof between trees that 64-bit numbers count has no more.
pub const PROOF_HASHES_MAX: usize = 63;

/// A request: **nothing in it is verified**. Prints as its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the newest checkpoint that this witness has cosigned, as far as the log knows; 0: none.
    pub old: u64,
    /// From there to the new one.
    pub proof: Vec<Hash>,
    /// The signed note, byte for byte.
    pub checkpoint: String,
}

/// Not a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// Longer than any honest request.
    #[error("request must be at most {ADD_CHECKPOINT_MAX} bytes")]
    TooLong,
    /// Requests are text.
    #[error("request must be UTF-8")]
    NotUtf8,
    /// The checkpoint begins after an empty line.
    #[error("request must have an empty line before its checkpoint")]
    NoCheckpoint,
    /// One spelling only.
    #[error("first line must be old and a decimal number without leading zeros")]
    Old,
    /// One spelling only.
    #[error("proof line {0} must be base64 of 32 bytes")]
    Hash(usize),
    /// No tree is that high.
    #[error("proof must have at most {PROOF_HASHES_MAX} lines")]
    TooMany,
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The note is not a checkpoint.
    #[error("checkpoint cannot be read: {0}")]
    Malformed(String),
    /// Nobody told this witness to watch that log.
    #[error("log {origin:?} is not known to this witness")]
    UnknownLog {
        /// Origin of the checkpoint.
        origin: String,
    },
    /// By none of the log keys that this witness trusts, or a line is said to be by one and is not.
    #[error("checkpoint is not signed as it must be: {0}")]
    NotSigned(NoteError),
    /// No log gets smaller.
    #[error("old size {old} is above the checkpoint's size {size}")]
    OldAbove {
        /// The size that was named.
        old: u64,
        /// The size of the checkpoint.
        size: u64,
    },
    /// What the log takes for the newest here is not.
    #[error("newest cosigned size is {size}")]
    Conflict {
        /// What is.
        size: u64,
    },
    /// The same size, another root: two logs, for certain. Both notes together prove it.
    #[error("another tree of {size} entries was cosigned before: this log has forked")]
    Forked {
        /// The size of both.
        size: u64,
    },
    /// The proof does not lead there, or there is no such tree.
    #[error("checkpoint is not proven to continue the one cosigned before: {0}")]
    Unproven(String),
}

impl AddCheckpoint {
    /// Reads a request's body.
    pub fn parse(body: &[u8]) -> Result<Self, BadRequest> {
        if body.len() > ADD_CHECKPOINT_MAX {
            return Err(BadRequest::TooLong);
        }
        let body = std::str::from_utf8(body).map_err(|_| BadRequest::NotUtf8)?;
        let (head, checkpoint) = body.split_once("\n\n").ok_or(BadRequest::NoCheckpoint)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| decimal(line.strip_prefix("old ")?)).ok_or(BadRequest::Old)?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == PROOF_HASHES_MAX {
                return Err(BadRequest::TooMany);
            }
            proof.push(Hash::from_base64(line).ok_or(BadRequest::Hash(proof.len() + 1))?);
        }
        Ok(Self { old, proof, checkpoint: checkpoint.to_owned() })
    }

    /// Whose checkpoint it is said to be: where to look for what is known of that log.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.checkpoint.split('\n').next().unwrap_or_default()
    }

    /// The table of answers: the checkpoint to keep and then cosign, or why not. `trusted`: log keys of any logs; `kept`:
    /// the newest checkpoint of [`AddCheckpoint::origin`] that this witness has cosigned.
    pub fn judge(
        &self,
        trusted: &[VerifierKey],
        kept: Option<&Checkpoint>,
    ) -> Result<SignedCheckpoint, Refusal> {
        let origin = self.origin();
        let keys: Vec<VerifierKey> = trusted.iter().filter(|key| key.name() == origin).cloned().collect();
        if keys.is_empty() {
            return Err(Refusal::UnknownLog { origin: origin.to_owned() });
        }
        let opened = SignedCheckpoint::open(self.checkpoint.as_bytes(), &keys);
        let size = match &opened {
            Ok(signed) => signed.checkpoint().size,
            // It has a place in the table: below.
            Err(CheckpointError::NotEmpty(_)) => 0,
            Err(CheckpointError::Note(
                why @ (NoteError::Unknown { .. } | NoteError::Forged { .. } | NoteError::Ambiguous { .. }),
            )) => return Err(Refusal::NotSigned(why.clone())),
            Err(CheckpointError::Note(why)) => return Err(Refusal::Malformed(why.to_string())),
            Err(why) => return Err(Refusal::Malformed(why.to_string())),
        };
        if self.old > size {
            return Err(Refusal::OldAbove { old: self.old, size });
        }
        let nothing = Checkpoint::new(origin, Head::EMPTY);
        let kept = kept.unwrap_or(&nothing);
        if self.old != kept.size {
            return Err(Refusal::Conflict { size: kept.size });
        }
        let signed = opened.map_err(|why| Refusal::Unproven(why.to_string()))?;
        let offered = signed.checkpoint();
        if offered.size == kept.size && offered.root != kept.root {
            return Err(Refusal::Forked { size });
        }
        match offered.verify_continues(kept, &self.proof) {
            Ok(()) => Ok(signed),
            Err(CheckpointError::Forked { cause, .. }) => Err(Refusal::Unproven(cause.to_string())),
            Err(why) => Err(Refusal::Unproven(why.to_string())),
        }
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl Refusal {
    /// The HTTP status that says so.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::OldAbove { .. } => 400,
            Self::NotSigned(_) => 403,
            Self::UnknownLog { .. } => 404,
            Self::Conflict { .. } => 409,
            Self::Forked { .. } | Self::Unproven(_) => 422,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::SecretKey,
        log::{MemoryTiles, Note, Signer, append, leaf_hash, prove_consistency},
    };

    const ORIGIN: &str = "evidence.msp.example/t";

    fn tree(name: &str, size: u64) -> (MemoryTiles, Head) {
        let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(format!("{name} {n}").as_bytes())).collect();
        let mut tiles = MemoryTiles::default();
        let appended = append(&tiles, Head::EMPTY, &leaves).unwrap();
        let head = appended.head;
        tiles.write(appended.writes);
        (tiles, head)
    }

    fn key(seed: u8) -> SecretKey {
        SecretKey::ed25519([seed; 32])
    }

    fn note(head: Head) -> String {
        Checkpoint::new(ORIGIN, head).sign(&key(9)).unwrap().note().to_owned()
    }

    /// Any text, signed under the log's name.
    fn signed(text: &str, seed: u8) -> String {
        Note::sign(text, &[Signer::new(ORIGIN, &key(seed)).unwrap()]).unwrap().to_string()
    }

    fn trusted() -> Vec<VerifierKey> {
        vec![
            VerifierKey::new("another.example/log", &key(8).public()).unwrap(),
            VerifierKey::new(ORIGIN, &key(9).public()).unwrap(),
        ]
    }

    /// What comes of a request: the status that it is answered with.
    fn status(old: u64, proof: &[Hash], note: &str, kept: Option<Head>) -> u16 {
        let request = AddCheckpoint { old, proof: proof.to_vec(), checkpoint: note.to_owned() };
        let kept = kept.map(|head| Checkpoint::new(ORIGIN, head));
        match AddCheckpoint::parse(request.to_string().as_bytes()).unwrap().judge(&trusted(), kept.as_ref()) {
            Ok(signed) => {
                assert_eq!(signed.note(), note);
                200
            }
            Err(refusal) => refusal.status(),
        }
    }

    #[test]
    fn answers() {
        let (tiles, five) = tree("a", 5);
        let ((_, three), (_, other_three), (_, other_five)) = (tree("a", 3), tree("b", 3), tree("b", 5));
        let proof = prove_consistency(&tiles, 3, 5).unwrap();
        let none: &[Hash] = &[];
        let by_another = signed(&Checkpoint::new(ORIGIN, five).text(), 8);
        let of_another =
            Checkpoint::new("unknown.example/log", five).sign(&key(9)).unwrap().note().to_owned();
        let forged = note(five).replace("\n5\n", "\n6\n");
        let both = format!("{}{}\n", note(five), by_another.lines().last().unwrap());
        let not_a_checkpoint = signed(&format!("{ORIGIN}\nfive\n"), 9);
        let not_empty = signed(&format!("{ORIGIN}\n0\n{}\n", five.root.to_base64()), 9);
        for (case, old, proof, note, kept, expected) in [
            ("the first", 0, none, &note(three), None, 200),
            ("the first, empty", 0, none, &note(Head::EMPTY), None, 200),
            ("the first after an empty one", 0, none, &note(three), Some(Head::EMPTY), 200),
            ("grown, proven", 3, &proof, &note(five), Some(three), 200),
            ("the same again", 3, none, &note(three), Some(three), 200),
            ("with a stranger's line", 3, &proof, &both, Some(three), 200),
            ("not a checkpoint", 0, none, &not_a_checkpoint, None, 400),
            ("old above the size", 5, none, &note(three), Some(five), 400),
            ("old above the size, whatever is kept", 5, none, &note(three), Some(three), 400),
            ("signed by nobody who is trusted", 0, none, &by_another, None, 403),
            ("a trusted key's line that is forged", 0, none, &forged, None, 403),
            ("a log that nobody named", 0, none, &of_another, None, 404),
            ("old size that is not the newest", 0, none, &note(five), Some(three), 409),
            ("old size that never was", 3, &proof, &note(five), None, 409),
            ("smaller than the newest", 3, none, &note(three), Some(five), 409),
            ("empty with a root", 0, none, &not_empty, None, 422),
            ("empty with a root, late", 0, none, &not_empty, Some(three), 409),
            ("a proof from nothing", 0, &proof, &note(five), None, 422),
            ("no proof", 3, none, &note(five), Some(three), 422),
            ("half a proof", 3, &proof[1..], &note(five), Some(three), 422),
            ("grown out of another", 3, &proof, &note(other_five), Some(three), 422),
            ("grown on another", 3, &proof, &note(five), Some(other_three), 422),
            ("as large, another root", 3, none, &note(other_three), Some(three), 422),
            ("the same with a proof", 3, &proof, &note(three), Some(three), 422),
        ] {
            assert_eq!(status(old, proof, note, kept), expected, "{case}");
        }
        let fork = AddCheckpoint { old: 3, proof: vec![], checkpoint: note(other_three) };
        let kept = Checkpoint::new(ORIGIN, three);
        assert_eq!(fork.judge(&trusted(), Some(&kept)), Err(Refusal::Forked { size: 3 }));
    }

    #[test]
    fn requests_print_as_they_were_read_and_have_one_spelling() {
        let (tiles, five) = tree("a", 5);
        let proof = prove_consistency(&tiles, 3, 5).unwrap();
        let request = AddCheckpoint { old: 3, proof, checkpoint: note(five) };
        let text = request.to_string();
        assert_eq!(AddCheckpoint::parse(text.as_bytes()), Ok(request.clone()));
        assert_eq!(request.origin(), ORIGIN);
        let hash = request.proof[0].to_base64();
        for (wrong, why) in [
            (String::new(), BadRequest::NoCheckpoint),
            ("old 3\n".into(), BadRequest::NoCheckpoint),
            (text.replace("old 3", "old 03"), BadRequest::Old),
            (text.replace("old 3", "old  3"), BadRequest::Old),
            (text.replace("old 3", "new 3"), BadRequest::Old),
            (text.replace("old 3\n", ""), BadRequest::Old),
            (text.replace("old 3", "old 18446744073709551616"), BadRequest::Old),
            (text.replacen('\n', "\r\n", 1), BadRequest::Old),
            (text.replace(&hash, &hash[1..]), BadRequest::Hash(1)),
            (text.replace(&hash, &[hash.as_str(); 63].join("\n")), BadRequest::TooMany),
        ] {
            assert_eq!(AddCheckpoint::parse(wrong.as_bytes()), Err(why), "{wrong:?}");
        }
        assert_eq!(AddCheckpoint::parse(b"old 0\n\n\xff"), Err(BadRequest::NotUtf8));
        assert_eq!(AddCheckpoint::parse(&vec![b'a'; ADD_CHECKPOINT_MAX + 1]), Err(BadRequest::TooLong));
    }
}
