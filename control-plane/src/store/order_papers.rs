//! Signed orders as papers, standing ones too: whatever was signed for a clinic, also what only the vault remembers.

use proto::{digest::Digest, ids::TenantId};
use rusqlite::params;

use super::{Store, StoreError, convert::Col};

impl Store {
    /// Envelopes of all orders and standing orders that were ever signed for a clinic, by the digest of their payload.
    pub fn order_papers(&self, tenant: TenantId) -> Result<Vec<(Digest, Vec<u8>)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            r#"SELECT digest, envelope FROM "order" WHERE tenant = ?1
               UNION SELECT digest, envelope FROM standing WHERE tenant = ?1
               UNION SELECT digest, envelope FROM order_paper WHERE tenant = ?1"#,
        )?;
        let rows = statement.query_map([Col(tenant)], |row| Ok((Digest(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Envelopes of the evidence that answers orders, in all logs of a clinic.
    pub fn answers_to_orders(&self, tenant: TenantId) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT envelope FROM evidence WHERE tenant = ?1 AND kind IN ('execution', 'refusal')
             UNION ALL SELECT envelope FROM past_evidence WHERE tenant = ?1 AND kind IN ('execution', 'refusal')",
        )?;
        Ok(statement.query_map([Col(tenant)], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// Keeps one that came back from the vault.
    pub fn add_order_paper(
        &self,
        tenant: TenantId,
        digest: Digest,
        envelope: &[u8],
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT INTO order_paper VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute(params![Col(tenant), Col(digest), envelope])?;
        Ok(())
    }
}
