//! A whole month of a clinic: scans, drift, an exception, faults, a silence, an update. What a packet has to tell of.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use baseline::{Baseline, Exception};
use proto::{
    act::{self, Act, Actor, Place},
    approval::Approval,
    digest::Digest,
    document::{Core, Document, Kind},
    evidence::{Body, ControlFinding, DocumentTaken, Scan, Seen, Standing, Verdict},
    ids::IncidentId,
    keys::SecretKey,
};

use super::{BACKED_UP, Deed, HOUR, ORGANIZATION, PRUNED, RESTORED, Tenant, at};

/// The control that the clinic waives.
pub const WAIVED: &str = "NXH-045";

impl Tenant {
    /// From October 20 until the moment after November 2026, two boxes.
    pub fn november(seed: u8) -> Self {
        let mut tenant = Self::new(seed, at("2026-10-20T06:00:00Z"));
        tenant.every = 6 * HOUR;
        let (a, b) = (tenant.enrol(false), tenant.enrol(true));
        let begin = at("2026-11-01T00:00:00Z");
        let mut waived = None;
        while tenant.now < at("2026-12-01T00:00:00Z") {
            // Day of the month; 0 before it.
            let day = tenant.now.since(begin).as_secs() / 86_400 + u64::from(tenant.now >= begin);
            for quarter in 0..4 {
                tenant.wait(6 * HOUR);
                for n in [a, b] {
                    // The front desk was switched off over a weekend's day and a half.
                    if n != a || day != 14 && !(day == 15 && quarter < 2) {
                        tenant.heartbeat(n);
                    }
                }
            }
            match day {
                2 | 9 | 16 | 23 => tenant.execute(a, &PRUNED),
                4 | 11 | 18 | 25 => tenant.execute(b, &BACKED_UP),
                6 => tenant.execute(b, &RESTORED),
                12 => waived = Some(tenant.waive(&[a, b])),
                17 => tenant.refuse(a, "2 binding", "order is for another appliance; one for this is right"),
                19 => tenant.version = "0.2.0".into(),
                21 => tenant.execute(a, &Deed { verdict: Verdict::Failed, output: None, ..PRUNED }),
                22 => {
                    let until = tenant.now.plus(90 * 24 * HOUR);
                    let access = tenant.log_act(None, act::Deed::Access { name: "bob".into(), until });
                    let ended = act::Deed::Incident {
                        id: IncidentId::new(tenant.now, [9; 10]),
                        appliance: tenant.boxes[b].id,
                        fault: "service.unreachable".into(),
                        watch: Some("portal".parse().unwrap()),
                        opened: tenant.now.minus(3 * HOUR),
                        end: act::End::Escalated,
                    };
                    let ended = tenant.log_act(Some(access), ended);
                    let document = Digest::of(b"agreement");
                    let signed = at("2026-10-05T00:00:00Z");
                    let agreed =
                        tenant.log_act(Some(ended), act::Deed::Agreement { signed, until: None, document });
                    let kept = [("bob".to_owned(), until)].into();
                    let ended = ["carol".to_owned()].into();
                    tenant.log_act(Some(agreed), act::Deed::AccessReview { kept, ended });
                }
                28 => tenant.hold(a, true),
                29 => tenant.hold(a, false),
                _ => {}
            }
            for n in [a, b] {
                let mut stands: Vec<(&str, Standing)> = Vec::new();
                if n == a && (7..10).contains(&day) {
                    stands.push(("NXH-021", Standing::Drifted));
                }
                if n == b && day >= 20 {
                    stands.push(("NXH-037", Standing::Drifted));
                }
                if n == b && day == 5 {
                    stands.push(("NXH-043", Standing::NotEvaluable));
                }
                if day >= 10 {
                    stands.push((WAIVED, waived.map_or(Standing::Drifted, |_| Standing::Excepted)));
                }
                tenant.scan_all(n, &stands, waived);
            }
        }
        tenant.wait(10 * Duration::from_secs(60));
        tenant
    }

    /// An act of the control plane, signed and not logged.
    pub fn act(&self, index: u64, previous: Digest, deed: act::Deed) -> Act {
        Act {
            chain: Place { index, previous },
            organization: ORGANIZATION.into(),
            tenant: self.tenant,
            at: self.now,
            charter_serial: 1,
            by: Actor::Operator("alice".into()),
            deed,
            record: None,
        }
    }

