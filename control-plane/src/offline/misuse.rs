//! Wrong usage that clap cannot see.

/// Says what would be right. Also as context of what was found wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

pub(crate) fn misuse(text: impl Into<String>) -> anyhow::Error {
    Misuse(text.into()).into()
}

/// Whether the fault is in what was typed.
#[must_use]
pub fn is_misuse(error: &anyhow::Error) -> bool {
    // Also finds one that was added as context.
    error.downcast_ref::<Misuse>().is_some()
}
