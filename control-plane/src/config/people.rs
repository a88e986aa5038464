//! `[people]`: where people reach this server.

use serde::Deserialize;

use super::{Config, ConfigError, value::address};

/// `[people]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct People {
    /// What people type into their browsers: an https URL; `None`: the host that appliances are told, and the port of
    /// `listen.people`.
    pub address: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct FilePeople {
    address: Option<String>,
}

impl FilePeople {
    pub(super) fn check(self) -> Result<People, ConfigError> {
        let address = self.address.map(|url| address("people.address", &url)).transpose()?;
        // Browsers say the origin in small letters and without the port that is meant anyway.
        let address = address.map(|url| {
            let url = url.to_ascii_lowercase();
            url.strip_suffix(":443").map(ToOwned::to_owned).unwrap_or(url)
        });
        Ok(People { address })
    }
}

impl Config {
    /// What people type into their browsers, when the listener has this port.
    #[must_use]
    pub fn people_address(&self, port: u16) -> String {
        self.people.address.clone().unwrap_or_else(|| {
            let uri = self.listen.address.parse::<http::Uri>().ok();
            let host = uri.as_ref().and_then(http::Uri::host).unwrap_or("localhost").to_ascii_lowercase();
            if port == 443 { format!("https://{host}") } else { format!("https://{host}:{port}") }
        })
    }
}

/// What the template says of it.
pub(super) const TEMPLATE: &str = r#"
# Where people reach this server: what they type into their browsers. Passkeys are bound to its host name, so it must be a
# name and no IP address, and a passkey is good for no other. Without it: the host of listen.address, the port of listen.people.
# Approvers of the charter had better sign at another origin: this page is the server's.
# [people]
# address = "https://control.msp.example:8444"
"#;
