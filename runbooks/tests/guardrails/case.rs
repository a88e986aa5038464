//! A generated case: an order and the facts around it, such that all twelve guardrails pass.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use proptest::prelude::*;
use proto::{
    approval::Approval,
    charter::{Approver, Charter, Quorum},
    digest::Digest,
    dsse::Verified,
    evidence::Identity,
    ids::{ApplianceId, Incarnation, IncidentId, OrderId, RunbookId, SiteId, TenantId, WatchId},
    keys::SecretKey,
    order::{Core, Issuance, Order, Plan, SEQUENCE_WINDOW},
    time::Millis,
};
use runbooks::{
    Action, Catalogue, ClinicHours, Collect, Condition, Day, Expect, Facts, Fault, History, Limits, Mode,
    OnFailure, Policy, Refusal, Risk, Runbook, WatchKind, Window, Windows, verify,
};

pub(crate) struct Keys {
    pub(crate) order: SecretKey,
    pub(crate) stranger: SecretKey,
    pub(crate) passkeys: Vec<SecretKey>,
}

pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    order: SecretKey::ed25519([1; 32]),
    stranger: SecretKey::ed25519([2; 32]),
    passkeys: (0..4).map(|_| SecretKey::generate_p256()).collect(),
});

/// Who approves: the name that is claimed, the passkey that signs, and what it signs instead of this order's core.
#[derive(Debug, Clone)]
pub(crate) struct Approving {
    pub(crate) name: String,
    pub(crate) passkey: usize,
    pub(crate) over: Option<Digest>,
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) identity: Identity,
    pub(crate) incarnation: Incarnation,
    pub(crate) charter: Charter,
    pub(crate) catalogue: Catalogue,
    pub(crate) policy: Policy,
    pub(crate) policy_serial: u64,
    pub(crate) watch: BTreeMap<WatchId, WatchKind>,
    pub(crate) now: Option<Millis>,
    pub(crate) wall: Option<Millis>,
    pub(crate) order_high: u64,
    pub(crate) taken_before: bool,
    pub(crate) history: History,
    pub(crate) hold: Option<String>,
    pub(crate) core: Core,
    pub(crate) issuance: Issuance,
    pub(crate) not_before: Millis,
    pub(crate) expires: Millis,
    pub(crate) approving: Vec<Approving>,
}

impl Case {
    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            identity: &self.identity,
            incarnation: self.incarnation,
            charter: &self.charter,
            catalogue: &self.catalogue,
            policy: &self.policy,
            policy_serial: self.policy_serial,
            watch: &self.watch,
            now: self.now,
            wall: self.wall,
            order_high: self.order_high,
            taken_before: self.taken_before,
            history: self.history,
            hold: self.hold.clone(),
        }
    }

    pub(crate) fn order(&self) -> Order {
        let challenge = Digest::of(&self.core.encode());
        let approvals = self.approving.iter().map(|a| assertion(a, a.over.unwrap_or(challenge))).collect();
        let plan = Plan {
            planner: "rules".into(),
            model: String::new(),
            prompt_digest: None,
            reason: "test".into(),
        };
        let mut order = Order::issue(self.core.clone(), &self.issuance, plan, approvals);
        (order.not_before, order.expires) = (self.not_before, self.expires);
        order
    }

    pub(crate) fn verified(&self) -> Result<Verified<Order>, Refusal> {
        verify(&self.order().seal(&KEYS.order), &self.charter, self.now)
    }

    pub(crate) fn now(&self) -> Millis {
        self.now.expect("a case begins with trusted time")
    }

    pub(crate) fn runbook(&mut self) -> &mut Runbook {
        &mut self
            .catalogue
            .entries
            .get_mut(&self.core.runbook)
            .expect("a case's runbook is in its catalogue")
            .runbook
    }
}

fn assertion(approving: &Approving, challenge: Digest) -> Approval {
    let client_data = format!(
        r#"{{"type":"webauthn.get","challenge":"{}","origin":"https://msp.example"}}"#,
        base64url(&challenge.0)
    )
    .into_bytes();
    let mut authenticator_data = Digest::of(b"msp.example").to_vec();
    authenticator_data.extend_from_slice(&[0x05, 0, 0, 0, 1]); // present and verified; signature count 1
    let mut message = authenticator_data.clone();
    message.extend_from_slice(&Digest::of(&client_data).0);
    let signature = KEYS.passkeys[approving.passkey].sign(&message);
    Approval { approver: approving.name.clone(), authenticator_data, client_data, signature }
}

/// RFC 4648 section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, at| word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..=chunk.len() {
            out.push(ALPHABET[(word >> (18 - 6 * at) & 63) as usize].into());
        }
    }
    out
}

