//! From a folder into a bucket: everything, each with its date, once; and the installation goes on there.

use std::{
    fs,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use control_plane::{
    config::S3,
    copy::{Copied, CopyError, copy},
    store::{Store, VaultRow},
    vault::{DirectoryVault, Vault as _},
};
use proto::{digest::Digest, time::Millis};
use serde_json::Value;
use tests::{
    clock,
    rig::{
        Practice, Provider, Relay,
        practice::{Folder, TENANT},
        s3::Kind,
        wait,
    },
};

use crate::{
    bucket,
    conformance::day,
    vault,
    whole::{audit, findings},
};

const LIMIT: Duration = Duration::from_secs(120);

/// A folder's vault with an index of it.
struct Source {
    folder: tempfile::TempDir,
    vault: DirectoryVault,
    store: Store,
}

impl Source {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let vault = DirectoryVault::open(&folder.path().join("vault"))?;
        let store = Store::open(&folder.path().join("index.db"))?;
        Ok(Self { folder, vault, store })
    }

    fn keep(&self, key: &str, file_until: Millis, index_until: Millis) -> Result<()> {
        self.vault.put(key, key.as_bytes(), file_until)?;
        let sha256 = Digest::of(key.as_bytes());
        let row = VaultRow { key: key.to_owned(), version: String::new(), sha256, retain_until: index_until };
        Ok(self.store.put_vault_object(&row)?)
    }

    fn copy(&self, to: &S3) -> Result<Copied, CopyError> {
        copy(&self.store, &self.vault, &vault(to), clock::now(), &mut |_, _| {})
    }
}

/// All of it in the bucket by the version that the index names, each once.
fn all_is_there(source: &Source, to: &S3) -> Result<()> {
    let there = vault(to);
    for row in source.store.vault_objects("", "", 10_000)? {
        let seen = there.look(&[&row.key])?.remove(0);
        let kept = seen.kept().with_context(|| row.key.clone())?;
        ensure!(seen.versions.len() == 1 && !row.version.is_empty(), "{seen:?} {row:?}");
        ensure!(
            (&kept.version, kept.sha256, kept.retain_until) == (&row.version, row.sha256, row.retain_until),
            "{kept:?}, but {row:?}"
        );
    }
    Ok(())
}

fn a_copy_keeps_every_date(kind: Kind) -> Result<()> {
    let Some((_, settings, _)) = bucket(kind)? else { return Ok(()) };
    let source = Source::new()?;
    let now = clock::now();
    let past = Millis(now.0 - 86_400_000);
    for (key, file, index) in [
        ("t/as-it-is", day(1), day(1)),
        ("t/longer-in-the-index", day(1), day(9)),
        ("t/shorter-in-the-index", day(9), day(1)),
        ("t/unknown-in-the-index", day(3), Millis(0)),
        ("t/ended", past, past),
        ("t/ended-and-gone", past, past),
    ] {
        source.keep(key, file, index)?;
    }
    fs::remove_file(source.folder.path().join("vault/t/ended-and-gone"))?;
    source.vault.put("t/not-indexed", b"broken off", day(4))?;
    let copied = source.copy(&settings)?;
    let bytes = copied.bytes;
    ensure!(copied == Copied { copied: 6, before: 0, not_indexed: 1, ended: 1, bytes }, "{copied:?}");
    let there = vault(&settings);
    let until = |key: &str| -> Result<Millis> { Ok(there.kept(key)?.context("it is there")?.retain_until) };
    ensure!(until("t/as-it-is")? == day(1) && until("t/longer-in-the-index")? == day(9));
    ensure!(until("t/shorter-in-the-index")? == day(9), "a date is never moved forward: the file's is later");
    ensure!(until("t/unknown-in-the-index")? == day(3), "its date is the file's");
    ensure!(until("t/ended")? > now && until("t/not-indexed")? == day(4));
    ensure!(there.list("")?.len() == 6 && there.get("t/not-indexed")?.as_deref() == Some(b"broken off"));
    let gone = source.store.vault_object("t/ended-and-gone")?.context("it is noted")?;
    ensure!(gone.version.is_empty() && source.store.vault_object("t/not-indexed")?.is_none());
    // Again: all that the index knows was there.
    let again = source.copy(&settings)?;
    ensure!((again.before, again.copied, again.not_indexed, again.ended) == (5, 1, 1, 1), "{again:?}");
    Ok(())
}

