//! Reports over hand-made rows.

use drdiff_generation::Settings;
use drdiff_jobs::report::{Costs, Reading, Reference, Report, Row, Sample, verdict};
use drdiff_jobs::sweep::{Cell, LeftOut};

/// Rows of two block sizes and five step counts, whose perplexity falls with steps.
fn report(judge: Option<&str>) -> Report {
    let mut rows = Vec::new();
    for block_size in [8_usize, 32] {
        for steps in [1, 2, 4, 8, 16] {
            if steps <= block_size {
                rows.push(row(block_size, steps, 1.0, judge.is_some()));
            }
        }
    }
    rows.push(row(32, 16, 0.6, judge.is_some()));
    rows.push(row(32, 16, 1.3, judge.is_some()));
    Report {
        rows,
        judge: judge.map(str::to_owned),
        related: false,
        features: None,
        reference: None,
        device: "cpu".to_owned(),
        prompts: vec!["Once <b> upon & a time".to_owned(), String::new()],
        left_out: vec![LeftOut {
            what: "steps 16, block 8".to_owned(),
            reason: "more steps than positions".to_owned(),
        }],
        failed: 0,
        facts: vec![("commit".to_owned(), "<abc>".to_owned())],
    }
}

fn row(block_size: usize, steps: usize, temperature: f64, judged: bool) -> Row {
    let mut settings = Settings {
        block_size,
        ..Settings::default()
    };
    settings.sampler.steps = steps;
    settings.sampler.sampling.temperature = temperature;
    let cell = Cell {
        model: "bundled".to_owned(),
        settings,
    };
    let nfe = steps as f64 / block_size as f64;
    let perplexity = (20.0 + 6.0 / nfe.powf(0.8)) * temperature.powi(3);
    Row {
        settings: cell.columns(),
        texts: 4,
        tokens: 400,
        costs: Costs {
            nfe,
            seconds: 0.004 * nfe * (1.0 + block_size as f64 / 16.0),
            flops: 2e7 * nfe * block_size as f64,
        },
        reading: Reading {
            perplexity: judged.then_some(perplexity),
            perplexity_error: judged.then_some(0.02),
            entropy: 4.3 + 0.02 / nfe + 0.9 * (temperature - 1.0),
            distinct: Some(0.8),
            repeated: Some(0.05 / nfe.sqrt()),
            with_grams: [4, 4],
            distances: None,
        },
        samples: vec![Sample {
            prompt: 0,
            seed: 7,
            request: 0,
            text: format!("A text of {steps} steps </p><script>\u{1}\n\nin blocks of {block_size}."),
        }],
    }
}

#[test]
fn every_plot_is_well_formed_and_free_of_nan() {
    for judge in [None, Some("a judge & its <name>")] {
        let report = report(judge);
        let figures = report.figures();
        let names: Vec<&str> = figures.iter().map(|figure| figure.name).collect();
        match judge {
            Some(_) => assert_eq!(
                names,
                [
                    "quality_nfe",
                    "quality_seconds",
                    "quality_flops",
                    "frontier",
                    "degradation"
                ]
            ),
            None => assert_eq!(names.len(), 6),
        }
        for figure in figures {
            let svg = figure.svg().unwrap();
            let parsed = roxmltree::Document::parse(&svg).unwrap();
            assert_eq!(parsed.root_element().tag_name().name(), "svg");
            let marks = parsed
                .descendants()
                .filter(|node| node.attribute("class").is_some_and(|class| class.contains("mark")));
            assert!(marks.count() >= report.rows.len(), "{}", figure.name);
            for word in ["NaN", "inf"] {
                assert!(!svg.contains(word), "{word} in {}", figure.name);
            }
        }
    }
}

#[test]
fn numbers_that_are_none_are_not_drawn() {
    let mut report = report(Some("judge"));
    report.rows[2].reading.entropy = f64::NAN;
    report.rows[3].costs.seconds = f64::INFINITY;
    report.rows[4].costs.nfe = 0.0;
    report.rows[5].reading.perplexity = Some(f64::NAN);
    for figure in report.figures() {
        let svg = figure.svg().unwrap();
        roxmltree::Document::parse(&svg).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", figure.name);
    }
}

#[test]
fn the_page_stands_alone_and_escapes_what_it_quotes() {
    let html = report(Some("judge")).html();
    for outside in ["http://", "https://", "<script", "src=", "@import", "url("] {
        let found = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(outside), "{outside}");
    }
    assert!(html.contains("Once &lt;b&gt; upon &amp; a time"));
    assert!(html.contains("prefers-color-scheme: dark"));
    assert!(html.contains("more steps than positions"));
    assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
    assert!(html.contains("MDLM and Duo as published"));
}

#[test]
fn the_cheapest_setting_is_named_by_the_rule() {
    let mut report = report(Some("judge"));
    // Of the comparable rows, 23.0 is within 5 % of 22.0 and needs the fewest operations; 24.0 is not within 5 %.
    report.rows.truncate(5);
    for (row, (perplexity, entropy)) in
        report
            .rows
            .iter_mut()
            .zip([(15.0, 3.9), (24.0, 4.35), (23.0, 4.33), (22.0, 4.31), (24.5, 4.3)])
    {
        row.reading.perplexity = Some(perplexity);
        row.reading.entropy = entropy;
    }
    let found = verdict(&report);
    assert!(
        found[0].contains("within 5 % of the best is steps 4, block 8"),
        "{found:?}"
    );
    assert!(
        found[0].contains("23.00 under judge, against 22.00 for the best (steps 8, block 8)"),
        "{found:?}"
    );
    assert!(found[0].contains("2.00 times fewer operations"), "{found:?}");
    assert!(
        found
            .iter()
            .any(|sentence| sentence.contains("1 of 5 settings are further away")),
        "{found:?}"
    );

    // Next to human text of low entropy, the dull row is what is spoken of, and it alone.
    report.reference = Some(Reference {
        name: "stories".to_owned(),
        entropy: 3.8,
    });
    assert!(
        verdict(&report)[0].contains("steps 1, block 8"),
        "{:?}",
        verdict(&report)
    );
}

#[test]
fn a_related_judge_is_told() {
    let mut report = report(Some("judge"));
    let tells = |report: &Report| {
        verdict(report)
            .iter()
            .any(|sentence| sentence.contains("a relative of the writer"))
    };
    assert!(!tells(&report));
    report.related = true;
    assert!(tells(&report));
}

#[test]
fn without_a_judge_nothing_is_called_best() {
    let report = report(None);
    let found = verdict(&report);
    assert!(found[0].starts_with("No judge read the texts"));
    assert!(!report.html().contains("class=\"chosen\""));
}
