//! When everything has healed: whether it has, and what must be true then.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use control_plane::{
    core::incident::State,
    store::{ApplianceState, OrderState, Within},
    vault::Vault as _,
};
use proto::{
    evidence::{self, Body, Verdict},
    ids::{ApplianceId, WatchId},
    log::{SignedCheckpoint, VerifierKey, unpack},
    sync::{Event, Phase},
};
use rusqlite::params;

use super::Oracle;
use crate::sim::{ledger, machine::Machine, organization, server::Server, world::Counts};

const ALL: u32 = u32::MAX;

impl Oracle {
    /// What has not healed yet.
    pub(in crate::sim) fn unsettled(
        &self,
        server: &Server,
        machines: &[Machine],
    ) -> anyhow::Result<Option<String>> {
        let mut what = Vec::new();
        for row in
            server.eye.incidents(Within::default(), None, ALL)?.iter().filter(|row| !row.state.has_ended())
        {
            what.push(format!(
                "incident {} of {} is {}: {}",
                row.id,
                row.watch,
                row.state.name(),
                row.reason
            ));
        }
        for row in
            server.eye.orders(Within::default(), ALL)?.iter().filter(|row| row.state == OrderState::Issued)
        {
            what.push(format!("order {} is out", row.id));
        }
        let untold = "SELECT count(*) FROM notification WHERE state <> 'sent'";
        if server.disk.eye().query_row(untold, [], |row| row.get::<_, i64>(0))? > 0 {
            what.push("somebody was not told yet".to_owned());
        }
        for machine in machines {
            let (telemetry, evidence) = ledger::outbox_bytes(machine.outbox.eye())?;
            if telemetry + evidence > 0 {
                let number = machine.number;
                what.push(format!("box {number}: {telemetry} and {evidence} bytes in its outbox"));
            }
            let bytes = ledger::evidence_bytes(machine.database.eye())?;
            let orders = ledger::unfinished(machine.database.eye())?;
            if bytes + orders > 0 {
                what.push(format!("box {}: {bytes} bytes of evidence, {orders} orders", machine.number));
            }
            what.extend(unheard_fault(server, machine)?);
        }
        Ok((!what.is_empty()).then(|| what.join("; ")))
    }

    /// Everything that must be true once all has healed. Gives a line that says how it stands, for the trace.
    pub(in crate::sim) fn at_the_end(
        &mut self,
        server: &Server,
        machines: &[Machine],
    ) -> anyhow::Result<String> {
        self.after_server(server)?;
        for (tenant, log) in &self.logs {
            log.is_unchanged(&server.eye, *tenant)?;
        }
        for machine in machines {
            self.after_executor(machine)?;
            self.chain_is_whole(server, machine)?;
            self.events_arrived(server, machine)?;
        }
        incidents_count_right(server)?;
        self.who_stepped_says_so(server)?;
        self.checkpoints_are_heads(server)?;
        let logs: Vec<String> = self.logs.values().map(|log| format!("{:?}", log.head())).collect();
        Ok(format!("{} orders ran; logs: {}", self.ran.len(), logs.join(", ")))
    }

    /// Counts what the control plane was told in this run.
    pub(in crate::sim) fn count(&self, server: &Server, counts: &mut Counts) -> anyhow::Result<()> {
        let queries = [
            "SELECT 'execution: ' || substr(summary, instr(summary, ' ') + 1), 1 FROM evidence WHERE kind = 'execution'",
            "SELECT summary, 1 FROM evidence WHERE kind IN ('refusal', 'hold')",
            "SELECT 'evidence: ' || kind, 1 FROM evidence",
            "SELECT 'incident: ' || state, 1 FROM incident",
            "SELECT 'order: ' || state, 1 FROM \"order\"",
            "SELECT 'standing order: used', used FROM standing",
            "SELECT 'events dropped', amount FROM gap",
            "SELECT 'events', 1 FROM event",
        ];
        for query in queries {
            let mut query = server.disk.eye().prepare(query)?;
            let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
            for row in rows {
                let (what, times) = row?;
                *counts.entry(what).or_default() += times.cast_unsigned();
            }
        }
        Ok(())
    }