#[test]
fn a_copy_keeps_every_date_on_ceph() -> Result<()> {
    a_copy_keeps_every_date(Kind::Rgw)
}

#[test]
fn a_copy_keeps_every_date_on_a_quick_store() -> Result<()> {
    a_copy_keeps_every_date(Kind::Ministack)
}

#[test]
fn a_copy_that_was_broken_off_goes_on() -> Result<()> {
    let Some((_, settings, store)) = bucket(Kind::Ministack)? else { return Ok(()) };
    let source = Source::new()?;
    for n in 0..300 {
        source.keep(&format!("t/entries/{n:010}"), day(1), day(1))?;
    }
    let (relay, port) = Relay::here(store.port)?;
    let through = vault(&S3 { host: format!("127.0.0.1:{port}"), ..settings.clone() });
    let mut seen_to = 0;
    let broken = copy(&source.store, &source.vault, &through, clock::now(), &mut |more, all| {
        seen_to += more;
        assert_eq!(all, 300);
        relay.cut(seen_to > 150);
    });
    ensure!(matches!(broken, Err(CopyError::Vault(_))), "{broken:?}");
    let resumed = vault(&settings);
    let done = copy(&source.store, &source.vault, &resumed, clock::now(), &mut |_, _| {})?;
    ensure!(done.before >= 128 && done.before + done.copied == 300, "{done:?}");
    // What was there is seen from one list, and not asked for again; of the rest, the first few are looked at first.
    let most = 3 * done.copied + 64 + 2;
    ensure!(resumed.requests() <= most, "{} requests for {done:?}", resumed.requests());
    all_is_there(&source, &settings)?;
    // Another bucket knows none of it, whatever the index says.
    let Some((_, other, _)) = bucket(Kind::Ministack)? else { return Ok(()) };
    ensure!(source.copy(&other)?.copied == 300);
    all_is_there(&source, &other)
}

#[test]
fn what_is_not_as_it_was_kept_is_not_copied() -> Result<()> {
    let Some((owner, settings, _)) = bucket(Kind::Ministack)? else { return Ok(()) };
    let source = Source::new()?;
    source.keep("t/1", day(1), day(1))?;
    source.keep("t/2", day(1), day(1))?;
    let path = source.folder.path().join("vault/t/2");
    let named = |refused: Result<Copied, CopyError>| match refused {
        Err(CopyError::Unsound { key }) => key,
        other => format!("{other:?}"),
    };
    fs::remove_file(&path)?;
    ensure!(named(source.copy(&settings)) == "t/2", "it was gone");
    fs::write(&path, b"t/3")?;
    fs::File::options()
        .write(true)
        .open(&path)?
        .set_modified(UNIX_EPOCH + Duration::from_secs(2_000_000_000))?;
    ensure!(named(source.copy(&settings)) == "t/2", "it was changed");
    fs::write(&path, b"t/2")?;
    ensure!(source.copy(&settings)?.copied >= 1);
    // Something of another installation lies there.
    source.keep("t/3", day(1), day(1))?;
    owner.write("orderly/t/3", "another's", None)?;
    let refused = source.copy(&settings).unwrap_err().to_string();
    ensure!(refused.contains("t/3 was written before with other bytes"), "{refused}");
    Ok(())
}

fn arguments(to: &S3) -> Vec<String> {
    let credentials = to.credentials.as_ref().map_or_else(String::new, ToString::to_string);
    let endpoint = format!("{}://{}", to.scheme, to.host);
    let named = [("--bucket", &to.bucket), ("--endpoint", &endpoint), ("--prefix", &to.prefix)];
    let mut all: Vec<String> =
        named.iter().flat_map(|(name, value)| [(*name).to_owned(), (*value).clone()]).collect();
    all.extend(["--path-style".into(), "--credentials".into(), credentials]);
    all
}

