//! Which operating system runs: the closure's hash in the Nix store, and the profile's generation.
//!
//! The rule: the hash alone. The rest of the name holds what the machine is called, and that stays here.

use std::{fs, path::Path};

use proto::evidence::Token;

/// Characters of a hash in a store path.
const HASH: usize = 32;

/// The closure that runs, and the number of the profile's generation; `None` for what is not there or is something else.
pub(in crate::executor::steps) fn read(root: &Path) -> (Option<Token>, Option<u64>) {
    let name = |link: &str| {
        let target = fs::read_link(root.join(link)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    };
    let system = name("run/current-system").and_then(|name| closure(&name));
    let generation = name("nix/var/nix/profiles/system").and_then(|name| number(&name));
    (system, generation)
}

/// Of `<hash>-nixos-system-front-desk-26.05` the hash.
fn closure(name: &str) -> Option<Token> {
    let (hash, _) = name.split_once('-')?;
    let is_hash = hash.len() == HASH && hash.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    Token::try_from(hash.to_owned()).ok().filter(|_| is_hash)
}

/// Of `system-42-link` the number.
fn number(name: &str) -> Option<u64> {
    name.strip_prefix("system-")?.strip_suffix("-link")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn of_the_closures_name_only_the_hash_is_read() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read(root.path()), (None, None), "no NixOS");
        let folder = |path: &str| fs::create_dir_all(root.path().join(path)).unwrap();
        folder("run");
        folder("nix/var/nix/profiles");
        let link = |target: &str, path: &str| symlink(target, root.path().join(path)).unwrap();
        let hash = "0c1v2k3m4n5p6q7r8s9w0x1y2z3a4b5d";
        link(&format!("/nix/store/{hash}-nixos-system-dr-miller-26.05"), "run/current-system");
        link("system-42-link", "nix/var/nix/profiles/system");
        assert_eq!(read(root.path()), (Some(Token::try_from(hash.to_owned()).unwrap()), Some(42)));
    }

    #[test]
    fn what_is_no_closure_is_not_taken_for_one() {
        for name in ["dr-miller", "Zc1v2k3m4n5p6q7r8s9w0x1y2z3a4b5d-nixos", "", "system-42-link"] {
            assert_eq!(closure(name), None, "{name}");
        }
        for name in ["system--link", "system-4", "42", "system-x-link"] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
