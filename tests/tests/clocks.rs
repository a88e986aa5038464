//! Real programs on other days, and with clocks that are off: certificates are renewed, and work goes on.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use proto::{
    charter::Charter,
    dsse::Envelope,
    evidence::{ClockSource, Record, peek},
    identity::CertificateFacts,
};
use serde_json::Value;
use tests::rig::{Practice, Watch, offset::Offset, practice::Folder, wait};

const LIMIT: Duration = Duration::from_secs(120);
const DAY: i64 = 24 * 3600;

/// All that an appliance is known by, besides its certificate.
fn keys(practice: &Practice, status: &Value) -> Result<[Vec<u8>; 4]> {
    let text = |field: &str| {
        let value = status["executor"][field].as_str().with_context(|| format!("{field} in {status:#}"))?;
        anyhow::Ok(value.as_bytes().to_vec())
    };
    let tls = fs::read(practice.clinic.tls_key())?;
    Ok([text("incarnation")?, text("evidence_key")?, status["certificate"]["spiffe"].to_string().into(), tls])
}

fn records(practice: &Practice) -> Result<Vec<Record>> {
    let db = practice.provider.database()?;
    let mut query = db.prepare("SELECT envelope FROM evidence ORDER BY log_index")?;
    let envelopes: Vec<Vec<u8>> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    envelopes.iter().map(|envelope| Ok(peek(envelope)?)).collect()
}

/// Everything ends, and begins again `seconds` later.
fn travel(practice: &mut Practice, offset: &Offset, seconds: i64) -> Result<()> {
    practice.clinic.stop()?;
    practice.provider.stop()?;
    let environment = offset.environment(seconds);
    practice.provider.environment.clone_from(&environment);
    practice.clinic.environment = environment;
    practice.provider.start()?;
    practice.clinic.start_executor()?;
    practice.clinic.start_agent()
}

fn not_after(status: &Value) -> Result<String> {
    Ok(status["certificate"]["not_after"].as_str().context("it has a certificate")?.to_owned())
}

/// Lasting seven days, it is renewed from the middle of its life on; and, once it is over, for thirty days more.
#[test]
fn a_certificate_is_renewed_with_the_same_keys_and_no_more_once_it_is_long_over() -> Result<()> {
    let folder = Folder::new()?;
    let Some(offset) = Offset::find(folder.path())? else {
        println!("skipped: libfaketime is not unpacked (`make setup`, as root)");
        return Ok(());
    };
    let mut practice = Practice::open(folder, 30, &[])?;
    practice.start_agent()?;
    let first = practice.clinic.status()?;
    let (known, mut last) = (keys(&practice, &first)?, not_after(&first)?);
    let mut certificates = BTreeSet::from([last.clone()]);
    // In its second half; and eighteen days after the end of that one.
    for day in [5, 30] {
        let heard = records(&practice)?.len();
        travel(&mut practice, &offset, day * DAY)?;
        let status = wait::until(&format!("the certificate is renewed on day {day}"), LIMIT, || {
            practice.check()?;
            let status = practice.clinic.status()?;
            Ok((not_after(&status)? != last).then_some(status))
        })
        .with_context(|| practice.clinic.log("agent").unwrap_or_default())?;
        last = not_after(&status)?;
        ensure!(certificates.insert(last.clone()), "it has the old one again");
        ensure!(status["certificate"]["standing"] == "valid", "on day {day}: {}", status["certificate"]);
        ensure!(keys(&practice, &status)? == known, "on day {day} it has other keys");
        wait::until("it is heard with the new one", LIMIT, || {
            practice.check()?;
            Ok((records(&practice)?.len() > heard).then_some(()))
        })?;
    }
    // Day 37 is its last; on day 68 it has been over for a month and a day.
    let heard = records(&practice)?.len();
    travel(&mut practice, &offset, 68 * DAY)?;
    wait::until("the renewal is refused", LIMIT, || {
        practice.check()?;
        Ok(practice.clinic.log("agent")?.contains("the certificate was not renewed").then_some(()))
    })?;
    let status = practice.clinic.status()?;
    ensure!(not_after(&status)? == last && status["certificate"]["standing"] != "valid", "{status:#}");
    ensure!(records(&practice)?.len() == heard, "it was heard without a certificate");
    ensure!(!status["problems"].as_array().context("a list")?.is_empty(), "nobody is told: {status:#}");
    Ok(())
}

