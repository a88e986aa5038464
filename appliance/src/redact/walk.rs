//! The pass over a line: from token to token, with what the last words said of the next.

use memchr::memchr2_iter;

use super::{
    Found,
    bytes::{Kind, alnum, byte, digits, is_alnum, kind, letters, sign, word_end},
    class::Class,
    compound,
    cues::Cue,
    dates,
    lexicon::{NAME, WORD, look_up},
    names, numbers, records,
    sink::Sink,
};

/// The lines of a text with where they start; a carriage return ends one too, as in HL7.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let ends = memchr2_iter(b'\n', b'\r', text).chain([text.len()]);
    ends.scan(0, |base, end| {
        let at = *base;
        *base = end + 1;
        Some((at, &text[at..end]))
    })
}

/// Judges one line, which starts at `base` of the text.
pub(super) fn line(line: &[u8], base: usize, sink: &mut impl Sink) {
    Walk {
        t: line,
        base,
        at: 0,
        cue: None,
        hard: false,
        list: false,
        query: false,
        place: 0,
        prev: Prev::Start,
        sink,
    }
    .run();
}

/// What the token before was, where that matters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Prev {
    Start,
    /// an HTTP status after a quote
    Status,
    Other,
}

pub(super) struct Walk<'a, S> {
    pub(super) t: &'a [u8],
    base: usize,
    pub(super) at: usize,
    pub(super) cue: Option<Cue>,
    /// a separator stood between the cue and here
    pub(super) hard: bool,
    /// the cue holds for a list in brackets
    pub(super) list: bool,
    /// in the query of a web address
    pub(super) query: bool,
    /// 2: just after a place and a comma, 1: after a place, 0: not
    pub(super) place: u8,
    pub(super) prev: Prev,
    sink: &'a mut S,
}

