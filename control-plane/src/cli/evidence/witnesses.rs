//! `control-plane evidence witnesses`: how a clinic's log stands with the outside witnesses of the charter.

use proto::pb;
use serde_json::{Value, json};

use crate::cli::output::{Answer, optional, table, time, when};

pub(super) fn shown(list: &pb::WitnessList) -> Answer {
    let rows = list.witnesses.iter().map(|witness| {
        let size = if witness.size == 0 { "none".to_owned() } else { witness.size.to_string() };
        [witness.name.clone(), size, when(witness.cosigned_ms), standing(witness, list.size)]
    });
    let mut text = table(["WITNESS", "COSIGNED", "WHEN", "STANDING"], rows);
    text.push_str(&format!("\n{} in the log. Verifier keys of the log, for `witness trust`:\n", list.size));
    list.log_keys.iter().for_each(|key| text.push_str(&format!("  {key}\n")));
    if let Some(stamps) = &list.timestamps {
        text.push_str(&format!("\n{}", stamped(stamps)));
    }
    let json = json!({
        "witnesses": list.witnesses.iter().map(|witness| view(witness, list.size)).collect::<Vec<_>>(),
        "size": list.size,
        "log_keys": list.log_keys,
        "timestamps": list.timestamps.as_ref().map(|stamps| json!({
            "url": optional(&stamps.url),
            "count": stamps.count,
            "size": stamps.size,
            "stamped": time(stamps.stamped_ms),
            "trouble": optional(&stamps.trouble),
            "trouble_since": time(stamps.trouble_ms),
        })),
    });
    Answer::new(text, json)
}

fn stamped(stamps: &pb::TimestampView) -> String {
    let newest = match stamps.count {
        0 => "none".to_owned(),
        n => format!("{n}, the newest of {} records, {}", stamps.size, when(stamps.stamped_ms)),
    };
    let standing = match (stamps.url.is_empty(), stamps.trouble.is_empty()) {
        (true, _) => "not asked for: config.toml has no [timestamps]".to_owned(),
        (false, true) => "asked for once a day".to_owned(),
        (false, false) => format!("since {}: {}", when(stamps.trouble_ms), stamps.trouble),
    };
    format!("Timestamps (RFC 3161): {newest}; {standing}")
}

fn standing(witness: &pb::WitnessView, size: u64) -> String {
    if witness.url.is_empty() {
        "not asked: config.toml has no [[witness]] of that name".to_owned()
    } else if !witness.trouble.is_empty() {
        format!("since {}: {}", when(witness.trouble_ms), witness.trouble)
    } else if witness.size == size {
        "up to date".to_owned()
    } else {
        "about to be asked".to_owned()
    }
}

fn view(witness: &pb::WitnessView, size: u64) -> Value {
    json!({
        "name": witness.name,
        "vkey": witness.key,
        "url": optional(&witness.url),
        "size": witness.size,
        "cosigned": time(witness.cosigned_ms),
        "behind": size.saturating_sub(witness.size),
        "trouble": optional(&witness.trouble),
        "trouble_since": time(witness.trouble_ms),
    })
}
