//! `[order_key]`: where the key is that signs orders. In a file of the installation, or with a server that never gives it out.

use std::{path::PathBuf, time::Duration};

use http::Uri;
use serde::Deserialize;

use super::{
    ConfigError, Secret,
    value::{absolute, bad, is_private, within},
};

const MOUNT: &str = "transit";
const TIMEOUT_SECONDS: i64 = 2;
const TIMEOUT_SECONDS_MAX: i64 = 10;

/// `[order_key]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderKey {
    /// In the folder `keys` of the installation.
    File,
    /// With a transit engine.
    Transit(Transit),
}

/// The transit engine of HashiCorp Vault, or of what speaks like it (OpenBao).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transit {
    /// `https://host:port`, or `http` to this machine.
    pub address: String,
    /// Where the engine is mounted.
    pub mount: String,
    /// The name of the key, of type ed25519.
    pub key: String,
    /// Where the token is.
    pub token: Secret,
    /// The namespace, where there are such.
    pub namespace: Option<String>,
    /// Certificates that the server's must come from; `None`: the public web's.
    pub authority: Option<PathBuf>,
    /// How long one signature may take.
    pub timeout: Duration,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct FileOrderKey {
    kind: Option<String>,
    address: Option<String>,
    mount: Option<String>,
    key: Option<String>,
    token_file: Option<String>,
    namespace: Option<String>,
    authority: Option<PathBuf>,
    timeout_seconds: Option<i64>,
}

impl FileOrderKey {
    pub(super) fn check(self) -> Result<OrderKey, ConfigError> {
        match self.kind.as_deref() {
            None | Some("file") => self.file(),
            Some("transit") => self.transit().map(OrderKey::Transit),
            Some(other) => Err(bad("order_key.kind", other, "\"file\" or \"transit\"")),
        }
    }

    /// A server that is named and not used would be the worst of surprises.
    fn file(self) -> Result<OrderKey, ConfigError> {
        for (key, is_given) in [
            ("order_key.address", self.address.is_some()),
            ("order_key.mount", self.mount.is_some()),
            ("order_key.key", self.key.is_some()),
            ("order_key.token_file", self.token_file.is_some()),
            ("order_key.namespace", self.namespace.is_some()),
            ("order_key.authority", self.authority.is_some()),
            ("order_key.timeout_seconds", self.timeout_seconds.is_some()),
        ] {
            if is_given {
                return Err(bad(key, "given", "left out, unless order_key.kind is \"transit\""));
            }
        }
        Ok(OrderKey::File)
    }

    fn transit(self) -> Result<Transit, ConfigError> {
        let missing = |key| bad(key, "", "given along with order_key.kind = \"transit\"");
        let address = self.address.ok_or_else(|| missing("order_key.address"))?;
        let timeout = within(
            "order_key.timeout_seconds",
            self.timeout_seconds.unwrap_or(TIMEOUT_SECONDS),
            (1, TIMEOUT_SECONDS_MAX),
        )?;
        Ok(Transit {
            address: server(&address)?,
            mount: path("order_key.mount", self.mount.unwrap_or_else(|| MOUNT.to_owned()))?,
            key: path("order_key.key", self.key.ok_or_else(|| missing("order_key.key"))?)?,
            token: Secret::parse(
                "order_key.token_file",
                &self.token_file.ok_or_else(|| missing("order_key.token_file"))?,
            )?,
            namespace: self.namespace.map(|name| path("order_key.namespace", name)).transpose()?,
            authority: self.authority.map(|file| absolute("order_key.authority", file)).transpose()?,
            timeout: Duration::from_secs(timeout),
        })
    }
}

/// The token goes there: TLS, but to this machine.
fn server(text: &str) -> Result<String, ConfigError> {
    let right = |uri: &Uri| {
        is_private(uri)
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.path_and_query().is_none_or(|path| path == "/")
    };
    match text.parse::<Uri>() {
        Ok(uri) if right(&uri) => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(bad(
            "order_key.address",
            text,
            "an https URL without a path, such as https://vault.msp.example:8200, or http to this machine",
        )),
    }
}

/// It becomes a part of a URL.
fn path(key: &'static str, text: String) -> Result<String, ConfigError> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if text.len() <= 200 && text.split('/').all(plain) {
        return Ok(text);
    }
    Err(bad(key, &text, "a plain name: letters, digits, '.', '_' and '-', with '/' between its parts"))
}

/// This part of the file that `init` writes.
pub(super) const TEMPLATE: &str = r#"
# The key that signs orders. "file": keys/order.key of this installation. "transit": HashiCorp Vault's transit engine (or
# OpenBao's); the key never leaves it. `vault write transit/keys/orderly type=ed25519` makes one; the charter must name its
# public half (`control-plane charter renew --order-key KEY`); the token needs `read` on transit/keys/orderly and `update` on
# transit/sign/orderly. While the server does not answer no order is signed and what the box sends waits there; nothing is lost.
# [order_key]
# kind = "file"
# kind = "transit"
# address = "https://vault.msp.example:8200"
# mount = "transit"
# key = "orderly"
# Where the token is; read anew for every signature, so whoever renews it (Vault's agent) may write it anew.
# token_file = "/run/orderly/vault.token"
# namespace = "msp"
# Certificates (PEM) that the server's must come from. Without it: the public web's.
# authority = "/etc/orderly/transit-ca.pem"
# How long one signature may take: 1 to 10. The writer waits for it.
# timeout_seconds = 2
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn with(more: &str) -> Result<OrderKey, ConfigError> {
        let least = "organization = \"a\"\n[listen]\naddress = \"https://a\"\n";
        Config::parse(&format!("{least}[order_key]\n{more}")).map(|config| config.order_key)
    }

    #[test]
    fn a_file_unless_said_otherwise() {
        assert_eq!(with("").unwrap(), OrderKey::File);
        assert_eq!(with("kind = \"file\"").unwrap(), OrderKey::File);
    }

    #[test]
    fn a_transit_engine_needs_address_key_and_token() {
        let text =
            "kind = \"transit\"\naddress = \"https://v:8200/\"\nkey = \"orderly\"\ntoken_file = \"env:T\"";
        let OrderKey::Transit(transit) = with(text).unwrap() else { panic!("it is transit") };
        assert_eq!((&*transit.address, &*transit.mount), ("https://v:8200", "transit"));
        assert_eq!((transit.timeout, transit.namespace), (Duration::from_secs(2), None));
    }

    #[test]
    fn every_wrong_value_is_named_with_what_would_be_right() {
        let all = "kind = \"transit\"\naddress = \"https://v\"\nkey = \"k\"\ntoken_file = \"env:T\"\n";
        for (text, key, right) in [
            ("kind = \"tpm\"".to_owned(), "order_key.kind", "\"file\" or \"transit\""),
            ("key = \"k\"".to_owned(), "order_key.key", "left out"),
            ("kind = \"transit\"".to_owned(), "order_key.address", "given along with"),
            (all.replace("https", "http"), "order_key.address", "http to this machine"),
            (all.replace("https://v", "https://v/v1"), "order_key.address", "without a path"),
            (all.replace("\"k\"", "\"../sys\""), "order_key.key", "a plain name"),
            (all.replace("env:T", "s.hush"), "order_key.token_file", "where the secret is"),
            (format!("{all}timeout_seconds = 11"), "order_key.timeout_seconds", "from 1 to 10"),
        ] {
            let error = with(&text).unwrap_err().to_string();
            assert!(
                error.contains(key) && error.contains(right) && !error.contains("hush"),
                "{text} -> {error}"
            );
        }
    }
}
