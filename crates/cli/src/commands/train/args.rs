//! What can be typed after `drdiff train`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use drdiff_kernels::DeviceKind;

use crate::{device, exit};

const EXAMPLES: &str = "\
Examples:
  drdiff train --config small --data shards -o run
  drdiff train --config small --data shards -o run --resume --stop-after 9m
  drdiff train --config small --data shards -o tuned --from run --set steps=500 --set optimizer.learning_rate=2e-4
  drdiff train --distill --config distill --data shards -o few --from run
  drdiff train --config adapt --data shards -o adapted --from SmolLM2-135M-Instruct.gguf

Ctrl-C (or SIGTERM) saves what the last whole step learned and exits with 75; a second one ends at once.
Then the same command with --resume goes on.
";

/// Arguments of `drdiff train`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct TrainArgs {
    /// Preset or YAML file
    #[arg(long, value_name = "PRESET|FILE")]
    pub(super) config: String,
    /// Change one setting, such as steps=500; may be given many times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Folder that `drdiff data prepare` wrote
    #[arg(long, value_name = "FOLDER")]
    pub(super) data: PathBuf,
    /// Folder for weights, state and log
    #[arg(short, long, value_name = "FOLDER")]
    pub(super) out: PathBuf,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_parser = device::parse, default_value = "cpu")]
    pub(super) device: DeviceKind,
    /// Go on with the run in the output folder, or begin it if there is none
    #[arg(long)]
    pub(super) resume: bool,
    /// Begin with the weights of this model, or of a language model of others
    #[arg(long, value_name = "FOLDER|FILE")]
    pub(super) from: Option<PathBuf>,
    /// Language model that `adapt.teacher` learns from [default: that of --from]
    #[arg(long, value_name = "FOLDER|FILE")]
    pub(super) teacher: Option<PathBuf>,
    /// Teach the model of --from to write in fewer steps, by the `distill` section of the configuration or its defaults
    #[arg(long)]
    pub(super) distill: bool,
    /// Save and stop after this time, such as 90s, 9m or 1h30m; exits with 75 if steps are left
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) stop_after: Option<Duration>,
    /// No log on stderr
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// Reads `45`, `90s`, `9m` or `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a time such as 90s, 9m or 1h30m".to_owned();
    let (mut seconds, mut digits, mut last) = (0_u64, String::new(), u64::MAX);
    for c in text
        .chars()
        .chain(text.ends_with(|c: char| c.is_ascii_digit()).then_some('s'))
    {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        // Units fall, so that a slip such as 1m30m is not taken for something.
        if unit >= last {
            return Err(wrong());
        }
        seconds = number
            .checked_mul(unit)
            .and_then(|more| seconds.checked_add(more))
            .ok_or_else(wrong)?;
        (last, digits) = (unit, String::new());
    }
    if seconds == 0 {
        Err(wrong())
    } else {
        Ok(Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let seconds = |text| duration(text).map(|time| time.as_secs());
        assert_eq!(seconds("45"), Ok(45));
        assert_eq!(seconds("9m"), Ok(540));
        assert_eq!(seconds("1h30m5s"), Ok(5405));
        for wrong in ["", "m", "9x", "1m30m", "0s", "-3s", "9 m", "99999999999999999999h"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
