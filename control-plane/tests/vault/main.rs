//! What every vault must hold to, and what the one in a folder must besides.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use control_plane::vault::{DirectoryVault, MemoryVault, Vault, VaultError};
use proptest::prelude::*;

mod conformance;

use conformance::{CHECKS, day};

#[test]
fn each_vault_holds_to_it() {
    for (name, check) in CHECKS {
        let folder = tempfile::tempdir().unwrap();
        println!("{name}, in a folder");
        check(&DirectoryVault::open(&folder.path().join("vault")).unwrap());
        println!("{name}, in memory");
        check(&MemoryVault::default());
    }
}

proptest! {
    /// Whatever the key: it is refused, or the object lies under the vault, and both kinds agree.
    #[test]
    fn no_key_leads_out(key in "[a-c./_\\-\\PC]{0,12}") {
        let folder = tempfile::tempdir().unwrap();
        let vault = DirectoryVault::open(&folder.path().join("vault")).unwrap();
        let put = vault.put(&key, b"x", day(1));
        prop_assert_eq!(put.is_ok(), MemoryVault::default().put(&key, b"x", day(1)).is_ok());
        prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        prop_assert_eq!(vault.list("").unwrap(), if put.is_ok() { vec![key] } else { vec![] });
    }
}

fn open(root: &Path) -> DirectoryVault {
    DirectoryVault::open(root).unwrap()
}

#[test]
fn objects_outlive_the_program_and_are_read_only() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).put("t/k", b"x", day(1)).unwrap();
    assert_eq!(open(folder.path()).get("t/k").unwrap().unwrap(), b"x");
    assert_eq!(open(folder.path()).kept("t/k").unwrap().map(|kept| kept.retain_until), Some(day(1)));
    let file = fs::metadata(folder.path().join("t/k")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o444);
    assert_eq!(file.nlink(), 1, "no second name stays");
    assert_eq!(fs::metadata(folder.path().join("t")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn an_object_that_was_changed_behind_its_back_is_found_by_the_next_put() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    vault.put("k", b"evidence", day(1)).unwrap();
    let path = folder.path().join("k");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, b"evidencf").unwrap();
    assert!(matches!(vault.put("k", b"evidence", day(1)), Err(VaultError::Changed { .. })));
}

#[test]
fn what_a_killed_writer_left_is_no_object_and_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    for number in 0..50 {
        fs::write(folder.path().join(format!(".k.{}-{number}.new", std::process::id())), "half").unwrap();
    }
    assert_eq!(vault.list("").unwrap(), [""; 0]);
    vault.put("k", b"whole", day(1)).unwrap();
    assert_eq!(vault.list("").unwrap(), ["k"]);
    assert_eq!(vault.get("k").unwrap().unwrap(), b"whole");
}

#[test]
fn a_disk_that_says_no_is_an_error_that_names_the_object() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    vault.put("a", b"x", day(1)).unwrap();
    let refused = vault.put("a/b", b"x", day(1)).unwrap_err();
    assert!(refused.to_string().contains("a/b"), "{refused}");
}
