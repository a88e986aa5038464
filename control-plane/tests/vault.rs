//! What every vault must hold to, and what the one in a folder must besides.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    sync::Barrier,
    thread,
};

use control_plane::vault::{DirectoryVault, MemoryVault, Object, Vault, VaultError};
use proptest::prelude::*;
use proto::time::Millis;

fn day(n: i64) -> Millis {
    Millis(1_795_000_000_000 + n * 86_400_000)
}

/// Runs `check` on one vault of each kind.
fn on_each(check: impl Fn(&dyn Vault)) {
    let folder = tempfile::tempdir().unwrap();
    check(&DirectoryVault::open(&folder.path().join("vault")).unwrap());
    check(&MemoryVault::default());
}

#[test]
fn what_was_put_comes_back() {
    on_each(|vault| {
        for (key, bytes) in [("a", &b"one"[..]), ("t/e.x/0_1-2", b"\0\xff"), ("t/empty", b"")] {
            vault.put(key, bytes, day(1)).unwrap();
            assert_eq!(vault.get(key).unwrap().as_deref(), Some(bytes), "{key}");
            assert_eq!(vault.retained_until(key).unwrap(), Some(day(1)), "{key}");
        }
        for absent in ["b", "t/e.x/none", "a/below"] {
            assert_eq!(vault.get(absent).unwrap(), None, "{absent}");
            assert_eq!(vault.retained_until(absent).unwrap(), None, "{absent}");
        }
    });
}

#[test]
fn the_same_bytes_again_are_fine_others_are_not() {
    on_each(|vault| {
        vault.put("k", b"first", day(1)).unwrap();
        vault.put("k", b"first", day(1)).unwrap();
        let refused = vault.put("k", b"other", day(1)).unwrap_err();
        assert!(matches!(&refused, VaultError::Changed { key, .. } if key == "k"), "{refused}");
        assert_eq!(vault.get("k").unwrap().unwrap(), b"first");
    });
}

#[test]
fn a_date_only_moves_later() {
    on_each(|vault| {
        for (asked, kept) in [(2, 2), (1, 2), (5, 5), (3, 5)] {
            vault.put("k", b"x", day(asked)).unwrap();
            assert_eq!(vault.retained_until("k").unwrap(), Some(day(kept)));
        }
        // A refused change moves nothing.
        vault.put("k", b"y", day(9)).unwrap_err();
        assert_eq!(vault.retained_until("k").unwrap(), Some(day(5)));
        assert!(matches!(vault.put("before-1970", b"x", Millis(-1)), Err(VaultError::Date { .. })));
    });
}

#[test]
fn many_go_together_and_lists_are_sorted() {
    on_each(|vault| {
        let keys = ["t/2", "t/10", "u/1", "t/1/a"];
        let objects: Vec<Object<'_>> =
            keys.iter().map(|key| Object { key, bytes: key.as_bytes(), retain_until: day(1) }).collect();
        vault.put_all(&objects).unwrap();
        vault.put_all(&objects).unwrap();
        vault.put_all(&[]).unwrap();
        assert_eq!(vault.list("").unwrap(), ["t/1/a", "t/10", "t/2", "u/1"]);
        assert_eq!(vault.list("t").unwrap(), ["t/1/a", "t/10", "t/2"]);
        assert_eq!(vault.list("t/1").unwrap(), ["t/1/a"]);
        assert_eq!(vault.list("none").unwrap(), [""; 0]);
        assert!(vault.list("..").is_err());
    });
}

#[test]
fn keys_that_could_lead_elsewhere_are_refused() {
    on_each(|vault| {
        let long = "a/".repeat(300) + "a";
        let wide = "a".repeat(201);
        for key in [
            "", "/", "/etc", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.b", "a b",
            "a\0", "ä", "a\\b", "a:b", &long, &wide,
        ] {
            assert!(matches!(vault.put(key, b"x", day(1)), Err(VaultError::Key(_))), "{key:?}");
            assert!(matches!(vault.get(key), Err(VaultError::Key(_))), "{key:?}");
            assert!(matches!(vault.retained_until(key), Err(VaultError::Key(_))), "{key:?}");
        }
    });
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

#[test]
fn of_many_writers_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let start = Barrier::new(8);
    let won: Vec<u8> = thread::scope(|scope| {
        let writers: Vec<_> = (0..8u8)
            .map(|n| {
                let (start, root) = (&start, folder.path());
                scope.spawn(move || {
                    let vault = DirectoryVault::open(root).unwrap();
                    start.wait();
                    vault.put("t/k", &[n; 4096], day(1)).is_ok().then_some(n)
                })
            })
            .collect();
        writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect()
    });
    let kept = DirectoryVault::open(folder.path()).unwrap().get("t/k").unwrap().unwrap();
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(kept, [won[0]; 4096]);
}

fn open(root: &Path) -> DirectoryVault {
    DirectoryVault::open(root).unwrap()
}

#[test]
fn objects_outlive_the_program_and_are_read_only() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).put("t/k", b"x", day(1)).unwrap();
    assert_eq!(open(folder.path()).get("t/k").unwrap().unwrap(), b"x");
    assert_eq!(open(folder.path()).retained_until("t/k").unwrap(), Some(day(1)));
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
