//! The whole on Ceph: a control plane whose vault is a bucket, a clinic, evidence, an outage, and somebody with the keys.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use control_plane::config::S3;
use serde_json::Value;
use tests::rig::{
    Practice, Provider, Relay, Watch,
    practice::{Folder, TENANT},
    s3::Kind,
    wait,
};

use crate::bucket;

const LIMIT: Duration = Duration::from_secs(120);

/// What the audit says, and with which code it ends.
pub fn audit(provider: &Provider, codes: &[i32]) -> Result<(i32, Value)> {
    let output = provider.run(&["evidence", "audit", "--json"], codes)?;
    let report = serde_json::from_slice(&output.stdout).context("an audit prints JSON")?;
    Ok((output.status.code().context("an exit code")?, report))
}

/// Keys and faults of an audit's findings.
pub fn findings(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = report["findings"].as_array().cloned().unwrap_or_default();
    all.iter().map(|finding| (text(&finding["key"]), text(&finding["fault"]))).collect()
}

#[test]
fn evidence_in_a_bucket_waits_for_it_and_is_audited() -> Result<()> {
    let Some((owner, settings, store)) = bucket(Kind::Rgw)? else { return Ok(()) };
    let (relay, port) = Relay::here(store.port)?;
    let folder = Folder::new()?;
    let uploads = folder.join("uploads");
    std::fs::create_dir(&uploads)?;
    let watch = [("uploads", Watch::Directory(&uploads, 1_000_000))];
    let through = S3 { host: format!("127.0.0.1:{port}"), ..settings };
    let mut all = Practice::prepared(folder, 1, &watch, None, &|provider| provider.keep_in(&through))?;
    all.start_agent()?;
    ensure!(
        audit(&all.provider, &[0])?.1["objects"].as_u64() >= Some(4),
        "enrolment, its paper, a checkpoint, the clinic"
    );

    // The store is away: nothing is acknowledged, the box keeps what it has; what needs no vault goes on.
    relay.cut(true);
    let waiting = |all: &Practice| -> Result<u64> {
        all.clinic.status()?["outbox"]["evidence"].as_u64().context("the outbox counts evidence")
    };
    wait::until("evidence waits in the box", LIMIT, || {
        all.check()?;
        Ok((waiting(&all)? >= 3).then_some(()))
    })?;
    let before = all.provider.evidence(TENANT)?.len();
    all.provider.ask(&["tenant", "list"])?;
    all.provider.ask(&["site", "create", "--tenant", TENANT, "Annex"])?;
    let (code, report) = audit(&all.provider, &[3])?;
    ensure!(code == 3 && !report["unseen"].as_array().context("a list")?.is_empty(), "{report:#}");
    ensure!(findings(&report).is_empty(), "an outage is nobody's tampering: {report:#}");
    ensure!(all.provider.evidence(TENANT)?.len() == before, "acknowledged without a vault");

    relay.cut(false);
    wait::until("what waited is in the log", LIMIT, || {
        all.check()?;
        Ok((all.provider.evidence(TENANT)?.len() >= before + 3 && waiting(&all)? <= 1).then_some(()))
    })?;
    all.clinic.stop()?;
    wait::until("the audit is sound", LIMIT, || Ok((audit(&all.provider, &[0, 3])?.0 == 0).then_some(())))?;
    ensure!(all.verified_bundle(&["silence"])? != 1);

    // Somebody with the bucket's keys, and with the server's own.
    let entries: Vec<(String, String)> = {
        let db = all.provider.database()?;
        let mut rows =
            db.prepare("SELECT key, version FROM vault_object WHERE key LIKE '%/entries/%' ORDER BY key")?;
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
    };
    let key = |n: usize| entries[n].0.clone();
    let version = &entries[0].1;
    ensure!(!version.is_empty(), "the index names no version");
    let delete = owner.delete(&format!("orderly/{}", key(0)), Some(version), true)?;
    ensure!(delete.status == 403, "{delete:?}");
    ensure!(owner.write(&format!("orderly/{}", key(1)), "another history", None)?.did());
    ensure!(owner.delete(&format!("orderly/{}", key(2)), None, false)?.did());
    let (_, report) = audit(&all.provider, &[1])?;
    let mine = [(key(1), "overwritten".to_owned()), (key(2), "hidden".to_owned())];
    ensure!(findings(&report) == mine, "{report:#}");
    // The next start reads the original all the same.
    all.provider.stop()?;
    all.provider.start()?;
    ensure!(all.verified_bundle(&["silence"])? != 1);
    all.provider.stop()
}

#[test]
fn a_server_does_not_start_on_a_bucket_that_cannot_keep_evidence() -> Result<()> {
    let Some((owner, settings, _)) = bucket(Kind::Rgw)? else { return Ok(()) };
    let folder = Folder::new()?;
    let provider = Provider::init(&folder.join("control-plane"), "msp.example", None)?;
    owner.other("lockless").make_bucket(false)?;
    provider.keep_in(&S3 { bucket: "lockless".to_owned(), ..settings.clone() })?;
    // The settings by themselves are right; the bucket is not.
    provider.run(&["serve", "--check-config"], &[0])?;
    let refused = provider.run(&["serve"], &[2])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(said.contains("lockless has no Object Lock") && said.contains("create-bucket"), "{said}");
    // A store that is away is not a wrong setting: whoever starts the server tries again.
    provider.keep_in(&S3 { host: "127.0.0.1:9".to_owned(), ..settings })?;
    let away = provider.run(&["serve"], &[1])?;
    let said = String::from_utf8_lossy(&away.stderr).into_owned();
    ensure!(said.contains("does not answer"), "{said}");
    Ok(())
}
