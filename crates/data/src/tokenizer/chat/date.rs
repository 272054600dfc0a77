//! The date in the words of C's `strftime`, in English and in UTC.

/// 26 July 2024, midnight.
pub(super) const DEFAULT: i64 = 1_721_952_000;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// Writes a time, in seconds since 1970, in the given form; an unknown directive is given back.
pub(super) fn strftime(seconds: i64, form: &str) -> Result<String, String> {
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, of_month) = civil(day);
    let name = |names: &[&'static str], at: i64| names[at.rem_euclid(names.len() as i64) as usize];
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let mut out = String::new();
    let mut rest = form.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = rest.next().unwrap_or('%');
        let bare = directive == '-';
        if bare {
            directive = rest.next().unwrap_or('-');
        }
        let two = |number: i64| {
            if bare {
                number.to_string()
            } else {
                format!("{number:02}")
            }
        };
        out += &match directive {
            'd' => two(of_month),
            'm' => two(month),
            'y' => two(year.rem_euclid(100)),
            'Y' => year.to_string(),
            'H' => two(hour),
            'I' => two((hour + 11) % 12 + 1),
            'M' => two(minute),
            'S' => two(second % 60),
            'p' => (if hour < 12 { "AM" } else { "PM" }).to_owned(),
            'B' => name(&MONTHS, month - 1).to_owned(),
            'b' | 'h' => name(&MONTHS, month - 1)[..3].to_owned(),
            'A' => name(&DAYS, day).to_owned(),
            'a' => name(&DAYS, day)[..3].to_owned(),
            'F' => format!("{year}-{month:02}-{of_month:02}"),
            'T' => format!("{hour:02}:{minute:02}:{:02}", second % 60),
            '%' => "%".to_owned(),
            other => return Err(format!("the form %{other} of a date is not known")),
        };
    }
    Ok(out)
}

/// Year, month and day of the month of a day since 1970 (proleptic Gregorian calendar; years begin in March, so that the
/// leap day comes last).
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let of_year_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_year_era + of_year_era / 4 - of_year_era / 100);
    let march = (5 * of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = of_year_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_calendar() {
        let form = "%d %b %Y|%A %a %B %-d %m/%y %H:%M:%S %I %p %F %T %%";
        let written = |seconds| strftime(seconds, form).unwrap();
        assert_eq!(
            written(DEFAULT),
            "26 Jul 2024|Friday Fri July 26 07/24 00:00:00 12 AM 2024-07-26 00:00:00 %"
        );
        assert_eq!(
            written(1_709_251_199),
            "29 Feb 2024|Thursday Thu February 29 02/24 23:59:59 11 PM 2024-02-29 23:59:59 %"
        );
        assert_eq!(strftime(-1, "%Y-%m-%-d %a").unwrap(), "1969-12-31 Wed");
        assert!(strftime(0, "%Q").is_err());
    }
}
