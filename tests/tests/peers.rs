//! Other people's verifiers say of our bundles what ours says: of genuine ones that they hold, of changed ones that they do
//! not, each as far as its own matter goes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use control_plane::bundle::{Folder, verify};
use tests::{
    peers::{self, Verdict},
    year::{self, Known, Plan},
};

/// A bundle on disk, and what an auditor knows from elsewhere.
struct Handed {
    scratch: tempfile::TempDir,
    known: Known,
}

impl Handed {
    fn over(plan: Plan) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let known = year::write(&scratch.path().join("bundle"), plan)?;
        Ok(Self { scratch, known })
    }

    fn bundle(&self) -> PathBuf {
        self.scratch.path().join("bundle")
    }

    fn ours(&self) -> Result<verify::Report> {
        let folder = Folder::open(&self.bundle())?;
        Ok(verify::verify(&folder, Some(&self.known.trust), self.known.now))
    }

    fn ask(&self, peer: Peer) -> Result<Verdict> {
        match peer {
            Peer::Go => {
                let write = |(n, old): (usize, &proto::log::SignedCheckpoint)| {
                    let path = self.scratch.path().join(format!("older-{n}"));
                    fs::write(&path, old.note()).map(|()| path)
                };
                let older: Vec<PathBuf> =
                    self.known.older.iter().enumerate().map(write).collect::<std::io::Result<_>>()?;
                peers::log(&self.bundle(), &self.known.log_key, &self.known.witnesses, &older)
            }
            Peer::Python => peers::envelopes(&self.bundle(), &self.bundle().with_extension("trust.json")),
            Peer::OpenSsl => peers::certificates(&self.bundle(), &self.known.trust, self.scratch.path()),
        }
    }

    /// The first file below a place of the bundle, by its path.
    fn file(&self, place: &str) -> Result<PathBuf> {
        let mut folders = vec![self.bundle()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        let wanted = self.bundle().join(place);
        let wanted = wanted.to_str().context("UTF-8")?;
        found
            .into_iter()
            .find(|path| path.to_string_lossy().starts_with(wanted))
            .with_context(|| place.to_owned())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// `golang.org/x/mod/sumdb`, for the log.
    Go,
    /// securesystemslib and in-toto-attestation, for envelopes.
    Python,
    /// For certificates.
    OpenSsl,
}

const ALL: [Peer; 3] = [Peer::Go, Peer::Python, Peer::OpenSsl];

fn skipped() -> Result<bool> {
    let why = peers::without_go()?;
    if let Some(why) = why {
        println!("skipped: {why}");
    }
    Ok(why.is_some())
}

#[test]
fn ten_thousand_records_hold_for_everybody() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let handed = Handed::over(Plan { records: 10_000, appliances: 4, together: false, packet: None })?;
    let report = handed.ours()?;
    ensure!(report.exit_code() == 0, "{report}");
    for peer in ALL {
        let verdict = handed.ask(peer)?;
        ensure!(verdict.holds, "{peer:?}: {}", verdict.said);
        let counted = match peer {
            // Records name 156 older checkpoints, and one of two witnesses the last of them; seven more are signed notes.
            Peer::Go => {
                "10000 records, 0 entries, 10000 inclusions, 10000 proofs, 156 consistencies, 2 cosignatures, 0 faults"
            }
            // Charters, a catalogue, orders, papers, and all records.
            Peer::Python => "10058 envelopes hold, 0 faults",
            Peer::OpenSsl => "appliance.pem: OK",
        };
        ensure!(verdict.said.contains(counted), "{peer:?}: {}", verdict.said);
    }
    Ok(())
}

