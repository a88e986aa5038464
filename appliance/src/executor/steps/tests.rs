//! What a box does at its own files: holding all orders, and putting secrets to their places.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn host(folder: &Path, hold: &str) -> SystemHost {
    let (world, stop) = (crate::clock::system(), Stop::default());
    SystemHost::new(world, Programs::default(), folder.join("state"), folder.join(hold), stop)
}

#[test]
fn a_file_or_the_key_holds_all_orders_and_so_does_what_nobody_can_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let held = |hold: &str| host(folder.path(), hold).held();
    let path = |name: &str| folder.path().join(name);
    assert_eq!(held("hold"), None);
    symlink("nowhere", path("hold")).unwrap();
    assert_eq!(held("hold").as_deref(), Some("file"), "whatever it is");
    fs::remove_file(path("hold")).unwrap();
    fs::write(path("hold"), "").unwrap();
    assert_eq!(held("hold").as_deref(), Some("file"));
    assert_eq!(held("hold/below-a-file").as_deref(), Some("file"), "nobody can look there");
    fs::remove_file(path("hold")).unwrap();
    assert_eq!(held("hold"), None);
    fs::create_dir(path("state")).unwrap();
    fs::write(path("state").join(HELD_BY_KEY), "").unwrap();
    assert_eq!(held("hold").as_deref(), Some("key"));
}

#[test]
fn a_secret_is_for_its_owner_alone_and_one_that_is_taken_back_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (host, file) = (host(folder.path(), "hold"), folder.path().join("password"));
    host.place(&file, Some(b"first")).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"first");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    host.place(&file, Some(b"second")).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"second");
    host.place(&file, None).unwrap();
    assert!(!file.exists());
    host.place(&file, None).unwrap();
}
