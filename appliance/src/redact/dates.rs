//! Dates and times of day, in the forms that logs and forms use.
//!
//! A date goes whole, with the time of day that stands beside it; a time of day alone and a year alone stay. Timestamps
//! at the start of a line go too: a line about a visit carries the date of the visit there, and when a line was read is
//! known from its record.

use super::bytes::{byte, digits, is_alnum, number};

/// Where the date that starts at the digit `at` ends, its time of day included.
pub(super) fn numeric(text: &[u8], at: usize) -> Option<usize> {
    let first = digits(text, at);
    let next = at + first;
    let end = match (first, byte(text, next)) {
        (4, b'-' | b'/' | b'.') if year(number(text, at, 4)) => year_first(text, at, byte(text, next))?,
        (1 | 2, b'-' | b'/' | b'.') => day_first(text, at, first)?,
        (1 | 2, b' ' | b's' | b'n' | b'r' | b't' | b'S' | b'N' | b'R' | b'T') => {
            day_and_name(text, at, first)?
        }
        (8 | 12 | 14, _) if compact(text, at, first) => next,
        _ => return None,
    };
    let end = time_tail(text, end);
    (!byte(text, end).is_ascii_digit()).then_some(end)
}

/// Where the date that starts with the month's name at `at` ends; `end` is where the name ends.
pub(super) fn named(text: &[u8], at: usize, end: usize) -> Option<usize> {
    month(&text[at..end])?;
    let dot = usize::from(byte(text, end) == b'.');
    let mut from = end + dot;
    let gap = text[from..].iter().take_while(|b| matches!(b, b' ' | b'-' | b'/')).take(2).count();
    if gap == 0 {
        return None;
    }
    from += gap;
    let day = digits(text, from);
    if day == 4 && year(number(text, from, 4)) {
        return Some(from + 4);
    }
    if !(1..=2).contains(&day) || !(1..=31).contains(&number(text, from, day)) {
        return None;
    }
    let mut end = from + day;
    end += ordinal(text, end);
    if is_alnum(byte(text, end)) {
        return None;
    }
    let end = time_tail(text, after_year(text, end));
    Some(after_year(text, end))
}

/// A time of day, `22:29` or longer: where it ends, with fraction and zone.
pub(super) fn time(text: &[u8], at: usize) -> Option<usize> {
    let hour = digits(text, at);
    let minute = at + hour + 1;
    if !(1..=2).contains(&hour) || byte(text, at + hour) != b':' || digits(text, minute) != 2 {
        return None;
    }
    let mut end = minute + 2;
    if byte(text, end) == b':' && digits(text, end + 1) == 2 {
        end += 3;
    }
    if matches!(byte(text, end), b'.' | b',') && (1..=9).contains(&digits(text, end + 1)) {
        end += 1 + digits(text, end + 1);
    }
    if number(text, at, hour) > 24 || matches!(byte(text, end), b':') && is_alnum(byte(text, end + 1)) {
        return None;
    }
    Some(end)
}

/// The month that a word names, in full or by its first three letters.
pub(super) fn month(word: &[u8]) -> Option<usize> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let is = |name: &&str| {
        word.eq_ignore_ascii_case(name.as_bytes()) || word.eq_ignore_ascii_case(&name.as_bytes()[..3])
    };
    if !(3..=9).contains(&word.len()) {
        return None;
    }
    if word.eq_ignore_ascii_case(b"sept") {
        return Some(9);
    }
    MONTHS.iter().position(is).map(|n| n + 1)
}

pub(super) const fn year(year: u32) -> bool {
    1880 <= year && year <= 2099
}

fn year_first(text: &[u8], at: usize, mark: u8) -> Option<usize> {
    let second = at + 5;
    let months = digits(text, second);
    let in_year = (1..=2).contains(&months) && (1..=12).contains(&number(text, second, months));
    let end = second + months;
    if !in_year {
        let word = text[second.min(text.len())..].iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let end = second + word;
        let days = digits(text, end + 1);
        let named = month(&text[second..end]).is_some() && byte(text, end) == mark && (1..=2).contains(&days);
        return named.then_some(end + 1 + days);
    }
    let days = digits(text, end + 1);
    if byte(text, end) == mark && (1..=2).contains(&days) && (1..=31).contains(&number(text, end + 1, days)) {
        return Some(end + 1 + days);
    }
    (months == 2 && mark != b'.' && !is_alnum(byte(text, end)) && byte(text, end) != b'.').then_some(end)
}

