//! Telling people, as operators see it on the command line: whom nobody could tell, who took it on, what it is worth.

use std::fs;

use control_plane::bundle::Month;
use rusqlite::Connection;

use crate::{
    home::Home,
    receiver::Receiver,
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

    // Who is to hear of a clinic that there is not, hears of nothing: the settings are not right.
    let text = fs::read_to_string(&config).unwrap();
    let channel = |name: &str| {
        let more = format!(
            "[[escalation.channel]]\nname = \"boss\"\nkind = \"webhook\"\nurl = \"https://a.example/\"\ntenants = [\"{name}\"]\n"
        );
        fs::write(&config, format!("{text}\n{more}")).unwrap();
        home.run(&["serve", "--check-config"])
    };
    let said = channel("Elm Stret Clinic");
    let right = "escalation.channel.tenants is \"Elm Stret Clinic\", must be the name or ID of a clinic";
    assert!(said.code == 2 && said.err.contains(right), "{}", said.err);
    assert_eq!(channel("Elm Street Clinic").code, 0);
    fs::write(&config, &text).unwrap();

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

    // An operator finds it, and has it tried again.
    let dead = home.json(&["notification", "list", "--state", "dead"]);
    let letter = &dead["notifications"][0];
    assert_eq!((letter["incident"].as_str(), letter["news"].as_str()), (Some(id.as_str()), Some("raised")));
    let key = letter["key"].as_str().unwrap();
    assert!(home.run(&["notification", "list"]).out.contains("LAST ERROR"));
    assert_eq!(home.json(&["notification", "retry", key])["state"], "due");
    while told()["attempts"] == 0 {}
    let again = home.run(&["notification", "retry", key]);
    assert!(again.code == 1 && again.err.contains("only a dead one is tried again"), "{}", again.err);

    // And takes the incident on.
    let taken = home.json(&["incident", "acknowledge", &id]);
    assert_eq!(taken["acknowledged_by"], "server console");
    assert!(home.run(&["incident", "show", &id]).out.contains("acknowledged:  by server console, 20"));
    let acts = home.json(&["evidence", "list", "--tenant", "Elm Street Clinic"]).to_string();
    assert!(acts.contains(&format!("incident {id} was acknowledged")), "{acts}");
    drop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_in_a_month_is_counted_for_invoices() {
    let home = Home::new();
    let running = Running::start(&home);
    let mut device = Device::enrol(&home, running.appliances).await;
    let mut records = device.beginning();
    records.push(event());
    let asked = device.exchange(records, 0);
    device.link(&home).await.sync(asked).await.unwrap();
    home.json(&["tenant", "create", "Oak, Street"]);

    let month = Month::of(control_plane::clock::now()).to_string();
    let used = home.json(&["tenant", "usage", "--month", &month]);
    let of = |name: &str| {
        used["tenants"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
    };
    let elm = of("Elm Street Clinic");
    for (what, count) in [("appliances", 1), ("active", 1), ("incidents", 1), ("escalated", 1), ("orders", 0)]
    {
        assert_eq!(elm[what], count, "{what}: {elm}");
    }
    assert!(elm["bytes"].as_u64().unwrap() > 1000 && elm["evidence"].as_u64().unwrap() >= 3, "{elm}");
    let oak = of("Oak, Street");
    assert_eq!((&oak["appliances"], &oak["active"]), (&0.into(), &0.into()));
    assert_eq!(used["over"], false);

    let csv = home.run(&["tenant", "usage", "--month", &month, "--csv"]).out;
    assert!(csv.starts_with("month,tenant,name,appliances,active,orders,"), "{csv}");
    assert!(csv.contains(",\"Oak, Street\",0,0,0,0,0,0,"), "{csv}");
    let before = home.json(&["tenant", "usage", "Elm Street Clinic", "--month", "2020-01"]);
    assert_eq!((&before["over"], before["tenants"].as_array().unwrap().len()), (&true.into(), 1));
    assert_eq!((&before["tenants"][0]["appliances"], &before["tenants"][0]["bytes"]), (&0.into(), &0.into()));
    let wrong = home.run(&["tenant", "usage", "--month", "2026-13"]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    drop(running);
}

/// Whoever is behind the URL rings when nothing comes any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_mans_switch_is_fed_while_the_server_is_well() {
    let receiver = Receiver::start(|_| Some((200, "OK".into())));
    let home = Home::new();
    let config = home.directory().config();
    let text = fs::read_to_string(&config).unwrap();
    let more = format!("{text}\n[escalation.deadman]\nurl = \"{}\"\n", receiver.url("/ping/me"));
    fs::write(&config, more).unwrap();
    let running = Running::start(&home);
    while receiver.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    let seen = receiver.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/ping/me"));
    drop(running);
}
