//! Layers over a section of our own, and the presets over the real ones.

use std::collections::BTreeMap;

use drdiff_configs::{Error, Inputs, Origin, Preset, Resolved, Section, presets};
use drdiff_diffusion::MaskedShare;
use drdiff_generation::settings::Configured;
use drdiff_jobs::sweep::SweepConfig;
use drdiff_training::{MuonConfig, TrainConfig};
use serde::{Deserialize, Serialize};

/// All shapes that configurations have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sample {
    steps: u64,
    name: String,
    rate: f64,
    order: Order,
    sizes: BTreeMap<usize, f64>,
    list: Vec<u32>,
    inner: Inner,
    maybe: Option<Inner>,
    kind: Kind,
}

impl Default for Sample {
    fn default() -> Self {
        let sizes = BTreeMap::from([(1, 0.5)]);
        let (inner, kind) = (Inner::default(), Kind::Plain);
        Self {
            steps: 1,
            name: "a: b".into(),
            rate: 0.1,
            order: Order::First,
            sizes,
            list: vec![1, 2],
            inner,
            maybe: None,
            kind,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Inner {
    temperature: f64,
    top_p: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    First,
    Second,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Kind {
    Plain,
    Bell { centre: f64, width: f64 },
    Clipped { low: f64 },
}

impl Section for Sample {
    const NAME: &'static str = "sample";
    const BASE: Option<&'static str> = None;

    fn check(&self) -> Result<(), String> {
        if self.steps == 0 {
            Err("`steps` is 0; give it at least 1".into())
        } else {
            Ok(())
        }
    }
}

/// Inputs with a file of this text; keep the folder.
fn with_file(text: &str) -> (tempfile::TempDir, Inputs) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("my.yaml");
    std::fs::write(&path, text).expect("a writable folder");
    let mut inputs = Inputs::default();
    inputs.config(&path.display().to_string());
    (dir, inputs)
}

fn sample(text: &str, sets: &[&str]) -> Result<Resolved<Sample>, Error> {
    let (_dir, mut inputs) = with_file(text);
    sets.iter().for_each(|set| inputs.set(set));
    inputs.resolve()
}

/// The message of a configuration that must fail, without the folder.
fn failure(text: &str, sets: &[&str]) -> String {
    let (dir, mut inputs) = with_file(text);
    sets.iter().for_each(|set| inputs.set(set));
    let error = inputs.resolve::<Sample>().expect_err("a configuration that must fail");
    error.to_string().replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn later_layers_win_and_origins_are_known() {
    let (dir, mut inputs) = with_file("steps: 2\nrate: 1e-3\ninner:\n  top_p: 0.9\n  temperature: 2\n");
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    inputs.environment([
        variable("DRDIFF_SAMPLE__INNER__TOP_P", "0.8"),
        variable("DRDIFF_SAMPLE__RATE", "2e-3"),
        variable("DRDIFF_OTHER__RATE", "7"),
        variable("HOME", "x"),
    ]);
    inputs.set("rate=3e-3");
    inputs.flag("--order", "order", "second");
    let resolved: Resolved<Sample> = inputs.resolve().unwrap();
    let inner = Inner {
        temperature: 2.0,
        top_p: 0.8,
    };
    assert_eq!(
        resolved.value,
        Sample {
            steps: 2,
            rate: 3e-3,
            order: Order::Second,
            inner,
            ..Sample::default()
        }
    );

    let origin = |path: &str| {
        resolved
            .origin(path)
            .to_string()
            .replace(&format!("{}/", dir.path().display()), "")
    };
    assert_eq!(origin("steps"), "my.yaml:1");
    assert_eq!(origin("inner.temperature"), "my.yaml:5");
    assert_eq!(origin("inner.top_p"), "$DRDIFF_SAMPLE__INNER__TOP_P");
    assert_eq!(origin("rate"), "--set rate=3e-3");
    assert_eq!(origin("order"), "--order second");
    assert_eq!(resolved.origin("name"), Origin::Default);
}

#[test]
fn maps_merge_unless_told_otherwise() {
    let sizes = |text: &str, sets: &[&str]| sample(text, sets).unwrap().value.sizes;
    assert_eq!(
        sizes("sizes: {2: 1}", &["sizes.4=3"]),
        BTreeMap::from([(2, 1.0), (4, 3.0)])
    );
    assert_eq!(
        sizes("sizes: {2: 1, 8: 1}", &["sizes.2=null"]),
        BTreeMap::from([(8, 1.0)])
    );
    assert_eq!(
        sizes("sizes: {2: 1}", &["sizes=!only {16: 1}"]),
        BTreeMap::from([(16, 1.0)])
    );
    assert_eq!(sample("list: [5]", &["list=[]"]).unwrap().value.list, [0u32; 0]);

    let text = "kind: {type: bell, centre: 0.5, width: 2}";
    let kind = |set: &str| sample(text, &[set]).unwrap().value.kind;
    assert_eq!(
        kind("kind.width=1"),
        Kind::Bell {
            centre: 0.5,
            width: 1.0
        }
    );
    assert_eq!(kind("kind={type: clipped, low: 0.1}"), Kind::Clipped { low: 0.1 });
    assert_eq!(sample("maybe: {top_p: 1}", &["maybe=null"]).unwrap().value.maybe, None);
}

#[test]
fn unknown_keys_name_the_nearest_one_and_the_line() {
    let message = failure("steps: 2\ninner:\n  temprature: 2\n", &[]);
    assert_eq!(
        message,
        "my.yaml:3: unknown key `inner.temprature`; did you mean `temperature`?\n    3 |   temprature: 2"
    );
    assert_eq!(
        failure("", &["stpes=3"]),
        "--set stpes=3: unknown key `stpes`; did you mean `steps`?"
    );
    let far = failure("xyzzy: 1\n", &[]);
    assert!(
        far.contains("unknown key `xyzzy`; known here: steps, name, rate"),
        "{far}"
    );
    let inside = failure("kind: {type: clipped, lwo: 1}\n", &[]);
    assert!(
        inside.contains("unknown key `kind.lwo`; did you mean `low`?"),
        "{inside}"
    );
}

#[test]
fn wrong_values_name_the_line_and_what_was_expected() {
    let kind = failure("rate: 1\nsteps: soon\n", &[]);
    assert!(
        kind.starts_with("my.yaml:2: `steps`: invalid type: string \"soon\", expected u64\n"),
        "{kind}"
    );
    let name = failure("order: secnod\n", &[]);
    assert!(
        name.contains("`order` cannot be `secnod`; did you mean `second`?"),
        "{name}"
    );
    let key = failure("sizes: {many: 1}\n", &[]);
    assert!(key.contains("`sizes.many`: this key must be a whole number"), "{key}");
    let missing = failure("kind:\n  type: bell\n  width: 1\n", &[]);
    assert!(
        missing.starts_with("my.yaml:1: `kind` lacks the key `centre`"),
        "{missing}"
    );
    assert_eq!(
        failure("steps: 0\n", &[]),
        "the sample configuration does not work: `steps` is 0; give it at least 1"
    );
}

#[test]
fn documents_that_are_not_settings_are_refused() {
    let syntax = failure("steps: 1\nrate: [1, 2\n", &[]);
    assert!(
        syntax.starts_with("my.yaml:") && syntax.contains("not valid YAML") && syntax.contains(" | "),
        "{syntax}"
    );
    assert!(failure("steps: 1\nsteps: 2\n", &[]).contains("duplicate entry"));
    assert!(failure("- a\n", &[]).contains("my.yaml must be a map of settings"));
    assert!(failure("list: !wrong [1]\n", &[]).contains("the tag !wrong is unknown"));
    assert_eq!(
        failure("", &["steps"]),
        "`--set steps` says no value; write it as `--set key.key=value`"
    );
    assert_eq!(sample("# nothing\n", &[]).unwrap().value, Sample::default());
}

#[test]
fn what_is_shown_can_be_read_back() {
    let text = "steps: 7\nmaybe: {top_p: 0.5}\nkind: {type: bell, centre: 0.5, width: 2}\nlist: []\n";
    let first = sample(text, &[]).unwrap();
    for origins in [false, true] {
        assert_eq!(sample(&first.show(origins).unwrap(), &[]).unwrap().value, first.value);
    }
    let shown = first.show(true).unwrap();
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("steps: 7 ") && line.ends_with("my.yaml:1")),
        "{shown}"
    );
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("rate: 0.1 ") && line.ends_with("# default")),
        "{shown}"
    );
}

