//! Scans for tests: a clinic with drift, exceptions, a control that nobody can look at, and a box that signs no scan.

use std::collections::BTreeMap;

use baseline::{Baseline, Exception};
use proto::{
    digest::Digest,
    document::Kind,
    evidence::{Body, ControlFinding, ControlName, DocumentTaken, Scan, Seen, Standing, Token},
};

use super::tenant::{HOUR, Tenant, at};

/// How some controls stand; all others are as they must be.
pub type Odd<'a> = &'a [(&'a str, Standing)];

pub fn name(control: &str) -> ControlName {
    control.to_owned().try_into().unwrap()
}

pub fn token(word: &str) -> Token {
    word.to_owned().try_into().unwrap()
}

/// An exception that holds all of November.
pub fn exception(control: &str) -> Exception {
    Exception {
        control: control.parse().unwrap(),
        reason: "The imaging workstation speaks nothing but *plain* TCP.".into(),
        risk: "A host in the imaging network can talk to one socket of the box.".into(),
        compensating: "The socket is bound to one VLAN; the switch's rule is reviewed monthly.".into(),
        approver: "Security official of the clinic".into(),
        issued: at("2026-11-01T00:00:00Z"),
        expires: at("2027-05-01T00:00:00Z"),
    }
}

/// What a box would find of the shipped baseline.
pub fn scan(odd: Odd<'_>, exception: Option<Digest>) -> Scan {
    let baseline = Baseline::hipaa_v1();
    let finding = |control: &str| {
        let standing = odd
            .iter()
            .find(|(name, _)| *name == control)
            .map_or(Standing::Compliant, |(_, standing)| *standing);
        let blind = standing == Standing::NotEvaluable;
        let seen = (token("value"), Seen::Word(token("inactive")));
        ControlFinding {
            standing,
            reading: if blind { BTreeMap::new() } else { [seen].into() },
            blind: blind.then(|| token("no-program")),
            exception: exception.filter(|_| standing == Standing::Excepted),
        }
    };
    let findings = baseline.controls.iter().map(|control| control.id.to_string());
    Scan {
        baseline: baseline.digest(),
        watch: [].into(),
        readings: [].into(),
        findings: findings.map(|control| (name(&control), finding(&control))).collect(),
    }
}

impl Tenant {
    pub fn scan(&mut self, n: usize, odd: Odd<'_>, exception: Option<Digest>) {
        self.log(n, Body::Scan(scan(odd, exception)));
    }

    /// The clinic decides on an exception, and a box takes it.
    pub fn except(&mut self, n: usize, exception: &Exception) -> Digest {
        let content = exception.digest();
        self.exceptions.push(exception.canonical());
        let taken = DocumentTaken {
            what: Kind::Exception,
            name: exception.control.to_string(),
            serial: 1,
            core: Digest::of(b"core"),
            content,
            is_withdrawal: false,
            approvers: vec!["dr.rivera".into()],
        };
        self.log(n, Body::Document(taken));
        content
    }

    /// Three boxes for ten days: the first drifts in two controls, is mended in one, and cannot look at a third; the second is
    /// excepted from one; the third signs no scan.
    pub fn scanned(seed: u8) -> Self {
        use Standing::{Drifted, Excepted, NotEvaluable};
        let mut tenant = Self::new(seed, at("2026-11-02T06:00:00Z"));
        tenant.every = 24 * HOUR;
        let (a, b, c) = (tenant.enrol(false), tenant.enrol(true), tenant.enrol(false));
        let waived = tenant.except(b, &exception("NXH-028"));
        for day in 0..10 {
            tenant.wait(24 * HOUR);
            for n in [a, b, c] {
                tenant.heartbeat(n);
            }
            let odd: Odd<'_> = match day {
                0 | 1 => &[("NXH-012", NotEvaluable)],
                2..=4 => &[("NXH-007", Drifted), ("NXH-009", Drifted), ("NXH-012", NotEvaluable)],
                _ => &[("NXH-007", Drifted), ("NXH-012", NotEvaluable)],
            };
            tenant.scan(a, odd, None);
            tenant.scan(b, &[("NXH-028", Excepted)], Some(waived));
        }
        tenant.wait(HOUR);
        tenant
    }
}
