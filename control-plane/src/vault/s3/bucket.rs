//! The few things that are asked of a bucket, each in the vault's words.
//!
//! Objects are read by version ID, never as "the latest": an overwrite or a delete marker would be the latest.

use bytes::Bytes;
use proto::{digest::Digest, time::Millis};

use super::{
    S3Error,
    client::{Answer, Ask, Client},
    xml::{self, Page},
};
pub(super) use xml::Listed;

use crate::{
    config::S3,
    vault::{Content, Lock, OBJECT_MAX, Seen, Version},
};

/// The most pages of versions of one key; whoever put more there wants to keep us busy.
const PAGES_OF_A_KEY: usize = 100;

/// Where a list goes on: behind this version of this path, or behind all of the path when it is empty.
pub(super) type Place = (String, String);
/// How servers say that a bucket or a version has no lock.
const WITHOUT_LOCK: &[&str] =
    &["ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "InvalidRequest"];

/// A bucket, and the folder of ours in it.
pub(super) struct Bucket {
    client: Client,
    name: String,
    /// Empty, or ends with `/`.
    prefix: String,
}

impl Bucket {
    pub(super) fn new(settings: &S3, clock: fn() -> Millis) -> Result<Self, S3Error> {
        let prefix = match settings.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self { client: Client::new(settings, clock)?, name: settings.bucket.clone(), prefix })
    }

    fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// All versions of a key, the oldest first, each with its bytes' digest and its lock. One that is `known` to be there
    /// is read while they are listed.
    pub(super) async fn look(&self, key: &str, known: Option<&str>) -> Result<Seen, S3Error> {
        let ahead = async {
            match known {
                Some(id) => self.examine(key, id).await.ok(),
                None => None,
            }
        };
        let (listed, mut ahead) = tokio::join!(self.versions(key), ahead);
        let mut versions = Vec::new();
        for Listed { id, is_marker, .. } in listed? {
            let (content, lock) = match ahead.take_if(|_| known == Some(&id)) {
                _ if is_marker => (Content::Marker, Lock::None),
                Some(examined) => examined,
                None => self.examine(key, &id).await?,
            };
            versions.push(Version { id, content, lock });
        }
        Ok(Seen { versions })
    }

    /// The bytes of the object under a key; `None`: there is none.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Bytes>, S3Error> {
        match self.versions(key).await?.into_iter().find(|listed| !listed.is_marker) {
            Some(listed) => Ok(Some(self.read(key, &listed.id).await?.body)),
            None => Ok(None),
        }
    }

    /// Writes one more version, locked until then; `None`: the server says that there is one already.
    pub(super) async fn put(&self, key: &str, bytes: Bytes, until: &str) -> Result<Option<String>, S3Error> {
        let path = self.path(key);
        let mut ask = Ask::put(&path, Vec::new(), bytes);
        ask.headers.extend([
            ("x-amz-object-lock-mode", "COMPLIANCE".to_owned()),
            ("x-amz-object-lock-retain-until-date", until.to_owned()),
            // Where a server minds it, a lost race leaves no second version; where not, the older one wins as well.
            ("if-none-match", "*".to_owned()),
        ]);
        match self.client.ask(ask).await {
            Ok(answer) => Ok(Some(header(&answer, "x-amz-version-id").unwrap_or_default().to_owned())),
            Err(error) if error.is_called(&["PreconditionFailed", "ConditionalRequestConflict"]) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Locks a version in COMPLIANCE mode until then. A server lets a date only move later.
    pub(super) async fn extend(&self, key: &str, version: &str, until: &str) -> Result<(), S3Error> {
        let path = self.path(key);
        let body = Bytes::from(xml::compliance(until));
        let mut ask = Ask::put(&path, vec![("retention", ""), ("versionId", version)], body);
        ask.what = format!("PUT {path}?retention");
        self.client.ask(ask).await.map(drop)
    }

    /// Where the list of what lies behind a key begins.
    pub(super) fn behind(&self, key: &str) -> Option<Place> {
        (!key.is_empty()).then(|| (self.path(key), String::new()))
    }

    /// A page of the versions below a folder that hold something, and where the next page begins.
    pub(super) async fn list(
        &self,
        folder: &str,
        from: Option<&Place>,
    ) -> Result<(Vec<Listed>, Option<Place>), S3Error> {
        let prefix = if folder.is_empty() { self.prefix.clone() } else { format!("{}/", self.path(folder)) };
        let page = self.page(&prefix, from).await?;
        // A server that goes round in circles. Of one key the order of versions is its own.
        if let (Some(next), Some(from)) = (&page.next, from)
            && (next.0 < from.0 || next == from)
        {
            return Err(endless(&prefix));
        }
        let listed = page.versions.into_iter().filter(|listed| !listed.is_marker).filter_map(|listed| {
            let key = listed.key.strip_prefix(&self.prefix)?.to_owned();
            Some(Listed { key, ..listed })
        });
        Ok((listed.collect(), page.next))
    }

    /// How many requests were sent.
    pub(super) fn requests(&self) -> u64 {
        self.client.requests()
    }

    /// What about the bucket would let somebody change the past.
    pub(super) async fn weaknesses(&self) -> Result<Vec<String>, S3Error> {
        let versioning = match self.setting("versioning", &["NoSuchBucket"], xml::versioning).await? {
            Setting::Refused => return Ok(vec![no_bucket(&self.name)]),
            Setting::Is(value) => value,
        };
        let lock = match self.setting("object-lock", WITHOUT_LOCK, xml::object_lock).await? {
            Setting::Refused => None,
            Setting::Is(value) => value,
        };
        Ok(unfit(&self.name, versioning.as_deref(), lock.as_deref()))
    }

    /// Whether it answers at all; anything but an outage is an answer.
    pub(super) async fn answers(&self) -> bool {
        let asked = self.client.ask_once(&Ask::get(None, vec![("versioning", "")])).await;
        !asked.is_err_and(|error| error.may_pass())
    }

    async fn setting(
        &self,
        name: &'static str,
        without: &[&str],
        read: fn(&[u8]) -> Result<Option<String>, String>,
    ) -> Result<Setting, S3Error> {
        let ask = Ask::get(None, vec![(name, "")]);
        let what = ask.what.clone();
        match self.client.ask(ask).await {
            Ok(answer) => {
                read(&answer.body).map(Setting::Is).map_err(|problem| S3Error::Garbled { what, problem })
            }
            Err(error) if error.is_called(without) => Ok(Setting::Refused),
            Err(error) => Err(error),
        }
    }

    async fn versions(&self, key: &str) -> Result<Vec<Listed>, S3Error> {
        let path = self.path(key);
        let (mut all, mut next) = (Vec::new(), None);
        for _ in 0..PAGES_OF_A_KEY {
            let page = self.page(&path, next.as_ref()).await?;
            all.extend(page.versions.into_iter().filter(|listed| listed.key == path));
            match page.next {
                // Keys come in order: behind this one are only longer ones.
                Some(place) if place.0 == path => next = Some(place),
                _ => {
                    all.reverse();
                    return Ok(all);
                }
            }
        }
        Err(endless(&path))
    }

    async fn page(&self, prefix: &str, next: Option<&Place>) -> Result<Page, S3Error> {
        let mut query = vec![("versions", ""), ("prefix", prefix)];
        if let Some((key, version)) = next {
            query.push(("key-marker", key));
            if !version.is_empty() {
                query.push(("version-id-marker", version));
            }
        }
        let mut ask = Ask::get(None, query);
        ask.what = format!("GET ?versions&prefix={prefix}");
        let what = ask.what.clone();
        let answer = self.client.ask(ask).await?;
        xml::page(&answer.body).map_err(|problem| S3Error::Garbled { what, problem })
    }

    async fn read(&self, key: &str, version: &str) -> Result<Answer, S3Error> {
        let path = self.path(key);
        let mut ask = Ask::get(Some(&path), vec![("versionId", version)]);
        ask.answer_max = OBJECT_MAX;
        self.client.ask(ask).await
    }

    async fn examine(&self, key: &str, version: &str) -> Result<(Content, Lock), S3Error> {
        let garbled =
            |problem: String| S3Error::Garbled { what: format!("GET {key}?versionId={version}"), problem };
        let content = match self.read(key, version).await {
            Ok(answer) => {
                let content = Content::Bytes(Digest::of(&answer.body));
                let said = (
                    header(&answer, "x-amz-object-lock-mode"),
                    header(&answer, "x-amz-object-lock-retain-until-date"),
                );
                if let (Some(mode), Some(until)) = said {
                    return Ok((content, xml::lock(mode, until).map_err(garbled)?));
                }
                content
            }
            // More than a vault writes: somebody else's, and no reason not to look at the rest.
            Err(S3Error::TooLarge { .. }) => Content::Other,
            Err(error) => return Err(error),
        };
        // Not every server tells it along with the object.
        let path = self.path(key);
        let ask = Ask::get(Some(&path), vec![("retention", ""), ("versionId", version)]);
        match self.client.ask(ask).await {
            Ok(answer) => Ok((content, xml::retention(&answer.body).map_err(garbled)?)),
            Err(error) if error.is_called(WITHOUT_LOCK) => Ok((content, Lock::None)),
            Err(error) => Err(error),
        }
    }
}

enum Setting {
    Is(Option<String>),
    Refused,
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name)?.to_str().ok()
}

