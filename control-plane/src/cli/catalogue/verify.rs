//! `control-plane catalogue verify`: trust file, charter, catalogue, in that order, offline.

use std::path::Path;

use proto::{charter::Charter, dsse::Verified, time::Millis};
use runbooks::{Catalogue, CatalogueError};
use serde_json::{Value, json};

use super::{read, text, view};
use crate::cli::{charter::read_trust, output::Answer};

/// What is to be said of a catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Signed by enough release keys, and it holds.
    Valid,
    /// Signed by enough release keys, but its time is over.
    Expired,
    /// Signed by enough release keys of a charter whose time is over.
    CharterEnded,
    /// Signed by too few release keys.
    NotEnough,
    /// Not what it must be, or the charter is not.
    Refused,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::CharterEnded => "charter-ended",
            Self::NotEnough => "not-enough",
            Self::Refused => "refused",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::NotEnough | Self::Refused => 1,
            Self::Expired | Self::CharterEnded => 3,
        }
    }
}

pub(super) fn verify(trust: &Path, charter: &Path, file: &Path, now: Millis) -> anyhow::Result<Answer> {
    let trust = read_trust(trust)?;
    let (charter, envelope) = (read(charter)?, read(file)?);
    let charter = match trust.open(&charter) {
        Ok(charter) => charter.into_value(),
        Err(error) => return Ok(refused(Verdict::Refused, &error.into())),
    };
    match Catalogue::open(&envelope, &charter) {
        Ok(catalogue) => Ok(believed(&catalogue, &charter, now)),
        Err(error @ CatalogueError::Signature(_)) => Ok(refused(Verdict::NotEnough, &error.into())),
        Err(error) => Ok(refused(Verdict::Refused, &error.into())),
    }
}

fn believed(catalogue: &Verified<Catalogue>, charter: &Charter, now: Millis) -> Answer {
    let document = catalogue.value();
    let (verdict, sentence) = if now >= document.expires {
        (Verdict::Expired, format!("expired: nothing out of it runs since {}", document.expires))
    } else if !charter.holds_at(now) {
        (Verdict::CharterEnded, format!("the charter ended on {}", charter.not_after))
    } else {
        let signers = catalogue.signers().len();
        (Verdict::Valid, format!("valid: signed by {signers} of the charter's release keys"))
    };
    let mut json = view(document);
    json["verdict"] = Value::from(verdict.name());
    json["reason"] = Value::from(sentence.as_str());
    json["signers"] = json!(catalogue.signers());
    Answer::new(format!("{sentence}\n{}", text(document)), json).with_code(verdict.code())
}

fn refused(verdict: Verdict, error: &anyhow::Error) -> Answer {
    let reason = format!("{error:#}");
    let json = json!({ "verdict": verdict.name(), "reason": reason });
    Answer::new(format!("{}: {reason}", verdict.name()), json).with_code(verdict.code())
}
