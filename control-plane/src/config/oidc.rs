//! `[oidc]`: the identity provider whose word lets people in, and what its groups may do here.
//!
//! The client's secret never stands here: a file of its own has it.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use http::Uri;
use serde::Deserialize;

use super::{ConfigError, value::bad};
use crate::{access::Role, files};

const SECRET_MAX: u64 = 4096;

/// `[oidc]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// What the button says.
    pub name: String,
    /// Who it is: an https URL, to which `/.well-known/openid-configuration` belongs.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// The file that has our secret.
    pub client_secret_file: PathBuf,
    /// Certificates that its own must come from; `None`: the public web's.
    pub authority: Option<PathBuf>,
    /// In which claim it says somebody's groups.
    pub claim: String,
    /// What groups may do; the first that somebody is in counts.
    pub groups: Vec<Group>,
}

/// `[[oidc.groups]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What the provider calls it.
    pub group: String,
    /// What its people may do.
    pub role: Role,
    /// In which clinic, by name or ID; empty: everywhere.
    pub tenant: String,
    /// At which of its sites; empty: all.
    pub site: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileOidc {
    name: Option<String>,
    issuer: String,
    client_id: String,
    client_secret_file: PathBuf,
    authority: Option<PathBuf>,
    claim: Option<String>,
    #[serde(default)]
    groups: Vec<FileGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGroup {
    group: String,
    role: String,
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    site: String,
}

impl FileOidc {
    pub(super) fn check(self) -> Result<Oidc, ConfigError> {
        let issuer = issuer(self.issuer)?;
        let groups = self.groups.into_iter().map(|one| {
            let role = one.role.parse().map_err(|_| {
                bad("oidc.groups.role", &one.role, "\"owner\", \"operator\", \"technician\" or \"auditor\"")
            })?;
            if one.tenant.is_empty() && !one.site.is_empty() {
                return Err(bad("oidc.groups.site", &one.site, "given along with oidc.groups.tenant"));
            }
            Ok(Group { group: one.group, role, tenant: one.tenant, site: one.site })
        });
        let groups = groups.collect::<Result<Vec<_>, _>>()?;
        if groups.is_empty() {
            return Err(bad(
                "oidc.groups",
                "empty",
                "one block [[oidc.groups]] for each group that may come in",
            ));
        }
        Ok(Oidc {
            name: self.name.unwrap_or_else(|| "your organization's account".to_owned()),
            issuer,
            client_id: self.client_id,
            client_secret_file: absolute("oidc.client_secret_file", self.client_secret_file)?,
            authority: self.authority.map(|path| absolute("oidc.authority", path)).transpose()?,
            claim: self.claim.unwrap_or_else(|| "groups".to_owned()),
            groups,
        })
    }
}

impl Oidc {
    /// Our secret, as its file has it.
    pub fn client_secret(&self) -> Result<String, ConfigError> {
        let file = &self.client_secret_file;
        let read = files::read_secret(file, SECRET_MAX).map_err(|error| {
            let why = format!("a file with the secret and nothing else: {}", crate::core::chain(&error));
            bad("oidc.client_secret_file", &file.display().to_string(), why)
        })?;
        Ok(read.trim_end().to_owned())
    }

    /// What somebody of these groups may do: what the first that is listed says.
    #[must_use]
    pub fn grant_of(&self, theirs: &[String]) -> Option<&Group> {
        self.groups.iter().find(|one| theirs.contains(&one.group))
    }
}

/// Over TLS, or on this machine alone.
fn issuer(value: String) -> Result<String, ConfigError> {
    let right = |uri: &Uri| {
        let here = uri.host().is_some_and(|host| {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        });
        let scheme = uri.scheme_str();
        (scheme == Some("https") || scheme == Some("http") && here) && uri.query().is_none()
    };
    match value.parse::<Uri>() {
        Ok(uri) if right(&uri) => Ok(value),
        _ => Err(bad("oidc.issuer", &value, "an https URL, such as https://login.msp.example")),
    }
}

fn absolute(key: &'static str, path: PathBuf) -> Result<PathBuf, ConfigError> {
    match Path::is_absolute(&path) {
        true => Ok(path),
        false => {
            Err(bad(key, &path.display().to_string(), "a path from the root, such as /etc/orderly/oidc"))
        }
    }
}

/// What the template says of it.
pub(super) const TEMPLATE: &str = r#"
# An identity provider (OpenID Connect) whose people come in by its word, without a passkey here. At the provider the
# redirect URI is people.address with /sign-in/callback. What its groups may do is asked at each sign-in, and a session
# lasts twelve hours at most; `control-plane operator end` shuts somebody out at once.
# [oidc]
# What the button says.
# name = "your organization's account"
# issuer = "https://login.msp.example"
# client_id = "orderly"
# A file with the client secret and nothing else, mode 0600.
# client_secret_file = "/etc/orderly/oidc.secret"
# Certificates that the provider's must come from, PEM. Without it: the public web's.
# authority = "/etc/orderly/login.pem"
# The claim that says somebody's groups.
# claim = "groups"
# What groups may do; of several, the first that stands here. Whoever is in none is not let in. One block each.
# [[oidc.groups]]
# group = "orderly-owners"
# role = "owner"
# [[oidc.groups]]
# group = "elm-street"
# role = "technician"
# tenant = "Elm Street Clinic"
"#;
