//! `control-plane tenant usage`: what each clinic used in a month, for invoices.

use proto::pb::{AskUsage, TenantUsage, usage_client::UsageClient};
use serde_json::json;

use super::{
    Global,
    connection::{answer, connect},
    output::{Answer, table},
};

const HEADINGS: [&str; 8] =
    ["NAME", "APPLIANCES", "ACTIVE", "ORDERS", "REPAIRED", "INCIDENTS", "ESCALATED", "BYTES"];
const COLUMNS: [&str; 10] = [
    "month",
    "tenant",
    "name",
    "appliances",
    "active",
    "orders",
    "repaired",
    "incidents",
    "escalated",
    "bytes",
];

/// Asks, and shows it as a table or as CSV (RFC 4180).
pub(super) async fn usage(
    global: &Global,
    tenant: String,
    month: String,
    as_csv: bool,
) -> anyhow::Result<Answer> {
    let mut client = UsageClient::new(connect(global).await?);
    let list = answer(client.month(AskUsage { tenant, month: month.clone() })).await?;
    let text = match as_csv {
        true => csv(&month, &list.tenants),
        false => {
            let rows = list.tenants.iter().map(|used| {
                let [a, b, c, d, e, f, g] = numbers(used).map(|number| number.to_string());
                [used.name.clone(), a, b, c, d, e, f, g]
            });
            let more = if list.over { "" } else { "\nThe month is not over: these numbers grow.\n" };
            format!("{}{more}", table(HEADINGS, rows))
        }
    };
    let tenants = list.tenants.iter().map(|used| {
        json!({
            "tenant": used.tenant,
            "name": used.name,
            "appliances": used.appliances,
            "active": used.active,
            "orders": used.orders,
            "repaired": used.repaired,
            "incidents": used.incidents,
            "escalated": used.escalated,
            "evidence": used.evidence,
            "bytes": used.bytes,
        })
    });
    let json = json!({ "month": month, "over": list.over, "tenants": tenants.collect::<Vec<_>>() });
    Ok(Answer::new(text, json))
}

fn numbers(used: &TenantUsage) -> [u64; 7] {
    [
        used.appliances.into(),
        used.active.into(),
        used.orders,
        used.repaired,
        used.incidents,
        used.escalated,
        used.bytes,
    ]
}

fn csv(month: &str, tenants: &[TenantUsage]) -> String {
    let mut text = format!("{}\r\n", COLUMNS.join(","));
    for used in tenants {
        let mut fields = vec![month.to_owned(), used.tenant.clone(), field(&used.name)];
        fields.extend(numbers(used).map(|number| number.to_string()));
        text.push_str(&format!("{}\r\n", fields.join(",")));
    }
    text
}

/// A name is typed by people: it must be one field, and must not be a formula to whoever opens the file in a spreadsheet.
fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    match text.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_field_and_no_formula() {
        for (name, is) in [
            ("Elm Street Clinic", "Elm Street Clinic"),
            ("Elm, Street \"Clinic\"", "\"Elm, Street \"\"Clinic\"\"\""),
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("-1,2", "\"'-1,2\""),
        ] {
            assert_eq!(field(name), is);
        }
        let used =
            TenantUsage { tenant: "t".into(), name: "a,b".into(), orders: 3, bytes: 9, ..Default::default() };
        let csv = csv("2026-11", &[used]);
        assert_eq!(
            csv,
            "month,tenant,name,appliances,active,orders,repaired,incidents,escalated,bytes\r\n\
             2026-11,t,\"a,b\",0,0,3,0,0,0,9\r\n"
        );
    }
}
