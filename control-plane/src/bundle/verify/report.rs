//! The report: two verdicts, what was checked and how each stands, and what nobody can learn from the files.

use std::fmt;

use proto::ids::TenantId;
use serde::Serialize;

use super::{
    findings::{Claim, Fault, Findings, Status, plain},
    span::Span,
    witnesses::Witnessed,
};
use crate::bundle::{
    Facts, FileLine, Gap, Period, Stretch, gaps::blind_end, manifest::LogLine, minute, stretches,
};

/// Lines that people are shown of a list; JSON has them all.
const SHOWN: usize = 25;

/// Whether anything was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Integrity {
    /// Nothing contradicts anything.
    Sound,
    /// Something was changed, or was never right.
    Fault,
}

/// Whether anything is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completeness {
    /// Nothing is missing that the evidence would show.
    Complete,
    /// The gaps are listed.
    Incomplete,
}

/// What verifying came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether anything was changed.
    pub integrity: Integrity,
    /// Whether anything is missing.
    pub completeness: Completeness,
    /// The organization's keys, given from outside, vouch for the keys in the bundle.
    pub anchored: bool,
    /// Trust domain.
    pub organization: String,
    /// Whose evidence it is.
    pub tenant: Option<TenantId>,
    /// What the provider calls the clinic.
    pub clinic: String,
    /// The log.
    pub log: Option<LogLine>,
    /// The time it was judged over.
    pub period: Period,
    /// One line for each thing that was checked.
    pub claims: Vec<Claim>,
    /// What each outside witness of the charter has seen of the log.
    pub witnesses: Vec<Witnessed>,
    /// Contradictions, the first so many.
    pub faults: Vec<Fault>,
    /// All of them.
    pub fault_count: u64,
    /// What is missing.
    pub gaps: Vec<Gap>,
    /// What waited for a link, and what was written by a clock that was not in step: nothing of it is missing.
    pub stretches: Vec<Stretch>,
    /// What nobody can learn from these files.
    pub not_checked: Vec<String>,
    /// What each file is good for.
    pub files: Vec<FileLine>,
    #[serde(skip)]
    names: Vec<(proto::ids::ApplianceId, String)>,
}

impl Report {
    pub(super) fn new(
        facts: &Facts,
        findings: Findings,
        gaps: Vec<Gap>,
        span: &Span,
        files: Vec<FileLine>,
        anchored: bool,
        trusted: bool,
    ) -> Self {
        let mut claims = findings.claims;
        if !anchored {
            let reason = if trusted {
                "no charter here holds under the keys you gave"
            } else {
                "nobody vouches for the keys in this bundle"
            };
            for claim in claims.iter_mut().filter(|claim| claim.status == Status::Proven) {
                claim.status = Status::NotProven;
                reason.clone_into(&mut claim.reason);
            }
        }
        Self {
            integrity: if findings.fault_count == 0 { Integrity::Sound } else { Integrity::Fault },
            completeness: if gaps.is_empty() { Completeness::Complete } else { Completeness::Incomplete },
            anchored,
            organization: facts.organization.clone(),
            tenant: facts.tenant,
            clinic: plain(&facts.said.clinic),
            log: facts.log.as_ref().map(LogLine::from),
            period: span.period,
            claims,
            faults: findings.faults,
            fault_count: findings.fault_count,
            gaps,
            stretches: stretches(facts, &span.period),
            not_checked: not_checked(facts, span, &findings.witnesses),
            witnesses: findings.witnesses,
            files,
            names: facts.appliances().into_iter().map(|id| (id, plain(&facts.name_of(id)))).collect(),
        }
    }

    /// 1: a fault. 0: sound, complete, anchored, and every claim proven that was asked about. 3: no fault, but not all of that.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let proven =
            self.claims.iter().all(|claim| matches!(claim.status, Status::Proven | Status::NotAsked));
        match (self.integrity, self.completeness) {
            (Integrity::Fault, _) => 1,
            (Integrity::Sound, Completeness::Complete) if self.anchored && proven => 0,
            (Integrity::Sound, _) => 3,
        }
    }

    fn conclusion(&self) -> &'static str {
        match self.exit_code() {
            0 if self.claims.iter().any(|claim| claim.status == Status::NotAsked) => {
                "Nothing is missing, and all is proven but an outside authority's times: give its certificate with --tsa."
            }
            0 => "Everything that is claimed is proven, and nothing is missing.",
            1 => "Do not rely on this bundle: something in it was changed, or was never right.",
            _ if !self.anchored => {
                "The files do not contradict one another, and nobody vouches for them. Give the organization's keys with --trust."
            }
            _ => "Nothing was found changed, but not everything is proven or here.",
        }
    }
}

