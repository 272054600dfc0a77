//! `drdiff fit-grid`, and what it is used for.

use crate::fixture::{RunExt, documents, drdiff, fixture, generate};

#[test]
fn a_grid_is_fitted_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let (text, grid) = (dir.path().join("text.jsonl"), dir.path().join("grid.json"));
    std::fs::write(&text, documents(0..3)).unwrap();
    let fit = |more: &[&str]| {
        let mut command = drdiff();
        command
            .arg("fit-grid")
            .arg("--text")
            .arg(&text)
            .arg("--model")
            .arg(fixture().model());
        command
            .args(["--block-size", "8", "--windows", "1", "--window", "32", "-o"])
            .arg(&grid)
            .args(more);
        command.run()
    };
    let table = fit(&["--steps", "4"]).succeeds();
    for name in ["fitted", "time", "log-snr", "quadratic", "learned"] {
        assert!(table.contains(name), "{table}");
    }
    let read = || -> serde_json::Value { serde_json::from_slice(&std::fs::read(&grid).unwrap()).unwrap() };
    let file = read();
    assert_eq!(file["log_snr"].as_array().unwrap().len(), 4, "a point for each step");
    let error = |index: usize| file["errors"][index][1].as_f64().unwrap();
    assert!((1..5).all(|named| error(0) <= error(named) + 1e-9), "{file}");
    let learned = &file["learned"];
    assert_eq!(learned["schedule"]["type"], "gumbel");
    assert_eq!(learned["log_snr"].as_array().unwrap().len(), 4);
    fit(&["--steps", "4", "--quiet"]).succeeds();
    assert_eq!(read(), file, "the same again");

    let path = grid.to_str().unwrap();
    let write = |grid: &str| {
        let args = [
            "x",
            "--tokens",
            "8",
            "--steps",
            "4",
            "--process",
            "gaussian",
            "--grid",
            grid,
            "--quiet",
        ];
        generate(&args).run()
    };
    write(path).succeeds();
    assert_eq!(
        write("time").succeeds(),
        generate(&["x", "--tokens", "8", "--steps", "4", "--process", "gaussian"])
            .run()
            .succeeds()
    );
    write("tima").fails(2, &["cannot read the grid tima", "log-snr"]);
    write(text.to_str().unwrap()).fails(2, &["is no grid", "drdiff fit-grid"]);
    fit(&["--steps", "1"]).fails(2, &["--steps of at least 2"]);
    fit(&["--solver", "sde-2m"]).fails(2, &["sde-2m", "dpmpp-2m"]);
}

#[test]
fn the_prompt_can_be_followed_more_closely() {
    let json = |weight: &str| {
        let args = ["Nobody", "--tokens", "8", "--json", "--style-guidance", weight];
        generate(&args).run().json()
    };
    let (plain, closer) = (json("1"), json("2.5"));
    assert_eq!(closer["nfe"].as_u64().unwrap(), 2 * plain["nfe"].as_u64().unwrap());
    assert_eq!(
        plain["text"],
        generate(&["Nobody", "--tokens", "8", "--json"]).run().json()["text"]
    );
    let refused = generate(&["x", "--style-guidance", "nan"]).run();
    assert_eq!(refused.code(), 2);
    assert!(
        refused.stderr().contains("a finite number is wanted"),
        "{}",
        refused.stderr()
    );
}
