//! Rows as the operators' contract shows them.

use proto::{identity::CertificateFacts, log::WitnessKey, pb, time::Millis};
use runbooks::{Catalogue, Policy};

use crate::access::Scope;
use crate::core::{
    calls::Told,
    deliveries::{Reviewed, Tracked},
    oversight::Agreement,
    tickets::ticket_name,
    timestamps::Stamped,
};
use crate::store::{
    ApplianceRow, CosignatureRow, EnrolmentTokenRow, EvidenceRow, GapRow, IncidentRow, LinesRow, MailRow,
    OperatorRow, OperatorTokenRow, OrderRow, SiteRow, StandingRow, TenantRow, TimelineRow,
};

/// A clinic, and what its policy says at `now`.
pub fn tenant(
    row: TenantRow,
    policy: &Policy,
    agreement: Option<Agreement>,
    recipients: Vec<String>,
    now: Millis,
) -> pb::Tenant {
    pb::Tenant {
        id: row.id.to_string(),
        name: row.name,
        created_ms: row.created.0,
        log_origin: row.log_origin,
        log_size: row.log_size,
        log_halted: row.log_halted.unwrap_or_default(),
        shadow_until_ms: policy.shadow(Some(now)).map_or(0, |until| until.0),
        clinic_hours: policy.clinic_hours.iter().map(ToString::to_string).collect(),
        windows: policy.windows.iter().map(ToString::to_string).collect(),
        agreement: agreement.map(|agreement| pb::AgreementView {
            signed_ms: agreement.signed.0,
            until_ms: agreement.until.map_or(0, |until| until.0),
            document: agreement.document.to_vec(),
            recorded_ms: agreement.recorded.0,
        }),
        recipients,
        closed_ms: row.closed.0,
    }
}

/// A site.
pub fn site(row: SiteRow) -> pb::Site {
    pb::Site {
        id: row.id.to_string(),
        tenant: row.tenant.to_string(),
        name: row.name,
        created_ms: row.created.0,
    }
}

/// An enrolment ticket without its secret, and why it is good no more.
pub fn ticket(row: EnrolmentTokenRow, void: Option<&str>) -> pb::Ticket {
    pb::Ticket {
        id: ticket_name(&row),
        tenant: row.tenant.to_string(),
        site: row.site.to_string(),
        by: row.by,
        created_ms: row.created.0,
        expires_ms: row.expires.0,
        void: void.unwrap_or_default().to_owned(),
    }
}

/// An appliance, with the end of its evidence chain, how its key is kept, and what is missing of it.
pub fn appliance(
    row: ApplianceRow,
    (evidence_next, key_protection): (u64, String),
    gaps: Vec<GapRow>,
    standing: Vec<StandingRow>,
) -> pb::Appliance {
    let gap = |gap: GapRow| pb::GapSummary {
        cause: gap.cause,
        amount: gap.amount,
        first_ms: gap.first.0,
        last_ms: gap.last.0,
    };
    let ends = CertificateFacts::read(&row.certificate).map_or(0, |facts| facts.not_after.0);
    let footprint = row.heartbeat.as_ref().and_then(|beat| beat.footprint).map(|seen| pb::Footprint {
        executor_resident_kb: seen.executor_resident_kb,
        agent_resident_kb: seen.agent_resident_kb.unwrap_or_default(),
        cpu_ms: seen.cpu_ms,
        over_ms: seen.over_ms,
    });
    let watch = row.heartbeat.map(|beat| beat.watch).unwrap_or_default();
    pb::Appliance {
        id: row.id.to_string(),
        tenant: row.tenant.to_string(),
        site: row.site.to_string(),
        state: row.state.name().into(),
        state_reason: row.state_reason,
        enrolled_ms: row.enrolled.0,
        seen_ms: row.seen.0,
        incarnation: row.incarnation.to_string(),
        key_protection,
        certificate_expires_ms: ends,
        evidence_next,
        order_high: row.taken_high,
        watch: watch.into_iter().map(|(id, kind)| pb::WatchEntry { id: id.to_string(), kind }).collect(),
        version: row.version,
        hardware: row.hardware,
        gaps: gaps.into_iter().map(gap).collect(),
        standing: standing.into_iter().map(standing_order).collect(),
        footprint,
    }
}

/// A packet that was made, and what became of it.
pub fn packet(tracked: Tracked) -> pb::PacketView {
    let mail = |row: MailRow| pb::MailView {
        address: row.address,
        state: row.state.to_string(),
        attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        changed_ms: row.changed.0,
        last_error: row.last_error,
    };
    let review = |one: Reviewed| pb::ReviewView {
        name: one.name,
        role: one.role,
        at_ms: one.at.0,
        through: one.through.to_string(),
    };
    pb::PacketView {
        tenant: tracked.tenant.to_string(),
        sha256: tracked.sha256().to_string(),
        month: tracked.packet.month,
        made_ms: tracked.packet.made.0,
        mails: tracked.mails.into_iter().map(mail).collect(),
        reviews: tracked.reviews.into_iter().map(review).collect(),
        overdue: tracked.overdue,
    }
}

fn standing_order(row: StandingRow) -> pb::StandingSummary {
    pb::StandingSummary {
        id: row.id.to_string(),
        runbook: row.runbook.to_string(),
        trigger: row.trigger,
        watch: row.watch.to_string(),
        used: row.used,
        most: row.most,
        expires_ms: row.expires.0,
        state: row.state,
    }
}

