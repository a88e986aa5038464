//! Readings made from expectations: one that meets them, and for each field one that does not.

use baseline::{Control, Kind, Predicate, Reading, ReadingValue, Word};

pub fn word(text: &str) -> Word {
    text.parse().expect("a word")
}

/// A reading that is exactly as expected.
pub fn as_expected(control: &Control) -> Reading {
    control.expect.0.iter().map(|(field, predicate)| (field.clone(), meets(predicate))).collect()
}

/// The readings that differ from [`as_expected`] in one field, which is as it must not be.
pub fn drifted(control: &Control) -> Vec<(String, Reading)> {
    let change = |(field, predicate): (&String, &Predicate)| {
        let mut reading = as_expected(control);
        reading.insert(field.clone(), breaks(predicate, kind(control, field)));
        (field.clone(), reading)
    };
    control.expect.0.iter().map(change).collect()
}

pub fn kind(control: &Control, field: &str) -> Kind {
    control.probe.fields().iter().find(|(name, _)| *name == field).expect("the field is declared").1
}

fn meets(predicate: &Predicate) -> ReadingValue {
    match predicate {
        Predicate::Equals(value) => value.clone(),
        Predicate::OneOf(values) => values.first().expect("not empty").clone(),
        Predicate::AtLeast(number) | Predicate::AtMost(number) | Predicate::Between(number, _) => {
            (*number).into()
        }
        Predicate::Includes(words) | Predicate::Within(words) => ReadingValue::Words(words.clone()),
        Predicate::Excludes(_) => ReadingValue::Words([].into()),
        Predicate::ModeWithin(mode) => mode.clone().into(),
    }
}

fn breaks(predicate: &Predicate, kind: Kind) -> ReadingValue {
    let other = || word("other");
    match (predicate, kind) {
        (Predicate::Equals(ReadingValue::Flag(flag)), _) => (!flag).into(),
        (Predicate::Equals(ReadingValue::Number(number)), _) => (number + 1).into(),
        (Predicate::OneOf(values), Kind::Number) => {
            let most = values.last().expect("not empty");
            let ReadingValue::Number(most) = most else { panic!("{most} is no number") };
            (most + 1).into()
        }
        (Predicate::AtLeast(number) | Predicate::Between(number, _), _) => (number - 1).into(),
        (Predicate::AtMost(number), _) => (number + 1).into(),
        (Predicate::Includes(words), _) => words.iter().skip(1).cloned().collect(),
        (Predicate::Excludes(words), _) => ReadingValue::Words(words.clone()),
        (Predicate::Within(words), _) => words.iter().cloned().chain([other()]).collect(),
        (Predicate::ModeWithin(_), _) => word("0777").into(),
        (Predicate::Equals(_) | Predicate::OneOf(_), Kind::Words(_)) => [other()].into_iter().collect(),
        (Predicate::Equals(_) | Predicate::OneOf(_), _) => other().into(),
    }
}