/// What is done to a bundle.
enum Change {
    Flip,
    /// The same near the end: in a note's last signature.
    FlipLate,
    Drop,
    /// The other one's content takes its place.
    Replace(&'static str),
    /// Both have the other one's content.
    Swap(&'static str),
    /// A second one of it, under this name.
    Double(&'static str),
}

use Change::{Double, Drop, Flip, FlipLate, Replace, Swap};

/// Every kind of file, what is done to it, and who has to find it besides ours.
const ALONE: &[(&str, Change, &[Peer])] = &[
    ("evidence/00000040", Flip, &[Peer::Go, Peer::Python]),
    ("evidence/00000040", Drop, &[Peer::Go]),
    ("evidence/00000040", Replace("evidence/00000044"), &[Peer::Go, Peer::Python]),
    ("evidence/00000040", Swap("evidence/00000041"), &[Peer::Go, Peer::Python]),
    ("evidence/00000040", Double("evidence/00000300-x.json"), &[Peer::Go]),
    ("log/tile/0/000", Flip, &[Peer::Go]),
    ("log/tile/0/000", Drop, &[Peer::Go]),
    ("log/tile/0/001.p/44", Flip, &[Peer::Go]),
    ("log/tile/1/000.p/1", Flip, &[Peer::Go]),
    ("log/checkpoint", Flip, &[Peer::Go]),
    // The last line there is a witness's: the log's own signature still holds.
    ("log/checkpoint", FlipLate, &[Peer::Go]),
    ("log/checkpoint", Replace("log/cosigned/"), &[Peer::Go]),
    ("log/cosigned/", Flip, &[Peer::Go]),
    ("log/cosigned/", FlipLate, &[Peer::Go]),
    ("log/cosigned/", Drop, &[Peer::Go]),
    ("log/cosigned/", Replace("log/checkpoint"), &[Peer::Go]),
    ("log/cosigned/", Double("log/cosigned/00000000"), &[Peer::Go]),
    ("log/vkey", Flip, &[Peer::Go]),
    ("log/policy", Flip, &[Peer::Go]),
    ("proofs/00000040", Flip, &[Peer::Go]),
    ("proofs/00000040", Swap("proofs/00000041"), &[Peer::Go]),
    ("charter/2.json", Flip, &[Peer::Python]),
    ("charter/2.json", Replace("charter/1.json"), &[Peer::Python]),
    ("catalogue/1.json", Flip, &[Peer::Python]),
    ("orders/", Flip, &[Peer::Python]),
    ("appliances/", Flip, &[Peer::OpenSsl]),
    ("baseline/security-rule.csv", Flip, &[]),
    ("oscal/catalog.json", Flip, &[]),
    ("oscal/catalog.json", Drop, &[]),
    ("oscal/component-definition.json", Flip, &[]),
    ("oscal/component-definition.json", Drop, &[]),
    ("oscal/assessment-plan.json", Flip, &[]),
    ("oscal/assessment-plan.json", Drop, &[]),
    ("oscal/assessment-results.json", Flip, &[]),
    ("oscal/assessment-results.json", Drop, &[]),
    ("oscal/poam.json", Flip, &[]),
    ("oscal/poam.json", Replace("oscal/assessment-plan.json"), &[]),
    ("packet.md", Flip, &[]),
    ("packet.pdf", Flip, &[]),
    ("manifest.json", Flip, &[]),
];

const TOGETHER: &[(&str, Change, &[Peer])] = &[
    ("log/tile/entries/000", Flip, &[Peer::Go, Peer::Python]),
    ("log/tile/entries/000", Drop, &[Peer::Go]),
    ("log/tile/entries/001.p/44", Flip, &[Peer::Go, Peer::Python]),
    ("log/tile/entries/001.p/44", Replace("log/tile/entries/000"), &[Peer::Go]),
    ("log/tile/0/000", Flip, &[Peer::Go]),
];

#[test]
fn what_is_done_to_any_file_is_found_by_ours_and_by_whose_matter_it_is() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    for (together, changes) in [(false, ALONE), (true, TOGETHER)] {
        let packet = Some("2025-01".parse()?);
        let handed = Handed::over(Plan { records: 300, appliances: 2, together, packet })?;
        genuine(&handed)?;
        for (place, change, finders) in changes {
            let name = format!("{place} {}", change.name());
            let undo = change.make(&handed, place)?;
            let report = handed.ours()?;
            ensure!(report.exit_code() == 1, "{name}:\n{report}");
            for peer in *finders {
                let verdict = handed.ask(*peer)?;
                ensure!(!verdict.holds, "{name} was not found by {peer:?}: {}", verdict.said);
            }
            for (path, bytes) in undo {
                match bytes {
                    Some(bytes) => fs::write(path, bytes)?,
                    None => fs::remove_file(path)?,
                }
            }
        }
        genuine(&handed)?;
    }
    Ok(())
}

fn genuine(handed: &Handed) -> Result<()> {
    let report = handed.ours()?;
    ensure!(report.exit_code() == 0, "{report}");
    for peer in ALL {
        let verdict = handed.ask(peer)?;
        ensure!(verdict.holds, "{peer:?}: {}", verdict.said);
    }
    Ok(())
}

/// Files as they were; `None`: there was none.
type Undo = Vec<(PathBuf, Option<Vec<u8>>)>;

impl Change {
    fn name(&self) -> &'static str {
        match self {
            Flip => "flipped",
            FlipLate => "flipped near the end",
            Drop => "dropped",
            Replace(_) => "replaced",
            Swap(_) => "swapped",
            Double(_) => "doubled",
        }
    }

    fn make(&self, handed: &Handed, place: &str) -> Result<Undo> {
        let path = handed.file(place)?;
        let bytes = fs::read(&path)?;
        let as_it_was = |path: &Path| Ok::<_, anyhow::Error>((path.to_owned(), Some(fs::read(path)?)));
        let mut undo = vec![as_it_was(&path)?];
        match self {
            Flip => fs::write(&path, flipped(&bytes, bytes.len() / 3))?,
            FlipLate => fs::write(&path, flipped(&bytes, bytes.len() - 20))?,
            Drop => fs::remove_file(&path)?,
            Replace(other) => drop(fs::copy(handed.file(other)?, &path)?),
            Swap(other) => {
                let other = handed.file(other)?;
                undo.push(as_it_was(&other)?);
                fs::copy(&other, &path)?;
                fs::write(other, bytes)?;
            }
            Double(name) => {
                let copy = handed.bundle().join(name);
                fs::write(&copy, bytes)?;
                undo.push((copy, None));
            }
        }
        Ok(undo)
    }
}

/// One bit; a third of the way in it is within what is signed of an envelope, and within an appliance's certificate.
fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 2;
    bytes
}
