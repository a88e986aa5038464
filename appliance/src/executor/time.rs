//! Time as the executor knows it: trusted time from signed tokens, and its own active time for cooldowns.
//!
//! The rule: what nobody vouched for counts for nothing. Active time is the time that this machine was up, by the
//! boot-time clock, summed up durably over boots. Time spent powered off counts only where both of its ends were trusted,
//! and then no more than the wall clock says too: the order key signs tokens, and must not be able to end a cooldown.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use proto::{
    charter::Charter,
    dsse::Envelope,
    evidence::{self, ClockSource, Synchronised},
    ids::{Incarnation, Nonce},
    time::{Millis, Question, TimeError, TimeToken, TrustedTime},
};

use super::{
    pulse::Moment,
    running,
    store::{Mark, Times},
};
use crate::world::{Clock, World, draw};

/// How many questions may be open at once.
const QUESTIONS: usize = 16;

/// Both kinds of time, since this executor was opened.
pub(super) struct Time {
    clock: Arc<dyn Clock>,
    /// Boot-time clock when it was opened.
    opened: Duration,
    /// Active time at that moment, and what was found out later to have passed before it.
    base: Duration,
    mark: Option<Mark>,
    trusted: TrustedTime,
    build: Millis,
    questions: VecDeque<Question>,
    /// How the machine's clock was kept when somebody last looked, and when that was (boot-time clock).
    kept: Option<(Synchronised, Duration)>,
}

impl Time {
    /// Goes on from what is durable. `build`: this program did not exist before.
    pub(super) fn resume(clock: Arc<dyn Clock>, durable: &Times, build: Millis) -> Self {
        let opened = clock.boot();
        // The program was away, the machine was not.
        let away = match (durable.boot, clock.boot_id()) {
            (Some((then, at)), Some(now)) if then == now => opened.saturating_sub(at),
            _ => Duration::ZERO,
        };
        Self {
            opened,
            clock,
            base: durable.active + away,
            mark: durable.mark,
            trusted: TrustedTime::from_floor(durable.floor.max(build)),
            build,
            questions: VecDeque::new(),
            kept: None,
        }
    }

    /// Boot-time clock.
    pub(super) fn boot(&self) -> Duration {
        self.clock.boot()
    }

    /// Time since it was opened.
    pub(super) fn session(&self) -> Duration {
        self.clock.boot().saturating_sub(self.opened)
    }

    /// Active time: what cooldowns and budgets count.
    pub(super) fn active(&self) -> Duration {
        self.base + self.session()
    }

    /// Trusted time; `None` without a token since it was opened.
    pub(super) fn now(&self) -> Option<Millis> {
        self.trusted.now(self.clock.boot())
    }

    /// What this machine's own clock says; nobody vouches for it, and nobody elsewhere can set it.
    pub(super) fn wall(&self) -> Millis {
        self.clock.wall()
    }

    /// The best time at hand, for measurements and for people.
    pub(super) fn best(&self) -> Millis {
        self.now().unwrap_or_else(|| self.clock.wall())
    }

    /// This moment by the machine's own clocks.
    pub(super) fn moment(&self) -> Moment {
        Moment { boot_id: self.clock.boot_id(), boot: self.clock.boot(), wall: self.clock.wall() }
    }

    /// Somebody has looked how the machine's clock is kept.
    pub(super) fn kept(&mut self, synchronised: Synchronised) {
        self.kept = Some((synchronised, self.clock.boot()));
    }

    /// How it was kept when somebody last looked; a look that is overdue tells nothing.
    fn synchronised(&self) -> Synchronised {
        let recent = |at: Duration| self.clock.boot().saturating_sub(at) <= 2 * running::LOOK_EVERY;
        self.kept.filter(|(_, at)| recent(*at)).map_or(Synchronised::Unknown, |(kept, _)| kept)
    }

    /// How the clock stands, for a record.
    pub(super) fn stamp(&self) -> evidence::Clock {
        let (wall, trusted) = (self.clock.wall(), self.now());
        let at = trusted.unwrap_or(wall);
        evidence::Clock {
            at,
            source: if trusted.is_some() { ClockSource::Token } else { ClockSource::Wall },
            wall_offset_ms: wall.0.saturating_sub(at.0),
            floor: self.trusted.floor(self.clock.boot()),
            synchronised: Some(self.synchronised()),
        }
    }

    /// What must become durable.
    pub(super) fn durable(&self) -> Times {
        let (at, id, wall) = (self.clock.boot(), self.clock.boot_id(), self.clock.wall());
        let active = self.base + at.saturating_sub(self.opened);
        let mark = self.trusted.now(at).map(|trusted| Mark { active, trusted, wall, boot: id }).or(self.mark);
        Times { floor: self.trusted.floor(at), active, boot: id.map(|id| (id, at)), mark }
    }