fn charter(serial: u64, now: Millis) -> Charter {
    let approver = |(at, key): (usize, &SecretKey)| Approver {
        name: format!("approver-{at}"),
        key: key.public(),
        rp_id: "msp.example".into(),
        origin: "https://msp.example".into(),
    };
    Charter {
        organization: "msp.example".into(),
        serial,
        issued: now.minus(Duration::from_secs(86_400)),
        not_after: now.plus(Duration::from_secs(86_400)),
        order_keys: [KEYS.order.public()].into(),
        log_keys: [SecretKey::ed25519([3; 32]).public()].into(),
        release_keys: Quorum {
            threshold: 2,
            keys: (4..7).map(|n| SecretKey::ed25519([n; 32]).public()).collect(),
        },
        certificate_authorities: Vec::new(),
        witnesses: Vec::new(),
        witness_quorum: None,
        // The last passkey is nobody's.
        approvers: KEYS.passkeys.iter().take(3).enumerate().map(approver).collect(),
    }
}

fn fault_of(kind: WatchKind) -> Fault {
    *Fault::ALL.iter().find(|fault| fault.kind() == kind).expect("every kind can be at fault")
}

fn runbook(id: &RunbookId, risk: Risk, kinds: &[WatchKind], cooldown_seconds: u64, per_hour: u32) -> Runbook {
    let name = |at: usize| format!("target_{at}");
    let conditions = |expect| {
        kinds
            .iter()
            .enumerate()
            .map(|(at, kind)| Condition { fault: fault_of(*kind), on: name(at), expect })
            .collect()
    };
    Runbook {
        id: id.clone(),
        title: "Generated".into(),
        version: 1,
        why: "To be refused.".into(),
        hipaa: vec!["45 CFR 164.312(b)".into()],
        risk,
        disruptive: Some(true),
        triggers: vec![fault_of(kinds[0])],
        parameters: kinds.iter().enumerate().map(|(at, kind)| (name(at), *kind)).collect(),
        precondition: conditions(Expect::Present),
        steps: vec![match kinds[0] {
            WatchKind::Directory => Action::FilesPrune.on(&name(0)),
            _ => Action::ResticBackup.on(&name(0)),
        }],
        verification: conditions(Expect::Gone),
        on_failure: OnFailure::Escalate,
        cooldown_seconds,
        limits: Limits { per_hour },
        timeout_seconds: 60,
        evidence: vec![Collect::Readings],
        undo: "Nothing.".into(),
    }
}

fn kinds() -> impl Strategy<Value = Vec<WatchKind>> {
    let first = prop::sample::select(vec![WatchKind::Directory, WatchKind::Backup]);
    let more = prop::collection::vec(prop::sample::select(WatchKind::ALL.to_vec()), 0..3);
    (first, more).prop_map(|(first, more)| [vec![first], more].concat())
}

fn windows() -> impl Strategy<Value = Windows> {
    let zones = vec!["UTC", "America/Chicago", "Asia/Kathmandu"];
    let whole_week = prop::sample::select(zones).prop_map(|zone| Window {
        zone: zone.into(),
        days: Day::ALL.iter().copied().collect(),
        opens: "00:00".parse().expect("a time of day"),
        closes: "00:00".parse().expect("a time of day"),
    });
    prop::collection::vec(whole_week, 0..3).prop_map(|open| {
        open.into_iter().fold(Windows::always(), |all, window| all.and(&Windows::any_of([window])))
    })
}

/// Every day, from so many minutes after this one until so many after it.
pub(crate) fn hours(now: Millis, opens: i64, closes: i64) -> ClinicHours {
    let minute = |from_now: i64| Millis(now.0 + from_now * 60_000).to_string()[11..16].to_owned();
    let text = format!("daily {}-{} UTC", minute(opens), minute(closes));
    ClinicHours::during([text.parse().expect("a window")])
}

#[derive(Debug, Clone)]
struct Times {
    now: i64,
    begins_in: i64,
    expires: i64,
    issued: i64,
}

fn times() -> impl Strategy<Value = Times> {
    (1_600_000_000_000..2_000_000_000_000i64, -890_000..=30_000i64, 0..=1000i64, 0..=1000i64).prop_map(
        |(now, begins_in, late, issued)| {
            let begins = now + begins_in;
            let (earliest, latest) = (now.max(begins) + 1, begins + 900_000);
            let expires = earliest + (latest - earliest) * late / 1000;
            let last = (expires - 1).min(now + 30_000);
            Times { now, begins_in, expires, issued: begins + (last - begins) * issued / 1000 }
        },
    )
}

