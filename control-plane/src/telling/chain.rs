//! The escalation chain: whom now, and when the next, unless somebody takes it on.
//!
//! The rule: the wait for an acknowledgement begins when the first of a step may hear of it. While all of a step sleep, and
//! it is not urgent, nobody of the next is woken in their place.

use proto::time::Millis;

use super::{Named, Rules, quiet};

/// One step: who is told, not before when; and what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// Channels, and from when each may be told.
    pub letters: Vec<(String, Millis)>,
    /// The step after it, and when that is due; `None`: there is none.
    pub next: Option<(usize, Millis)>,
}

/// From when on a channel may be told of what comes at `now`.
#[must_use]
pub fn heard(rules: &Rules, channel: &str, urgent: bool, now: Millis) -> Millis {
    let quiet = rules.channels.get(channel).filter(|_| !urgent);
    quiet.map_or(now, |quiet| quiet::over(quiet, now).unwrap_or(now))
}

/// Step `step` of a tenant's chain at `now`; one that is not there tells nobody, and ends it.
#[must_use]
pub fn round(rules: &Rules, tenant: &Named, step: usize, urgent: bool, now: Millis) -> Round {
    let steps = rules.steps_of(tenant);
    let Some(this) = steps.get(step) else { return Round { letters: vec![], next: None } };
    let letters: Vec<(String, Millis)> =
        this.tell.iter().map(|channel| (channel.clone(), heard(rules, channel, urgent, now))).collect();
    let first = letters.iter().map(|(_, at)| *at).min().unwrap_or(now);
    let next = match steps.get(step + 1) {
        Some(next) => Some((step + 1, first.plus(next.after))),
        None => rules.again.map(|again| (0, first.plus(again))),
    };
    Round { letters, next }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use runbooks::Window;

    use super::*;
    use crate::telling::Step;

    const MINUTE: Duration = Duration::from_secs(60);

    fn rules(again: Option<Duration>) -> Rules {
        let night = Window::typed("daily 20:00-07:00 UTC").unwrap();
        let step = |minutes: u32, tell: &[&str]| Step {
            after: MINUTE * minutes,
            tell: tell.iter().map(|name| (*name).to_owned()).collect(),
        };
        Rules {
            channels: [
                ("desk".to_owned(), vec![night]),
                ("psa".to_owned(), vec![]),
                ("pager".to_owned(), vec![]),
            ]
            .into(),
            steps: vec![step(0, &["desk"]), step(15, &["psa", "pager"])],
            again,
            ..Rules::default()
        }
    }

    fn clinic(name: &str) -> Named {
        Named { id: "0190a0c0-0000-7000-8000-000000000001".parse().unwrap(), name: name.into() }
    }

    fn round(rules: &Rules, step: usize, urgent: bool, now: Millis) -> Round {
        super::round(rules, &clinic("Elm"), step, urgent, now)
    }

    fn at(text: &str) -> Millis {
        text.parse().unwrap()
    }

    #[test]
    fn one_step_after_the_other_and_then_an_end() {
        let (rules, noon) = (rules(None), at("2026-11-11T12:00:00Z"));
        let first = round(&rules, 0, false, noon);
        let later = noon.plus(15 * MINUTE);
        assert_eq!(first, Round { letters: vec![("desk".into(), noon)], next: Some((1, later)) });
        let second = round(&rules, 1, false, later);
        assert_eq!(second.letters, [("psa".to_owned(), later), ("pager".to_owned(), later)]);
        assert_eq!((second.next, round(&rules, 2, false, later).letters.len()), (None, 0));
    }

    #[test]
    fn the_night_is_waited_for_before_the_next_is_woken_unless_it_is_urgent() {
        let (rules, night, morning) = (rules(None), at("2026-11-11T22:00:00Z"), at("2026-11-12T07:00:00Z"));
        let calm = round(&rules, 0, false, night);
        assert_eq!(calm.letters, [("desk".to_owned(), morning)]);
        assert_eq!(calm.next, Some((1, morning.plus(15 * MINUTE))));
        let urgent = round(&rules, 0, true, night);
        assert_eq!((urgent.letters[0].1, urgent.next), (night, Some((1, night.plus(15 * MINUTE)))));
    }

    #[test]
    fn where_it_is_asked_for_it_begins_anew() {
        let (rules, noon) = (rules(Some(60 * MINUTE)), at("2026-11-11T12:00:00Z"));
        assert_eq!(round(&rules, 1, false, noon).next, Some((0, noon.plus(60 * MINUTE))));
    }

    #[test]
    fn who_is_there_for_some_tenants_hears_of_no_other_and_nobody_waits_for_them() {
        let (mut rules, noon) = (rules(None), at("2026-11-11T12:00:00Z"));
        rules.only = [("desk".to_owned(), vec!["Oak".to_owned()]), ("psa".to_owned(), vec![])].into();
        // By name; or by ID, which stays when the name changes.
        let of_oak = super::round(&rules, &clinic("Oak"), 0, false, noon);
        assert_eq!(
            of_oak,
            Round { letters: vec![("desk".into(), noon)], next: Some((1, noon.plus(15 * MINUTE))) }
        );
        let of_elm = round(&rules, 0, false, noon);
        assert_eq!(of_elm, Round { letters: vec![("pager".into(), noon)], next: None });
        rules.only = [("desk".to_owned(), vec![clinic("").id.to_string()])].into();
        assert_eq!(round(&rules, 0, false, noon).letters[0].0, "desk");
    }

    #[test]
    fn a_chain_that_was_shortened_meanwhile_ends() {
        assert_eq!(round(&Rules::default(), 0, false, Millis(1)), Round { letters: vec![], next: None });
    }
}
