//! `control-plane appliance`: the boxes in the clinics.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use proto::{
    charter::OrganizationKeys,
    field::BadField,
    keys::PublicKey,
    pb::{
        self, EnrolmentTicket, IssueTokenRequest, LineList, ListAppliances, ListLines, ListTickets,
        ReadmitAppliance, RevokeAppliance, RevokeTicket, appliances_client::AppliancesClient,
    },
};
use serde_json::{Value, json};

use super::{
    Global,
    connection::{answer, connect},
    output::{Answer, facts, optional, printable, table, time, when},
    watch_list::WatchList,
};
use crate::files::{self, Access};

#[derive(Debug, Subcommand)]
pub(super) enum Appliance {
    /// Make a one-time ticket with which one appliance enrols
    #[command(
        after_help = "The ticket is a secret: whoever has it first is the appliance. Carry it over, then remove it.\n\n\
        Example:\n  control-plane appliance token --tenant \"Elm Street Clinic\" --site Main --out ticket.json\n  \
        appliance enroll --token-file ticket.json        (on the appliance)"
    )]
    Token {
        /// Clinic, by name or ID
        #[arg(long)]
        tenant: String,
        /// Place of the clinic, by name or ID
        #[arg(long)]
        site: String,
        /// How long the ticket may be used
        #[arg(long, value_name = "MINUTES", default_value_t = 60)]
        minutes: u32,
        /// Where to write it, mode 0600 [default: print it]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show tickets that nobody used yet, and who gave them out
    #[command(
        after_help = "A ticket is as good as whoever gave it out: once their access has ended, it is good no more."
    )]
    Tickets {
        /// Only of this clinic, by name or ID
        #[arg(long, default_value = "", hide_default_value = true)]
        tenant: String,
    },
    /// Take a ticket back
    RevokeTicket {
        /// The ticket, as `appliance tickets` shows it
        id: String,
    },
    /// Show appliances
    List {
        /// Only of this clinic, by name or ID
        #[arg(long, default_value = "", hide_default_value = true)]
        tenant: String,
    },
    /// Show one appliance, and what is missing of what it should have sent
    Show {
        /// Its ID
        id: String,
    },
    /// Show the newest lines of its logs, as the appliance redacted them
    #[command(
        after_help = "Lines travel where the appliance's watch list says so: forward = \"matching\" or \"all\".\n\n\
        Example:\n  control-plane appliance lines 019a... --watch portal"
    )]
    Lines {
        /// Its ID
        id: String,
        /// Only of this log of its watch list
        #[arg(long, default_value = "", hide_default_value = true)]
        watch: String,
        /// At most this many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// What a box watches, when an approver has signed another list than its own
    #[command(subcommand)]
    WatchList(WatchList),
    /// Refuse an appliance for good: nothing under its keys is accepted again
    Revoke {
        /// Its ID
        id: String,
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
    /// End an appliance's quarantine: it is given orders again
    #[command(
        after_help = "First find out why it was quarantined (`control-plane appliance show ID`), and that there is one \
        such box and not two. One whose evidence has two histories is not readmitted: revoke it, and enrol it anew.\n\n\
        Example:\n  control-plane appliance readmit ID --why \"its outbox was put back from a copy; serial number seen on site\""
    )]
    Readmit {
        /// Its ID
        id: String,
        /// What was found out, for the record
        #[arg(long)]
        why: String,
    },
}

