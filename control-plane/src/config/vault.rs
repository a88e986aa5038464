//! `[vault]`: where evidence is kept for good, and for how long.
//!
//! Credentials never stand here: a file of their own has them, or the environment.

use std::{fmt, path::PathBuf, time::Duration};

use http::Uri;
use serde::Deserialize;

use super::{
    ConfigError, Secret,
    value::{absolute, bad, is_private, within},
};
use crate::{clock, vault::S3Vault};

/// Six years: 45 CFR 164.316(b)(2)(i).
const SIX_YEARS_DAYS: i64 = 6 * 365 + 2;
/// Six years and a month to be late in.
pub(super) const RETENTION_DAYS: i64 = SIX_YEARS_DAYS + 31;
pub(super) const RETENTION_DAYS_MAX: i64 = 100 * 365;
const REGION: &str = "us-east-1";
const PREFIX_MAX: usize = 200;

/// `[vault]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vault {
    /// What it is.
    pub store: VaultStore,
    /// How long what is put now is kept.
    pub retention: Duration,
}

/// What a vault is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one, read at the start")]
pub enum VaultStore {
    /// A folder of the installation.
    Directory,
    /// A bucket with Object Lock.
    S3(S3),
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3 {
    /// `https`, or `http` to this machine.
    pub scheme: String,
    /// Host, and port where it is not the scheme's.
    pub host: String,
    /// As requests are signed for it.
    pub region: String,
    /// Its name.
    pub bucket: String,
    /// A folder in it for this installation; empty: none.
    pub prefix: String,
    /// Whether the bucket stands in the path, and not in the host's name.
    pub path_style: bool,
    /// Where the access key is; `None`: the environment has it.
    pub credentials: Option<Secret>,
    /// Certificates that the server's must come from; `None`: the public web's.
    pub authority: Option<PathBuf>,
}

impl fmt::Display for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.scheme, self.host, self.bucket)
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct FileVault {
    kind: Option<String>,
    retention_days: Option<i64>,
    endpoint: Option<String>,
    region: Option<String>,
    bucket: Option<String>,
    prefix: Option<String>,
    path_style: Option<bool>,
    credentials: Option<String>,
    authority: Option<PathBuf>,
}

impl FileVault {
    pub(super) fn check(self) -> Result<Vault, ConfigError> {
        let days = within(
            "vault.retention_days",
            self.retention_days.unwrap_or(RETENTION_DAYS),
            (SIX_YEARS_DAYS, RETENTION_DAYS_MAX),
        )?;
        let store = match self.kind.as_deref() {
            None | Some("directory") => self.directory()?,
            Some("s3") => VaultStore::S3(self.s3()?),
            Some(other) => return Err(bad("vault.kind", other, "\"directory\" or \"s3\"")),
        };
        Ok(Vault { store, retention: Duration::from_secs(days * 24 * 3600) })
    }

    /// A bucket that is named and not used would be the worst of surprises.
    fn directory(self) -> Result<VaultStore, ConfigError> {
        let path = |path: PathBuf| path.display().to_string();
        for (key, value) in [
            ("vault.endpoint", self.endpoint),
            ("vault.region", self.region),
            ("vault.bucket", self.bucket),
            ("vault.prefix", self.prefix),
            ("vault.path_style", self.path_style.map(|on| on.to_string())),
            ("vault.credentials", self.credentials),
            ("vault.authority", self.authority.map(path)),
        ] {
            if let Some(value) = value {
                return Err(bad(key, &value, "left out, unless vault.kind is \"s3\""));
            }
        }
        Ok(VaultStore::Directory)
    }

    fn s3(self) -> Result<S3, ConfigError> {
        let region = self.region.unwrap_or_else(|| REGION.to_owned());
        if region.is_empty()
            || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(bad("vault.region", &region, "a region's name, such as us-east-1"));
        }
        let endpoint = self.endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let (scheme, host) = endpoint_of(&endpoint)?;
        let bucket = self.bucket.unwrap_or_default();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        let name = bucket.as_bytes();
        if !((3..=63).contains(&name.len())
            && name.iter().all(|b| plain(*b))
            && ends(name.first())
            && ends(name.last()))
        {
            return Err(bad(
                "vault.bucket",
                &bucket,
                "the name of a bucket with Object Lock: 3 to 63 of a-z, 0-9, '-' and '.'",
            ));
        }
        let prefix = self.prefix.unwrap_or_default();
        if !prefix.is_empty() && (prefix.len() > PREFIX_MAX || crate::vault::check_key(&prefix).is_err()) {
            return Err(bad(
                "vault.prefix",
                &prefix,
                "a folder's name without slashes at its ends, such as orderly",
            ));
        }
        Ok(S3 {
            path_style: self.path_style.unwrap_or(false),
            credentials: self
                .credentials
                .map(|place| Secret::parse("vault.credentials", &place))
                .transpose()?,
            authority: self.authority.map(|path| absolute("vault.authority", path)).transpose()?,
            scheme,
            host,
            region,
            bucket,
            prefix,
        })
    }
}

impl Vault {
    /// Whether what the settings name beside themselves is there: credentials, certificates. Asks no server.
    pub fn check(&self) -> Result<(), ConfigError> {
        let VaultStore::S3(settings) = &self.store else { return Ok(()) };
        let named = settings.credentials.as_ref().map_or_else(String::new, ToString::to_string);
        S3Vault::connect(settings, clock::now).map(drop).map_err(|error| {
            bad(
                "vault.credentials",
                &named,
                format!("what the vault can be asked with: {}", crate::core::chain(&error)),
            )
        })
    }
}

