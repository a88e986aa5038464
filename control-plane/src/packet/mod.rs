//! The monthly packet: what happened at a clinic in one month, for its owner and for an auditor.
//!
//! The rule: a packet is made from a bundle's facts and from nothing else, so that anyone who has the bundle makes the
//! same bytes. It says what it does not cover as plainly as what it does.
//!
//! ```text
//!  Facts ──Model::new──> figures of a month ──sections──> Document ──> Markdown
//!                                                             └──────> Typst source ──> PDF
//! ```

mod brief;
pub mod document;
mod markdown;
mod model;
#[cfg(feature = "pdf")]
pub mod pdf;
#[cfg(feature = "pdf")]
mod qr;
mod readings;
mod sections;
#[cfg(feature = "pdf")]
mod typst;

use proto::time::Millis;

use crate::bundle::{Facts, Month};

pub use brief::brief;
pub(crate) use model::mode_at;
pub use model::{
    Access, Acknowledged, Action, Agreement, Availability, Detected, Holder, Incident, Model, Presence,
    REVIEW_EVERY, Refused, Repository, Share, Sockets, Updated, Version,
};
pub use sections::title;

/// A packet as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketFiles {
    /// `packet.md`.
    pub markdown: String,
    /// `packet.pdf`; `None`: built without the feature `pdf`.
    pub pdf: Option<Vec<u8>>,
}

/// Why a packet was not made.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// Nothing of the month is over.
    #[error("packet of {month} must be made after the month began, not at {made_at}")]
    NotBegun {
        /// The month.
        month: Month,
        /// When it was to be made.
        made_at: Millis,
    },
    /// The pages could not be set.
    #[cfg(feature = "pdf")]
    #[error("packet of {month} cannot be set in pages")]
    Pages {
        /// The month.
        month: Month,
        /// Why.
        #[source]
        cause: pdf::PdfError,
    },
}

/// Makes the packet of a month. Same facts, same month, same bytes.
pub fn build(facts: &Facts, month: Month) -> Result<PacketFiles, PacketError> {
    Ok(PacketFiles { markdown: markdown(facts, month)?, pdf: pdf(facts, month)? })
}

/// The packet as Markdown.
pub fn markdown(facts: &Facts, month: Month) -> Result<String, PacketError> {
    Ok(markdown::write(&sections::document(&Model::new(facts, month)?)))
}

/// The packet as PDF; `None`: built without the feature `pdf`.
#[cfg(feature = "pdf")]
pub fn pdf(facts: &Facts, month: Month) -> Result<Option<Vec<u8>>, PacketError> {
    let document = sections::document(&Model::new(facts, month)?);
    let made = pdf::render(&typst::write(&document), facts.said.made_at.0, &document.reference);
    made.map(Some).map_err(|cause| PacketError::Pages { month, cause })
}

/// The packet as PDF; `None`: built without the feature `pdf`.
#[cfg(not(feature = "pdf"))]
pub fn pdf(_facts: &Facts, _month: Month) -> Result<Option<Vec<u8>>, PacketError> {
    Ok(None)
}
