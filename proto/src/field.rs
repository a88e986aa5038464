//! One error for input that is not what the contract says: it names the field and what would be right.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::de::{self, Visitor};

/// A field that was refused. `Display` reads as one sentence, for a person and for a gRPC status alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct BadField {
    /// Path of the field, as the sender knows it: `batch.stream`.
    pub field: String,
    /// What is wrong, and what would be right: `must be 16 bytes, has 3`.
    pub problem: String,
}

impl BadField {
    /// Names `field` and says what would be right.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The same complaint, seen from one level further out.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

#[cfg(feature = "rpc")]
impl From<BadField> for tonic::Status {
    fn from(bad: BadField) -> Self {
        Self::invalid_argument(bad.to_string())
    }
}

/// Gives a type that reads and prints as text the same text in JSON and YAML.
#[macro_export]
macro_rules! text_form {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::field::read_text(deserializer)
            }
        }
    };
}

/// Reads a value from its text, where it lies.
pub fn read_text<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err = BadField>,
    D: serde::Deserializer<'de>,
{
    struct Text<T>(PhantomData<T>);

    impl<T: FromStr<Err = BadField>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(PhantomData))
}

/// Exactly `N` bytes, or a complaint about `field`.
pub fn fixed<const N: usize>(field: &str, bytes: &[u8]) -> Result<[u8; N], BadField> {
    bytes.try_into().map_err(|_| BadField::new(field, format!("must be {N} bytes, has {}", bytes.len())))
}

/// Text that is not empty, has at most `max` bytes and no control characters.
pub fn text(field: &str, value: &str, max: usize) -> Result<String, BadField> {
    if value.is_empty() {
        return Err(BadField::new(field, "must not be empty"));
    }
    if value.len() > max {
        return Err(BadField::new(field, format!("must be at most {max} bytes, has {}", value.len())));
    }
    if value.chars().any(char::is_control) {
        return Err(BadField::new(field, "must not contain control characters"));
    }
    Ok(value.to_owned())
}
