//! A vault in an S3 bucket with Object Lock: nobody can change or delete an object before its date, the organization
//! itself, root and the store's operator included (COMPLIANCE mode).
//!
//! To keep a new object takes three requests in two steps, and each is there for a reason. An append, its entries and then
//! its checkpoint, so takes six in four steps; what goes together, goes at once.
//! - PUT, with checksum and lock, on condition that the key is free: what arrives is what was sent, locked from its first
//!   moment, and a repeated write leaves no second version.
//! - LIST of the key's versions: the oldest is the truth. A delete marker makes a taken key look free to the server; so
//!   what was written counts only once it is seen to be the first.
//! - GET by version ID, meanwhile: digest, mode and date as they lie there, which the index notes. Not HEAD: a checksum
//!   that a server repeats from a header says nothing of the bytes.
//!
//! Not every server minds the condition: Ceph 16, for one, writes over what is there, as one more version, which
//! would look like somebody's attempt for ever. So every key is looked at first, one LIST more, until the server has
//! proven that it does: the first object of a process is written a second time, with the same bytes. Where a write failed
//! before, the key is looked at first as well. Nothing else is asked: what the bucket as a whole must have is looked at
//! when the server starts, and by every audit.
//!
//! The access key needs `s3:ListBucketVersions`, `GetBucketVersioning`, `GetBucketObjectLockConfiguration`, `PutObject`,
//! `PutObjectRetention`, `GetObjectVersion` and `GetObjectRetention`; nothing that deletes, and no bypass.

mod bucket;
mod client;
mod credentials;
mod error;
mod line;
mod xml;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use proto::{digest::Digest, time::Millis};

use self::{
    bucket::{Bucket, Listed},
    line::{AsS3, Line, each},
};
use super::{Kept, Object, Seen, Vault, VaultError, check_folder, check_key, check_size, system_time};
use crate::{
    config::S3,
    vault::versions::{Step, next_step},
};

pub use credentials::CredentialsError;
pub use error::S3Error;

/// How many objects one call is about: each has its time, however many there are.
const TOGETHER: usize = 256;

/// A vault in a bucket.
pub struct S3Vault {
    line: Line,
    /// Endpoint and bucket, for messages.
    name: String,
    /// The last write failed: it may have been done all the same.
    is_unsure: AtomicBool,
    condition: Arc<Condition>,
}

impl S3Vault {
    /// Reads the credentials; asks nobody yet.
    pub fn connect(settings: &S3, clock: fn() -> Millis) -> Result<Self, VaultError> {
        let name = settings.to_string();
        let fail = |source| VaultError::S3 { store: name.clone(), source };
        let bucket = Bucket::new(settings, clock).map_err(fail)?;
        let line = Line::open(bucket, &name).map_err(fail)?;
        Ok(Self { line, name, is_unsure: AtomicBool::new(false), condition: Arc::default() })
    }

