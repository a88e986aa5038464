//! Properties of units, all in one question to the manager.

use std::collections::{BTreeMap, BTreeSet};

use baseline::{
    Blind, Kind, Looked, Probe, Reading, Word,
    probe::{Property, UnitName},
};

use super::{Look, count, looked, read};

/// Answers every probe of a unit.
pub(super) fn look(look: &Look<'_>, probes: &[&Probe], seen: &mut BTreeMap<Probe, Looked>) {
    let asked = || {
        probes.iter().filter_map(|probe| match probe {
            Probe::Unit { name, property } => Some((*probe, name, *property)),
            _ => None,
        })
    };
    let units: BTreeSet<&UnitName> = asked().map(|(_, name, _)| name).collect();
    if units.is_empty() {
        return;
    }
    let names: BTreeSet<&str> = asked().map(|(_, _, property)| property.as_str()).collect();
    let wanted = names.into_iter().fold("--property=LoadState".to_owned(), |all, name| all + "," + name);
    let mut args = vec!["show", wanted.as_str(), "--"];
    args.extend(units.iter().map(|unit| unit.as_str()));
    let blocks = read::program(look, &look.programs.systemctl, &args).and_then(|text| {
        let blocks: Vec<Block> = text.trim_end().split("\n\n").map(block).collect();
        // In the order of the question: a name may be another unit's alias, so no name is trusted.
        if blocks.len() == units.len() { Ok(blocks) } else { Err(Blind::Unreadable) }
    });
    for (probe, name, property) in asked() {
        let found = match (&blocks, units.iter().position(|unit| *unit == name)) {
            (Ok(blocks), Some(at)) => value(&blocks[at], property, probe),
            (Ok(_), None) => Err(Blind::Unreadable),
            (Err(blind), _) => Err(*blind),
        };
        seen.insert(probe.clone(), looked(found));
    }
}

type Block = BTreeMap<String, String>;

fn block(text: &str) -> Block {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn value(block: &Block, property: Property, probe: &Probe) -> Result<Reading, Blind> {
    let loaded = block.get("LoadState").ok_or(Blind::Unreadable)? == "loaded";
    let mut reading = super::reading([("loaded", loaded.into())]);
    if !loaded {
        if property == Property::ActiveState {
            // A unit that is masked or gone may still run.
            let state = block.get(property.as_str()).map_or("inactive", String::as_str);
            reading.insert("value".into(), word(probe, state).into());
        }
        return Ok(reading);
    }
    let text = block.get(property.as_str()).ok_or(Blind::Unreadable)?;
    let value = match probe.fields().iter().find(|(name, _)| *name == "value").map(|(_, kind)| *kind) {
        Some(Kind::Flag) => match text.as_str() {
            "yes" => true.into(),
            "no" => false.into(),
            _ => return Err(Blind::Unreadable),
        },
        Some(Kind::Number) => count(text.split_whitespace().count()),
        _ => word(probe, text).into(),
    };
    reading.insert("value".into(), value);
    Ok(reading)
}

fn word(probe: &Probe, text: &str) -> Word {
    match probe.fields().iter().find(|(name, _)| *name == "value") {
        Some((_, Kind::Word(known))) => Word::of(text, known),
        _ => Word::of(text, &[]),
    }
}
