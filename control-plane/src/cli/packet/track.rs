//! Packets that the server made by itself: what became of each.

use proto::pb::{
    ListPackets, MailView, PacketView, ReviewPacket, ReviewView, SendPacket, packets_client::PacketsClient,
};
use serde_json::{Value, json};

use super::Packet;
use crate::cli::{
    Global,
    connection::{ANSWER_MAX, answer, connect},
    output::{Answer, optional, table, time, when},
};

pub(super) const LIST: &str = "\
On the first of the month, in the morning by the clinic's own clock (that of its hours), the packet of the month before is made
and sent to its recipients. One line a recipient: waiting, sent, or refused and why; a packet that nobody acknowledged within 30
days is overdue.";

pub(super) const REVIEW: &str = "\
For who acknowledged it on paper, or has no mail. It is signed into the clinic's log, and the next packet says who it was.
Remarks stay on the packet's own page, to be signed: nothing can be taken out of that log.

Example:
  control-plane packet review \"Elm Street Clinic\" 2026-11 --by \"Ann Example\" --role \"Security official\"";

pub(super) async fn run(packet: Packet, global: &Global) -> anyhow::Result<Answer> {
    let mut client = PacketsClient::new(connect(global).await?).max_decoding_message_size(ANSWER_MAX);
    match packet {
        Packet::List { tenant, limit } => {
            let list = answer(client.list(ListPackets { tenant, limit })).await?;
            let rows = list.packets.iter().flat_map(|packet| rows(packet, list.mails));
            let json =
                json!({ "packets": list.packets.iter().map(view).collect::<Vec<_>>(), "mails": list.mails });
            Ok(Answer::new(table(["TENANT", "MONTH", "MADE", "TO", "DELIVERY", "ACKNOWLEDGED"], rows), json))
        }
        Packet::Send { tenant, month } => {
            let packet = answer(client.send(SendPacket { tenant, month })).await?;
            Ok(shown(&packet))
        }
        Packet::Review { tenant, month, by, role } => {
            let packet = answer(client.review(ReviewPacket { tenant, month, name: by, role })).await?;
            Ok(shown(&packet))
        }
        Packet::Build { .. } => unreachable!("it makes files"),
    }
}

fn shown(packet: &PacketView) -> Answer {
    let rows = rows(packet, true);
    let text = table(["TENANT", "MONTH", "MADE", "TO", "DELIVERY", "ACKNOWLEDGED"], rows);
    Answer::new(text, view(packet))
}

/// A line a mail; a packet that was sent to nobody has one, too.
fn rows(packet: &PacketView, mails: bool) -> Vec<[String; 6]> {
    let names: Vec<String> = packet.reviews.iter().map(|one| format!("{}, {}", one.name, one.role)).collect();
    let acknowledged = match (names.is_empty(), packet.overdue) {
        (false, _) => names.join("; "),
        (true, true) => "OVERDUE".to_owned(),
        (true, false) => "not yet".to_owned(),
    };
    let line = |to: String, delivery: String| {
        [
            packet.tenant.clone(),
            packet.month.clone(),
            when(packet.made_ms),
            to,
            delivery,
            acknowledged.clone(),
        ]
    };
    if packet.mails.is_empty() {
        let why = if mails { "not delivered: no recipients then" } else { "not delivered: no [mail]" };
        return vec![line("-".into(), why.into())];
    }
    packet.mails.iter().map(|mail| line(mail.address.clone(), delivery(mail))).collect()
}

fn delivery(mail: &MailView) -> String {
    match mail.state.as_str() {
        "sent" => format!("sent {}", when(mail.changed_ms)),
        "refused" => format!("REFUSED: {}", mail.last_error),
        _ if mail.attempts == 0 => "waiting".to_owned(),
        _ => format!("waiting, after {} failed tries, the last: {}", mail.attempts, mail.last_error),
    }
}

fn view(packet: &PacketView) -> Value {
    let mail = |mail: &MailView| {
        json!({
            "address": mail.address,
            "state": mail.state,
            "attempts": mail.attempts,
            "changed": time(mail.changed_ms),
            "last_error": optional(&mail.last_error),
        })
    };
    let review = |one: &ReviewView| json!({ "name": one.name, "role": one.role, "at": time(one.at_ms), "through": one.through });
    json!({
        "tenant": packet.tenant,
        "month": packet.month,
        "sha256": packet.sha256,
        "made": time(packet.made_ms),
        "mails": packet.mails.iter().map(mail).collect::<Vec<_>>(),
        "reviews": packet.reviews.iter().map(review).collect::<Vec<_>>(),
        "overdue": packet.overdue,
    })
}
