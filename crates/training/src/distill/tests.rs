//! Lessons on networks small enough to know the truth.

use candle_core::{DType, Device, Tensor};
use drdiff_attention::{LayerPlans, NoisyClean, Pattern};
use drdiff_diffusion::{LevelMixture, Levels, ScheduleConfig};
use drdiff_kernels::{Builder, Params, Rotary, SoftTarget, Source, Tape, categorical};
use drdiff_model::{Layout, ModelConfig, Network, NoisedBatch, NoisedInput, TrainableNetwork};
use drdiff_noise::Noise;

use super::commits::Commits;
use super::path::Path;
use super::{DistillConfig, DistillLoss, Lesson, TeacherOrder, learn, teach};
use crate::{Optimizer, OptimizerConfig};

const VOCAB: usize = 6;
const NOISE: Noise = Noise::new(11, 0);

/// A tiny network for windows of `len` tokens that are one block of `block_size` after another.
struct Toy {
    network: Network,
    params: Params,
    len: usize,
    plan: LayerPlans,
    rotary: Rotary,
}

impl Toy {
    fn new(len: usize, block_size: usize, seed: u64) -> Self {
        let config: ModelConfig = serde_json::from_value(serde_json::json!({
            "vocab": VOCAB, "width": 16, "embed": 16, "layers": 2, "heads": 1, "kv_heads": 1, "head_dim": 16,
            "hidden": 32, "context": len, "noise_conditioning": true
        }))
        .unwrap();
        let builder = Builder::new(Source::Init(Noise::new(seed, 0)), &Device::Cpu);
        let network = Network::new(&builder, &config, DType::F32).unwrap();
        let positions = (0..len as i64).chain(0..len as i64).collect();
        Self {
            network,
            params: builder.finish().0,
            len,
            plan: NoisyClean::default().plan(len, block_size).unwrap(),
            rotary: Rotary::new(&[positions], 16, 10_000.0, &Device::Cpu).unwrap(),
        }
    }

    fn layout(&self) -> Layout<'_> {
        Layout {
            plan: self.plan.clone(),
            units: None,
            rotary: &self.rotary,
        }
    }

    fn corrupt(&self, tokens: &[u32], levels: &Levels, key: u64) -> NoisedBatch {
        NoisedBatch::new(tokens, levels, tokens.len() / self.len, (VOCAB, 16), (NOISE, key))
    }

    fn optimizer(&self) -> (Optimizer, OptimizerConfig) {
        let config = OptimizerConfig {
            ema: 0.0,
            ..Default::default()
        };
        (Optimizer::new(&self.params, &config).unwrap(), config)
    }

    fn teach(&self, corrupted: &NoisedBatch, lesson: &Lesson) -> (NoisedInput, SoftTarget) {
        let tables = self.network.tables(None).unwrap();
        let rows = corrupted.place(&self.network, &tables).unwrap();
        let target = teach(&self.network, &tables, &rows, lesson, &self.layout()).unwrap();
        (rows, target)
    }
}

fn rows_of(p: &Tensor) -> Vec<Vec<f32>> {
    p.to_vec2().unwrap()
}

fn absorbed(count: usize) -> Levels {
    Levels {
        snr: vec![0.0; count],
        weight: vec![1.0; count],
    }
}

/// Texts are "aa" or "bb": each letter is even odds, and either tells the other.
fn pairs(count: usize, key: u64) -> Vec<u32> {
    let text = |at| [u32::from(NOISE.uniform(drdiff_noise::Purpose::Data, key, at) < 0.5); 2];
    (0..count as u64).flat_map(text).collect()
}

fn trained_on_pairs() -> Toy {
    let toy = Toy::new(2, 2, 1);
    let (mut adam, config) = toy.optimizer();
    for key in 0..150 {
        let levels = LevelMixture::absorbing_only().draw(&NOISE, key, 32, 2, 2).unwrap();
        let corrupted = toy.corrupt(&pairs(32, key), &levels, key);
        let tape = Tape::new();
        let loss = toy
            .network
            .loss(&corrupted, &toy.layout(), false, None, Some(&tape))
            .unwrap();
        adam.step(tape.backward(&loss.value).unwrap(), 1e-2, &config).unwrap();
    }
    toy
}

