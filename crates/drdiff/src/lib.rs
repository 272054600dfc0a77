//! DrDiff as a library: diffusion language models that write, stream, fill gaps and learn.
//!
//! ```
//! use drdiff::{Event, Settings};
//!
//! # fn main() -> drdiff::Result<()> {
//! let model = drdiff::load_default()?;
//! for event in model.generate("The old house", &Settings::default().tokens(8))? {
//!     if let Event::BlockCommitted { text, .. } = event? {
//!         print!("{text}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`load`] reads a model of this program or of others. [`Model::generate`], [`Model::chat`] and [`Model::infill`] write one text,
//! [`Model::generate_all`] many of them. Equal seeds and settings give the texts that `drdiff generate` gives.
//!
//! [`train`] makes a new model of a corpus. Examples of all of it are in `crates/drdiff/examples/`.
//!
//! What lies below has crates of its own, which are re-exported by name: [`data`] prepares text, [`configs`] reads configurations, [`training`] trains, [`generation`]
//! holds the engine that [`Model::engine`] gives, [`model`] the trait that a network of your own implements
//! ([`model::DenoisingNetwork`]), [`evaluation`] and [`jobs`] measure texts and run long work.

mod beside;
mod bundled;
mod error;
mod named;
mod ready;
mod settings;
mod source;
mod train;
mod writing;

pub use drdiff_configs as configs;
pub use drdiff_data as data;
pub use drdiff_evaluation as evaluation;
pub use drdiff_generation as generation;
pub use drdiff_jobs as jobs;
pub use drdiff_model as model;
pub use drdiff_training as training;

pub use beside::place_of_tokenizer;
pub use drdiff_data::Message;
pub use drdiff_generation::{Event, Output, StopReason};
pub use error::{Error, Result};
pub use named::{NamedModel, find_model, hub_folder, models, models_folder};
pub use ready::{Model, load, load_default};
pub use settings::Settings;
pub use source::{Source, TOKENIZER, default_model, files_of, kind_of, require_tokenizer, weights_file};
pub use train::{TRAINING_STACK, put_words, train};
pub use writing::Writing;
