//! `[mail]`: through which mail server packets go out, and where those who get them acknowledge them.
//!
//! The password never stands here: only where it is ([`Secret`]).

use std::path::PathBuf;

use lettre::message::Mailbox;
use serde::Deserialize;

use super::{
    ConfigError, Hidden, Secret,
    value::{absolute, address, bad, host, is_here, within},
};

const PORT: i64 = 587;

/// `[mail]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The mail server that takes what is to go out.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How the way there is secured.
    pub tls: MailTls,
    /// In whose name mails go out.
    pub from: Mailbox,
    /// Who it is to the server, and where the password is; `None`: the server knows it by its address.
    pub login: Option<(String, Secret)>,
    /// Certificates that the server's must come from; `None`: the public web's.
    pub authority: Option<PathBuf>,
    /// Where those who get mail reach the people's listener: an https URL; `None`: mails have no link.
    pub link: Option<String>,
}

/// How the way to the mail server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// The connection becomes TLS before anything is said (RFC 3207), or nothing is sent.
    StartTls,
    /// TLS from the beginning (RFC 8314).
    Tls,
    /// Not at all: to this machine only.
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileMail {
    server: String,
    port: Option<i64>,
    tls: Option<String>,
    from: String,
    user: Option<String>,
    password_file: Option<String>,
    authority: Option<PathBuf>,
    link: Option<String>,
}

impl FileMail {
    pub(super) fn check(self) -> Result<Mail, ConfigError> {
        let server = host("mail.server", self.server)?;
        let tls = match self.tls.as_deref() {
            None | Some("starttls") => MailTls::StartTls,
            Some("tls") => MailTls::Tls,
            Some("none") if is_here(&server) => MailTls::None,
            Some(other) => {
                return Err(bad("mail.tls", other, "\"starttls\", \"tls\", or to this machine \"none\""));
            }
        };
        let from = self.from.parse().map_err(|_| {
            bad("mail.from", &self.from, "an address such as \"Evidence <packets@msp.example>\"")
        })?;
        let login = match (self.user, self.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) => Some((user, Secret::parse("mail.password_file", &file)?)),
            (Some(user), None) => return Err(bad("mail.user", &user, "given along with mail.password_file")),
            (None, Some(_)) => {
                return Err(bad("mail.password_file", "given", "given along with mail.user"));
            }
        };
        if login.is_some() && tls == MailTls::None {
            return Err(bad("mail.tls", "none", "\"starttls\" or \"tls\" where there is a password"));
        }
        Ok(Mail {
            server,
            port: u16::try_from(within("mail.port", self.port.unwrap_or(PORT), (1, 65_535))?).unwrap_or(587),
            tls,
            from,
            login,
            authority: self.authority.map(|path| absolute("mail.authority", path)).transpose()?,
            link: self.link.map(|link| address("mail.link", &link)).transpose()?,
        })
    }
}

impl Mail {
    /// User and password, as the password's place has it.
    pub fn password(&self) -> Result<Option<(String, Hidden)>, ConfigError> {
        let Some((user, password)) = &self.login else { return Ok(None) };
        Ok(Some((user.clone(), password.read()?)))
    }

    /// Whether what the settings name beside themselves is there.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.password()?;
        crate::serve::mail::tls_of(self).map(drop)
    }
}

/// This part of the file that `init` writes.
pub(super) const TEMPLATE: &str = r#"
# Packets go out by mail to each clinic's recipients (`control-plane tenant recipients`) on the first of the month. Without this
# part they are made and kept, and sent to nobody.
# [mail]
# server = "smtp.msp.example"
# "starttls" (mostly port 587) or "tls" (mostly port 465); "none" to this machine only.
# tls = "starttls"
# port = 587
# from = "Evidence <packets@msp.example>"
# user = "packets@msp.example"
# Where the password is: a file that its owner alone can read, credential:NAME (systemd), env:NAME, or
# sops:/path/to/file#key.in.it (decrypted by `sops`). So it is for every secret in this file, whatever its key is called.
# password_file = "/etc/orderly/mail.password"
# Certificates (PEM) that the mail server's must come from. Without it: the public web's.
# authority = "/etc/orderly/mail-ca.pem"
# Where recipients reach the people's listener; browsers must trust the certificate there, so mostly a proxy's that passes
# /review/ on. Each mail then carries a link to acknowledge its packet by. Without it, `control-plane packet review`.
# link = "https://packets.msp.example"
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const LEAST: &str = "organization = \"a\"\n[listen]\naddress = \"https://a\"\n";

    fn with(more: &str) -> Result<Option<Mail>, ConfigError> {
        Config::parse(&format!("{LEAST}{more}")).map(|config| config.mail)
    }

    #[test]
    fn without_it_no_mail_is_sent_and_starttls_is_meant() {
        assert_eq!(with("").unwrap(), None);
        let mail =
            with("[mail]\nserver = \"smtp.a\"\nfrom = \"Evidence <packets@a.example>\"").unwrap().unwrap();
        assert_eq!((mail.port, mail.tls, mail.login, mail.link), (587, MailTls::StartTls, None, None));
        assert_eq!(mail.from.email.to_string(), "packets@a.example");
    }

    #[test]
    fn every_wrong_value_is_named_with_what_would_be_right() {
        let least = "[mail]\nserver = \"smtp.a\"\nfrom = \"packets@a.example\"\n";
        for (more, key, right) in [
            ("[mail]\nserver = \"smtp.a\"", "from", "missing field"),
            ("[mail]\nserver = \"a b\"\nfrom = \"p@a.example\"", "mail.server", "a host name"),
            ("[mail]\nserver = \"a\"\nfrom = \"nobody\"", "mail.from", "an address"),
            (&format!("{least}tls = \"none\""), "mail.tls", "to this machine"),
            (&format!("{least}port = 0"), "mail.port", "from 1 to 65535"),
            (&format!("{least}user = \"me\""), "mail.user", "password_file"),
            (&format!("{least}password_file = \"/p\""), "mail.password_file", "mail.user"),
            (
                &format!("{least}user = \"me\"\npassword_file = \"p\""),
                "mail.password_file",
                "a path from the root",
            ),
            (&format!("{least}password = \"hush\""), "password", "expected one of"),
            (&format!("{least}link = \"http://a\""), "mail.link", "https"),
            (
                "[mail]\nserver = \"127.0.0.1\"\ntls = \"none\"\nfrom = \"p@a.example\"\nuser = \"me\"\npassword_file = \"/p\"",
                "mail.tls",
                "where there is a password",
            ),
        ] {
            let error = with(more).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(right), "{more:?} -> {error:?}");
        }
    }

    #[test]
    fn what_is_named_beside_the_settings_must_be_there() {
        let text = "[mail]\nserver = \"smtp.a\"\nfrom = \"p@a.example\"\nuser = \"me\"\npassword_file = \"/nowhere/p\"";
        let error = with(text).unwrap().unwrap().check().unwrap_err().to_string();
        assert!(error.contains("mail.password_file") && error.contains("cannot read /nowhere/p"), "{error}");
        let text = "[mail]\nserver = \"smtp.a\"\nfrom = \"p@a.example\"\nauthority = \"/nowhere/ca.pem\"";
        let error = with(text).unwrap().unwrap().check().unwrap_err().to_string();
        assert!(error.contains("mail.authority"), "{error}");
    }
}
