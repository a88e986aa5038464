//! The clock, as chrony keeps it: both reports in one question.

use std::collections::BTreeMap;

use baseline::{Blind, Looked, Probe, Reading, Word, probe::CHRONY_LEAP};

use super::{Look, count, looked, read, reading};

/// Answers every probe of the clock.
pub(super) fn look(look: &Look<'_>, probes: &[&Probe], seen: &mut BTreeMap<Probe, Looked>) {
    let Some(probe) = probes.iter().find(|probe| matches!(probe, Probe::Chrony {})) else { return };
    let said = read::program(look, &look.programs.chronyc, &["-n", "-c", "-m", "tracking", "sources"]);
    seen.insert((*probe).clone(), looked(said.and_then(|text| parse(&text))));
}

/// chronyc(1), in columns: the line of `tracking` has 14; those of `sources` begin with the kind of source, its state
/// second: `*` followed, `+` agrees, `-` answers but is left out.
fn parse(text: &str) -> Result<Reading, Blind> {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.trim().split(',').collect()).collect();
    let tracking = lines.iter().find(|columns| columns.len() >= 14).ok_or(Blind::Unreadable)?;
    let [_, _, stratum, _, offset, .., leap] = &tracking[..] else { return Err(Blind::Unreadable) };
    let stratum: i64 = stratum.parse().map_err(|_| Blind::Unreadable)?;
    let offset: f64 = offset.parse().map_err(|_| Blind::Unreadable)?;
    if !offset.is_finite() {
        return Err(Blind::Unreadable);
    }
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds; it saturates")]
    let offset_ms = (offset.abs() * 1e3).ceil() as i64;
    let leap = leap.to_ascii_lowercase().replace(' ', "-");
    let source = |columns: &&Vec<&str>| matches!(columns[..], ["^" | "=" | "#", state, ..] if ["*", "+", "-"].contains(&state));
    Ok(reading([
        ("leap", Word::of(&leap, CHRONY_LEAP).into()),
        ("offset_ms", offset_ms.into()),
        ("sources", count(lines.iter().filter(source).count())),
        ("stratum", stratum.into()),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_reports_of_chronyc() {
        let text = "7F000001,127.0.0.1,9,1700000000.123,-0.001500,0.0000012,0.00002,1.2,0.001,0.02,0.0003,0.0002,16.1,Normal\n\
                    ^,*,127.0.0.1,8,6,377,22,-0.000001,-0.000001,0.0001\n\
                    ^,+,127.0.0.2,8,6,377,22,-0.000001,-0.000001,0.0001\n\
                    ^,?,127.0.0.3,0,6,0,4294967295,0.0,0.0,0.0\n";
        let json = serde_json::to_string(&parse(text).unwrap()).unwrap();
        assert_eq!(json, r#"{"leap":"normal","offset_ms":2,"sources":2,"stratum":9}"#);
        let lost = "00000000,,0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised\n";
        let lost = serde_json::to_string(&parse(lost).unwrap()).unwrap();
        assert_eq!(lost, r#"{"leap":"not-synchronised","offset_ms":0,"sources":0,"stratum":0}"#);
        assert_eq!(parse("506 Cannot talk to daemon\n"), Err(Blind::Unreadable));
    }
}
