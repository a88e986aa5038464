//! Readings in words: what was measured before and after.

use std::time::Duration;

use proto::evidence::Readings;

/// What changed, for people: `size: 62.0 MB → 41.2 MB, limit: 50.0 MB`.
#[must_use]
pub(super) fn change(before: &Readings, after: &Readings) -> String {
    let mut parts = Vec::new();
    for (name, was) in before {
        let Some(is) = after.get(name).filter(|is| *is != was) else { continue };
        parts.push(format!("{}: {} → {}", label(name), value(name, *was), value(name, *is)));
    }
    if let Some(limit) = after.get("limit_bytes").or_else(|| before.get("limit_bytes")) {
        parts.push(format!("limit: {}", bytes(*limit)));
    }
    parts.join(", ")
}

/// What steps counted: `files removed: 12`.
#[must_use]
pub(super) fn counts<'a>(counts: impl Iterator<Item = &'a Readings>) -> String {
    let parts: Vec<String> = counts
        .flatten()
        .map(|(name, n)| match unit(name) {
            (_, Unit::Count) => format!("{}: {}", name.replace('_', " "), grouped(*n)),
            (bare, _) => format!("{}: {}", bare.replace('_', " "), value(name, *n)),
        })
        .collect();
    parts.join(", ")
}

enum Unit {
    Bytes,
    Seconds,
    Count,
}

/// A reading's name without its unit, and the unit.
fn unit(name: &str) -> (&str, Unit) {
    if name == "bytes" {
        return ("", Unit::Bytes);
    }
    if let Some(bare) = name.strip_suffix("_bytes") {
        return (bare, Unit::Bytes);
    }
    name.strip_suffix("_seconds").map_or((name, Unit::Count), |bare| (bare, Unit::Seconds))
}

fn label(name: &str) -> String {
    match name {
        "bytes" => "size".to_owned(),
        "age_seconds" => "age of newest backup".to_owned(),
        "restore_age_seconds" => "age of newest proven restore".to_owned(),
        _ => unit(name).0.replace('_', " "),
    }
}

fn value(name: &str, n: i64) -> String {
    match (name, n) {
        ("age_seconds", -1) => "none that can be read".to_owned(),
        ("restore_age_seconds", -1) => "none".to_owned(),
        (_, -1) => "unreadable".to_owned(),
        (name, n) => match unit(name).1 {
            Unit::Bytes => bytes(n),
            Unit::Seconds => span(n),
            Unit::Count => grouped(n),
        },
    }
}

fn bytes(n: i64) -> String {
    const STEPS: [(i64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match STEPS.iter().find(|(size, _)| n >= *size) {
        // Tenths, rounded down: a limit never looks met when it is not.
        Some((size, unit)) => format!("{}.{} {unit}", n / size, n % size / (size / 10)),
        None => format!("{n} bytes"),
    }
}

fn span(seconds: i64) -> String {
    duration(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// A length of time for people: `90 s`, `41 min`, `7 h`, `3 days`.
#[must_use]
pub(super) fn duration(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// `12,345`.
#[must_use]
pub(super) fn grouped(n: impl ToString) -> String {
    let digits = n.to_string();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut out = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(all: &[(&str, i64)]) -> Readings {
        all.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
    }

    #[test]
    fn changes_read_as_words() {
        let limit = ("limit_bytes", 50_000_000);
        let before = readings(&[("bytes", 62_050_000), limit, ("files", 120)]);
        let after = readings(&[("bytes", 41_299_999), limit, ("files", 1_180)]);
        assert_eq!(change(&before, &after), "size: 62.0 MB → 41.2 MB, files: 120 → 1,180, limit: 50.0 MB");
        let before = readings(&[("age_seconds", -1), ("max_age_seconds", 86_400)]);
        let after = readings(&[("age_seconds", 12), ("max_age_seconds", 86_400)]);
        assert_eq!(change(&before, &after), "age of newest backup: none that can be read → 12 s");
        let (before, after) =
            (readings(&[("restore_age_seconds", -1)]), readings(&[("restore_age_seconds", 200_000)]));
        assert_eq!(change(&before, &after), "age of newest proven restore: none → 2 days");
    }

    #[test]
    fn counts_read_as_words() {
        let counted = readings(&[("files_removed", 1_204), ("freed_bytes", 20_000_000)]);
        assert_eq!(counts([&counted].into_iter()), "files removed: 1,204, freed: 20.0 MB");
    }

    #[test]
    fn any_number_can_be_written() {
        for n in [i64::MIN, -1, 0, 999, 1_000, i64::MAX] {
            assert!(!bytes(n).is_empty() && !span(n).is_empty());
        }
        assert_eq!((grouped(-1_234_567), grouped(999)), ("-1,234,567".to_owned(), "999".to_owned()));
    }
}