/// What a command says that must end with `code`.
fn copied(provider: &Provider, to: &S3, code: i32) -> Result<Value> {
    let arguments = arguments(to);
    let mut all = vec!["--json", "evidence", "copy"];
    all.extend(arguments.iter().map(String::as_str));
    let output = provider.run(&all, &[code])?;
    serde_json::from_slice(&output.stdout).context("it prints JSON")
}

#[test]
fn an_installation_goes_on_in_the_bucket_it_was_copied_into() -> Result<()> {
    let Some((_, settings, _)) = bucket(Kind::Rgw)? else { return Ok(()) };
    let mut all = Practice::open(Folder::new()?, 1, &[])?;
    all.start_agent()?;
    // Beside the running server: what it keeps meanwhile, the next run brings.
    let first = copied(&all.provider, &settings, 3)?;
    ensure!(first["server_runs"] == true && first["copied"].as_u64() >= Some(5), "{first:#}");
    let before = all.provider.evidence(TENANT)?.len();
    wait::until("there is more evidence", LIMIT, || {
        all.check()?;
        Ok((all.provider.evidence(TENANT)?.len() > before).then_some(()))
    })?;
    all.clinic.stop()?;
    all.provider.stop()?;
    let second = copied(&all.provider, &settings, 0)?;
    ensure!(second["server_runs"] == false && second["copied"].as_u64() >= Some(2), "{second:#}");
    ensure!(second["before"].as_u64() >= Some(4), "{second:#}");
    // The folder is what it was, and can still be audited.
    ensure!(findings(&audit(&all.provider, &[0])?.1).is_empty());

    let path = all.provider.dir.join("config.toml");
    let text = fs::read_to_string(&path)?;
    let (others, _) = text.split_once("[vault]").context("there is a vault")?;
    let block = second["vault"].as_str().context("the block to be put there")?;
    fs::write(&path, format!("{others}[vault]\n{block}"))?;
    ensure!(block.contains("retention_days"), "{block}");
    let (_, report) = audit(&all.provider, &[0])?;
    ensure!(report["vault"].as_str().is_some_and(|vault| vault.contains(&settings.bucket)), "{report:#}");
    // Moved is moved: a folder is not copied that is not the vault.
    let said = all.provider.run(&["evidence", "copy", "--bucket", "evidence"], &[2])?;
    ensure!(String::from_utf8_lossy(&said.stderr).contains("must be \"directory\""));

    fs::rename(all.provider.dir.join("vault"), all.provider.dir.join("vault.before"))?;
    all.provider.start()?;
    all.clinic.start_executor()?;
    all.clinic.start_agent()?;
    let before = all.provider.evidence(TENANT)?.len();
    wait::until("evidence goes on", LIMIT, || {
        all.check()?;
        Ok((all.provider.evidence(TENANT)?.len() > before + 1).then_some(()))
    })?;
    all.clinic.stop()?;
    ensure!(all.verified_bundle(&["silence"])? != 1);
    all.provider.stop()?;
    audit(&all.provider, &[0]).map(drop)
}

#[test]
fn a_bucket_that_cannot_keep_evidence_is_not_copied_into() -> Result<()> {
    let Some((owner, settings, _)) = bucket(Kind::Rgw)? else { return Ok(()) };
    let folder = Folder::new()?;
    let mut provider = Provider::init(&folder.join("control-plane"), "msp.example", None)?;
    provider.start()?;
    provider.stop()?;
    owner.other("unlocked").make_bucket(false)?;
    for (bucket, says) in [
        ("unlocked", "bucket unlocked has no Object Lock"),
        ("nowhere-to-be-found", "there is no bucket nowhere-to-be-found"),
        ("No", "vault.bucket"),
    ] {
        let to = S3 { bucket: bucket.to_owned(), ..settings.clone() };
        let arguments = arguments(&to);
        let mut all = vec!["evidence", "copy"];
        all.extend(arguments.iter().map(String::as_str));
        let refused = provider.run(&all, &[2])?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(said.contains(says), "{said}");
    }
    ensure!(fs::read_to_string(provider.dir.join("config.toml"))?.contains("kind = \"directory\""));
    Ok(())
}