/// Cases in which every guardrail passes.
pub(crate) fn valid() -> impl Strategy<Value = Case> {
    let counters = (0..u64::MAX - 2 * SEQUENCE_WINDOW, 1..=SEQUENCE_WINDOW, 1..1_000_000u64, 0..1_000_000u64);
    let kind = (prop::sample::select(Risk::ALL.to_vec()), any::<bool>(), kinds(), 0..=4usize);
    let rates = (1..=7200u64, 0..=7200u64, 1..=50u32, 1..=50u32, 1..=5u32, any::<[bool; 8]>());
    (times(), counters, kind, rates, windows(), any::<[u8; 10]>()).prop_map(
        |(
            times,
            (high, step, charter_serial, policy_serial),
            (risk, ask, kinds, more),
            rates,
            windows,
            random,
        )| {
            let (cooldown, policy_cooldown, limit, done, breaker_after, coin) = rates;
            let now = Millis(times.now);
            let day = Duration::from_secs(86_400);
            let id: RunbookId = "RB-CASE-001".parse().expect("a runbook's name");
            let other: RunbookId = "RB-OTHER-001".parse().expect("a runbook's name");
            let disruptive = random[1].is_multiple_of(2);
            let payload = Catalogue::build(
                3,
                now.minus(day),
                now.plus(day),
                vec![
                    Runbook { disruptive: Some(disruptive), ..runbook(&id, risk, &kinds, cooldown, limit) },
                    runbook(&other, Risk::Low, &[WatchKind::Directory], 0, 1),
                ],
            )
            .expect("generated runbooks are sound");
            let catalogue = Catalogue::parse(&payload).expect("what was built can be read");

            let (tenant, site) = (TenantId::new(now, random), SiteId::new(now, random));
            let mut policy = Policy::for_tenant(policy_serial, tenant);
            policy.tenant = coin[0].then_some(tenant);
            policy.allow = coin[1].then(|| [id.clone(), other.clone()].into());
            if coin[2] {
                policy.sites.insert(site, [id.clone()].into());
            }
            policy.freeze_until = coin[3].then_some(now);
            policy.windows = windows;
            // Two hours in which nobody works, or a runbook that nobody notices.
            if coin[7] {
                policy.clinic_hours = if disruptive { hours(now, 60, -60) } else { hours(now, 0, 0) };
            }
            if ask {
                policy.modes.insert(risk, Mode::Approval);
            }
            policy.cooldown_at_least_seconds = policy_cooldown;
            (policy.per_appliance_hour, policy.per_tenant_hour) = (limit + 1, limit + 2);
            (policy.breaker_after, policy.breaker_reset_seconds) = (breaker_after, 600);

            let needed = match (risk, ask) {
                (Risk::Destructive, _) => 2,
                (Risk::High, _) | (_, true) => 1,
                _ => 0,
            };
            let people = (needed + more).min(3);
            let approving = (0..people)
                .map(|at| Approving { name: format!("approver-{at}"), passkey: at, over: None })
                .collect();

            let watch_of = |at: usize| -> WatchId { format!("watch-{at}").parse().expect("a slug") };
            let mut watch: BTreeMap<_, _> =
                kinds.iter().enumerate().map(|(at, kind)| (watch_of(at), *kind)).collect();
            watch.insert("unused".parse().expect("a slug"), WatchKind::Log);

            let done = done.min(limit) - 1;
            let broken = coin[5];
            let history = History {
                since_last: coin[4].then(|| Duration::from_secs(cooldown.max(policy_cooldown))),
                runbook_hour: done,
                appliance_hour: done,
                tenant_hour: done,
                failures_in_a_row: if broken { breaker_after } else { breaker_after - 1 },
                since_last_failure: broken.then(|| Duration::from_secs(600)),
                since_ineffective: coin[6].then_some(runbooks::guardrails::NOT_REPEATED_FOR),
            };
            let incarnation = Incarnation([random[0]; 16]);
            let appliance = ApplianceId::new(now, random);
            let core = Core {
                id: OrderId::new(now, random),
                organization: "msp.example".into(),
                tenant,
                site,
                appliance,
                incarnation,
                incident: IncidentId::new(now, random),
                runbook_digest: catalogue.entries[&id].digest,
                runbook: id,
                parameters: (0..kinds.len()).map(|at| (format!("target_{at}"), watch_of(at))).collect(),
                approve_until: (people > 0).then(|| now.plus(Duration::from_millis(1))),
            };
            Case {
                identity: Identity { organization: "msp.example".into(), tenant, appliance },
                incarnation,
                charter: charter(charter_serial, now),
                catalogue,
                policy,
                policy_serial,
                watch,
                now: Some(now),
                wall: Some(now),
                order_high: high,
                taken_before: false,
                history,
                hold: None,
                core,
                issuance: Issuance {
                    charter_serial,
                    policy_serial,
                    sequence: high + step,
                    issued: Millis(times.issued),
                    lifetime: Duration::ZERO,
                },
                not_before: Millis(times.now + times.begins_in),
                expires: Millis(times.expires),
                approving,
            }
        },
    )
}
