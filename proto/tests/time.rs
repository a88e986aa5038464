//! Trusted time: what an executor may conclude from tokens, whatever comes in whatever order.

use std::time::Duration;

use proptest::prelude::*;
use proto::{
    charter::{Charter, Quorum},
    dsse,
    ids::{Incarnation, Nonce},
    keys::SecretKey,
    time::{
        ANSWER_WITHIN, Millis, Question, TIME_TOKEN_TYPE, TOKEN_TOLERANCE, TimeError, TimeToken, TrustedTime,
    },
};

const BUILD: Millis = Millis(1_790_000_000_000);
const HERE: Incarnation = Incarnation([1; 16]);
const MS: Duration = Duration::from_millis(1);

fn order_key() -> SecretKey {
    SecretKey::ed25519([11; 32])
}

fn charter() -> Charter {
    let key = |seed: u8| SecretKey::ed25519([seed; 32]).public();
    Charter {
        organization: "msp.example".into(),
        serial: 1,
        issued: BUILD,
        not_after: BUILD.plus(Duration::from_secs(180 * 86_400)),
        order_keys: [order_key().public()].into(),
        log_keys: [key(12)].into(),
        release_keys: Quorum { threshold: 2, keys: [key(13), key(14)].into() },
        certificate_authorities: vec!["PEM".into()],
        witnesses: Vec::new(),
        witness_quorum: None,
        approvers: Vec::new(),
    }
}

fn nonce(n: u8) -> Nonce {
    Nonce([n; 16])
}

fn question(n: u8, asked: Duration) -> Question {
    Question { nonce: nonce(n), asked }
}

fn token(n: u8, at: Millis) -> Vec<u8> {
    TimeToken { incarnation: HERE, nonce: nonce(n), at }.seal(&order_key())
}

fn after(ms: i64) -> Millis {
    Millis(BUILD.0 + ms)
}

#[test]
fn without_a_token_there_is_a_floor_and_no_time() {
    let time = TrustedTime::from_floor(BUILD);
    let later = Duration::from_secs(1_000_000);
    assert_eq!((time.floor(later), time.now(later)), (BUILD, None));
}

#[test]
fn a_token_and_the_boot_clock_make_the_time() {
    let mut time = TrustedTime::from_floor(BUILD);
    time.accept(&token(1, after(5_000)), &charter(), HERE, question(1, 100 * MS), 400 * MS).unwrap();
    // The latest possible: the whole way counted as if the clock had been read at once.
    assert_eq!(time.now(400 * MS), Some(after(5_300)));
    assert_eq!(time.now(10_400 * MS), Some(after(15_300)));
    assert_eq!(time.floor(400 * MS), after(5_000));
    assert_eq!(time.now(Duration::ZERO), Some(after(5_300)), "a boot clock does not run backwards");
}

#[test]
fn a_token_answers_its_own_question_only() {
    let other = Incarnation([2; 16]);
    let stranger = SecretKey::ed25519([66; 32]);
    let of_other = TimeToken { incarnation: other, nonce: nonce(1), at: after(1) }.seal(&order_key());
    let by_stranger = TimeToken { incarnation: HERE, nonce: nonce(1), at: after(1) }.seal(&stranger);
    let by_log_key =
        TimeToken { incarnation: HERE, nonce: nonce(1), at: after(1) }.seal(&SecretKey::ed25519([12; 32]));
    let payload =
        serde_json::to_vec(&TimeToken { incarnation: HERE, nonce: nonce(1), at: after(1) }).unwrap();
    let other_purpose = dsse::seal("application/vnd.orderly.order.v1+protobuf", &payload, &[&order_key()]);
    let malformed = dsse::seal(TIME_TOKEN_TYPE, b"{}", &[&order_key()]);
    type Says = fn(&TimeError) -> bool;
    let cases: [(&str, Vec<u8>, Says); 8] = [
        ("another nonce", token(2, after(1)), |e| *e == TimeError::UnknownNonce),
        ("another incarnation", of_other, |e| *e == TimeError::OtherIncarnation),
        ("a stranger's key", by_stranger, |e| matches!(e, TimeError::Signature(_))),
        ("the log key", by_log_key, |e| matches!(e, TimeError::Signature(_))),
        ("another purpose", other_purpose, |e| matches!(e, TimeError::Signature(_))),
        ("not a token", malformed, |e| matches!(e, TimeError::Malformed(_))),
        ("below the floor", token(1, Millis(BUILD.0 - 1)), |e| matches!(e, TimeError::BelowFloor { .. })),
        ("nothing", Vec::new(), |e| matches!(e, TimeError::Signature(_))),
    ];
    for (case, token, says) in cases {
        let mut time = TrustedTime::from_floor(BUILD);
        let refused = time.accept(&token, &charter(), HERE, question(1, MS), 2 * MS).unwrap_err();
        assert!(says(&refused), "{case}: {refused}");
        assert_eq!(time, TrustedTime::from_floor(BUILD), "{case}: changed something");
    }
}