#[test]
fn files_can_name_their_preset() {
    let (_dir, inputs) = with_file("preset: tiny\nsteps: 9\n");
    let resolved: Resolved<TrainConfig> = inputs.resolve().unwrap();
    assert_eq!(resolved.value.steps, 9);
    assert!(resolved.origin("model.width").to_string().starts_with("preset tiny:"));

    // So can presets.
    let mut inputs = Inputs::default();
    inputs.config("distill");
    let resolved: Resolved<TrainConfig> = inputs.resolve().unwrap();
    assert!(resolved.origin("model.width").to_string().starts_with("preset small:"));
    assert!(resolved.origin("steps").to_string().starts_with("preset distill:"));
    assert!(resolved.value.distill.is_some());

    let mut inputs = Inputs::default();
    inputs.config("smal");
    let message = inputs.resolve::<TrainConfig>().unwrap_err().to_string();
    assert_eq!(
        message,
        "there is no train preset `smal` (did you mean `small`?); there are tiny, small, adapt, distill, passkey, routed"
    );
    let mut inputs = Inputs::default();
    inputs.config("small.yaml");
    let message = inputs.resolve::<TrainConfig>().unwrap_err().to_string();
    assert!(
        message.ends_with("for the preset of that name write `--config small`"),
        "{message}"
    );
}

