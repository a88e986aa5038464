//! The executor as a witness of its tenant's log: the newest checkpoint, and proofs that evidence is in it.
//!
//! The rule: evidence is let go only by an inclusion proof in a checkpoint that a log key of the charter signed and that
//! continues the one kept before. One that contradicts it is an alarm: orders are held for good. One without a proof says
//! nothing, because whoever delivers may have lost it: it is a problem, and its note is kept until its very head turns out
//! to be one of the same log, or to be none, which is a fork after all.
//!
//! A log that follows another is gone by on the word of the organization keys alone, and only when that names no less of
//! the old log than was verified here; else it contradicts what this box knows, like a fork, and a person must come. More
//! it must be shown to continue, as any checkpoint. Where the word is that entries are lost, nobody can show that; a box
//! that has seen a fork does not follow such a word.
//! What was not proven in the old log stays here until it is in the new one.

use std::collections::VecDeque;

use proto::{
    charter::Charter,
    digest::Digest,
    field::BadField,
    local,
    log::{self, Checkpoint, Hash, Meaning, SignedCheckpoint, VerifierKey, leaf_hash, verify_inclusion},
    succession::SuccessionError,
};

use super::{
    ExecutorCore, ExecutorError, chain_of,
    store::{KeptCheckpoint, Shown},
};

/// The most inclusion proofs of one delivery.
const INCLUSIONS_MAX: usize = 1_024;

/// How many checkpoints before the kept one are remembered, to know a late answer by.
const EARLIER: usize = 8;
/// How many late answers in a row are believed to be late.
const LATE_MAX: u32 = 3;

/// Checkpoints kept earlier in this session. An answer that comes late, or in another order, brings a proof from one of
/// them; that is no fork, but no proof either.
#[derive(Default)]
pub(super) struct Earlier {
    kept: VecDeque<Checkpoint>,
    late: u32,
}

impl Earlier {
    fn remember(&mut self, kept: Option<Checkpoint>) {
        self.late = 0;
        if self.kept.len() == EARLIER {
            self.kept.pop_front();
        }
        self.kept.extend(kept);
    }

    /// Whether `proof` shows that `offered` continues one of them; only a few times in a row, so that nobody keeps a fork
    /// out of sight by that.
    fn explains(&mut self, offered: &Checkpoint, proof: &[Hash]) -> bool {
        let late = self.late < LATE_MAX
            && self.kept.iter().any(|kept| offered.verify_continues(kept, proof).is_ok());
        self.late += u32::from(late);
        late
    }
}

fn open(note: &[u8], charter: &Charter, origin: &str) -> Result<SignedCheckpoint, BadField> {
    let bad = |error: &dyn std::error::Error| BadField::new("checkpoint", chain_of(error));
    let keys: Vec<VerifierKey> = charter
        .log_keys
        .iter()
        .map(|key| VerifierKey::new(origin, key).map_err(|e| bad(&e)))
        .collect::<Result<_, _>>()?;
    SignedCheckpoint::open(note, &keys).map_err(|e| bad(&e))
}

/// Kept records that `inclusions` prove to be in a log of that head.
fn proven(
    core: &ExecutorCore,
    head: log::Head,
    inclusions: &[local::Inclusion],
) -> Result<(Vec<Digest>, Vec<String>), ExecutorError> {
    let (mut proven, mut problems) = (Vec::new(), Vec::new());
    if inclusions.len() > INCLUSIONS_MAX {
        problems.push(format!("inclusions must be at most {INCLUSIONS_MAX}, are {}", inclusions.len()));
    }
    for (at, inclusion) in inclusions.iter().take(INCLUSIONS_MAX).enumerate() {
        let within = |bad: BadField| bad.within(&format!("inclusions[{at}]")).to_string();
        let (digest, hashes) =
            match (Digest::from_field("sha256", &inclusion.sha256), hashes(&inclusion.hashes)) {
                (Ok(digest), Ok(hashes)) => (digest, hashes),
                (Err(bad), _) | (_, Err(bad)) => {
                    problems.push(within(bad));
                    continue;
                }
            };
        // A record that is not here was let go before: proven again, nothing to do.
        let Some(envelope) = core.store.view().evidence_by_digest(digest)? else { continue };
        match verify_inclusion(leaf_hash(&envelope), inclusion.index, head.size, &hashes, head.root) {
            Ok(()) => proven.push(digest),
            Err(wrong) => problems.push(within(BadField::new("hashes", chain_of(&wrong)))),
        }
    }
    Ok((proven, problems))
}

fn hashes(raw: &[Vec<u8>]) -> Result<Vec<Hash>, BadField> {
    raw.iter().enumerate().map(|(at, bytes)| Hash::from_field(&format!("hashes[{at}]"), bytes)).collect()
}

