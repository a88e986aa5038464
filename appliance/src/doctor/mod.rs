//! `appliance doctor`: what is wrong between this box and its control plane, by code and with what to do.
//!
//! The rule: it looks by itself and asks neither agent nor executor, so that it works when nothing else does; it changes
//! nothing. Looking is apart from judging: [`judge()`] is a pure function of [`Seen`].
//!
//! ```text
//!  cable ─> address ─> route, gateway ─> DNS ─> proxy ─> port ─> TLS ─> certificates and clock ─> admitted?
//! ```

mod judge;
mod look;
mod machine;
mod seen;

use std::fmt;

use serde::Serialize;

pub use self::{
    judge::{Finding, judge},
    seen::{Answer, Link, Names, Own, Reach, Said, Seen, Shown, Tunnel, Way, Web},
};
use crate::{config::Config, world::World};

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Version of this format.
    pub format: u32,
    /// Whether nothing is wrong.
    pub well: bool,
    /// What is wrong, the network's first.
    pub findings: Vec<Finding>,
    /// What was seen.
    pub seen: Seen,
}

/// Looks and judges.
#[must_use]
pub fn examine(config: &Config, world: &World) -> Report {
    let seen = look::look(config, world);
    let findings = judge(&seen);
    Report { format: 1, well: findings.is_empty(), findings, seen }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for link in &self.seen.links {
            let state = if link.carrier { "link" } else { "no link" };
            let vlan = link.vlan.map(|vlan| format!(", VLAN {vlan}")).unwrap_or_default();
            let addresses: Vec<String> = link.addresses.iter().map(ToString::to_string).collect();
            writeln!(f, "{:<13} {state}{vlan}, {}", link.name, addresses.join(" "))?;
        }
        writeln!(f, "{:<13} {}", "control plane", self.seen.control_plane)?;
        if let Some(proxy) = &self.seen.proxy {
            writeln!(f, "{:<13} {proxy}", "proxy")?;
        }
        if self.well {
            return writeln!(f, "all is well: the control plane answers, and lets this box in");
        }
        self.findings.iter().try_for_each(|finding| {
            writeln!(f, "\nTROUBLE {}\n  seen: {}\n  next: {}", finding.code, finding.what, finding.advice)
        })
    }
}

#[cfg(test)]
mod tests;