    /// How much time has passed since `mark` that the boot-time clock may have missed.
    fn passed_since(&self, mark: &Mark, now: Millis) -> Duration {
        if mark.boot.is_some() && mark.boot == self.clock.boot_id() {
            return Duration::ZERO; // it has missed none
        }
        now.since(mark.trusted).min(self.clock.wall().since(mark.wall))
    }

    /// A new question, for the next token.
    pub(super) fn ask(&mut self, world: &World) -> Nonce {
        let nonce = Nonce(draw(&*world.entropy));
        if self.questions.len() == QUESTIONS {
            self.questions.pop_front();
        }
        self.questions.push_back(Question { nonce, asked: self.clock.boot() });
        nonce
    }

    /// A charter that withdraws an order key is about to follow the one that named it: what that key said of the time is
    /// taken back. Says the floor to be kept with it.
    pub(super) fn withdrawn(&mut self, older: &Charter, newer: &Charter) -> Option<Millis> {
        let floor = self.trusted.withdrawn(older, newer, self.build)?;
        self.mark = None;
        Some(floor)
    }

    /// Takes a token in answer to one of the open questions.
    pub(super) fn accept(
        &mut self,
        token: &[u8],
        charter: &Charter,
        incarnation: Incarnation,
    ) -> Result<(), TimeError> {
        // Which question it answers is read before it is believed; `accept` believes only what is signed.
        let parsed = Envelope::parse(token).map_err(TimeError::Signature)?;
        let claimed: TimeToken = serde_json::from_slice(parsed.unverified_payload())
            .map_err(|e| TimeError::Malformed(e.to_string()))?;
        let asked = self.questions.iter().position(|question| question.nonce == claimed.nonce);
        let at = asked.ok_or(TimeError::UnknownNonce)?;
        let boot = self.clock.boot();
        let first = self.trusted.now(boot).is_none();
        self.trusted.accept(token, charter, incarnation, self.questions[at], boot)?;
        self.questions.remove(at);
        if let (true, Some(mark), Some(now)) = (first, self.mark, self.trusted.now(boot)) {
            let counted = self.active().saturating_sub(mark.active);
            self.base += self.passed_since(&mark, now).saturating_sub(counted);
        }
        Ok(())
    }
}