impl<S: Sink> Walk<'_, S> {
    fn run(mut self) {
        while let Some(first) = self.t.get(self.at) {
            match kind(*first) {
                Kind::Space => self.at += 1,
                Kind::Letter => self.letter(),
                Kind::Digit => self.number(),
                Kind::Punct => self.punct(*first),
                Kind::Control => {
                    self.sink.blank(self.base + self.at);
                    self.at += 1;
                }
            }
        }
    }

    /// Removes from `start` to `end` and goes on there.
    pub(super) fn drop(&mut self, start: usize, end: usize, class: Class) {
        self.sink.drop(Found { start: self.base + start, end: self.base + end, class });
        self.at = end;
        self.after(class);
    }

    fn after(&mut self, class: Class) {
        if !self.list {
            self.clear();
        }
        self.place = u8::from(class == Class::Place);
        self.prev = Prev::Other;
    }

    pub(super) fn keep(&mut self, end: usize) {
        self.at = end;
        self.clear();
        self.place = 0;
        self.prev = Prev::Other;
    }

    pub(super) fn clear(&mut self) {
        self.cue = None;
        self.hard = false;
        self.list = false;
    }

    fn punct(&mut self, first: u8) {
        let at = self.at;
        let next = byte(self.t, at + 1);
        match first {
            b'<' => {
                if let Some((class, end)) = Class::mark_at(self.t, at) {
                    self.at = end;
                    return self.after(class);
                }
            }
            b'(' => {
                if let Some((start, end, class)) = records::element(self.t, at) {
                    return match class {
                        Some(class) => self.drop(start, end, class),
                        None => self.keep(start),
                    };
                }
                if let Some(end) = numbers::udi(self.t, at) {
                    return self.drop(at, end, Class::Device);
                }
                if let Some(end) = numbers::phone(self.t, at) {
                    return self.drop(at, end, self.phone_or_fax());
                }
                self.list |= self.hard && self.cue.is_some();
            }
            b'[' => self.list |= self.hard && self.cue.is_some(),
            b'+' if next.is_ascii_digit() || next == b'(' => {
                if let Some(end) = numbers::phone(self.t, at) {
                    return self.drop(at, end, self.phone_or_fax());
                }
            }
            b':' if next == b':' => {
                if let Some((class, end)) = numbers::colons(self.t, at) {
                    return self.drop(at, end, class);
                }
                self.hard = self.cue.is_some();
            }
            b'=' | b':' => self.hard = self.cue.is_some(),
            b'>' => self.hard |= self.cue.is_some(),
            b']' | b')' if self.list => self.clear(),
            b',' => {
                self.place = if self.place > 0 { 2 } else { 0 };
                if !self.list {
                    self.clear();
                }
                self.at += 1;
                return;
            }
            b'?' => {
                self.clear();
                self.query = is_alnum(next)
                    && at > 0
                    && (is_alnum(byte(self.t, at - 1)) || byte(self.t, at - 1) == b'[');
            }
            b';' | b'|' | b'{' | b'}' | b'&' | b'!' => self.clear(),
            b'"' => self.query = false,
            _ => {}
        }
        if first != b'.' && first != b' ' {
            self.place = 0;
        }
        self.at += 1;
    }

    pub(super) fn phone_or_fax(&self) -> Class {
        if self.cue == Some(Cue::Number(Class::Fax)) { Class::Fax } else { Class::Phone }
    }

    fn letter(&mut self) {
        let at = self.at;
        let skip = sign(self.t, at);
        if skip > 0 {
            self.at += skip;
            return;
        }
        let end = letters(self.t, at);
        let next = byte(self.t, end);
        if byte(self.t, at + 3) == b'|' && at + 4 < self.t.len() && records::segment(self.t, at) {
            self.at = self.t.len();
            if self.t[at + 4..] != *b"<hl7>" {
                self.drop(at + 4, self.t.len(), Class::Hl7);
            }
            return;
        }
        if next == b':' && self.t[end..].starts_with(b"://")
            || self.t[at..end].eq_ignore_ascii_case(b"www") && next == b'.'
        {
            return self.url(at);
        }
        if end - at <= 4
            && self.t[at].is_ascii_hexdigit()
            && (next == b':' || next == b'-' || kind(next) == Kind::Digit)
            && let Some((class, end)) = numbers::colons(self.t, at)
        {
            return self.drop(at, end, class);
        }
        let joined = kind(next) == Kind::Digit
            || is_joiner(next) && (is_alnum(byte(self.t, end + 1)) || next == b'^' || next == b'/');
        if joined { self.token() } else { self.word(end) }
    }

    fn url(&mut self, at: usize) {
        let mut end = word_end(self.t, at);
        while end > at + 1
            && matches!(self.t[end - 1], b'.' | b',' | b';' | b':' | b')' | b']' | b'}' | b'\'')
        {
            end -= 1;
        }
        self.drop(at, end, Class::Url);
    }

    /// A token of several parts, from the one at the cursor.
    pub(super) fn token(&mut self) {
        let (t, at) = (self.t, self.at);
        let mut end = at;
        while end < t.len() {
            let b = t[end];
            let inner = is_alnum(b) && sign(t, end) == 0
                || is_joiner(b)
                || b == b'\''
                    && end > at
                    && is_alnum(t[end - 1])
                    && kind(byte(t, end + 1)) == Kind::Letter
                    && t[at..end].contains(&b'^');
            if !inner || b == b'#' {
                break;
            }
            end += 1;
        }
        while end > at + 1 && !is_alnum(t[end - 1]) {
            end -= 1;
        }
        if t[end..].starts_with(b"://") {
            return self.url(at);
        }
        if end - at > 256 {
            return self.drop(at, end, Class::Code);
        }
        let token = &t[at..end];
        let glog =
            token.len() == 5 && at == 0 && matches!(t[0], b'I' | b'W' | b'E' | b'F') && digits(t, 1) == 4;
        if glog && dates::time(t, 6).is_some() {
            let end = dates::time(t, 6).unwrap_or(end);
            return self.drop(1, end, Class::Date);
        }
        if let Some(cue) = look_up(token).cue {
            self.at = end;
            return self.cued(cue);
        }
        if self.cue.is_some() && self.value_token(at, end) {
            return;
        }
        let simple = token.iter().all(|b| kind(*b) == Kind::Letter || matches!(b, b'-' | b'\''));
        if simple
            && !token[0].is_ascii_lowercase()
            && let Some(name) = names::run(t, at, false)
        {
            return self.drop(at, name, Class::Name);
        }
        if token.contains(&b'/') && !token.contains(&b'@') && !token.contains(&b'^') {
            return self.path(at, end);
        }
        match compound::judge(token) {
            Some(class) => self.drop(at, end, class),
            None if !look_up(token).is(WORD) && is_login(token) && self.is_account(at, end) => {
                self.drop(at, end, Class::Account)
            }
            None => self.key(at, end),
        }
    }

    /// A kept token may be a key: its last part that is a cue counts.
    fn key(&mut self, at: usize, end: usize) {
        let cue = self.t[at..end]
            .rsplit(|b| matches!(b, b'_' | b'-' | b'.' | b'/' | b'%'))
            .find_map(|part| look_up(part).cue);
        self.keep(end);
        self.cue = cue.filter(|_| byte(self.t, end) != b' ');
    }

    /// Each part of a path is judged alone; a part after one that is a cue is its value.
    fn path(&mut self, at: usize, end: usize) {
        let token = &self.t[at..end];
        let blob = token
            .split(|b| *b == b'/')
            .any(|part| part.len() >= 12 && compound::judge(part) == Some(Class::Code));
        if blob && token[0] != b'/' && compound::judge(token).is_some() {
            return self.drop(at, end, Class::Code);
        }
        let (mut from, mut owner) = (at, None);
        while from < end {
            let stop = self.t[from..end].iter().position(|b| *b == b'/').map_or(end, |n| from + n);
            let part = &self.t[from..stop];
            if part.is_empty() {
                from += 1;
                continue;
            }
            let known = look_up(part);
            let number = part.iter().all(u8::is_ascii_digit) && part.len() < 5;
            let owned = match owner {
                Some(Cue::Login) => !known.is(WORD),
                Some(Cue::Harmless) | None => false,
                Some(_) => part.iter().any(u8::is_ascii_digit),
            };
            let class = match owner {
                _ if number && !owned => None,
                Some(Cue::Number(class)) if owned => Some(class),
                _ if owned => Some(Class::Code),
                _ if known.is(WORD) => None,
                _ => compound::judge(part),
            };
            match class {
                // What follows is judged as it will be beside the mark, so that twice is once.
                Some(class) => return self.drop(from, stop, class),
                None => self.keep(stop),
            }
            owner = known.cue;
            from = stop + 1;
        }
        self.at = end;
        self.cue = owner.filter(|_| byte(self.t, end) != b' ');
    }
}

/// Bytes that join the parts of one token.
pub(super) fn is_joiner(b: u8) -> bool {
    matches!(b, b'_' | b'-' | b'.' | b'/' | b'\\' | b'@' | b'^' | b'~' | b'%' | b'+' | b'$')
}

/// Small letters, dots and digits that begin with an unknown word.
fn is_login(token: &[u8]) -> bool {
    let first = alnum(token, 0).min(letters(token, 0));
    token.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')) && {
        let known = look_up(&token[..first]);
        !known.is(WORD) || known.is(NAME) && first < token.len()
    }
}