impl Appliance {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        if let Self::WatchList(watch_list) = self {
            return watch_list.run(global).await;
        }
        let mut client = AppliancesClient::new(connect(global).await?);
        match self {
            Self::Token { tenant, site, minutes, out } => {
                let request = IssueTokenRequest { tenant, site, valid_minutes: minutes };
                hand_over(answer(client.issue_token(request)).await?, out)
            }
            Self::Tickets { tenant } => {
                let list = answer(client.list_tickets(ListTickets { tenant })).await?.tickets;
                let rows = list.iter().map(|one| {
                    [
                        one.id.clone(),
                        one.tenant.clone(),
                        one.site.clone(),
                        one.by.clone(),
                        when(one.expires_ms),
                        one.void.clone(),
                    ]
                });
                let json = json!({ "tickets": list.iter().map(ticket).collect::<Vec<_>>() });
                Ok(Answer::new(
                    table(["TICKET", "TENANT", "SITE", "BY", "UNTIL", "VOID, BECAUSE"], rows),
                    json,
                ))
            }
            Self::RevokeTicket { id } => {
                let one = answer(client.revoke_ticket(RevokeTicket { id })).await?;
                Ok(Answer::new(format!("ticket {} is good no more", one.id), ticket(&one)))
            }
            Self::List { tenant } => {
                let list = answer(client.list(ListAppliances { tenant })).await?.appliances;
                let rows = list.iter().map(|a| {
                    [
                        a.id.clone(),
                        a.state.clone(),
                        a.key_protection.clone(),
                        when(a.seen_ms),
                        a.version.clone(),
                        a.gaps.iter().map(|gap| gap.cause.as_str()).collect::<Vec<_>>().join(", "),
                    ]
                });
                let json = json!({ "appliances": list.iter().map(view).collect::<Vec<_>>() });
                Ok(Answer::new(table(["ID", "STATE", "KEYS", "SEEN", "VERSION", "GAPS"], rows), json))
            }
            Self::Show { id } => {
                let list = answer(client.list(ListAppliances { tenant: String::new() })).await?.appliances;
                let found = list.iter().find(|appliance| appliance.id == id);
                let appliance = found.with_context(|| {
                    format!("there is no appliance {id}; `control-plane appliance list` shows them")
                })?;
                Ok(Answer::new(shown(appliance), view(appliance)))
            }
            Self::Lines { id, watch, limit } => {
                let list = answer(client.lines(ListLines { appliance: id, watch, limit })).await?;
                Ok(lines(&list, limit as usize))
            }
            Self::WatchList(_) => unreachable!("it was answered before"),
            Self::Revoke { id, reason } => {
                Ok(changed(&answer(client.revoke(RevokeAppliance { id, reason })).await?))
            }
            Self::Readmit { id, why } => {
                Ok(changed(&answer(client.readmit(ReadmitAppliance { id, why })).await?))
            }
        }
    }
}

fn ticket(one: &pb::Ticket) -> Value {
    json!({
        "id": one.id,
        "tenant": one.tenant,
        "site": one.site,
        "by": optional(&one.by),
        "created": time(one.created_ms),
        "expires": time(one.expires_ms),
        "void": optional(&one.void),
    })
}

fn changed(appliance: &pb::Appliance) -> Answer {
    let text = facts([
        ("appliance", appliance.id.clone()),
        ("state", appliance.state.clone()),
        ("reason", appliance.state_reason.clone()),
    ]);
    Answer::new(text, view(appliance))
}

fn shown(appliance: &pb::Appliance) -> String {
    let mut text = facts([
        ("appliance", appliance.id.clone()),
        ("state", appliance.state.clone()),
        ("reason", appliance.state_reason.clone()),
        ("seen", when(appliance.seen_ms)),
        ("version", appliance.version.clone()),
        ("hardware", appliance.hardware.clone()),
        ("keys", appliance.key_protection.clone()),
        ("evidence", appliance.evidence_next.to_string()),
        ("footprint", appliance.footprint.as_ref().map(footprint).unwrap_or_default()),
    ]);
    if !appliance.standing.is_empty() {
        let rows = appliance.standing.iter().map(|s| {
            let used = format!("{} of {}", s.used, s.most);
            [s.runbook.clone(), s.trigger.clone(), s.watch.clone(), used, s.state.clone(), when(s.expires_ms)]
        });
        text.push_str("\n\n");
        text.push_str(&table(["STANDING ORDER", "FOR", "ON", "USED", "STATE", "UNTIL"], rows));
    }
    text.push_str("\n\n");
    if appliance.gaps.is_empty() {
        text.push_str("nothing is missing of what it should have sent");
    } else {
        let rows = appliance
            .gaps
            .iter()
            .map(|gap| [gap.cause.clone(), gap.amount.to_string(), when(gap.first_ms), when(gap.last_ms)]);
        text.push_str(&table(["MISSING, BECAUSE", "HOW MANY", "FROM", "TO"], rows));
    }
    text
}

