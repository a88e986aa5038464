//! Documents from the operator's command line to a box under real systemd: an exception, a watch list, a sealed secret.
//! As root.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::{
    clock,
    rig::{Installed, Passkey, Tree, machine, practice::TENANT, wait},
};

const LIMIT: Duration = Duration::from_secs(60);
const SECRET: &str = "correct horse battery staple";
const WATCH: &str =
    "[secrets]\nrestic = \"/etc/restic.password\"\n\n[[watch.baseline]]\nid = \"it\"\nevery_seconds = 2\n";
const OTHER: &str = "[[watch.baseline]]\nid = \"another\"\nevery_seconds = 2\n\n[[watch.log]]\nid = \"notes\"\n\
                     path = \"/var/log/notes\"\nraise = [\"ERROR\"]\n";

/// A clinic whose charter names one approver, and that approver's passkey.
struct Practice {
    all: Installed,
    passkey: Passkey,
    folder: PathBuf,
    appliance: String,
}

impl Practice {
    fn open() -> Result<Self> {
        let tree = Tree::new()?.file("var/log/notes", "")?;
        let all = Installed::open(tree, WATCH)?;
        let passkey = Passkey::of("ann");
        let folder = all.folder.join("papers");
        fs::create_dir_all(&folder)?;
        let list = all.provider.ask(&["appliance", "list"])?;
        let appliance = list["appliances"][0]["id"].as_str().context("a box is enrolled")?.to_owned();
        let practice = Self { all, passkey, folder, appliance };
        Passkey::into_charter(&[&practice.passkey], &practice.all.provider, &practice.folder)?;
        Ok(practice)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn file(&self, name: &str, content: &str) -> Result<String> {
        fs::write(self.path(name), content)?;
        Ok(text(&self.path(name))?.to_owned())
    }

    fn ask(&self, args: &[&str]) -> Result<Value> {
        self.all.provider.ask(args)
    }

    /// Draws up, has it approved, and puts it in force.
    fn decide(&self, noun: &[&str], draft: &[&str], add: &str) -> Result<Value> {
        let out = self.path("draft.json");
        let _ = fs::remove_file(&out);
        let drawn = self.ask(&[noun, &["draft"], draft, &["--out", text(&out)?]].concat())?;
        let approval = self.passkey.approve(&drawn, &self.folder)?;
        self.ask(&[noun, &[add, text(&out)?, "--approval", &approval]].concat())
    }

    fn evidence(&self) -> Result<Vec<String>> {
        let all: Vec<Value> = self.all.provider.evidence(TENANT)?;
        Ok(all.iter().filter_map(|e| Some(e["summary"].as_str()?.to_owned())).collect())
    }

    fn until_said(&self, what: &str) -> Result<()> {
        wait::until(what, LIMIT, || Ok(self.evidence()?.iter().any(|e| e.contains(what)).then_some(())))
            .with_context(|| format!("{:?}\n{}", self.evidence(), self.all.journal()))
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

#[test]
fn what_an_approver_signs_reaches_the_box_and_a_secret_is_nobody_elses_to_read() -> Result<()> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let practice = Practice::open()?;

    // An exception: the control was never kept here.
    practice.until_said(" 0 excepted")?;
    let (now, day) = (clock::now(), Duration::from_secs(24 * 3600));
    let exception = format!(
        "control: NXH-028\nreason: This host has other things to do.\nrisk: None of a test's.\n\
         compensating: It is a test.\napprover: Ann\nissued: {}\nexpires: {}\n",
        now.minus(day),
        now.plus(day)
    );
    let file = practice.file("exception.yaml", &exception)?;
    let added = practice.decide(&["exception"], &["--tenant", TENANT, &file], "add")?;
    ensure!(added["state"] == "in-force" && added["approvers"] == json!(["ann"]), "{added:#}");
    practice.until_said("exception NXH-028 in force")?;
    practice.until_said(" 1 excepted")?;
    let revoked = practice.ask(&["exception", "revoke", "--tenant", TENANT, "NXH-028"])?;
    ensure!(revoked["state"] == "withdrawn", "{revoked:#}");
    practice.until_said("exception NXH-028 withdrawn")?;

    // A secret: in its file, and nowhere else.
    let from = practice.file("restic.password", SECRET)?;
    let id = practice.appliance.clone();
    let sent = practice.ask(&["secret", "set", "--appliance", &id, "--name", "restic", "--from", &from])?;
    ensure!(sent["state"] == "in-force" && !sent.to_string().contains(SECRET), "{sent:#}");
    practice.until_said("secret restic in force")?;
    let kept = practice
        .all
        .machine
        .run("sh", &["-c", "cat /etc/restic.password; stat -c ' %a %U' /etc/restic.password"])?;
    ensure!(kept.trim_end() == format!("{SECRET} 600 root"), "{kept}");
    fs::remove_file(&from)?;
    for place in [practice.all.provider.dir.as_path(), &practice.folder] {
        ensure!(!holds(place, SECRET.as_bytes())?, "{} holds the secret", place.display());
    }
    let elsewhere = format!("grep -rlF '{SECRET}' /var/lib/orderly /var/log /run/log || true");
    let found = practice.all.machine.run("sh", &["-c", &elsewhere])?;
    ensure!(found.trim().is_empty() && !practice.all.journal().contains(SECRET), "{found}");

    // A watch list: both programs go by it.
    let list = practice.file("watch.toml", OTHER)?;
    let set = practice.decide(&["appliance", "watch-list"], &[&id, &list], "set")?;
    ensure!(set["state"] == "in-force", "{set:#}");
    practice.until_said("watch-list box in force")?;
    wait::until("the box tells its new watch list", LIMIT, || {
        let list = practice.ask(&["appliance", "show", &id])?;
        let ids = list["watch"].as_array().into_iter().flatten().filter_map(|entry| entry["id"].as_str());
        Ok((ids.collect::<Vec<_>>() == ["another", "notes"]).then_some(()))
    })
    .with_context(|| practice.all.journal())?;
    wait::until("the agent reads what is new on it", LIMIT, || {
        practice.all.machine.run("sh", &["-c", "echo ERROR >> /var/log/notes"])?;
        let list = practice.ask(&["incident", "list"])?;
        let all = list["incidents"].as_array().into_iter().flatten();
        Ok(all.into_iter().any(|incident| incident["watch"] == "notes").then_some(()))
    })
    .with_context(|| practice.all.journal())?;
    let shown = practice.ask(&["appliance", "watch-list", "show", &id])?;
    ensure!(shown["watch_list"] == OTHER, "{shown:#}");
    Ok(())
}

/// Whether any file below a folder holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && holds(&entry.path(), bytes)? {
            return Ok(true);
        }
        if kind.is_file() && fs::read(entry.path())?.windows(bytes.len()).any(|part| part == bytes) {
            return Ok(true);
        }
    }
    Ok(false)
}
