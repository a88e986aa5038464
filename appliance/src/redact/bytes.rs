//! Bytes and runs of bytes: what the scanners read a line with.

/// What a byte begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Space,
    Letter,
    Digit,
    Punct,
    Control,
}

static KINDS: [Kind; 256] = kinds();

const fn kinds() -> [Kind; 256] {
    let mut table = [Kind::Punct; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = match at as u8 {
            b' ' | b'\t' => Kind::Space,
            b'a'..=b'z' | b'A'..=b'Z' | 0x80..=0xff => Kind::Letter,
            b'0'..=b'9' => Kind::Digit,
            0..=31 | 127 => Kind::Control,
            _ => Kind::Punct,
        };
        at += 1;
    }
    table
}

pub(super) const fn kind(byte: u8) -> Kind {
    KINDS[byte as usize]
}

/// The byte at `at`; past the end a line feed, which is in no token.
pub(super) fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(b'\n')
}

pub(super) fn is_alnum(byte: u8) -> bool {
    matches!(kind(byte), Kind::Letter | Kind::Digit)
}

/// How many digits stand at `at`.
pub(super) fn digits(text: &[u8], at: usize) -> usize {
    text[at.min(text.len())..].iter().take_while(|b| b.is_ascii_digit()).count()
}

/// The number that the `len` digits at `at` make; `len` is small.
pub(super) fn number(text: &[u8], at: usize, len: usize) -> u32 {
    text[at..at + len].iter().fold(0, |n, b| n * 10 + u32::from(b - b'0'))
}

/// Where the letters at `at` end: an apostrophe between letters belongs to them.
pub(super) fn letters(text: &[u8], at: usize) -> usize {
    let mut end = at;
    loop {
        while let Some(b) = text.get(end)
            && (b.is_ascii_alphabetic() || *b >= 0x80 && sign(text, end) == 0)
        {
            end += 1;
        }
        let apostrophe = byte(text, end) == b'\'' && end > at && kind(byte(text, end + 1)) == Kind::Letter;
        if !apostrophe {
            return end;
        }
        end += 1;
    }
}

/// Where the alphanumeric run at `at` ends.
pub(super) fn alnum(text: &[u8], at: usize) -> usize {
    let mut end = at;
    while is_alnum(byte(text, end)) && (text[end] < 0x80 || sign(text, end) == 0) {
        end += 1;
    }
    end
}

/// Where a word ends at the latest: at a space, a quote or a bracket.
pub(super) fn word_end(text: &[u8], at: usize) -> usize {
    let stop = |b: &u8| *b <= b' ' || matches!(b, b'"' | b'<' | b'>' | b'`' | b'|' | 0x7f);
    at + text[at.min(text.len())..].iter().position(stop).unwrap_or(text.len().saturating_sub(at))
}

/// The length of a known harmless sign outside ASCII at `at`: dashes, quotes, bullets, arrows, check marks, ° and µ.
/// All of them are whole and valid UTF-8; every other byte past ASCII counts as a letter of an unknown word.
pub(super) fn sign(text: &[u8], at: usize) -> usize {
    match text[at..] {
        [0xe2, 0x80, 0x90..=0xa7, ..] | [0xe2, 0x86 | 0x9c, 0x80..=0xbf, ..] => 3,
        [0xc2, 0xb0 | 0xb5 | 0xa0, ..] => 2,
        _ => 0,
    }
}