/// The newest `most` lines, in the order in which they came.
fn lines(list: &LineList, most: usize) -> Answer {
    let all: Vec<(&pb::LineChunk, &String)> =
        list.chunks.iter().flat_map(|chunk| chunk.lines.iter().map(move |line| (chunk, line))).collect();
    let newest = &all[all.len().saturating_sub(most)..];
    let text: String =
        newest.iter().map(|(chunk, line)| format!("{}  {}\n", chunk.watch, printable(line))).collect();
    let json = newest
        .iter()
        .map(|(chunk, line)| json!({ "watch": chunk.watch, "read": time(chunk.at_ms), "line": line }));
    let json = json!({ "lines": json.collect::<Vec<_>>(), "taken": list.taken });
    Answer::new(if text.is_empty() { "none".to_owned() } else { text }, json)
}

/// Executor and agent in memory, and their share of one core between the last two heartbeats.
fn footprint(seen: &pb::Footprint) -> String {
    let (all, share) = (seen.executor_resident_kb + seen.agent_resident_kb, share(seen));
    format!(
        "{all} KB ({} executor, {} agent), {:.3} % of a core",
        seen.executor_resident_kb, seen.agent_resident_kb, share
    )
}

fn share(seen: &pb::Footprint) -> f64 {
    100.0 * seen.cpu_ms as f64 / seen.over_ms.max(1) as f64
}

fn hand_over(ticket: EnrolmentTicket, out: Option<PathBuf>) -> anyhow::Result<Answer> {
    let expires = ticket.expires_ms;
    let content = ticket_file(ticket)?;
    let text = format!("{}\n", serde_json::to_string_pretty(&content)?);
    let Some(path) = out else { return Ok(Answer::new(text, content)) };
    files::create(&path, text.as_bytes(), Access::Secret)?;
    let told = format!("{} is good for one appliance until {}", path.display(), when(expires));
    Ok(Answer::new(told, json!({ "file": path, "expires": time(expires) })))
}

/// The file that `appliance enroll --token-file` reads.
fn ticket_file(ticket: EnrolmentTicket) -> Result<Value, BadField> {
    let keys =
        ticket.organization_keys.iter().map(|key| key.parse::<PublicKey>()).collect::<Result<_, _>>()?;
    let trust = OrganizationKeys {
        organization: ticket.organization,
        threshold: ticket.organization_threshold as usize,
        keys,
    };
    Ok(json!({
        "token": ticket.token,
        "expires": time(ticket.expires_ms),
        "address": ticket.address,
        "ca_pem": ticket.ca_pem,
        "organization_keys": trust,
    }))
}

fn view(appliance: &pb::Appliance) -> Value {
    json!({
        "id": appliance.id,
        "tenant": appliance.tenant,
        "site": appliance.site,
        "state": appliance.state,
        "state_reason": optional(&appliance.state_reason),
        "enrolled": time(appliance.enrolled_ms),
        "seen": time(appliance.seen_ms),
        "incarnation": appliance.incarnation,
        "key_protection": appliance.key_protection,
        "certificate_expires": time(appliance.certificate_expires_ms),
        "evidence_next": appliance.evidence_next,
        "order_high": appliance.order_high,
        "watch": appliance.watch.iter().map(|w| json!({ "id": w.id, "kind": w.kind })).collect::<Vec<_>>(),
        "version": optional(&appliance.version),
        "hardware": optional(&appliance.hardware),
        "footprint": appliance.footprint.as_ref().map(|seen| json!({
            "executor_resident_kb": seen.executor_resident_kb,
            "agent_resident_kb": seen.agent_resident_kb,
            "cpu_ms": seen.cpu_ms,
            "over_ms": seen.over_ms,
        })),
        "gaps": appliance.gaps.iter().map(gap).collect::<Vec<_>>(),
        "standing_orders": appliance.standing.iter().map(standing).collect::<Vec<_>>(),
    })
}

fn standing(order: &pb::StandingSummary) -> Value {
    json!({
        "id": order.id,
        "runbook": order.runbook,
        "trigger": order.trigger,
        "watch": order.watch,
        "used": order.used,
        "most": order.most,
        "state": order.state,
        "expires": time(order.expires_ms),
    })
}

fn gap(gap: &pb::GapSummary) -> Value {
    json!({
        "cause": gap.cause,
        "amount": gap.amount,
        "first": time(gap.first_ms),
        "last": time(gap.last_ms),
    })
}
