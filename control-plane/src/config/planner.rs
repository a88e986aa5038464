//! `[planner]`: the model that is asked where several runbooks are allowed for one fault. Without it, rules decide alone.
//!
//! The key never stands here: only where it is ([`Secret`]).

use std::path::PathBuf;

use http::{HeaderValue, Uri};
use proto::field;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;

use super::{
    ConfigError, Secret,
    value::{absolute, bad, is_private, within},
};
use crate::{core::chain, files};

const CALLS_PER_DAY: i64 = 50;
const CALLS_PER_DAY_MAX: i64 = 10_000;
/// An order names the model; it has room for so much.
const MODEL_MAX: usize = 100;
const AUTHORITY_MAX: u64 = 1 << 20;
const COMPLETIONS: &str = "/chat/completions";

/// `[planner]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planner {
    /// Where it answers chat completions: the whole URL.
    pub url: Uri,
    /// What the endpoint calls the model.
    pub model: String,
    /// Where the key is that the endpoint wants; `None`: it wants none.
    pub api_key: Option<Secret>,
    /// Certificates that the endpoint's must come from; `None`: the public web's.
    pub authority: Option<PathBuf>,
    /// The most calls for one clinic in a day.
    pub calls_per_day: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilePlanner {
    url: String,
    model: String,
    api_key_file: Option<String>,
    authority: Option<PathBuf>,
    calls_per_day: Option<i64>,
}

impl FilePlanner {
    pub(super) fn check(self) -> Result<Planner, ConfigError> {
        let most = within(
            "planner.calls_per_day",
            self.calls_per_day.unwrap_or(CALLS_PER_DAY),
            (1, CALLS_PER_DAY_MAX),
        )?;
        if field::text("model", &self.model, MODEL_MAX).is_err() {
            let right = format!("what the endpoint calls the model, 1 to {MODEL_MAX} bytes");
            return Err(bad("planner.model", &self.model, right));
        }
        Ok(Planner {
            url: completions(&self.url)?,
            model: self.model,
            api_key: self
                .api_key_file
                .map(|text| Secret::parse("planner.api_key_file", &text))
                .transpose()?,
            authority: self.authority.map(|path| absolute("planner.authority", path)).transpose()?,
            calls_per_day: most,
        })
    }
}

/// The base URL that such endpoints are known by, or the whole one. Incidents and the key go there: TLS, but to this machine.
fn completions(url: &str) -> Result<Uri, ConfigError> {
    let fits = |uri: &Uri| {
        uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
            && is_private(uri)
    };
    let base = url.trim_end_matches('/');
    let base = base.strip_suffix(COMPLETIONS).unwrap_or(base);
    format!("{base}{COMPLETIONS}").parse::<Uri>().ok().filter(fits).ok_or_else(|| {
        let right = "an https URL, such as https://models.example/v1, or http to this machine, without user and query";
        bad("planner.url", url, right)
    })
}

