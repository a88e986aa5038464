//! Evidence verified per second, against the bare verification of the same signatures, on one core.

use std::hint::black_box;

use anyhow::Result;
use proto::{
    dsse::{Envelope, pae},
    evidence::{self, Identity, STATEMENT_PAYLOAD_TYPE},
    ids::{ApplianceId, Incarnation, TenantId},
    keys::{PublicKey, SecretKey},
};

use super::{
    Effort,
    records::Executor,
    report::{Row, in_turn, rate},
    stage::ORGANIZATION,
};
use crate::clock;

/// Different records, so that nothing is verified twice in a row.
const RECORDS: usize = 100;

/// What a signature is over, and the signature.
pub(super) struct Signed {
    pae: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    /// The same bytes as in an envelope, signed by the same key.
    pub(super) fn of(envelope: &[u8], key: &SecretKey) -> Result<Self> {
        let pae = pae(STATEMENT_PAYLOAD_TYPE, Envelope::parse(envelope)?.unverified_payload());
        Ok(Self { signature: key.sign(&pae), pae })
    }

    /// Bare verification.
    pub(super) fn verify(&self, key: &PublicKey) -> Result<()> {
        Ok(key.verify(black_box(&self.pae), &self.signature)?)
    }
}

/// Reading envelope, statement and record may cost at most as much again as the signature.
const GOAL: f64 = 0.5;

pub(super) fn run(effort: &Effort) -> Result<Vec<Row>> {
    let keys = [("ed25519", SecretKey::ed25519([7; 32])), ("p256", SecretKey::generate_p256())];
    keys.into_iter().map(|(name, key)| row(name, key, effort.rounds, effort.verifications)).collect()
}

fn row(name: &str, key: SecretKey, rounds: usize, count: usize) -> Result<Row> {
    let now = clock::now();
    let identity = Identity {
        organization: ORGANIZATION.to_owned(),
        tenant: TenantId::new(now, [1; 10]),
        appliance: ApplianceId::new(now, [2; 10]),
    };
    let mut executor = Executor::new(key, identity, Incarnation([3; 16]));
    let envelopes = executor.executions(RECORDS)?;
    let signed: Vec<Signed> =
        envelopes.iter().map(|e| Signed::of(e, &executor.key)).collect::<Result<_>>()?;
    let public = executor.key.public();
    let figures = in_turn(
        rounds,
        || {
            rate(count, || {
                for envelope in envelopes.iter().cycle().take(count) {
                    black_box(evidence::open(black_box(envelope), &public)?);
                }
                Ok(())
            })
        },
        |()| {
            Ok(rate(count, || {
                signed.iter().cycle().take(count).try_for_each(|signed| signed.verify(&public))
            })?
            .0)
        },
    )?;
    let what = format!(
        "{name}: evidence::open (envelope, signature, statement, record of an execution, {} bytes) on one core",
        envelopes[0].len()
    );
    Ok(Row::of_rates(
        what,
        "records/s",
        "the bare signature verification of the same bytes (PublicKey::verify over the PAE)",
        figures,
        GOAL,
    ))
}
