//! The rules: which of the allowed runbooks, decided the same way every time.
//!
//! First what can help by the incident's own readings, then what no approver has to be called for, then what was not in
//! vain here lately, then what mends most of what is wrong with the entry, then least risk, then first by name. Where
//! there is a choice, and the best of it was in vain here lately, a person must look.

use std::collections::BTreeMap;

use proto::order::Plan;
use runbooks::{Entry, Fault, Presence, Risk};

use super::{Allowed, Case, Pick};

/// How far along the order a runbook comes; the least wins.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    cannot_help: bool,
    wants_approver: bool,
    in_vain: bool,
    leaves: usize,
    risk: Risk,
}

/// Picks one, or calls a person; says why.
pub fn choose(allowed: &Allowed<'_>, case: &Case) -> Result<(Pick, Plan), String> {
    let mut ranked: Vec<(Rank, &Entry)> =
        allowed.entries().iter().map(|entry| (rank(entry, allowed.fault(), case), *entry)).collect();
    // Stable: of equals the first by name stays first.
    ranked.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (first, entry) = &ranked[0];
    let id = &entry.runbook.id;
    let mut reason = format!("{} triggers {id}, risk {}", case.kind, entry.runbook.risk);
    if let Some((second, other)) = ranked.get(1) {
        if first.in_vain {
            let rest = if second.in_vain {
                "and so were the others"
            } else {
                "and the rest wants an approver or would find nothing to do"
            };
            return Err(format!(
                "{id}, which risks least for {}, was in vain here lately, {rest}",
                case.kind
            ));
        }
        reason = format!("{reason}; before {}: {}", other.runbook.id, difference(first, second));
    }
    let pick = allowed.member(entry).expect("it is a member");
    Ok((pick, Plan { planner: "rules".into(), model: String::new(), prompt_digest: None, reason }))
}

fn rank(entry: &Entry, fault: Fault, case: &Case) -> Rank {
    let runbook = &entry.runbook;
    let cannot_help = runbook.parameters_for(fault, &case.watch).is_none_or(|parameters| {
        let readings: BTreeMap<_, _> =
            parameters.into_keys().map(|parameter| (parameter, case.readings.clone())).collect();
        runbook.presence(&readings) == Presence::Gone
    });
    let mends = |kind: &str| kind.parse::<Fault>().is_ok_and(|fault| runbook.triggers.contains(&fault));
    Rank {
        cannot_help,
        wants_approver: runbook.risk >= Risk::High,
        in_vain: case.was_in_vain(&runbook.id),
        leaves: case.others.iter().filter(|o| o.watch == case.watch && !mends(&o.kind)).count(),
        risk: runbook.risk,
    }
}

/// What one has over the other.
fn difference(first: &Rank, second: &Rank) -> &'static str {
    if first.cannot_help != second.cannot_help {
        "by what the incident says, that one would find nothing to do"
    } else if first.wants_approver != second.wants_approver {
        "that one wants an approver"
    } else if first.in_vain != second.in_vain {
        "that one was in vain here lately"
    } else if first.leaves != second.leaves {
        "it mends more of what is wrong there"
    } else if first.risk != second.risk {
        "it risks less"
    } else {
        "first by name"
    }
}

#[cfg(test)]
mod tests {
    use proto::{ids::SiteId, time::Millis};
    use runbooks::{Catalogue, Policy, Runbook, from_yaml, sources};

    use super::*;
    use crate::planner::{Other, Tried};

    fn runbook(base: &str, id: &str, change: impl FnOnce(&mut Runbook)) -> Runbook {
        let (name, text) = sources().iter().find(|(name, _)| name.contains(base)).unwrap();
        let mut made = from_yaml(text, name).unwrap();
        made.id = id.parse().unwrap();
        change(&mut made);
        made
    }

