//! Accounts, counted, by passwd and shadow.

use std::collections::{BTreeMap, BTreeSet};

use baseline::{Blind, Looked, Probe, Reading};

use super::{Look, count, looked, reading};

/// People's IDs begin here, and `nobody` stands at the end.
const PEOPLE: std::ops::Range<u64> = 1000..65_534;

/// Answers every probe of accounts.
pub(super) fn look(look: &Look<'_>, probes: &[&Probe], seen: &mut BTreeMap<Probe, Looked>) {
    let Some(probe) = probes.iter().find(|probe| matches!(probe, Probe::Users {})) else { return };
    let read = || parse(&look.text("/etc/passwd")?, &look.text("/etc/shadow")?);
    seen.insert((*probe).clone(), looked(read()));
}

/// passwd(5) and shadow(5).
fn parse(passwd: &str, shadow: &str) -> Result<Reading, Blind> {
    let hashes: BTreeMap<&str, &str> = shadow
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, rest)| (name, rest.split(':').next().unwrap_or_default()))
        .collect();
    let mut ids = BTreeSet::new();
    let mut accounts = 0;
    let [mut empty, mut logins, mut people, mut system_shells, mut zero, mut weak] = [0; 6];
    for line in passwd.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let columns: Vec<&str> = line.split(':').collect();
        let [name, own, id, _, _, _, shell] = columns[..] else { return Err(Blind::Unreadable) };
        let id: u64 = id.parse().map_err(|_| Blind::Unreadable)?;
        let hash = if own == "x" { hashes.get(name).copied().unwrap_or("!") } else { own };
        let has_shell = is_shell(shell);
        accounts += 1;
        ids.insert(id);
        zero += usize::from(id == 0);
        empty += usize::from(hash.is_empty());
        logins += usize::from(has_shell && can_match(hash));
        weak += usize::from(is_weak(hash));
        people += usize::from(has_shell && PEOPLE.contains(&id));
        system_shells += usize::from(has_shell && (1..PEOPLE.start).contains(&id));
    }
    if accounts == 0 {
        return Err(Blind::Unreadable);
    }
    Ok(reading([
        ("duplicate_ids", count(accounts - ids.len())),
        ("empty_passwords", count(empty)),
        ("password_logins", count(logins)),
        ("people", count(people)),
        ("system_shells", count(system_shells)),
        ("uid_zero", count(zero)),
        ("weak_hashes", count(weak)),
    ]))
}

/// An empty field means `/bin/sh`.
fn is_shell(shell: &str) -> bool {
    let name = shell.trim().rsplit('/').next().unwrap_or_default();
    !matches!(name, "nologin" | "false" | "true" | "sync" | "shutdown" | "halt")
}

/// An empty one lets anybody in; `!`, `*` and the like match nothing.
fn can_match(hash: &str) -> bool {
    hash.is_empty() || hash.starts_with(['$', '_']) || is_des(hash)
}

/// The old form of crypt(3): 13 characters.
fn is_des(hash: &str) -> bool {
    hash.len() == 13 && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b"./".contains(&b))
}

fn is_weak(hash: &str) -> bool {
    hash.starts_with("$1$") || hash.starts_with('_') || is_des(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_counted_and_never_named() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
                      sync:x:4:65534:sync:/bin:/bin/sync\nmiller:x:1000:1000:Dr Miller,,,:/home/miller:/bin/bash\n\
                      twin:x:1000:1000::/home/twin:/bin/false\ntoor:x:0:0::/root:/bin/sh\nodd:x:7:7::/:\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
        let shadow = "root:*:19000:0:99999:7:::\nmiller:$y$j9T$abc$def:19000::::::\ntoor::19000::::::\n\
                      twin:!$6$a$b:19000::::::\nodd:$1$a$b:1::::::\n";
        let json = serde_json::to_string(&parse(passwd, shadow).unwrap()).unwrap();
        assert_eq!(
            json,
            r#"{"duplicate_ids":2,"empty_passwords":1,"password_logins":3,"people":1,"system_shells":1,"uid_zero":2,"weak_hashes":1}"#
        );
        assert_eq!(parse("", ""), Err(Blind::Unreadable));
        assert_eq!(parse("root:x:zero:0:::\n", ""), Err(Blind::Unreadable));
    }
}
