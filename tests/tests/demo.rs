//! The demo is no show: it ends well, leaves behind what it promises, and with the fault of a scene left out that scene
//! fails, and the demo with it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::{Command, Output},
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::unistd::Uid;
use proto::{
    charter::OrganizationKeys,
    log::{VerifierKey, WitnessKey},
};
use tests::{
    demo::Scene,
    peers,
    rig::{binary, machine, practice::Folder, process::run},
};

/// One demo after the other: two at once would only slow each other down.
static STAGE: Mutex<()> = Mutex::new(());
const NOBODY: u32 = 65534;

/// What the demo says when a scene goes without its fault.
fn complaint(scene: Scene) -> &'static str {
    match scene {
        Scene::FullDirectory => "in vain: the incident on uploads is resolved",
        Scene::StaleBackup => "in vain: the incident on records is resolved",
        Scene::ProvenRestore => "in vain: the incident on archive is resolved",
        Scene::BrokenRepository => "in vain: the incident on images is escalated",
        Scene::NoControlPlane => "in vain: the event waits in the outbox",
        Scene::PeopleDecide => "in vain: the order is held back",
        Scene::HostileModel => "in vain: what the model says is refused",
        Scene::ForgedOrders => "in vain: the refusals are in the log",
        Scene::CrashedService => "in vain: the incident on frontdesk is resolved",
        Scene::NoUplink => "in vain: a standing order has run",
        Scene::DriftedControl => "in vain: the incident on baseline is resolved",
        Scene::PacketAndBundle => "the verifier must end with 3, it ended with 0",
        Scene::FlippedByte => "the verifier ended with 0",
        Scene::ForkedLog => "the witness answered 200",
        Scene::ChangedVault => "the audit ended with 0",
    }
}

#[test]
fn it_ends_well_and_leaves_behind_what_it_promises() -> Result<()> {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Folder::new()?;
    let left = folder.join("demo");
    let output = run(Command::new(binary("demo")?).arg("--folder").arg(&left), &[0])?;
    let said = String::from_utf8_lossy(&output.stdout);
    for scene in Scene::ALL {
        ensure!(said.contains(&format!("\n{}  ", scene.number())), "scene {} was not played", scene.number());
    }
    let separated = if Uid::effective().is_root() { "two users: the agent cannot" } else { "not separated" };
    ensure!(said.contains(separated), "{said}");

    let mut promised: BTreeSet<&str> =
        ["appliance", "bundle", "clinic", "control-plane", "packet.pdf", "trust", "witness"].into();
    if machine::obstacle().is_none() {
        promised.insert("machine");
    }
    let names = names(&left)?;
    ensure!(names.iter().map(String::as_str).eq(promised), "it left behind {names:?}");
    for path in [
        "packet.pdf",
        "control-plane/config.toml",
        "appliance/config.toml",
        "trust/organization.keys.json",
        "bundle/manifest.json",
        "bundle/packet.md",
        "bundle/packet.pdf",
        "bundle/log/checkpoint",
        "bundle/log/vkey",
        "bundle/log/policy",
        "bundle/catalogue/1.json",
        "bundle/charter/2.json",
        "bundle/baseline/security-rule.csv",
    ] {
        ensure!(fs::metadata(left.join(path)).with_context(|| path)?.len() > 0, "{path} is empty");
    }
    ensure!(fs::read(left.join("packet.pdf"))?.starts_with(b"%PDF-"), "the packet is no PDF");
    let records = self::names(&left.join("bundle/evidence"))?.len();
    let proofs = self::names(&left.join("bundle/proofs"))?;
    ensure!(records > 10 && proofs.len() == records, "{records} records, {} proofs", proofs.len());
    ensure!(proofs.iter().all(|name| name.ends_with(".tlog-proof")), "{proofs:?}");
    ensure!(!self::names(&left.join("bundle/log/tile/0"))?.is_empty(), "no tile");
    let baseline = self::names(&left.join("bundle/baseline"))?;
    ensure!(baseline.iter().any(|name| name.ends_with(".json")), "no baseline but {baseline:?}");
    shown(&folder, &said)?;
    exports(&left)?;
    peers_agree(&left)?;
    verified(&left)
}

/// The packet page by page, beside the demo's folder; without a reader of PDFs the demo says so.
fn shown(folder: &Folder, said: &str) -> Result<()> {
    let screens = folder.join("screens");
    if said.contains("there is no pdftoppm") {
        ensure!(
            std::env::var_os("CI").is_none(),
            "in CI the packet's pages must be drawn: `.ci/setup run` as root"
        );
        ensure!(!screens.exists(), "pages that nobody drew");
        return Ok(());
    }
    let pages = names(&screens)?;
    ensure!(said.contains(&format!("the packet's {} pages as pictures", pages.len())), "{pages:?}\n{said}");
    for page in &pages {
        ensure!(fs::read(screens.join(page))?.starts_with(b"\x89PNG"), "{page} is no picture");
    }
    Ok(())
}

/// Other people's readers of OSCAL call what it says of the clinic valid.
fn exports(left: &Path) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../target/peers-venv/bin/python");
    if !python.exists() {
        ensure!(std::env::var_os("CI").is_none(), "{} is missing: run `.ci/setup test`", python.display());
        println!("exports were not held against others: `.ci/setup test` makes {}", python.display());
        return Ok(());
    }
    let scratch = Folder::new()?;
    let oscal = left.join("bundle/oscal");
    let files: Vec<_> = names(&oscal)?.into_iter().map(|name| oscal.join(name)).collect();
    ensure!(files.len() >= 4, "exports are missing: {files:?}");
    let mut peers = Command::new(python);
    peers.arg(root.join("peers/exports.py")).arg(root.join("oscal")).arg(scratch.path()).args(&files);
    run(&mut peers, &[0]).map(drop)
}

