//! Tokens of several parts, or of letters and digits together: paths, file names, host names, versions, codes.
//!
//! One is kept when every part of it is known to be harmless; else it goes whole.

use super::{
    bytes::{Kind, digits, kind},
    class::Class,
    dates,
    lexicon::{GIVEN, NAME, SURNAME, UNIT, WORD, look_up},
    names::{Look, look},
    numbers,
};

/// The class of the token if it may identify; none if each part is harmless.
pub(super) fn judge(token: &[u8]) -> Option<Class> {
    if !token.is_ascii() {
        return Some(Class::Name);
    }
    if look_up(token).is(WORD) || known_mix(token) {
        return None;
    }
    if token.contains(&b'@') {
        let unit = [&b".service"[..], b".socket", b".timer", b".mount", b".scope", b".slice"];
        return if unit.iter().any(|u| token.ends_with(u)) { parts(token) } else { Some(Class::Email) };
    }
    if token.contains(&b'^') {
        return if message_type(token) { None } else { Some(Class::Name) };
    }
    inner(token).or_else(|| file(token)).or_else(|| parts(token)).or_else(|| host(token))
}

/// A date, an address or a telephone number among the parts.
fn inner(token: &[u8]) -> Option<Class> {
    let starts = |at: &usize| token[*at].is_ascii_digit() && (*at == 0 || !token[*at - 1].is_ascii_digit());
    (0..token.len()).filter(starts).find_map(|at| {
        let date = dates::numeric(token, at).map(|_| Class::Date);
        date.or_else(|| numbers::shape(token, at).map(|(class, _)| class))
    })
}

/// ADT^A01
fn message_type(token: &[u8]) -> bool {
    token.len() >= 7
        && token[..3].iter().all(u8::is_ascii_uppercase)
        && token[3] == b'^'
        && token[4].is_ascii_uppercase()
        && digits(token, 5) == 2
        && (token.len() == 7
            || token[7] == b'^' && look(&token[..3]).0 != Look::Name && token[8..].starts_with(&token[..3]))
}

/// Shapes with digits that logs are full of: x86_64, HTTP/1.1, ORA-00942, nvme0n1p2, 10ms.
fn known_mix(token: &[u8]) -> bool {
    let starts =
        |prefix: &[u8]| token.len() > prefix.len() && token[..prefix.len()].eq_ignore_ascii_case(prefix);
    let few = token.iter().filter(|b| b.is_ascii_digit()).count();
    if few == 0 && !b"ohrscn".contains(&token[0].to_ascii_lowercase()) {
        return false; // no number, and none of these beginnings
    }
    if few <= 5 && [&b"ORA-"[..], b"HAPI-", b"HTTP/", b"RFC", b"SQLSTATE"].iter().any(|p| starts(p)) {
        return token.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/' | b'.'));
    }
    if starts(b"CVE-") && few <= 9 || starts(b"nvme") && few <= 4 && token.len() < 12 {
        return true;
    }
    let mut runs = runs(token);
    let mut spans = 0;
    while let (Some(number), Some(unit)) = (runs.next(), runs.next()) {
        if !(number[0].is_ascii_digit() && number.len() <= 7 && look_up(unit).is(UNIT)) {
            return false;
        }
        spans += 1;
    }
    let clock = |b: &u8| b.is_ascii_digit() || matches!(b, b'd' | b'h' | b'm' | b's');
    (spans == 1 || spans <= 4 && token.ends_with(b"s") && token.iter().all(clock))
        && token[0].is_ascii_digit()
        && token.iter().all(u8::is_ascii_alphanumeric)
        && !token[token.len() - 1].is_ascii_digit()
}

const PICTURES: [&[u8]; 14] = [
    b"jpg", b"jpeg", b"png", b"gif", b"bmp", b"tif", b"tiff", b"heic", b"webp", b"dcm", b"mp4", b"mov",
    b"avi", b"webm",
];
const BODIES: [&[u8]; 8] = [b"wsq", b"wav", b"mp3", b"m4a", b"iso19794", b"fpt", b"ansi378", b"bir"];
const BODY_WORDS: [&[u8]; 9] =
    [b"fp", b"fingerprint", b"finger", b"iris", b"retina", b"voice", b"voiceprint", b"palm", b"face"];

