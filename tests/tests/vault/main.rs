//! The vault on real object stores: Ceph's gateway, which is as strict as Amazon, and a quick one that is not; and in a
//! folder, which can stop nobody. What an owner's own keys can do to it is refused by the store, or found by the audit.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod attacks;
#[path = "../../../control-plane/tests/vault/conformance.rs"]
mod conformance;
mod copying;
mod folder;
mod outage;
mod requests;
mod whole;

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use control_plane::{config::S3, vault::S3Vault};
use tests::{
    clock,
    rig::s3::{Kind, Owner, Store},
};

/// A bucket of its own on a store, and the settings of a vault in it.
fn bucket(kind: Kind) -> Result<Option<(Owner, S3, &'static Store)>> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let Some(store) = Store::shared(kind)? else { return Ok(None) };
    let owner = store.bucket(&format!("evidence-{}", NEXT.fetch_add(1, Ordering::SeqCst)))?;
    let settings = store.settings(&owner.bucket, "orderly", store.port);
    Ok(Some((owner, settings, store)))
}

fn vault(settings: &S3) -> S3Vault {
    S3Vault::connect(settings, clock::now).unwrap()
}

fn holds_to_what_every_vault_must(kind: Kind) -> Result<()> {
    let Some((_, settings, _)) = bucket(kind)? else { return Ok(()) };
    for (name, check) in conformance::CHECKS {
        println!("{name}, on {kind:?}");
        check(&vault(&S3 { prefix: format!("vaults/{name}"), ..settings.clone() }));
    }
    Ok(())
}

#[test]
fn a_bucket_on_ceph_holds_to_what_every_vault_must() -> Result<()> {
    holds_to_what_every_vault_must(Kind::Rgw)
}

#[test]
fn a_bucket_on_a_quick_store_holds_to_what_every_vault_must() -> Result<()> {
    holds_to_what_every_vault_must(Kind::Ministack)
}
