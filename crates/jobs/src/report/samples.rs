//! Texts side by side: the same prompt and noise under every setting.

use super::Report;
use super::plot::escape;
use super::row::{Sample, varied};

/// Most prompts whose texts are shown; the others are in the journal.
const PROMPTS: usize = 6;

/// For each of the first prompts its first text, under every setting.
pub(super) fn samples(report: &Report) -> String {
    let names = varied(&report.rows);
    let mut html = String::new();
    for (index, prompt) in report.prompts.iter().enumerate().take(PROMPTS) {
        let Some(first) = report
            .rows
            .iter()
            .find_map(|row| row.samples.iter().find(|sample| sample.prompt == index))
        else {
            continue;
        };
        let is_it =
            |sample: &&Sample| (sample.prompt, sample.seed, sample.request) == (index, first.seed, first.request);
        let heading = match prompt.is_empty() {
            true => "Without a prompt".to_owned(),
            false => format!("“{}”", escape(prompt)),
        };
        let open = if index == 0 { " open" } else { "" };
        html += &format!(
            "<details{open}><summary>{heading} <small>seed {}</small></summary>\n<div class=\"texts\">\n",
            first.seed
        );
        for row in &report.rows {
            let Some(sample) = row.samples.iter().find(is_it) else {
                continue;
            };
            let label = match row.label(&names) {
                label if label.is_empty() => "the only setting".to_owned(),
                label => escape(&label),
            };
            let text = escape(&sample.text);
            html += &format!("<figure><figcaption>{label}</figcaption><p>{text}</p></figure>\n");
        }
        html += "</div>\n</details>\n";
    }
    html
}
