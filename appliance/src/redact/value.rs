//! Plain words, and what a cue makes of the token after it.

use super::{
    bytes::{alnum, byte, digits, is_alnum, letters, number},
    class::Class,
    cues::Cue,
    dates,
    lexicon::{FILLER, NAME, SYSTEM, WORD, Word, look_up},
    names::{self, Look},
    sink::Sink,
    walk::Walk,
};

impl<S: Sink> Walk<'_, S> {
    /// A word of letters alone, from the cursor to `end`.
    pub(super) fn word(&mut self, end: usize) {
        let (t, at) = (self.t, self.at);
        let (look, known) = names::look(&t[at..end]);
        if look != Look::Lower {
            return self.capital(end, look, known);
        }
        let quoted = at > 0 && matches!(t[at - 1], b'"' | b'\'') && byte(t, end) == t[at - 1];
        let login = self.cue == Some(Cue::Login) && (self.hard || byte(t, end) == b'(' || at > 0);
        if let Some(cue) = known.cue
            && !(self.hard && quoted && self.cue == Some(Cue::Login))
            && !(login && self.hard && !known.is(SYSTEM))
        {
            self.at = end;
            return self.cued(cue);
        }
        if known == Word::default() && self.is_account(at, end) {
            return self.drop(at, end, Class::Account);
        }
        if known.is(FILLER) && !(self.hard && self.cue == Some(Cue::Login)) {
            return self.pass(end, known);
        }
        if names::particle(&t[at..end])
            && let Some(stop) = names::run(t, at, false)
        {
            return self.drop(at, stop, Class::Name);
        }
        let name = !known.is(WORD) && known.is(NAME);
        match self.cue {
            Some(Cue::Login) if !known.is(SYSTEM) && (self.hard || !known.is(WORD) || known.is(NAME)) => {
                return self.drop(at, end, Class::Account);
            }
            Some(Cue::Person) if self.hard || name => {
                if let Some(stop) = names::run(t, at, true) {
                    return self.drop(at, stop, Class::Name);
                }
            }
            Some(Cue::Named) if self.hard && (name || known == Word::default() && !quoted) => {
                let stop = names::run(t, at, true).unwrap_or(end);
                return self.drop(at, stop, Class::Name);
            }
            Some(Cue::Number(class)) if self.hard && !known.is(WORD) && class != Class::Date => {
                return self.drop(at, end, class);
            }
            Some(Cue::Address) if self.hard && !known.is(WORD) => return self.drop(at, end, Class::Place),
            _ => {}
        }
        if name && !self.plain_context(at, end) {
            return self.drop(at, end, Class::Name);
        }
        self.keep(end);
    }

    /// An unknown word in small letters where an account's name stands: after "for" or "by", or in a web server's log.
    pub(super) fn is_account(&self, at: usize, end: usize) -> bool {
        let (before, after) = (&self.t[..at], &self.t[end..]);
        let said = [&b" for "[..], b" from ", b" by ", b" by \"", b" to ", b" from \""]
            .iter()
            .any(|w| before.ends_with(w));
        said || before.ends_with(b" - ")
            && (after.starts_with(b" [<date>") || after.starts_with(b" [") && byte(after, 2).is_ascii_digit())
    }

    /// A word that is a program's or an option's: `proc[1]:` or `--flag`.
    fn plain_context(&self, at: usize, end: usize) -> bool {
        byte(self.t, end) == b'[' && matches!(byte(self.t, end + 1), b'0'..=b'9' | b'<')
            || at > 0 && self.t[at - 1] == b'-'
    }

    fn pass(&mut self, end: usize, known: Word) {
        let cue = (self.cue, self.hard, self.list);
        self.keep(end);
        (self.cue, self.hard, self.list) = cue;
        if known.cue.is_some() && self.cue.is_none() {
            self.cue = known.cue;
        }
    }

    /// A cue was read, up to the cursor.
    pub(super) fn cued(&mut self, cue: Cue) {
        let number = matches!(self.cue, Some(Cue::Number(_))) && cue == Cue::Named;
        let query = self.query;
        let end = self.at;
        let old = self.cue;
        self.keep(end);
        self.query = query;
        let person = old == Some(Cue::Person) && cue == Cue::Named;
        let id = query && cue == Cue::Harmless && self.t[..end].ends_with(b"id");
        self.cue = if number || person { old } else { Some(cue).filter(|_| !id) };
    }

    fn capital(&mut self, end: usize, look: Look, known: Word) {
        let (t, at) = (self.t, self.at);
        if let Some(end) = dates::named(t, at, end) {
            return self.drop(at, end, Class::Date);
        }
        let quoted = at > 0 && matches!(t[at - 1], b'"' | b'\'') && byte(t, end) == t[at - 1];
        let state = end - at == 2 && look_up_state(&t[at..end]);
        if self.place == 2 || self.place > 0 && state {
            if state {
                let place = self.place;
                self.keep(end);
                self.place = place.min(1);
                return;
            }
            if let Some(stop) = names::capitals(t, at).filter(|_| self.place == 2) {
                return self.drop(at, stop, Class::Place);
            }
        }
        if let Some(cue) = known.cue
            && !(self.hard && self.cue.is_some() && at > 0 && matches!(t[at - 1], b'"' | b'\''))
        {
            self.at = end;
            return self.cued(cue);
        }
        if known.is(FILLER) && self.cue.is_some() && !quoted {
            return self.pass(end, known);
        }
        match self.cue {
            Some(Cue::Login) if !known.is(SYSTEM) => return self.drop(at, end, Class::Account),
            Some(Cue::Address) => {
                if let Some(stop) = names::capitals(t, at).filter(|_| self.hard || look != Look::Known) {
                    return self.drop(at, stop, Class::Place);
                }
            }
            Some(Cue::Number(class)) if look != Look::Known && class != Class::Date => {
                if let Some(stop) = codes(t, at) {
                    return self.drop(at, stop, class);
                }
                if self.hard || look == Look::Name {
                    return self.drop(at, end, class);
                }
            }
            _ => {}
        }
        let person = matches!(self.cue, Some(Cue::Person)) || self.cue == Some(Cue::Named) && self.hard;
        if let Some(stop) = names::run(t, at, person) {
            let town = names::capitals(t, at).filter(|stop| before_zip(t, *stop));
            let class = if town.is_some() { Class::Place } else { Class::Name };
            return self.drop(at, stop.max(town.unwrap_or(stop)), class);
        }
        if let Some(stop) = names::capitals(t, at).filter(|stop| before_zip(t, *stop)) {
            return self.drop(at, stop, Class::Place);
        }
        if look == Look::Both && (quoted || self.query) {
            return self.drop(at, end, Class::Name);
        }
        if mailbox(&t[at..end])
            && let stop = end + t[end..].iter().take_while(|b| matches!(b, b' ' | b'.' | b'#')).count()
            && stop > end
            && digits(t, stop) > 0
        {
            return self.drop(stop, alnum(t, stop), Class::Place);
        }
        if look == Look::Name && !t[at..end].is_ascii() {
            return self.drop(at, end, Class::Name);
        }
        self.keep(end);
    }

    /// A token of several parts after a cue. True if it was judged.
    pub(super) fn value_token(&mut self, at: usize, end: usize) -> bool {
        let token = &self.t[at..end];
        let numbers = token.iter().any(u8::is_ascii_digit);
        let known = look_up(token).is(WORD);
        let class = match self.cue {
            Some(Cue::Login) if !known && (self.hard || numbers || !token.contains(&b'/')) => Class::Account,
            Some(Cue::Number(class)) if numbers || self.hard && !known && !token.contains(&b'/') => class,
            Some(Cue::Person) if self.hard && !known && (numbers || token[0].is_ascii_uppercase()) => {
                Class::Name
            }
            Some(Cue::Address) if self.hard && numbers => Class::Place,
            _ => return false,
        };
        if token.contains(&b'@') {
            self.drop(at, end, Class::Email);
            return true;
        }
        let stop = if matches!(class, Class::Account | Class::Name) && !numbers {
            end
        } else {
            codes(self.t, at).unwrap_or(end).max(end)
        };
        self.drop(at, stop, class);
        true
    }

    /// A number after a cue. True if it was judged.
    pub(super) fn value_number(&mut self, at: usize) -> bool {
        let t = self.t;
        let end = at + digits(t, at);
        let class = match self.cue {
            Some(Cue::Number(Class::Date))
                if end - at == 4
                    && !is_alnum(byte(t, end))
                    && !matches!(byte(t, end), b'-' | b'/' | b'.') =>
            {
                return false;
            }
            Some(Cue::Number(Class::Date)) => Class::Date,
            Some(Cue::Number(class)) => class,
            Some(Cue::Login) => Class::Account,
            Some(Cue::Address) if self.hard => Class::Place,
            Some(Cue::Age) if number(t, at, (end - at).min(4)) >= 90 => Class::Date,
            Some(Cue::Person | Cue::Named) if self.hard && end - at > 3 => Class::Mrn,
            _ => return false,
        };
        let stop = if class == Class::Place { street_words(t, at) } else { codes(t, at).unwrap_or(end) };
        self.drop(at, stop.max(end), class);
        true
    }
}

