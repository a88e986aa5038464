//! Two boxes with one identity, with the real programs: somebody copied a disk, keys and all. Both are stopped, a person
//! is told, and the evidence of both keeps coming until one of them is taken away.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::rig::{Clinic, Practice, Receiver, Watch, practice::Folder, wait};

const LIMIT: Duration = Duration::from_secs(180);
/// Records of each box that must still come once both are stopped.
const MORE: usize = 3;

/// A box and its copy.
struct Story {
    practice: Practice,
    copy: Clinic,
}

impl Story {
    fn check(&mut self) -> Result<()> {
        self.practice.check()?;
        self.copy.check()
    }

    fn journals(&self) -> String {
        let of = |clinic: &Clinic, program| clinic.log(program).unwrap_or_default();
        let box_of = |clinic| of(clinic, "agent") + &of(clinic, "executor");
        format!("the box:\n{}\nthe copy:\n{}", box_of(&self.practice.clinic), box_of(&self.copy))
    }

    fn text(&self, query: &str) -> Result<String> {
        Ok(self.practice.provider.database()?.query_row(query, [], |row| row.get(0))?)
    }

    /// Records of the box, and of the copy: from where they parted, every place in the chain has two.
    fn records(&self) -> Result<(usize, usize)> {
        let db = self.practice.provider.database()?;
        let mut query =
            db.prepare("SELECT chain_index, previous, sha256 FROM evidence ORDER BY log_index")?;
        let mut rows = query.query([])?;
        // The box was first, so the copy's are those whose predecessor is the copy's, or that came second to a place.
        let (mut taken, mut copied) = (BTreeSet::new(), BTreeSet::<Vec<u8>>::new());
        while let Some(row) = rows.next()? {
            let (place, previous, own): (i64, Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if copied.contains(&previous) || !taken.insert(place) {
                copied.insert(own);
            }
        }
        Ok((taken.len(), copied.len()))
    }

    /// Both boxes' evidence goes on coming.
    fn evidence_flows(&mut self) -> Result<()> {
        let before = self.records()?;
        wait::until("evidence of both boxes comes", LIMIT, || {
            self.check()?;
            let now = self.records()?;
            Ok((now.0 >= before.0 + MORE && now.1 >= before.1 + MORE).then_some(()))
        })
        .with_context(|| format!("{before:?}, now {:?}\n{}", self.records(), self.journals()))
    }
}

/// Why a box holds all orders, as it says itself.
fn held(clinic: &Clinic) -> Result<Option<String>> {
    Ok(clinic.status()?["executor"]["hold"].as_str().map(ToOwned::to_owned))
}

fn fill(directory: &Path) -> Result<()> {
    Ok(fs::write(directory.join("file"), vec![0; 5000])?)
}

#[test]
fn both_of_two_copies_are_stopped_and_a_person_is_told() -> Result<()> {
    let (folder, receiver) = (Folder::new()?, Receiver::start()?);
    let uploads = folder.join("uploads");
    fs::create_dir(&uploads)?;
    let watch = [("uploads", Watch::Directory(&uploads, 1000))];
    let mut practice = Practice::telling(folder, 1, &watch, Some(&receiver.url()))?;
    practice.start_agent()?;
    practice.clinic.stop()?;
    let copy = practice.clinic.copy(&practice.folder.join("copy"))?;
    let mut it = Story { practice, copy };

    // The box goes on by itself, so that whatever the copy says is another past.
    it.practice.clinic.start_executor()?;
    it.practice.clinic.start_agent()?;
    let before = it.records()?.0;
    wait::until("the box goes on", LIMIT, || {
        it.practice.check()?;
        Ok((it.records()?.0 > before + 1).then_some(()))
    })?;
    ensure!(it.text("SELECT state FROM appliance")? == "active" && receiver.got().is_empty());
    it.copy.start_executor()?;
    it.copy.start_agent()?;
    wait::until("both are stopped", LIMIT, || {
        it.check()?;
        let both = [held(&it.practice.clinic)?, held(&it.copy)?];
        let is_stopped = |why: &Option<String>| why.as_ref().is_some_and(|why| why.contains("two histories"));
        Ok(both.iter().all(is_stopped).then_some(()))
    })
    .with_context(|| it.journals())?;
    ensure!(it.text("SELECT state FROM appliance")? == "quarantined");

    // A person hears of it, once.
    let incident = it.practice.provider.incident("appliance", &["escalated"], LIMIT)?;
    ensure!(incident["kind"] == "appliance.quarantined", "{incident:#}");
    let about = |told: &&Value| told.to_string().contains("appliance.quarantined");
    wait::until("somebody was told", LIMIT, || Ok(receiver.got().iter().any(|t| about(&t)).then_some(())))?;

    // No order for either, though there is a fault that a runbook mends.
    fill(&uploads)?;
    let planned = it.practice.provider.incident("uploads", &["planned"], LIMIT)?;
    ensure!(planned["runbook"] == "RB-DISK-002", "{planned:#}");
    it.evidence_flows()?;
    ensure!(uploads.join("file").exists(), "a stopped box ran an order\n{}", it.journals());
    ensure!(it.text("SELECT CAST(count(*) AS TEXT) FROM \"order\"")? == "0", "an order was given");
    ensure!(receiver.got().iter().filter(about).count() == 1, "told twice: {:#?}", receiver.got());

    // The copy is found and wiped. Which of the two the evidence goes on with, nobody can tell: the box is enrolled anew.
    it.copy.stop()?;
    let id = it.text("SELECT id FROM appliance")?;
    let readmit = ["appliance", "readmit", &id, "--why", "a copied disk was found and wiped"];
    let refused = it.practice.provider.run(&readmit, &[1, 2])?;
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.contains("enrol the box anew"), "{refused}");
    it.practice.clinic.stop()?;
    it.practice.provider.ask(&["appliance", "revoke", &id, "--reason", "its disk was copied"])?;
    it.practice.enrol_anew(&watch)?;
    let incident = it.practice.provider.incident("uploads", &["resolved", "escalated"], LIMIT)?;
    ensure!(
        incident["state"] == "resolved" && !uploads.join("file").exists(),
        "{incident:#}\n{}",
        it.journals()
    );
    ensure!(held(&it.practice.clinic)?.is_none());
    it.practice.clinic.stop()?;
    it.practice.provider.stop()
}
