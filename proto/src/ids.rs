//! Names of things, each its own type, so that a tenant's ID cannot be passed where an appliance's is meant.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::{
    field::{BadField, fixed},
    time::Millis,
};

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new ID (UUIDv7, RFC 9562 section 5.7): `random` are ten fresh random bytes.
            #[must_use]
            pub fn new(now: Millis, random: [u8; 10]) -> Self {
                let ms = u64::try_from(now.0).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
            }

            /// When it was drawn, by whoever drew it; `None`: it is no UUIDv7.
            #[must_use]
            pub fn drawn(&self) -> Option<Millis> {
                let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
                let ms = i64::try_from(seconds).ok()?.checked_mul(1000)?.checked_add(i64::from(nanos / 1_000_000))?;
                Some(Millis(ms))
            }

            /// Reads the canonical form; `field` names it in the complaint.
            pub fn from_field(field: &str, text: &str) -> Result<Self, BadField> {
                text.parse().map_err(|mut bad: BadField| { bad.field = field.to_owned(); bad })
            }
        }

        impl FromStr for $name {
            type Err = BadField;
            fn from_str(text: &str) -> Result<Self, BadField> {
                Uuid::try_parse(text)
                    .ok()
                    .filter(|uuid| uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text)
                    .map(Self)
                    .ok_or_else(|| BadField::new($field, "must be a UUID in lower case with hyphens"))
            }
        }

        $crate::text_form!($name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(&self.0, f) }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(&self.0, f) }
        }
    };
}

uuid_id!(/// A clinic.
    TenantId, "tenant");
uuid_id!(/// A place of a clinic.
    SiteId, "site");
uuid_id!(/// One box.
    ApplianceId, "appliance");
uuid_id!(/// A fault that needs something done.
    IncidentId, "incident");
uuid_id!(/// A permission to run one runbook once.
    OrderId, "order");
uuid_id!(/// Something an appliance saw.
    EventId, "event");

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// From 16 raw bytes; `field` names them in the complaint.
            pub fn from_field(field: &str, bytes: &[u8]) -> Result<Self, BadField> {
                fixed(field, bytes).map(Self)
            }

            /// The raw bytes, for a protobuf field.
            #[must_use]
            pub fn to_vec(&self) -> Vec<u8> { self.0.to_vec() }
        }

        impl FromStr for $name {
            type Err = BadField;
            fn from_str(text: &str) -> Result<Self, BadField> {
                let mut bytes = [0; 16];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| BadField::new("id", "must be 32 hexadecimal digits"))?;
                Ok(Self(bytes))
            }
        }

        $crate::text_form!($name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&hex::encode(self.0)) }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
    };
}

random_id!(/// Drawn when an executor's state is created; a wiped, cloned or re-imaged box is another incarnation.
    Incarnation);
random_id!(/// An outbox's identity; a new database is a new stream.
    StreamId);
random_id!(/// A number used once, to tie an answer to a question.
    Nonce);

/// An entry of a box's own watch list: a short slug that the box's owner chose.
///
/// Lower-case letters, digits and hyphens, 1 to 40, beginning with a letter: so it can be neither a path, nor a unit, nor a URL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(String);

impl WatchId {
    /// The slug.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WatchId {
    type Err = BadField;
    fn from_str(text: &str) -> Result<Self, BadField> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=40).contains(&text.len())
            && text.bytes().all(plain)
            && text.as_bytes()[0].is_ascii_lowercase()
        {
            return Ok(Self(text.to_owned()));
        }
        Err(BadField::new(
            "watch",
            "must be 1 to 40 lower-case letters, digits and hyphens, beginning with a letter",
        ))
    }
}

crate::text_form!(WatchId);

impl fmt::Display for WatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A runbook's name: `RB-`, a word in capitals, a hyphen, three digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunbookId(String);

impl RunbookId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunbookId {
    type Err = BadField;
    fn from_str(text: &str) -> Result<Self, BadField> {
        let right = || {
            let (word, number) = text.strip_prefix("RB-")?.split_once('-')?;
            let word_ok = (2..=16).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase());
            let number_ok = number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit());
            (word_ok && number_ok).then(|| Self(text.to_owned()))
        };
        right().ok_or_else(|| BadField::new("runbook", "must look like RB-DISK-002"))
    }
}

crate::text_form!(RunbookId);

impl fmt::Display for RunbookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunbookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