/// Scheme and authority. What is signed cannot be read by others, what is stored can: TLS, but to this machine.
fn endpoint_of(endpoint: &str) -> Result<(String, String), ConfigError> {
    let read = |uri: &Uri| {
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        let fits = !authority.as_str().contains('@')
            && uri.path_and_query().is_none_or(|path| path == "/")
            && is_private(uri);
        fits.then(|| (scheme.to_owned(), authority.as_str().to_owned()))
    };
    endpoint.parse::<Uri>().ok().as_ref().and_then(read).ok_or_else(|| {
        bad(
            "vault.endpoint",
            endpoint,
            "an https URL without a path, such as https://s3.us-east-1.amazonaws.com, or http to this machine",
        )
    })
}

/// This part of the file that `init` writes.
pub(super) fn template() -> String {
    format!(
        r#"
[vault]
# Where evidence is kept for good. "directory": the folder vault/ of this installation; it finds every change, and cannot
# stop root from making one. "s3": a bucket with Object Lock, which nobody can change or delete from before its date, you
# included; made with `aws s3api create-bucket --bucket NAME --object-lock-enabled-for-bucket`. `control-plane evidence
# copy` brings there what the folder has, and says what to put here.
kind = "directory"
# kind = "s3"
# endpoint = "https://s3.us-east-1.amazonaws.com"
# region = "us-east-1"
# bucket = "orderly-evidence"
# A folder in the bucket.
# prefix = "orderly"
# true where the bucket stands in the path (Ceph, most stores of one's own), false where in the host's name (Amazon).
# path_style = false
# Whose the bucket is: a key with the rights to list, read, write and lock; give it none to delete.
# Where there is a text with aws_access_key_id = ... and aws_secret_access_key = ...: a file that its owner alone can read,
# credential:NAME (systemd), env:NAME or sops:/path/to/file#key.in.it. Without it:
# the environment variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.
# credentials = "/etc/orderly/vault.credentials"
# Certificates (PEM) that the endpoint's must come from. Without it: the public web's.
# authority = "/etc/orderly/vault-ca.pem"
# How many days what is put from now on is kept: {SIX_YEARS_DAYS} (six years, 45 CFR 164.316(b)(2)(i)) to {RETENTION_DAYS_MAX}.
retention_days = {RETENTION_DAYS}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const LEAST: &str = "organization = \"a\"\n[listen]\naddress = \"https://a\"\n[vault]\n";

    fn with(more: &str) -> Result<Vault, ConfigError> {
        Config::parse(&format!("{LEAST}{more}")).map(|config| config.vault)
    }

    #[test]
    fn a_directory_for_six_years_and_a_month_unless_said_otherwise() {
        let vault = with("").unwrap();
        assert_eq!(vault.store, VaultStore::Directory);
        assert_eq!(vault.retention.as_secs(), 2223 * 86_400);
    }

    #[test]
    fn amazon_needs_a_bucket_and_no_more() {
        let VaultStore::S3(s3) =
            with("kind = \"s3\"\nregion = \"eu-west-1\"\nbucket = \"evidence\"").unwrap().store
        else {
            panic!("it is s3")
        };
        assert_eq!(s3.to_string(), "https://s3.eu-west-1.amazonaws.com/evidence");
        assert!(!s3.path_style && s3.prefix.is_empty() && s3.credentials.is_none());
    }

    #[test]
    fn every_wrong_value_is_named_with_what_would_be_right() {
        let s3 = "kind = \"s3\"\nbucket = \"evidence\"\n";
        for (more, key, value, right) in [
            ("kind = \"tape\"", "vault.kind", "tape", "\"directory\" or \"s3\""),
            ("retention_days = 2191", "vault.retention_days", "2191", "from 2192 to 36500"),
            ("bucket = \"b\"", "vault.bucket", "\"b\"", "left out"),
            ("path_style = true", "vault.path_style", "true", "left out"),
            ("kind = \"s3\"", "vault.bucket", "\"\"", "name of a bucket"),
            ("kind = \"s3\"\nbucket = \"Evidence\"", "vault.bucket", "Evidence", "3 to 63"),
            ("kind = \"s3\"\nbucket = \"-evidence\"", "vault.bucket", "-evidence", "3 to 63"),
            (&format!("{s3}endpoint = \"http://192.0.2.1\""), "vault.endpoint", "192.0.2.1", "an https URL"),
            (&format!("{s3}endpoint = \"https://a/b\""), "vault.endpoint", "https://a/b", "without a path"),
            (&format!("{s3}endpoint = \"https://me@a\""), "vault.endpoint", "me@a", "an https URL"),
            (&format!("{s3}region = \"US\""), "vault.region", "US", "a region's name"),
            (&format!("{s3}prefix = \"/a\""), "vault.prefix", "/a", "without slashes"),
            (&format!("{s3}prefix = \"..\""), "vault.prefix", "..", "a folder's name"),
            (&format!("{s3}credentials = \"x\""), "vault.credentials", "not shown", "a path from the root"),
            (&format!("{s3}secret = \"hush\""), "secret", "unknown field", "expected one of"),
        ] {
            let error = with(more).unwrap_err().to_string();
            for part in [key, value, right] {
                assert!(error.contains(part), "{more:?} -> {error:?} lacks {part:?}");
            }
        }
    }

    #[test]
    fn what_is_named_beside_the_settings_must_be_there() {
        let text = "kind = \"s3\"\nbucket = \"evidence\"\ncredentials = \"/nowhere/vault.credentials\"";
        let error = with(text).unwrap().check().unwrap_err().to_string();
        assert!(error.contains("vault.credentials") && error.contains("cannot read /nowhere"), "{error}");
    }
}