/// The authority is exchanged, and the server killed in the midst of it, while the box is away for so long that its own certificate
/// ends: it finds the server that it knows, and gets the charter with a certificate of the new authority. Then the old one goes.
#[test]
fn a_box_that_was_away_comes_back_under_the_authority_that_followed() -> Result<()> {
    let folder = Folder::new()?;
    let Some(offset) = Offset::find(folder.path())? else {
        println!("skipped: libfaketime is not unpacked (`make setup`, as root)");
        return Ok(());
    };
    let mut practice = Practice::open(folder, 1, &[])?;
    practice.start_agent()?;
    practice.clinic.stop()?;
    let keys = [1, 2]
        .map(|n| practice.provider.dir.join(format!("offline/organization-{n}.key")).display().to_string());
    let made = practice.provider.ask(&["key", "rotate", "ca"])?;
    let of = |what: &str| made[what].as_str().context("what was made").map(str::to_owned);
    let (new, old) = (of("file")?, of("old")?);
    let pem = fs::read_to_string(&new)?;
    let renew = ["charter", "renew", "--key", &keys[0], "--key", &keys[1]];
    practice.provider.run(&[&renew[..], &["--authority", &new]].concat(), &[0])?;
    practice.provider.kill()?;
    practice.provider.start()?;

    let heard = records(&practice)?.len();
    let environment = offset.environment(10 * DAY);
    practice.provider.stop()?;
    practice.provider.environment.clone_from(&environment);
    practice.provider.start()?;
    practice.clinic.environment = environment;
    practice.clinic.start_executor()?;
    practice.clinic.start_agent()?;
    let by_new = |practice: &Practice| {
        let der = fs::read(practice.clinic.dir.join("state/agent/certificate.der"))?;
        anyhow::Ok(CertificateFacts::issued_by(&der, std::slice::from_ref(&pem)).is_ok())
    };
    wait::until("it has a certificate of the new authority", LIMIT, || {
        practice.check()?;
        Ok(by_new(&practice)?.then_some(()))
    })
    .with_context(|| practice.clinic.log("agent").unwrap_or_default())?;
    wait::until("it is heard with it", LIMIT, || {
        practice.check()?;
        Ok((records(&practice)?.len() > heard).then_some(()))
    })?;

    practice.provider.run(&[&renew[..], &["--without-authority", &old]].concat(), &[0])?;
    let kept = practice.clinic.dir.join("state/agent/charter.json");
    wait::until("it has the charter without the old one", LIMIT, || {
        practice.check()?;
        Ok(peek_charter(&kept)?.filter(|serial| *serial == 3))
    })?;
    // A connection of its own, to a server that shows a certificate of the new authority.
    practice.clinic.stop()?;
    let heard = records(&practice)?.len();
    practice.clinic.start_executor()?;
    practice.clinic.start_agent()?;
    wait::until("it is heard by the server under the new authority", LIMIT, || {
        practice.check()?;
        Ok((records(&practice)?.len() > heard).then_some(()))
    })
    .with_context(|| practice.clinic.log("agent").unwrap_or_default())
}

/// The serial of the charter in a file, believed or not.
fn peek_charter(path: &Path) -> Result<Option<u64>> {
    let Ok(envelope) = fs::read(path) else { return Ok(None) };
    let payload = Envelope::parse(&envelope)?.unverified_payload().to_vec();
    let charter: Charter = serde_json::from_slice(&payload)?;
    Ok(Some(charter.serial))
}

/// An hour ahead of the control plane, and an hour behind it: orders are taken all the same, and evidence says how far off
/// the clock was.
#[test]
fn a_clock_that_is_an_hour_off_is_said_and_stops_nothing() -> Result<()> {
    for off in [3600, -3600] {
        let folder = Folder::new()?;
        let Some(offset) = Offset::find(folder.path())? else {
            println!("skipped: libfaketime is not unpacked (`make setup`, as root)");
            return Ok(());
        };
        let uploads = folder.join("uploads");
        fs::create_dir(&uploads)?;
        let mut practice = Practice::open(folder, 30, &[("uploads", Watch::Directory(&uploads, 1000))])?;
        practice.clinic.stop()?;
        practice.clinic.environment = offset.environment(off);
        practice.clinic.start_executor()?;
        practice.start_agent()?;
        fs::write(uploads.join("scan.bin"), [b'x'; 2000])?;
        // Only the kernel dates a file, by this machine's clock. To a box that is behind, it is from the future, and what
        // is not old enough does not go: a person is told instead.
        let end = if off > 0 { "resolved" } else { "escalated" };
        let incident = practice.provider.incident("uploads", &["resolved", "escalated"], LIMIT)?;
        ensure!(incident["state"] == end, "{off} s off: {incident:#}");
        let newest = records(&practice)?.pop().context("there is evidence")?;
        ensure!(newest.clock.source == ClockSource::Token, "{off} s off: {:?}", newest.clock);
        let said = newest.clock.wall_offset_ms;
        ensure!((said - off * 1000).abs() < 60_000, "{off} s off, and evidence says {said} ms");
        practice.verified_bundle(&[])?;
    }
    Ok(())
}
