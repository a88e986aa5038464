//! `[oidc]`: the identity provider whose word lets people in, and what its groups may do here.
//!
//! The client's secret never stands here: a place of its own has it.

use std::path::PathBuf;

use http::Uri;
use serde::Deserialize;

use super::{
    ConfigError, Secret,
    value::{absolute, bad, is_private},
};
use crate::access::Role;

/// `[oidc]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// What the button says.
    pub name: String,
    /// Who it is: an https URL, to which `/.well-known/openid-configuration` belongs.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// Where our secret is.
    pub client_secret: Secret,
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
    client_secret_file: String,
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
            client_secret: Secret::parse("oidc.client_secret_file", &self.client_secret_file)?,
            authority: self.authority.map(|path| absolute("oidc.authority", path)).transpose()?,
            claim: self.claim.unwrap_or_else(|| "groups".to_owned()),
            groups,
        })
    }
}

impl Oidc {
    /// What somebody of these groups may do: what the first that is listed says.
    #[must_use]
    pub fn grant_of(&self, theirs: &[String]) -> Option<&Group> {
        self.groups.iter().find(|one| theirs.contains(&one.group))
    }
}

/// Over TLS, or on this machine alone.
fn issuer(value: String) -> Result<String, ConfigError> {
    let right = |uri: &Uri| is_private(uri) && uri.query().is_none();
    match value.parse::<Uri>() {
        Ok(uri) if right(&uri) => Ok(value),
        _ => Err(bad("oidc.issuer", &value, "an https URL, such as https://login.msp.example")),
    }
}

/// What the template says of it.
pub(super) const TEMPLATE: &str = r#"
# An identity provider (OpenID Connect) whose people come in by its word, without a passkey here. At the provider the
# redirect URI is people.address with /sign-in/callback. What its groups may do is asked at each sign-in, and a session
# lasts twelve hours at most; `control-plane operator end` shuts somebody out at once. Whoever lets others in signs in anew: the
# provider is asked with max_age, and has to say auth_time.
# [oidc]
# What the button says.
# name = "your organization's account"
# issuer = "https://login.msp.example"
# client_id = "orderly"
# Where the client secret is (as with mail.password_file).
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
