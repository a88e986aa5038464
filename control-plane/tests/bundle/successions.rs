//! A log that follows another: whose word that is, what it proves, and what it cannot hide.

use control_plane::bundle::{
    Bundle, GapKind, Place,
    export::build,
    verify::{Asked, Report, Status, verify, verify_within},
};
use proto::{
    digest::Digest,
    ids::TenantId,
    log::{Hash, Head, log_origin, origin_of},
    succession::{Cause, NamedHead, Succession},
};

use crate::{
    fault_in, relisted,
    tenant::{HOUR, ORGANIZATION, Tenant, at},
    with as with_file,
};

impl Tenant {
    /// Which log it is.
    pub fn number(&self) -> u64 {
        self.successions.len() as u64 + 1
    }

    pub fn origin(&self) -> String {
        origin_of(ORGANIZATION, self.tenant, self.number())
    }

    /// The log ends, and another follows it; gives what the organization says of that.
    pub fn succeed(&mut self) -> Succession {
        let old = NamedHead::new(self.origin(), self.checkpoint(self.evidence.len()).checkpoint().head());
        let said = Succession::of(ORGANIZATION, self.tenant, old, Cause::EntriesLost, self.now).unwrap();
        self.successions.push(said.seal(&[&self.organization[0], &self.organization[1]]));
        self.evidence.clear();
        said
    }
}

/// A box that went on from one log to the next: its first record there had still seen the one before.
fn followed() -> (Tenant, Succession) {
    let mut tenant = Tenant::new(1, at("2026-11-01T00:00:00Z"));
    tenant.enrol(false);
    let beats = |tenant: &mut Tenant, many: usize| {
        for _ in 0..many {
            tenant.wait(HOUR);
            tenant.heartbeat(0);
        }
    };
    beats(&mut tenant, 5);
    let said = tenant.succeed();
    tenant.hold(0, true);
    beats(&mut tenant, 3);
    (tenant, said)
}

fn judged(tenant: &Tenant, bundle: &Bundle, head: Option<Head>) -> Report {
    verify_within(bundle, Some(&tenant.trust()), Asked { head, ..Asked::default() }, tenant.now)
}

fn claim<'r>(report: &'r Report, says: &str) -> (&'r str, bool) {
    let found = report.claims.iter().find(|claim| claim.claim.contains(says)).expect("such a claim");
    (&found.reason, found.status == Status::Proven)
}

#[test]
fn what_a_log_follows_is_proven_and_what_was_in_that_is_not() {
    let (tenant, said) = followed();
    let report = judged(&tenant, &tenant.bundle(), None);
    assert_eq!(report.fault_count, 0, "{report}");
    let (reason, proven) = claim(&report, "follows another");
    assert!(
        proven && reason.contains(&said.old.origin) && reason.contains("not proven by this bundle"),
        "{reason}"
    );
    let kinds: Vec<GapKind> = report.gaps.iter().map(|gap| gap.kind).collect();
    assert!(kinds.contains(&GapKind::EarlierLog) && !kinds.contains(&GapKind::FirstMissing), "{kinds:?}");
    assert_eq!(report.exit_code(), 3, "sound, and not all there is");
    // Without the organization's keys it is anybody's word.
    let blind = verify(&tenant.bundle(), None, tenant.now);
    assert!(!claim(&blind, "follows another").1);
    // A bundle of the log before knows nothing of it.
    let mut before = Tenant::new(1, at("2026-11-01T00:00:00Z"));
    before.enrol(false);
    before.wait(HOUR);
    before.heartbeat(0);
    assert!(
        judged(&before, &before.bundle(), None)
            .claims
            .iter()
            .all(|claim| !claim.claim.contains("follows another"))
    );
}

#[test]
fn a_head_that_somebody_knows_is_of_this_log_or_of_the_one_before() {
    let (tenant, said) = followed();
    let bundle = tenant.bundle();
    let known = |head: Head| {
        let report = judged(&tenant, &bundle, Some(head));
        (claim(&report, "the head that you know").1, report.fault_count)
    };
    assert_eq!(known(said.old.head()), (true, 0), "as the organization says it ended");
    assert_eq!(known(tenant.checkpoint(2).checkpoint().head()), (true, 0));
    assert_eq!(known(Head { size: said.old.size, root: Hash([5; 32]) }), (false, 0));
    assert_eq!(known(Head { size: 1, root: Hash([5; 32]) }), (false, 0), "nobody can tell from here");
    assert!(!known(Head { size: said.old.size + 1, root: Hash([5; 32]) }).0);
}

#[test]
fn a_word_that_the_organization_did_not_give_is_a_fault() {
    let (tenant, said) = followed();
    let with = |envelopes: Vec<Vec<u8>>| {
        let mut parts = tenant.parts(tenant.evidence.len(), None);
        parts.successions = envelopes;
        judged(&tenant, &build(&parts).unwrap(), None)
    };
    let keys = &tenant.organization;
    let sign = |said: &Succession| said.seal(&[&keys[0], &keys[2]]);
    assert_eq!(with(vec![sign(&said)]).fault_count, 0);
    // Its executor has seen the log before, and nobody says that this one follows it.
    let report = with(vec![]);
    assert!(report.fault_count > 0 && !claim(&report, "follows another").1);
    assert!(with(vec![said.seal(&[&keys[0]])]).fault_count > 0, "one signature");
    assert!(with(vec![said.seal(&[&tenant.order_key, &tenant.log_key])]).fault_count > 0, "online keys");
    // It forgets what a record has seen.
    let mut less = said.clone();
    less.old.size -= 2;
    assert!(with(vec![sign(&less)]).to_string().contains("not said to follow"));
    let mut other = said.clone();
    (other.old.size, other.old.root) = (said.old.size - 1, Digest([5; 32]));
    assert!(with(vec![sign(&other)]).fault_count > 0, "another root than a record has seen");
    // Of another clinic, or of another log of this one.
    let stranger = TenantId::new(tenant.now, [9; 10]);
    let theirs = NamedHead { origin: log_origin(ORGANIZATION, stranger), ..said.old.clone() };
    let theirs = Succession::of(ORGANIZATION, stranger, theirs, said.cause, said.at).unwrap();
    assert!(with(vec![sign(&theirs)]).fault_count > 0);
    let next = NamedHead { origin: said.new.origin.clone(), ..said.old.clone() };
    let next = Succession::of(ORGANIZATION, tenant.tenant, next, said.cause, said.at).unwrap();
    assert!(with(vec![sign(&said), sign(&next)]).fault_count > 0, "one that this log does not follow");
    // The file's name is not its content.
    let swapped = relisted(&with_file(&tenant.bundle(), &Place::Succession(2).to_string(), sign(&next)));
    assert_eq!(fault_in(&judged(&tenant, &swapped, None), "succession/2"), "begins log 3");
}

/// A word for a new log does not let the new log be rewritten: records say of which log they speak.
#[test]
fn a_successor_is_rewritten_no_more_unseen_than_any_log() {
    let (mut tenant, _) = followed();
    let seen = tenant.checkpoint(2);
    tenant.hold(0, false);
    let late = tenant.evidence.pop().unwrap();
    tenant.evidence.insert(0, late);
    assert_ne!(seen.checkpoint().root, tenant.checkpoint(2).checkpoint().root);
    let report = judged(&tenant, &tenant.bundle(), None);
    assert!(!claim(&report, "No record contradicts the log").1 && report.fault_count > 0, "{report}");
}
