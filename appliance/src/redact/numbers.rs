//! Shapes that start with a digit and are known without a cue: addresses of networks and telephones, and their like.

use super::{
    bytes::{alnum, byte, digits, is_alnum, number},
    class::Class,
};

/// The identifier that starts at `at`, and where it ends.
pub(super) fn shape(text: &[u8], at: usize) -> Option<(Class, usize)> {
    let first = digits(text, at);
    match (first, byte(text, at + first)) {
        (1..=3, b'.') => ipv4(text, at).map(|end| (Class::Ip, end)),
        _ => None,
    }
    .or_else(|| social(text, at).map(|end| (Class::Ssn, end)))
    .or_else(|| phone(text, at).map(|end| (Class::Phone, end)))
}

/// Four numbers below 256 with dots between, and no fifth.
fn ipv4(text: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    for part in 0..4 {
        let len = digits(text, end);
        if !(1..=3).contains(&len) || number(text, end, len) > 255 {
            return None;
        }
        end += len;
        if part < 3 {
            (byte(text, end) == b'.').then_some(())?;
            end += 1;
        }
    }
    let more = byte(text, end) == b'.' && byte(text, end + 1).is_ascii_digit();
    (!more && !is_alnum(byte(text, end))).then_some(end)
}

/// Colons between hexadecimal groups: IPv6, with its zone, or the address of a network card, which may have hyphens.
pub(super) fn colons(text: &[u8], at: usize) -> Option<(Class, usize)> {
    let hex =
        |at: usize| text[at.min(text.len())..].iter().take(5).take_while(|b| b.is_ascii_hexdigit()).count();
    if hex(at) == 2 && matches!(byte(text, at + 2), b':' | b'-') {
        let mark = byte(text, at + 2);
        let whole = (1..6).all(|n| byte(text, at + n * 3 - 1) == mark && hex(at + n * 3) == 2);
        if whole {
            return Some((Class::Device, alnum(text, at + 17)));
        }
    }
    let (mut end, mut groups, mut gap) = (at, 0, false);
    loop {
        let len = hex(end);
        groups += usize::from(len > 0);
        if len > 4 {
            end = alnum(text, end);
            break;
        }
        if groups > 8 {
            return None;
        }
        end += len;
        if byte(text, end) != b':' {
            break;
        }
        if byte(text, end + 1) == b':' {
            if gap {
                break;
            }
            gap = true;
            end += 2;
        } else if hex(end + 1) > 0 {
            end += 1;
        } else {
            break;
        }
    }
    if byte(text, end) == b'.' && gap {
        let start = end - digits_before(text, end);
        end = ipv4(text, start).unwrap_or(end);
    }
    if byte(text, end) == b'%' {
        end = alnum(text, end + 1);
    }
    let enough = groups == 8 && !gap || gap && groups <= 7 && (groups > 1 || end > at + 2 && groups == 1);
    enough.then(|| (Class::Ip, alnum(text, end)))
}

fn digits_before(text: &[u8], end: usize) -> usize {
    text[..end].iter().rev().take_while(|b| b.is_ascii_digit()).count()
}

/// 123-45-6789, with hyphens or spaces.
fn social(text: &[u8], at: usize) -> Option<usize> {
    let mark = byte(text, at + 3);
    let form = digits(text, at) == 3
        && matches!(mark, b'-' | b' ')
        && digits(text, at + 4) == 2
        && byte(text, at + 6) == mark
        && digits(text, at + 7) == 4;
    (form && !is_alnum(byte(text, at + 11))).then_some(at + 11)
}

