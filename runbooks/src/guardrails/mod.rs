//! The twelve guardrails: named, numbered, one function each, the same code on both sides.
//!
//! Each says yes, or names what was wrong and what would be right; a refusal becomes evidence, which is never deleted, so
//! it quotes nothing from outside but IDs. The control plane asks [`clear`] before it signs; the executor asks [`verify`],
//! [`admit`] and [`Admitted::confirm`], and executes nothing but the [`Confirmed`] that comes out.

mod admitted;
mod moment;
mod origin;
mod permission;
mod rate;
mod standing;
mod validity;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proto::{
    charter::Charter,
    evidence::Identity,
    ids::{Incarnation, RunbookId, WatchId},
    order::{Core, Order},
    time::Millis,
};

use crate::{
    catalogue::{Catalogue, Entry},
    fault::WatchKind,
    policy::Policy,
};

pub use crate::fault::Presence;
pub use admitted::{Admitted, Confirmed, Verdict, admit, clear, explain, precondition};
pub use moment::{APPROVAL_AHEAD_MAX, OPERATOR, hold, window};
pub use origin::{binding, charter_in_force, verify};
pub use permission::{allowlist, digest, parameters};
pub use rate::{NOT_REPEATED_FOR, budget, cooldown};
pub use standing::{admit_standing, derive, draw, fits, verify_standing};
pub use validity::{CLOCK_SKEW, freshness, replay};

proto::vocabulary! {
    /// A named check that can refuse.
    pub enum Guardrail as "guardrail" {
        /// 1: signature and delegation.
        Signature = "signature",
        /// 2: this organization, tenant, appliance, incarnation.
        Binding = "binding",
        /// 3: window, bounded clock skew.
        Freshness = "freshness",
        /// 4: sequence window, across restarts.
        Replay = "replay",
        /// 5: tenant, site, mode.
        Allowlist = "allowlist",
        /// 6: signed catalogue.
        Digest = "digest",
        /// 7: watch-list IDs that exist on this box.
        Parameters = "parameters",
        /// 8: runbook and target.
        Cooldown = "cooldown",
        /// 9: per appliance, per tenant, per hour; breaker.
        Budget = "budget",
        /// 10: maintenance window, clinic hours, change freeze, approval.
        Window = "window",
        /// 11: the fault is still there.
        Precondition = "precondition",
        /// 12: operator's pause at any level.
        Hold = "hold",
    }
}

/// The most bytes of a refusal's reason.
pub const REASON_MAX: usize = 500;
/// What stands at the end of a reason that was cut.
const CUT: &str = "…";

impl Guardrail {
    /// Its number, 1 to 12.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    /// Its name, as evidence says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.as_str()
    }

    /// A refusal by this guardrail. `reason` says what was wrong and what would be right, and quotes nothing but IDs; it
    /// is cut at [`REASON_MAX`], because a refusal that is too large to sign would be none.
    #[must_use]
    pub fn refuses(self, reason: impl Into<String>) -> Refusal {
        let mut reason = reason.into();
        if reason.len() > REASON_MAX {
            reason.truncate(reason.floor_char_boundary(REASON_MAX - CUT.len()));
            reason.push_str(CUT);
        }
        Refusal { guardrail: self, reason }
    }
}

/// No, by one guardrail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("guardrail {} ({guardrail}): {reason}", guardrail.number())]
pub struct Refusal {
    /// Which.
    pub guardrail: Guardrail,
    /// What was wrong and what would be right.
    pub reason: String,
}

/// What happened before, as far as the one who asks has counted it. Only executions count, not refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// Since the newest execution with the same [`history_key`] began; `None`: there was none.
    pub since_last: Option<Duration>,
    /// Executions of this runbook on this appliance, over all targets, within the last hour.
    pub runbook_hour: u32,
    /// Executions on this appliance within the last hour.
    pub appliance_hour: u32,
    /// Executions for this tenant within the last hour; an executor, who knows only its own, gives those.
    pub tenant_hour: u32,
    /// Executions with the same [`history_key`] that ended badly, since the last that ended well.
    pub failures_in_a_row: u32,
    /// Since the newest of these ended; `None` while there are some: not known, and the breaker stays open.
    pub since_last_failure: Option<Duration>,
    /// Since the newest execution with the same [`history_key`] that came to its end did so, where it was ineffective;
    /// `None`: it was not, or there was none.
    pub since_ineffective: Option<Duration>,
}