fn not_checked(facts: &Facts, span: &Span, witnesses: &[Witnessed]) -> Vec<String> {
    let mut all = vec![
        "What happened before an appliance's first record, and on machines that no appliance watches."
            .to_owned(),
    ];
    if let Some(old) = &facts.follows {
        all.push(format!(
            "What was in {}, which this log follows: the organization says that it ended with {} records; its own bundle \
             proves them.",
            old.origin, old.size
        ));
    }
    if span.said {
        all.push(format!(
            "Silence before {} and after {} UTC: that this is the period is the provider's word; --from and --to judge \
             another.",
            minute(span.period.from),
            minute(span.period.to)
        ));
    }
    if let Some(blind) = blind_end(facts) {
        all.push(format!(
            "The last {} minutes of the period: that much silence is still within what heartbeats promised.",
            blind.as_secs().div_ceil(60)
        ));
    }
    all.push(
        "Times are the appliance's own clock; each record says whether a signed server time stood behind it."
            .into(),
    );
    all.push("Names of the clinic and its appliances are the provider's words.".into());
    all.extend(super::witnesses::not_checked(witnesses).map(str::to_owned));
    for (incarnation, executor) in &facts.executors {
        all.push(plain(&format!(
            "That {} in the clinic holds the key {} (executor {incarnation}): compare with `appliance status` there.",
            facts.name_of(executor.appliance),
            executor.evidence_key.hint(),
        )));
    }
    all
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant = self.tenant.map_or_else(|| "unknown".to_owned(), |tenant| tenant.to_string());
        writeln!(f, "clinic        {} (tenant {tenant} of {})", self.clinic, self.organization)?;
        writeln!(f, "period        {} to {} UTC", minute(self.period.from), minute(self.period.to))?;
        if let Some(log) = &self.log {
            writeln!(f, "log           {}, {} records, root {}", log.origin, log.size, log.root)?;
        }
        writeln!(f)?;
        let integrity = match self.integrity {
            Integrity::Sound => "sound: nothing contradicts anything".to_owned(),
            Integrity::Fault => format!("FAULT: {} found", count(self.fault_count, "contradiction")),
        };
        let completeness = match self.completeness {
            Completeness::Complete => "complete: nothing is missing".to_owned(),
            Completeness::Incomplete => format!("INCOMPLETE: {} found", count(self.gaps.len() as u64, "gap")),
        };
        let anchor = if self.anchored {
            "yes: the keys you gave vouch for the charter"
        } else {
            "NO: nobody vouches for the keys in it"
        };
        writeln!(f, "integrity     {integrity}\ncompleteness  {completeness}\nanchored      {anchor}\n")?;

        for claim in &self.claims {
            let status = match claim.status {
                Status::Proven => "proven",
                Status::NotProven => "NOT PROVEN",
                Status::Missing => "MISSING",
                Status::NotAsked => "not asked",
            };
            writeln!(f, "{status:<11} {:>7}  {}  [{}]", claim.count, claim.claim, claim.file)?;
            if !claim.reason.is_empty() {
                writeln!(f, "{:>21}{}", "", claim.reason)?;
            }
        }
        self.write_witnesses(f)?;
        self.write_faults(f)?;
        self.write_gaps(f)?;
        self.write_stretches(f)?;
        self.write_files(f)?;
        writeln!(f, "\nnot checked, because files cannot tell")?;
        for line in &self.not_checked {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "\n{}", self.conclusion())
    }
}

impl Report {
    fn write_witnesses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.witnesses.is_empty() {
            writeln!(f, "\nwhat outside witnesses have seen of the log")?;
        }
        self.witnesses.iter().try_for_each(|witness| writeln!(f, "  {witness}"))
    }

    fn write_faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fault_count > 0 {
            writeln!(f, "\nfaults")?;
        }
        for fault in self.faults.iter().take(SHOWN) {
            let record = fault.record.map(|record| format!(", record {record}")).unwrap_or_default();
            writeln!(f, "  {}{record}\n      {}", fault.file, fault.problem)?;
        }
        more(f, self.fault_count)
    }

    fn write_gaps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.gaps.is_empty() {
            writeln!(f, "\ngaps")?;
        }
        for gap in self.gaps.iter().take(SHOWN) {
            let name = gap.appliance.map_or("the log", |id| self.name(id));
            let span = match (gap.from, gap.to) {
                (Some(from), Some(to)) if from != to => format!(", {} to {} UTC", minute(from), minute(to)),
                (Some(at), _) | (None, Some(at)) => format!(", {} UTC", minute(at)),
                (None, None) => String::new(),
            };
            writeln!(f, "  {name}{span} ({})\n      {}", gap.cause.as_str(), gap.what)?;
        }
        more(f, self.gaps.len() as u64)
    }

    fn name(&self, appliance: proto::ids::ApplianceId) -> &str {
        self.names.iter().find(|(id, _)| *id == appliance).map_or("an appliance", |(_, name)| name)
    }

    fn write_stretches(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.stretches.is_empty() {
            writeln!(f, "\nof which nothing is missing")?;
        }
        for stretch in self.stretches.iter().take(SHOWN) {
            let (from, to) = (minute(stretch.from), minute(stretch.to));
            let records = count(stretch.records, "record");
            writeln!(f, "  {}, {from} to {to} UTC, {records}", self.name(stretch.appliance))?;
            writeln!(f, "      {}", stretch.kind.sentence())?;
        }
        more(f, self.stretches.len() as u64)
    }

    /// What stands in the packet, file by file; heartbeats and proofs are for those who ask for JSON.
    fn write_files(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&FileLine> = self
            .files
            .iter()
            .filter(|line| line.path.starts_with("evidence/") && !line.proves.ends_with("a heartbeat"))
            .collect();
        if self.integrity == Integrity::Fault || lines.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nwhat the files stand behind")?;
        for line in lines.iter().take(SHOWN) {
            // Eight digits and eight of the digest find the file.
            writeln!(f, "  {}…  {}", line.path.get(..26).unwrap_or(&line.path), plain(&line.proves))?;
        }
        more(f, lines.len() as u64)
    }
}

fn more(f: &mut fmt::Formatter<'_>, all: u64) -> fmt::Result {
    match all.saturating_sub(SHOWN as u64) {
        0 => Ok(()),
        hidden => writeln!(f, "  … and {hidden} more; --json lists them"),
    }
}

fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
