//! What a clinic used in a span of time, counted from what is kept for good: letters that were pruned change nothing. Only
//! reads; may run beside the writer.

use proto::{ids::TenantId, time::Millis};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// What a clinic used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsageRow {
    /// Boxes that were enrolled by the end of it and not revoked before it began.
    pub appliances: u64,
    /// Boxes of which evidence came.
    pub active: u64,
    /// Orders that were issued.
    pub orders: u64,
    /// Of these, after which the fault was gone.
    pub repaired: u64,
    /// Incidents that were opened.
    pub incidents: u64,
    /// Of these, that became a person's, whether anybody could be told or not.
    pub escalated: u64,
    /// Records and acts.
    pub evidence: u64,
    /// Bytes that are kept for good.
    pub bytes: u64,
}

impl Store {
    /// What a clinic used from `from` until before `to`; `good`: words of orders after which the fault was gone.
    pub fn usage(
        &self,
        tenant: TenantId,
        (from, to): (Millis, Millis),
        good: [&str; 2],
    ) -> Result<UsageRow, StoreError> {
        let (first, last) = (self.first_since(tenant, from)?, self.first_since(tenant, to)?);
        let mut statement = self.db.prepare_cached(
            "WITH logged AS (
               SELECT appliance, length(envelope) AS size FROM evidence
                 WHERE tenant = ?1 AND log_index >= ?4 AND log_index < ?5
               -- What was not proven yet when a log ended stands in the next one too.
               UNION ALL SELECT appliance, length(envelope) FROM past_evidence past
                 WHERE tenant = ?1 AND received_ms >= ?2 AND received_ms < ?3
                   AND NOT EXISTS (SELECT 1 FROM evidence WHERE sha256 = past.sha256)
                   AND NOT EXISTS (SELECT 1 FROM past_evidence later
                     WHERE later.tenant = ?1 AND later.sha256 = past.sha256 AND later.log > past.log)
               UNION ALL SELECT NULL, length(envelope) FROM act WHERE tenant = ?1 AND at_ms >= ?2 AND at_ms < ?3
               UNION ALL SELECT NULL, length(envelope) FROM past_act WHERE tenant = ?1 AND at_ms >= ?2 AND at_ms < ?3)
             SELECT
               (SELECT count(*) FROM appliance WHERE tenant = ?1 AND enrolled_ms < ?3
                 AND (state <> 'revoked' OR seen_ms >= ?2
                   OR EXISTS (SELECT 1 FROM act WHERE act.tenant = ?1 AND kind = 'revocation' AND at_ms >= ?2
                     AND instr(summary, appliance.id))
                   OR EXISTS (SELECT 1 FROM past_act WHERE past_act.tenant = ?1 AND kind = 'revocation' AND at_ms >= ?2
                     AND instr(summary, appliance.id)))) AS appliances,
               (SELECT count(DISTINCT appliance) FROM logged) AS active,
               (SELECT count(*) FROM \"order\" WHERE tenant = ?1 AND issued_ms >= ?2 AND issued_ms < ?3) AS orders,
               (SELECT count(*) FROM \"order\" WHERE tenant = ?1 AND issued_ms >= ?2 AND issued_ms < ?3
                 AND outcome IN (?6, ?7)) AS repaired,
               (SELECT count(*) FROM incident WHERE tenant = ?1 AND opened_ms >= ?2 AND opened_ms < ?3) AS incidents,
               (SELECT count(*) FROM incident WHERE tenant = ?1 AND opened_ms >= ?2 AND opened_ms < ?3
                 AND EXISTS (SELECT 1 FROM timeline WHERE incident = incident.id AND what = 'escalated')) AS escalated,
               (SELECT count(*) FROM logged) AS evidence,
               (SELECT coalesce(sum(size), 0) FROM logged)
                 + (SELECT coalesce(sum(length(content)), 0) FROM attachment
                   WHERE tenant = ?1 AND sender IS NULL AND received_ms >= ?2 AND received_ms < ?3)
                 + (SELECT coalesce(sum(size), 0) FROM packet WHERE tenant = ?1 AND made_ms >= ?2 AND made_ms < ?3) AS bytes",
        )?;
        let values = params![Col(tenant), Col(from), Col(to), Col(first), Col(last), good[0], good[1]];
        Ok(statement.query_row(values, usage)?)
    }

    /// The place of the first record of the newest log that came at `at` or later, or the end. Records come in the order of
    /// time, so it is looked for by halves: the log is long, and has no index by time.
    fn first_since(&self, tenant: TenantId, at: Millis) -> Result<u64, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT log_index, received_ms FROM evidence WHERE tenant = ?1 AND log_index >= ?2 ORDER BY log_index LIMIT 1",
        )?;
        let (mut low, mut high) = (0, self.log_head(tenant)?.head.size);
        while low < high {
            let middle = low + (high - low) / 2;
            let row = |row: &Row<'_>| Ok((col::<u64>(row, "log_index")?, col::<Millis>(row, "received_ms")?));
            // Acts stand in the same log, and in another table.
            match statement.query_row(params![Col(tenant), Col(middle)], row).optional()? {
                Some((index, received)) if received < at => low = index + 1,
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }
}

fn usage(row: &Row<'_>) -> rusqlite::Result<UsageRow> {
    Ok(UsageRow {
        appliances: col(row, "appliances")?,
        active: col(row, "active")?,
        orders: col(row, "orders")?,
        repaired: col(row, "repaired")?,
        incidents: col(row, "incidents")?,
        escalated: col(row, "escalated")?,
        evidence: col(row, "evidence")?,
        bytes: col(row, "bytes")?,
    })
}
