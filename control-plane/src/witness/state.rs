//! What a witness has cosigned, and the one place where it cosigns.
//!
//! The rule: judging, keeping and answering are one step under the lock of that log; the cosignature leaves only when the
//! file and its folder are durable. Of one log no cosignature is older than the one before: it says that by then nothing
//! larger had been seen, and a larger one at an earlier time would make the first a lie.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use proto::{
    digest::Digest,
    keys::SecretKey,
    log::{AddCheckpoint, Checkpoint, CosignedCheckpoint, Cosigner, Refusal, WitnessKey},
    time::Millis,
};

use super::{Folder, Logs, WitnessError, folder::origin_hash, logs::LogsFile};
use crate::files::{self, Access};

const NOTE_MAX: u64 = 1 << 20;
/// The most pairs of contradicting checkpoints that are kept of one log: one is enough to convict it, and no log has a part
/// in another one's.
const FORKS_MAX: usize = 16;

/// A witness: its key, the logs that it knows, and what it cosigned of them.
pub struct Witness {
    folder: Folder,
    secret: SecretKey,
    key: WitnessKey,
    logs: LogsFile,
    slots: Mutex<BTreeMap<String, Slot>>,
    /// Held as long as this lives.
    _lock: File,
}

/// One log's place; held while a request for it is judged.
type Slot = Arc<Mutex<Option<Kept>>>;

/// The newest checkpoint of a log that was cosigned here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whose, how many entries, which root.
    pub checkpoint: Checkpoint,
    /// When it was cosigned.
    pub at: Millis,
    /// The note, with the log's signature and this witness's.
    pub note: String,
}

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Cosigned: signature lines.
    Cosigned(String),
    /// Not cosigned.
    Refused(Refusal),
}

impl Witness {
    /// Takes the witness in `folder` into this program alone, and reads all that it cosigned.
    pub fn open(folder: Folder) -> Result<Self, WitnessError> {
        let (secret, key) = folder.keys()?;
        let lock = lock(&folder)?;
        let logs = LogsFile::open(folder.logs())?;
        let mut slots = BTreeMap::new();
        for (hash, kept) in all(&folder, &key)? {
            slots.insert(hash, Arc::new(Mutex::new(Some(kept))));
        }
        Ok(Self { folder, secret, key, logs, slots: Mutex::new(slots), _lock: lock })
    }

    /// What verifies its cosignatures.
    #[must_use]
    pub fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// The logs that it knows now.
    #[must_use]
    pub fn logs(&self) -> Arc<Logs> {
        self.logs.newest()
    }

    /// Judges a request, and cosigns what holds. Blocks on the disk.
    pub fn add(&self, request: &AddCheckpoint, now: Millis) -> Result<Answer, WitnessError> {
        let logs = self.logs.newest();
        let trusted = logs.keys_of(request.origin());
        if trusted.is_empty() {
            // Strangers' logs get no place here.
            let origin = request.origin().to_owned();
            return Ok(Answer::Refused(Refusal::UnknownLog { origin }));
        }
        let hash = origin_hash(request.origin());
        let slot = self.slot(&hash);
        let mut kept = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = match request.judge(trusted, kept.as_ref().map(|kept| &kept.checkpoint)) {
            Ok(signed) => signed,
            Err(refusal) => {
                if let (Refusal::Forked { .. }, Some(kept)) = (&refusal, kept.as_ref()) {
                    self.keep_fork(&hash, &kept.note, &request.checkpoint);
                }
                return Ok(Answer::Refused(refusal));
            }
        };
        if let Some(kept) = kept.as_ref().filter(|kept| to_the_second(now) < to_the_second(kept.at)) {
            let (said, origin) = (kept.at, &kept.checkpoint.origin);
            return Err(WitnessError::Clock(format!(
                "it says {now}, and the log {origin} was cosigned at {said}; if that was wrong, begin anew with a new key"
            )));
        }
        let cosigner = Cosigner::new(self.key.name(), &self.secret).map_err(WitnessError::Name)?;
        let line = cosigner.cosign(&signed, now).map_err(|bad| WitnessError::Clock(bad.to_string()))?;
        // Of other people's lines, which nobody has verified here, none is handed on.
        let note = signed
            .without_strangers(trusted)
            .map_err(|error| error.to_string())
            .and_then(|signed| {
                let with = signed.with(std::slice::from_ref(&line)).map_err(|error| error.to_string())?;
                Ok(with.note().to_owned())
            })
            .map_err(|problem| WitnessError::Damaged { path: self.folder.cosigned(), problem })?;
        files::replace(&self.folder.cosigned().join(&hash), note.as_bytes(), Access::Public)
            .map_err(WitnessError::File)?;
        let checkpoint = signed.checkpoint().clone();
        tracing::info!(origin = checkpoint.origin, size = checkpoint.size, "cosigned");
        *kept = Some(Kept { checkpoint, at: now, note });
        Ok(Answer::Cosigned(format!("{line}\n")))
    }

