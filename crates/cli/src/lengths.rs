//! Lengths as they are typed.

use drdiff_generation::settings::whole;

/// Reads a length such as `1000`, `16k` (16,384) or `1M` (1,048,576).
pub(crate) fn length(text: &str) -> Result<usize, String> {
    let number = whole(text).and_then(|number| usize::try_from(number).ok());
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| "give a length such as 1000, 16k or 1M".to_owned())
}

/// Lengths that were typed as one: a single one, or a range that doubles.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lengths(pub(crate) Vec<usize>);

/// Reads a length or a range such as `1k..64k`: 1k, 2k, 4k and so on up to 64k.
pub(crate) fn lengths(text: &str) -> Result<Lengths, String> {
    let Some((first, last)) = text.split_once("..") else {
        return Ok(Lengths(vec![length(text)?]));
    };
    let (first, last) = (length(first)?, length(last)?);
    if first > last {
        return Err("a range begins with its shortest length".to_owned());
    }
    let double = |n: &usize| n.checked_mul(2).filter(|n| *n <= last);
    Ok(Lengths(std::iter::successors(Some(first), double).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_double() {
        assert_eq!(lengths("1k..5k"), Ok(Lengths(vec![1024, 2048, 4096])));
        assert_eq!(lengths("300"), Ok(Lengths(vec![300])));
        assert!(lengths("2k..1k").is_err() && lengths("1k..").is_err());
    }

    #[test]
    fn lengths_have_binary_suffixes() {
        assert_eq!(length("1000"), Ok(1000));
        assert_eq!(length("16k"), Ok(16_384));
        assert_eq!(length("2M"), Ok(2_097_152));
        for wrong in [
            "",
            "k",
            "0",
            "-1",
            "1.5k",
            "4kk",
            "99999999999999999999",
            "99999999999999999M",
        ] {
            assert!(length(wrong).is_err(), "{wrong}");
        }
    }
}
