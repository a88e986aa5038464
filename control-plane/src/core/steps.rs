//! The way of an incident from seen to evidence, step by step, for whoever follows it from outside. Nothing is decided by it.
//!
//! What it says is closed: IDs, and words of this program. Nothing that a box, a model or a person wrote is in it.

use proto::{
    ids::{IncidentId, OrderId, RunbookId},
    time::Millis,
};

use super::{Core, incident::Input};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// An event made it an incident.
    Intake,
    /// A runbook was chosen, or none.
    Plan,
    /// Guardrails said yes, no, or not now.
    Guardrails,
    /// People were asked, and did not agree.
    Approval,
    /// An order was signed.
    Sign,
    /// An exchange took the order along.
    Exchange,
    /// Evidence said what came of it.
    Evidence,
    /// Time went by, or the fault did.
    Watch,
    /// It ended: all of its way.
    Incident,
}

impl StepKind {
    /// Its name, as it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Plan => "plan",
            Self::Guardrails => "guardrails",
            Self::Approval => "approval",
            Self::Sign => "sign",
            Self::Exchange => "exchange",
            Self::Evidence => "evidence",
            Self::Watch => "watch",
            Self::Incident => "incident",
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Of which incident.
    pub incident: IncidentId,
    /// What was done.
    pub kind: StepKind,
    /// When it began.
    pub at: Millis,
    /// How it came out, in a word.
    pub outcome: &'static str,
    /// With which runbook.
    pub runbook: Option<RunbookId>,
    /// By which order.
    pub order: Option<OrderId>,
}

impl Step {
    /// A step of which only that is to be said.
    pub(crate) fn of(incident: IncidentId, kind: StepKind, at: Millis, outcome: &'static str) -> Self {
        Self { incident, kind, at, outcome, runbook: None, order: None }
    }
}

/// Which step an input is, and how it came out.
pub(super) fn meaning(input: Input) -> (StepKind, &'static str) {
    match input {
        Input::RunbookChosen => (StepKind::Plan, "runbook"),
        Input::NoRunbook => (StepKind::Plan, "escalate"),
        Input::Proposed => (StepKind::Plan, "proposed"),
        Input::Rejected => (StepKind::Approval, "rejected"),
        Input::Unapproved => (StepKind::Approval, "not approved in time"),
        Input::OrderSigned => (StepKind::Sign, "signed"),
        Input::HeldBack => (StepKind::Guardrails, "held back"),
        Input::Refused => (StepKind::Guardrails, "refused"),
        Input::Repaired => (StepKind::Evidence, "repaired"),
        Input::NotRepaired => (StepKind::Evidence, "not repaired"),
        Input::GoneBefore => (StepKind::Evidence, "gone before"),
        Input::Cleared => (StepKind::Watch, "cleared"),
        Input::RunOut => (StepKind::Watch, "run out"),
        Input::OutOfTries => (StepKind::Watch, "out of tries"),
        Input::Stalled => (StepKind::Watch, "stalled"),
        Input::Returned => (StepKind::Watch, "returned"),
    }
}

impl Core {
    /// Notes a step; it is told when the command that took it is durable.
    pub(super) fn note_step(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// The steps of the commands since the last call.
    pub fn take_steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }
}
