//! Who hears of a question, and what they hear when it is over.

use std::time::Duration;

use control_plane::{
    access::{Grant, Principal},
    telling::{News, Rules, Step},
};
use proto::evidence::Verdict;
use runbooks::Window;

use super::{approve, asked_about_under, waiting};
use crate::world::{HOUR, MINUTE, World};

/// A desk that is never disturbed when this begins, and a pager.
fn rules(safe: &mut crate::world::Safe) {
    let step = |minutes: u32, tell: &str| Step { after: MINUTE * minutes, tell: vec![tell.to_owned()] };
    let quiet = Window::typed("daily 00:00-23:59 UTC").unwrap();
    safe.settings.telling = Rules {
        channels: [("desk".to_owned(), vec![quiet]), ("pager".to_owned(), vec![])].into(),
        steps: vec![step(0, "desk"), step(15, "pager")],
        ..Rules::default()
    };
}

/// Channel, news, and minutes since the beginning.
fn letters(world: &World) -> Vec<(String, News, u64)> {
    let mut all = world.core.notifications("", "", 100).unwrap();
    all.reverse();
    let since = all[0].created;
    let minutes = |span: Duration| span.as_secs() / 60;
    all.into_iter().map(|row| (row.channel, row.news, minutes(row.due.since(since)))).collect()
}

#[test]
fn a_question_wakes_people_one_after_the_other_until_it_is_answered_and_they_hear_how_it_ends() {
    let (mut world, mut appliance) = asked_about_under(None, rules);
    assert_eq!(letters(&world), [("desk".into(), News::Asked, 0)], "it runs out: it does not wait");
    world.wait(15 * MINUTE);
    assert_eq!(letters(&world)[1..], [("pager".into(), News::Asked, 15)]);
    let asked = waiting(&world);
    approve(&mut world, &asked, "ann").unwrap();
    world.call(&mut appliance);
    let order = appliance.newest_order();
    let done = appliance.executed(world.now, &order, Verdict::Repaired);
    world.send(&mut appliance, vec![done]);
    let over = [("desk".to_owned(), News::Gone, 15), ("pager".to_owned(), News::Gone, 15)];
    assert_eq!(letters(&world)[2..], over);
}

#[test]
fn nobody_else_is_called_about_a_question_that_somebody_answered_or_took_on() {
    let (mut world, _appliance) = asked_about_under(None, rules);
    let asked = waiting(&world);
    approve(&mut world, &asked, "ann").unwrap();
    world.wait(20 * MINUTE);
    assert_eq!(letters(&world).len(), 1, "answered");

    let (mut world, _appliance) = asked_about_under(None, rules);
    let now = world.now;
    let id = world.core.incidents("", "planned", 1).unwrap()[0].id.to_string();
    let by = Principal::token("bob".into(), "192.0.2.7".into(), Grant::everything());
    let call = "Notifications/Acknowledge";
    world
        .core
        .run(now, |core| core.acting_as(by, call, now, |core| core.acknowledge(&id, now).map(drop)))
        .unwrap();
    world.wait(20 * MINUTE);
    assert_eq!(letters(&world)[1..], [("desk".into(), News::Acknowledged, 0)], "taken on");
    // But when nobody agrees in time it is a fault that needs a person, and that is another call.
    let (mut world, mut appliance) = asked_about_under(None, rules);
    for _ in 0..2 {
        world.wait(4 * HOUR);
        world.call(&mut appliance);
    }
    let news: Vec<News> = letters(&world).into_iter().map(|(_, news, _)| news).collect();
    assert_eq!(news.iter().filter(|news| **news == News::Raised).count(), 1, "{news:?}");
}