#[test]
fn every_preset_resolves_and_says_what_it_is() {
    fn resolve<T: Section>(preset: &Preset) {
        let mut inputs = Inputs::default();
        inputs.config(preset.name);
        inputs
            .resolve::<T>()
            .unwrap_or_else(|e| panic!("{}/{}: {e}", preset.section, preset.name));
        for word in ["Command:", "Time:", "Expected:"] {
            assert!(
                preset.header().any(|line| line.starts_with(word)),
                "{}: {word}",
                preset.name
            );
        }
    }
    presets("train").for_each(resolve::<TrainConfig>);
    presets("generate").for_each(resolve::<Configured>);
    presets("sweep").for_each(resolve::<SweepConfig>);
    assert!(presets("train").count() >= 2 && presets("generate").count() >= 1);
}

/// What docs/attention.md shows as the defaults are the defaults, all of them.
#[test]
fn the_attention_that_the_documentation_shows_is_the_default() {
    let page = include_str!("../../../docs/attention.md");
    let blocks = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let mut plans = Vec::new();
    for shown in blocks.filter(|block| block.starts_with("model:\n")) {
        let attention = |text: &str| {
            let (_dir, mut inputs) = with_file(&format!("preset: tiny\n{text}"));
            inputs.set("model.context=256");
            inputs.resolve::<TrainConfig>().unwrap().value.model.attention
        };
        let (attention, mut default) = (attention(shown), attention(""));
        default.plan = attention.plan;
        assert_eq!(attention, default);
        let numbers = &serde_json::to_value(&attention).unwrap()[attention.plan.name()];
        for name in numbers.as_object().unwrap().keys() {
            assert!(shown.contains(&format!("\n      {name}:")), "`{name}` is not shown");
        }
        plans.push(attention.plan.name());
    }
    assert_eq!(plans, ["length_adaptive", "retrieval"]);
}

#[test]
fn training_recipes_are_switched_on_by_name() {
    let recipes = "preset: tiny\n\
        zero_init_projections: true\n\
        levels: {masked_share: {type: bell, centre: 0.5, width: 0.5}}\n\
        masked_shares:\n  4: {type: clipped, low: 0.45, high: 0.95}\n\
        optimizer: {muon: {}}\n";
    let (_dir, mut inputs) = with_file(recipes);
    let config = inputs.resolve::<TrainConfig>().unwrap().value;
    assert!(config.zero_init_projections);
    assert_eq!(config.optimizer.muon, Some(MuonConfig::default()));
    assert_eq!(
        config.levels(1).masked_share,
        MaskedShare::Bell {
            centre: 0.5,
            width: 0.5
        }
    );
    assert_eq!(
        config.levels(4).masked_share,
        MaskedShare::Clipped { low: 0.45, high: 0.95 }
    );

    inputs.set("optimizer.muon.rate=2");
    let config = inputs.resolve::<TrainConfig>().unwrap().value;
    assert_eq!(config.optimizer.muon.map(|muon| muon.rate), Some(2.0));
    inputs.set("optimizer.muon.rate=0");
    let message = inputs.resolve::<TrainConfig>().unwrap_err().to_string();
    assert!(message.contains("`optimizer.muon.rate` is 0"), "{message}");

    let mut inputs = Inputs::default();
    inputs.config("tiny");
    let plain = inputs.resolve::<TrainConfig>().unwrap().value;
    assert!(plain.optimizer.muon.is_none() && !plain.zero_init_projections && plain.masked_shares.is_empty());
}

/// What older files hold reads as before: nothing that came later is switched on.
#[test]
fn a_training_configuration_without_the_switches_reads() {
    let mut inputs = Inputs::default();
    inputs.config("tiny");
    let config = inputs.resolve::<TrainConfig>().unwrap().value;
    let mut older = serde_json::to_value(&config).unwrap();
    for later in ["zero_init_projections", "masked_shares"] {
        older.as_object_mut().unwrap().remove(later).unwrap();
    }
    assert!(older["optimizer"].get("muon").is_none());
    assert_eq!(serde_json::from_value::<TrainConfig>(older).unwrap(), config);
}
