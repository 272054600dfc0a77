//! Which tiers of the corpus a run learns from, as far as nobody said so.

use anyhow::Result;
use drdiff_configs::Resolved;
use drdiff_data::{Corpus, Split};
use drdiff_training::{TrainConfig, Trainer};

use crate::output::{grouped, remark};

/// Whether the shares of tiers are those of a preset, which knows nothing of the corpus.
pub(super) fn shares_are_ours(resolved: &Resolved<TrainConfig>) -> bool {
    let tiers = resolved.value.sampling.shares.keys();
    tiers
        .map(|tier| format!("sampling.shares.{tier}"))
        .all(|path| resolved.origin(&path).is_ours())
}

/// Gives up the shares of a preset for a corpus that lacks one of its tiers, or has less than a window of it: then each tier counts by
/// its tokens.
pub(super) fn fit_shares(config: &mut TrainConfig, corpus: &Corpus, quiet: bool) {
    let shards = corpus.shards(Split::Train);
    let (shares, window) = (&config.sampling.shares, config.model.context as u64);
    let lacks = |tier: &String| shards.get(tier).is_none_or(|shard| shard.tokens() < window);
    if !shares.keys().any(lacks) {
        return;
    }
    let [named, there] = [
        shares.keys().cloned().collect::<Vec<_>>(),
        shards.keys().cloned().collect(),
    ]
    .map(|tiers| tiers.join(", "));
    remark(
        quiet,
        &format!(
            "the preset has shares for the tiers {named}; this corpus has {there}, so windows are drawn in proportion to the tokens of each tier"
        ),
    );
    config.sampling.shares.clear();
}

/// Tells what of the corpus takes no part.
pub(super) fn remarks(trainer: &Trainer<'_>, corpus: &Corpus, config: &TrainConfig, quiet: bool) -> Result<()> {
    let shares = &config.sampling.shares;
    for tier in corpus.shards(Split::Train).keys() {
        if !shares.is_empty() && !shares.contains_key(tier) {
            remark(
                quiet,
                &format!("the tier `{tier}` is left out: `sampling.shares` gives it no share"),
            );
        }
    }
    for (tier, tokens) in trainer.tiers_left_out() {
        let (tokens, window) = (grouped(*tokens), config.model.context);
        remark(
            quiet,
            &format!("the tier `{tier}` is left out: its {tokens} tokens are fewer than one window of {window}"),
        );
    }
    if let Some(why) = trainer.unmeasured()? {
        remark(quiet, &format!("the run goes on without measuring: {why}"));
    }
    Ok(())
}
