//! What commands did, counted for whoever watches this server. Nothing is decided by it.

/// Since it was taken last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Events that were kept.
    pub events: u64,
    /// Events that were over their box's budget.
    pub events_over: u64,
    /// Records of evidence that were appended to a log.
    pub evidence: u64,
    /// What was sent as evidence and was none.
    pub evidence_refused: u64,
    /// Incidents that began.
    pub incidents: u64,
    /// Orders that were signed.
    pub orders: u64,
}

impl Counted {
    /// By name, as it is shown.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("event", self.events),
            ("event_over_budget", self.events_over),
            ("evidence", self.evidence),
            ("evidence_refused", self.evidence_refused),
            ("incident", self.incidents),
            ("order", self.orders),
        ]
    }
}
