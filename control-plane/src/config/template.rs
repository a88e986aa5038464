//! The file that `init` writes.

use proto::order::ORDER_LIFETIME_MAX;

use super::{
    APPROVAL_MINUTES, APPROVAL_MINUTES_MAX, APPROVAL_MINUTES_MIN, EVENTS_PER_HOUR, EVENTS_PER_HOUR_MAX,
    EVENTS_PER_HOUR_MIN, LIFETIME_SECONDS, LIFETIME_SECONDS_MIN,
};

/// The text of a new configuration file: every key with its meaning and default.
#[must_use]
pub fn template(
    organization: &str,
    address: &str,
    appliances: &str,
    people: &str,
    webhook: Option<&str>,
) -> String {
    let text = |value: &str| toml::Value::from(value).to_string();
    format!(
        r#"# Settings of this control plane. `control-plane serve --check-config` says whether they are right.
# Changes take effect when the server is started again.

# Trust domain: who you are. The charter says the same; it cannot be changed here alone.
organization = {organization}
{mode}
[listen]
# Appliances, by mutual TLS. Port 8443 must be reachable from the clinics.
appliances = {appliances}
# People: gRPC-web and HTTP over TLS, with API tokens (50 calls a second each, 200 at once). As long as it is a loopback address, only from this machine.
# Monitoring reads /metrics here (OpenMetrics; `control-plane operator token --role auditor` makes its token), load balancers /healthz.
people = {people}
# What appliances are told to connect to. It is written into enrolment tickets.
address = {address}
# More host names and IP addresses that the server's certificate is to be good for.
names = []

{escalation}
[orders]
# How long an order may be begun after it was signed: {LIFETIME_SECONDS_MIN} to {lifetime_max}.
lifetime_seconds = {LIFETIME_SECONDS}
# How long approvers may agree to an order that policy wants them asked about, in minutes: {APPROVAL_MINUTES_MIN} to {APPROVAL_MINUTES_MAX}.
# When nobody does, they are asked once more; then the incident is escalated.
approval_minutes = {APPROVAL_MINUTES}

[limits]
# The most events of one appliance that are kept, an hour (five times as many a day): {EVENTS_PER_HOUR_MIN} to {EVENTS_PER_HOUR_MAX}.
# What is over is counted, and a person is told. Evidence has no such limit.
events_per_hour = {EVENTS_PER_HOUR}
{vault}{mail}{brand}{sign_in}{oidc}{planner}{order_key}{certificate}{traces}
# Outside witnesses (C2SP tlog-witness), each run by somebody else: they cosign the logs, so that nobody can show two. The
# charter names their keys (`control-plane charter renew --witness VKEY`); here is where they are reached. One block each.
# [[witness]]
# name = "witness.example/w1"
# url = "https://witness.example/"

# A timestamp authority (RFC 3161): asked once a day for each log that has grown, about its newest checkpoint.
# [timestamps]
# url = "https://tsa.example/"
# Its certificate, or the one that signed it, PEM: answers under no other count.
# authority = "/etc/orderly/tsa.pem"
"#,
        organization = text(organization),
        appliances = text(appliances),
        people = text(people),
        address = text(address),
        escalation = super::escalation::template(webhook),
        vault = super::vault::template(),
        mail = super::mail::TEMPLATE,
        mode = super::running::MODE,
        brand = super::running::TEMPLATE,
        sign_in = super::people::TEMPLATE,
        oidc = super::oidc::TEMPLATE,
        order_key = super::order_key::TEMPLATE,
        certificate = super::certificate::TEMPLATE,
        traces = super::traces::TEMPLATE,
        planner = super::planner::TEMPLATE,
        lifetime_max = ORDER_LIFETIME_MAX.as_secs(),
    )
}