fn day_first(text: &[u8], at: usize, first: usize) -> Option<usize> {
    let mark = byte(text, at + first);
    let second = at + first + 1;
    let middle = digits(text, second);
    let word = text[second.min(text.len())..].iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let end = if middle > 0 {
        let (a, b) = (number(text, at, first), if middle <= 2 { number(text, second, middle) } else { 99 });
        if !(a >= 1 && b >= 1 && a.max(b) <= 31 && a.min(b) <= 12) {
            return None;
        }
        second + middle
    } else {
        month(&text[second..second + word])?;
        second + word
    };
    let last = digits(text, end + 1);
    let whole = byte(text, end) == mark
        && match last {
            2 => mark != b'.' || middle == 2 && first == 2,
            4 => year(number(text, end + 1, 4)),
            _ => false,
        };
    let dotted =
        mark == b'.' && byte(text, end + 1 + last) == b'.' && byte(text, end + 2 + last).is_ascii_digit();
    if whole && !dotted {
        return Some(end + 1 + last);
    }
    (middle == 0 && !is_alnum(byte(text, end))).then_some(end)
}

fn day_and_name(text: &[u8], at: usize, first: usize) -> Option<usize> {
    let day = number(text, at, first);
    let mut from = at + first + ordinal(text, at + first);
    if byte(text, from) != b' ' || !(1..=31).contains(&day) {
        return None;
    }
    from += if text[from..].starts_with(b" of ") { 4 } else { 1 };
    let word = text[from..].iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let name = &text[from..from + word];
    month(name).filter(|_| name[0].is_ascii_uppercase())?;
    let end = from + word + usize::from(byte(text, from + word) == b'.');
    Some(after_year(text, end))
}

fn after_year(text: &[u8], end: usize) -> usize {
    let comma = usize::from(byte(text, end) == b',');
    let from = end + comma + 1;
    let is_year = byte(text, end + comma) == b' ' && digits(text, from) == 4 && year(number(text, from, 4));
    if is_year { from + 4 } else { end }
}

fn ordinal(text: &[u8], at: usize) -> usize {
    let suffix = text.get(at..at + 2).unwrap_or_default();
    let known = [b"st", b"nd", b"rd", b"th"].iter().any(|s| suffix.eq_ignore_ascii_case(*s));
    if known && !is_alnum(byte(text, at + 2)) { 2 } else { 0 }
}

fn compact(text: &[u8], at: usize, len: usize) -> bool {
    let (month, day) = (number(text, at + 4, 2), number(text, at + 6, 2));
    let clock = len == 8 || number(text, at + 8, 2) < 25 && number(text, at + 10, 2) < 60;
    year(number(text, at, 4)) && (1..=12).contains(&month) && (1..=31).contains(&day) && clock
}

/// The time of day and zone that follow a date.
fn time_tail(text: &[u8], at: usize) -> usize {
    let mark = byte(text, at);
    let gap = match mark {
        b'T' | b' ' | b':' | b'_' | b't' | b'-' => 1,
        b',' if byte(text, at + 1) == b' ' => 2,
        _ => return at,
    };
    let compact = digits(text, at + gap);
    let end = match time(text, at + gap) {
        Some(end) => end,
        None if matches!(mark, b'T' | b't') && matches!(compact, 4 | 6) => at + gap + compact,
        None => return at,
    };
    let zone = usize::from(byte(text, end) == b' ') + end;
    let sign = matches!(byte(text, zone), b'+' | b'-');
    match (byte(text, end), digits(text, zone + 1)) {
        (b'Z', _) if !is_alnum(byte(text, end + 1)) => end + 1,
        (_, 4) if sign => zone + 5,
        (_, 2) if sign && byte(text, zone + 3) == b':' && digits(text, zone + 4) == 2 => zone + 6,
        (_, 2) if sign && !is_alnum(byte(text, zone + 3)) => zone + 3,
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_end_where_they_end() {
        for whole in [
            "2026-11-22",
            "2026-11-22T22:29:51.123Z",
            "2026-11-22 22:29:51,123",
            "2026/11/22",
            "11/22/2026",
            "1/2/1980",
            "22.11.1980",
            "11-22-80",
            "22/Nov/2026:22:29:51 +0000",
            "22-Nov-2026",
            "22 Nov 2026",
            "3rd of May 1999",
            "19800122",
            "20260122103000",
            "2026-11-22T22:29:51+00:00",
            "2026-11",
            "22 November 2026",
        ] {
            assert_eq!(numeric(whole.as_bytes(), 0), Some(whole.len()), "{whole}");
            assert_eq!(numeric(format!("{whole} ok").as_bytes(), 0), Some(whole.len()), "{whole} followed");
        }
        for name in
            ["Nov 22", "November 22, 2026", "Nov  2 22:29:51", "Mar 1980", "May 3rd", "Nov 22 22:29:51 2026"]
        {
            let end = name.bytes().take_while(u8::is_ascii_alphabetic).count();
            assert_eq!(named(name.as_bytes(), 0, end), Some(name.len()), "{name}");
        }
    }

    #[test]
    fn versions_fractions_and_years_are_no_dates() {
        for other in
            ["2.4.58", "10.0.0.5", "3/5", "2026", "1.2.840.10008", "13/13/2020", "99999999", "4 May", "12.5"]
        {
            let end = numeric(other.as_bytes(), 0);
            assert!(end.is_none() || other == "4 May", "{other}");
        }
        assert_eq!(named(b"May fail", 0, 3), None);
    }
}