    /// The newest cosigned checkpoint of the log whose origin has this hash.
    #[must_use]
    pub fn newest(&self, hash: &str) -> Option<String> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get(hash)?.clone();
        drop(slots);
        let kept = slot.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|kept| kept.note.clone())
    }

    /// All that a witness has cosigned, without running it.
    pub fn look(folder: &Folder) -> Result<Vec<Kept>, WitnessError> {
        let (_, key) = folder.keys()?;
        let mut all: Vec<Kept> = all(folder, &key)?.into_iter().map(|(_, kept)| kept).collect();
        all.sort_by(|a, b| a.checkpoint.origin.cmp(&b.checkpoint.origin));
        Ok(all)
    }

    fn slot(&self, hash: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(hash.to_owned()).or_default().clone()
    }

    /// Both notes together convict the log; that they cannot be kept does not change the answer.
    fn keep_fork(&self, hash: &str, kept: &str, offered: &str) {
        let folder = self.folder.forks();
        let name = format!("{hash}-{}", &Digest::of(offered.as_bytes()).to_string()[..16]);
        tracing::error!(
            fork = name,
            "a log signed two checkpoints that cannot both be; see the folder forks"
        );
        let its = |entry: io::Result<fs::DirEntry>| {
            entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(hash))
        };
        let count = fs::read_dir(&folder).map_or(0, |entries| entries.map(its).filter(|its| *its).count());
        if count >= FORKS_MAX {
            return;
        }
        let both = format!("{kept}\n{offered}");
        let written = files::create_folder(&folder)
            .and_then(|()| files::replace(&folder.join(name), both.as_bytes(), Access::Public));
        if let Err(error) = written {
            tracing::error!(error = crate::core::chain(&error), "a fork could not be kept");
        }
    }
}

/// What a cosignature says of a time.
fn to_the_second(at: Millis) -> i64 {
    at.0.div_euclid(1000)
}

fn lock(folder: &Folder) -> Result<File, WitnessError> {
    let path = folder.lock();
    let disk = |source| WitnessError::Disk { path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(disk)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(WitnessError::InUse(folder.root().to_owned())),
        Err(TryLockError::Error(source)) => Err(disk(source)),
    }
}

/// Every file in `cosigned/`, by its name. One that does not hold stops the witness: it would begin that log anew.
fn all(folder: &Folder, key: &WitnessKey) -> Result<Vec<(String, Kept)>, WitnessError> {
    let place = folder.cosigned();
    let disk = |source| WitnessError::Disk { path: place.clone(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(&place).map_err(disk)? {
        let entry = entry.map_err(disk)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A file that was not put into place when the power went.
        if !name.starts_with('.') {
            found.push((name.clone(), read(&entry.path(), &name, key)?));
        }
    }
    Ok(found)
}

fn read(path: &Path, name: &str, key: &WitnessKey) -> Result<Kept, WitnessError> {
    let damaged = |problem: String| WitnessError::Damaged { path: path.to_owned(), problem };
    let note = files::read_text(path, NOTE_MAX).map_err(WitnessError::File)?;
    let opened = CosignedCheckpoint::open(note.as_bytes(), std::slice::from_ref(key))
        .map_err(|error| damaged(crate::core::chain(&error)))?;
    let checkpoint = opened.checkpoint().clone();
    if origin_hash(&checkpoint.origin) != name {
        return Err(damaged(format!("it is of the log {:?}", checkpoint.origin)));
    }
    let at = opened.cosigned().first().map(|cosigned| cosigned.at).unwrap_or_default();
    Ok(Kept { checkpoint, at, note })
}
