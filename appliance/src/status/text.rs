//! The status for a person: one line a subject, the problems last, where they are seen.

use std::{fmt, time::Duration};

use super::{ExecutorStatus, Status};
use crate::agent::{contact::Contact, outbox::Summary};

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.clock.wall;
        if let Some(executor) = &self.executor {
            executor.write(f)?;
        }
        if let Some(certificate) = &self.certificate {
            line(f, "certificate", &format!("{}, until {}", certificate.standing, certificate.not_after))?;
        }
        line(
            f,
            "link",
            &self.link.as_ref().map_or_else(|| "never used".to_owned(), |link| spoken(link, now)),
        )?;
        line(f, "outbox", &self.outbox.as_ref().map_or_else(|| "none yet".to_owned(), |o| waiting(o, now)))?;
        line(f, "clock", &format!("{now}, up {}", span(Duration::from_secs(self.clock.up_seconds))))?;
        line(f, "version", self.version)?;
        for raised in &self.faults {
            let since = span(now.since(raised.said));
            line(f, "fault", &format!("{} on {}, said {since} ago", raised.fault, raised.watch))?;
        }
        if self.problems.is_empty() && self.faults.is_empty() {
            return line(f, "all is well", "");
        }
        self.problems.iter().try_for_each(|problem| line(f, "PROBLEM", problem))
    }
}

impl ExecutorStatus {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = match &self.identity {
            Some(i) => format!("{} of tenant {} ({})", i.appliance, i.tenant, i.organization),
            None => "not enrolled".to_owned(),
        };
        line(f, "appliance", &identity)?;
        line(f, "incarnation", &self.incarnation)?;
        let (hint, kept) = (&self.evidence_key_hint, &self.key_protection);
        line(f, "evidence key", &format!("{hint}, kept in a {kept}: {}", self.evidence_key))?;
        let e = &self.evidence;
        let evidence = format!(
            "{} made, {} waiting for proof, newest checkpoint of {} entries",
            e.made, e.waiting_for_proof, e.checkpoint_size
        );
        line(f, "evidence", &evidence)?;
        if let Some(head) = &e.head {
            line(f, "log head", &format!("{head} (for `evidence verify --head`)"))?;
        }
        let o = &self.orders;
        let orders = format!(
            "highest sequence {}; charter {}, catalogue {}, policy {}; {}",
            o.high,
            o.charter_serial,
            o.catalogue_version,
            o.policy_serial,
            if o.standing { "standing orders kept" } else { "no standing orders" }
        );
        line(f, "orders", &orders)?;
        for execution in &o.executions {
            line(f, "", &format!("{} {} ({})", execution.runbook, execution.state, execution.order))?;
        }
        line(f, "hold", self.hold.as_deref().unwrap_or("none"))
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, what: &str) -> fmt::Result {
    if what.is_empty() { writeln!(f, "{name}") } else { writeln!(f, "{name:<13} {what}") }
}

fn spoken(link: &Contact, now: proto::time::Millis) -> String {
    match link.answered {
        Some(answered) => format!("the control plane answered {} ago", span(now.since(answered))),
        None => "the control plane never answered".to_owned(),
    }
}

fn waiting(outbox: &Summary, now: proto::time::Millis) -> String {
    let on_its_way = outbox.on_its_way.map(|n| format!("batch {n} on its way, ")).unwrap_or_default();
    let oldest = outbox.oldest.map(|at| format!(", oldest {} old", span(now.since(at)))).unwrap_or_default();
    format!(
        "{on_its_way}{} events, {} evidence and {} lines waiting, {} bytes{oldest}; {} batches acknowledged",
        outbox.events, outbox.evidence, outbox.lines, outbox.bytes, outbox.acknowledged
    )
}

fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
