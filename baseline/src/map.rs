//! Which paragraph of the Security Rule is served by what, and which by nothing here, so that nothing is silently missing.
//!
//! `controls-map.csv` is generated: controls cite paragraphs, runbooks cite paragraphs, and `evidence.csv` says by hand
//! what evidence serves a paragraph besides those two, or why none of this product does. A paragraph without any of
//! these, or with a reason beside one, is refused.

use std::{collections::BTreeMap, sync::LazyLock};

use proto::{field::BadField, ids::RunbookId};

use crate::{
    control::ControlId,
    document::Baseline,
    rule::{self, Paragraph},
};

/// The map as it ships.
pub const CSV: &str = include_str!("../controls-map.csv");
/// What is said by hand.
pub const EVIDENCE: &str = include_str!("../evidence.csv");
/// What the map says of a paragraph that nothing here serves, before the reason.
pub const NOT_HERE: &str = "not by this product: ";

proto::vocabulary! {
    /// A kind of evidence.
    pub enum EvidenceKind as "evidence" {
        /// A person's signed approval, of a plan, a policy or an exception.
        Approval = "approval",
        /// The daily scan of all controls.
        DriftScan = "drift-scan",
        /// A box was enrolled.
        Enrolment = "enrolment",
        /// A runbook ran, with readings before and after.
        Execution = "execution",
        /// The box ran, and how it stood.
        Heartbeat = "heartbeat",
        /// Orders were stopped or released at the box.
        Hold = "hold",
        /// The monthly report and its bundle.
        Packet = "packet",
        /// A guardrail refused an order.
        Refusal = "refusal",
    }
}

/// What serves a paragraph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub paragraph: Paragraph,
    /// Controls that cite it.
    pub controls: Vec<ControlId>,
    /// Runbooks of the catalogue that cite it.
    pub runbooks: Vec<RunbookId>,
    /// Evidence that serves it.
    pub evidence: Vec<EvidenceKind>,
    /// Why nothing here serves it; empty when something does.
    pub reason: String,
}

static SHIPPED: LazyLock<Vec<Row>> = LazyLock::new(|| CSV.lines().filter_map(row).collect());

/// The rows of [`CSV`], in the rule's order.
#[must_use]
pub fn shipped() -> &'static [Row] {
    &SHIPPED
}

fn row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split(',').collect();
    let [citation, _, _, controls, runbooks, evidence, otherwise] = fields[..] else { return None };
    Some(Row {
        paragraph: rule::lookup(citation)?,
        controls: controls.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?,
        runbooks: runbooks.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?,
        evidence: evidence.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?,
        reason: otherwise.strip_prefix(NOT_HERE).unwrap_or_default().to_owned(),
    })
}

/// The rows, in the rule's order. `runbooks`: the citations of each runbook of the catalogue; `evidence`: [`EVIDENCE`].
pub fn rows(
    baseline: &Baseline,
    runbooks: &BTreeMap<RunbookId, Vec<String>>,
    evidence: &str,
) -> Result<Vec<Row>, BadField> {
    let mut by_hand = by_hand(evidence)?;
    for (id, citations) in runbooks {
        if let Some(unknown) = citations.iter().find(|citation| rule::lookup(citation).is_none()) {
            return Err(BadField::new(
                id.as_str(),
                format!("cites {unknown}, no paragraph of the Security Rule"),
            ));
        }
    }
    let rows = rule::paragraphs()
        .iter()
        .map(|paragraph| {
            let cites = |list: &[String]| list.iter().any(|citation| rule::short(citation) == paragraph.citation);
            let controls: Vec<_> =
                baseline.controls.iter().filter(|c| cites(&c.hipaa)).map(|c| c.id).collect();
            let runbooks: Vec<_> =
                runbooks.iter().filter(|(_, list)| cites(list)).map(|(id, _)| id.clone()).collect();
            let (mut evidence, reason) = by_hand.remove(paragraph.citation).unwrap_or_default();
            evidence.extend((!controls.is_empty()).then_some(EvidenceKind::DriftScan));
            evidence.extend((!runbooks.is_empty()).then_some(EvidenceKind::Execution));
            evidence.sort();
            evidence.dedup();
            match (evidence.is_empty(), reason.is_empty()) {
                (true, true) => Err(BadField::new(
                    paragraph.citation,
                    "is served by nothing; evidence.csv must say by which evidence, or why not by this product",
                )),
                (false, false) => Err(BadField::new(
                    paragraph.citation,
                    "is served, so evidence.csv must not say that it is not by this product",
                )),
                _ => Ok(Row { paragraph: *paragraph, controls, runbooks, evidence, reason }),
            }
        })
        .collect::<Result<_, _>>()?;
    match by_hand.keys().next() {
        None => Ok(rows),
        Some(unknown) => {
            Err(BadField::new(format!("evidence.csv: {unknown}"), "is no paragraph of the Security Rule"))
        }
    }
}

/// The rows as a file.
#[must_use]
pub fn render(baseline: &Baseline, rows: &[Row]) -> String {
    let mut csv = format!(
        "# Generated (`make generate`) from {} {}, the runbook catalogue and evidence.csv. Supports, never equals: whether\n\
         # a clinic complies is for people to judge. Several names in a field are separated by blanks.\n\
         citation,name,designation,controls,runbooks,evidence,otherwise\n",
        baseline.name, baseline.version
    );
    for row in rows {
        let Paragraph { citation, name, designation } = row.paragraph;
        let controls = joined(&row.controls);
        let (runbooks, evidence) = (joined(&row.runbooks), joined(&row.evidence));
        let otherwise =
            if row.reason.is_empty() { String::new() } else { format!("{NOT_HERE}{}", row.reason) };
        csv.push_str(&format!(
            "{citation},{name},{designation},{controls},{runbooks},{evidence},{otherwise}\n"
        ));
    }
    csv
}

fn joined<T: ToString>(names: &[T]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

type ByHand<'a> = BTreeMap<&'a str, (Vec<EvidenceKind>, String)>;

fn by_hand(csv: &str) -> Result<ByHand<'_>, BadField> {
    let mut lines = csv.lines().filter(|line| !line.starts_with('#'));
    let heading = "citation,evidence,not_by_this_product";
    if lines.next() != Some(heading) {
        return Err(BadField::new("evidence.csv", format!("must begin with {heading}")));
    }
    let mut found = ByHand::new();
    for line in lines {
        let at = |problem: String| BadField::new(format!("evidence.csv: {line}"), problem);
        let fields: Vec<&str> = line.split(',').collect();
        let [citation, evidence, reason] = fields[..] else {
            return Err(at(format!("must have 3 fields, has {}", fields.len())));
        };
        let kinds = evidence.split_whitespace().map(str::parse).collect::<Result<Vec<_>, BadField>>();
        let kinds = kinds.map_err(|bad| at(bad.to_string()))?;
        if kinds.is_empty() == reason.is_empty() {
            return Err(at("must have either evidence or a reason".into()));
        }
        if found.insert(citation, (kinds, reason.to_owned())).is_some() {
            return Err(at("stands twice; once is right".into()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_that_ships_reads_back() {
        assert_eq!(shipped().len(), rule::paragraphs().len());
        assert_eq!(render(Baseline::hipaa_v1(), shipped()), CSV);
    }
}