/// Where a code of several groups ends: letters and digits with hyphens, dots or slashes, further groups after a space.
fn codes(t: &[u8], at: usize) -> Option<usize> {
    let (mut end, mut from, mut numbers) = (None, at, false);
    for _ in 0..6 {
        let mut stop = from;
        while is_alnum(byte(t, stop))
            || matches!(byte(t, stop), b'-' | b'.' | b'/' | b'_' | b'+' | b'^' | b'@')
                && is_alnum(byte(t, stop + 1))
        {
            stop += 1;
        }
        let group = &t[from..stop];
        let digit = group.iter().any(u8::is_ascii_digit);
        let capitals = group.len() <= if digit { 6 } else { 4 }
            && group.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if group.is_empty() || from > at && (!capitals || !digit && look_up(group).is(WORD)) {
            break;
        }
        numbers |= digit;
        end = Some(stop);
        from = stop + 1;
        if byte(t, stop) != b' ' {
            break;
        }
    }
    end.filter(|_| numbers)
}

/// Where the number and capitalised words of an address end.
fn street_words(t: &[u8], at: usize) -> usize {
    let mut end = alnum(t, at);
    if byte(t, end) == b'-' && digits(t, end + 1) == 4 {
        end += 5;
    }
    while byte(t, end) == b' ' {
        let from = end + 1;
        let next = byte(t, from);
        if !(next.is_ascii_uppercase()
            || next.is_ascii_digit()
            || next == b'#' && is_alnum(byte(t, from + 1)))
        {
            break;
        }
        let stop = alnum(t, from + usize::from(next == b'#'));
        if stop == from {
            break;
        }
        end = stop + usize::from(byte(t, stop) == b'.' && byte(t, stop + 1) == b' ');
    }
    end
}

/// `, TX 75001` stands at `at`.
fn before_zip(t: &[u8], at: usize) -> bool {
    let from = at + if byte(t, at) == b',' { 2 } else { 1 };
    byte(t, from - 1) == b' '
        && letters(t, from) == from + 2
        && look_up_state(&t[from..from + 2])
        && byte(t, from + 2) == b' '
        && digits(t, from + 3) == 5
}

fn look_up_state(word: &[u8]) -> bool {
    const STATES: &[u8] =
        b"AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR \
          PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR GU VI AS MP FM MH PW AE AP AA";
    word[0].is_ascii_uppercase() && STATES.chunks(3).any(|state| state.starts_with(word))
}

fn mailbox(word: &[u8]) -> bool {
    [&b"Box"[..], b"BOX", b"Apt", b"Suite", b"PSC", b"Apartment", b"Unit"].contains(&word)
}
