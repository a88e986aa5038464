//! The log's head: the checkpoint, who signed it, and whose log it is.
//!
//! The rule: a checkpoint counts when a log key of the newest charter signed it under the name of this organization's
//! log for one tenant. A key that an older charter named, and the newest does not, is a key that was taken away.

use proto::{
    ids::TenantId,
    log::{Head, SignedCheckpoint, VerifierKey, WitnessKey, log_number, policy_text, tenant_of},
};

use super::{charters::Charters, findings::Findings};
use crate::bundle::{Place, Source};

/// A head that holds.
#[derive(Debug)]
pub(super) struct LogHead {
    pub(super) checkpoint: SignedCheckpoint,
    pub(super) tenant: TenantId,
}

impl LogHead {
    pub(super) fn head(&self) -> Head {
        self.checkpoint.checkpoint().head()
    }

    /// Which of its tenant's logs it is.
    pub(super) fn number(&self) -> u64 {
        log_number(&self.checkpoint.checkpoint().origin)
    }
}

/// Reads key, checkpoint and policy; `None` when there is nothing to go by.
pub(super) fn read(source: &dyn Source, charters: &Charters, findings: &mut Findings) -> Option<LogHead> {
    let mut tally = findings
        .begin("The log's head is signed by the organization's log key", Place::Checkpoint.to_string());
    let head = find(source, charters, findings, &mut tally);
    if let Some(head) = &head {
        tally.proven = 1;
        let checkpoint = head.checkpoint.checkpoint();
        tally.remark(format!("{} records, root {}", checkpoint.size, checkpoint.root.to_base64()));
    }
    findings.end(tally);
    head
}

fn find(
    source: &dyn Source,
    charters: &Charters,
    findings: &mut Findings,
    tally: &mut super::findings::Tally,
) -> Option<LogHead> {
    let Some(charter) = charters.newest() else {
        tally.missing("no charter says whose key that is");
        return None;
    };
    let vkey_path = Place::VerifierKey.to_string();
    let Some(vkey) = findings.read(source, &Place::VerifierKey) else {
        tally.missing("log/vkey is not here");
        return None;
    };
    let text = String::from_utf8_lossy(&vkey);
    let key: VerifierKey = match text.strip_suffix('\n').unwrap_or(&text).parse() {
        Ok(key) => key,
        Err(error) => {
            findings.error(&vkey_path, None, &error);
            return None;
        }
    };
    if !charter.log_keys.contains(&key.public()) {
        let problem = format!("is not a log key of charter {}, the newest here", charter.serial);
        findings.fault(&vkey_path, None, &problem);
        return None;
    }
    let Some(tenant) = tenant_of(key.name(), &charter.organization) else {
        findings.fault(
            &vkey_path,
            None,
            &format!("its name must be evidence.{}/<tenant>", charter.organization),
        );
        return None;
    };
    let Some(note) = findings.read(source, &Place::Checkpoint) else {
        tally.missing("log/checkpoint is not here");
        return None;
    };
    let checkpoint = match SignedCheckpoint::open(&note, std::slice::from_ref(&key)) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            findings.error(&Place::Checkpoint.to_string(), None, &error);
            return None;
        }
    };
    match findings.read(source, &Place::Policy) {
        None => tally.missing("log/policy is not here"),
        Some(policy) => {
            if !is_policy_of(&policy, &key, &charter.witness_keys()) {
                let problem = "does not name exactly the key in log/vkey and the charter's witnesses";
                findings.fault(&Place::Policy.to_string(), None, problem);
            }
        }
    }
    if *vkey != *format!("{key}\n").as_bytes() {
        findings.fault(&vkey_path, None, "must be one line");
    }
    Some(LogHead { checkpoint, tenant })
}

/// How many of the witnesses it asks for is the provider's to say.
fn is_policy_of(policy: &[u8], key: &VerifierKey, witnesses: &[WitnessKey]) -> bool {
    (1..=witnesses.len().max(1)).any(|least| {
        policy_text(std::slice::from_ref(key), witnesses, least).is_ok_and(|text| *policy == *text.as_bytes())
    })
}