/// Verifiers that are none of ours find nothing wrong with log, envelopes and certificates.
fn peers_agree(left: &Path) -> Result<()> {
    if let Some(why) = peers::without_go()? {
        println!("others' verifiers were not asked: {why}");
        return Ok(());
    }
    let (bundle, trust) = (left.join("bundle"), left.join("trust/organization.keys.json"));
    let key: VerifierKey = fs::read_to_string(bundle.join("log/vkey"))?.trim().parse()?;
    let keys = OrganizationKeys::parse(&fs::read(&trust)?)?;
    // The witness's key as its owner has it.
    let witness: WitnessKey = fs::read_to_string(left.join("witness/witness.vkey"))?.trim().parse()?;
    let scratch = Folder::new()?;
    for verdict in [
        peers::log(&bundle, &key, &[witness], &[])?,
        peers::envelopes(&bundle, &trust)?,
        peers::certificates(&bundle, &keys, scratch.path())?,
    ] {
        ensure!(verdict.holds, "{}", verdict.said);
    }
    Ok(())
}

/// As README says it, after the demo has ended; by keys that no file of the bundle repeats.
fn verified(left: &Path) -> Result<()> {
    let mut verify = Command::new(binary("control-plane")?);
    verify.args(["evidence", "verify", "--trust"]).arg(left.join("trust/organization.keys.json"));
    run(verify.arg(left.join("bundle")), &[0]).map(drop)
}

#[test]
fn without_its_fault_each_scene_fails() -> Result<()> {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    // Two at a time: mostly they wait for what does not come.
    let scenes = Mutex::new(Scene::ALL.iter().copied());
    let next = || scenes.lock().unwrap_or_else(PoisonError::into_inner).next();
    let play = || std::iter::from_fn(next).try_for_each(fails_without_its_fault);
    thread::scope(|scope| {
        let other = scope.spawn(play);
        play().and(other.join().map_err(|_| anyhow!("the other one panicked"))?)
    })
}

fn fails_without_its_fault(scene: Scene) -> Result<()> {
    let number = scene.number().to_string();
    if matches!(scene, Scene::CrashedService | Scene::NoUplink | Scene::DriftedControl)
        && let Some(why) = machine::unavailable()?
    {
        println!("scene {number} was not asked: {why}");
        return Ok(());
    }
    let folder = Folder::new()?;
    let mut demo = Command::new(binary("demo")?);
    demo.arg("--folder").arg(folder.join("demo"));
    demo.args(["--only", &number, "--without", &number, "--patience", "3"]);
    let said = String::from_utf8_lossy(&run(&mut demo, &[1])?.stderr).into_owned();
    let right = said.contains(&format!("demo: scene {number}, ")) && said.contains(complaint(scene));
    ensure!(right, "without the fault of scene {number} the demo said:\n{said}");
    Ok(())
}

/// In CI as well: that nothing may be skipped there is a rule for tests, and the demo is none.
#[test]
fn one_who_is_not_root_sees_it_too_but_for_the_machine() -> Result<()> {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    if !Uid::effective().is_root() {
        return Ok(()); // then the first test is this one
    }
    let folder = Folder::new()?;
    let home = folder.join("nobody");
    fs::create_dir(&home)?;
    chown(&home, Some(NOBODY), Some(NOBODY))?;
    let service = Scene::CrashedService.number().to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(copied(&folder)?);
    command.arg("--folder").arg(home.join("demo")).env("CI", "true").env("HOME", &home);
    let played = |command: &mut Command, code| -> Result<Output> { run(command, &[code]) };
    let output = played(command.args(["--only", &service]), 0)?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains("left out: booting systemd in namespaces needs root"), "{said}");
    ensure!(said.contains("not separated"), "{said}");
    let output = played(command.args(["--without", &service]), 1)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("cannot be played here"), "{said}");
    Ok(())
}

/// As in a clone in root's home: the agent's user gets neither to the programs nor to the demo's folder.
#[test]
fn root_in_a_closed_folder_is_separated_all_the_same() -> Result<()> {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let closed = Folder::new()?;
    let programs = copied(&closed)?;
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700))?;
    let left = closed.join("target/demo");
    let mut places = BTreeSet::new();
    // Twice: the second finds a link, and clears what is behind it.
    for _ in 0..2 {
        let mut demo = Command::new(&programs);
        let output = run(demo.arg("--folder").arg(&left).args(["--only", "1"]), &[0])?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(said.contains("two users: the agent cannot read the evidence key"), "{said}");
        ensure!(left.join("appliance/config.toml").is_file(), "the demo's files are not where they belong");
        places.insert(fs::read_link(&left)?);
    }
    ensure!(places.iter().filter(|place| place.exists()).count() == 1, "{places:?}");
    places.iter().filter(|place| place.exists()).try_for_each(|place| Ok(fs::remove_dir_all(place)?))
}

/// The demo's programs, in a folder of their own; gives the demo's own path.
fn copied(folder: &Folder) -> Result<std::path::PathBuf> {
    let programs = folder.join("programs");
    fs::create_dir(&programs)?;
    for name in ["demo", "appliance", "control-plane"] {
        fs::copy(binary(name)?, programs.join(name))?;
    }
    Ok(programs.join("demo"))
}

fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
