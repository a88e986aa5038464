//! The baseline: how each box stood at its newest scan, and what had drifted in the month.

use std::collections::{BTreeMap, BTreeSet};

use baseline::Baseline;
use proto::{
    evidence::{Body, ControlName, Scan, Standing},
    ids::ApplianceId,
};

use super::{
    super::{
        document::{Block, Table},
        model::Model,
        readings::grouped,
    },
    named,
};
use crate::bundle::{Fact, minute};

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let introduction = format!(
        "Each appliance looks at its own live system and compares it with {}. It signs what it found every day, and \
         whenever what has drifted changes. A control that could not be looked at is never counted as fine.",
        Baseline::hipaa_v1().title
    );
    vec![
        Block::Paragraph(introduction),
        Block::Records(newest(model)),
        Block::Subsection("Drifted controls".into()),
        Block::Records(drifted(model)),
    ]
}

fn scans<'m>(model: &'m Model<'_>) -> impl Iterator<Item = (&'m Fact, &'m Scan)> {
    model.records.iter().filter_map(|fact| match &fact.record.body {
        Body::Scan(scan) => Some((*fact, scan)),
        _ => None,
    })
}

/// The newest of each box.
fn newest(model: &Model<'_>) -> Table {
    let all: BTreeMap<ApplianceId, (&Fact, &Scan)> =
        scans(model).map(|(fact, scan)| (fact.record.identity.appliance, (fact, scan))).collect();
    let rows = all.into_iter().map(|(appliance, (fact, scan))| {
        let of = |standing| grouped(scan.standing(standing).count());
        vec![
            model.facts.name_of(appliance),
            minute(fact.record.clock.at),
            of(Standing::Compliant),
            of(Standing::Drifted),
            of(Standing::Excepted),
            of(Standing::NotEvaluable),
            fact.index.to_string(),
        ]
    });
    let columns =
        ["Appliance", "Newest scan (UTC)", "Compliant", "Drifted", "Excepted", "Not evaluable", "Record"];
    let empty = "No scan of the baseline was signed in this period.";
    Table { numbers: vec![2, 3, 4, 5, 6], ..Table::new(&columns, rows.collect(), empty) }
}

/// Every control that a scan of the month found drifted, and whether the newest scan still did.
fn drifted(model: &Model<'_>) -> Table {
    let mut all: BTreeMap<(ApplianceId, &ControlName), Vec<u64>> = BTreeMap::new();
    let mut now: BTreeMap<ApplianceId, BTreeSet<&ControlName>> = BTreeMap::new();
    for (fact, scan) in scans(model) {
        let appliance = fact.record.identity.appliance;
        for control in scan.standing(Standing::Drifted) {
            all.entry((appliance, control)).or_default().push(fact.index);
        }
        now.insert(appliance, scan.standing(Standing::Drifted).collect());
    }
    let rows = all.into_iter().map(|((appliance, control), records)| {
        let id = control.to_string();
        let title = id.parse().ok().and_then(|id| Baseline::hipaa_v1().control(id));
        let still = now.get(&appliance).is_some_and(|now| now.contains(control));
        vec![
            model.facts.name_of(appliance),
            id,
            title.map_or_else(|| "not of this baseline".to_owned(), |control| control.title.clone()),
            if still { "Drifted" } else { "Mended" }.to_owned(),
            named(&records),
        ]
    });
    let columns = ["Appliance", "Control", "What must be so", "At the newest scan", "Records"];
    Table::new(&columns, rows.collect(), "No scan of this period found a control drifted.")
}
