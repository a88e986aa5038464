//! `[traces]`: where the steps of incidents are told, for whoever follows them across systems.

use http::Uri;
use serde::Deserialize;
use tonic::transport::Endpoint;

use super::{
    ConfigError,
    value::{bad, is_here},
};

/// `[traces]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// The collector on this machine: `http://host:port`.
    pub collector: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileTraces {
    collector: String,
}

impl FileTraces {
    pub(super) fn check(self) -> Result<Traces, ConfigError> {
        let right = |uri: &Uri| {
            uri.scheme_str() == Some("http")
                && uri.authority().is_some_and(|a| !a.as_str().contains('@') && is_here(a.host()))
                && uri.path_and_query().is_none_or(|path| path == "/")
        };
        match self.collector.parse::<Uri>() {
            Ok(uri) if right(&uri) => Ok(Traces { collector: self.collector }),
            _ => Err(bad(
                "traces.collector",
                &self.collector,
                "an http URL of this machine, such as http://127.0.0.1:4317: a collector here sends it on",
            )),
        }
    }
}

impl Traces {
    /// As it is connected to.
    pub fn endpoint(&self) -> Result<Endpoint, ConfigError> {
        let wrong = |error: tonic::transport::Error| {
            bad("traces.collector", &self.collector, format!("where a collector can be reached: {error}"))
        };
        Endpoint::from_shared(self.collector.clone()).map_err(wrong)
    }
}

/// This part of the file that `init` writes.
pub(super) const TEMPLATE: &str = r#"
# Traces (OpenTelemetry, OTLP over gRPC): an incident is one trace, from its first event to the evidence, under its own ID
# without the hyphens. To a collector on this machine, which sends them on; what it does not take is dropped. IDs and words of
# this program, no names. Without it: none.
# [traces]
# collector = "http://127.0.0.1:4317"
"#;

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_collector_is_on_this_machine() {
        let with = |url: &str| {
            let least = "organization = \"a\"\n[listen]\naddress = \"https://a\"\n";
            Config::parse(&format!("{least}[traces]\ncollector = \"{url}\"")).map(|config| config.traces)
        };
        assert!(with("http://127.0.0.1:4317").unwrap().is_some());
        for wrong in ["http://192.0.2.1:4317", "https://127.0.0.1:4317", "http://127.0.0.1:4317/v1", "4317"] {
            let error = with(wrong).unwrap_err().to_string();
            assert!(error.contains("traces.collector") && error.contains("of this machine"), "{error}");
        }
    }
}
