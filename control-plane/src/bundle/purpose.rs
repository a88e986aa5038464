//! What each file is good for: the packet's line, or the check, that it stands behind.

use std::collections::BTreeMap;

use proto::{act::Deed, digest::Digest, evidence::Body};

use super::{Facts, Place};
use crate::packet::title;

/// Says of every place what it proves; made once for all files of a bundle.
pub(super) struct Purposes<'f> {
    facts: &'f Facts,
    orders: BTreeMap<Digest, u64>,
    outputs: BTreeMap<Digest, u64>,
}

impl<'f> Purposes<'f> {
    pub(super) fn new(facts: &'f Facts) -> Self {
        let (mut orders, mut outputs) = (BTreeMap::new(), BTreeMap::new());
        for fact in &facts.records {
            if let Some(order) = fact.record.body.order_digest() {
                orders.entry(order).or_insert(fact.index);
            }
            if let Body::Execution(execution) = &fact.record.body {
                for output in execution.steps.iter().filter_map(|step| step.output) {
                    outputs.entry(output).or_insert(fact.index);
                }
            }
        }
        Self { facts, orders, outputs }
    }

    pub(super) fn of(&self, place: &Place) -> String {
        let behind = |what: &str, record: Option<&u64>| match record {
            Some(record) => format!("{what} record {record}"),
            None => format!("{what} no record"),
        };
        match place {
            Place::Manifest => "what the bundle holds".into(),
            Place::PacketMarkdown | Place::PacketPdf => {
                "nothing by itself: it is made again from the evidence".into()
            }
            Place::Evidence(index, _) => self.record(*index),
            Place::Proof(index) => format!("that record {index} is in the log"),
            Place::Attachment(digest) => behind("the output named by", self.outputs.get(digest)),
            Place::Order(digest) => behind("the order behind", self.orders.get(digest)),
            Place::PreviousPacket => "which packet was last month's, and how the log stood then".into(),
            Place::Charter(serial) => format!("whose keys counted under charter {serial}"),
            Place::Succession(log) => format!("by whose word log {log} follows the one before it"),
            Place::Catalogue(version) => format!("what the runbooks of catalogue {version} do and cite"),
            Place::SecurityRule => "which paragraphs there are to cite".into(),
            Place::Baseline(_) => "what a scan that cites this baseline was judged by".into(),
            Place::Exception(_) => "what was waived, why, and until when".into(),
            Place::Oscal(_) => "nothing by itself: it is made again from the evidence".into(),
            Place::Appliance(appliance, _) => {
                format!("the evidence key of {}", self.facts.name_of(*appliance))
            }
            Place::Checkpoint => "how many records the log had, and their root".into(),
            Place::Cosigned(_) => "how many records an outside witness had seen, their root, and when".into(),
            Place::Timestamp(size) => format!("when a checkpoint of {size} records was there"),
            Place::Stamped(size) => format!("which checkpoint of {size} records that was"),
            Place::VerifierKey | Place::Policy => {
                "nothing by itself: the log's key, for other verifiers".into()
            }
            Place::Tile(_) => "the log's tree, for other verifiers".into(),
            Place::Entries(_) => "the records themselves, as the log has them".into(),
        }
    }

    fn record(&self, index: u64) -> String {
        if let Ok(at) = self.facts.acts.binary_search_by_key(&index, |fact| fact.index) {
            let act = &self.facts.acts[at].act;
            let what = format!("record {index}, by {}: {}", act.by, act.deed.sentence());
            let said = &self.facts.said;
            return match said.packet {
                Some(month) if month.until(said.made_at).contains(act.at) => {
                    let section = match act.deed {
                        Deed::Incident { .. } => title::INCIDENTS,
                        Deed::Agreement { .. } | Deed::AccessReview { .. } | Deed::Mode { .. } => {
                            title::OVERSIGHT
                        }
                        _ => title::ACTIVITY,
                    };
                    format!("packet, {section}, {what}")
                }
                _ => what,
            };
        }
        let Ok(at) = self.facts.traces.binary_search_by_key(&index, |trace| trace.index) else {
            return format!("nothing: record {index} does not hold");
        };
        let trace = &self.facts.traces[at];
        let (section, what) = match self.facts.record(index) {
            Some(record) => line(&record.body),
            // Whatever is not kept whole is one.
            None => (title::GAPS, "a heartbeat".into()),
        };
        match self.facts.said.packet {
            None => format!("record {index}: {what}"),
            Some(month) if month.until(self.facts.said.made_at).contains(trace.at) => {
                format!("packet, {section}, record {index}: {what}")
            }
            Some(month) => format!("record {index}, not of {}: {what}", month.title()),
        }
    }
}

fn line(body: &Body) -> (&'static str, String) {
    match body {
        Body::Enrolment(_) => (title::INVENTORY, "an executor was enrolled".into()),
        Body::Heartbeat(_) => (title::GAPS, "a heartbeat".into()),
        Body::Execution(execution) => {
            let targets: Vec<&str> =
                execution.order.parameters.values().map(|watch| watch.as_str()).collect();
            (title::ACTIVITY, format!("{} on {}", execution.order.runbook, targets.join(", ")))
        }
        Body::Scan(_) => (title::FINDINGS, "a scan of the baseline".into()),
        Body::Unknown => (title::SCOPE, "a record of a newer version, not read here".into()),
        Body::Document(taken) => {
            let became = if taken.is_withdrawal { "withdrawn" } else { "in force" };
            (title::EXCEPTIONS, format!("{} {} {became}", taken.what, taken.name))
        }
        Body::Update(update) => (title::UPDATES, format!("updated from {} to {}", update.from, update.to)),
        Body::Refusal(refusal) => (title::ACTIVITY, format!("refused by guardrail {}", refusal.guardrail)),
        Body::Hold(hold) => {
            (title::ACTIVITY, if hold.held { "orders held" } else { "orders released" }.into())
        }
    }
}
