//! The memory of a sequence in the network, and the clean tokens on their way into it.

use drdiff_attention::{KvCache, LayerPlans, PassLayout};
use drdiff_data::Tokenizer;
use drdiff_model::{CachePool, CacheSizes, DenoisingNetwork, Visible};
use drdiff_solver::CommitSchedule;

use crate::drafts::DraftForm;
use crate::step_plan::{Predicts, StepPlan};
use crate::writing::Writing;
use crate::{Request, Result, Task};

/// Clean positions that a pass takes in at most, so that a long prompt does not need memory for all its activations.
pub(crate) const PREFILL: usize = 256;

/// Clean positions that a pass takes in at most: whole blocks, wherever the prompt is cut.
fn chunk(block_size: usize) -> usize {
    let chunk = PREFILL.max(block_size);
    chunk - chunk % block_size
}

/// Network passes that only take in a prompt of so many tokens, before the first one that denoises as well.
/// `block_size` is at least 1.
#[must_use]
pub fn prefill_passes(prompt: usize, block_size: usize) -> usize {
    prompt.div_ceil(chunk(block_size)).saturating_sub(1)
}

/// What stands before a text whose next tokens are predicted by the ones before: there is always a row before the first one.
pub(crate) fn first_row(text: &[u32], tokenizer: &Tokenizer) -> Option<u32> {
    match tokenizer.adds_start() {
        // Templates of conversations place it themselves.
        true => tokenizer.start().filter(|start| text.first() != Some(start)),
        false => text.is_empty().then(|| tokenizer.end_of_text()),
    }
}

/// Keys and values of a sequence, and what they are still to hold.
pub(crate) struct CacheSlot {
    cache: KvCache,
    /// For guidance: the same text with its first `prompt` tokens absorbed.
    unprompted: Option<KvCache>,
    prompt: usize,
    absorbed: u32,
    /// The prompt, or the block before the one that is denoised. The cache holds all but the last `left` of it: a long prompt is
    /// taken in pass by pass, and is not moved for that.
    clean: Vec<u32>,
    left: usize,
    /// Index of the first token that is left, or of the block if there is none, in the whole text.
    position: u64,
    block_size: usize,
    /// Whether clean positions see no later ones, and whether their rows predict the block, which then has one position.
    causal: bool,
    next_token: bool,
    /// Rows that a pass may have.
    pass: usize,
    /// What the last pass saw, which the next one often sees again.
    visible: Option<(PassLayout, Visible)>,
    /// What the block of the last pass retrieved, layer by layer.
    pub(crate) retrieved: Vec<Vec<usize>>,
}

impl CacheSlot {
    /// An empty slot for the text of `request`, which writes at most `budget` tokens in blocks of `block_size`; its prompt is to
    /// be taken in.
    pub(crate) fn new(
        request: &Request,
        (budget, block_size): (usize, usize),
        network: &dyn DenoisingNetwork,
        tokenizer: &Tokenizer,
        pool: &mut CachePool,
    ) -> Result<Self> {
        let (spec, can) = (network.spec(), network.spec().capabilities);
        let (mut clean, canvas) = match &request.task {
            Task::Continue(prompt) => (prompt.ids.clone(), budget),
            Task::Infill(canvas) => (Vec::new(), canvas.len()),
        };
        let prompt = clean.len();
        let next_token = can.next_token && block_size == 1 && matches!(request.task, Task::Continue(_));
        if next_token {
            clean.splice(0..0, first_row(&clean, tokenizer));
        }
        let sampler = &request.settings.sampler;
        let masked = match sampler.commit {
            // A draft behind each outcome of the check of another, which has rows of its own.
            CommitSchedule::Verified => (sampler.draft_length.most() + 1) * (sampler.draft_length.most() + 3),
            _ => block_size,
        };
        let pass = PREFILL.max(block_size) + masked;
        let sizes = CacheSizes {
            block_size,
            pass,
            text: clean.len() + canvas,
        };
        let mut cache = || network.cache(request.settings.attention, sizes, pool);
        let guided = request.settings.style_guidance != 1.0 && !clean.is_empty();
        Ok(Self {
            cache: cache()?,
            unprompted: guided.then(cache).transpose()?,
            prompt,
            absorbed: spec.vocab as u32,
            left: clean.len(),
            clean,
            position: 0,
            block_size,
            causal: can.causal_context,
            next_token,
            pass,
            visible: None,
            retrieved: Vec::new(),
        })
    }

