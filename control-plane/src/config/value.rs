//! What single values may be; every refusal names the key, the value and what is allowed.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use http::Uri;

use super::ConfigError;

pub(super) fn bad(key: &'static str, value: &str, allowed: impl Into<String>) -> ConfigError {
    ConfigError::Value { key, value: value.to_owned(), allowed: allowed.into() }
}

pub(super) fn socket(key: &'static str, value: &str) -> Result<SocketAddr, ConfigError> {
    value.parse().map_err(|_| bad(key, value, "an IP address and a port, such as 0.0.0.0:8443 or [::]:8443"))
}

pub(super) fn within(key: &'static str, value: i64, (least, most): (i64, i64)) -> Result<u64, ConfigError> {
    u64::try_from(value)
        .ok()
        .filter(|_| (least..=most).contains(&value))
        .ok_or_else(|| bad(key, &value.to_string(), format!("a whole number from {least} to {most}")))
}

pub(super) fn host(key: &'static str, value: String) -> Result<String, ConfigError> {
    match rustls_pki_types::ServerName::try_from(value.as_str()) {
        Ok(_) => Ok(value),
        Err(_) => Err(bad(key, &value, "a host name or an IP address, such as msp.example or 192.0.2.7")),
    }
}

pub(super) fn address(key: &'static str, value: &str) -> Result<String, ConfigError> {
    let right = |uri: &Uri| {
        uri.scheme_str() == Some("https")
            && uri.host().is_some_and(|h| rustls_pki_types::ServerName::try_from(plain_host(h)).is_ok())
            && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
            && uri.path_and_query().is_none_or(|p| p == "/")
    };
    match value.parse::<Uri>() {
        Ok(uri) if right(&uri) => Ok(value.trim_end_matches('/').to_owned()),
        _ => Err(bad(key, value, "an https URL without a path, such as https://control.msp.example:8443")),
    }
}

pub(super) fn webhook(key: &'static str, value: String) -> Result<Uri, ConfigError> {
    let right = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|h| !h.is_empty())
            // They would be ignored, silently.
            && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
    };
    match value.parse::<Uri>() {
        Ok(uri) if right(&uri) => Ok(uri),
        _ => Err(bad(
            key,
            &value,
            "an http or https URL without a user, such as https://alerts.example/orderly",
        )),
    }
}

/// Whether a host is this machine: what goes there leaves on no line.
pub(super) fn is_here(host: &str) -> bool {
    let host = plain_host(host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether what goes there can be read by nobody on the way: https, or this machine. What has a secret in it goes nowhere else.
pub(super) fn is_private(uri: &Uri) -> bool {
    let host = uri.host().filter(|host| !host.is_empty());
    host.is_some_and(|host| match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_here(host),
        _ => false,
    })
}

/// Where a secret goes along.
pub(super) fn private(key: &'static str, value: String) -> Result<Uri, ConfigError> {
    let uri = webhook(key, value)?;
    match is_private(&uri) {
        true => Ok(uri),
        false => {
            Err(bad(key, &uri.to_string(), "an https URL, or http to this machine: a secret goes along"))
        }
    }
}

/// A file that is named beside the settings: whoever starts this program may stand anywhere.
pub(super) fn absolute(key: &'static str, path: PathBuf) -> Result<PathBuf, ConfigError> {
    match path.is_absolute() {
        true => Ok(path),
        false => {
            let name = key.rsplit('.').next().unwrap_or(key);
            Err(bad(
                key,
                &path.display().to_string(),
                format!("a path from the root, such as /etc/orderly/{name}"),
            ))
        }
    }
}

/// A host as certificates have it: IPv6 without brackets.
pub(super) fn plain_host(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}
