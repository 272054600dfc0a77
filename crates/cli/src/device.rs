//! The `--device` flag.

use drdiff_kernels::DeviceKind;

/// Reads `cpu`, `cuda` or `cuda:1`.
pub(crate) fn parse(text: &str) -> Result<DeviceKind, String> {
    let number = match text {
        "cpu" => return Ok(DeviceKind::Cpu),
        "cuda" => Some(0),
        _ => text.strip_prefix("cuda:").and_then(|number| number.parse().ok()),
    };
    number
        .map(DeviceKind::Cuda)
        .ok_or_else(|| "use cpu, cuda or cuda:N".to_owned())
}

/// The name that [`parse`] reads.
pub(crate) fn name(kind: DeviceKind) -> String {
    match kind {
        DeviceKind::Cpu => "cpu".to_owned(),
        DeviceKind::Cuda(number) => format!("cuda:{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for text in ["cpu", "cuda:0", "cuda:3"] {
            assert_eq!(name(parse(text).unwrap()), text);
        }
        assert_eq!(parse("cuda"), Ok(DeviceKind::Cuda(0)));
        assert!(parse("gpu").is_err() && parse("cuda:x").is_err());
    }
}
