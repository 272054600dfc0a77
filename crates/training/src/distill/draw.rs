//! Draws the lesson of a forward pass.

use drdiff_diffusion::{LevelMixture, Levels, NoiseSchedule, stratified};
use drdiff_noise::{Noise, Purpose};

use super::commits::Commits;
use super::path::Path;
use super::{DistillConfig, Lesson, LessonShares};
use crate::prompt_dropout::hide;
use crate::{Result, TrainConfig};

/// A pass as it was drawn.
pub(crate) struct Drawn {
    /// What the student sees and learns.
    pub(crate) levels: Levels,
    /// What the teacher does.
    pub(crate) lesson: Lesson,
    /// Tokens hidden at the start of each window, as [`crate::PromptDropout`] says. None where positions are soft: all of them move together.
    pub(crate) hidden: Vec<usize>,
}

/// Pass `key` of round `round`, in blocks of `block_size`.
///
/// # Errors
/// If levels cannot be drawn.
pub(crate) fn draw(
    config: &TrainConfig,
    distill: &DistillConfig,
    round: usize,
    block_size: usize,
    (noise, key): (Noise, u64),
) -> Result<Drawn> {
    let (batch, len) = (config.batch, config.model.context);
    let student_steps = distill.rounds[round];
    let only = |absorbing: f64, gaussian: f64| LevelMixture {
        absorbing,
        gaussian,
        independent: 0.0,
        joint: 0.0,
        ..config.levels(block_size)
    };
    let schedule = &config.levels.schedule;
    let LessonShares {
        absorbing,
        gaussian,
        consistency,
    } = distill.lessons;
    let span = (block_size, distill.span(block_size, student_steps));
    let soft = |levels, lesson| Drawn {
        levels,
        lesson,
        hidden: Vec::new(),
    };
    let u = noise.uniform(Purpose::Lesson, key, 0) * (absorbing + gaussian + consistency);
    if u < absorbing {
        let mut levels = only(1.0, 0.0).draw(&noise, key, batch, len, block_size)?;
        let hidden = config.prompt_dropout.draw(&noise, key, batch);
        hide(&mut levels, &hidden, len);
        let teacher = (distill.teacher_steps, distill.order, distill.temperature);
        let commits = Commits::draw(&levels, len, span, teacher, (noise, key));
        let lesson = Lesson::Absorbing(commits);
        Ok(Drawn { levels, lesson, hidden })
    } else if u < absorbing + gaussian {
        let levels = only(0.0, 1.0).draw(&noise, key, batch, len, block_size)?;
        let path = Path::solver(&levels, schedule, (student_steps as f64).recip(), distill.teacher_steps);
        Ok(soft(levels, Lesson::Gaussian(path)))
    } else {
        let mut stream = noise.stream(Purpose::Level, key, 0);
        let pairs = distill.anchors.len() - 1;
        let chosen = stratified(&mut stream, batch)
            .into_iter()
            .map(|u| (u * pairs as f64) as usize);
        let (mut levels, mut next) = (Vec::new(), Vec::new());
        for anchor in chosen {
            let snr = |time: f64| schedule.log_snr(time).clamp(-30.0, 30.0).exp() as f32;
            levels.resize(levels.len() + len, snr(distill.anchors[anchor]));
            next.resize(next.len() + len, snr(distill.anchors[anchor + 1]));
        }
        let [levels, next] = [levels, next].map(|snr| Levels {
            weight: vec![1.0; snr.len()],
            snr,
        });
        let path = Path::consistency(&levels, &next);
        Ok(soft(levels, Lesson::Consistency(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(lesson: &str, key: u64) -> Drawn {
        let mut lessons = serde_json::json!({"absorbing": 0.0});
        lessons[lesson] = 1.0.into();
        let config: TrainConfig = serde_json::from_value(serde_json::json!({
            "model": {"vocab": 12, "width": 16, "embed": 16, "layers": 1, "heads": 1, "kv_heads": 1, "head_dim": 16,
                      "hidden": 32, "context": 32},
            "steps": 4, "batch": 3, "block_sizes": {"8": 1.0}, "prompt_dropout": {"share": 1.0, "longest": 12},
            "distill": {"rounds": [4], "lessons": lessons},
        }))
        .unwrap();
        let distill = config.distill.clone().unwrap();
        draw(&config, &distill, 0, 8, (Noise::new(3, 0), key)).unwrap()
    }

    #[test]
    fn openings_are_hidden_where_positions_are_masked() {
        for key in 0..20 {
            let Drawn { levels, lesson, hidden } = drawn("absorbing", key);
            assert!(hidden.iter().all(|count| (1..=12).contains(count)));
            for at in (0..96).filter(|at| at % 32 < hidden[at / 32]) {
                assert_eq!((levels.snr[at], levels.weight[at]), (0.0, 0.0));
            }
            let Lesson::Absorbing(commits) = lesson else {
                panic!("{lesson:?}")
            };
            let open = levels.weight.iter().filter(|weight| **weight > 0.0).count();
            assert_eq!(commits.order.len(), open, "nothing hidden is committed");
            for name in ["gaussian", "consistency"] {
                let Drawn { levels, hidden, .. } = drawn(name, key);
                assert!(hidden.is_empty() && levels.snr.iter().all(|snr| *snr > 0.0));
            }
        }
    }
}
