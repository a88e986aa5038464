//! `[escalation.channel.token]`: who gives a ticket system's tokens, which do not last (OAuth 2.0, RFC 6749 section 4.4).

use http::Uri;
use serde::Deserialize;

use super::{
    ConfigError, Secret,
    value::{bad, private},
};

const CLIENT: &str = "escalation.channel.token.client_id";
const SECRET: &str = "escalation.channel.token.client_secret_file";

/// Who gives tokens, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSource {
    /// Where they are asked for.
    pub url: Uri,
    /// Who we are.
    pub client_id: String,
    /// Where our secret is.
    pub client_secret: Secret,
    /// What for; empty: what they give without being asked.
    pub scope: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileToken {
    url: String,
    client_id: String,
    client_secret_file: String,
    #[serde(default)]
    scope: String,
}

impl FileToken {
    pub(super) fn check(self) -> Result<TokenSource, ConfigError> {
        if self.client_id.is_empty() {
            return Err(bad(CLIENT, "", "the ID that the ticket system gave this application"));
        }
        Ok(TokenSource {
            url: private("escalation.channel.token.url", self.url)?,
            client_id: self.client_id,
            client_secret: Secret::parse(SECRET, &self.client_secret_file)?,
            scope: self.scope,
        })
    }
}
