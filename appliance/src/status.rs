//! What `appliance status` shows: agent, executor and link, looked at from beside, without a port and without a change.
//!
//! What cannot be looked at is a problem and hides nothing else. As JSON, fields are only ever added. A fault of the
//! watch list and a control plane out of reach are what this program is made for: they are said, and are no failure.

mod text;

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proto::{
    identity::{Standing, standing},
    keys::PublicKey,
    local,
    time::Millis,
};
use serde::Serialize;

use crate::{
    agent::{
        self,
        contact::Contact,
        core::VERSION,
        credentials::{self, Folder},
        executor,
        outbox::{self, Raised, Summary},
    },
    world::{Clock, Executor},
};

/// How this box stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Version of this format.
    pub format: u32,
    /// Version of the program.
    pub version: &'static str,
    /// The clocks.
    pub clock: ClockStatus,
    /// By the executor's word.
    pub executor: Option<ExecutorStatus>,
    /// The agent's certificate.
    pub certificate: Option<CertificateStatus>,
    /// The last exchange with the control plane.
    pub link: Option<Contact>,
    /// What waits to be sent.
    pub outbox: Option<Summary>,
    /// What is wrong with entries of the watch list, as the agent last saw it.
    pub faults: Vec<Raised>,
    /// What is wrong with this program, as sentences; empty: all is well.
    pub problems: Vec<String>,
    /// Whether everything could be looked at; problems may have been found all the same.
    pub complete: bool,
}

/// The clocks of the box.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClockStatus {
    /// The wall clock.
    pub wall: Millis,
    /// Whole seconds since boot.
    pub up_seconds: u64,
}

/// The executor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExecutorStatus {
    /// Who it is; `None`: not enrolled.
    pub identity: Option<IdentityStatus>,
    /// Its state's, hexadecimal.
    pub incarnation: String,
    /// Its public evidence key.
    pub evidence_key: String,
    /// Its short form, as an auditor's report names it; empty when the key cannot be read.
    pub evidence_key_hint: String,
    /// How that key is kept: `file`, `tpm`.
    pub key_protection: String,
    /// Evidence.
    pub evidence: EvidenceStatus,
    /// Orders.
    pub orders: OrderStatus,
    /// Why no order runs: `file`; `None`: orders run.
    pub hold: Option<String>,
}

/// Who the box is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdentityStatus {
    /// Trust domain.
    pub organization: String,
    /// The clinic.
    pub tenant: String,
    /// The box.
    pub appliance: String,
}

/// Evidence that the executor made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceStatus {
    /// Records made in all.
    pub made: u64,
    /// Records kept here until their inclusion in the log is proven.
    pub waiting_for_proof: u64,
    /// Entries of the newest checkpoint that the executor has verified; 0: none.
    pub checkpoint_size: u64,
    /// The same as `evidence verify --head` takes it, to hold a bundle against: entries and root; `None`: none.
    pub head: Option<String>,
}

/// Orders and what they rest on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderStatus {
    /// Highest sequence accepted.
    pub high: u64,
    /// Serial of the charter in force; 0: none.
    pub charter_serial: u64,
    /// Version of the catalogue in force; 0: none.
    pub catalogue_version: u64,
    /// Serial of the policy in force; 0: none.
    pub policy_serial: u64,
    /// Whether standing orders are kept here, for a time in which none can be asked for.
    pub standing: bool,
    /// Running and newest.
    pub executions: Vec<ExecutionStatus>,
}

/// One execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExecutionStatus {
    /// The order.
    pub order: String,
    /// The procedure.
    pub runbook: String,
    /// How far it is.
    pub state: String,
}

/// The agent's certificate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CertificateStatus {
    /// Whom it names.
    pub spiffe: String,
    /// Begin of its life.
    pub not_before: Millis,
    /// End of its life.
    pub not_after: Millis,
    /// What its age allows, by the wall clock: `valid`, `renew-only`, `refused`.
    pub standing: &'static str,
}

