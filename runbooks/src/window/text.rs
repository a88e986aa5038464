//! A window as people write it, on the command line and in a box's configuration: `monday-friday 08:00-18:00 America/Chicago`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use proto::field::BadField;

use super::{Day, Window, check_zone};

/// All seven.
const DAILY: &str = "daily";
const EXAMPLE: &str = "monday-friday 08:00-18:00 America/Chicago";

impl FromStr for Window {
    type Err = BadField;
    fn from_str(text: &str) -> Result<Self, BadField> {
        let mut words = text.split_whitespace();
        let (Some(zone), Some(hours)) = (words.next_back(), words.next_back()) else {
            return Err(BadField::new(
                "window",
                format!("must be days, hours and a time zone, such as {EXAMPLE}"),
            ));
        };
        check_zone(zone)?;
        let mut days = BTreeSet::new();
        for word in words.flat_map(|word| word.split(',')) {
            days.extend(named(word)?);
        }
        let (opens, closes) = hours
            .split_once('-')
            .and_then(|(opens, closes)| Some((opens.parse().ok()?, closes.parse().ok()?)))
            .ok_or_else(|| {
                BadField::new("hours", "must be two times of day, 00:00 to 23:59, such as 08:00-18:00")
            })?;
        let window = Self { zone: zone.to_owned(), days, opens, closes };
        window.check()?;
        Ok(window)
    }
}

/// One day, `daily`, or from one to another, over the end of the week if need be.
fn named(word: &str) -> Result<Vec<Day>, BadField> {
    let day = |word: &str| {
        word.parse::<Day>()
            .map_err(|bad| BadField::new("days", format!("{}, {DAILY}, or {EXAMPLE}", bad.problem)))
    };
    if word == DAILY {
        return Ok(Day::ALL.to_vec());
    }
    let Some((first, last)) = word.split_once('-') else { return Ok(vec![day(word)?]) };
    let (first, last) = (day(first)? as usize, day(last)? as usize);
    let days = 1 + (last + Day::ALL.len() - first) % Day::ALL.len();
    Ok(Day::ALL.iter().copied().cycle().skip(first).take(days).collect())
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days.len() == Day::ALL.len() {
            f.write_str(DAILY)?;
        } else {
            let days: Vec<Day> = self.days.iter().copied().collect();
            let runs = days.chunk_by(|a, b| *a as u8 + 1 == *b as u8).map(|run| match run {
                [first, _, .., last] => format!("{first}-{last}"),
                few => few.iter().map(Day::to_string).collect::<Vec<_>>().join(" "),
            });
            f.write_str(&runs.collect::<Vec<_>>().join(" "))?;
        }
        write!(f, " {}-{} {}", self.opens, self.closes, self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for (written, shown) in [
            (EXAMPLE, EXAMPLE),
            ("daily 00:00-00:00 UTC", "daily 00:00-00:00 UTC"),
            ("monday-sunday 00:00-00:00 UTC", "daily 00:00-00:00 UTC"),
            ("saturday 09:00-12:30  Europe/Berlin", "saturday 09:00-12:30 Europe/Berlin"),
            ("monday,wednesday friday 22:00-05:00 UTC", "monday wednesday friday 22:00-05:00 UTC"),
            ("monday-tuesday 08:00-18:00 UTC", "monday tuesday 08:00-18:00 UTC"),
            ("monday,thursday-saturday 08:00-18:00 UTC", "monday thursday-saturday 08:00-18:00 UTC"),
            // Over the end of the week.
            ("friday-monday 08:00-18:00 UTC", "monday friday-sunday 08:00-18:00 UTC"),
            ("sunday-sunday 08:00-18:00 UTC", "sunday 08:00-18:00 UTC"),
        ] {
            let window: Window = written.parse().unwrap();
            assert_eq!(window.to_string(), shown);
            assert_eq!(shown.parse::<Window>().unwrap(), window);
        }
    }

    #[test]
    fn a_complaint_names_what_is_wrong_and_what_is_right() {
        for (written, field, right) in [
            ("", "window", EXAMPLE),
            ("daily", "window", "days, hours and a time zone"),
            ("08:00-18:00 America/Chicago", "days", "at least one"),
            ("mon-fri 08:00-18:00 America/Chicago", "days", "must be one of: monday, tuesday"),
            ("monday- 08:00-18:00 America/Chicago", "days", "must be one of: monday"),
            ("monday, 08:00-18:00 America/Chicago", "days", "daily"),
            ("daily 8-18 America/Chicago", "hours", "08:00-18:00"),
            ("daily 08:00-24:00 America/Chicago", "hours", "00:00 to 23:59"),
            ("daily 08:00 America/Chicago", "hours", "08:00-18:00"),
            ("daily 08:00-18:00", "zone", "America/Chicago"),
            ("monday daily 08:00-18:00", "zone", "America/Chicago"),
            ("daily 08:00-18:00 ../Chicago", "zone", "America/Chicago"),
        ] {
            let bad = written.parse::<Window>().unwrap_err();
            assert_eq!(bad.field, field, "{written}: {bad}");
            assert!(bad.problem.contains(right), "{written}: {bad}");
        }
        let gotham: Window = "daily 08:00-18:00 America/Gotham".parse().unwrap();
        assert_eq!(Window::typed(&gotham.to_string()).unwrap_err().field, "zone");
        assert_eq!(Window::typed(EXAMPLE), EXAMPLE.parse());
    }
}
