//! Scans of the baseline by the executor's own clock: hourly, after each execution, signed daily and when they say
//! something new; on every box, whatever stands on its watch list.

use std::time::Duration;

use appliance::{executor::ExecutorCore, world::Clock as _};
use baseline::{ControlId, Reading, ReadingValue};
use proto::evidence::{Body, Scan, Seen, Standing};

use crate::{
    story::{bodies, enrolled, order, tell_time, work},
    support::{box_world::Appliance, office::Office},
};

const MINUTE: Duration = Duration::from_secs(60);

fn scans(office: &mut Office, core: &mut ExecutorCore) -> Vec<Scan> {
    let scan = |body| if let Body::Scan(scan) = body { Some(scan) } else { None };
    bodies(office, core).into_iter().filter_map(scan).collect()
}

/// Lets an hour pass in which the box does what it finds to do every five minutes.
fn an_hour(appliance: &Appliance, core: &mut ExecutorCore) {
    for _ in 0..12 {
        appliance.clock.pass(5 * MINUTE);
        work(core);
    }
}

/// The kernel's addresses are hidden, or not.
fn kptr(appliance: &Appliance, value: i64) {
    let reading = Reading::from([("value".to_owned(), ReadingValue::Number(value))]);
    appliance.machine.lock().seen.insert(control("NXH-045"), reading);
}

fn control(id: &str) -> ControlId {
    id.parse().unwrap()
}

#[test]
fn a_box_whose_watch_list_names_no_baseline_is_scanned_every_hour_and_a_scan_is_signed_every_day() {
    let (mut office, appliance, mut core) = enrolled();
    work(&mut core);
    assert!(appliance.machine.lock().scans.is_empty(), "it is not all up yet");
    appliance.clock.pass(MINUTE);
    work(&mut core);
    assert_eq!(appliance.machine.lock().scans.len(), 1);
    for hour in 1..=24 {
        an_hour(&appliance, &mut core);
        assert_eq!(appliance.machine.lock().scans.len(), 1 + hour);
        let signed = if hour < 24 { 1 } else { 2 };
        assert_eq!(scans(&mut office, &mut core).len(), signed, "after {hour} hours");
    }
    let first = scans(&mut office, &mut core).remove(0);
    assert!(first.watch.is_empty() && first.findings.len() == 56, "{first:?}");
}

#[test]
fn after_an_execution_the_box_is_scanned_at_once() {
    let (office, appliance, mut core) = enrolled();
    tell_time(&office, &mut core);
    work(&mut core);
    assert!(order(&office, &mut core, 7, 1, "RB-DISK-002", "uploads").accepted);
    work(&mut core);
    let now = appliance.clock.wall();
    assert_eq!(appliance.machine.lock().scans, [now]);
    work(&mut core);
    assert_eq!(appliance.machine.lock().scans.len(), 1, "once");
}

#[test]
fn what_changes_is_signed_and_what_is_still_there_after_a_repair_is_said_again() {
    let (mut office, appliance, mut core) = enrolled();
    tell_time(&office, &mut core);
    kptr(&appliance, 2);
    an_hour(&appliance, &mut core);
    kptr(&appliance, 0);
    an_hour(&appliance, &mut core);
    an_hour(&appliance, &mut core);
    let signed = scans(&mut office, &mut core);
    let drifted = |scan: &Scan| scan.standing(Standing::Drifted).map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(signed.iter().map(drifted).collect::<Vec<_>>(), [vec![], vec!["NXH-045".to_owned()]]);
    assert_eq!((signed[0].readings["drifted"], signed[1].readings["drifted"]), (0, 1));
    // Something was done, and the control has drifted as before: perhaps again.
    office.now = appliance.clock.wall();
    tell_time(&office, &mut core);
    assert!(order(&office, &mut core, 7, 1, "RB-DISK-002", "uploads").accepted);
    work(&mut core);
    assert_eq!(scans(&mut office, &mut core).len(), 3);
}

#[test]
fn the_signed_scan_names_every_socket_that_another_host_can_reach_and_the_dhcp_clients_apart() {
    let (mut office, appliance, mut core) = enrolled();
    let sockets = |tcp| {
        let counts = [("dhcp_client", 1), ("other", 0), ("raw", 0), ("tcp", tcp), ("udp", 0)];
        counts.map(|(name, n)| (name.to_owned(), ReadingValue::Number(n))).into()
    };
    for (tcp, standing) in [(0, Standing::Compliant), (1, Standing::Drifted)] {
        appliance.machine.lock().seen.insert(control("NXH-028"), sockets(tcp));
        an_hour(&appliance, &mut core);
        let scan = scans(&mut office, &mut core).pop().unwrap();
        let found = &scan.findings[&"NXH-028".to_owned().try_into().unwrap()];
        assert_eq!(found.standing, standing);
        let reading: Vec<(&str, &Seen)> =
            found.reading.iter().map(|(name, seen)| (name.as_str(), seen)).collect();
        assert_eq!(
            reading,
            [
                ("dhcp_client", &Seen::Number(1)),
                ("other", &Seen::Number(0)),
                ("raw", &Seen::Number(0)),
                ("tcp", &Seen::Number(tcp)),
                ("udp", &Seen::Number(0)),
            ]
        );
    }
}