    /// Logs an act of an operator, after `before`; gives its digest.
    pub fn log_act(&mut self, before: Option<(u64, Digest)>, deed: act::Deed) -> (u64, Digest) {
        let (index, previous) = before.map_or((0, Digest::ZERO), |(index, digest)| (index + 1, digest));
        let envelope = self.act(index, previous, deed).seal(&self.order_key).unwrap();
        let digest = Digest::of(&envelope);
        self.evidence.push(envelope);
        (index, digest)
    }

    /// A scan that finds all controls compliant but those.
    pub fn scan_all(&mut self, n: usize, but: &[(&str, Standing)], exception: Option<Digest>) {
        let word = |text: &str| text.to_owned().try_into().unwrap();
        let finding = |name: &str| {
            let standing =
                but.iter().find(|(other, _)| *other == name).map_or(Standing::Compliant, |(_, s)| *s);
            let counted = ["tcp", "udp", "raw", "other", "dhcp_client"];
            let reading = match name {
                "NXH-028" => counted
                    .iter()
                    .map(|what| (word(what), Seen::Number(i64::from(*what == "dhcp_client"))))
                    .collect(),
                _ => BTreeMap::new(),
            };
            ControlFinding {
                standing,
                reading,
                blind: (standing == Standing::NotEvaluable).then(|| word("no-answer")),
                exception: exception.filter(|_| standing == Standing::Excepted),
            }
        };
        let baseline = Baseline::hipaa_v1();
        let findings = baseline.controls.iter().map(|control| {
            let name = control.id.to_string();
            (name.clone().try_into().unwrap(), finding(&name))
        });
        let body = Scan {
            baseline: baseline.digest(),
            watch: [].into(),
            readings: [].into(),
            findings: findings.collect(),
        };
        self.log(n, Body::Scan(body));
    }

    /// The owner waives a control for half a year, and boxes take that.
    pub fn waive(&mut self, boxes: &[usize]) -> Digest {
        self.waive_because(boxes, "A driver of the scanner reads kernel addresses.")
    }

    /// The same for that reason.
    pub fn waive_because(&mut self, boxes: &[usize], reason: &str) -> Digest {
        let exception = Exception {
            control: WAIVED.parse().unwrap(),
            reason: reason.into(),
            risk: "An attack on the kernel finds its way more easily.".into(),
            compensating: "The box has no service that others reach; the scanner is replaced in March."
                .into(),
            approver: "Security official".into(),
            issued: self.now,
            expires: self.now.plus(180 * 24 * HOUR),
        };
        let document = self.approve(1, exception.canonical());
        for &n in boxes {
            self.take(n, &document);
        }
        self.exceptions.push(exception.canonical());
        exception.digest()
    }

    /// A document on that control for the whole clinic, with the owner's approval; no content withdraws.
    pub fn approve(&self, serial: u64, content: Vec<u8>) -> Document {
        let core = Core {
            organization: ORGANIZATION.into(),
            tenant: self.tenant,
            appliance: None,
            incarnation: None,
            kind: Kind::Exception,
            name: WAIVED.into(),
            serial,
            issued: self.now,
            content,
        };
        let bytes = core.encode();
        Document::new(&bytes, 1, vec![assertion(Digest::of(&bytes), &self.passkey)]).unwrap()
    }

    /// A box takes a document.
    pub fn take(&mut self, n: usize, document: &Document) {
        let core = &document.core;
        let taken = DocumentTaken {
            what: core.kind,
            name: core.name.clone(),
            serial: core.serial,
            core: document.core_digest,
            content: Digest::of(&core.content),
            is_withdrawal: core.is_withdrawal(),
            approvers: document.approvals.iter().map(|approval| approval.approver.clone()).collect(),
        };
        self.log(n, Body::Document(taken));
    }
}

/// The owner's passkey over that digest.
fn assertion(challenge: Digest, passkey: &SecretKey) -> Approval {
    let challenge = URL_SAFE_NO_PAD.encode(challenge.0);
    let client_data =
        format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"https://{ORGANIZATION}"}}"#)
            .into_bytes();
    let mut authenticator_data = Digest::of(ORGANIZATION.as_bytes()).to_vec();
    authenticator_data.extend_from_slice(&[0x05, 0, 0, 0, 1]); // present and verified; signature count 1
    let mut message = authenticator_data.clone();
    message.extend_from_slice(&Digest::of(&client_data).0);
    let signature = passkey.sign(&message);
    Approval { approver: "owner".into(), authenticator_data, client_data, signature }
}
