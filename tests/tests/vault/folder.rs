//! The vault in a folder, of a real installation: every change is named by the audit, and nothing else is.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use rusqlite::Connection;
use tests::rig::{Practice, Provider, practice::Folder};

use crate::whole::{audit, findings};

fn set_writable(path: &Path) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o644))?)
}

fn change(path: &Path) -> Result<()> {
    let kept = fs::metadata(path)?.modified()?;
    set_writable(path)?;
    let mut bytes = fs::read(path)?;
    *bytes.last_mut().context("it has bytes")? ^= 1;
    fs::write(path, bytes)?;
    // Whoever is careful sets everything else as it was.
    fs::File::options().write(true).open(path)?.set_modified(kept)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o444))?)
}

fn delete(path: &Path) -> Result<()> {
    Ok(fs::remove_file(path)?)
}

fn replace_by_folder(path: &Path) -> Result<()> {
    fs::remove_file(path)?;
    Ok(fs::create_dir(path)?)
}

fn shorten(path: &Path) -> Result<()> {
    set_writable(path)?;
    let soon = fs::metadata(path)?.modified()? - Duration::from_secs(86_400);
    fs::File::options().write(true).open(path)?.set_modified(soon)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o444))?)
}

type Change = fn(&Path) -> Result<()>;
const CHANGES: &[(&str, Change, &[&str])] = &[
    ("bytes", change, &["changed"]),
    ("deleted", delete, &["missing"]),
    ("writable", set_writable, &["weakened"]),
    ("an earlier date", shorten, &["shortened"]),
    ("a folder", replace_by_folder, &["changed", "weakened"]),
];

/// One file of each kind that a vault has.
fn objects(provider: &Provider, tenant: &str) -> Result<Vec<(String, PathBuf)>> {
    let vault = provider.dir.join("vault");
    let mut all = Vec::new();
    for folder in ["entries", "checkpoints", "enrolments"] {
        let first = fs::read_dir(vault.join(tenant).join(folder))?.next().context(folder)??;
        all.push((format!("{tenant}/{folder}/{}", first.file_name().to_string_lossy()), first.path()));
    }
    all.push((format!("tenants/{tenant}"), vault.join("tenants").join(tenant)));
    Ok(all)
}

#[test]
fn every_change_to_a_file_is_named() -> Result<()> {
    let mut all = Practice::open(Folder::new()?, 1, &[])?;
    all.start_agent()?;
    audit(&all.provider, &[0, 3]).context("beside the running server")?;
    all.clinic.stop()?;
    all.provider.stop()?;
    let provider = &all.provider;
    let (_, sound) = audit(provider, &[0])?;
    ensure!(sound["objects"].as_u64() >= Some(5), "{sound:#}");
    let tenant: String = provider.database()?.query_row("SELECT id FROM tenant", [], |row| row.get(0))?;

    for (key, path) in objects(provider, &tenant)? {
        let (bytes, until) = (fs::read(&path)?, fs::metadata(&path)?.modified()?);
        for (what, change, faults) in CHANGES {
            change(&path)?;
            let (_, report) = audit(provider, &[1])?;
            let expected: Vec<_> = faults.iter().map(|fault| (key.clone(), (*fault).to_owned())).collect();
            ensure!(findings(&report) == expected, "{what}: {report:#}");
            put_back(&path, &bytes, until)?;
        }
    }
    audit(provider, &[0])?;

    // Somebody's own file is nobody's tampering, and not nothing.
    let planted = provider.dir.join("vault").join(&tenant).join("entries/0000009999");
    fs::write(&planted, "planted")?;
    let (_, report) = audit(provider, &[3])?;
    ensure!(report["not_indexed"][0] == format!("{tenant}/entries/0000009999"), "{report:#}");
    fs::remove_file(planted)?;

    // All of it gone: it is not made anew by looking at it.
    let (vault, aside) = (provider.dir.join("vault"), provider.dir.join("aside"));
    fs::rename(&vault, &aside)?;
    let (_, report) = audit(provider, &[1])?;
    ensure!(findings(&report).iter().all(|(_, fault)| fault == "missing") && !vault.exists(), "{report:#}");
    fs::rename(&aside, &vault)?;
    audit(provider, &[0]).map(drop)
}

fn put_back(path: &Path, bytes: &[u8], until: SystemTime) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir(path)?,
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    fs::write(path, bytes)?;
    fs::File::options().write(true).open(path)?.set_modified(until)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o444))?)
}

/// Whoever owns the database as well cannot make the index agree with a changed vault, or leave something out of it.
#[test]
fn an_index_that_does_not_say_what_the_log_says_is_named() -> Result<()> {
    let mut all = Practice::open(Folder::new()?, 1, &[])?;
    all.start_agent()?;
    all.clinic.stop()?;
    all.provider.stop()?;
    let provider = &all.provider;
    audit(provider, &[0])?;
    let database = Connection::open(provider.dir.join("control-plane.db"))?;
    let key: String = database.query_row(
        "SELECT key FROM vault_object WHERE key LIKE '%/entries/%' ORDER BY key LIMIT 1",
        [],
        |row| row.get(0),
    )?;
    let path = provider.dir.join("vault").join(&key);
    for sql in [
        "DELETE FROM vault_object WHERE key = ?1",
        "UPDATE vault_object SET sha256 = zeroblob(32) WHERE key = ?1",
    ] {
        let before = database.query_row("SELECT * FROM vault_object WHERE key = ?1", [&key], |row| {
            Ok((row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, i64>(3)?))
        })?;
        database.execute(sql, [&key])?;
        let (_, report) = audit(provider, &[1])?;
        ensure!(report["unlike_log"][0] == key, "{sql}: {report:#}");
        database.execute(
            "INSERT OR REPLACE INTO vault_object VALUES (?1, ?2, ?3, ?4)",
            rusqlite::params![key, before.0, before.1, before.2],
        )?;
    }
    audit(provider, &[0])?;
    // Index and vault together, to the same other bytes: the log still says what was kept.
    change(&path)?;
    let other = proto::digest::Digest::of(&fs::read(&path)?);
    database
        .execute("UPDATE vault_object SET sha256 = ?2 WHERE key = ?1", rusqlite::params![key, other.0])?;
    let (_, report) = audit(provider, &[1])?;
    ensure!(report["unlike_log"][0] == key && findings(&report).is_empty(), "{report:#}");
    Ok(())
}

#[test]
fn a_clinic_that_is_not_known_is_wrong_usage() -> Result<()> {
    let folder = Folder::new()?;
    let mut provider = Provider::init(&folder.join("control-plane"), "msp.example", None)?;
    let never = provider.run(&["evidence", "audit"], &[1])?;
    ensure!(String::from_utf8_lossy(&never.stderr).contains("control-plane.db"), "no database yet");
    provider.start()?;
    let refused = provider.run(&["evidence", "audit", "--tenant", "Nobody"], &[2])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(said.contains("--tenant is \"Nobody\""), "{said}");
    let empty = provider.run(&["evidence", "audit"], &[0])?;
    let said = String::from_utf8_lossy(&empty.stdout).into_owned();
    ensure!(said.contains("Sound: all 0 objects") && said.contains("cannot stop one"), "{said}");
    provider.stop()
}
