//! Typed configuration: YAML presets, user files, environment and flags, merged once and read once.
//!
//! Layers, later ones win: embedded preset, user file, `DRDIFF_<SECTION>__A__B` in the environment, `--set a.b=c` and
//! other flags. Maps merge key by key, everything else is replaced. Three rules keep merging predictable:
//! - a map tagged `!only` replaces what lower layers say instead of merging with it;
//! - a map whose `type` differs from the lower layer's replaces it, for its other keys belong to that type;
//! - a value of `null` takes the key of lower layers away.
//!
//! The crates that use a configuration own its type; this crate alone reads YAML, and remembers where each value came
//! from. Unknown keys are errors that name the nearest known one.

mod decode;
mod error;
mod inputs;
mod lines;
mod nearest;
mod node;
mod origin;
mod preset;
mod resolved;
mod section;

pub use error::{Error, Result};
pub use inputs::Inputs;
pub use nearest::nearest;
pub use origin::Origin;
pub use preset::{Preset, preset, presets};
pub use resolved::Resolved;
pub use section::Section;
