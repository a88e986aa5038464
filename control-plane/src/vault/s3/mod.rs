//! A vault in an S3 bucket with Object Lock: nobody can change or delete an object before its date, the organization
//! itself, root and the store's operator included (COMPLIANCE mode).
//!
//! What is put is put with its checksum, locked, then read back by version ID: digest, mode and date. Whether a key is
//! taken is seen from its list of versions, whose oldest is the truth: servers differ on conditional writes, so two that
//! race may both write, and then both find the same one to be first.
//!
//! The access key needs `s3:ListBucketVersions`, `GetBucketVersioning`, `GetBucketObjectLockConfiguration`, `PutObject`,
//! `PutObjectRetention`, `GetObjectVersion` and `GetObjectRetention`; nothing that deletes, and no bypass.

mod bucket;
mod client;
mod credentials;
mod error;
mod line;
mod xml;

use std::sync::Arc;

use bytes::Bytes;
use proto::{digest::Digest, time::Millis};

use self::{
    bucket::Bucket,
    line::{AsS3, Line, each},
};
use super::{Kept, Object, Seen, Vault, VaultError, check_key, check_size, system_time};
use crate::{
    config::S3,
    vault::versions::{Step, next_step},
};

pub use credentials::CredentialsError;
pub use error::S3Error;

/// A vault in a bucket.
pub struct S3Vault {
    line: Line,
    /// Endpoint and bucket, for messages.
    name: String,
}

impl S3Vault {
    /// Reads the credentials; asks nobody yet.
    pub fn connect(settings: &S3, clock: fn() -> Millis) -> Result<Self, VaultError> {
        let name = settings.to_string();
        let fail = |source| VaultError::S3 { store: name.clone(), source };
        let bucket = Bucket::new(settings, clock).map_err(fail)?;
        let line = Line::open(bucket, &name).map_err(fail)?;
        Ok(Self { line, name })
    }

    /// Endpoint and bucket.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn call<T, F>(&self, work: impl FnOnce(Arc<Bucket>) -> F) -> Result<T, VaultError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failed>> + Send + 'static,
    {
        self.line.call(work).map_err(|failed| match failed {
            Failed::S3(source) => VaultError::S3 { store: self.name.clone(), source },
            Failed::Vault(error) => error,
        })
    }
}

/// What a call ends with.
enum Failed {
    S3(S3Error),
    Vault(VaultError),
}

impl From<S3Error> for Failed {
    fn from(error: S3Error) -> Self {
        Self::S3(error)
    }
}

impl AsS3 for Failed {
    fn as_s3(&self) -> Option<&S3Error> {
        match self {
            Self::S3(error) => Some(error),
            Self::Vault(_) => None,
        }
    }
}

impl Vault for S3Vault {
    fn put_all(&self, objects: &[Object<'_>]) -> Result<Vec<Kept>, VaultError> {
        let mut wanted = Vec::with_capacity(objects.len());
        for object in objects {
            check_size(object)?;
            system_time(object)?;
            let key = check_key(object.key)?.to_owned();
            let (until, date) = xml::seconds(object.retain_until)
                .ok_or_else(|| VaultError::Date { key: key.clone(), until: object.retain_until })?;
            wanted.push(Wanted { key, bytes: Bytes::copy_from_slice(object.bytes), until, date });
        }
        self.call(|bucket| each(wanted, move |wanted| wanted.keep(bucket.clone())))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, VaultError> {
        let key = check_key(key)?.to_owned();
        self.call(|bucket| async move { Ok(bucket.get(&key).await?.map(Vec::from)) })
    }

    fn look(&self, keys: &[&str]) -> Result<Vec<Seen>, VaultError> {
        let keys =
            keys.iter().map(|key| Ok(check_key(key)?.to_owned())).collect::<Result<_, VaultError>>()?;
        self.call(|bucket| {
            each(keys, move |key: String| {
                let bucket = bucket.clone();
                async move { Ok(bucket.look(&key).await?) }
            })
        })
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, VaultError> {
        let folder = if folder.is_empty() { "" } else { check_key(folder)? }.to_owned();
        self.call(|bucket| async move { Ok(bucket.keys(&folder).await?) })
    }

    fn weaknesses(&self) -> Result<Vec<String>, VaultError> {
        self.call(|bucket| async move { Ok(bucket.weaknesses().await?) })
    }
}

/// An object to be kept.
struct Wanted {
    key: String,
    bytes: Bytes,
    until: Millis,
    date: String,
}

impl Wanted {
    /// Looks, does what is to be done, and looks again, until it lies there as asked.
    async fn keep(self, bucket: Arc<Bucket>) -> Result<Kept, Failed> {
        let Self { key, bytes, until, date } = self;
        let offered = Digest::of(&bytes);
        let (mut own, mut extended) = (None, false);
        loop {
            let seen = bucket.look(&key).await?;
            match next_step(&seen, offered, until) {
                Step::Done(kept) => return Ok(kept),
                Step::Write if own.is_none() => {
                    let written = bucket.put(&key, bytes.clone(), &date).await?;
                    own = Some(written.unwrap_or_default());
                }
                Step::Extend { version } if !extended => {
                    bucket.extend(&key, &version, &date).await?;
                    extended = true;
                }
                Step::Extend { .. } => {
                    let found = seen.object().map_or_else(String::new, |object| object.lock.to_string());
                    return Err(Failed::Vault(VaultError::NotLocked { key, until, found }));
                }
                // What was just written, and came out otherwise.
                Step::Changed { .. } if seen.object().map(|object| &object.id) == own.as_ref() => {
                    return Err(Failed::Vault(VaultError::ReadBack { key }));
                }
                Step::Changed { kept } => {
                    return Err(Failed::Vault(VaultError::Changed { key, kept, offered }));
                }
                // Written, and not there.
                Step::Write => return Err(Failed::Vault(VaultError::ReadBack { key })),
            }
        }
    }
}
