//! What a run begins with: nothing, the weights of a model, or a language model of others.

use anyhow::Result;
use candle_core::Device;
use drdiff::{require_tokenizer, weights_file};
use drdiff_configs::Resolved;
use drdiff_data::Tokenizer;
use drdiff_model::{Checkpoint, Error, Imported, Metadata, ModelConfig, Pretrained, read_head};
use drdiff_training::{TRAINING_FILE, TrainConfig};

use super::TrainArgs;
use crate::exit::usage;
use crate::model::find;

/// Settings of the network that weights do not decide.
const FREE: [&str; 2] = ["context", "attention"];

/// The configuration with the shape of the weights that the run goes on with or begins with, if these predict next tokens and
/// nobody chose a shape: that of a preset knows nothing of them.
///
/// A language model of others that had to be read for it comes along.
pub(super) fn fit_shape(
    args: &TrainArgs,
    resolved: Resolved<TrainConfig>,
) -> Result<(TrainConfig, Option<Pretrained>)> {
    let (shape, model) = shape(args)?;
    let Some(shape) = shape.filter(|shape| shape.next_token) else {
        return Ok((resolved.value, model));
    };
    let keys = serde_json::to_value(&shape)?;
    let mut keys = keys.as_object().into_iter().flat_map(|map| map.keys());
    let ours = |key: &String| FREE.contains(&key.as_str()) || resolved.origin(&format!("model.{key}")).is_ours();
    let ours = keys.all(ours);
    let mut config = resolved.value;
    if ours {
        config.model = ModelConfig {
            context: config.model.context,
            attention: config.model.attention,
            ..shape
        };
    }
    Ok((config, model))
}

fn shape(args: &TrainArgs) -> Result<(Option<ModelConfig>, Option<Pretrained>)> {
    let state = read_head(&args.out.join(TRAINING_FILE));
    Ok(match (state, &args.from) {
        (Some(state), _) if args.resume => (Some(state.config), None),
        (_, None) => (None, None),
        (_, Some(path)) if Pretrained::is_at(path) => {
            let Pretrained { network, tokenizer } = Pretrained::read(path)?;
            let network = network.with_mask()?;
            (Some(network.config.clone()), Some(Pretrained { network, tokenizer }))
        }
        (_, Some(path)) => (read_head(&weights_file(path)?).map(|head| head.config), None),
    })
}

/// The weights of `--from`, whose tokenizer must be that of the corpus: those of a language model of others that was read already,
/// or of a model of this program.
pub(super) fn weights(
    args: &TrainArgs,
    model: Option<Pretrained>,
    words: &Tokenizer,
    device: &Device,
) -> Result<Option<Checkpoint>> {
    let Some(path) = &args.from else { return Ok(None) };
    let Some(model) = model else {
        let checkpoint = find(Some(path), args.quiet)?.model(device)?;
        require_tokenizer(&checkpoint.metadata, words)?;
        return Ok(Some(checkpoint));
    };
    let network = of_words(model, words)?;
    let metadata = Metadata::of_others(network.config, words.hash());
    Ok(Some(Checkpoint {
        metadata,
        tensors: network.tensors,
    }))
}

/// The language model that an adaptation learns from, if it does.
pub(super) fn teacher(args: &TrainArgs, config: &TrainConfig, words: &Tokenizer) -> Result<Option<Imported>> {
    let Some(adapt) = config.adapt.filter(|adapt| adapt.teacher > 0.0) else {
        return match &args.teacher {
            None => Ok(None),
            Some(_) => Err(usage(
                "`--teacher` teaches by the share `adapt.teacher`, which is 0 here; give it with --set, or leave the teacher out",
            )),
        };
    };
    let from = args.from.as_deref().filter(|from| Pretrained::is_at(from));
    let Some(path) = args.teacher.as_deref().or(from) else {
        return Err(usage(format!(
            "`adapt.teacher` is {}, and nobody teaches; name the language model that training began with by --teacher, or --set adapt.teacher=0",
            adapt.teacher
        )));
    };
    if !Pretrained::is_at(path) {
        return Err(usage(format!(
            "{} is no language model of others; name a folder of Hugging Face or a GGUF file of llama.cpp as the teacher",
            path.display()
        )));
    }
    Ok(Some(of_words(Pretrained::read(path)?, words)?))
}

/// The network of a language model of others whose tokenizer must be `words`.
fn of_words(model: Pretrained, words: &Tokenizer) -> Result<Imported> {
    let Pretrained { network, tokenizer } = model;
    if tokenizer.hash() != words.hash() {
        return Err(Error::WrongTokenizer {
            found: words.hash().to_owned(),
            wanted: tokenizer.hash().to_owned(),
        }
        .into());
    }
    Ok(network)
}