    fn chain_is_whole(&self, server: &Server, machine: &Machine) -> anyhow::Result<()> {
        let (tenant, appliance) = machine.identity.context("every box is enrolled")?;
        let number = machine.number;
        let row = server.eye.appliance(appliance)?.context("the box is enrolled")?;
        ensure!(
            row.state == ApplianceState::Active,
            "box {number} is {}: {}",
            row.state.name(),
            row.state_reason
        );
        let chain = &self.executors[number].chain;
        let head = server.eye.incarnation(row.incarnation)?.context("the incarnation is enrolled")?.chain;
        ensure!(
            head.next == chain.len() as u64,
            "box {number}: {} of {} records arrived",
            head.next,
            chain.len()
        );
        for (index, digest) in (0..).zip(chain) {
            let kept = server.eye.evidence_at(row.incarnation, index)?;
            ensure!(kept == [*digest], "box {number}: evidence {index} is {digest}, kept are {kept:?}");
            ensure!(
                self.logs[&tenant].has(*digest),
                "box {number}: evidence {index} is not in its clinic's log"
            );
        }
        Ok(())
    }

    /// Every event that the agent committed is here, once; what is not is counted in its gaps, exactly.
    fn events_arrived(&self, server: &Server, machine: &Machine) -> anyhow::Result<()> {
        let (_, appliance) = machine.identity.context("every box is enrolled")?;
        let number = machine.number;
        let all = ledger::events(machine.outbox.eye())?;
        phases_alternate(&all).with_context(|| format!("box {number}"))?;
        let committed: BTreeSet<String> = all.iter().map(|event| event.id.to_string()).collect();
        ensure!(committed.len() == all.len(), "box {number}: two events have one ID");
        let db = server.disk.eye();
        let arrived: BTreeSet<String> = db
            .prepare("SELECT id FROM event WHERE appliance = ?1")?
            .query_map([appliance.to_string()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let invented: Vec<_> = arrived.difference(&committed).collect();
        ensure!(invented.is_empty(), "box {number}: events that it never took: {invented:?}");
        let missing = (committed.len() - arrived.len()) as u64;
        let mut gaps = gaps(db, appliance)?;
        let dropped = gaps.remove("buffer-full").unwrap_or_default();
        let batches = gaps.remove("batches-missing").unwrap_or_default();
        ensure!(gaps.is_empty(), "box {number}: gaps that cannot be: {gaps:?}");
        let why = format!(
            "box {number}: {missing} events are missing, {dropped} dropped, {batches} batches are missing"
        );
        ensure!(missing == dropped || batches > 0, "{why}");
        ensure!(batches == 0 || self.restored, "{why}");
        Ok(())
    }

    /// Executions in the log and steps that ran are the same, one for one.
    fn who_stepped_says_so(&self, server: &Server) -> anyhow::Result<()> {
        let mut told: BTreeMap<String, u32> = BTreeMap::new();
        for tenant in self.logs.keys() {
            for row in server.eye.evidence(*tenant, 0, ALL)? {
                // Acts are the server's own; nothing steps by them.
                if row.appliance.is_none() {
                    continue;
                }
                let claim = evidence::Claim::read(&row.envelope)?;
                let signer = server.eye.incarnation(claim.incarnation())?;
                let key = signer.context("the incarnation is enrolled")?.evidence_key;
                let Body::Execution(execution) = claim.verify(&key)?.into_value().body else {
                    continue;
                };
                let order = &execution.order;
                let id = match &order.standing {
                    Some(used) => format!("{}#{}", order.id, used.count),
                    None => order.id.to_string(),
                };
                let interrupted =
                    matches!(execution.verdict, Verdict::Interrupted | Verdict::InterruptedRepaired);
                let ran = self.ran.contains_key(&id);
                ensure!(
                    ran || interrupted,
                    "evidence says that order {id} was {:?}; no step of it ran",
                    execution.verdict
                );
                *told.entry(id).or_default() += 1;
            }
        }
        for (id, times) in &told {
            ensure!(*times == 1, "order {id} has {times} executions in evidence");
        }
        for id in self.ran.keys() {
            ensure!(told.contains_key(id), "order {id} ran, and no evidence says so");
            if id.contains('#') {
                continue;
            }
            let state = server.eye.order(id.parse()?)?.map(|row| row.state);
            let forgotten = self.restored && state.is_none();
            ensure!(
                forgotten || state == Some(OrderState::Executed),
                "order {id} ran, and counts as {state:?}"
            );
        }
        Ok(())
    }

    fn checkpoints_are_heads(&self, server: &Server) -> anyhow::Result<()> {
        for (tenant, log) in &self.logs {
            let origin = server.eye.log_head(*tenant)?.origin;
            let keys = [VerifierKey::new(&origin, &organization::log_key().public())?];
            let vault = server.storage.kept();
            let folder = format!("{tenant}/checkpoints");
            for key in vault.list(&folder)? {
                let note = vault.get(&key)?.context("what is listed is there")?;
                let head = SignedCheckpoint::open(&note, &keys)?.checkpoint().head();
                let known = log.root(head.size);
                ensure!(known == Some(head.root), "{key} is of root {}, the log's is {known:?}", head.root);
            }
            let mut entries = 0;
            for key in vault.list(&format!("{tenant}/entries"))? {
                let packed = vault.get(&key)?.context("what is listed is there")?;
                entries += unpack(&packed).context("entries are whole")?.len() as u64;
            }
            let size = log.head().size;
            ensure!(entries == size, "the vault of {tenant} has {entries} entries, the log {size}");
        }
        Ok(())
    }
}

/// A fault that is there, and nobody works on it or was told of it.
fn unheard_fault(server: &Server, machine: &Machine) -> anyhow::Result<Vec<String>> {
    let (_, appliance) = machine.identity.context("every box is enrolled")?;
    let mut unheard = Vec::new();
    for (watch, fault) in machine.faults() {
        let newest = server.eye.newest_incident(appliance, fault.as_str(), &watch)?;
        match newest.map(|row| row.state) {
            Some(State::Escalated | State::Open | State::Planned | State::Ordered) => {}
            other => unheard.push(format!("box {}: {fault} on {watch}, incident {other:?}", machine.number)),
        }
    }
    Ok(unheard)
}

/// What the agent says of one fault is one story: it is raised before it goes on, and cleared before it is raised again.
fn phases_alternate(events: &[Event]) -> anyhow::Result<()> {
    let mut raised: BTreeSet<(&str, &WatchId)> = BTreeSet::new();
    for event in events {
        let fault = (event.kind.as_str(), &event.watch);
        let fits = match event.phase {
            Phase::Raised => raised.insert(fault),
            Phase::Ongoing => raised.contains(&fault),
            Phase::Cleared => raised.remove(&fault),
        };
        ensure!(fits, "{fault:?} is {:?} out of turn, at {}", event.phase, event.at);
    }
    Ok(())
}

/// What the control plane knows to be missing, by cause.
fn gaps(db: &rusqlite::Connection, appliance: ApplianceId) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut query = db.prepare("SELECT cause, amount FROM gap WHERE appliance = ?1")?;
    let mut gaps: BTreeMap<String, u64> = BTreeMap::new();
    for row in query.query_map([appliance.to_string()], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))? {
        let (cause, amount) = row?;
        *gaps.entry(cause).or_default() += amount.cast_unsigned();
    }
    Ok(gaps)
}

/// No event was counted twice, and whoever had to be told was told.
fn incidents_count_right(server: &Server) -> anyhow::Result<()> {
    let db = server.disk.eye();
    for row in server.eye.incidents(Within::default(), None, ALL)? {
        let count =
            |query: &str| db.query_row(query, params![row.id.to_string()], |row| row.get::<_, i64>(0));
        let events = count("SELECT count(*) FROM event WHERE incident = ?1")?.cast_unsigned();
        ensure!(events == row.events, "incident {} counts {} events, has {events}", row.id, row.events);
        let told = count(
            "SELECT count(*) FROM notification WHERE incident = ?1 AND news = 'raised' AND state = 'sent'",
        )?;
        let escalated = row.state == State::Escalated;
        ensure!(!escalated || told == 1, "of incident {} people were told {told} times", row.id);
    }
    Ok(())
}