fn endless(prefix: &str) -> S3Error {
    let what = format!("GET ?versions&prefix={prefix}");
    S3Error::Garbled { what, problem: "its list of versions has no end".into() }
}

fn no_bucket(name: &str) -> String {
    format!(
        "there is no bucket {name}; make it with Object Lock (`aws s3api create-bucket --bucket {name} \
         --object-lock-enabled-for-bucket`)"
    )
}

/// What about such a bucket would let somebody change the past.
fn unfit(name: &str, versioning: Option<&str>, lock: Option<&str>) -> Vec<String> {
    let mut unfit = Vec::new();
    match versioning {
        Some("Enabled") => {}
        Some(other) => unfit.push(format!(
            "versioning of bucket {name} is {other}, must be Enabled: what is written now has no version of its own \
             (`aws s3api put-bucket-versioning --bucket {name} --versioning-configuration Status=Enabled`)"
        )),
        None => unfit.push(format!("bucket {name} has no versioning, must have it")),
    }
    if lock != Some("Enabled") {
        unfit.push(format!(
            "bucket {name} has no Object Lock, must have it: most stores give it only to a new bucket \
             (`aws s3api create-bucket --object-lock-enabled-for-bucket`)"
        ));
    }
    unfit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_fit_only_with_versioning_and_object_lock() {
        let on = Some("Enabled");
        assert_eq!(unfit("b", on, on), [""; 0]);
        for (versioning, lock, says) in [
            (Some("Suspended"), on, &["versioning of bucket b is Suspended"][..]),
            (None, on, &["bucket b has no versioning"]),
            (on, None, &["bucket b has no Object Lock"]),
            (on, Some("Disabled"), &["bucket b has no Object Lock"]),
            (None, None, &["bucket b has no versioning", "bucket b has no Object Lock"]),
        ] {
            let found = unfit("b", versioning, lock);
            assert_eq!(found.len(), says.len(), "{found:?}");
            assert!(found.iter().zip(says).all(|(found, says)| found.contains(says)), "{found:?}");
        }
    }
}
