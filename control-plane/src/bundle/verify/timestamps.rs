//! Timestamps of an outside authority (RFC 3161): that a checkpoint was there by then, by a clock and a key that are not the
//! provider's.
//!
//! The rule: proven is only what leads to the certificate that the auditor gave. Who gives none has not asked: no time is
//! proven then, and the bundle is no worse than without timestamps. What a token is not about, or contradicts,
//! is a fault with or without one; a stamped checkpoint that is not the beginning of this log is another log.

use proto::time::Millis;

use super::{
    charters::Charters,
    contents::Contents,
    findings::{Findings, Tally},
    growth::Growth,
    head::{LogHead, NotOfIt},
    span::Asked,
};
use crate::{
    bundle::{Place, Source},
    timestamp::{Authority, Token},
};

const STAMPED: &str = "An outside authority says when the log was there (RFC 3161)";

/// A timestamp, as far as the bundle alone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Records of the stamped checkpoint.
    pub size: u64,
    /// When, as the token says.
    pub at: Millis,
}

/// Checks every timestamp of the bundle. Gives what they say, whether it can be believed or not.
pub(super) fn check(
    source: &dyn Source,
    contents: &Contents,
    charters: &Charters,
    head: Option<&LogHead>,
    growth: &Growth,
    asked: &Asked,
    findings: &mut Findings,
) -> Vec<Stamp> {
    let is_none = contents.stamps.is_empty() && contents.stamped.is_empty();
    if is_none && asked.tsa.is_none() {
        return Vec::new();
    }
    let mut tally = findings.begin(STAMPED, "log/timestamps/");
    if is_none {
        tally.missing("you gave an authority's certificate, and no timestamp is here");
    }
    for size in contents.stamped.iter().filter(|size| !contents.stamps.contains(size)) {
        findings.fault(&Place::Stamped(*size).to_string(), None, "has no timestamp beside it");
    }
    let mut stamps = Vec::new();
    let mut newest = None;
    match head {
        None => tally.missing("no head of the log holds"),
        Some(head) => {
            let looking = Looking { source, charters, head, growth, authority: asked.tsa.as_ref() };
            for size in &contents.stamps {
                let Some((stamp, proven)) = looking.one(*size, findings, &mut tally) else { continue };
                stamps.push(stamp);
                if proven {
                    tally.proven += 1;
                    newest = newest.max(Some((stamp.size, stamp.at)));
                }
            }
        }
    }
    if let Some((size, at)) = newest {
        tally.remark(format!("the newest: {size} records by {at}"));
    }
    if asked.tsa.is_none()
        && tally.is_open(findings)
        && let Some(last) = stamps.last()
    {
        findings.not_asked(STAMPED, "log/timestamps/", without(last.size));
        return stamps;
    }
    findings.end(tally);
    stamps
}

/// What an auditor can do who has not given a certificate.
fn without(size: u64) -> String {
    format!("give the authority's certificate with --tsa, or run: {}", command(size))
}

/// How OpenSSL says the same of one of them, in the bundle's folder.
#[must_use]
pub fn command(size: u64) -> String {
    let (token, note) = (Place::Timestamp(size), Place::Stamped(size));
    format!("openssl ts -verify -in {token} -data {note} -CAfile TSA.pem")
}

struct Looking<'a> {
    source: &'a dyn Source,
    charters: &'a Charters,
    head: &'a LogHead,
    growth: &'a Growth,
    authority: Option<&'a Authority>,
}

impl Looking<'_> {
    /// What one says, and whether it is proven.
    fn one(&self, size: u64, findings: &mut Findings, tally: &mut Tally) -> Option<(Stamp, bool)> {
        let (place, path) = (Place::Stamped(size), Place::Timestamp(size).to_string());
        let token = findings.read(self.source, &Place::Timestamp(size))?.into_owned();
        let Some(note) = findings.read(self.source, &place).map(|note| note.into_owned()) else {
            tally.missing(format!("{place} is not here, which {path} is about"));
            return None;
        };
        let read = match Token::parse(&token).and_then(|read| read.is_of(&note).map(|()| read)) {
            Ok(read) => read,
            Err(bad) => {
                findings.error(&path, None, &bad);
                return None;
            }
        };
        self.is_of_the_log(size, &note, findings, tally)?;
        let stamp = Stamp { size, at: read.at };
        match read.verify(self.authority) {
            Ok(_) => Some((stamp, true)),
            Err(bad) if bad.is_about_trust() => {
                if self.authority.is_some() {
                    tally.missing(format!("{path}: {bad}"));
                }
                Some((stamp, false))
            }
            Err(bad) => {
                findings.error(&path, None, &bad);
                Some((stamp, false))
            }
        }
    }

    fn is_of_the_log(
        &self,
        size: u64,
        note: &[u8],
        findings: &mut Findings,
        tally: &mut Tally,
    ) -> Option<()> {
        let path = Place::Stamped(size).to_string();
        match self.head.beginning(note, self.charters, self.growth) {
            Ok(stamped) if stamped.size == size => Some(()),
            Ok(stamped) => {
                findings.fault(&path, None, &format!("is of {} records", stamped.size));
                None
            }
            Err(NotOfIt::Unknown) => {
                tally.missing(NotOfIt::Unknown.to_string());
                None
            }
            Err(other) => {
                findings.error(&path, None, &other);
                None
            }
        }
    }
}
