//! SIGTERM: what is held open is answered, not broken.

use std::time::{Duration, Instant};

use crate::{
    home::Home,
    running::{Device, Running},
};

/// How long the server lets requests go on once it was told to stop.
const DRAIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "how long a real process takes to end is what is measured")]
async fn a_held_call_is_answered_before_the_drain_ends() {
    let home = Home::new();
    let mut running = Running::start(&home);
    let mut device = Device::enrol(&home, running.appliances).await;
    let (mut link, asked) = (device.link(&home).await, device.exchange(Vec::new(), 60_000));
    let held = tokio::spawn(async move { link.sync(asked).await });
    // Once it was seen, its call waits for something to be said.
    while home.json(&["appliance", "list"])["appliances"][0]["seen"].is_null() {
        assert!(!held.is_finished(), "there is nothing to say, so it must be held");
    }
    let shown = home.json(&["appliance", "list"])["appliances"][0].clone();
    assert_eq!((&shown["hardware"], &shown["state"]), (&"nuc-small".into(), &"active".into()));
    assert!(!held.is_finished(), "there is nothing to say, so it must be held");

    let told = Instant::now();
    running.terminate();
    let answer = held.await.unwrap().unwrap().into_inner();
    assert!(answer.orders.is_empty() && !answer.time_token.is_empty(), "a whole answer, with nothing new");
    assert!(running.ended().success());
    assert!(told.elapsed() < DRAIN, "it took {:?}: only the drain's end did it", told.elapsed());
    assert!(!home.directory().admin_socket().exists());
}