#[test]
fn an_answer_counts_for_two_minutes() {
    let asked = 7 * MS;
    for (boot, works) in [(asked + ANSWER_WITHIN, true), (asked + ANSWER_WITHIN + MS, false)] {
        let mut time = TrustedTime::from_floor(BUILD);
        let taken = time.accept(&token(1, after(0)), &charter(), HERE, question(1, asked), boot);
        assert_eq!(taken.is_ok(), works, "{boot:?}");
    }
    assert_eq!(ANSWER_WITHIN, Duration::from_secs(120));
}

/// A stolen order key works until the next charter; a floor in the year 3000 would work for ever.
#[test]
fn a_token_from_beyond_its_charter_sets_no_floor() {
    let end = charter().not_after;
    let mut time = TrustedTime::from_floor(BUILD);
    for at in [end, end.plus(Duration::from_secs(86_400 * 365_000))] {
        let refused = time.accept(&token(1, at), &charter(), HERE, question(1, MS), 2 * MS).unwrap_err();
        assert_eq!(refused, TimeError::BeyondCharter { at, not_after: end });
    }
    assert_eq!(time, TrustedTime::from_floor(BUILD));
    time.accept(&token(1, Millis(end.0 - 1)), &charter(), HERE, question(1, MS), 2 * MS).unwrap();
}

/// Once anchored, a token says what the boot-time clock has counted, give or take; however often it is tried.
#[test]
fn a_token_cannot_make_time_jump() {
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
    let anchored = || {
        let mut time = TrustedTime::from_floor(BUILD);
        time.accept(&token(1, after(0)), &charter(), HERE, question(1, day), day).unwrap();
        time
    };
    let in_an_hour = BUILD.plus(60 * minute);
    let drift = 60 * minute / 1000;
    for (case, at, works) in [
        ("as counted", in_an_hour, true),
        ("ahead within the tolerance", in_an_hour.plus(TOKEN_TOLERANCE + drift), true),
        ("ahead beyond it", in_an_hour.plus(TOKEN_TOLERANCE + drift + MS), false),
        ("a month ahead", in_an_hour.plus(30 * day), false),
        ("behind within the tolerance", in_an_hour.minus(TOKEN_TOLERANCE + drift), true),
        ("behind beyond it", in_an_hour.minus(TOKEN_TOLERANCE + drift + MS), false),
        ("the first one's time", BUILD, false),
    ] {
        let (mut time, boot) = (anchored(), day + 60 * minute);
        let taken = time.accept(&token(2, at), &charter(), HERE, question(2, boot), boot);
        assert_eq!(taken.is_ok(), works, "{case}: {taken:?}");
    }
    let mut time = anchored();
    let mut at = BUILD;
    for _ in 0..100 {
        at = at.plus(minute);
        let _ = time.accept(&token(2, at), &charter(), HERE, question(2, day), day);
    }
    assert_eq!(time.now(day), Some(BUILD.plus(TOKEN_TOLERANCE)), "many small jumps are one");
}

#[test]
fn a_charter_that_withdraws_the_key_takes_its_time_back() {
    let far = charter().not_after.minus(MS);
    let pushed = || {
        let mut time = TrustedTime::from_floor(BUILD);
        time.accept(&token(1, far), &charter(), HERE, question(1, MS), 2 * MS).unwrap();
        time
    };
    let next = Charter { serial: 2, issued: after(7), ..charter() };
    let other = Charter { order_keys: [SecretKey::ed25519([50; 32]).public()].into(), ..next.clone() };
    let both = Charter {
        order_keys: [order_key().public(), SecretKey::ed25519([50; 32]).public()].into(),
        ..next.clone()
    };
    for (case, newer, expected) in
        [("the same key", next, None), ("one more key", both, None), ("another key", other, Some(after(7)))]
    {
        let mut time = pushed();
        assert_eq!(time.withdrawn(&charter(), &newer, BUILD), expected, "{case}");
        assert_eq!(time.floor(2 * MS), expected.unwrap_or(far), "{case}");
        assert_eq!(time.now(2 * MS).is_none(), expected.is_some(), "{case}: nobody vouches for it any more");
    }
    let newer =
        Charter { order_keys: [SecretKey::ed25519([50; 32]).public()].into(), issued: after(9), ..charter() };
    assert_eq!(pushed().withdrawn(&charter(), &newer, after(11)), Some(after(11)), "never before the build");
    let mut behind = TrustedTime::from_floor(BUILD);
    assert_eq!(behind.withdrawn(&charter(), &newer, BUILD), None, "there is nothing to take back");
}

