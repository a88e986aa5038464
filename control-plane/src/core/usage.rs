//! What a clinic used in a month, for invoices. Reads only; may run beside the writer. Of a month that is not over, it is what
//! was used so far.

use proto::{evidence::Verdict, ids::TenantId};

use super::{CoreError, orders::verdict_word};
use crate::{
    bundle::Month,
    store::{Store, UsageRow},
};

/// What a clinic used in a month, UTC.
pub fn usage(store: &Store, tenant: TenantId, month: Month) -> Result<UsageRow, CoreError> {
    let good = [Verdict::Repaired, Verdict::InterruptedRepaired].map(verdict_word);
    Ok(store.usage(tenant, (month.begin(), month.end()), good)?)
}
