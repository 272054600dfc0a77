//! A text that has a slot, and what has been seen of it.

use std::collections::BTreeMap;
use std::time::Instant;

use drdiff_generation::Output;
use drdiff_solver::StepReport;

use super::{Finished, Job, Passed, Seconds, Update, Written};
use crate::metrics::Metrics;

/// A text at work.
pub(super) struct Active {
    pub(super) job: Job,
    seated: Instant,
    /// When the last block ended.
    turned: Instant,
    seconds: Seconds,
    /// Of the block that is denoised: its tokens so far, when each was committed how likely it was, passes and steps.
    canvas: Vec<Option<u32>>,
    likely: BTreeMap<usize, f64>,
    nfe: usize,
    steps: usize,
    /// Tokens and passes before it.
    tokens: usize,
    nfe_before: usize,
    nfe_by_block: Vec<usize>,
    probabilities: Vec<Option<f64>>,
}

impl Active {
    /// The job has a slot from now on.
    pub(super) fn new(job: Job, metrics: &Metrics) -> Self {
        let now = Instant::now();
        let queue = (now - job.came).as_secs_f64();
        metrics.queue.observe(queue);
        Self {
            job,
            seated: now,
            turned: now,
            seconds: Seconds {
                queue,
                ..Seconds::default()
            },
            canvas: Vec::new(),
            likely: BTreeMap::new(),
            nfe: 0,
            steps: 0,
            tokens: 0,
            nfe_before: 0,
            nfe_by_block: Vec::new(),
            probabilities: Vec::new(),
        }
    }

    /// Seconds that it waited.
    pub(super) fn queue_seconds(&self) -> f64 {
        self.seconds.queue
    }

    /// Since when it has its slot.
    pub(super) fn seated(&self) -> Instant {
        self.seated
    }

    /// A pass denoised the block; what is told of it to those who are shown provisional text.
    pub(super) fn passed(
        &mut self,
        [block, step, nfe]: [usize; 3],
        canvas: Vec<Option<u32>>,
        report: &StepReport,
    ) -> Option<Update> {
        self.canvas = canvas;
        self.nfe = nfe;
        self.steps = step + 1;
        self.likely.extend(
            report
                .committed
                .iter()
                .map(|choice| (choice.position, choice.probability)),
        );
        self.job.request.shows_predictions.then(|| {
            let committed = report.committed.iter().map(|choice| (choice, true));
            let provisional = report.provisional.iter().map(|choice| (choice, false));
            let set = committed.chain(provisional);
            Update::Passed(Passed {
                block,
                step,
                nfe,
                start: self.tokens,
                set: set
                    .map(|(choice, committed)| (choice.position, choice.token, choice.probability, committed))
                    .collect(),
                reabsorbed: report.reabsorbed.clone(),
            })
        })
    }

    /// The block is written: `text` is certain now, and the text has so many `tokens`.
    pub(super) fn written(&mut self, block: usize, text: String, tokens: usize, metrics: &Metrics) -> Update {
        let now = Instant::now();
        let seconds = (now - self.turned).as_secs_f64();
        match self.nfe_by_block.is_empty() {
            true => {
                self.seconds.first_block = (now - self.job.came).as_secs_f64();
                metrics.first_block.observe(self.seconds.first_block);
            }
            false => metrics.between_blocks.observe(seconds),
        }
        metrics.steps.observe(self.steps as f64);
        self.turned = now;
        let (from, nfe) = (self.tokens, self.nfe - self.nfe_before);
        let canvas = std::mem::take(&mut self.canvas);
        let likely = std::mem::take(&mut self.likely);
        let new = canvas.into_iter().flatten().take(tokens.saturating_sub(from));
        let ids: Vec<u32> = new.collect();
        let probabilities: Vec<Option<f64>> = (0..ids.len()).map(|position| likely.get(&position).copied()).collect();
        self.probabilities.extend(&probabilities);
        self.nfe_by_block.push(nfe);
        self.nfe_before = self.nfe;
        self.tokens = tokens.max(from);
        Update::Written(Written {
            block,
            nfe,
            steps: self.steps,
            text,
            from,
            ids,
            probabilities,
            seconds,
        })
    }

    /// The text is complete.
    pub(super) fn finished(mut self, output: Output, metrics: &Metrics) {
        self.seconds.total = self.job.came.elapsed().as_secs_f64();
        metrics.request.observe(self.seconds.total);
        metrics.generation_tokens.inc_by(output.ids.len() as u64);
        self.probabilities.truncate(output.ids.len());
        self.job.tell(Update::Finished(Box::new(Finished {
            output,
            nfe_by_block: self.nfe_by_block,
            probabilities: self.probabilities,
            seconds: self.seconds,
        })));
    }
}
