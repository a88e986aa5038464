//! What is known of a word: harmless, a name, a street's suffix, a cue for what follows.
//!
//! One open-addressed table over all lists, made at first use: 24 bits of a word's hash and an index into the few
//! combinations that occur. An unknown word passes for a known one about once in twenty million.

use std::sync::LazyLock;

use super::cues::{self, Cue};

/// A word of the dictionary or of our jargon.
pub(super) const WORD: u8 = 1;
/// A given name.
pub(super) const GIVEN: u8 = 2;
/// A surname.
pub(super) const SURNAME: u8 = 4;
/// What a street's name ends with.
pub(super) const STREET: u8 = 8;
/// A unit that may follow a number.
pub(super) const UNIT: u8 = 16;
/// Stands between a cue and its value: "of", "number", "is".
pub(super) const FILLER: u8 = 32;
/// An account of the system, nobody's name.
pub(super) const SYSTEM: u8 = 64;
/// Ends a name: "Jr", "MD".
pub(super) const TITLE: u8 = 128;
/// Either kind of name.
pub(super) const NAME: u8 = GIVEN | SURNAME;

/// What is known of one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) flags: u8,
    pub(super) cue: Option<Cue>,
}

impl Word {
    pub(super) const fn is(self, flags: u8) -> bool {
        self.flags & flags != 0
    }
}

const LISTS: [(&str, u8); 5] = [
    (include_str!("words.txt"), WORD),
    (include_str!("terms.txt"), WORD),
    (include_str!("jargon.txt"), WORD),
    (include_str!("given.txt"), GIVEN),
    (include_str!("surnames.txt"), SURNAME),
];

const SLOTS: usize = 1 << 17;
const LONGEST: usize = 24;

struct Lexicon {
    /// 24 bits of the hash, then 8 of an index into `known`; 0 is empty
    slots: Box<[u32; SLOTS]>,
    known: Vec<Word>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(build);

/// What is known of that word, whatever its case.
pub(super) fn look_up(word: &[u8]) -> Word {
    if word.is_empty() || word.len() > LONGEST {
        return Word::default();
    }
    let (mut at, tag) = place(hash(word));
    let lexicon = &*LEXICON;
    loop {
        let slot = lexicon.slots[at];
        if slot == 0 {
            return Word::default();
        }
        if slot >> 8 == tag {
            return lexicon.known[(slot & 0xff) as usize];
        }
        at = (at + 1) % SLOTS;
    }
}

fn place(hash: u64) -> (usize, u32) {
    ((hash as usize) % SLOTS, (hash >> 40) as u32)
}

/// Letters are hashed in lower case; digits and the usual joiners stay what they are.
fn hash(word: &[u8]) -> u64 {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64 ^ word.len() as u64;
    let mut mix = |eight: u64| {
        hash = (hash ^ (eight | LOWER)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^= hash >> 32;
    };
    let (chunks, _) = word.as_chunks::<8>();
    chunks.iter().for_each(|eight| mix(u64::from_le_bytes(*eight)));
    // The end, whole: what of it was mixed in already does no harm.
    mix(match (word.last_chunk::<8>(), word.first_chunk::<4>(), word.last_chunk::<4>()) {
        (Some(end), ..) => u64::from_le_bytes(*end),
        (_, Some(start), Some(end)) => {
            u64::from(u32::from_le_bytes(*start)) | u64::from(u32::from_le_bytes(*end)) << 32
        }
        _ => word.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)),
    });
    hash
}

fn build() -> Lexicon {
    let listed =
        LISTS.iter().flat_map(|(text, flags)| words(text).map(|w| (hash(w.as_bytes()), *flags, None)));
    let flagged =
        cues::FLAGS.iter().flat_map(|(text, flags)| words(text).map(|w| (hash(w.as_bytes()), *flags, None)));
    let cued = cues::CUES.iter().flat_map(|(cue, text)| {
        words(text)
            .flat_map(|w| [w.to_owned(), w.replace('_', ""), w.replace('_', "-")])
            .map(|w| (hash(w.as_bytes()), WORD, Some(*cue)))
    });
    let mut entries: Vec<(u64, u8, Option<Cue>)> = listed.chain(flagged).chain(cued).collect();
    entries.sort_unstable_by_key(|(hash, ..)| *hash);
    let mut lexicon = Lexicon { slots: Box::new([0; SLOTS]), known: Vec::new() };
    for same in entries.chunk_by(|a, b| a.0 == b.0) {
        let word = same.iter().fold(Word::default(), |word, (_, flags, cue)| Word {
            flags: word.flags | flags | if flags & UNIT == 0 { 0 } else { WORD },
            cue: word.cue.or(*cue),
        });
        let index = lexicon.known.iter().position(|known| *known == word).unwrap_or_else(|| {
            lexicon.known.push(word);
            lexicon.known.len() - 1
        });
        let (mut at, tag) = place(same[0].0);
        while lexicon.slots[at] != 0 {
            at = (at + 1) % SLOTS;
        }
        lexicon.slots[at] = tag << 8 | index as u32;
    }
    lexicon
}

fn words(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_read_and_case_does_not_matter() {
        assert_eq!(look_up(b"Connection").flags, WORD);
        assert!(look_up(b"smith").is(SURNAME) && look_up(b"JOHN").is(GIVEN) && look_up(b"avenue").is(STREET));
        assert_eq!(look_up(b"patient_name").cue, look_up(b"PatientName").cue);
        assert_eq!(look_up(b"xqzjv"), Word::default());
    }

    #[test]
    fn the_combinations_fit_an_index() {
        assert!(LEXICON.known.len() <= 256, "{}", LEXICON.known.len());
        let used = LEXICON.slots.iter().filter(|slot| **slot != 0).count();
        assert!(used * 2 < SLOTS, "{used}");
        assert!(
            LEXICON.slots.iter().all(|slot| *slot == 0 || slot >> 8 != 0),
            "a tag of zero would read as empty"
        );
    }
}
