//! The one form of a P-256 signature: of (r, s) and (r, n − s), which both verify, the one with the smaller s.
//!
//! Whoever carries a signature can turn one into the other without any key. Where the bytes of an envelope are a record's
//! name, as in evidence, only one of them may count.

/// Order of the P-256 group (SEC 2, section 2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The signature (DER) of the same r whose s is at most half of the order; `None` when it is not a P-256 signature.
pub(super) fn low_s(der: &[u8]) -> Option<Vec<u8>> {
    let body = der.strip_prefix(&[0x30, u8::try_from(der.len().checked_sub(2)?).ok()?])?;
    let (r, rest) = integer(body)?;
    let (s, []) = integer(rest)? else { return None };
    let other = minus(&ORDER, &s)?;
    let body = [encoded(&r), encoded(&s.min(other))].concat();
    Some([&[0x30, u8::try_from(body.len()).ok()?][..], &body].concat())
}

/// A positive INTEGER of at most 32 bytes, and what follows it.
fn integer(der: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (&[0x02, length], rest) = der.split_first_chunk()? else { return None };
    let (value, rest) = rest.split_at_checked(length.into())?;
    let value = value.strip_prefix(&[0]).unwrap_or(value);
    let mut number = [0; 32];
    number.get_mut(32_usize.checked_sub(value.len())?..)?.copy_from_slice(value);
    Some((number, rest))
}

fn encoded(number: &[u8; 32]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count().min(31);
    let value = &number[zeros..];
    let sign: &[u8] = if value[0] >= 0x80 { &[0] } else { &[] };
    let length = u8::try_from(sign.len() + value.len()).expect("at most 33 bytes");
    [&[0x02, length], sign, value].concat()
}

/// `a` − `b`; `None` when that is less than nothing.
fn minus(a: &[u8; 32], b: &[u8; 32]) -> Option<[u8; 32]> {
    let mut difference = [0; 32];
    let mut borrow = false;
    for at in (0..32).rev() {
        let (partial, under) = a[at].overflowing_sub(b[at]);
        let (digit, under_again) = partial.overflowing_sub(u8::from(borrow));
        difference[at] = digit;
        borrow = under || under_again;
    }
    (!borrow).then_some(difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(r: &[u8; 32], s: &[u8; 32]) -> Vec<u8> {
        let body = [encoded(r), encoded(s)].concat();
        [&[0x30, body.len() as u8][..], &body].concat()
    }

    #[test]
    fn of_the_two_the_smaller_counts() {
        let number = |last: u8| {
            let mut n = [0; 32];
            n[31] = last;
            n
        };
        let r = [0x80; 32];
        for last in [1, 2, 127, 128, 255] {
            let low = signature(&r, &number(last));
            let high = signature(&r, &minus(&ORDER, &number(last)).unwrap());
            assert_eq!(low_s(&high).as_deref(), Some(&low[..]), "{last}");
            assert_eq!(low_s(&low).as_deref(), Some(&low[..]), "{last}");
        }
    }

    #[test]
    fn what_is_no_signature_has_no_form() {
        let good = signature(&[0x80; 32], &[0x01; 32]);
        assert!(low_s(&good).is_some());
        for cut in 0..good.len() {
            assert_eq!(low_s(&good[..cut]), None, "{cut}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(low_s(&longer), None);
        assert_eq!(low_s(&signature(&[1; 32], &[0xff; 32])), None, "s beyond the order");
        for byte in 0..=255 {
            low_s(&[0x30, 6, 2, byte, 1, 2, 1, 1]);
            low_s(&[byte; 72]);
        }
    }
}
