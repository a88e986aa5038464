//! What every vault must hold to: in memory, in a folder, in a bucket. Each check gets a vault of its own, empty.

use std::{sync::Barrier, thread};

use control_plane::vault::{Object, Vault, VaultError};
use proto::{digest::Digest, time::Millis};

type Check = fn(&dyn Vault);

/// All of it, with its name.
pub const CHECKS: &[(&str, Check)] = &[
    ("what_was_put_comes_back", what_was_put_comes_back),
    ("the_same_bytes_again_are_fine_others_are_not", the_same_bytes_again_are_fine_others_are_not),
    ("a_date_only_moves_later", a_date_only_moves_later),
    ("many_go_together_and_lists_are_sorted", many_go_together_and_lists_are_sorted),
    ("keys_that_could_lead_elsewhere_are_refused", keys_that_could_lead_elsewhere_are_refused),
    ("what_came_back_from_a_put_is_how_it_lies_there", what_came_back_from_a_put_is_how_it_lies_there),
    ("of_many_writers_one_wins", of_many_writers_one_wins),
];

/// A day in 2033 or later: no store keeps a date that has passed.
pub fn day(n: i64) -> Millis {
    Millis(2_000_000_000_000 + n * 86_400_000)
}

fn until(vault: &dyn Vault, key: &str) -> Option<Millis> {
    vault.kept(key).unwrap().map(|kept| kept.retain_until)
}

fn what_was_put_comes_back(vault: &dyn Vault) {
    for (key, bytes) in [("a", &b"one"[..]), ("t/e.x/0_1-2", b"\0\xff"), ("t/empty", b"")] {
        vault.put(key, bytes, day(1)).unwrap();
        assert_eq!(vault.get(key).unwrap().as_deref(), Some(bytes), "{key}");
        assert_eq!(until(vault, key), Some(day(1)), "{key}");
    }
    for absent in ["b", "t/e.x/none", "a/below"] {
        assert_eq!(vault.get(absent).unwrap(), None, "{absent}");
        assert_eq!(vault.kept(absent).unwrap(), None, "{absent}");
    }
}

fn the_same_bytes_again_are_fine_others_are_not(vault: &dyn Vault) {
    vault.put("k", b"first", day(1)).unwrap();
    vault.put("k", b"first", day(1)).unwrap();
    let refused = vault.put("k", b"other", day(1)).unwrap_err();
    assert!(matches!(&refused, VaultError::Changed { key, .. } if key == "k"), "{refused}");
    assert_eq!(vault.get("k").unwrap().unwrap(), b"first");
}

fn a_date_only_moves_later(vault: &dyn Vault) {
    for (asked, kept) in [(2, 2), (1, 2), (5, 5), (3, 5)] {
        vault.put("k", b"x", day(asked)).unwrap();
        assert_eq!(until(vault, "k"), Some(day(kept)));
    }
    // A refused change moves nothing.
    vault.put("k", b"y", day(9)).unwrap_err();
    assert_eq!(until(vault, "k"), Some(day(5)));
    assert!(matches!(vault.put("before-1970", b"x", Millis(-1)), Err(VaultError::Date { .. })));
}

fn many_go_together_and_lists_are_sorted(vault: &dyn Vault) {
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
    // Behind a key, whether it is there or not.
    assert_eq!(vault.list_after("t", "t/10").unwrap(), ["t/2"]);
    assert_eq!(vault.list_after("t", "t/1").unwrap(), ["t/1/a", "t/10", "t/2"]);
    assert_eq!(vault.list_after("t", "t/1/b").unwrap(), ["t/10", "t/2"]);
    assert_eq!(vault.list_after("", "t/2").unwrap(), ["u/1"]);
    assert_eq!(vault.list_after("t", "u/1").unwrap(), [""; 0]);
    assert!(vault.list("..").is_err() && vault.list_after("t", "../t").is_err());
}

fn keys_that_could_lead_elsewhere_are_refused(vault: &dyn Vault) {
    let long = "a/".repeat(300) + "a";
    let wide = "a".repeat(201);
    for key in [
        "", "/", "/etc", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.b", "a b", "a\0",
        "ä", "a\\b", "a:b", &long, &wide,
    ] {
        assert!(matches!(vault.put(key, b"x", day(1)), Err(VaultError::Key(_))), "{key:?}");
        assert!(matches!(vault.get(key), Err(VaultError::Key(_))), "{key:?}");
        assert!(matches!(vault.look(&[key]), Err(VaultError::Key(_))), "{key:?}");
    }
}

fn what_came_back_from_a_put_is_how_it_lies_there(vault: &dyn Vault) {
    let objects = [
        Object { key: "t/1", bytes: b"one", retain_until: day(1) },
        Object { key: "t/2", bytes: b"two", retain_until: day(2) },
    ];
    let put = vault.put_all(&objects).unwrap();
    for (object, kept) in objects.iter().zip(&put) {
        assert_eq!((kept.sha256, kept.retain_until), (Digest::of(object.bytes), object.retain_until));
        assert_eq!(vault.kept(object.key).unwrap().as_ref(), Some(kept));
    }
    assert_eq!(vault.put_all(&objects).unwrap(), put, "the same version, again and again");
    let seen = vault.look(&["t/2", "none", "t/1"]).unwrap();
    let digests: Vec<_> = seen.iter().map(|seen| seen.kept().map(|kept| kept.sha256)).collect();
    assert_eq!(digests, [Some(Digest::of(b"two")), None, Some(Digest::of(b"one"))]);
    assert_eq!(vault.weaknesses().unwrap(), [""; 0]);
}

fn of_many_writers_one_wins(vault: &dyn Vault) {
    let start = Barrier::new(8);
    let won: Vec<u8> = thread::scope(|scope| {
        let (start, vault) = (&start, vault);
        let write = move |n: u8| {
            start.wait();
            vault.put("t/k", &[n; 4096], day(1)).is_ok().then_some(n)
        };
        let writers: Vec<_> = (0..8).map(|n| scope.spawn(move || write(n))).collect();
        writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(vault.get("t/k").unwrap().unwrap(), [won[0]; 4096]);
}
