//! Words that may be a person's or a town's: what one is by its spelling, and how far a name reaches.
//!
//! A capitalised word is removed unless it is known to be harmless. One that is both ("Grace", "Young", "Page") is
//! removed beside another, or after a cue.

use super::{
    bytes::{Kind, byte, is_alnum, kind, letters, sign},
    lexicon::{GIVEN, NAME, SURNAME, TITLE, WORD, Word, look_up},
};

/// What a word looks like, and is known as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// lower case
    Lower,
    /// a capital or not ASCII, and known as harmless
    Known,
    /// harmless, and a name as well
    Both,
    /// a capital and not known: a name
    Name,
    /// an unknown word of two to four capitals
    Short,
    /// one capital
    Initial,
    /// ends a name: Jr, MD
    Title,
}

/// Looks at the word.
pub(super) fn look(word: &[u8]) -> (Look, Word) {
    // Most words of a log are of small letters alone.
    if word.iter().all(u8::is_ascii_lowercase) {
        return (Look::Lower, look_up(word));
    }
    let upper = word.iter().filter(|b| b.is_ascii_uppercase()).count();
    let foreign = !word.is_ascii();
    let plain = word.strip_suffix(b"'s").or_else(|| word.strip_suffix(b"'S")).unwrap_or(word);
    let known = look_up(plain);
    if upper == 0 && !foreign {
        return (Look::Lower, known);
    }
    let look = if foreign {
        Look::Name
    } else if word.len() == 1 {
        Look::Initial
    } else if known.is(TITLE) && word.len() <= 3 {
        Look::Title
    } else if known.is(WORD) && (known.cue.is_some() || !known.is(NAME)) {
        Look::Known
    } else if known.is(WORD) {
        Look::Both
    } else if known.is(NAME) {
        Look::Name
    } else if upper == word.len() && word.len() <= 4 {
        Look::Short
    } else if upper < word.len() && word[1..].iter().any(u8::is_ascii_uppercase) && humps(word)
        || contraction(plain)
    {
        Look::Known
    } else {
        Look::Name
    };
    (look, known)
}

/// "Can't", "Didn't".
fn contraction(word: &[u8]) -> bool {
    word.iter()
        .position(|b| *b == b'\'')
        .is_some_and(|at| at > 1 && word.len() - at <= 3 && look_up(&word[..at - 1]).is(WORD))
}

/// Every part of a CamelCase word is a known one, or too short to tell.
pub(super) fn humps(word: &[u8]) -> bool {
    let (mut at, mut parts) = (0, 0);
    while at < word.len() {
        let mut end = at + 1;
        while end < word.len() && word[end].is_ascii_uppercase() {
            end += 1;
        }
        if end > at + 1 && end < word.len() && word[end].is_ascii_lowercase() {
            end -= 1;
        }
        if end == at + 1 {
            while end < word.len() && !word[end].is_ascii_uppercase() {
                end += 1;
            }
        }
        let part = look_up(&word[at..end]);
        if !part.is(WORD) && (end - at > 2 || part.is(NAME)) {
            return false;
        }
        at = end;
        parts += 1;
    }
    parts > 1
}

/// How far the name that starts at `at` reaches. `cued`: something said that a name stands here.
pub(super) fn run(text: &[u8], at: usize, cued: bool) -> Option<usize> {
    let (mut from, mut last, mut before) = (at, None, None);
    for n in 0..8 {
        let end = letters(text, from);
        if end == from || is_alnum(byte(text, end)) || n > 0 && before_mark(text, from) {
            break;
        }
        let word = &text[from..end];
        let (look, known) = look(word);
        let beside = cued || last.is_some();
        let mut is_name = match look {
            Look::Name => true,
            Look::Both => beside || before.is_some_and(|b| pair(b, known, byte(text, from - 1))),
            Look::Initial => beside,
            Look::Short | Look::Title => last.is_some() || cued && look == Look::Short,
            Look::Known => false,
            Look::Lower if particle(word) => false,
            Look::Lower => {
                cued && (!known.is(WORD) && known.cue.is_none() && word.len() > 1 || n == 0 && known.is(NAME))
            }
        };
        if known.cue.is_some() && (n > 0 || !cued) {
            is_name = false;
        }
        if is_name {
            last = Some(end);
        } else if !(look == Look::Both && n == 0
            || look == Look::Initial
            || look == Look::Lower && particle(word))
        {
            break;
        }
        if look != Look::Initial {
            before = (look == Look::Both).then_some(known);
        }
        from = match gap(text, end, look, last.is_some()) {
            Some(next) => next,
            None => break,
        };
    }
    last
}

fn before_mark(text: &[u8], at: usize) -> bool {
    byte(text, at) == b'<'
}

/// A given name beside a surname, or the other way round with a comma.
fn pair(first: Word, second: Word, mark: u8) -> bool {
    first.is(GIVEN) && second.is(SURNAME) || mark != b' ' && first.is(SURNAME) && second.is(GIVEN)
}

pub(super) fn particle(word: &[u8]) -> bool {
    matches!(
        word,
        b"van"
            | b"von"
            | b"de"
            | b"der"
            | b"den"
            | b"la"
            | b"le"
            | b"del"
            | b"da"
            | b"dos"
            | b"di"
            | b"du"
            | b"bin"
            | b"al"
            | b"zu"
    )
}

/// Where the next word of a name may start after one that ends at `end`.
fn gap(text: &[u8], end: usize, look: Look, named: bool) -> Option<usize> {
    let at = match (byte(text, end), byte(text, end + 1)) {
        (b'.', b' ') if matches!(look, Look::Initial | Look::Title) => end + 2,
        (b',', b' ') if (named || look == Look::Both) && capital(text, end + 2) => end + 2,
        (b' ', _) => end + 1,
        (b',', _) if (named || look == Look::Both) && capital(text, end + 1) => end + 1,
        (b'-' | b'^', _) => end + 1,
        _ => return None,
    };
    (kind(byte(text, at)) == Kind::Letter && sign(text, at) == 0).then_some(at)
}

/// After a comma only a capitalised word that is a name goes on with one.
fn capital(text: &[u8], at: usize) -> bool {
    let (look, known) = look(&text[at.min(text.len())..letters(text, at.min(text.len()))]);
    matches!(look, Look::Name | Look::Both) && known.cue.is_none() && (known.is(GIVEN) || !known.is(WORD))
}

/// Where the capitalised words at `at` end, known ones included: a town after a street, a value after `city:`.
pub(super) fn capitals(text: &[u8], at: usize) -> Option<usize> {
    let (mut from, mut last) = (at, None);
    for _ in 0..5 {
        let end = letters(text, from);
        let first = byte(text, from);
        if end == from
            || !(first.is_ascii_uppercase() || first >= 0x80)
            || is_alnum(byte(text, end))
            || end - from == 2 && text[from + 1].is_ascii_uppercase()
        {
            break;
        }
        last = Some(end);
        from = match (byte(text, end), byte(text, end + 1)) {
            (b'.', b' ') => end + 2,
            (b' ' | b'-', _) => end + 1,
            _ => break,
        };
        if sign(text, from) > 0 {
            break;
        }
    }
    last
}
