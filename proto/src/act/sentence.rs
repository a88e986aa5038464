//! Deeds in words: one sentence each, for people.

use super::{
    deed::{Deed, NO_END},
    words::{Mode, Through, Verdict, held_at},
};
use crate::time::Millis;

impl Deed {
    /// In a sentence, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Claim { appliance, .. } => format!("appliance {appliance} was claimed"),
            Self::Renewal { appliance, until, .. } => {
                format!("the certificate of appliance {appliance} was renewed until {until}")
            }
            Self::Quarantine { appliance, cause } => {
                format!("the orders of appliance {appliance} were stopped: {cause}")
            }
            Self::Readmission { appliance } => format!("appliance {appliance} was readmitted"),
            Self::Revocation { appliance } => format!("appliance {appliance} was revoked"),
            Self::Ticket { until, .. } => {
                format!("a token to claim an appliance was given out, until {until}")
            }
            Self::Approval { what, name, is_withdrawal: true, .. } => format!("{what} {name} was withdrawn"),
            Self::Approval { what, name, approvers, .. } => match approvers.is_empty() {
                true => format!("{what} {name} was put in force"),
                false => format!("{what} {name} was approved by {}", approvers.join(" and ")),
            },
            Self::Policy { serial, change, site, .. } => {
                let of = site.as_ref().map_or_else(String::new, |site| format!(" of site {site}"));
                format!("policy {serial}{of} was put in force: {change} changed")
            }
            Self::Hold { level, site, appliance, until } => {
                let until = until.as_ref().map_or_else(String::new, |until| format!(", until {until}"));
                format!("orders were held {}{until}", held_at(*level, site.as_ref(), appliance.as_ref()))
            }
            Self::Release { level, site, appliance } => {
                format!("the hold {} ended", held_at(*level, site.as_ref(), appliance.as_ref()))
            }
            Self::Decision { runbook, verdict, approver, .. } => match (verdict, approver) {
                (Verdict::Asked, _) => format!("approvers were asked about {runbook}"),
                (Verdict::Approved, Some(name)) => format!("{runbook} was approved by {name}"),
                (Verdict::Approved, None) => format!("{runbook} was approved"),
                (Verdict::Rejected, _) => format!("{runbook} was rejected"),
                (Verdict::Expired, _) => format!("{runbook} was not approved in time"),
                (Verdict::Void, _) => format!("what was asked about {runbook} is void: things have changed"),
            },
            Self::Charter { serial, .. } => format!("charter {serial} was put in force"),
            Self::Catalogue { version, .. } => format!("catalogue {version} was put in force"),
            Self::Access { name, until: NO_END } => format!("{name} was given access"),
            Self::Access { name, until } => format!("{name} was given access until {until}"),
            Self::AccessEnd { name } => format!("the access of {name} was taken back"),
            Self::Gap { appliance, cause, amount, .. } => {
                format!("{amount} records of appliance {appliance} are missing: {cause}")
            }
            Self::Incident { fault, watch: Some(watch), end, .. } => {
                format!("{fault} on {watch} ended {end}")
            }
            Self::Incident { fault, end, .. } => format!("{fault} ended {end}"),
            Self::Acknowledgement { id, .. } => format!("incident {id} was acknowledged"),
            Self::Restore { generation } => {
                format!("the control plane came back from a backup, generation {generation}")
            }
            Self::Succession { origin, size, cause, .. } => {
                format!("this log follows {origin}, which ended with {size} records: {cause}")
            }
            Self::Agreement { signed, until, .. } => {
                let day = |at: &Millis| at.to_string().chars().take(10).collect::<String>();
                let until =
                    until.as_ref().map_or_else(String::new, |until| format!(", until {}", day(until)));
                format!("a business associate agreement was recorded, signed {}{until}", day(signed))
            }
            Self::Mode { mode: Mode::Reseller } => "this is run by a service provider for the clinic".into(),
            Self::Mode { mode: Mode::Direct } => "this is run by the clinic's own organization".into(),
            Self::AccessReview { kept, ended } => {
                format!("access was reviewed: {} kept, {} ended", kept.len(), ended.len())
            }
            Self::Recipients { count } => format!("the recipients of packets were changed: {count} now"),
            Self::Packet { month, .. } => format!("the packet of {month} was made"),
            Self::Delivery { month, sent, refused: 0, .. } => {
                format!("the packet of {month} was sent to {sent} recipients")
            }
            Self::Delivery { month, sent, refused, .. } => {
                format!(
                    "the packet of {month} was sent to {sent} recipients, and {refused} could not be reached"
                )
            }
            Self::Review { month, name, role, through, .. } => {
                let how = match through {
                    Through::Link => "",
                    Through::Operator => ", as an operator was told",
                };
                format!("the packet of {month} was acknowledged by {name}, {role}{how}")
            }
            Self::Closure {} => "the clinic left".into(),
            Self::Operation { call } => format!("something was changed: {call}"),
            Self::Unknown => "of a newer version of the control plane".into(),
        }
    }
}