/// Whole milliseconds.
pub(super) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proto::keys::SecretKey;

    use super::*;
    use crate::{clock::SystemEntropy, executor::testing, world::BootId};

    const SECOND: Duration = Duration::from_secs(1);

    /// Wall clock, boot-time clock, and how often it was booted.
    struct Hands(Mutex<(Millis, Duration, u8)>);

    impl Clock for Hands {
        fn wall(&self) -> Millis {
            self.0.lock().unwrap().0
        }
        fn boot(&self) -> Duration {
            self.0.lock().unwrap().1
        }
        fn boot_id(&self) -> Option<BootId> {
            Some(BootId([self.0.lock().unwrap().2; 16]))
        }
    }

    impl Hands {
        fn pass(&self, span: Duration) {
            let mut hands = self.0.lock().unwrap();
            *hands = (hands.0.plus(span), hands.1 + span, hands.2);
        }

        /// Powered off for that long, by a wall clock that goes on meanwhile.
        fn power_off(&self, span: Duration) {
            let mut hands = self.0.lock().unwrap();
            *hands = (hands.0.plus(span), SECOND, hands.2 + 1);
        }
    }

    fn world() -> (Arc<Hands>, World) {
        let hands = Arc::new(Hands(Mutex::new((Millis(5_000), 100 * SECOND, 0))));
        (hands.clone(), World { clock: hands, entropy: Arc::new(SystemEntropy) })
    }

    fn new_box() -> Times {
        Times { floor: Millis(0), active: Duration::ZERO, boot: None, mark: None }
    }

    fn answer(time: &mut Time, world: &World, at: Millis) -> Result<(), TimeError> {
        let (key, incarnation) = (SecretKey::ed25519([1; 32]), Incarnation([9; 16]));
        let nonce = time.ask(world);
        let token = TimeToken { incarnation, nonce, at }.seal(&key);
        time.accept(&token, &testing::charter_for_order_key(&key), incarnation)
    }

    #[test]
    fn active_time_is_up_time_summed_over_sessions() {
        let (hands, world) = world();
        let first = Time::resume(world.clock.clone(), &new_box(), Millis(0));
        hands.pass(10 * SECOND);
        assert_eq!(first.active(), 10 * SECOND);
        let durable = first.durable();
        hands.pass(7 * SECOND);
        let second = Time::resume(world.clock.clone(), &durable, Millis(0));
        assert_eq!(second.active(), 17 * SECOND, "the machine was up meanwhile");
        let durable = second.durable();
        hands.power_off(1_000 * SECOND);
        let second = Time::resume(world.clock.clone(), &durable, Millis(0));
        assert_eq!(second.active(), 17 * SECOND, "nobody vouches for the time in between");
        assert_eq!(second.now(), None);
        assert_eq!(second.stamp().source, ClockSource::Wall);
    }

    #[test]
    fn time_in_between_counts_where_both_ends_were_trusted() {
        let (hands, world) = world();
        let mut first = Time::resume(world.clock.clone(), &new_box(), Millis(0));
        answer(&mut first, &world, Millis(1_000_000)).unwrap();
        hands.pass(10 * SECOND);
        let durable = first.durable();
        hands.power_off(485 * SECOND);
        let mut second = Time::resume(world.clock.clone(), &durable, Millis(0));
        hands.pass(5 * SECOND);
        answer(&mut second, &world, Millis(1_000_000).plus(500 * SECOND)).unwrap();
        assert_eq!(second.active(), 500 * SECOND);
    }

    #[test]
    fn a_token_of_a_stolen_key_makes_no_time_pass_over_a_restart_or_a_power_cut() {
        let (hands, world) = world();
        let mut first = Time::resume(world.clock.clone(), &new_box(), Millis(0));
        answer(&mut first, &world, Millis(1_000_000)).unwrap();
        hands.pass(10 * SECOND);
        let durable = first.durable();
        let (day, year) = (86_400 * SECOND, Millis(1_000_000).plus(100 * 86_400 * SECOND));
        // The executor begins anew while the machine goes on.
        hands.pass(5 * SECOND);
        let mut second = Time::resume(world.clock.clone(), &durable, Millis(0));
        answer(&mut second, &world, year).unwrap();
        assert_eq!(second.active(), 15 * SECOND);
        // The machine begins anew: no more than it was off by its own clock.
        hands.power_off(60 * SECOND);
        let mut third = Time::resume(world.clock.clone(), &durable, Millis(0));
        answer(&mut third, &world, year.plus(day)).unwrap();
        assert_eq!(third.active(), 10 * SECOND + 65 * SECOND);
    }

    #[test]
    fn a_later_token_makes_no_time_pass() {
        let (hands, world) = world();
        let mut time = Time::resume(world.clock.clone(), &new_box(), Millis(0));
        answer(&mut time, &world, Millis(1_000_000)).unwrap();
        hands.pass(SECOND);
        answer(&mut time, &world, Millis(1_000_000).plus(240 * SECOND)).unwrap();
        assert_eq!(time.active(), SECOND);
        let day = Millis(1_000_000).plus(86_400 * SECOND);
        assert!(matches!(answer(&mut time, &world, day), Err(TimeError::Ahead { .. })));
    }

    #[test]
    fn the_floor_goes_on_with_the_boot_clock() {
        let (hands, world) = world();
        let mut time = Time::resume(world.clock.clone(), &new_box(), Millis(0));
        answer(&mut time, &world, Millis(1_000_000)).unwrap();
        hands.pass(1_000 * SECOND);
        // Five minutes and a thousandth of what passed are left to drift.
        assert_eq!(time.durable().floor, Millis(1_000_000).plus(699 * SECOND));
        assert!(matches!(answer(&mut time, &world, Millis(1_500_000)), Err(TimeError::BelowFloor { .. })));
    }

    #[test]
    fn a_token_answers_one_question_of_the_last_few() {
        let (_, world) = world();
        let mut time = Time::resume(world.clock.clone(), &new_box(), Millis(0));
        let (key, incarnation) = (SecretKey::ed25519([1; 32]), Incarnation([9; 16]));
        let charter = testing::charter_for_order_key(&key);
        let token = |nonce| TimeToken { incarnation, nonce, at: Millis(7) }.seal(&key);
        let forgotten = time.ask(&world);
        let asked: Vec<Nonce> = (0..QUESTIONS).map(|_| time.ask(&world)).collect();
        assert_eq!(time.accept(&token(forgotten), &charter, incarnation), Err(TimeError::UnknownNonce));
        assert_eq!(time.accept(&token(Nonce([0; 16])), &charter, incarnation), Err(TimeError::UnknownNonce));
        time.accept(&token(asked[3]), &charter, incarnation).unwrap();
        assert_eq!(time.accept(&token(asked[3]), &charter, incarnation), Err(TimeError::UnknownNonce));
        assert_eq!((time.now(), time.durable().floor), (Some(Millis(7)), Millis(7)));
    }

    #[test]
    fn how_the_clock_was_kept_is_said_for_as_long_as_somebody_looks() {
        let (hands, world) = world();
        let mut time = Time::resume(world.clock.clone(), &new_box(), Millis(0));
        assert_eq!(time.stamp().synchronised, Some(Synchronised::Unknown), "nobody has looked");
        time.kept(Synchronised::Yes);
        hands.pass(2 * running::LOOK_EVERY);
        assert_eq!(time.stamp().synchronised, Some(Synchronised::Yes));
        hands.pass(SECOND);
        assert_eq!(time.stamp().synchronised, Some(Synchronised::Unknown), "a look is overdue");
    }

    #[test]
    fn the_build_is_a_floor() {
        let (_, world) = world();
        let mut time = Time::resume(world.clock.clone(), &new_box(), Millis(1_000));
        assert!(matches!(answer(&mut time, &world, Millis(999)), Err(TimeError::BelowFloor { .. })));
    }
}
