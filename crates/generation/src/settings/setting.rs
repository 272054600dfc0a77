//! What is known of one setting.

use drdiff_solver::Process;
use serde_json::Value;

use super::Settings;
use super::slot::Slot;

/// A setting of writing. Flags, fields of batch lines, axes of sweeps, columns of reports and the reference page are made of it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name in batch lines, sweeps and tables.
    pub name: &'static str,
    /// Its place in a configuration file; empty if it has none of its own.
    pub path: &'static str,
    /// The values that it can have.
    pub kind: Kind,
    /// Whom it concerns.
    pub concerns: Concerns,
    /// Whether a text with gaps, whose gaps say how much is written, has it too.
    pub gaps: bool,
    /// The flag of the command line.
    pub flag: Option<Flag>,
    /// Fields of OpenAI's bodies that mean it.
    pub openai: &'static [&'static str],
    /// Whether a sweep can vary it.
    pub axis: bool,
    /// Its name in running text.
    pub short: &'static str,
    /// What it does, in a sentence without a full stop.
    pub help: &'static str,
    /// Where its value is kept.
    pub slot: Slot,
}

/// The values of a setting.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Whole numbers of a range, ends included.
    Whole(u64, u64),
    /// Numbers of a range.
    Number(Range),
    /// Yes or no.
    Switch,
    /// One of some names.
    Name(fn() -> Vec<&'static str>),
    /// Something else, in words.
    Other(&'static str),
}

/// A range of finite numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The lower end.
    pub least: f64,
    /// Whether the lower end belongs to it.
    pub closed: bool,
    /// The upper end, which belongs to it.
    pub most: f64,
}

impl Range {
    /// Every finite number.
    pub const ANY: Self = Self::from(f64::NEG_INFINITY);
    /// Numbers from 0 to 1, both included.
    pub const SHARE: Self = Self {
        least: 0.0,
        closed: true,
        most: 1.0,
    };

    /// Numbers from `least` on.
    #[must_use]
    pub const fn from(least: f64) -> Self {
        Self {
            least,
            closed: true,
            most: f64::INFINITY,
        }
    }

    /// Numbers above 0, up to `most`.
    #[must_use]
    pub const fn above_zero(most: f64) -> Self {
        Self {
            least: 0.0,
            closed: false,
            most,
        }
    }

    /// The range in words.
    #[must_use]
    pub fn words(&self) -> String {
        let from = if self.closed { "from" } else { "above" };
        match (self.least.is_finite(), self.most.is_finite()) {
            (false, _) => "any number".to_owned(),
            (true, false) => format!("a number {from} {}", self.least),
            (true, true) => format!("a number {from} {} to {}", self.least, self.most),
        }
    }
}

impl Kind {
    /// The values in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Whole(0, u64::MAX) => "a whole number".to_owned(),
            Self::Whole(least, u64::MAX) => format!("a whole number from {least}"),
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::Number(range) => range.words(),
            Self::Switch => "true or false".to_owned(),
            Self::Name(names) => format!("`{}`", names().join("`, `")),
            Self::Other(words) => (*words).to_owned(),
        }
    }
}

/// How a setting is typed on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// The flag without its dashes.
    pub long: &'static str,
    /// What its value is called. Flags without a value turn a switch from its default.
    pub value: Option<&'static str>,
    /// What the flag does where that is not what the setting does.
    pub help: Option<&'static str>,
    /// The flag of one letter.
    pub letter: Option<char>,
    /// Other names that are understood.
    pub aliases: &'static [&'static str],
    /// Whether the short help has it.
    pub common: bool,
}

impl Flag {
    /// A flag with a value.
    pub(super) const fn new(long: &'static str, value: &'static str) -> Self {
        Self {
            long,
            value: Some(value),
            help: None,
            letter: None,
            aliases: &[],
            common: false,
        }
    }

