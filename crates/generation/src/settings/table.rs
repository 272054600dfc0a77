//! The table: every setting of writing, once.

use drdiff_attention::PlanKind;
use drdiff_diffusion::ScheduleConfig;
use drdiff_solver::{DraftLength, Pace, Process, ReabsorbConfig, SolverConfig, SolverName, Spacing};
use serde_json::{Value, json};

use super::commit::CommitName;
use super::setting::{Concerns, Flag, Kind, Range, Setting};
use super::slot::{Slot, give, read, slot, take};
use crate::Compute;
use crate::request::{LONGEST, MOST_STEPS};

/// What most settings have in common; each says the rest.
const USUAL: Setting = Setting {
    name: "",
    path: "",
    kind: Kind::Switch,
    concerns: Concerns::ALL,
    gaps: true,
    flag: None,
    openai: &[],
    axis: true,
    short: "",
    help: "",
    slot: slot!(usize: tokens),
};

const UNBOUNDED: Kind = Kind::Whole(0, u64::MAX);

/// Every setting, in the order in which they are listed.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "tokens",
        path: "tokens",
        kind: Kind::Whole(1, LONGEST as u64),
        gaps: false,
        flag: Some(Flag {
            letter: Some('n'),
            aliases: &["max-tokens"],
            ..Flag::new("tokens", "N").common()
        }),
        openai: &["max_tokens", "max_completion_tokens"],
        axis: false,
        short: "tokens",
        help: "Tokens to write at most",
        ..USUAL
    },
    Setting {
        name: "process",
        path: "sampler.process",
        kind: Kind::Name(|| Process::ALL.iter().map(|process| process.name()).collect()),
        flag: Some(Flag::new("process", "PROCESS")),
        short: "process",
        help: "Path from noise to text",
        slot: slot!(Process: sampler.process),
        ..USUAL
    },
    Setting {
        name: "solver",
        path: "sampler.solver",
        kind: Kind::Name(|| {
            let families = SolverName::FAMILIES.map(|[name, _]| name);
            let exact = SolverConfig::ALL.iter().map(|solver| solver.name());
            families.into_iter().chain(exact).collect()
        }),
        concerns: Concerns::SOFT,
        flag: Some(Flag::new("solver", "SOLVER")),
        short: "solver",
        help: "Solver of the processes with soft levels: a family, whose order may be chosen, or one solver",
        slot: Slot {
            read: read::<SolverName>,
            // Together with the order; see `Choices::put`.
            put: |_, _| Ok(()),
            get: |settings| give(settings.sampler.solver),
        },
        ..USUAL
    },
    Setting {
        name: "order",
        kind: Kind::Whole(1, 3),
        concerns: Concerns::SOFT,
        flag: Some(Flag::new("order", "N")),
        short: "order",
        help: "Order of the solver; alone it keeps the solver's family",
        slot: Slot {
            read: read::<usize>,
            put: |_, _| Ok(()),
            get: |settings| give(settings.sampler.solver.order()),
        },
        ..USUAL
    },
    Setting {
        name: "steps",
        path: "sampler.steps",
        kind: Kind::Whole(1, MOST_STEPS as u64),
        flag: Some(Flag::new("steps", "N").common()),
        short: "steps",
        help: "Network passes for each block; an absorbing block uses one for each of its tokens at most",
        slot: slot!(usize: sampler.steps),
        ..USUAL
    },
    Setting {
        name: "block_size",
        path: "block_size",
        kind: Kind::Whole(1, LONGEST as u64),
        gaps: false,
        flag: Some(Flag::new("block-size", "N").common()),
        short: "block",
        help: "Tokens that become clear together; 1 writes token by token",
        slot: slot!(usize: block_size),
        ..USUAL
    },
    Setting {
        name: "commit",
        path: "sampler.commit",
        kind: Kind::Other(
            "`random`, `spread`, `left-to-right`, `confidence`, `margin`, `entropy`, `entropy-bound[:NATS]`, `threshold[:PROBABILITY]` or `verified`",
        ),
        concerns: Concerns::COMMITTING,
        flag: Some(Flag::new("commit", "SCHEDULE")),
        short: "commit",
        help: "Which tokens are decided first; verified drafts several and checks them token by token",
        slot: Slot {
            read: read::<CommitName>,
            put: |settings, value| {
                settings.sampler.commit = take::<CommitName>(value)?.0;
                Ok(())
            },
            get: |settings| give(CommitName(settings.sampler.commit)),
        },
        ..USUAL
    },
    Setting {
        name: "draft_length",
        path: "sampler.draft_length",
        kind: Kind::Other("a whole number from 1 to 16, or `auto`: by how many drafts are accepted"),
        concerns: Concerns::ABSORBING,
        gaps: false,
        flag: Some(Flag::new("draft-length", "N|auto")),
        short: "draft",
        help: "Tokens that the commit schedule verified drafts before it checks them",
        slot: slot!(DraftLength: sampler.draft_length),
        ..USUAL
    },
    Setting {
        name: "pace",
        path: "sampler.pace",
        kind: Kind::Name(|| Pace::ALL.iter().map(|pace| pace.name()).collect()),
        concerns: Concerns::COMMITTING,
        short: "pace",
        help: "How the number of decided tokens grows over the steps of a block",
        slot: slot!(Pace: sampler.pace),
        ..USUAL
    },
    Setting {
        name: "extrapolate",
        path: "sampler.extrapolate",
        concerns: Concerns::ABSORBING,
        short: "extrapolate",
        help: "Whether log-probabilities are extrapolated to second order from step to step",
        slot: slot!(bool: sampler.extrapolate),
        ..USUAL
    },
    Setting {
        name: "temperature",
        path: "sampler.sampling.temperature",
        kind: Kind::Number(Range::from(0.0)),
        flag: Some(Flag {
            letter: Some('t'),
            aliases: &["temp"],
            ..Flag::new("temperature", "X").common()
        }),
        openai: &["temperature"],
        short: "T",
        help: "Divides the logits that tokens are drawn by, in every process: of each token when it is decided, in the gaussian process at a block's end. \
               Lower is safer, higher is wilder, 0 takes the likeliest token. How soft positions move is up to score_temperature",
        slot: slot!(f64: sampler.sampling.temperature),
        ..USUAL
    },
    Setting {
        name: "top_p",
        path: "sampler.sampling.top_p",
        kind: Kind::Number(Range::above_zero(1.0)),
        flag: Some(Flag::new("top-p", "P").common()),
        openai: &["top_p"],
        short: "top-p",
        help: "Draw only from the likeliest tokens with this mass",
        slot: slot!(f64: sampler.sampling.top_p),
        ..USUAL
    },
    Setting {
        name: "frequency_penalty",
        path: "sampler.frequency.penalty",
        kind: Kind::Number(Range::ANY),
        flag: Some(Flag::new("frequency-penalty", "NATS")),
        openai: &["frequency_penalty"],
        short: "penalty",
        help: "Hold words back by the logarithm of how often the text has them, in nats; 0 does not",
        slot: slot!(f64: sampler.frequency.penalty),
        ..USUAL
    },
    Setting {
        name: "frequency_window",
        path: "sampler.frequency.window",
        kind: UNBOUNDED,
        short: "penalty window",
        help: "Tokens before the block in which words are counted",
        slot: slot!(usize: sampler.frequency.window),
        ..USUAL
    },
    Setting {
        name: "frequency_level",
        path: "sampler.frequency.level",
        kind: Kind::Whole(1, u64::MAX),
        short: "penalty level",
        help: "Tokens that counts are scaled down to once more are counted",
        slot: slot!(usize: sampler.frequency.level),
        ..USUAL
    },
    Setting {
        name: "score_temperature",
        path: "sampler.score_temperature",
        kind: Kind::Number(Range::above_zero(f64::INFINITY)),
        concerns: Concerns::SOFT,
        short: "score T",
        help: "Divides the noise that predictions of soft positions imply; below 1 leads to likelier text",
        slot: slot!(f64: sampler.score_temperature),
        ..USUAL
    },
    Setting {
        name: "schedule",
        path: "sampler.schedule",
        kind: Kind::Other("an object with its `type`: `cosine`, `sqrt`, `linear` or `gumbel`"),
        concerns: Concerns::SOFT,
        short: "schedule",
        help: "Noise schedule of soft positions; that of the training is best",
        slot: slot!(ScheduleConfig: sampler.schedule),
        ..USUAL
    },
    Setting {
        name: "spacing",
        path: "sampler.grid.spacing",
        flag: Some(Flag::new("grid", "NAME")),
        kind: Kind::Name(|| Spacing::ALL.iter().map(|spacing| spacing.name()).collect()),
        concerns: Concerns::SOFT,
        short: "spacing",
        help: "How the levels that soft positions pass are spaced",
        slot: slot!(Spacing: sampler.grid.spacing),
        ..USUAL
    },
    Setting {
        name: "min_log_snr",
        path: "sampler.grid.min_log_snr",
        kind: Kind::Number(Range::ANY),
        concerns: Concerns::SOFT,
        short: "min_log_snr",
        help: "Least ln s of the levels, at the noisy end; below max_log_snr",
        slot: slot!(f64: sampler.grid.min_log_snr),
        ..USUAL
    },
    Setting {
        name: "max_log_snr",
        path: "sampler.grid.max_log_snr",
        kind: Kind::Number(Range::ANY),
        concerns: Concerns::SOFT,
        short: "max_log_snr",
        help: "Largest ln s of the levels, at the clean end",
        slot: slot!(f64: sampler.grid.max_log_snr),
        ..USUAL
    },
    Setting {
        name: "lower_order_final",
        path: "sampler.lower_order_final",
        concerns: Concerns::SOFT,
        short: "lower order at the end",
        help: "Whether the solver's order falls over the last updates where there are fewer than 10",
        slot: slot!(bool: sampler.lower_order_final),
        ..USUAL
    },
    Setting {
        name: "guidance_kappa",
        path: "sampler.guidance.kappa",
        kind: Kind::Number(Range::SHARE),
        concerns: Concerns::GUIDED,
        short: "kappa",
        help: "Largest pull of a sure position towards its likeliest token",
        slot: slot!(f64: sampler.guidance.kappa),
        ..USUAL
    },
    Setting {
        name: "guidance_gate",
        path: "sampler.guidance.gate",
        kind: Kind::Number(Range::SHARE),
        concerns: Concerns::GUIDED,
        short: "gate",
        help: "Probability of the likeliest token from which a position is sure",
        slot: slot!(f64: sampler.guidance.gate),
        ..USUAL
    },
    Setting {
        name: "guidance_boost",
        path: "sampler.guidance.boost",
        kind: Kind::Number(Range::from(0.0)),
        concerns: Concerns::GUIDED,
        short: "boost",
        help: "How much faster a sure position moves",
        slot: slot!(f64: sampler.guidance.boost),
        ..USUAL
    },
    Setting {
        name: "guidance_anchor_after",
        path: "sampler.guidance.anchor_after",
        kind: Kind::Number(Range::SHARE),
        concerns: Concerns::WAITING,
        short: "anchors after",
        help: "Share of the steps before the first token may be decided",
        slot: slot!(f64: sampler.guidance.anchor_after),
        ..USUAL
    },
    Setting {
        name: "reabsorb_below",
        path: "sampler.reabsorb.below",
        kind: Kind::Number(Range::SHARE),
        concerns: Concerns::COMMITTING,
        short: "reabsorb below",
        help: "Tokens that were decided with less than this probability are opened again; 0 opens none",
        slot: Slot {
            read: read::<f64>,
            put: |settings, value| {
                let (below, reabsorb) = (take::<f64>(value)?, &mut settings.sampler.reabsorb);
                let known = reabsorb.unwrap_or_default();
                *reabsorb = (below != 0.0).then_some(ReabsorbConfig { below, ..known });
                Ok(())
            },
            get: |settings| json!(settings.sampler.reabsorb.map_or(0.0, |reabsorb| reabsorb.below)),
        },
        ..USUAL
    },
    Setting {
        name: "reabsorb_per_step",
        path: "sampler.reabsorb.per_step",
        kind: UNBOUNDED,
        concerns: Concerns::COMMITTING,
        short: "reabsorb a step",
        help: "How many tokens are opened again in a step at most",
        slot: Slot {
            read: read::<usize>,
            put: |settings, value| {
                let per_step = take(value)?;
                // Where none are opened again it says nothing.
                settings
                    .sampler
                    .reabsorb
                    .iter_mut()
                    .for_each(|reabsorb| reabsorb.per_step = per_step);
                Ok(())
            },
            get: |settings| give(settings.sampler.reabsorb.unwrap_or_default().per_step),
        },
        ..USUAL
    },
    Setting {
        name: "self_condition",
        path: "self_condition",
        flag: Some(Flag::switch(
            "self-condition",
            Some("Show the network its last prediction in each pass"),
        )),
        concerns: Concerns::of("networks that read evidence"),
        short: "self-conditioning",
        help: "Whether the network is shown its last prediction in each pass",
        slot: slot!(bool: self_condition),
        ..USUAL
    },
    Setting {
        name: "style_guidance",
        path: "style_guidance",
        kind: Kind::Number(Range::ANY),
        concerns: Concerns::of("networks with masks"),
        gaps: false,
        flag: Some(Flag::new("style-guidance", "W")),
        short: "guidance by the prompt",
        help: "How closely the prompt is followed; above 1 closer, at the price of a second network call",
        slot: slot!(f64: style_guidance),
        ..USUAL
    },
    Setting {
        name: "attention",
        path: "attention",
        kind: Kind::Name(|| PlanKind::ALL.map(PlanKind::name).to_vec()),
        flag: Some(Flag::new("attention", "PLAN")),
        short: "attention",
        help: "Which text each token reads",
        slot: slot!(Option<PlanKind>: attention),
        ..USUAL
    },
    Setting {
        name: "compute",
        path: "compute",
        kind: Kind::Other("a number above 0 to 1, or `auto`: what each step needs"),
        concerns: Concerns::of("networks with routed experts"),
        flag: Some(Flag::new("compute", "SHARE|auto")),
        short: "compute",
        help: "Share of the routed experts that runs, or auto: what each step needs",
        slot: slot!(Compute: compute),
        ..USUAL
    },
    Setting {
        name: "stop_at_end",
        path: "stop_at_end",
        gaps: false,
        flag: Some(Flag::switch(
            "no-stop",
            Some("Go on where the model would end the text"),
        )),
        axis: false,
        short: "stop at end",
        help: "Whether the text ends where the model ends it",
        slot: slot!(bool: stop_at_end),
        ..USUAL
    },
    Setting {
        name: "stop",
        path: "stop",
        kind: Kind::Other("a text, or a list of them"),
        gaps: false,
        openai: &["stop"],
        axis: false,
        flag: Some(Flag::new("stop", "TEXT").common()),
        short: "stop",
        help: "The text ends before the first of these that comes up",
        slot: Slot {
            read: |value| match value {
                text @ Value::String(_) => Ok(json!([text])),
                list => read::<Vec<String>>(list),
            },
            ..slot!(Vec<String>: stop)
        },
        ..USUAL
    },
    Setting {
        name: "seed",
        path: "seed",
        kind: UNBOUNDED,
        flag: Some(Flag {
            letter: Some('s'),
            ..Flag::new("seed", "SEED").common()
        }),
        openai: &["seed"],
        axis: false,
        short: "seed",
        help: "Equal seeds give equal texts; where nobody chooses one, `generate` and `chat` take another in every run",
        slot: slot!(u64: seed),
        ..USUAL
    },
];
