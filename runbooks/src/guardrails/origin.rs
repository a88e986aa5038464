//! Guardrails 1 and 2: who says so, and to whom.
//!
//! An order speaks for the organization only through the charter, and only to the one box that it names.

use proto::{
    charter::Charter,
    dsse::{self, EnvelopeError, Verified},
    order::{ORDER_MAX, ORDER_TYPE, Order},
    time::Millis,
};

use super::{Facts, Guardrail, Refusal};

/// The largest order envelope that is looked at: the payload in base64, and room for its signatures.
const ENVELOPE_MAX: usize = ORDER_MAX * 4 / 3 + 4096;

/// **Guardrail 1**, "signature and delegation".
///
/// The envelope is signed by an order key of the charter, the charter has not ended, and what is signed is an order. With
/// no trusted time the charter's end is left to guardrail 3, which then refuses.
pub fn verify(envelope: &[u8], charter: &Charter, now: Option<Millis>) -> Result<Verified<Order>, Refusal> {
    let refuse = |reason: String| Err(Guardrail::Signature.refuses(reason));
    charter_in_force(charter, now)?;
    if envelope.len() > ENVELOPE_MAX {
        return refuse(format!(
            "order envelope must be at most {ENVELOPE_MAX} bytes, has {}",
            envelope.len()
        ));
    }
    let signed = match dsse::open(envelope, ORDER_TYPE, &charter.order_keys, 1) {
        Ok(signed) => signed,
        // What the envelope says of itself is not quoted: nobody has vouched for it.
        Err(EnvelopeError::Malformed(_) | EnvelopeError::TooLarge(_)) => {
            return refuse("order must be a DSSE envelope in JSON".to_owned());
        }
        Err(EnvelopeError::WrongType { .. }) => return refuse(format!("payload type must be {ORDER_TYPE}")),
        Err(EnvelopeError::NotEnough { .. }) => {
            return refuse(format!(
                "must be signed by one of the {} order keys of charter {}",
                charter.order_keys.len(),
                charter.serial
            ));
        }
    };
    signed.parse(|bytes| {
        Order::decode(&bytes).map_err(|bad| {
            // A parameter's name is the sender's text; every other field's name is ours.
            let field = if bad.field.starts_with("core.parameters") { "core.parameters" } else { &bad.field };
            Guardrail::Signature.refuses(format!("is signed, but {field} is not as an order's must be"))
        })
    })
}

/// The part of **guardrail 1** that holds before there is a signature: an order key speaks only while its charter does.
pub fn charter_in_force(charter: &Charter, now: Option<Millis>) -> Result<(), Refusal> {
    match now {
        Some(now) if !charter.holds_at(now) => Err(Guardrail::Signature.refuses(format!(
            "charter {} ended on {}, it is {now}; the organization must sign the next charter",
            charter.serial, charter.not_after
        ))),
        _ => Ok(()),
    }
}

/// **Guardrail 2**, "binding (this organization, tenant, appliance, incarnation)".
pub fn binding(order: &Order, facts: &Facts<'_>) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Guardrail::Binding.refuses(reason));
    let (core, here) = (&order.core, facts.identity);
    if core.organization != here.organization {
        return refuse(format!("is for another organization; this box belongs to {}", here.organization));
    }
    if core.tenant != here.tenant {
        return refuse(format!("is for tenant {}; this box belongs to {}", core.tenant, here.tenant));
    }
    if core.appliance != here.appliance {
        return refuse(format!("is for appliance {}; this is {}", core.appliance, here.appliance));
    }
    if core.incarnation != facts.incarnation {
        return refuse(format!("is for incarnation {}; this is {}", core.incarnation, facts.incarnation));
    }
    Ok(())
}