impl ExecutorCore {
    /// Takes a checkpoint with its proofs; gives what was wrong with single ones.
    pub(super) fn take_checkpoint(
        &mut self,
        note: &[u8],
        consistency: &[Vec<u8>],
        inclusions: &[local::Inclusion],
    ) -> Result<Vec<String>, ExecutorError> {
        let (Some(identity), Some(charter)) = (&self.identity, self.trust.charter()) else {
            return Err(BadField::new("checkpoint", "cannot be judged: this executor is not enrolled").into());
        };
        let origin = self.trust.origin(identity);
        let offered = open(note, charter, &origin)?;
        let proof = hashes(consistency).map_err(|bad| bad.within("consistency"))?;
        let kept = self.store.view().checkpoint()?.map(|kept| Checkpoint::new(&origin, kept.head));
        let size = offered.checkpoint().size;
        match log::meaning(kept.as_ref(), offered.checkpoint(), &proof) {
            Meaning::Same | Meaning::Continues => {}
            Meaning::Older => {
                let kept = kept.map_or(0, |kept| kept.size);
                return Err(BadField::new(
                    "checkpoint",
                    format!("of size {size} is older than the one kept, of size {kept}"),
                )
                .into());
            }
            Meaning::Fork => {
                self.keep_shown(&offered, true)?;
                return Err(BadField::new(
                    "checkpoint",
                    format!("of size {size} contradicts the one kept: a fork"),
                )
                .into());
            }
            Meaning::Unproven(refused) => {
                if !self.earlier.explains(offered.checkpoint(), &proof) {
                    self.keep_shown(&offered, false)?;
                }
                return Err(BadField::new("consistency", chain_of(&refused)).into());
            }
        }
        let head = offered.checkpoint().head();
        let (proven, problems) = proven(self, head, inclusions)?;
        let times = self.time.durable();
        let judged: Vec<(Shown, bool)> = (self.store.view().shown(false)?.into_iter())
            .filter_map(|shown| Some((log::accounts_for(offered.checkpoint(), shown.head, &proof)?, shown)))
            .map(|(is_of_this_log, shown)| (shown, is_of_this_log))
            .collect();
        self.store.write(|tx| {
            tx.keep_checkpoint(&KeptCheckpoint { head, note: offered.note().to_owned() })?;
            for (shown, is_of_this_log) in judged {
                if is_of_this_log {
                    tx.drop_shown(shown.head)?;
                } else {
                    tx.keep_shown(&Shown { fork: true, ..shown })?;
                }
            }
            for digest in &proven {
                tx.drop_evidence(*digest)?;
            }
            tx.keep_times(&times).map_err(ExecutorError::from)
        })?;
        self.earlier.remember(kept);
        Ok(problems)
    }

    /// Takes the organization's word that another log follows the one gone by, and that what it names continues what is kept.
    pub(super) fn take_succession(
        &mut self,
        envelope: &[u8],
        consistency: &[Vec<u8>],
    ) -> Result<(), ExecutorError> {
        let Some(identity) = &self.identity else {
            return Err(BadField::new("succession", "cannot be judged: this executor is not enrolled").into());
        };
        let Some(offered) = self.trust.offer_succession(envelope, identity)? else { return Ok(()) };
        let proof = hashes(consistency).map_err(|bad| bad.within("consistency"))?;
        let kept = self.store.view().checkpoint()?.map(|kept| kept.head);
        let is_shown = match kept.map_or(Ok(true), |head| offered.is_shown_after(head, &proof)) {
            Ok(is_shown) => is_shown,
            Err(refused) => {
                // Whoever delivers may have lost the proof.
                let fork = !matches!(refused, SuccessionError::Unshown(_));
                let note = String::from_utf8_lossy(envelope).into_owned();
                self.keep_head(Shown { head: offered.old.head(), fork, note })?;
                return Err(BadField::new("succession", chain_of(&refused)).into());
            }
        };
        if !is_shown && !self.store.view().shown(true)?.is_empty() {
            let why =
                "is not followed: the log has forked, and nothing shows on which side its entries were lost";
            return Err(BadField::new("succession", why).into());
        }
        self.store.write(|tx| tx.follow(offered.number(), envelope).map_err(ExecutorError::from))?;
        tracing::warn!(
            origin = offered.new.origin,
            "another log follows by word of the organization: {}",
            offered.cause
        );
        self.trust.follow(offered);
        self.earlier = Earlier::default();
        Ok(())
    }

    /// Keeps a head that does not continue the kept one; a fork holds orders from then on.
    fn keep_shown(&mut self, offered: &SignedCheckpoint, fork: bool) -> Result<(), ExecutorError> {
        self.keep_head(Shown { head: offered.checkpoint().head(), fork, note: offered.note().to_owned() })
    }

    fn keep_head(&mut self, shown: Shown) -> Result<(), ExecutorError> {
        let fork = shown.fork;
        let known = self.store.view().shown(fork)?.iter().any(|known| known.head == shown.head);
        if known {
            return Ok(());
        }
        let size = shown.head.size;
        if fork {
            tracing::error!(
                checkpoint.size = size,
                "a signed head of size {size} contradicts the one kept; orders are held"
            );
        } else {
            tracing::warn!(
                checkpoint.size = size,
                "a signed checkpoint of size {size} was not shown to continue the one kept"
            );
        }
        self.store.write(|tx| tx.keep_shown(&shown).map_err(ExecutorError::from))
    }
}

#[cfg(test)]
mod tests {
    use proto::log::{Head, MemoryTiles, append, prove_consistency};

    use super::*;

    fn log_of(name: &str, size: u64) -> (MemoryTiles, Checkpoint) {
        let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(format!("{name} {n}").as_bytes())).collect();
        let mut tiles = MemoryTiles::default();
        let appended = append(&tiles, Head::EMPTY, &leaves).unwrap();
        let head = appended.head;
        tiles.write(appended.writes);
        (tiles, Checkpoint::new("evidence.msp.example/t", head))
    }

    #[test]
    fn a_late_answer_is_known_but_not_for_ever() {
        let (_, three) = log_of("a", 3);
        let (tiles, five) = log_of("a", 5);
        let proof = prove_consistency(&tiles, 3, 5).unwrap();
        let mut earlier = Earlier::default();
        assert!(!earlier.explains(&five, &proof));
        earlier.remember(Some(three.clone()));
        for _ in 0..LATE_MAX {
            assert!(earlier.explains(&five, &proof));
        }
        assert!(!earlier.explains(&five, &proof));
        earlier.remember(Some(three));
        assert!(!earlier.explains(&five, &[]) && earlier.explains(&five, &proof));
    }
}
