//! Points in time as YAML has them unquoted, in the one form that enters a MAC.

use jiff::civil::{Date, Time};

/// The point in time that a scalar means, as RFC 3339; nothing when it means none.
pub(super) fn canonical(text: &str) -> Option<String> {
    let year = text.get(..4)?;
    if !year.bytes().all(|byte| byte.is_ascii_digit()) || text.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    let at = text.find(['T', 't', ' ']);
    let date = date(at.map_or(text, |at| &text[..at]))?;
    let Some(at) = at else { return Some(format!("{date}T00:00:00Z")) };
    let clock = &text[at + 1..];
    let zone = clock.find(['Z', '+', '-']);
    let (clock, zone) = match (zone, text.as_bytes().get(at)) {
        (None, Some(b' ')) => (clock, "Z".to_owned()),
        (Some(zone), Some(b'T' | b't')) => (&clock[..zone], self::zone(&clock[zone..])?),
        _ => return None,
    };
    Some(format!("{date}T{}{zone}", time(clock)?))
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && digits.contains(&text.len())).then(|| text.parse().ok()).flatten()
}

fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4..=4)?;
    let (month, day) = (number(parts.next()?, 1..=2)?, number(parts.next()?, 1..=2)?);
    let small = |number: i32| i8::try_from(number).ok();
    let date = Date::new(i16::try_from(year).ok()?, small(month)?, small(day)?).ok()?;
    parts.next().is_none().then_some(date)
}

fn time(text: &str) -> Option<String> {
    let (whole, part) = match text.split_once('.') {
        Some((whole, part)) => (whole, Some(part)),
        None => (text, None),
    };
    let parts: Vec<i32> =
        whole.split(':').map(|part| number(part, 1..=2)).collect::<Option<_>>()?;
    let [hour, minute, second] = parts[..] else { return None };
    let small = |number: i32| i8::try_from(number).ok();
    Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()?;
    let part = match part {
        Some(part) => {
            number(part, 1..=9)?;
            part.trim_end_matches('0')
        }
        None => "",
    };
    let point = if part.is_empty() { "" } else { "." };
    Some(format!("{hour:02}:{minute:02}:{second:02}{point}{part}"))
}

fn zone(text: &str) -> Option<String> {
    if text == "Z" {
        return Some("Z".to_owned());
    }
    let (hours, minutes) = text[1..].split_once(':')?;
    let (hours, minutes) = (number(hours, 2..=2)?, number(minutes, 2..=2)?);
    let utc = hours == 0 && minutes == 0;
    (hours < 24 && minutes < 60).then(|| if utc { "Z".to_owned() } else { text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn times_have_one_form() {
        for (text, expected) in [
            ("2001-12-14", "2001-12-14T00:00:00Z"),
            ("2001-1-2 3:4:5", "2001-01-02T03:04:05Z"),
            ("2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43.1-05:00"),
            ("2020-10-07T15:49:13Z", "2020-10-07T15:49:13Z"),
            ("2020-10-07T15:49:13+00:00", "2020-10-07T15:49:13Z"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["2001-13-01", "2001-02-30", "2001", "2001-1-2T3:4:5", "20011-1-1", "2001-é"] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