    /// The caches of all views of the text: as it is and, under guidance, without the prompt.
    pub(crate) fn caches(&mut self) -> impl Iterator<Item = &mut KvCache> {
        std::iter::once(&mut self.cache).chain(&mut self.unprompted)
    }

    /// Index of the first row of the next pass in the whole text.
    pub(crate) fn position(&self) -> i64 {
        self.position as i64
    }

    /// How many of the tokens to come are read as they would be at block size 1: until the window is full.
    pub(crate) fn room(&self) -> usize {
        self.cache
            .window_size()
            .map_or(0, |window| (window + 1).saturating_sub(self.clean.len()))
    }

    /// Clean rows and others in the next pass of a sequence.
    pub(crate) fn lengths(&self, writing: &Writing, form: DraftForm) -> (usize, usize) {
        let clean = self.left.min(chunk(self.block_size));
        match (self.predicts(clean, writing, form), writing) {
            (Predicts::Block, Writing::Block(block)) => (clean, block.len()),
            (Predicts::Drafts(rows), _) => {
                let masked = rows.branches().iter().map(|branch| branch.rows).sum();
                (clean + rows.checks - 1, masked)
            }
            _ => (clean, 0),
        }
    }

    /// What a pass predicts that takes in so many clean tokens of the text.
    fn predicts(&self, clean: usize, writing: &Writing, form: DraftForm) -> Predicts {
        match (clean == self.left, writing) {
            (false, _) => Predicts::Nothing,
            (true, Writing::Drafts(drafts)) => Predicts::Drafts(drafts.rows(clean, form, self.next_token)),
            (true, Writing::Block(_)) if self.next_token => Predicts::NextToken,
            (true, Writing::Block(_)) => Predicts::Block,
        }
    }

    /// The next pass of a sequence.
    pub(crate) fn plan(&mut self, writing: &Writing, form: DraftForm) -> Result<StepPlan> {
        let count = self.left.min(chunk(self.block_size));
        let predicts = self.predicts(count, writing, form);
        let from = self.clean.len() - self.left;
        let mut clean = self.clean[from..from + count].to_vec();
        if let (Predicts::Drafts(_), Writing::Drafts(drafts)) = (&predicts, writing) {
            clean.extend(drafts.run.drafts());
        }
        let layout = PassLayout {
            committed: self.cache.visible(),
            clean: clean.len(),
            clean_block: if self.causal { 1 } else { self.block_size },
            noisy: match (&predicts, writing) {
                (Predicts::Block, Writing::Block(block)) => block.len(),
                _ => 0,
            },
        };
        let visible = self.visible(layout, &predicts)?;
        let hidden = self.prompt.saturating_sub(self.position as usize).min(count);
        let unprompted = self.unprompted.as_ref().map(|_| {
            let prompt = std::iter::repeat_n(self.absorbed, hidden);
            prompt.chain(clean[hidden..].iter().copied()).collect()
        });
        Ok(StepPlan {
            clean,
            unprompted,
            predicts,
            visible,
        })
    }

    /// What the rows of a pass see.
    fn visible(&mut self, layout: PassLayout, predicts: &Predicts) -> Result<Visible> {
        if let Predicts::Drafts(rows) = predicts
            && (rows.text == 1 || !rows.branches().is_empty())
        {
            let branches = rows.branches();
            let sizes: Vec<usize> = branches.iter().map(|branch| branch.rows).collect();
            let reads = self.cache.plan_branches(layout, &branches)?;
            return Ok(LayerPlans::from(reads).in_blocks(layout.blocks_of(&sizes)).into());
        }
        let visible = match &self.visible {
            Some((known, visible)) if *known == layout => visible.clone(),
            _ => Visible {
                plan: LayerPlans::from(self.cache.plan(layout)?).in_blocks(layout.blocks()),
                units: self.cache.units(layout)?,
            },
        };
        self.visible = Some((layout, visible.clone()));
        Ok(visible)
    }

    /// The pass is over: the first `kept` of its clean tokens are in the cache.
    pub(crate) fn passed(&mut self, plan: &StepPlan, kept: usize) -> Result<()> {
        if let Some(units) = &plan.visible.units {
            self.retrieved = self.cache.choices()?.of(units, &(plan.clean.len()..units.rows()));
        }
        // What was drafted is not among those that are left.
        self.left -= kept.min(self.left);
        self.position += kept as u64;
        let next = self.pass;
        Ok(self.caches().try_for_each(|cache| cache.commit(kept, next))?)
    }

    /// A block is written: its `tokens` enter with the next pass.
    pub(crate) fn push(&mut self, tokens: Vec<u32>) {
        self.left = tokens.len();
        self.clean = tokens;
    }
}
