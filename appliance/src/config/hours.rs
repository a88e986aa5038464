//! Clinic hours in a configuration: a list of texts such as `"monday-friday 08:00-18:00 America/Chicago"`.

use proto::field::BadField;
use runbooks::{ClinicHours, Window};
use serde::{Deserialize as _, Deserializer, de::Error as _};

/// Reads them. What cannot be told is refused here, where somebody can still put it right.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ClinicHours, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let read = |(at, text): (usize, &String)| {
        let wrong = |bad: BadField| D::Error::custom(format!("clinic_hours[{at}] = {text:?}: {bad}"));
        Window::typed(text).map_err(wrong)
    };
    texts.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>().map(ClinicHours::during)
}
