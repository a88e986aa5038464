//! Verifies a bundle: offline, without its maker, by keys from elsewhere.
//!
//! The rule: two verdicts, and neither for free. Integrity is lost by one contradiction; completeness by one gap; and
//! without a trust file, or with a claim that could not be checked, a bundle is never called sound. The one claim that may
//! be left alone is an outside authority's, by an auditor who does not name it. Nothing a stranger can write makes this
//! panic, loop, or take more than its bounds.

mod acts;
mod baselines;
mod chains;
mod charters;
mod contents;
mod exceptions;
mod findings;
mod growth;
mod head;
mod index;
mod keys;
mod orders;
mod oscal;
mod outputs;
mod paper;
mod parallel;
mod permissions;
mod previous;
mod progress;
mod proofs;
mod reading;
mod records;
mod report;
mod span;
mod successions;
mod times;
mod timestamps;
mod tree;
mod witnesses;

use proto::{charter::OrganizationKeys, time::Millis};

use self::{charters::Charters, contents::Contents, findings::Findings, reading::Reader};
use super::{
    Executor, Facts, LogFacts, Manifest, ManifestError, Period, Place, ProviderSays, Source, gaps,
    manifest::GENERATOR, purpose::Purposes,
};

pub(in crate::bundle) use exceptions::of as exceptions_of;
pub(in crate::bundle) use findings::chain;
pub use findings::{Claim, Fault, Status};
pub use progress::Progress;
pub use report::{Completeness, Integrity, Report};
pub use span::Asked;
pub use timestamps::{Stamp, command as openssl_command};
pub use witnesses::{Witnessed, Witnesses};

/// Verifies a bundle at `now`. `trust` are the organization's public keys, from anywhere but the bundle.
#[must_use]
pub fn verify(source: &dyn Source, trust: Option<&OrganizationKeys>, now: Millis) -> Report {
    verify_within(source, trust, Asked::default(), now)
}

/// The same, judged by what an auditor asks about.
#[must_use]
pub fn verify_within(
    source: &dyn Source,
    trust: Option<&OrganizationKeys>,
    asked: Asked,
    now: Millis,
) -> Report {
    verify_watched(source, trust, asked, now, &mut Progress::unseen())
}

/// The same, for somebody who waits.
#[must_use]
pub fn verify_watched(
    source: &dyn Source,
    trust: Option<&OrganizationKeys>,
    asked: Asked,
    now: Millis,
    progress: &mut Progress<'_>,
) -> Report {
    let mut findings = Findings::default();
    let paths = source.paths();
    let contents = contents::read(&paths, &mut findings);
    progress.begin(paths.len() + contents.carriers().len());
    let manifest = index::read(source, &paths, (&mut findings, progress));
    drop(paths);
    let said = manifest.as_ref().map_or_else(index::nothing_said, |manifest| manifest.provider_says.clone());
    let charters = charters::read(source, &contents, trust, &mut findings);
    let facts = examine(source, &contents, &charters, said, (&asked, now), (&mut findings, progress));
    let purposes = Purposes::new(&facts);
    if let Some(manifest) = &manifest {
        index::compare(manifest, &purposes, &facts, &mut findings);
        span::of_packet(&manifest.provider_says, &mut findings);
    }
    rule(source, &facts.said.generator, &mut findings);
    baselines::check(source, &contents, &facts, &mut findings);
    exceptions::check(source, &contents, &facts, &mut findings);
    paper::check(source, &facts, &mut findings);
    oscal::check(source, &facts, &mut findings);
    let span = span::judged(&facts, &asked, now);
    let mut missing = gaps(&facts, &span.period);
    missing.extend(span.missing.iter().cloned());
    let files = manifest.map_or_else(Vec::new, |manifest| manifest.files);
    Report::new(&facts, findings, missing, &span, files, charters.anchored, trust.is_some())
}

/// The table of paragraphs is not signed: it has to be this verifier's own. Another version may have had another.
fn rule(source: &dyn Source, generator: &str, findings: &mut Findings) {
    let place = Place::SecurityRule;
    let mut tally = findings
        .begin("The Security Rule's paragraphs are those that this verifier knows", place.to_string());
    match findings.read(source, &place) {
        Some(bytes) if *bytes == *baseline::rule::CSV.as_bytes() => tally.proven = 1,
        Some(_) if generator != GENERATOR => {
            tally.missing(format!("it differs, and was made by {generator}; this is {GENERATOR}"));
        }
        Some(_) => findings.fault(&place.to_string(), None, "differs from this verifier's own table"),
        None => tally.missing("it is not here".to_owned()),
    }
    findings.end(tally);
}

