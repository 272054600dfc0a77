//! What can be typed after `drdiff serve`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use drdiff_kernels::DeviceKind;

use crate::args::at_least_one;
use crate::sampler::SamplerArgs;
use crate::{device, exit};

const EXAMPLES: &str = "\
Examples:
  drdiff serve
  drdiff serve --model models/drdiff-tales --port 9000
  drdiff serve --host 0.0.0.0 --api-key SECRET --slots 8
  drdiff serve --block-size 8 --steps 8

Flags that say how to write are for requests that do not say so themselves.
Ctrl-C or SIGTERM ends the server when its texts are written, a second one at once.
";

/// Arguments of `drdiff serve`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct ServeArgs {
    #[arg(
        long,
        value_name = "FOLDER|FILE",
        help = "Model to write with [default: that of DRDIFF_MODEL, else the bundled one]"
    )]
    pub(super) model: Option<PathBuf>,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_parser = device::parse, default_value = "cpu")]
    pub(super) device: DeviceKind,
    /// Another name that requests may call the model by; the first one is told. May be given many times
    #[arg(long, value_name = "NAME")]
    pub(super) alias: Vec<String>,

    /// Address to listen at; 0.0.0.0 is open to other machines
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", help_heading = "Clients")]
    pub(super) host: String,
    /// Port to listen at; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value = "8080", help_heading = "Clients")]
    pub(super) port: u16,
    /// Key that clients must send as `Authorization: Bearer KEY`
    #[arg(
        long,
        value_name = "KEY",
        env = "DRDIFF_API_KEY",
        hide_env_values = true,
        help_heading = "Clients"
    )]
    pub(super) api_key: Option<String>,
    /// Web origin whose pages may call the server, or * for all
    #[arg(long, value_name = "ORIGIN", help_heading = "Clients")]
    pub(super) cors: Option<String>,

    /// Texts that are written at once [default: 4, on a GPU 64]
    #[arg(long, value_name = "N", value_parser = at_least_one(), help_heading = "Limits")]
    pub(super) slots: Option<usize>,
    /// Texts that may wait; more get 503
    #[arg(long, value_name = "N", default_value = "64", help_heading = "Limits")]
    pub(super) max_waiting: usize,
    /// Tokens of a text at most
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value = "8192", help_heading = "Limits")]
    pub(super) token_limit: usize,
    /// Bytes of a request at most
    #[arg(long, value_name = "BYTES", value_parser = at_least_one(), default_value = "8388608", help_heading = "Limits")]
    pub(super) max_body: usize,
    /// Seconds that a text may wait
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60", help_heading = "Limits")]
    pub(super) queue_timeout: Duration,
    /// Seconds that a text may be written
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "600", help_heading = "Limits")]
    pub(super) timeout: Duration,
    /// Seconds that texts may still be written once the server is to end
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30", help_heading = "Limits")]
    pub(super) drain: Duration,
    /// Seconds without a pass after which /live says that the server is stuck
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60", help_heading = "Limits")]
    pub(super) stall: Duration,

    /// Tell the numbers of waiting and running texts under vLLM's names as well
    #[arg(long, help_heading = "Output")]
    pub(super) vllm_metrics: bool,
    /// No notes and no log on stderr
    #[arg(short, long, help_heading = "Output")]
    pub(super) quiet: bool,

    #[command(flatten)]
    pub(super) sampler: SamplerArgs,
}

/// Reads `30`, `0.5` or `30s`.
fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>();
    let duration = number
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "a number of seconds such as 30 is wanted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_a_sign_or_none() {
        assert_eq!(seconds("30"), Ok(Duration::from_secs(30)));
        assert_eq!(seconds("0.5s"), Ok(Duration::from_millis(500)));
        for text in ["-1", "x", "inf", "nan", "1m", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
