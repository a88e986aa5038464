//! The hold key at the box, with the real programs. The device alone is a double: this kernel has no uinput, so a named
//! pipe gives the bytes that an input device gives (linux/input.h).

use std::{fs, io::Write as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{sys::stat::Mode, unistd::mkfifo};
use proto::evidence::{Body, peek};
use serde_json::Value;
use tests::rig::{Practice, Watch, practice::Folder, wait};

const LIMIT: Duration = Duration::from_secs(60);
const POWER: u16 = 116;

fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
    [&[0; 16][..], &kind.to_ne_bytes(), &code.to_ne_bytes(), &value.to_ne_bytes()].concat()
}

/// Down, a report, up, a report: as a keyboard says it.
fn press(device: &mut fs::File) -> Result<()> {
    let all = [event(1, POWER, 1), event(0, 0, 0), event(1, POWER, 0), event(0, 0, 0)].concat();
    Ok(device.write_all(&all)?)
}

/// What the evidence says of holds, in order: held or released, and how.
fn holds(practice: &Practice) -> Result<Vec<(bool, String)>> {
    let db = practice.provider.database()?;
    let mut query = db.prepare("SELECT envelope FROM evidence WHERE kind = 'hold' ORDER BY log_index")?;
    let envelopes: Vec<Vec<u8>> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let hold = |envelope: &Vec<u8>| match peek(envelope)?.body {
        Body::Hold(hold) => Ok((hold.held, hold.by)),
        other => bail!("a hold is {other:?}"),
    };
    envelopes.iter().map(hold).collect()
}

fn fill(directory: &Path) -> Result<()> {
    Ok(fs::write(directory.join("file"), vec![0; 5000])?)
}

#[test]
fn a_key_at_the_box_holds_all_orders_and_releases_them() -> Result<()> {
    let folder = Folder::new()?;
    let (uploads, device) = (folder.join("uploads"), folder.join("event0"));
    fs::create_dir(&uploads)?;
    mkfifo(&device, Mode::from_bits_truncate(0o600))?;
    let mut practice = Practice::open(folder, 600, &[("uploads", Watch::Directory(&uploads, 1000))])?;
    practice.clinic.stop()?;
    let config = practice.clinic.dir.join("config.toml");
    let key = format!("[executor]\nhold_key = {{ device = {device:?}, code = {POWER} }}\n");
    fs::write(&config, fs::read_to_string(&config)?.replace("[executor]\n", &key))?;
    practice.clinic.start_executor()?;
    practice.start_agent()?;
    // Waits until the executor has opened the other end.
    let mut pressed = fs::File::options().write(true).open(&device)?;
    pressed.write_all(&[event(1, 30, 1), event(0, 0, 0)].concat())?;
    press(&mut pressed)?;
    let hold = |practice: &Practice| {
        Ok::<Value, anyhow::Error>(practice.clinic.status()?["executor"]["hold"].clone())
    };
    wait::until("the press is noticed", Duration::from_secs(10), || {
        Ok((!hold(&practice)?.is_null()).then_some(()))
    })?;
    wait::until("it is evidence", LIMIT, || {
        practice.check()?;
        Ok((holds(&practice)?.len() == 1).then_some(()))
    })?;
    ensure!(holds(&practice)? == [(true, "key".to_owned())], "{:?}", holds(&practice)?);
    fill(&uploads)?;
    let incident =
        practice.provider.incident("uploads", &["planned", "escalated", "ordered", "refused"], LIMIT)?;
    ensure!(uploads.join("file").exists(), "{incident:#}");

    // Held through a restart of the executor; the key that is pressed afterwards releases.
    drop(pressed);
    practice.clinic.kill_executor()?;
    practice.clinic.start_executor()?;
    ensure!(!hold(&practice)?.is_null(), "a restart has released it");
    ensure!(uploads.join("file").exists(), "an order ran while it was held");
    let mut pressed = fs::File::options().write(true).open(&device)?;
    press(&mut pressed)?;
    wait::until("it is released", LIMIT, || Ok(hold(&practice)?.is_null().then_some(())))?;
    wait::until("that is evidence, too", LIMIT, || {
        practice.check()?;
        Ok((holds(&practice)?.len() == 2).then_some(()))
    })
    .with_context(|| format!("{:?}", holds(&practice)))?;
    ensure!(holds(&practice)?[1] == (false, "key".to_owned()), "{:?}", holds(&practice)?);
    practice.clinic.stop()?;
    practice.provider.stop()
}