#[test]
fn one_step_knows_marginals_and_the_teacher_draws_jointly() {
    const PAIRS: usize = 400;
    let toy = trained_on_pairs();
    let levels = absorbed(2 * PAIRS);
    let corrupted = toy.corrupt(&pairs(PAIRS, 900), &levels, 900);
    let lesson = |passes| Commits::draw(&levels, 2, (2, 2), (passes, TeacherOrder::Random, 1.0), (NOISE, 900));

    // In one step both letters are drawn from even odds: half of the texts would be "ab" or "ba".
    let (_, alone) = toy.teach(&corrupted, &Lesson::Absorbing(lesson(1)));
    for p in rows_of(&alone.probabilities(0, 2 * PAIRS).unwrap()) {
        assert!((p[0] - 0.5).abs() < 0.1 && (p[1] - 0.5).abs() < 0.1, "{p:?}");
    }

    // In two, the second letter of each text is the one that was drawn first.
    let commits = lesson(2);
    let (_, target) = toy.teach(&corrupted, &Lesson::Absorbing(commits.clone()));
    let p = rows_of(&target.probabilities(0, 2 * PAIRS).unwrap());
    let first = Tensor::new(commits.kept[0].as_slice(), &Device::Cpu).unwrap();
    let h = target.parts[0].0.index_select(&first, 0).unwrap();
    let draws = Tensor::new(commits.draws[0].as_slice(), &Device::Cpu).unwrap();
    let drawn = categorical(&h, &target.table, &target.bias, &draws)
        .unwrap()
        .to_vec1::<u32>()
        .unwrap();
    assert_eq!((commits.kept[0].len(), commits.kept[1].len()), (PAIRS, PAIRS));
    for (place, token) in commits.kept[0].iter().zip(&drawn) {
        assert!(
            (p[*place as usize][0] - 0.5).abs() < 0.1,
            "still open when it was predicted"
        );
        let other = &p[(place ^ 1) as usize];
        assert!(other[*token as usize] > 0.95, "drew {token}, then {other:?}");
    }
    let ones = drawn.iter().filter(|token| **token == 1).count();
    assert!((PAIRS * 4 / 10..PAIRS * 6 / 10).contains(&ones), "{ones} of {PAIRS}");

    // On average the targets are what one step knows: tokens of one step stay independent, whatever is learned.
    let mean = p.iter().map(|p| p[0]).sum::<f32>() / (2 * PAIRS) as f32;
    assert!((mean - 0.5).abs() < 0.1, "{mean}");

    // A cold teacher always draws the likelier letter first, and teaches texts of that letter alone.
    let (_, bias) = toy.params.vars().find(|(name, _)| *name == "bias").unwrap();
    let likelier = Tensor::new(&[1.0f32, 0.0, 0.0, 0.0, 0.0, 0.0], &Device::Cpu).unwrap();
    bias.set(&(bias.as_tensor() + likelier).unwrap()).unwrap();
    let cold = Commits::draw(&levels, 2, (2, 2), (2, TeacherOrder::Random, 0.05), (NOISE, 900));
    let (_, target) = toy.teach(&corrupted, &Lesson::Absorbing(cold.clone()));
    let p = rows_of(&target.probabilities(0, 2 * PAIRS).unwrap());
    assert!(cold.kept[1].iter().all(|place| p[*place as usize][0] > 0.9));
    assert!(
        cold.kept[0].iter().all(|place| p[*place as usize][0] < 0.9),
        "targets are not cold themselves"
    );
}

/// Windows of 8 tokens in blocks of 4, and one lesson of each kind.
fn lessons() -> (Toy, Vec<(NoisedBatch, Lesson, DistillConfig)>) {
    let (teacher, batch, len) = (Toy::new(8, 4, 2), 2, 8);
    let tokens: Vec<u32> = (0..(batch * len) as u32).map(|i| i * i % VOCAB as u32).collect();
    let soft = |snr: f32| Levels {
        snr: vec![snr; batch * len],
        weight: vec![1.0; batch * len],
    };
    let schedule = ScheduleConfig::default();
    let commits = Commits::draw(
        &absorbed(batch * len),
        len,
        (4, 4),
        (2, TeacherOrder::Random, 1.0),
        (NOISE, 1),
    );
    let with = |levels: &Levels, lesson, change: fn(&mut DistillConfig)| {
        let mut config = DistillConfig {
            plain: 0.0,
            segment: 2,
            ..Default::default()
        };
        change(&mut config);
        (teacher.corrupt(&tokens, levels, 1), lesson, config)
    };
    let solver = Path::solver(&soft(2.0), &schedule, 0.5, 2);
    let consistency = Path::consistency(&soft(1.0), &soft(5.0));
    let lessons = vec![
        with(&absorbed(batch * len), Lesson::Absorbing(commits.clone()), |_| {}),
        with(&absorbed(batch * len), Lesson::Absorbing(commits), |c| {
            c.loss = DistillLoss::Mse
        }),
        with(&soft(2.0), Lesson::Gaussian(solver.clone()), |_| {}),
        with(&soft(2.0), Lesson::Gaussian(solver), |c| c.plain = 0.5),
        with(&soft(1.0), Lesson::Consistency(consistency), |_| {}),
    ];
    (teacher, lessons)
}

