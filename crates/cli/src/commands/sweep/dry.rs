//! `--dry-run`: the cells of a sweep, and how many passes they will take.

use anyhow::Result;
use drdiff_generation::Prompt;
use drdiff_jobs::sweep::{Plan, descriptions};

use super::models::Model;
use crate::exit::Exit;
use crate::output::{Out, counted, grouped};

pub(super) fn list(plan: &Plan, models: &[Model], prompts: &[String], texts: usize) -> Result<Exit> {
    let mut text = format!("{:>5}  {:>12}  {:>8}  settings\n", "cell", "passes/text", "texts");
    let mut total = 0;
    for (index, described) in descriptions(&plan.cells).iter().enumerate() {
        let passes = passes(plan, index, models, prompts)?;
        total += passes * texts / prompts.len().max(1);
        text += &format!(
            "{:>5}  {:>12}  {:>8}  {}\n",
            index + 1,
            grouped((passes / prompts.len().max(1)) as u64),
            grouped(texts as u64),
            described
        );
    }
    text += &format!(
        "{}, {}, at most {} network passes\n",
        counted(plan.cells.len() as u64, "cell"),
        counted((texts * plan.cells.len()) as u64, "text"),
        grouped(total as u64)
    );
    for left_out in &plan.left_out {
        text += &format!("not run: {}: {}\n", left_out.what, left_out.reason);
    }
    Out::default().text(&text)?;
    Ok(Exit::Done)
}

/// Passes of one text for each prompt in a cell, at most.
pub(super) fn passes(plan: &Plan, index: usize, models: &[Model], prompts: &[String]) -> Result<usize> {
    let cell = &plan.cells[index];
    let model = models.iter().find(|model| model.id.name == cell.model);
    let lengths = prompts.iter().map(|prompt| match model {
        Some(model) => Ok(Prompt::new(prompt, model.engine.tokenizer())?.len()),
        None => Ok(0),
    });
    let lengths: Vec<usize> = lengths.collect::<Result<_>>()?;
    Ok(lengths.into_iter().map(|length| cell.passes(length)).sum())
}