/// How a log stands with a witness that is asked at `url`; empty: it is not asked.
pub fn witness(key: &WitnessKey, row: CosignatureRow, url: String) -> pb::WitnessView {
    pb::WitnessView {
        name: key.name().to_owned(),
        key: key.to_string(),
        url,
        size: row.size,
        cosigned_ms: row.at.0,
        trouble: row.trouble,
        trouble_ms: row.trouble_at.0,
    }
}

/// How a log stands with the timestamp authority that is asked at `url`.
pub fn timestamps((all, trouble): Stamped, url: &str) -> pb::TimestampView {
    let (trouble, since) = trouble.unwrap_or_default();
    pb::TimestampView {
        url: url.to_owned(),
        count: all.len() as u64,
        size: all.last().map_or(0, |row| row.size),
        stamped_ms: all.last().map_or(0, |row| row.at.0),
        trouble,
        trouble_ms: since.0,
    }
}

/// Lines of a log.
pub fn lines(row: LinesRow) -> pb::LineChunk {
    pb::LineChunk {
        watch: row.watch,
        at_ms: row.at.0,
        file: row.file,
        offset: row.offset,
        lines: row.text.lines().map(str::to_owned).collect(),
    }
}

/// An incident, whether people were told of it and, when shown alone, its timeline.
pub fn incident(told: Told, row: IncidentRow, timeline: Vec<TimelineRow>) -> pb::Incident {
    let (acknowledged_by, acknowledged) =
        told.escalation.map(|it| (it.acknowledged_by, it.acknowledged)).unwrap_or_default();
    let told = told.told.map(|told| pb::Told {
        state: told.telling.as_str().into(),
        attempts: u32::try_from(told.attempts).unwrap_or(u32::MAX),
        last_error: told.last_error,
    });
    pb::Incident {
        id: row.id.to_string(),
        tenant: row.tenant.to_string(),
        appliance: row.appliance.to_string(),
        kind: row.kind,
        watch: row.watch.to_string(),
        state: row.state.name().into(),
        reason: row.reason,
        runbook: row.runbook.map(|runbook| runbook.to_string()).unwrap_or_default(),
        opened_ms: row.opened.0,
        changed_ms: row.changed.0,
        events: row.events,
        timeline: timeline
            .into_iter()
            .map(|line| pb::TimelineEntry { at_ms: line.at.0, what: line.what, detail: line.detail })
            .collect(),
        told,
        acknowledged_by,
        acknowledged_ms: acknowledged.map_or(0, |at| at.0),
    }
}

/// An order.
pub fn order(row: OrderRow) -> pb::OrderSummary {
    pb::OrderSummary {
        id: row.id.to_string(),
        tenant: row.tenant.to_string(),
        appliance: row.appliance.to_string(),
        incident: row.incident.to_string(),
        runbook: row.runbook.to_string(),
        sequence: row.sequence,
        state: row.state.name().into(),
        outcome: row.outcome,
        issued_ms: row.issued.0,
        expires_ms: row.expires.0,
    }
}

/// A record of the log.
pub fn evidence(row: EvidenceRow) -> pb::EvidenceSummary {
    pb::EvidenceSummary {
        sha256: row.sha256.to_string(),
        appliance: row.appliance.map(|id| id.to_string()).unwrap_or_default(),
        actor: row.actor,
        kind: row.kind,
        chain_index: row.chain_index,
        log_index: row.log_index,
        at_ms: row.at.0,
        summary: row.summary,
    }
}

/// The catalogue in force.
pub fn catalogue(catalogue: &Catalogue, envelope: &[u8]) -> pb::CatalogueView {
    pb::CatalogueView {
        version: catalogue.version,
        expires_ms: catalogue.expires.0,
        runbooks: catalogue
            .entries
            .values()
            .map(|entry| pb::RunbookView {
                id: entry.runbook.id.to_string(),
                title: entry.runbook.title.clone(),
                risk: entry.runbook.risk.to_string(),
                sha256: entry.digest.to_string(),
            })
            .collect(),
        envelope: envelope.to_vec(),
    }
}

/// An API token without its secret.
pub fn operator_token(row: OperatorTokenRow) -> pb::OperatorTokenView {
    pb::OperatorTokenView {
        name: row.name,
        created_ms: row.created.0,
        expires_ms: row.expires.0,
        used_ms: row.used.0,
        revoked: row.revoked,
        role: row.grant.role.to_string(),
        scope: Some(scope(&row.grant.scope)),
    }
}

/// Somebody who signs in, as a review of access lists them.
pub fn person(row: OperatorRow) -> pb::PersonAccess {
    pb::PersonAccess {
        name: row.name,
        role: row.grant.role.to_string(),
        scope: Some(scope(&row.grant.scope)),
        state: row.state.to_string(),
        created_ms: row.created.0,
        used_ms: row.used.0,
    }
}

/// Where an access holds.
pub fn scope(scope: &Scope) -> pb::Scope {
    pb::Scope {
        tenant: scope.tenant().map(|id| id.to_string()).unwrap_or_default(),
        site: scope.site().map(|id| id.to_string()).unwrap_or_default(),
    }
}