#[test]
fn a_slow_answer_is_tightened_by_a_quick_one() {
    let mut time = TrustedTime::from_floor(BUILD);
    // The truth is BUILD + boot. The first answer took a minute, and was read at its beginning.
    time.accept(&token(1, after(0)), &charter(), HERE, question(1, Duration::ZERO), 60_000 * MS).unwrap();
    assert_eq!(time.now(60_000 * MS), Some(after(60_000)));
    time.accept(&token(2, after(70_000)), &charter(), HERE, question(2, 60_000 * MS), 70_000 * MS).unwrap();
    assert_eq!(time.now(70_000 * MS), Some(after(70_000)), "never below what the server has said");
    // A slower one afterwards does not blur it again.
    time.accept(&token(3, after(75_000)), &charter(), HERE, question(3, 70_000 * MS), 100_000 * MS).unwrap();
    assert_eq!(time.now(100_000 * MS), Some(after(100_000)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The truth is BUILD + boot, the server honest: then time is never behind the truth, at most two minutes ahead of it,
    /// and the floor never goes back and never passes the truth.
    #[test]
    fn honest_tokens_bound_the_truth(steps in prop::collection::vec((0..100_000_u64, 0..130_000_u64, 0..=100_u64), 1..30)) {
        let mut time = TrustedTime::from_floor(BUILD);
        let mut boot = 0_u64;
        for (n, (pause, way, percent)) in steps.into_iter().enumerate() {
            let asked = boot + pause;
            boot = asked + way;
            let read = after(i64::try_from(asked + way * percent / 100).unwrap());
            let n = u8::try_from(n).unwrap();
            let floor = time.floor(Duration::from_millis(asked));
            let taken = time.accept(
                &token(n, read), &charter(), HERE, question(n, Duration::from_millis(asked)), Duration::from_millis(boot),
            );
            prop_assert_eq!(taken.is_ok(), way <= 120_000);
            let now = Duration::from_millis(boot);
            prop_assert!(time.floor(now) >= floor);
            let truth = after(i64::try_from(boot).unwrap());
            prop_assert!(time.floor(now) <= truth);
            if let Some(now) = time.now(Duration::from_millis(boot)) {
                prop_assert!(now >= truth, "{} is behind the truth {}: something expired would be fresh", now, truth);
                prop_assert!(now.since(truth) <= ANSWER_WITHIN);
            }
        }
    }

    /// Whatever a stolen order key signs: the floor only rises, and the time is never below it.
    #[test]
    fn no_tokens_turn_the_floor_back(steps in prop::collection::vec((any::<i32>(), 0..200_000_u64, 0..200_000_u64, 0..3_u8, 0..3_u8), 1..40)) {
        let mut time = TrustedTime::from_floor(BUILD);
        let mut boot = Duration::ZERO;
        for (at, pause, way, said, asked) in steps {
            let begun = boot + Duration::from_millis(pause);
            boot = begun + Duration::from_millis(way);
            let (before, at) = (time.clone(), Millis(BUILD.0 + i64::from(at)));
            let taken = time.accept(&token(said, at), &charter(), HERE, question(asked, begun), boot);
            let (earliest, latest) = before.bounds(boot);
            let within = at >= earliest && latest.is_none_or(|latest| at <= latest);
            prop_assert_eq!(taken.is_ok(), said == asked && way <= 120_000 && within);
            if taken.is_err() {
                prop_assert_eq!(&time, &before);
            }
            prop_assert!(time.floor(boot) >= before.floor(boot));
            prop_assert!(time.now(boot).is_none_or(|now| now >= time.floor(boot)));
        }
    }

    #[test]
    fn times_read_back_and_never_overflow(ms in any::<i64>(), span in any::<u64>()) {
        let time = Millis(ms);
        let span = Duration::from_millis(span);
        prop_assert!(time.plus(span) >= time && time.minus(span) <= time);
        prop_assert!(time.since(time.plus(span)).is_zero());
        let text = time.to_string();
        // Outside of the years that RFC 3339 knows, it prints and does not read.
        if let Ok(again) = text.parse::<Millis>() {
            prop_assert_eq!(again, time);
        } else {
            prop_assert!(text.ends_with(" ms"));
        }
    }
}

#[test]
fn times_are_rfc_3339_in_utc() {
    assert_eq!(Millis(1_793_491_200_000).to_string(), "2026-11-01T00:00:00.000Z");
    assert_eq!("2026-11-01T00:00:00.000Z".parse(), Ok(Millis(1_793_491_200_000)));
    for bad in ["", "yesterday", "2026-11-01", "2026-11-01T00:00:00", "1793491200000"] {
        assert!(bad.parse::<Millis>().is_err(), "{bad}");
    }
}
