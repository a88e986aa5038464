//! From a verified order to permission to run: the one path, and guardrail 11 at its end.
//!
//! [`Admitted`] and [`Confirmed`] have private constructors, so an executor that skips a guardrail does not compile.

use proto::{dsse::Verified, order::Order};

use super::{CHECKS, Facts, Guardrail, Presence, Refusal, charter_in_force, in_order};
use crate::{catalogue::Entry, runbook::Runbook};

/// An order that passed guardrails 1 to 10 and 12. Measure its fault, then [`Admitted::confirm`].
#[derive(Debug)]
pub struct Admitted(Box<Inner>);

/// An order that passed all twelve: the only thing that may be executed.
#[derive(Debug)]
pub struct Confirmed(Box<Inner>);

#[derive(Debug)]
struct Inner {
    order: Order,
    entry: Entry,
    passed: Vec<Guardrail>,
}

/// Guardrails 2 to 10 and 12, in order, on an order that passed 1 ([`verify`](super::verify)).
pub fn admit(order: Verified<Order>, facts: &Facts<'_>) -> Result<Admitted, Refusal> {
    let order = order.into_value();
    let passed = passes(&order, facts)?;
    let entry = facts.entry(Guardrail::Digest, &order.core.runbook)?.clone();
    Ok(Admitted(Box::new(Inner { order, entry, passed })))
}

/// The control plane's question before it signs: guardrails 2 to 12 by the same functions, and the part of 1 that does
/// not need a signature. `reported` is what the appliance last said of the fault.
pub fn clear(order: &Order, facts: &Facts<'_>, reported: Presence) -> Result<Vec<Guardrail>, Refusal> {
    charter_in_force(facts.charter, facts.now)?;
    let mut passed = passes(order, facts)?;
    precondition(reported)?;
    passed.push(Guardrail::Precondition);
    Ok(in_order(passed))
}

/// A guardrail, and what it says.
pub type Verdict = (Guardrail, Result<(), Refusal>);

/// What every guardrail from 2 on says, for people who ask why: not only the first that refuses.
#[must_use]
pub fn explain(order: &Order, facts: &Facts<'_>, reported: Presence) -> Vec<Verdict> {
    let mut verdicts: Vec<_> =
        CHECKS.iter().map(|(guardrail, check)| (*guardrail, check(order, facts))).collect();
    verdicts.push((Guardrail::Precondition, precondition(reported)));
    verdicts.sort_by_key(|(guardrail, _)| *guardrail);
    verdicts
}

/// For whoever asked every guardrail itself: [`super::admit_standing`].
pub(super) fn admitted(order: Order, entry: Entry, passed: Vec<Guardrail>) -> Admitted {
    Admitted(Box::new(Inner { order, entry, passed }))
}

fn passes(order: &Order, facts: &Facts<'_>) -> Result<Vec<Guardrail>, Refusal> {
    let mut passed = vec![Guardrail::Signature];
    for (guardrail, check) in CHECKS {
        check(order, facts)?;
        passed.push(guardrail);
    }
    Ok(passed)
}

/// **Guardrail 11**, "precondition (the fault is still there; else nothing is done)".
pub fn precondition(presence: Presence) -> Result<(), Refusal> {
    match presence {
        Presence::Present => Ok(()),
        Presence::Gone => Err(Guardrail::Precondition.refuses("the fault is gone; nothing needs to be done")),
        Presence::Unknown => {
            Err(Guardrail::Precondition
                .refuses("the fault could not be measured; it must be seen to be there"))
        }
    }
}

impl Admitted {
    /// The order.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.0.order
    }

    /// The catalogue's entry for its runbook.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.0.entry
    }

    /// The procedure.
    #[must_use]
    pub fn runbook(&self) -> &Runbook {
        &self.0.entry.runbook
    }

    /// Guardrails passed so far, by number.
    #[must_use]
    pub fn passed(&self) -> &[Guardrail] {
        &self.0.passed
    }

    /// Guardrail 11, with what was measured just now. A refusal gives the order back, for the evidence.
    pub fn confirm(mut self, presence: Presence) -> Result<Confirmed, (Self, Refusal)> {
        if let Err(refusal) = precondition(presence) {
            return Err((self, refusal));
        }
        self.0.passed = in_order(self.0.passed.iter().copied().chain([Guardrail::Precondition]));
        Ok(Confirmed(self.0))
    }
}

impl Confirmed {
    /// The order.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.0.order
    }

    /// The catalogue's entry for its runbook.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.0.entry
    }

    /// The procedure.
    #[must_use]
    pub fn runbook(&self) -> &Runbook {
        &self.0.entry.runbook
    }

    /// All twelve, by number.
    #[must_use]
    pub fn passed(&self) -> &[Guardrail] {
        &self.0.passed
    }
}
