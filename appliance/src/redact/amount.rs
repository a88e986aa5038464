//! Tokens that start with a digit: a date, an address, a number after a cue; or just an amount.

use super::{
    bytes::{Kind, alnum, byte, digits, is_alnum, kind, letters, number, sign},
    class::Class,
    cues::Cue,
    dates,
    lexicon::{STREET, UNIT, look_up},
    numbers,
    sink::Sink,
    walk::{Prev, Walk, is_joiner},
};

impl<S: Sink> Walk<'_, S> {
    /// A token that starts with a digit.
    pub(super) fn number(&mut self) {
        let (t, at) = (self.t, self.at);
        let len = digits(t, at);
        let end = at + len;
        let next = byte(t, end);
        if len <= 2
            && next == b':'
            && let Some(end) = dates::time(t, at)
            && numbers::colons(t, at).is_none_or(|(class, _)| class != Class::Device)
        {
            return self.keep(end);
        }
        if let Some(end) = dates::numeric(t, at)
            && !is_alnum(byte(t, end))
            && byte(t, end) != b'_'
        {
            return self.drop(at, end, Class::Date);
        }
        if len <= 4
            && (next == b':' || next == b'-' || kind(next) == Kind::Letter)
            && let Some((class, end)) = numbers::colons(t, at)
        {
            return self.drop(at, end, class);
        }
        if let Some((class, end)) = numbers::shape(t, at) {
            let class = if class == Class::Phone { self.phone_or_fax() } else { class };
            return self.drop(at, end, class);
        }
        if self.cue.is_some() && !matches!(self.cue, Some(Cue::Harmless)) && self.value_number(at) {
            return;
        }
        if len <= 6
            && next == b' '
            && let Some(end) = street(t, at)
        {
            return self.drop(at, end, Class::Place);
        }
        if next == b'.' && byte(t, end + 1).is_ascii_digit() && !self.query {
            return self.dotted(at);
        }
        if kind(next) == Kind::Letter && sign(t, end) == 0
            || is_joiner(next) && is_alnum(byte(t, end + 1)) && next != b'%'
        {
            return self.token();
        }
        self.plain_number(at, len);
    }

    fn plain_number(&mut self, at: usize, len: usize) {
        let (t, end) = (self.t, at + len);
        let unit_at = end + usize::from(byte(t, end) == b' ');
        let unit_end = letters(t, unit_at);
        let alone =
            |at: usize| !(is_alnum(byte(t, at)) || is_joiner(byte(t, at)) && is_alnum(byte(t, at + 1)));
        let unit = unit_end > unit_at && alone(unit_end) && look_up(&t[unit_at..unit_end]).is(UNIT)
            || byte(t, end) == b'%';
        let old = len <= 3 && (90..=150).contains(&number(t, at, len)) && aged(&t[end..]);
        let process = at > 0 && byte(t, end) == b']' && (byte(t, at - 1) == b'[' || byte(t, at - 1) == b'(');
        let pair = hashed(t, at, end);
        let harmless = self.cue == Some(Cue::Harmless)
            || unit
            || process
            || pair
            || self.prev == Prev::Status && len <= 6;
        let status = len == 3 && at > 1 && &t[at - 2..at] == b"\" ";
        if old {
            return self.drop(at, end, Class::Date);
        }
        if self.query && len > 2 && self.cue != Some(Cue::Harmless) || len > 4 && !(harmless && len <= 6) {
            let class = if len == 5 && self.place > 0 { Class::Place } else { Class::Code };
            return self.drop(at, end, class);
        }
        self.keep(end);
        if status {
            self.prev = Prev::Status;
        }
    }

    /// Numbers with dots: decimals and versions stay, long ones and object identifiers do not.
    fn dotted(&mut self, at: usize) {
        let t = self.t;
        let (mut end, mut count, mut total, mut widest) = (at, 0, 0, 0);
        loop {
            let len = digits(t, end);
            (count, total, widest, end) = (count + 1, total + len, widest.max(len), end + len);
            if !(byte(t, end) == b'.' && byte(t, end + 1).is_ascii_digit()) {
                break;
            }
            end += 1;
        }
        let standard = t[at..end].starts_with(b"1.2.840.10008.")
            || t[at..end].starts_with(b"2.16.840.1.113883.") && count <= 8;
        let fine = match count {
            2 => widest <= 7 && total <= 8,
            3 | 4 => widest <= 4 && total <= 9,
            _ => standard,
        };
        if !fine {
            return self.drop(at, end, Class::Code);
        }
        if kind(byte(t, end)) == Kind::Letter || byte(t, end) == b'-' && is_alnum(byte(t, end + 1)) {
            let stop = alnum(t, end);
            if stop > end && look_up(&t[end..stop]).is(UNIT) {
                return self.keep(stop);
            }
            return self.token();
        }
        self.keep(end);
    }
}

fn aged(rest: &[u8]) -> bool {
    [&b" years old"[..], b" year old", b"-year-old", b" yo", b"yo", b" y/o", b" y.o"]
        .iter()
        .any(|s| rest.starts_with(s))
}

/// `123 Main St Apt. 4`: a number, capitalised words, a street's ending, and what follows it.
fn street(t: &[u8], at: usize) -> Option<usize> {
    let (mut from, mut last) = (at + digits(t, at) + 1, None);
    for n in 0..5 {
        let end = letters(t, from);
        let first = byte(t, from);
        if end == from
            || sign(t, from) > 0
            || !(first.is_ascii_uppercase() || first >= 0x80)
            || is_alnum(byte(t, end))
        {
            break;
        }
        if n > 0 && look_up(&t[from..end]).is(STREET) {
            last = Some(end + usize::from(byte(t, end) == b'.' && byte(t, end + 1) == b' '));
        }
        from = end + 1 + usize::from(byte(t, end) == b'.');
        if byte(t, from - 1) != b' ' {
            break;
        }
    }
    last.map(|end| unit(t, end))
}

/// An apartment, suite or unit after a street.
fn unit(t: &[u8], at: usize) -> usize {
    let from = at + t[at..].iter().take_while(|b| matches!(b, b' ' | b',')).take(2).count();
    let rest = &t[from..];
    let Some(word) = ["Apt. ", "Apt ", "Suite ", "Ste. ", "Ste ", "Unit ", "Room ", "Floor ", "#"]
        .iter()
        .find(|w| rest.starts_with(w.as_bytes()))
    else {
        return at;
    };
    let end = alnum(t, from + word.len());
    if end > from + word.len() { end } else { at }
}

/// One half of `1234#1234`, as nginx writes process and thread.
fn hashed(t: &[u8], at: usize, end: usize) -> bool {
    let mark = |at: usize| byte(t, at) == b'#';
    let edge = |b: u8| matches!(b, b' ' | b'\n' | b':' | b'[' | b'(' | b']' | b')');
    let before = t[..at.saturating_sub(1)].iter().rev().take(8).take_while(|b| b.is_ascii_digit()).count();
    let first =
        at > 1 && mark(at - 1) && (1..=6).contains(&before) && (at == before + 1 || edge(t[at - before - 2]));
    let after = digits(t, end + 1);
    first
        || mark(end)
            && (1..=6).contains(&after)
            && edge(byte(t, end + 1 + after))
            && byte(t, end + 2 + after) != b':'
}
