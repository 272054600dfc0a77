//! The page: one HTML file, without scripts and without anything from elsewhere.

use super::plot::{STYLE, escape};
use super::{Report, samples, tables, verdict};

const PAGE_STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1f2328;--soft:#59636e;--line:#d8dee4;--paper:#ffffff;--card:#f6f8fa;--mark:#ddf4e4}
@media (prefers-color-scheme: dark){:root{--ink:#e6edf3;--soft:#9198a1;--line:#2f353d;--paper:#0d1117;--card:#151b23;--mark:#12361f}}
body{font:15px/1.55 system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;color:var(--ink);background:var(--paper);
max-width:1080px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:24px;margin:0 0 12px}h2{font-size:18px;margin:36px 0 10px;border-bottom:1px solid var(--line);padding-bottom:4px}
.lead{font-size:17px;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 16px}
p,li{max-width:80ch}small,.soft{color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:4px 10px;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}
thead th{color:var(--soft);font-weight:600}.n{text-align:right}
tr.chosen td{background:var(--mark);font-weight:600}tr.group th{padding-top:14px;color:var(--soft)}
.facts td{white-space:pre-wrap;overflow-wrap:anywhere;font-family:ui-monospace,'DejaVu Sans Mono',monospace;font-size:12px}
.facts th{vertical-align:top}
.plots svg{max-width:100%;height:auto;display:block;margin:0 0 18px}
details{margin:10px 0}summary{cursor:pointer;font-weight:600}
.texts{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:12px;margin-top:10px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 12px}
figcaption{color:var(--soft);font-size:12px;font-weight:600}
figure p{margin:6px 0 0;font-size:13px;line-height:1.45;white-space:pre-wrap;overflow-wrap:anywhere}
";

const COSTS: &str = "\
<p class=\"soft\">A token is one of the text; what was committed behind its end is paid for and not counted. \
<b>Passes</b> are network calls, also those that only take in a long prompt. <b>Operations</b> are those of the network's \
linear maps, logits and attention, counted from its shape and the rows of every pass; norms, activations and drawing are \
left out. <b>Time</b> is that of the passes and the drawing, without loading and judging.</p>
";

const DEGRADATION: &str = "\
<p class=\"soft\">Dashed: MDLM and Duo as published (appendix of arXiv 2506.10892), relative to 1,024 steps, for texts of \
1,024 tokens, trained on OpenWebText and judged by GPT-2 Large. Model, data, length and judge are others, so only the \
shape can be compared. Hollow: more than 0.15 nats in entropy away from the setting with the most steps.</p>
";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let findings = verdict::verdict(report);
    let mut sentences = findings.iter().map(|sentence| format!("<p>{}</p>\n", escape(sentence)));
    let lead = sentences
        .next()
        .unwrap_or_default()
        .replacen("<p>", "<p class=\"lead\">", 1);
    let rest: String = sentences.collect();
    let failed = match report.failed {
        0 => String::new(),
        count => {
            format!("<p><b>{count} texts failed and are missing here; run the command again to write them.</b></p>\n")
        }
    };
    let plots: String = report
        .figures()
        .iter()
        .filter_map(|figure| {
            let note = if figure.name == "degradation" { DEGRADATION } else { "" };
            figure.inline().map(|svg| svg + note)
        })
        .collect();
    let results = tables::results(report, &report.bands());
    let left_out = tables::left_out(report);
    let texts = samples::samples(report);
    let facts = tables::facts(&report.facts);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>DrDiff sweep</title>\n\
         <style>\n{PAGE_STYLE}{STYLE}</style>\n</head>\n<body>\n<h1>How few steps are enough?</h1>\n\
         {lead}{failed}{rest}<h2>Settings</h2>\n{results}{COSTS}{left_out}\
         <h2>Plots</h2>\n<div class=\"plots\">\n{plots}</div>\n<h2>Texts side by side</h2>\n\
         <p class=\"soft\">The same prompt and the same noise under every setting.</p>\n{texts}\
         <h2>How this was made</h2>\n{facts}</body>\n</html>\n"
    )
}