/// Photographs and recordings of a body go by their ending, unless the name is of known words alone.
fn file(token: &[u8]) -> Option<Class> {
    let dot = token.iter().rposition(|b| *b == b'.')?;
    let ending = &token[dot + 1..];
    let is = |list: &[&[u8]]| list.iter().any(|e| ending.eq_ignore_ascii_case(e));
    let stem = &token[..dot];
    let harmless = || runs(stem).all(|part| part[0].is_ascii_alphabetic() && look_up(part).is(WORD));
    let body = runs(stem).any(|part| BODY_WORDS.iter().any(|w| part.eq_ignore_ascii_case(w)));
    let class = if is(&BODIES) || body && (is(&PICTURES) || is(&[b"bin", b"dat", b"tpl"])) {
        Class::Biometric
    } else if is(&PICTURES) {
        Class::Photo
    } else {
        return None;
    };
    (!harmless()).then_some(class)
}

/// The runs of letters, and of digits, in a token.
fn runs(token: &[u8]) -> impl Iterator<Item = &[u8]> {
    token.chunk_by(|a, b| kind(*a) == kind(*b)).filter(|run| kind(run[0]) != Kind::Punct)
}

fn parts(token: &[u8]) -> Option<Class> {
    let (mut total, mut longest, mut unknown, mut switches, mut both) = (0, 0, 0, 0, None);
    let (mut before, mut sizes) = (Kind::Punct, [0; 3]);
    let qualified = is_qualified(token);
    for run in token.chunk_by(|a, b| kind(*a) == kind(*b)) {
        let now = kind(run[0]);
        match now {
            Kind::Digit => {
                total += run.len();
                longest = longest.max(run.len());
                sizes = [sizes[1], sizes[2], run.len()];
                if matches!(sizes, [4, 2, 2] | [2, 2, 4]) {
                    return Some(Class::Date);
                }
            }
            Kind::Letter => {
                let (look, known) = look(run);
                match look {
                    Look::Name if qualified && !known.is(NAME) => {}
                    Look::Name => return Some(if total > 0 { Class::Code } else { Class::Name }),
                    Look::Lower if !qualified && !known.is(WORD) && known.is(NAME) => {
                        return Some(Class::Name);
                    }
                    Look::Both => {
                        let pair = both.is_some_and(|flags: u8| {
                            flags & GIVEN != 0 && known.is(SURNAME) || flags & SURNAME != 0 && known.is(GIVEN)
                        });
                        if pair && !qualified {
                            return Some(Class::Name);
                        }
                        both = Some(known.flags);
                    }
                    Look::Known => both = None,
                    Look::Short if run.len() > 2 => unknown += 1,
                    Look::Lower if !known.is(WORD) && run.len() > 2 => unknown += 1,
                    Look::Lower | Look::Initial | Look::Title | Look::Short => {}
                }
            }
            _ => {}
        }
        switches += usize::from(before != Kind::Punct && now != Kind::Punct && before != now);
        before = now;
    }
    let dense = switches >= 3 || switches >= 2 && total >= 3;
    let long = longest >= 5
        || total >= 7
        || total >= 3 && unknown > 0 && switches > 0
        || total >= 4 && switches > 0 && token.len() < 9;
    (total > 0 && (dense || long)).then_some(Class::Code)
}

/// `org.hibernate.engine.SqlHelper`: three names or more with dots, which start small.
fn is_qualified(token: &[u8]) -> bool {
    let dots = token.iter().filter(|b| **b == b'.').count();
    if dots == 0 {
        return false;
    }
    let source = [&b".java"[..], b".cpp", b".php", b".py", b".js", b".c", b".go", b".rs", b".kt", b".cs"];
    let roots = [
        &b"java."[..],
        b"javax.",
        b"org.",
        b"com.",
        b"net.",
        b"io.",
        b"ca.",
        b"c.",
        b"o.",
        b"sun.",
        b"jdk.",
        b"kotlin.",
        b"scala.",
    ];
    roots.iter().any(|root| token.starts_with(root))
        && dots >= 2
        && token.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'$' | b'_'))
        || source.iter().any(|s| token.ends_with(s)) && !token.contains(&b'_') && !token.contains(&b'-')
}

const TOPS: [&[u8]; 26] = [
    b"com",
    b"org",
    b"net",
    b"edu",
    b"gov",
    b"mil",
    b"info",
    b"biz",
    b"us",
    b"health",
    b"clinic",
    b"hospital",
    b"care",
    b"med",
    b"local",
    b"lan",
    b"internal",
    b"intra",
    b"corp",
    b"home",
    b"co",
    b"uk",
    b"de",
    b"io",
    b"dental",
    b"name",
];

/// A host's name with its domain.
fn host(token: &[u8]) -> Option<Class> {
    let name = token.iter().position(|b| matches!(b, b'/' | b':')).map_or(token, |at| &token[..at]);
    let dot = name.iter().rposition(|b| *b == b'.')?;
    let top = &name[dot + 1..];
    let plain = name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    (dot > 0 && plain && TOPS.iter().any(|t| top.eq_ignore_ascii_case(t))).then_some(Class::Url)
}
