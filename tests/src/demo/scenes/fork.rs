//! Somebody signs a second history with the log's own key: an outside witness does not cosign it, and keeps both.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use proto::{
    keys::SecretKey,
    log::{AddCheckpoint, Checkpoint, CosignedCheckpoint, Hash, Head, VerifierKey, leaf_hash},
};

use crate::{
    clock,
    demo::{
        Teller,
        stage::{PATIENCE, Stage, TENANT},
    },
    rig::wait,
};

pub(super) fn forked_log(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    let start = clock::instant();
    let list = stage.provider.ask(&["evidence", "witnesses", "--tenant", TENANT])?;
    let log: VerifierKey = list["log_keys"][0].as_str().context("a log has a key")?.parse()?;
    let stolen = SecretKey::from_file(&fs::read_to_string(stage.provider.dir.join("keys/log.key"))?)?;
    // Evidence goes on meanwhile: whoever names a size that is not the newest any more is told the newest, and asks again.
    let (size, status, said) = wait::until("the witness judges the second history", PATIENCE, || {
        let Some(note) = stage.witness.newest(log.name())? else { return Ok(None) };
        let seen = CosignedCheckpoint::open(note.as_bytes(), std::slice::from_ref(&stage.witness.key))?;
        let head = seen.checkpoint().head();
        let root = if stage.fault { second(head) } else { head.root };
        let checkpoint = Checkpoint::new(log.name(), Head { root, ..head }).sign(&stolen)?;
        let request =
            AddCheckpoint { old: head.size, proof: vec![], checkpoint: checkpoint.note().to_owned() };
        let (status, said) = stage.witness.add(&request)?;
        Ok((status != 409).then_some((head.size, status, said)))
    })?;
    ensure!(status == 422, "the witness answered {status} to {size} records signed with the log's own key");
    teller.say(format!("{}: {status}, {}", stage.witness.key.name(), said.trim_end()));
    ensure!(stage.witness.forks()? == 1, "the witness has not kept both checkpoints");
    let how = format!("another log of {size} records, signed with the stolen key: refused, both heads kept");
    teller.proved("a forked log", how, clock::since(start));
    Ok(())
}

/// The root of some other log.
fn second(head: Head) -> Hash {
    leaf_hash(&head.root.0)
}
