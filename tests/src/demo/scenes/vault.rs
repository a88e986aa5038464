//! Somebody at the vault: in a folder it is found, on an object store it is refused.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use control_plane::vault::{S3Vault, Vault as _};

use super::audit::indented;
use crate::{
    clock,
    demo::{
        Teller,
        stage::{PATIENCE, Stage, TENANT},
    },
    rig::{
        s3::{Kind, Store},
        wait,
    },
};

/// Has the object store started while other scenes are played, where there is one.
pub(super) fn warm_up() {
    if Store::is_here(Kind::Rgw) {
        thread::spawn(|| drop(Store::shared(Kind::Rgw)));
    }
}

pub(super) fn changed_vault(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    let start = clock::instant();
    // Beside the running server: what it is about to note may not be noted yet.
    wait::until("the audit is sound", PATIENCE, || Ok((audit(stage)?.0 == 0).then_some(())))?;
    let [changed, deleted] = two_entries(stage)?;
    let kept = [Kept::read(&changed)?, Kept::read(&deleted)?];
    if stage.fault {
        kept[0].change_a_byte()?;
        fs::remove_file(&deleted)?;
    }
    let (code, report) = audit(stage)?;
    print!("{}", indented(&report));
    kept.iter().try_for_each(Kept::put_back)?;
    ensure!(code == 1, "the audit ended with {code}");
    for path in [&changed, &deleted] {
        let name = path.file_name().and_then(|name| name.to_str()).context("a name")?;
        ensure!(report.contains(&format!("entries/{name}")), "the audit does not name {name}");
    }
    ensure!(audit(stage)?.0 == 0, "what was put back is not sound");
    let how = "in a folder: 1 changed and 1 deleted record named by the audit, and put back";
    teller.proved("a changed vault", how, clock::since(start));
    on_an_object_store(teller, &kept[1])
}

/// What a folder cannot: the same record, with the same owner's keys, cannot be deleted at all.
fn on_an_object_store(teller: &mut Teller, record: &Kept) -> Result<()> {
    let start = clock::instant();
    if !Store::is_here(Kind::Rgw) {
        teller.say("on S3 with Object Lock the store itself refuses; as root, `make test` tries it on Ceph");
        return Ok(());
    }
    // What is unpacked here may still not start: on a full disk, for one. That says nothing of the product.
    let store = match Store::shared(Kind::Rgw) {
        Ok(store) => store.context("it is here")?,
        Err(why) => {
            teller.left_out("a vault that refuses", &format!("{why:#}"));
            return Ok(());
        }
    };
    let owner = store.bucket("evidence")?;
    let vault = S3Vault::connect(&store.settings(&owner.bucket, "orderly", store.port), clock::now)?;
    let (key, six_years) = ("entries/0", std::time::Duration::from_secs(6 * 366 * 86_400));
    let kept = vault.put(key, &record.bytes, clock::now().plus(six_years))?;
    let said = owner.delete(&format!("orderly/{key}"), Some(&kept.version), true)?;
    ensure!(said.status == 403, "the store deleted it: {said:?}");
    ensure!(vault.get(key)?.as_deref() == Some(&record.bytes[..]), "it is not there any more");
    let how = format!("on Ceph: deletion by the bucket's own owner, with bypass, refused ({})", said.status);
    teller.proved("a vault that refuses", how, clock::since(start));
    Ok(())
}

fn audit(stage: &Stage) -> Result<(i32, String)> {
    let output = stage.provider.run(&["evidence", "audit", "--tenant", TENANT], &[0, 1, 3])?;
    Ok((output.status.code().context("an exit code")?, String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn two_entries(stage: &Stage) -> Result<[PathBuf; 2]> {
    let vault = stage.provider.dir.join("vault");
    let tenant: String =
        stage.provider.database()?.query_row("SELECT id FROM tenant", [], |row| row.get(0))?;
    let folder = vault.join(tenant).join("entries");
    let mut all: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    all.sort();
    let mut all = all.into_iter();
    all.next().zip(all.next()).map(|(one, two)| [one, two]).context("two appends to the log")
}

/// A file as it was.
struct Kept {
    path: PathBuf,
    bytes: Vec<u8>,
    until: std::time::SystemTime,
}

impl Kept {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        Ok(Self { path: path.to_owned(), bytes, until: fs::metadata(path)?.modified()? })
    }

    /// As somebody careful would: size, date and rights stay.
    fn change_a_byte(&self) -> Result<()> {
        let mut bytes = self.bytes.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.write(&bytes)
    }

    fn put_back(&self) -> Result<()> {
        self.write(&self.bytes)
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        let _ = fs::remove_file(&self.path); // there may be none
        fs::write(&self.path, bytes)?;
        File::options().write(true).open(&self.path)?.set_modified(self.until)?;
        Ok(fs::set_permissions(&self.path, Permissions::from_mode(0o444))?)
    }
}
