//! What somebody with the bucket's own keys tries: each attempt is refused by the store, or found by the audit; and what
//! was kept is read back all the same.

use anyhow::{Result, ensure};
use control_plane::{
    audit::{Expected, Fault, judge},
    config::{S3, Secret, VaultStore},
    directory::Directory,
    vault::{self, Kept, Vault as _, VaultError},
};
use tests::{
    clock,
    rig::s3::{Kind, Owner, Said},
};

use crate::{bucket, conformance::day, vault as connect};

const KEY: &str = "t/entries/0000000000";
const BYTES: &str = "what was done";
/// The same key as the store has it.
const PATH: &str = "orderly/t/entries/0000000000";
/// Before the date that was promised.
const SOONER: &str = "2033-05-18T04:00:00Z";
const LATER: &str = "2034-05-18T04:00:00Z";

/// An attempt; what the audit says of it, if the store lets it happen; whether Ceph does.
type Attempt = (&'static str, fn(&Owner, &str) -> Result<Said>, &'static str, bool);

const ATTEMPTS: &[Attempt] = &[
    ("delete", |owner, version| owner.delete(PATH, Some(version), false), "missing", false),
    ("delete with bypass", |owner, version| owner.delete(PATH, Some(version), true), "missing", false),
    // A batch is answered as such, and says of each object what became of it.
    ("delete in a batch", |owner, version| owner.delete_in_batch(PATH, version), "missing", true),
    (
        "a shorter date",
        |owner, version| owner.set_lock(PATH, version, "COMPLIANCE", SOONER),
        "shortened",
        false,
    ),
    (
        "governance mode",
        |owner, version| owner.set_lock(PATH, version, "GOVERNANCE", LATER),
        "weakened",
        false,
    ),
    ("no mode", |owner, version| owner.set_lock(PATH, version, "", ""), "weakened", false),
    ("overwrite", |owner, _| owner.write(PATH, "what was not done", None), "overwritten", true),
    (
        "overwrite with a lock",
        |owner, _| owner.write(PATH, "nor this", Some(("COMPLIANCE", LATER))),
        "overwritten",
        true,
    ),
    (
        "more than a vault keeps, on top",
        |owner, _| owner.write(PATH, &"x".repeat((64 << 20) + 1), None),
        "overwritten",
        true,
    ),
    ("a delete marker", |owner, _| owner.delete(PATH, None, false), "hidden", true),
];

fn audited(settings: &S3, kept: &Kept) -> Result<Vec<Fault>> {
    let seen = connect(settings).look(&[KEY])?.remove(0);
    let expected = Expected {
        version: Some(kept.version.clone()),
        sha256: kept.sha256,
        retain_until: Some(kept.retain_until),
    };
    Ok(judge(&expected, &seen, clock::now()))
}

fn nobody_takes_back_what_was_kept(kind: Kind) -> Result<()> {
    let (mut refused, mut found) = (0, 0);
    for (what, attempt, fault, ceph_does) in ATTEMPTS {
        let Some((owner, settings, _)) = bucket(kind)? else { return Ok(()) };
        let vault = connect(&settings);
        let kept = vault.put(KEY, BYTES.as_bytes(), day(1))?;
        ensure!(audited(&settings, &kept)?.is_empty(), "{what}: not sound to begin with");
        let said = attempt(&owner, &kept.version)?;
        let faults: Vec<&str> = audited(&settings, &kept)?.iter().map(Fault::word).collect();
        if kind == Kind::Rgw {
            ensure!(said.did() == *ceph_does, "{what}: {said:?}");
        }
        match faults[..] {
            [] if said.did() => ensure!(said.body.contains("<Error>"), "{what} was done unseen: {said:?}"),
            [] => refused += 1,
            [one] => {
                ensure!(one == *fault, "{what} was found as {faults:?}");
                found += 1;
            }
            _ => ensure!(false, "{what} was found as {faults:?}"),
        }
        println!("{kind:?}, {what}: {} {faults:?}", said.status);
        ensure!(vault.get(KEY)?.as_deref() == Some(BYTES.as_bytes()), "{what}: it reads otherwise");
        // And the server goes on: what it kept is kept.
        ensure!(vault.put(KEY, BYTES.as_bytes(), day(1))? == kept, "{what}: kept anew");
    }
    ensure!(refused >= 5 && found >= 3, "{refused} were refused, {found} were found");
    Ok(())
}

#[test]
fn nobody_takes_back_what_was_kept_on_ceph() -> Result<()> {
    nobody_takes_back_what_was_kept(Kind::Rgw)
}

