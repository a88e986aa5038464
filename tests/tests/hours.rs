//! Clinic hours with the real programs under real systemd: what disturbs people at work is refused by either side, each by
//! itself, and runs when they are over. As root.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proto::evidence::{Body, Execution, Refusal, Verdict, peek};
use tests::rig::{Installed, Tree, machine, practice::TENANT, wait};

const LIMIT: Duration = Duration::from_secs(120);
const RUNBOOK: &str = "RB-NET-001";
/// Whenever this runs, people are at work.
const ALL_WEEK: &str = "daily 00:00-00:00 America/Chicago";
const CONFIG: &str = "/etc/orderly/appliance.toml";

/// All evidence of a kind, oldest first.
fn bodies(all: &Installed, kind: &str) -> Result<Vec<Body>> {
    let db = all.provider.database()?;
    let mut query = db.prepare("SELECT envelope FROM evidence WHERE kind = ?1 ORDER BY log_index")?;
    let envelopes: Vec<Vec<u8>> = query.query_map([kind], |row| row.get(0))?.collect::<Result<_, _>>()?;
    envelopes.iter().map(|envelope| Ok(peek(envelope)?.body)).collect()
}

fn refusals(all: &Installed) -> Result<Vec<Refusal>> {
    let refusal = |body| if let Body::Refusal(refusal) = body { Some(refusal) } else { None };
    Ok(bodies(all, "refusal")?.into_iter().filter_map(refusal).collect())
}

fn executions(all: &Installed) -> Result<Vec<Execution>> {
    let execution = |body| if let Body::Execution(execution) = body { Some(*execution) } else { None };
    Ok(bodies(all, "execution")?.into_iter().filter_map(execution).collect())
}

/// Waits for a refusal beyond the first `known`: by a standing order, or by an order that the control plane has signed.
fn is_refused(all: &mut Installed, known: usize, standing: bool) -> Result<()> {
    let what = format!("the executor refuses, standing: {standing}");
    let found = wait::until(&what, LIMIT, || {
        all.provider.check()?;
        let fits = |refusal: &Refusal| {
            refusal.order.as_ref().is_some_and(|order| order.standing.is_some() == standing)
        };
        Ok(refusals(all)?.into_iter().skip(known).find(fits))
    })
    .with_context(|| all.journal())?;
    ensure!((found.guardrail, found.name.as_str()) == (10, "window"), "{found:#?}");
    let why = "disturbs people at work; it is within clinic hours";
    ensure!(found.reason.contains(RUNBOOK) && found.reason.contains(why), "{found:#?}");
    Ok(())
}

fn has_way_out(all: &Installed) -> Result<bool> {
    Ok(all.machine.run("ip", &["route", "show", "default"])?.contains("uplink0"))
}

#[test]
fn an_uplink_is_not_restarted_while_people_work() -> Result<()> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let keeper = "[Service]\nType=oneshot\nRemainAfterExit=yes\n\
                  ExecStart=/bin/sh -c 'ip link add uplink0 type veth peer name far0 && ip link set far0 up; ip addr replace 192.0.2.2/24 dev uplink0; \
                  ip link set uplink0 up; ip route replace default via 192.0.2.1 dev uplink0'\n";
    let tree = Tree::new()?.started("keeper.service", keeper)?;
    let watch = format!(
        "[limits]\nclinic_hours = [\"{ALL_WEEK}\"]\n\n\
         [[watch.uplink]]\nid = \"it\"\ninterface = \"uplink0\"\nunit = \"keeper.service\"\n"
    );
    let (mut all, _relay) = Installed::apart(tree, &watch)?;

    // The box's own hours, of which the control plane knows nothing: it signs, and the executor refuses by itself.
    all.machine.run("ip", &["route", "del", "default"])?;
    is_refused(&mut all, 0, false)?;
    is_refused(&mut all, 0, true)?;
    ensure!(!has_way_out(&all)? && executions(&all)?.is_empty(), "it ran");

    // The clinic's hours alone, as its operator has set them.
    let set = all.provider.ask(&["tenant", "hours", TENANT, ALL_WEEK])?;
    ensure!(set["clinic_hours"][0] == ALL_WEEK, "{set:#}");
    let known = refusals(&all)?.len();
    all.machine.run("sed", &["-i", "/^clinic_hours/d", CONFIG])?;
    all.machine.run("systemctl", &["restart", "orderly-executor.service"])?;
    is_refused(&mut all, known, true)?;
    let incident = wait::until("the incident waits for the end of clinic hours", LIMIT, || {
        all.provider.check()?;
        let listed = all.provider.ask(&["incident", "list"])?;
        let newest = listed["incidents"].as_array().and_then(|all| all.first()).cloned();
        let said =
            |i: &serde_json::Value| i["reason"].as_str().is_some_and(|r| r.starts_with("guardrail 10"));
        Ok(newest.filter(said))
    })
    .with_context(|| all.journal())?;
    ensure!(incident["state"] == "planned", "{incident:#}");
    ensure!(!has_way_out(&all)? && executions(&all)?.is_empty(), "it ran");

    // They are over.
    all.provider.ask(&["tenant", "hours", TENANT, "--off"])?;
    wait::until("there is a way out again", LIMIT, || Ok(has_way_out(&all)?.then_some(())))
        .with_context(|| all.journal())?;
    let done = wait::until("its evidence has arrived", LIMIT, || {
        all.provider.check()?;
        Ok(executions(&all)?.pop())
    })
    .with_context(|| all.journal())?;
    ensure!(done.verdict == Verdict::Repaired, "{done:#?}");
    ensure!((done.before["route"], done.after["route"]) == (0, 1), "{done:#?}");
    Ok(())
}