    /// Endpoint and bucket.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many requests were sent to it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.line.requests()
    }

    /// Of each key behind `after`, up to `last`, the version that is the object.
    pub fn objects(&self, after: &str, last: &str) -> Result<BTreeMap<String, String>, VaultError> {
        let mut objects = BTreeMap::new();
        self.pages("", after, |listed| {
            let is_over = listed.iter().any(|listed| listed.key.as_str() > last);
            let near = listed.into_iter().filter(|listed| listed.key.as_str() <= last);
            // Of one key the oldest comes last.
            objects.extend(near.map(|listed| (listed.key, listed.id)));
            !is_over
        })?;
        Ok(objects)
    }

    /// Lists what lies below a folder behind a key, a page a call, for as long as more is wanted.
    fn pages(
        &self,
        folder: &str,
        after: &str,
        mut take: impl FnMut(Vec<Listed>) -> bool,
    ) -> Result<(), VaultError> {
        let (folder, after) = (check_folder(folder)?, check_folder(after)?);
        let mut begin = self.line.begin(after);
        loop {
            let (folder, from) = (folder.to_owned(), begin.clone());
            let (mut listed, next) =
                self.call(|bucket| async move { Ok(bucket.list(&folder, from.as_ref()).await?) })?;
            // Not every server leaves out the key that the list is to begin behind.
            listed.retain(|listed| listed.key.as_str() > after);
            if !take(listed) || next.is_none() {
                return Ok(());
            }
            begin = next;
        }
    }

    fn put_some(&self, wanted: Vec<Wanted>) -> Result<Vec<Kept>, VaultError> {
        let looks_first =
            self.is_unsure.load(Ordering::SeqCst) || !self.condition.holds.load(Ordering::SeqCst);
        let condition = self.condition.clone();
        let kept = self.call(|bucket| {
            each(wanted, move |wanted| wanted.keep(bucket.clone(), looks_first, condition.clone()))
        });
        self.is_unsure.store(kept.is_err(), Ordering::SeqCst);
        kept
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
        let mut all = Vec::with_capacity(wanted.len());
        while !wanted.is_empty() {
            let some = wanted.drain(..wanted.len().min(TOGETHER)).collect();
            all.extend(self.put_some(some)?);
        }
        Ok(all)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, VaultError> {
        let key = check_key(key)?.to_owned();
        self.call(|bucket| async move { Ok(bucket.get(&key).await?.map(Vec::from)) })
    }

    fn look(&self, keys: &[&str]) -> Result<Vec<Seen>, VaultError> {
        let mut all = Vec::with_capacity(keys.len());
        for some in keys.chunks(TOGETHER) {
            let some =
                some.iter().map(|key| Ok(check_key(key)?.to_owned())).collect::<Result<_, VaultError>>()?;
            all.extend(self.call(|bucket| {
                each(some, move |key: String| {
                    let bucket = bucket.clone();
                    async move { Ok(bucket.look(&key, None).await?) }
                })
            })?);
        }
        Ok(all)
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, VaultError> {
        let mut keys = Vec::new();
        self.pages(folder, after, |listed| {
            keys.extend(listed.into_iter().map(|listed| listed.key));
            keys.dedup();
            true
        })?;
        keys.sort();
        keys.dedup();
        Ok(keys)
    }

    fn weaknesses(&self) -> Result<Vec<String>, VaultError> {
        self.call(|bucket| async move { Ok(bucket.weaknesses().await?) })
    }
}

/// Whether the server writes nothing where something is, when it is told so.
#[derive(Default)]
struct Condition {
    was_tried: AtomicBool,
    holds: AtomicBool,
}

impl Condition {
    /// Tries it once, on an object that is there.
    async fn try_on(&self, bucket: &Bucket, key: &str, bytes: Bytes, date: &str) {
        if self.was_tried.swap(true, Ordering::SeqCst) {
            return;
        }
        match bucket.put(key, bytes, date).await {
            Ok(written) => self.holds.store(written.is_none(), Ordering::SeqCst),
            // Nothing depends on it: the next one tries.
            Err(_) => self.was_tried.store(false, Ordering::SeqCst),
        }
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
    /// Does what is to be done and looks again, until it lies there as asked. At first it takes the key to be free, unless
    /// it `looks_first`.
    async fn keep(
        self,
        bucket: Arc<Bucket>,
        looks_first: bool,
        condition: Arc<Condition>,
    ) -> Result<Kept, Failed> {
        let Self { key, bytes, until, date } = self;
        let offered = Digest::of(&bytes);
        let (mut own, mut extended) = (None, false);
        let mut seen = if looks_first { bucket.look(&key, None).await? } else { Seen::default() };
        loop {
            match next_step(&seen, offered, until) {
                Step::Done(kept) => {
                    if own.as_ref() == Some(&kept.version) {
                        condition.try_on(&bucket, &key, bytes, &date).await;
                    }
                    return Ok(kept);
                }
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
            let written = own.as_deref().filter(|id: &&str| !id.is_empty());
            seen = bucket.look(&key, written).await?;
        }
    }
}
