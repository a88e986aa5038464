//! `[certificate]`: what the people's listener shows to browsers.

use std::{net::IpAddr, path::PathBuf};

use http::Uri;
use serde::Deserialize;

use super::{
    ConfigError, Secret,
    value::{absolute, bad, host},
};
use crate::serve::certificate::files::Files;

const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// `[certificate]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// One of our own authority.
    Own,
    /// One that somebody else puts into files.
    Files {
        /// The chain, PEM, the server's own first.
        chain: PathBuf,
        /// Where its key is, PEM.
        key: Secret,
    },
    /// One that is asked for by ACME (RFC 8555), and renewed.
    Acme(Acme),
}

/// Whom to ask, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The authority's directory.
    pub directory: String,
    /// What the certificate is to be good for.
    pub names: Vec<String>,
    /// Whom the authority may write to.
    pub contact: Option<String>,
    /// Certificates that the authority's server's must come from; `None`: the public web's.
    pub authority: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct FileCertificate {
    kind: Option<String>,
    chain: Option<PathBuf>,
    key_file: Option<String>,
    directory: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    contact: Option<String>,
    authority: Option<PathBuf>,
}

impl FileCertificate {
    pub(super) fn check(self) -> Result<Certificate, ConfigError> {
        let kind = self.kind.as_deref().unwrap_or("own");
        // What is named and not used would be the worst of surprises.
        for (key, is_given, of) in [
            ("certificate.chain", self.chain.is_some(), "files"),
            ("certificate.key_file", self.key_file.is_some(), "files"),
            ("certificate.directory", self.directory.is_some(), "acme"),
            ("certificate.names", !self.names.is_empty(), "acme"),
            ("certificate.contact", self.contact.is_some(), "acme"),
            ("certificate.authority", self.authority.is_some(), "acme"),
        ] {
            if is_given && kind != of {
                return Err(bad(key, "given", format!("left out, unless certificate.kind is {of:?}")));
            }
        }
        let missing = |key| bad(key, "", format!("given along with certificate.kind = {kind:?}"));
        match kind {
            "own" => Ok(Certificate::Own),
            "files" => {
                let chain = self.chain.ok_or_else(|| missing("certificate.chain"))?;
                let key = self.key_file.ok_or_else(|| missing("certificate.key_file"))?;
                Ok(Certificate::Files {
                    chain: absolute("certificate.chain", chain)?,
                    key: Secret::parse("certificate.key_file", &key)?,
                })
            }
            "acme" if self.names.is_empty() => Err(missing("certificate.names")),
            "acme" => Ok(Certificate::Acme(Acme {
                directory: directory(self.directory.unwrap_or_else(|| DIRECTORY.to_owned()))?,
                names: self.names.into_iter().map(name).collect::<Result<_, _>>()?,
                contact: self.contact,
                authority: self.authority.map(|file| absolute("certificate.authority", file)).transpose()?,
            })),
            other => Err(bad("certificate.kind", other, "\"own\", \"files\" or \"acme\"")),
        }
    }
}

impl Certificate {
    /// Whether what the settings name beside themselves is there and belongs together.
    pub fn check(&self) -> Result<(), ConfigError> {
        let Self::Files { chain, key } = self else { return Ok(()) };
        let files = Files { chain: chain.clone(), key: key.clone() };
        files.load().map(drop).map_err(|error| {
            bad(
                "certificate.chain",
                &chain.display().to_string(),
                format!("a chain that fits its key: {error:#}"),
            )
        })
    }
}

/// A host name: an address cannot be proven by ACME's TLS-ALPN-01 as it is done here.
fn name(text: String) -> Result<String, ConfigError> {
    let text = host("certificate.names", text)?;
    match text.parse::<IpAddr>() {
        Err(_) => Ok(text),
        Ok(_) => Err(bad("certificate.names", &text, "host names that lead to this server's port 443")),
    }
}

fn directory(text: String) -> Result<String, ConfigError> {
    let right = |uri: &Uri| {
        uri.scheme_str() == Some("https") && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
    };
    match text.parse::<Uri>() {
        Ok(uri) if right(&uri) => Ok(text),
        _ => Err(bad("certificate.directory", &text, format!("an https URL, such as {DIRECTORY}"))),
    }
}

/// This part of the file that `init` writes.
pub(super) const TEMPLATE: &str = r#"
# What the people's listener shows to whoever calls it by a name. Under its address, and under any other name, it shows a
# certificate of the device CA, which the command line pins (--ca). "own": nothing else. "files": what somebody else puts
# there, taken anew within seconds when it changes, or at SIGHUP. "acme": a public one, asked for and renewed by itself
# (RFC 8555, TLS-ALPN-01: port 443 of the names must lead to the people's listener), which is to agree to the authority's
# terms; it is kept in acme/.
# [certificate]
# kind = "own"
# kind = "files"
# chain = "/etc/orderly/people.pem"
# key_file = "/etc/orderly/people.key"
# kind = "acme"
# names = ["control.msp.example"]
# directory = "https://acme-v02.api.letsencrypt.org/directory"
# contact = "operations@msp.example"
# Certificates (PEM) that the ACME server's must come from. Without it: the public web's.
# authority = "/etc/orderly/acme-ca.pem"
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn with(more: &str) -> Result<Certificate, ConfigError> {
        let least = "organization = \"a\"\n[listen]\naddress = \"https://a\"\n";
        Config::parse(&format!("{least}[certificate]\n{more}")).map(|config| config.certificate)
    }

    #[test]
    fn our_own_unless_said_otherwise() {
        assert_eq!(with("").unwrap(), Certificate::Own);
        let acme = with("kind = \"acme\"\nnames = [\"control.msp.example\"]").unwrap();
        let Certificate::Acme(acme) = acme else { panic!("it is ACME") };
        assert_eq!(acme.directory, DIRECTORY);
    }

    #[test]
    fn every_wrong_value_is_named_with_what_would_be_right() {
        let acme = "kind = \"acme\"\nnames = [\"a.example\"]\n";
        for (text, key, right) in [
            ("kind = \"public\"".to_owned(), "certificate.kind", "\"own\", \"files\" or \"acme\""),
            ("chain = \"/a\"".to_owned(), "certificate.chain", "left out"),
            ("kind = \"files\"".to_owned(), "certificate.chain", "given along with"),
            ("kind = \"files\"\nchain = \"/a\"".to_owned(), "certificate.key_file", "given along with"),
            (
                "kind = \"files\"\nchain = \"a\"\nkey_file = \"/k\"".to_owned(),
                "certificate.chain",
                "from the root",
            ),
            ("kind = \"acme\"".to_owned(), "certificate.names", "given along with"),
            (acme.replace("a.example", "192.0.2.1"), "certificate.names", "host names"),
            (format!("{acme}directory = \"http://a\""), "certificate.directory", "an https URL"),
            (format!("{acme}key_file = \"/k\""), "certificate.key_file", "left out"),
        ] {
            let error = with(&text).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(right), "{text} -> {error}");
        }
    }
}
