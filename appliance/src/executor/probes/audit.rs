//! The kernel's audit, as `auditctl` has it.

use baseline::{Blind, Reading, ReadingValue, Word, probe::AUDIT_KEYS};

use super::{Look, count, read, reading};

/// Status and rules.
pub(super) fn read(look: &Look<'_>) -> Result<Reading, Blind> {
    let status = read::program(look, &look.programs.auditctl, &["-s"])?;
    let rules = read::program(look, &look.programs.auditctl, &["-l"])?;
    parse(&status, &rules)
}

fn parse(status: &str, rules: &str) -> Result<Reading, Blind> {
    let number = |name: &str| -> Result<ReadingValue, Blind> {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|v| v.trim().parse::<i64>().ok()).map(Into::into).ok_or(Blind::Unreadable)
    };
    let rules: Vec<&str> = rules.lines().filter(|line| line.starts_with('-')).collect();
    let keys = rules.iter().flat_map(|rule| keys_of(rule)).filter(|key| AUDIT_KEYS.contains(key));
    Ok(reading([
        ("enabled", number("enabled")?),
        ("keys", keys.map(|key| Word::of(key, AUDIT_KEYS)).collect()),
        ("lost", number("lost")?),
        ("rules", count(rules.len())),
    ]))
}

/// `-w /etc/passwd -p wa -k identity`, or `… -F key=identity`.
fn keys_of(rule: &str) -> Vec<&str> {
    let words: Vec<&str> = rule.split_whitespace().collect();
    let pairs = words.windows(2).filter_map(|pair| match pair {
        ["-k", key] => Some(*key),
        ["-F", field] => field.strip_prefix("key="),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_rules_of_auditctl() {
        let status = "enabled 1\nfailure 1\npid 512\nrate_limit 0\nbacklog_limit 8192\nlost 3\nbacklog 0\n\
                      backlog_wait_time 60000\nbacklog_wait_time_actual 0\nloginuid_immutable 0 unlocked\n";
        let rules = "-w /etc/passwd -p wa -k identity\n\
                     -a always,exit -F arch=b64 -S adjtimex,settimeofday,clock_settime -F key=time-change\n\
                     -w /srv/miller -p wa -k miller\n";
        let json = serde_json::to_string(&parse(status, rules).unwrap()).unwrap();
        assert_eq!(json, r#"{"enabled":1,"keys":["identity","time-change"],"lost":3,"rules":3}"#);
        let none = parse("enabled 0\nlost 0\n", "No rules\n").unwrap();
        assert_eq!(serde_json::to_string(&none).unwrap(), r#"{"enabled":0,"keys":[],"lost":0,"rules":0}"#);
        assert_eq!(parse("", "No rules\n"), Err(Blind::Unreadable));
    }
}
