//! What an auditor gets, and what an auditor finds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use proto::evidence;

use super::openssl;
use crate::{
    clock,
    demo::{
        Teller, screens,
        stage::{PATIENCE, Stage, TENANT},
    },
    rig::{process::run, wait},
};

pub(super) fn packet_and_bundle(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    let start = clock::instant();
    // It was cut off with the other one, and comes back in its own time: until then it would rightly be called silent.
    wait::until("the first box has nothing left to tell", PATIENCE, || {
        stage.clinic.check()?;
        let outbox = stage.clinic.status()?["outbox"].clone();
        Ok((outbox["evidence"] == 0 && outbox["on_its_way"].is_null()).then_some(()))
    })?;
    wait::until("the witness has cosigned the log", PATIENCE, || {
        let list = stage.provider.ask(&["evidence", "witnesses", "--tenant", TENANT])?;
        Ok((list["witnesses"][0]["size"] != 0).then_some(()))
    })?;
    let bundle = export(stage, "bundle")?;
    fs::copy(bundle.join("packet.pdf"), stage.folder.join("packet.pdf"))?;
    let (code, report) = verify(stage, &bundle)?;
    print!("{}", indented(&report));
    ensure!(code == 0, "the verifier ended with {code}");
    let quorum = "1 of 1 witnesses, quorum 1: ";
    ensure!(report.contains(quorum) && report.contains(stage.witness.key.name()), "it names no witness");
    // The fault is on the auditor's side: nobody gave the organization's keys.
    let (untrusting, _) = verify_with(stage, &bundle, !stage.fault)?;
    ensure!(
        untrusting == 3,
        "for an auditor without the organization's keys the verifier must end with 3, it ended with {untrusting}"
    );
    again(stage, &bundle)?;
    match screens::draw(&stage.folder.join("packet.pdf"), &stage.screens)? {
        Some(pages) => {
            teller.say(format!("the packet's {pages} pages as pictures: {}", stage.screens.display()))
        }
        None => teller.say(
            "the packet's pages were not drawn: there is no pdftoppm (`.ci/setup run`, as root, unpacks it)",
        ),
    }
    let how = "verified offline: sound, complete and seen from outside; without the organization's keys, unanchored";
    teller.proved("packet and bundle", how, clock::since(start));
    Ok(())
}

/// Whoever has the bundle makes the packet, without a server and without having been told anything.
fn again(stage: &Stage, bundle: &Path) -> Result<()> {
    let out = stage.folder.join("again");
    let (from, to) = (bundle.to_str().context("UTF-8")?, out.to_str().context("UTF-8")?);
    stage.provider.run(&["packet", "build", "--from", from, "--out", to], &[0])?;
    for name in ["packet.md", "packet.pdf"] {
        ensure!(fs::read(out.join(name))? == fs::read(bundle.join(name))?, "{name} made again is another");
    }
    Ok(fs::remove_dir_all(&out)?)
}

pub(super) fn one_flipped_byte(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    let start = clock::instant();
    let (bundle, copy) = (stage.folder.join("bundle"), stage.folder.join("tampered"));
    run(Command::new("cp").arg("-r").arg(&bundle).arg(&copy), &[0])?;
    let file = a_record(&copy)?;
    let mut bytes = fs::read(&file)?;
    let genuine = openssl::agrees(&bytes, &copy)?;
    ensure!(genuine != Some(false), "openssl does not take a genuine record");
    let middle = bytes.len() / 2;
    if stage.fault {
        bytes[middle] ^= 1;
    }
    let altered = openssl::agrees(&bytes, &copy)?;
    fs::write(&file, bytes)?;
    match (genuine, altered) {
        (Some(_), Some(false) | None) => {
            teller.say("openssl takes the record as it was, and not as it is now")
        }
        (Some(_), Some(true)) => teller.say("openssl takes the record as it is"),
        (None, _) => teller.say("openssl was not asked: it is not here"),
    }
    let (code, report) = verify(stage, &copy)?;
    let name = file.file_name().and_then(|n| n.to_str()).context("a name")?;
    ensure!(code == 1, "the verifier ended with {code}");
    ensure!(report.contains(name), "the verifier does not name {name}");
    fs::remove_dir_all(&copy)?;
    teller.proved("one flipped byte", format!("found in evidence/{name}"), clock::since(start));
    Ok(())
}

/// One that an appliance signed.
fn a_record(bundle: &Path) -> Result<PathBuf> {
    let all =
        fs::read_dir(bundle.join("evidence"))?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let is_record = |path: &PathBuf| fs::read(path).is_ok_and(|bytes| evidence::peek(&bytes).is_ok());
    all.into_iter().find(is_record).context("there are records")
}

pub(super) fn export(stage: &Stage, name: &str) -> Result<PathBuf> {
    let out = stage.folder.join(name);
    let month = clock::now().to_string()[..7].to_owned();
    let path = out.to_str().context("a path in UTF-8")?;
    stage
        .provider
        .run(&["evidence", "export", "--tenant", TENANT, "--month", &month, "--out", path], &[0])?;
    Ok(out)
}

fn verify(stage: &Stage, bundle: &Path) -> Result<(i32, String)> {
    verify_with(stage, bundle, true)
}

fn verify_with(stage: &Stage, bundle: &Path, trust: bool) -> Result<(i32, String)> {
    let trust_file = stage.folder.join("trust/organization.keys.json");
    let (trust_file, bundle) = (trust_file.to_str().context("UTF-8")?, bundle.to_str().context("UTF-8")?);
    let mut args = vec!["evidence", "verify"];
    if trust {
        args.extend(["--trust", trust_file]);
    }
    args.push(bundle);
    let output = stage.provider.run(&args, &[0, 1, 3])?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code().context("an exit code")?, text))
}

pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("           {line}\n")).collect()
}
