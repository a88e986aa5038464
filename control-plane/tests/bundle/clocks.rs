//! Clocks, causes and updates: by what clock records were written, why something is missing, and what ran.

use std::time::Duration;

use control_plane::{
    bundle::{
        Cause, GapKind, StretchKind,
        export::build,
        verify::{Report, Status, facts},
    },
    packet::{Model, Presence, markdown},
};
use proto::{
    act,
    evidence::{Beats, Body, Software, Synchronised, Token, Update},
};

use super::{
    check, status_of,
    tenant::{HOUR, Tenant, at},
};

const MINUTE: Duration = Duration::from_secs(60);
const CLAIM: &str = "by what clock";

/// A box that was watched for two hours.
fn watched() -> (Tenant, usize) {
    let mut tenant = Tenant::new(1, at("2026-11-03T06:00:00Z"));
    let n = tenant.enrol(false);
    for _ in 0..2 {
        tenant.heartbeat(n);
        tenant.wait(HOUR);
    }
    (tenant, n)
}

/// What an hour's heartbeat rolls up where nothing happened.
fn quiet() -> Beats {
    Beats { made: 12, every_ms: 300_000, longest_ms: 300_100, ..Beats::default() }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap()
}

fn causes(report: &Report) -> Vec<(GapKind, Cause)> {
    report.gaps.iter().map(|gap| (gap.kind, gap.cause)).collect()
}

#[test]
fn it_is_said_how_many_records_were_written_by_which_clock() {
    let mut tenant = Tenant::genuine(1);
    for synchronised in [Some(Synchronised::No), Some(Synchronised::No), Some(Synchronised::Unknown), None] {
        tenant.synchronised = synchronised;
        tenant.wait(MINUTE);
        tenant.heartbeat(0);
    }
    let report = check(&tenant, &tenant.bundle());
    // Nothing contradicts anything, and nothing is missing: it is said, and no more.
    assert_eq!((report.exit_code(), status_of(&report, CLAIM)), (0, Status::Proven), "{report}");
    let claim = report.claims.iter().find(|claim| claim.claim.contains(CLAIM)).unwrap();
    assert_eq!(claim.count, 33);
    assert_eq!(
        claim.reason,
        "30 of 34 records were written on a synchronised clock; 34 by a time that the control plane had signed; \
         2 on one that was not synchronised; 1 on one of which nobody could tell; 1 by a version that does not say"
    );
    assert!(report.to_string().contains(&claim.reason), "people read it too:\n{report}");
    let [stretch] = &report.stretches[..] else { panic!("{report}") };
    assert_eq!((stretch.kind, stretch.records), (StretchKind::Unsynchronised, 2));
    assert_eq!(stretch.to.since(stretch.from), MINUTE);

    let packet = packet_of(&tenant);
    assert!(packet.contains("a clock that was not synchronised, 2 in all"), "{packet}");
    assert!(packet.contains("| 2 | Clock: by its own time service, it was not in step. |"), "{packet}");
    assert!(!packet_of(&Tenant::genuine(1)).contains("not synchronised"), "nothing is said of what was not");
}

/// Without the pages, which take longer to set than all else.
fn packet_of(tenant: &Tenant) -> String {
    markdown(&facts(&tenant.bundle()).unwrap(), "2026-11".parse().unwrap()).unwrap()
}