#[test]
fn nobody_takes_back_what_was_kept_on_a_quick_store() -> Result<()> {
    nobody_takes_back_what_was_kept(Kind::Ministack)
}

/// Whoever comes first has the key: with the same bytes it is locked as it should have been, with others it is refused.
#[test]
fn what_somebody_planted_is_locked_or_refused() -> Result<()> {
    let Some((owner, settings, _)) = bucket(Kind::Rgw)? else { return Ok(()) };
    let vault = connect(&settings);
    owner.write(PATH, BYTES, None)?;
    let kept = vault.put(KEY, BYTES.as_bytes(), day(1))?;
    ensure!(audited(&settings, &kept)?.is_empty(), "it is locked now");
    ensure!(!owner.delete(PATH, Some(&kept.version), true)?.did(), "and stays");

    owner.write("orderly/t/other", "something else", None)?;
    let refused = vault.put("t/other", BYTES.as_bytes(), day(1)).unwrap_err();
    ensure!(matches!(refused, VaultError::Changed { .. }), "{refused}");
    // A marker where there is nothing yet is nothing.
    owner.delete("orderly/t/marked", None, false)?;
    ensure!(vault.get("t/marked")?.is_none() && vault.list("t")?.len() == 2);
    vault.put("t/marked", BYTES.as_bytes(), day(1))?;
    ensure!(vault.get("t/marked")?.is_some() && vault.list("t")?.len() == 3);
    Ok(())
}

fn opened(settings: S3) -> Result<(), VaultError> {
    vault::open(&VaultStore::S3(settings), &Directory::new("/nowhere"), clock::now).map(drop)
}

#[test]
fn a_bucket_that_cannot_keep_evidence_is_refused_by_what_is_wrong() -> Result<()> {
    let Some((owner, settings, _)) = bucket(Kind::Rgw)? else { return Ok(()) };
    opened(settings.clone())?;
    let refused = |bucket: &str| {
        let error = opened(S3 { bucket: bucket.to_owned(), ..settings.clone() }).unwrap_err();
        assert!(error.is_settings(), "{error}");
        format!("{:#}", anyhow::Error::new(error))
    };
    let none = refused("no-such-bucket");
    ensure!(none.contains("there is no bucket no-such-bucket"), "{none}");
    owner.other("plain").make_bucket(false)?;
    let plain = refused("plain");
    ensure!(plain.contains("bucket plain has no versioning") && plain.contains("no Object Lock"), "{plain}");
    owner.other("plain").set_versioning("Enabled")?;
    let versioned = refused("plain");
    ensure!(!versioned.contains("versioning") && versioned.contains("no Object Lock"), "{versioned}");
    // Ceph does not let it happen.
    ensure!(!owner.set_versioning("Suspended")?.did(), "versioning was suspended");
    opened(settings)?;
    Ok(())
}

/// A store that lets versioning be suspended: the next start is refused, and the audit names it.
#[test]
fn suspended_versioning_is_found() -> Result<()> {
    let Some((owner, settings, _)) = bucket(Kind::Ministack)? else { return Ok(()) };
    opened(settings.clone())?;
    ensure!(
        owner.set_versioning("Suspended")?.did(),
        "a stricter store by now: test the rest of it on this one"
    );
    let weak = connect(&settings).weaknesses()?;
    ensure!(weak.len() == 1 && weak[0].contains("is Suspended, must be Enabled"), "{weak:?}");
    let refused = opened(settings).unwrap_err();
    ensure!(matches!(refused, VaultError::Unfit { .. }), "{refused}");
    Ok(())
}

/// Whoever has no right to it is told so, and no secret is in what is said.
#[test]
fn wrong_keys_are_refused_without_a_word_of_them() -> Result<()> {
    let Some((_, settings, _)) = bucket(Kind::Rgw)? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("credentials");
    let text = "aws_access_key_id = NOBODY\naws_secret_access_key = hush\n";
    control_plane::files::create(&path, text.as_bytes(), control_plane::files::Access::Secret)?;
    let error =
        opened(S3 { credentials: Some(Secret::file("vault.credentials", path)), ..settings }).unwrap_err();
    let said = format!("{:#} {error:?}", anyhow::anyhow!(error.to_string()));
    ensure!(error.is_settings() && said.contains("403") && said.contains("InvalidAccessKeyId"), "{said}");
    ensure!(!said.contains("hush") && !said.contains("NOBODY"), "{said}");
    Ok(())
}
