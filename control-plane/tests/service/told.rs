//! Whom nobody could tell: an operator sees it on the command line.

use std::fs;

use rusqlite::Connection;

use crate::{
    home::Home,
    running::{Device, Running, event},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_shown() {
    let home = Home::new();
    let config = home.directory().config();
    let text = fs::read_to_string(&config).unwrap();
    // Port 9 of this machine: nobody listens there.
    let text = text.replace("[escalation]\n", "[escalation]\nwebhook = \"http://127.0.0.1:9/\"\n");
    fs::write(&config, text).unwrap();
    let mut running = Running::start(&home);
    let mut device = Device::enrol(&home, running.appliances).await;
    let mut records = device.beginning();
    records.push(event());
    let asked = device.exchange(records, 0);
    device.link(&home).await.sync(asked).await.unwrap();

    // The first try fails at once, and is said.
    let told = || home.json(&["incident", "list"])["incidents"][0]["told"].clone();
    while told()["attempts"] == 0 {}
    let first = told();
    assert_eq!(first["state"], "due", "{first}");
    assert!(first["last_error"].as_str().unwrap().contains("refused"), "{first}");
    let id = home.json(&["incident", "list"])["incidents"][0]["id"].as_str().unwrap().to_owned();
    let shown = home.run(&["incident", "show", &id]).out;
    assert!(shown.contains("due, after ") && shown.contains("refused"), "{shown}");
    running.terminate();
    assert!(running.ended().success());

    // A day of such tries later.
    let db = Connection::open(home.directory().database()).unwrap();
    db.execute("UPDATE notification SET state = 'dead', attempts = 24", []).unwrap();
    drop(db);
    let running = Running::start(&home);
    assert_eq!((told()["state"].as_str(), told()["attempts"].as_u64()), (Some("dead"), Some(24)));
    let shown = home.run(&["incident", "show", &id]).out;
    assert!(shown.contains("NOBODY, and no more is tried, after 24 failed tries, the last: "), "{shown}");
    let listed = home.run(&["incident", "list"]).out;
    assert!(listed.contains("TOLD") && listed.contains("NOBODY"), "{listed}");
    drop(running);
}