impl Planner {
    /// What the endpoint knows us by.
    pub fn bearer(&self) -> Result<Option<HeaderValue>, ConfigError> {
        let Some(place) = &self.api_key else { return Ok(None) };
        let key = place.read()?;
        let header = || HeaderValue::try_from(format!("Bearer {}", key.expose())).ok();
        let is_visible = key.expose().bytes().all(|byte| byte.is_ascii_graphic());
        let mut value = is_visible.then(header).flatten().ok_or_else(|| {
            let right = "the key and nothing else: one line of visible characters";
            bad("planner.api_key_file", &place.to_string(), right)
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Whose certificates the endpoint's must come from; `None`: the public web's.
    pub fn roots(&self) -> Result<Option<RootCertStore>, ConfigError> {
        let Some(file) = &self.authority else { return Ok(None) };
        let wrong = |why: String| {
            bad(
                "planner.authority",
                &file.display().to_string(),
                format!("a file of certificates in PEM: {why}"),
            )
        };
        let pem = files::read(file, AUTHORITY_MAX).map_err(|error| wrong(chain(&error)))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.is_empty() { Err(wrong("there is none in it".to_owned())) } else { Ok(Some(roots)) }
    }

    /// Whether what the settings name beside themselves is there. Asks no server.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.bearer()?;
        self.roots().map(drop)
    }
}

/// This part of the file that `init` writes.
pub(super) const TEMPLATE: &str = r#"
# A language model that is asked which runbook, where several are allowed for one fault; without this part, and whenever it
# does not behave, rules decide. It can name one of the allowed runbooks or a person, and nothing else. It is sent the fault,
# its readings and its redacted line, what else is wrong on that machine, and the allowed runbooks; never of whom.
# `control-plane planner evaluate` says how well it chooses.
# [planner]
# Any endpoint that speaks OpenAI's chat completions: https, or http to this machine.
# url = "https://models.example/v1"
# model = "name-of-the-model"
# Where the endpoint's API key is, in one of the ways described at [mail].
# api_key_file = "/etc/orderly/planner.key"
# Certificates (PEM) that the endpoint's must come from. Without it: the public web's.
# authority = "/etc/orderly/planner-ca.pem"
# The most calls for one clinic in a day (UTC): 1 to 10000.
# calls_per_day = 50
"#;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::config::Config;

    const LEAST: &str = "organization = \"a\"\n[listen]\naddress = \"https://a\"\n";

    fn with(more: &str) -> Result<Option<Planner>, ConfigError> {
        Config::parse(&format!("{LEAST}{more}")).map(|config| config.planner)
    }

    #[test]
    fn without_it_rules_decide_and_a_url_is_the_base_or_the_whole() {
        assert_eq!(with("").unwrap(), None);
        for (url, whole) in [
            ("https://models.example/v1", "https://models.example/v1/chat/completions"),
            ("https://models.example/v1/", "https://models.example/v1/chat/completions"),
            ("https://models.example/v1/chat/completions", "https://models.example/v1/chat/completions"),
            ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/chat/completions"),
            ("http://[::1]:8080", "http://[::1]:8080/chat/completions"),
        ] {
            let planner = with(&format!("[planner]\nurl = \"{url}\"\nmodel = \"m\"")).unwrap().unwrap();
            assert_eq!((planner.url.to_string().as_str(), planner.calls_per_day), (whole, 50));
        }
    }

    #[test]
    fn every_wrong_value_is_named_with_what_would_be_right() {
        let least = "[planner]\nurl = \"https://a/v1\"\nmodel = \"m\"\n";
        let url = |url: &str| format!("[planner]\nurl = \"{url}\"\nmodel = \"m\"");
        for (more, key, right) in [
            ("[planner]\nurl = \"https://a/v1\"", "planner", "missing field `model`"),
            ("[planner]\nurl = \"https://a/v1\"\nmodel = \"\"", "planner.model", "calls the model"),
            (&url("http://models.example/v1"), "planner.url", "an https URL"),
            (&url("https://me@models.example/v1"), "planner.url", "without user"),
            (&url("https://models.example/v1?a=b"), "planner.url", "without user and query"),
            (&url("models"), "planner.url", "an https URL"),
            (&format!("{least}calls_per_day = 0"), "planner.calls_per_day", "from 1 to 10000"),
            (&format!("{least}api_key_file = \"key\""), "planner.api_key_file", "where the secret is"),
            (&format!("{least}authority = \"ca\""), "planner.authority", "a path from the root"),
            (&format!("{least}api_key = \"hush\""), "api_key", "expected one of"),
        ] {
            let error = with(more).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(right), "{more:?} -> {error:?}");
        }
    }

    #[test]
    fn what_is_named_beside_the_settings_must_be_there_and_fit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it");
        let refused = |key: &str| {
            let text =
                format!("[planner]\nurl = \"https://a/v1\"\nmodel = \"m\"\n{key} = {:?}", file.display());
            with(&text).unwrap().unwrap().check().unwrap_err().to_string()
        };
        assert!(refused("api_key_file").contains("cannot read"));
        for (content, mode, why) in [
            ("secret", 0o644, "readable by others"),
            ("two words", 0o600, "one line of visible characters"),
            ("", 0o600, "nothing in it"),
        ] {
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let error = refused("api_key_file");
            assert!(error.contains("planner.api_key_file"), "{error}");
            assert!(error.contains(why) || mode == 0o644, "{error}");
            assert!(!error.contains("two words"), "{error}");
        }
        assert!(refused("authority").contains("there is none in it"));
    }
}