    /// Four for a file system, the shipped one among them.
    fn catalogue() -> Catalogue {
        let full_only = |risk: Risk| {
            move |made: &mut Runbook| {
                made.risk = risk;
                made.triggers.truncate(1);
                made.precondition.truncate(1);
                made.verification.truncate(1);
            }
        };
        let all = vec![
            runbook("RB-DISK-001", "RB-DISK-001", |_| {}),
            runbook("RB-DISK-001", "RB-DISK-101", full_only(Risk::Low)),
            runbook("RB-DISK-001", "RB-DISK-102", full_only(Risk::Low)),
            runbook("RB-DISK-001", "RB-DISK-109", full_only(Risk::High)),
        ];
        Catalogue::parse(&Catalogue::build(1, Millis(1), Millis(2), all).unwrap()).unwrap()
    }

    fn case(kind: &str) -> Case {
        Case {
            kind: kind.into(),
            watch: "data".parse().unwrap(),
            readings: [("used_percent".to_owned(), 97), ("limit_percent".to_owned(), 90)].into(),
            note: String::new(),
            others: Vec::new(),
            tried: Vec::new(),
        }
    }

    fn site() -> SiteId {
        "0190a0c0-0000-7000-8000-000000000001".parse().unwrap()
    }

    #[track_caller]
    fn chooses(case: &Case, runbook: &str, why: &str) {
        let catalogue = catalogue();
        let allowed = Allowed::of(&case.kind, site(), &catalogue, &Policy::default_local()).unwrap();
        let (pick, plan) = choose(&allowed, case).unwrap();
        assert_eq!((pick.runbook().as_str(), plan.planner.as_str()), (runbook, "rules"));
        assert!(plan.reason.contains(why), "{}", plan.reason);
    }

    #[test]
    fn of_equals_the_least_risk_then_the_first_by_name() {
        chooses(&case("filesystem.full"), "RB-DISK-101", "before RB-DISK-102: first by name");
        chooses(&case("filesystem.inodes-used"), "RB-DISK-001", "triggers RB-DISK-001, risk medium");
    }

    #[test]
    fn what_was_in_vain_here_lately_comes_after_what_was_not() {
        let mut case = case("filesystem.full");
        let tried = |runbook: &str, helped, ended| Tried {
            runbook: runbook.parse().unwrap(),
            helped,
            ended: Millis(ended),
        };
        case.tried = vec![tried("RB-DISK-101", false, 9), tried("RB-DISK-101", true, 5)];
        chooses(&case, "RB-DISK-102", "before RB-DISK-001: it risks less");
        case.tried.insert(0, tried("RB-DISK-102", false, 10));
        chooses(&case, "RB-DISK-001", "before RB-DISK-101: that one was in vain here lately");
        case.tried.insert(0, tried("RB-DISK-001", false, 10));
        // Never by rules alone what wants an approver, while something else was to be had.
        let catalogue = catalogue();
        let allowed = Allowed::of(&case.kind, site(), &catalogue, &Policy::default_local()).unwrap();
        let why = choose(&allowed, &case).unwrap_err();
        assert!(why.contains("RB-DISK-101, which risks least for filesystem.full, was in vain"), "{why}");
        // The newest one counts: it has helped since.
        case.tried.insert(0, tried("RB-DISK-101", true, 11));
        chooses(&case, "RB-DISK-101", "risk low");
    }

    #[test]
    fn what_mends_more_of_what_is_wrong_there_comes_first_and_elsewhere_does_not_count() {
        let mut case = case("filesystem.full");
        let other =
            |watch: &str| Other { kind: "filesystem.inodes-used".into(), watch: watch.parse().unwrap() };
        case.others = vec![other("elsewhere")];
        chooses(&case, "RB-DISK-101", "first by name");
        case.others.push(other("data"));
        chooses(&case, "RB-DISK-001", "it mends more of what is wrong there");
    }

    #[test]
    fn what_would_find_nothing_to_do_comes_last() {
        let mut case = case("filesystem.full");
        case.readings = [
            ("used_percent".to_owned(), 50),
            ("limit_percent".to_owned(), 90),
            ("inodes_used_percent".to_owned(), 99),
            ("inodes_limit_percent".to_owned(), 90),
        ]
        .into();
        chooses(&case, "RB-DISK-001", "by what the incident says, that one would find nothing to do");
    }
}