/// Offline, powered off, buffer full, clock: each from what a box would send, and each named in the packet.
#[test]
fn every_gap_carries_its_cause() {
    let silent = |lapse: &dyn Fn(&mut Tenant, usize)| {
        let (mut tenant, n) = watched();
        lapse(&mut tenant, n);
        let report = check(&tenant, &tenant.bundle());
        assert_eq!(report.exit_code(), 3, "{report}");
        let causes = causes(&report);
        assert_eq!(causes.len(), 1, "{report}");
        let word = causes[0].1.as_str();
        assert!(packet_of(&tenant).contains(&format!("| {word} |")), "{word}");
        assert!(report.to_string().contains(&format!("({word})\n")), "{report}");
        causes[0]
    };
    // Nothing came any more.
    assert_eq!(silent(&|tenant, _| tenant.wait(5 * HOUR)), (GapKind::Silence, Cause::Offline));
    let late = |up: Duration, beats: Option<Beats>| {
        silent(&|tenant: &mut Tenant, n| {
            tenant.wait(5 * HOUR);
            (tenant.up, tenant.beats) = (up, beats);
            tenant.heartbeat(n);
        })
    };
    let (month, brief) = (30 * 24 * HOUR, 10 * MINUTE);
    assert_eq!(late(brief, None), (GapKind::Silence, Cause::PoweredOff));
    let off = Beats { boots: 1, off_ms: ms(5 * HOUR), ..quiet() };
    assert_eq!(late(brief, Some(off)), (GapKind::Silence, Cause::PoweredOff));
    let full = Beats { no_room_ms: ms(4 * HOUR), ..quiet() };
    assert_eq!(late(month, Some(full)), (GapKind::Silence, Cause::BufferFull));
    let stepped = Beats { clock_steps: 1, ..quiet() };
    assert_eq!(late(month, Some(stepped)), (GapKind::Silence, Cause::Clock));
    assert_eq!(late(month, Some(quiet())), (GapKind::Silence, Cause::Unknown));
    // Set back, by more than heartbeats promise.
    let back = silent(&|tenant, n| {
        let now = tenant.now;
        tenant.now = now.minus(6 * HOUR);
        tenant.heartbeat(n);
        tenant.now = now.minus(5 * HOUR + 30 * MINUTE);
        tenant.wait(MINUTE);
    });
    assert_eq!(back, (GapKind::Clock, Cause::Clock));
    // What an agent had to drop, in the control plane's own act.
    let dropped = silent(&|tenant, n| {
        let (first, last) = (tenant.now.minus(HOUR), tenant.now);
        let (appliance, cause) = (tenant.boxes[n].id, "buffer-full".to_owned());
        tenant.log_act(None, act::Deed::Gap { appliance, cause, amount: 7, first, last });
        tenant.wait(MINUTE);
    });
    assert_eq!(dropped, (GapKind::Reported, Cause::BufferFull));
}

/// A box that was off for a while within the hour that a heartbeat promised.
#[test]
fn beats_tell_of_silence_that_heartbeats_are_too_coarse_for() {
    let of = |beats: Beats, up: Duration| {
        let (mut tenant, n) = watched();
        (tenant.beats, tenant.up) = (Some(beats), up);
        tenant.heartbeat(n);
        tenant.wait(MINUTE);
        let report = check(&tenant, &tenant.bundle());
        let spans: Vec<_> =
            report.gaps.iter().map(|gap| (gap.cause, gap.from.unwrap(), gap.to.unwrap())).collect();
        (tenant, report, spans)
    };
    let off = |span: Duration| Beats { boots: 1, off_ms: ms(span), ..quiet() };
    // Up for ten minutes, off for twenty before that, and watched until then.
    let (tenant, report, spans) = of(off(20 * MINUTE), 10 * MINUTE);
    let expected = (Cause::PoweredOff, at("2026-11-03T07:30:00Z"), at("2026-11-03T07:50:00Z"));
    assert_eq!((report.exit_code(), spans), (3, vec![expected]), "{report}");
    let bundle = tenant.bundle();
    let facts = facts(&bundle).unwrap();
    let model = Model::new(&facts, "2026-11".parse().unwrap()).unwrap();
    assert_eq!(model.availability[0].days[2], Presence::Partly);
    assert_eq!((model.watches[0].silent, model.watches[0].longest), (20 * MINUTE, 20 * MINUTE));
    // An update's boot is none: two beats and a half are waited for.
    let (_, report, spans) = of(off(12 * MINUTE), 10 * MINUTE);
    assert_eq!((report.exit_code(), spans), (0, vec![]), "{report}");
    // What leaves hours unexplained explains nothing.
    let (mut tenant, n) = watched();
    tenant.wait(5 * HOUR);
    (tenant.beats, tenant.up) = (Some(off(20 * MINUTE)), 10 * MINUTE);
    tenant.heartbeat(n);
    tenant.wait(MINUTE);
    let report = check(&tenant, &tenant.bundle());
    assert_eq!(report.gaps.len(), 1, "{report}");
    let (from, to) = (report.gaps[0].from.unwrap(), report.gaps[0].to.unwrap());
    assert_eq!((from, to), (at("2026-11-03T07:00:00Z"), at("2026-11-03T13:00:00Z")));
    // The machine was up, the executor was not; the stretch ended a quarter of an hour before.
    let stood = Beats { longest_ms: ms(30 * MINUTE), longest_ago_ms: ms(15 * MINUTE), ..quiet() };
    let (_, report, spans) = of(stood, 30 * 24 * HOUR);
    let expected = (Cause::Unknown, at("2026-11-03T07:15:00Z"), at("2026-11-03T07:45:00Z"));
    assert_eq!(spans, [expected], "{report}");
}