/// A North American number: (555) 123-4567, 555-123-4567, 1.555.123.4567, 001-…, with its extension; +44 … too.
pub(super) fn phone(text: &[u8], at: usize) -> Option<usize> {
    let mut from = at;
    if byte(text, from) == b'+' {
        let end = international(text, from + 1);
        if end.is_some() {
            return end;
        }
        from += 1;
    }
    let trunk = digits(text, from);
    if trunk <= 3
        && matches!(&text[from..from + trunk], b"1" | b"001" | b"01")
        && is_mark(byte(text, from + trunk))
    {
        from += trunk + 1;
    }
    let bracket = byte(text, from) == b'(';
    from += usize::from(bracket);
    if digits(text, from) != 3 {
        return None;
    }
    from += 3;
    if bracket {
        (byte(text, from) == b')').then_some(())?;
        from += 1;
        from += usize::from(is_mark(byte(text, from)));
    } else {
        is_mark(byte(text, from)).then_some(())?;
        from += 1;
    }
    if digits(text, from) != 3 || !is_mark(byte(text, from + 3)) || digits(text, from + 4) != 4 {
        let run = digits(text, from) == 7 && bracket;
        return run.then_some(from + 7);
    }
    Some(extension(text, from + 8)).filter(|end| !byte(text, *end).is_ascii_digit())
}

const fn is_mark(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b' ')
}

/// x123, ext. 123
fn extension(text: &[u8], at: usize) -> usize {
    let mut from = at + usize::from(byte(text, at) == b' ');
    let rest = &text[from.min(text.len())..];
    from += match rest {
        [b'e', b'x', b't', b'.', b' ', ..] => 5,
        [b'e', b'x', b't', b'.' | b' ', ..] => 4,
        [b'e', b'x', b't', ..] => 3,
        [b'x' | b'X', ..] => 1,
        _ => return at,
    };
    match digits(text, from) {
        1..=6 if !is_alnum(byte(text, from + digits(text, from))) => from + digits(text, from),
        _ => at,
    }
}

/// After a plus: seven to fifteen digits, in groups.
fn international(text: &[u8], at: usize) -> Option<usize> {
    let (mut end, mut count) = (at, 0);
    loop {
        let bracket = usize::from(byte(text, end) == b'(');
        let len = digits(text, end + bracket);
        if len == 0 {
            break;
        }
        count += len;
        end += bracket + len;
        end += usize::from(bracket == 1 && byte(text, end) == b')');
        let next = byte(text, end + 1);
        if !(is_mark(byte(text, end)) && (next.is_ascii_digit() || next == b'(')) {
            if byte(text, end) == b'(' {
                continue;
            }
            break;
        }
        end += 1;
    }
    (7..=16).contains(&count).then(|| extension(text, end))
}

/// (01)00844…(17)…: a device's UDI as it is printed, or one like it.
pub(super) fn udi(text: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while byte(text, end) == b'('
        && (2..=4).contains(&digits(text, end + 1))
        && byte(text, end + 1 + digits(text, end + 1)) == b')'
    {
        let value = end + 2 + digits(text, end + 1);
        let stop = text[value..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/' | b'.'))
            .count();
        if stop < 4 {
            break;
        }
        end = value + stop;
    }
    (end > at).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telephones() {
        for number in [
            "555-123-4567",
            "555.123.4567",
            "(555) 123-4567",
            "(555)123-4567",
            "1-555-123-4567",
            "001-555-123-4567x123",
            "+1-555-123-4567",
            "+15551234567",
            "555 123 4567",
            "+44 20 7946 0958",
            "555-123-4567 ext. 12",
            "+1 (555) 123-4567",
            "(555)123-4567x02",
        ] {
            assert_eq!(phone(number.as_bytes(), 0), Some(number.len()), "{number}");
        }
        assert_eq!(phone(b"200 123 45", 0), None);
    }

    #[test]
    fn networks() {
        for (text, class) in [
            ("fe80::1%eth0", Class::Ip),
            ("2001:db8:0:0:0:0:0:1", Class::Ip),
            ("::1", Class::Ip),
            ("::ffff:10.0.0.1", Class::Ip),
            ("00:1b:44:11:3a:b7", Class::Device),
            ("00-1B-44-11-3A-B7", Class::Device),
            ("fe80::", Class::Ip),
        ] {
            assert_eq!(colons(text.as_bytes(), 0), Some((class, text.len())), "{text}");
        }
        assert_eq!(ipv4(b"10.0.0.5:22", 0), Some(8));
        for other in ["12:30:45", "std::string", "::", "1.2.3", "1.2.3.4.5", "256.1.1.1"] {
            assert!(colons(other.as_bytes(), 0).is_none() && ipv4(other.as_bytes(), 0).is_none(), "{other}");
        }
    }
}
