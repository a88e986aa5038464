//! What a record of evidence changes here, besides being kept: heartbeats, orders, incidents, and the bulk that it names.

use proto::{
    digest::Digest,
    evidence::{Body, Record, Standing},
    ids::TenantId,
    time::Millis,
};

use super::{Core, CoreError, evidence::Origin};
use crate::store::IncarnationRow;

impl Core {
    /// Bulk that a record names goes where the record goes, and comes back from there with it.
    pub(super) fn keep_outputs(
        &self,
        tenant: TenantId,
        body: &Body,
        origin: Origin,
        now: Millis,
    ) -> Result<(), CoreError> {
        let Body::Execution(execution) = body else { return Ok(()) };
        for output in execution.steps.iter().filter_map(|step| step.output) {
            let key = format!("{tenant}/attachments/{output}");
            match (self.store.attachment(tenant, output)?, origin) {
                (Some(content), Origin::Appliance) => {
                    let is_it = |_: &str, bytes: &[u8]| Digest::of(bytes) == output;
                    self.put_ours(&key, &content, self.retain_until(now), is_it)?;
                    self.store.name_attachment(tenant, output)?;
                }
                (None, Origin::Vault { .. }) => {
                    for key in [key.clone(), format!("{key}.{output}")] {
                        let there = self.object(&key)?;
                        if let Some(content) = there.filter(|content| Digest::of(content) == output) {
                            self.store.add_named_attachment(tenant, &content, now)?;
                            self.note_kept(&[&key])?;
                            break;
                        }
                    }
                }
                (Some(_), Origin::Vault { .. }) => {
                    self.store.name_attachment(tenant, output)?;
                    self.note_kept(&[&key])?;
                }
                (None, Origin::Appliance) => {}
            }
        }
        Ok(())
    }

    /// Acts on what a record says.
    pub(super) fn act_on(
        &mut self,
        signer: &IncarnationRow,
        record: &Record,
        origin: Origin,
        now: Millis,
    ) -> Result<(), CoreError> {
        match &record.body {
            // Of an incarnation that is not in force any more: what it is now, another says.
            Body::Heartbeat(_) | Body::Hold(_) | Body::Scan(_)
                if !self.store.is_in_force(signer.appliance, signer.incarnation)? =>
            {
                Ok(())
            }
            Body::Heartbeat(beat) => {
                // By its place in the chain: a box whose clock was once ahead must not be stuck with that heartbeat.
                if !self.store.has_later(signer.incarnation, record.chain.index, record.body.kind())? {
                    // One from before a restore says nothing about what came after it.
                    let generation = match origin {
                        Origin::Vault { restored: true } => 0,
                        Origin::Vault { restored: false } | Origin::Appliance => self.generation,
                    };
                    self.store.put_heartbeat(signer.appliance, generation, record.clock.at, beat)?;
                    self.wake.insert(signer.appliance);
                }
                Ok(())
            }
            Body::Execution(execution) => self.order_was_executed(signer, execution, now),
            Body::Refusal(refusal) => self.order_was_refused(signer, refusal, now),
            Body::Hold(hold) => {
                let later = |kind| self.store.has_later(signer.incarnation, record.chain.index, kind);
                if !later("hold")? && !later("heartbeat")? {
                    self.store.put_hold(signer.appliance, hold.held.then_some(hold.by.as_str()))?;
                    if !hold.held {
                        self.store.order_at_once(signer.appliance, now)?;
                    }
                    self.wake.insert(signer.appliance);
                }
                Ok(())
            }
            Body::Scan(scan) => self.take_scan(signer, record, scan, now),
            Body::Enrolment(_) | Body::Document(_) | Body::Update(_) | Body::Unknown => Ok(()),
        }
    }
}

/// A line for lists.
pub(super) fn summary(body: &Body) -> String {
    match body {
        Body::Enrolment(_) => "enrolled".into(),
        Body::Unknown => "of a newer version of the appliance's program".into(),
        Body::Heartbeat(beat) => format!("alive, highest order {}", beat.order_high),
        Body::Execution(e) => format!("{} {}", e.order.runbook, super::orders::verdict_word(e.verdict)),
        Body::Refusal(r) => format!("order refused by guardrail {} {}", r.guardrail, r.name),
        Body::Scan(scan) => {
            let of = |standing| scan.standing(standing).count();
            format!(
                "baseline: {} controls, {} drifted, {} excepted, {} not evaluable",
                scan.findings.len(),
                of(Standing::Drifted),
                of(Standing::Excepted),
                of(Standing::NotEvaluable)
            )
        }
        Body::Document(taken) => {
            let became = if taken.is_withdrawal { "withdrawn" } else { "in force" };
            format!("{} {} {became}", taken.what, taken.name)
        }
        Body::Update(update) => format!("updated: {} to {}", update.from, update.to),
        Body::Hold(h) => {
            format!("orders {} at the box by {}", if h.held { "held" } else { "released" }, h.by)
        }
    }
}