    /// A flag that turns a switch from its default, which `help` says in the flag's own words.
    pub(super) const fn switch(long: &'static str, help: Option<&'static str>) -> Self {
        Self {
            value: None,
            help,
            ..Self::new(long, "")
        }
    }

    /// One that most people use.
    pub(super) const fn common(self) -> Self {
        Self { common: true, ..self }
    }
}

/// Processes and networks that use a setting; for others it changes nothing or cannot be served.
#[derive(Debug, Clone, Copy)]
pub struct Concerns {
    /// The processes.
    pub processes: &'static [Process],
    /// Why the others do not use it.
    pub why: &'static str,
    /// The networks, in words; empty for all.
    pub networks: &'static str,
}

impl Concerns {
    /// Everything that is written.
    pub(super) const ALL: Self = Self {
        processes: Process::ALL,
        why: "",
        networks: "",
    };
    pub(super) const SOFT: Self = Self {
        processes: &[Process::Gaussian, Process::SoftAbsorbing, Process::Hybrid],
        why: "the absorbing process has no soft positions",
        networks: "",
    };
    pub(super) const ABSORBING: Self = Self {
        processes: &[Process::Absorbing],
        why: "only the absorbing process has it",
        networks: "",
    };
    pub(super) const COMMITTING: Self = Self {
        processes: &[Process::Absorbing, Process::SoftAbsorbing, Process::Hybrid],
        why: "the gaussian process decides all tokens of a block at its end",
        networks: "",
    };
    pub(super) const GUIDED: Self = Self {
        processes: &[Process::SoftAbsorbing],
        why: "only the soft-absorbing process is guided",
        networks: "",
    };
    pub(super) const WAITING: Self = Self {
        processes: &[Process::SoftAbsorbing, Process::Hybrid],
        why: "only the soft-absorbing and hybrid processes wait for their first anchor",
        networks: "",
    };

    /// The same for some networks alone.
    pub(super) const fn of(networks: &'static str) -> Self {
        Self { networks, ..Self::ALL }
    }

    /// Whether a process uses the setting.
    #[must_use]
    pub fn process(&self, process: Process) -> bool {
        self.processes.contains(&process)
    }

    /// Processes and networks in words.
    #[must_use]
    pub fn words(&self) -> String {
        if self.processes.len() == Process::ALL.len() {
            return match self.networks {
                "" => "all".to_owned(),
                networks => networks.to_owned(),
            };
        }
        let names: Vec<&str> = self.processes.iter().map(|process| process.name()).collect();
        names.join(", ")
    }
}

impl Setting {
    /// Reads a value as it is typed on the command line.
    ///
    /// # Errors
    /// In words, what was wanted.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let typed = match self.kind {
            Kind::Whole(..) => whole(text).map(Value::from),
            Kind::Switch => text.parse::<bool>().ok().map(Value::from),
            // A number may stand beside names, as for shares of the compute.
            Kind::Number(_) | Kind::Other(_) => text.parse::<f64>().ok().map(Value::from),
            Kind::Name(_) => None,
        };
        self.read(typed.unwrap_or_else(|| Value::from(text)))
    }

    /// Reads a value as JSON has it, and gives it in its one form.
    ///
    /// # Errors
    /// In words, what was wanted.
    pub fn read(&self, value: Value) -> Result<Value, String> {
        (self.slot.read)(value)
    }

    /// Its value in settings; null where it is left to the model.
    #[must_use]
    pub fn value(&self, settings: &Settings) -> Value {
        (self.slot.get)(settings)
    }

    /// Whether it has a column in reports: what differs from text to text of a cell has none.
    #[must_use]
    pub fn is_column(&self) -> bool {
        self.axis || matches!(self.name, "tokens" | "stop_at_end")
    }
}

/// A whole number such as `1000`, `16k` (16,384) or `1M` (1,048,576); `None` for what is none or too large.
#[must_use]
pub fn whole(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1 << 10),
        (at, 'm' | 'M') => (&text[..at], 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}