/// Beats of other months than the packet's tell as much: their heartbeats are kept too.
#[test]
fn what_beats_tell_is_not_forgotten_with_their_month() {
    let mut tenant = Tenant::new(1, at("2026-10-30T06:00:00Z"));
    let n = tenant.enrol(false);
    tenant.heartbeat(n);
    tenant.wait(HOUR);
    (tenant.beats, tenant.up) = (Some(Beats { boots: 1, off_ms: ms(30 * MINUTE), ..quiet() }), 10 * MINUTE);
    tenant.heartbeat(n);
    (tenant.beats, tenant.up) = (Some(quiet()), 30 * 24 * HOUR);
    while tenant.now < at("2026-11-02T00:00:00Z") {
        tenant.wait(HOUR);
        tenant.heartbeat(n);
    }
    let mut parts = tenant.parts(tenant.evidence.len(), None);
    parts.period.from = at("2026-10-30T00:00:00Z");
    let report = check(&tenant, &build(&parts).unwrap());
    assert_eq!(causes(&report), [(GapKind::Silence, Cause::PoweredOff)], "{report}");
}

#[test]
fn records_that_waited_for_a_link_are_late_and_not_missing() {
    let (mut tenant, n) = watched();
    tenant.linked = false;
    for _ in 0..3 {
        tenant.heartbeat(n);
        tenant.wait(HOUR);
    }
    tenant.linked = true;
    tenant.heartbeat(n);
    tenant.wait(MINUTE);
    let report = check(&tenant, &tenant.bundle());
    assert_eq!(report.exit_code(), 0, "{report}");
    let [stretch] = &report.stretches[..] else { panic!("{report}") };
    // The last that came through is of seven o'clock; the box had not seen it when it signed the three after that.
    assert_eq!((stretch.kind, stretch.records), (StretchKind::Offline, 4));
    assert_eq!((stretch.from, stretch.to), (at("2026-11-03T07:00:00Z"), at("2026-11-03T10:00:00Z")));
    assert!(packet_of(&tenant).contains("Offline: these records waited on the box, and came whole."));
    // With a link, each hour's heartbeat has seen the one before.
    assert!(check(&Tenant::genuine(1), &Tenant::genuine(1).bundle()).stretches.is_empty());
}

pub fn update() -> Update {
    let token = |text: &str| Token::try_from(text.to_owned()).unwrap();
    let software = |program: &str, system: &str, generation| Software {
        program: token(program),
        system: Some(token(system)),
        generation: Some(generation),
    };
    Update {
        from: software("0.1.0", "0c1v2k3m4n5p6q7r8s9w0x1y2z3a4b5d", 41),
        to: software("0.2.0", "zz1v2k3m4n5p6q7r8s9w0x1y2z3a4b5d", 42),
    }
}

#[test]
fn an_update_is_told_of_in_the_packet() {
    let (mut tenant, n) = watched();
    tenant.log(n, Body::Update(update()));
    tenant.wait(MINUTE);
    let bundle = tenant.bundle();
    assert_eq!(check(&tenant, &bundle).exit_code(), 0);
    let line = "| Front desk | 2026-11-03 08:00 | program 0.1.0, system 0c1v2k3m (generation 41) | program 0.2.0, \
                system zz1v2k3m (generation 42) | 3 |";
    let packet = packet_of(&tenant);
    assert!(packet.contains(line), "{packet}");
}
