//! Where everything of a witness lies, and how it begins: each name once.

use std::{
    io,
    path::{Path, PathBuf},
};

use proto::{
    digest::Digest,
    keys::SecretKey,
    log::{BadKey, VerifierKey, WitnessKey},
};

use super::Logs;
use crate::files::{self, Access, FileError};

const VKEY_MAX: u64 = 4096;
/// What stands in a new list of logs.
const LOGS: &str = "\
# Logs whose checkpoints this witness cosigns: one C2SP verifier key in each line (`control-plane witness trust VKEY`
# adds one). Changes count at once. What was cosigned of a log is kept when its line is taken away.
";

/// The folder of a witness. Names differ from those of a control plane's folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

/// What `init` made.
#[derive(Debug, Clone)]
pub struct Made {
    /// What verifies its cosignatures.
    pub key: WitnessKey,
    /// Where the secret key lies.
    pub secret: PathBuf,
    /// Where to name the logs.
    pub logs: PathBuf,
}

/// Why there is no witness, or why it does not go on.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// A file of its folder.
    #[error("the folder of the witness")]
    File(#[source] FileError),
    /// The disk.
    #[error("cannot use {}", path.display())]
    Disk {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not made by `witness init`.
    #[error("{} is not the folder of a witness; make one with `control-plane witness init`", .0.display())]
    NoWitness(PathBuf),
    /// A name that cannot cosign.
    #[error("name of the witness")]
    Name(#[source] BadKey),
    /// The two files are not one key.
    #[error("{} does not name the key in {}", vkey.display(), secret.display())]
    OtherKey {
        /// The public key.
        vkey: PathBuf,
        /// The secret key.
        secret: PathBuf,
    },
    /// Two that cosign from one folder would each cosign a history.
    #[error("another witness runs on {}; stop it first", .0.display())]
    InUse(PathBuf),
    /// A list of logs with a line that is none.
    #[error("{}, line {line}", path.display())]
    Log {
        /// The list.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: BadKey,
    },
    /// What it cosigned does not read: going on could cosign another history.
    #[error("{} is damaged: {problem}; put it back from a copy, or begin anew with a new key", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The clock says what no cosignature may.
    #[error("the clock of this machine is wrong: {0}")]
    Clock(String),
}

impl Folder {
    /// The witness in `root`. Nothing here looks at the disk.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// Makes a witness that cosigns as `name`, with a new key.
    pub fn init(&self, name: &str, seed: [u8; 32]) -> Result<Made, WitnessError> {
        let secret = SecretKey::ed25519(seed);
        let key = WitnessKey::new(name, &secret.public()).map_err(WitnessError::Name)?;
        files::create_folder(&self.cosigned()).map_err(WitnessError::File)?;
        // The key comes last: without it there is no witness, and with it nothing is missing.
        files::create(&self.vkey(), format!("{key}\n").as_bytes(), Access::Public)
            .map_err(WitnessError::File)?;
        if !self.logs().exists() {
            files::create(&self.logs(), LOGS.as_bytes(), Access::Public).map_err(WitnessError::File)?;
        }
        files::create(&self.secret(), secret.to_file().as_bytes(), Access::Secret)
            .map_err(WitnessError::File)?;
        Ok(Made { key, secret: self.secret(), logs: self.logs() })
    }

    /// Adds a log to the list; `false`: it is there already.
    pub fn trust(&self, log: &VerifierKey) -> Result<bool, WitnessError> {
        self.keys()?;
        let mut text = Logs::text(&self.logs())?;
        if Logs::parse(&self.logs(), &text)?.keys_of(log.name()).contains(log) {
            return Ok(false);
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("{log}\n"));
        files::replace(&self.logs(), text.as_bytes(), Access::Public).map_err(WitnessError::File)?;
        Ok(true)
    }

    /// Its two keys, which are one.
    pub fn keys(&self) -> Result<(SecretKey, WitnessKey), WitnessError> {
        if !self.secret().exists() {
            return Err(WitnessError::NoWitness(self.0.clone()));
        }
        let secret = files::read_secret_key(&self.secret()).map_err(WitnessError::File)?;
        let text = files::read_text(&self.vkey(), VKEY_MAX).map_err(WitnessError::File)?;
        match text.trim_end().parse::<WitnessKey>() {
            Ok(key) if key.public() == Some(secret.public()) => Ok((secret, key)),
            _ => Err(WitnessError::OtherKey { vkey: self.vkey(), secret: self.secret() }),
        }
    }

    /// The secret key.
    #[must_use]
    pub fn secret(&self) -> PathBuf {
        self.0.join("witness.key")
    }

    /// The same for everybody, with its name.
    #[must_use]
    pub fn vkey(&self) -> PathBuf {
        self.0.join("witness.vkey")
    }

    /// The logs that are known.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs.txt")
    }

    /// The newest cosigned checkpoint of each log, by the hash of its origin.
    #[must_use]
    pub fn cosigned(&self) -> PathBuf {
        self.0.join("cosigned")
    }

    /// Two checkpoints that one log signed and that cannot both be: what to show to people.
    #[must_use]
    pub fn forks(&self) -> PathBuf {
        self.0.join("forks")
    }

    /// Held while a witness runs.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("witness.lock")
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }
}

/// Under which name a log is kept and asked for: SHA-256 of its origin, in hexadecimal.
pub(super) fn origin_hash(origin: &str) -> String {
    Digest::of(origin.as_bytes()).to_string()
}