/// Looks at everything. `folder` is the agent's.
pub fn gather(folder: &Path, executor: &mut dyn Executor, clock: &dyn Clock) -> Status {
    let (folder, now, mut problems) = (Folder::at(folder), clock.wall(), Vec::new());
    let executor = keep(executor::describe(executor), &mut problems).map(ExecutorStatus::from);
    let certificate = keep(credentials::certificate(&folder), &mut problems)
        .map(|(_, facts)| CertificateStatus::new(&facts, now));
    let link = keep(Contact::read(&folder.contact()), &mut problems).flatten();
    let mut outbox = keep(outbox::inspect(&folder.outbox()), &mut problems).flatten();
    let clock = ClockStatus { wall: now, up_seconds: clock.boot().as_secs() };
    let faults = outbox.as_mut().map(|outbox| std::mem::take(&mut outbox.faults)).unwrap_or_default();
    let complete = problems.is_empty();
    let mut status = Status {
        format: 1,
        version: VERSION,
        clock,
        executor,
        certificate,
        link,
        outbox,
        faults,
        problems,
        complete,
    };
    let more = status.judge();
    status.problems.extend(more);
    status
}

fn keep<T, E: std::error::Error>(result: Result<T, E>, problems: &mut Vec<String>) -> Option<T> {
    result.map_err(|e| problems.push(agent::chain(&e))).ok()
}

impl Status {
    /// What can be read and is not well.
    fn judge(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(certificate) = self.certificate.as_ref().filter(|c| c.standing != "valid") {
            found.push(format!(
                "by this machine's clock the certificate is not valid ({}): it lasts from {} to {}",
                certificate.standing, certificate.not_before, certificate.not_after
            ));
        }
        if let Some(executor) = &self.executor {
            if executor.identity.is_none() {
                found.push(
                    "the executor is not enrolled; run `appliance enroll --token-file FILE`".to_owned(),
                );
            }
            if let Some(why) = &executor.hold {
                found.push(format!("no order runs: held by {why}"));
            }
        }
        if let Some(link) = &self.link {
            if !link.problem.is_empty() {
                let next = link.code.map(|code| format!(" ({code}: {})", code.advice())).unwrap_or_default();
                found.push(format!("the last exchange failed: {}{next}", link.problem));
            }
            if !link.quarantine.is_empty() {
                found.push(format!("the control plane withholds orders: {}", link.quarantine));
            }
        }
        if let Some(outbox) = self.outbox.as_ref().filter(|outbox| outbox.lines_dropped > 0) {
            let lines = outbox.lines_dropped;
            found.push(format!("there is no room for more lines of logs: the oldest {lines} were dropped"));
        }
        if let Some(outbox) = self.outbox.as_ref().filter(|outbox| outbox.dropped > 0) {
            found.push(format!(
                "the outbox is full: {} records were dropped, no evidence among them",
                outbox.dropped
            ));
        }
        found
    }
}

impl CertificateStatus {
    fn new(facts: &proto::identity::CertificateFacts, now: Millis) -> Self {
        let standing = match standing(facts.not_before, facts.not_after, now) {
            Standing::Valid => "valid",
            Standing::RenewOnly => "renew-only",
            Standing::Refused => "refused",
        };
        let spiffe = facts.spiffe.to_string();
        Self { spiffe, not_before: facts.not_before, not_after: facts.not_after, standing }
    }
}

impl From<local::Description> for ExecutorStatus {
    fn from(d: local::Description) -> Self {
        let execution =
            |e: local::Execution| ExecutionStatus { order: e.order, runbook: e.runbook, state: e.state };
        Self {
            identity: d.identity.map(|i| IdentityStatus {
                organization: i.organization,
                tenant: i.tenant,
                appliance: i.appliance,
            }),
            incarnation: hex::encode(d.incarnation),
            evidence_key_hint: d
                .evidence_key
                .parse()
                .map_or_else(|_| String::new(), |key: PublicKey| key.hint()),
            evidence_key: d.evidence_key,
            key_protection: d.key_protection,
            evidence: EvidenceStatus {
                made: d.evidence_next,
                waiting_for_proof: d.evidence_next.saturating_sub(d.evidence_first),
                checkpoint_size: d.checkpoint_size,
                head: (!d.checkpoint_root.is_empty())
                    .then(|| format!("{}:{}", d.checkpoint_size, STANDARD.encode(&d.checkpoint_root))),
            },
            orders: OrderStatus {
                high: d.order_high,
                charter_serial: d.charter_serial,
                catalogue_version: d.catalogue_version,
                policy_serial: d.policy_serial,
                standing: !d.standing.is_empty(),
                executions: d.executions.into_iter().map(execution).collect(),
            },
            hold: Some(d.hold).filter(|hold| !hold.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests;
