//! DER, piece by piece: only what is definite and whole is read, and nothing recurses.

use x509_parser::asn1_rs::{Any, FromDer as _};

use super::BadToken;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[0]`, constructed.
pub(super) const FIRST: u8 = 0xa0;
/// `[1]`, constructed.
pub(super) const SECOND: u8 = 0xa1;

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// Its identifier octet.
    pub(super) tag: u8,
    /// What is in it.
    pub(super) content: &'a [u8],
    /// All of it, byte for byte.
    pub(super) whole: &'a [u8],
}

/// Elements, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

impl<'a> Elements<'a> {
    pub(super) fn next(&mut self) -> Result<Element<'a>, BadToken> {
        let (rest, any) = Any::from_der(self.0).map_err(|_| BadToken::Form("DER"))?;
        let whole = &self.0[..self.0.len() - rest.len()];
        let element = Element { tag: whole[0], content: any.data, whole };
        self.0 = rest;
        Ok(element)
    }

    /// The content of the next one, which must be a `tag`.
    pub(super) fn want(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], BadToken> {
        let element = self.next().map_err(|_| BadToken::Form(what))?;
        if element.tag == tag { Ok(element.content) } else { Err(BadToken::Form(what)) }
    }

    /// The same, entered.
    pub(super) fn enter(&mut self, tag: u8, what: &'static str) -> Result<Self, BadToken> {
        self.want(tag, what).map(Self)
    }

    /// The next one, if it is a `tag`.
    pub(super) fn option(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.next().ok().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }

    /// All that are left.
    pub(super) fn rest(mut self) -> Result<Vec<Element<'a>>, BadToken> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            all.push(self.next()?);
        }
        Ok(all)
    }
}

/// An element of `content`, shorter than 64 KB.
pub(super) fn element(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let length: usize = content.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short @ ..0x80) => out.push(short),
        Ok(short) => out.extend([0x81, short]),
        Err(_) => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    content.iter().for_each(|part| out.extend_from_slice(part));
    out
}