#[test]
fn the_students_gradient_is_that_of_its_loss() {
    let (teacher, lessons) = lessons();
    for (corrupted, lesson, config) in &lessons {
        let (rows, target) = teacher.teach(corrupted, lesson);
        let student = Toy::new(8, 4, 3);
        let value = |tape: &Tape| {
            learn(
                &student.network,
                config,
                &rows,
                (lesson, &target),
                &student.layout(),
                tape,
            )
            .unwrap()
            .objective
        };
        let number = || f64::from(value(&Tape::new()).tensor().to_scalar::<f32>().unwrap());
        let tape = Tape::new();
        let gradients = tape.backward(&value(&tape)).unwrap();
        for (name, var) in student
            .params
            .vars()
            .filter(|(name, _)| ["evidence_map", "bias"].contains(name))
        {
            let gradient = gradients.get(var).unwrap();
            let norm = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            let norm = f64::from(norm).sqrt();
            let start = var.as_tensor().copy().unwrap();
            let step = 0.02;
            let side = |sign: f64| {
                let moved = gradient.affine(sign * step / norm, 0.0).unwrap();
                var.set(&(&start + moved).unwrap()).unwrap();
                number()
            };
            let slope = (side(1.0) - side(-1.0)) / (2.0 * step);
            var.set(&start).unwrap();
            assert!(
                (slope / norm - 1.0).abs() < 0.05,
                "{lesson:?} {name}: slope {slope}, norm {norm}"
            );
        }
    }
}

#[test]
fn a_lesson_is_learnt_by_heart_and_the_teacher_does_not_change() {
    let (teacher, lessons) = lessons();
    for (corrupted, lesson, config) in lessons.iter().filter(|(_, _, config)| config.plain == 0.0) {
        let student = Toy::new(8, 4, 4);
        let (mut adam, optimizer) = student.optimizer();
        let mut losses = Vec::new();
        for _ in 0..120 {
            let (rows, target) = teacher.teach(corrupted, lesson);
            let tape = Tape::new();
            let loss = learn(
                &student.network,
                config,
                &rows,
                (lesson, &target),
                &student.layout(),
                &tape,
            )
            .unwrap()
            .objective;
            losses.push(loss.tensor().to_scalar::<f32>().unwrap());
            adam.step(tape.backward(&loss).unwrap(), 1e-2, &optimizer).unwrap();
        }
        let (first, last) = (losses[0], losses[119]);
        assert!(last < 0.1 * first, "{lesson:?}: from {first} to {last}");
    }
}

#[test]
fn a_student_that_is_its_teacher_has_nothing_to_learn_from_one_pass() {
    let toy = Toy::new(8, 4, 2);
    let levels = absorbed(16);
    let corrupted = toy.corrupt(&[1; 16], &levels, 0);
    let lesson = Lesson::Absorbing(Commits::draw(
        &levels,
        8,
        (4, 4),
        (1, TeacherOrder::Random, 1.0),
        (NOISE, 0),
    ));
    let (rows, target) = toy.teach(&corrupted, &lesson);
    for kind in [DistillLoss::Kl, DistillLoss::Mse] {
        let config = DistillConfig {
            plain: 0.0,
            loss: kind,
            ..Default::default()
        };
        let loss = learn(
            &toy.network,
            &config,
            &rows,
            (&lesson, &target),
            &toy.layout(),
            &Tape::new(),
        )
        .unwrap();
        let loss = loss.value.to_scalar::<f32>().unwrap();
        assert!(loss.abs() < 1e-6, "{kind:?}: {loss}");
    }
}