/// All that the guardrails look at beside the order.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Whose box it is.
    pub identity: &'a Identity,
    /// The executor's state.
    pub incarnation: Incarnation,
    /// The newest charter seen.
    pub charter: &'a Charter,
    /// The newest catalogue seen.
    pub catalogue: &'a Catalogue,
    /// The newest policy from the control plane and the box's own, joined by [`Policy::tightened_by`].
    pub policy: &'a Policy,
    /// Serial of the newest policy from the control plane.
    pub policy_serial: u64,
    /// The box's own watch list.
    pub watch: &'a BTreeMap<WatchId, WatchKind>,
    /// Trusted time; `None`: no token since boot.
    pub now: Option<Millis>,
    /// The box's own clock, which the order key cannot move; `None`: judged elsewhere.
    pub wall: Option<Millis>,
    /// Highest sequence seen.
    pub order_high: u64,
    /// Whether an order with this order's ID was taken before, under whatever sequence, and may have run.
    pub taken_before: bool,
    /// What happened before.
    pub history: History,
    /// Why orders are held, in a word: [`OPERATOR`], or at the box itself (`file`); `None`: they are not.
    pub hold: Option<String>,
}

impl Facts<'_> {
    /// The order's runbook, for a guardrail that needs to know it.
    fn entry(&self, guardrail: Guardrail, runbook: &RunbookId) -> Result<&Entry, Refusal> {
        self.catalogue.runbook(runbook).ok_or_else(|| {
            let known = listed(self.catalogue.entries.keys());
            let version = self.catalogue.version;
            guardrail.refuses(format!("runbook {runbook} is not in catalogue {version}; it has: {known}"))
        })
    }
}

/// What "the same runbook and target" means: the runbook, and its parameters as text.
#[must_use]
pub fn history_key(core: &Core) -> (RunbookId, String) {
    (core.runbook.clone(), history_target(&core.parameters))
}

/// The second half of it.
#[must_use]
pub fn history_target(parameters: &BTreeMap<String, WatchId>) -> String {
    let target: Vec<String> = parameters.iter().map(|(name, watch)| format!("{name}={watch}")).collect();
    target.join(",")
}

/// One of the guardrails that look at order and facts alone, before anything is measured.
pub type Check = fn(&Order, &Facts<'_>) -> Result<(), Refusal>;

/// Guardrails 2 to 10 and 12, in order. 1 needs the envelope, 11 a measurement.
pub const CHECKS: [(Guardrail, Check); 10] = [
    (Guardrail::Binding, binding),
    (Guardrail::Freshness, freshness),
    (Guardrail::Replay, replay),
    (Guardrail::Allowlist, allowlist),
    (Guardrail::Digest, digest),
    (Guardrail::Parameters, parameters),
    (Guardrail::Cooldown, cooldown),
    (Guardrail::Budget, budget),
    (Guardrail::Window, window),
    (Guardrail::Hold, hold),
];

/// `a, b, c`; at most twenty, so that a refusal stays small whatever it lists.
fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    const MOST: usize = 20;
    let all: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match all.len() {
        0 => "nothing".to_owned(),
        1..=MOST => all.join(", "),
        more => format!("{} and {} more", all[..MOST].join(", "), more - MOST),
    }
}

/// The distinct guardrails of `passed`, by number.
fn in_order(passed: impl IntoIterator<Item = Guardrail>) -> Vec<Guardrail> {
    passed.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_twelve_and_stand_in_order() {
        let numbers: Vec<u8> = Guardrail::ALL.iter().map(|guardrail| guardrail.number()).collect();
        assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
        let checked: Vec<u8> = CHECKS.iter().map(|(guardrail, _)| guardrail.number()).collect();
        assert_eq!(checked, [2, 3, 4, 5, 6, 7, 8, 9, 10, 12]);
        assert_eq!(Guardrail::Parameters.refuses("no").to_string(), "guardrail 7 (parameters): no");
    }

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        let reason = |text: String| Guardrail::Hold.refuses(text).reason;
        assert_eq!(reason("x".repeat(REASON_MAX)), "x".repeat(REASON_MAX));
        for ahead in 0..4 {
            let cut = reason("x".repeat(ahead) + &"\u{1f511}".repeat(REASON_MAX));
            assert!(cut.len() <= REASON_MAX && cut.len() > REASON_MAX - 8, "{}", cut.len());
            assert!(cut.ends_with("\u{1f511}…"));
        }
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        assert_eq!(listed([""; 0]), "nothing");
        assert_eq!(listed(["a", "b"]), "a, b");
        assert!(listed(0..25).ends_with("19 and 5 more"));
    }
}