/// What a bundle says, by its own keys, for making its packet again. Whether any of it is true is for [`verify`].
pub fn facts(source: &dyn Source) -> Result<Facts, ManifestError> {
    let bytes = source.read(&Place::Manifest.to_string()).map_err(ManifestError::Read)?;
    Ok(read(source, Manifest::parse(&bytes)?.provider_says))
}

/// The same with the provider's words given, before there is a manifest.
pub(in crate::bundle) fn read(source: &dyn Source, said: ProviderSays) -> Facts {
    let mut findings = Findings::default();
    let contents = contents::read(&source.paths(), &mut findings);
    let charters = charters::read(source, &contents, None, &mut findings);
    let made = said.made_at;
    let mut facts = examine(
        source,
        &contents,
        &charters,
        said,
        (&Asked::default(), made),
        (&mut findings, &mut Progress::unseen()),
    );
    facts.faults = findings.fault_count;
    facts
}

fn examine(
    source: &dyn Source,
    contents: &Contents,
    charters: &Charters,
    said: ProviderSays,
    (asked, now): (&Asked, Millis),
    (findings, progress): (&mut Findings, &mut Progress<'_>),
) -> Facts {
    let head = head::read(source, charters, findings);
    successions::check(&charters.successions, head.as_ref(), findings);
    let keys = keys::read(source, contents, charters, head.as_ref(), findings);
    let month = said.packet.map(|month| Period { from: month.begin(), to: month.end() });
    let reader = Reader::new(source, &keys, charters, head.as_ref(), month);
    let mut records = records::read(contents, &reader, (&mut *findings, progress));
    charters::cited(charters, &records, findings);
    keys::confirm(&keys, &records.facts, charters, findings);
    proofs::check(source, contents, &records, head.as_ref(), findings);
    tree::check(source, contents, &records, head.as_ref(), findings);
    let before = head.as_ref().and_then(|head| charters.successions.before(head.number()));
    tree::continues(asked.head, &records, head.as_ref(), before, findings);
    tree::seen(contents, &mut records, findings);
    let times = (said.made_at, now);
    let witnesses = witnesses::check(source, contents, charters, head.as_ref(), &records, times, findings);
    let growth = &records.growth;
    let stamps = timestamps::check(source, contents, charters, head.as_ref(), growth, asked, findings);
    let (catalogues, runbooks) = orders::catalogues(source, contents, charters, findings);
    let (orders, orders_missing) =
        orders::check(source, contents, charters, &records.facts, &runbooks, findings);
    let outputs_missing = outputs::check(source, contents, &records.facts, &runbooks, findings);
    let executors = keys.iter().map(|(incarnation, papers)| {
        let (evidence_key, protection) = (papers.proof.evidence_key.clone(), papers.proof.protection);
        (*incarnation, Executor { appliance: papers.spiffe.appliance, evidence_key, protection })
    });
    let log = head.as_ref().map(|head| {
        let checkpoint = head.checkpoint.checkpoint();
        LogFacts { origin: checkpoint.origin.clone(), size: checkpoint.size, root: checkpoint.root }
    });
    let previous = previous::read(source, findings);
    let root_then = previous.as_ref().and_then(|previous| records.growth.root(previous.size));
    let facts = Facts {
        said,
        organization: charters.newest().map_or_else(String::new, |charter| charter.organization.clone()),
        tenant: head.as_ref().map(|head| head.tenant),
        follows: before.cloned(),
        together: contents.together(),
        baselines: baselines::read(source, contents),
        exceptions: exceptions::read(source, contents, &records.facts),
        absent: contents.absent(log.as_ref().map_or(0, |log| log.size)),
        log,
        executors: executors.collect(),
        records: records.facts,
        traces: records.traces,
        links: records.links,
        acts: records.acts,
        catalogues,
        runbooks,
        orders,
        previous,
        witnesses,
        stamps,
        orders_missing,
        outputs_missing,
        faults: 0,
    };
    chains::check(contents, &facts, findings);
    times::check(&facts, findings);
    previous::check(&facts, root_then, findings);
    facts
}
