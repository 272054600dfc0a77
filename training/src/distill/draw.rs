//! Draws the lesson of a forward pass.

use drdiff_diffusion::{LevelMixture, Levels, NoiseSchedule, stratified};
use drdiff_kernels::{Noise, Purpose};

use super::commits::Commits;
use super::path::Path;
use super::{DistillConfig, Lesson, LessonShares};
use crate::{Result, TrainConfig};

/// Levels and lesson of pass `key` of round `round`, in blocks of `block_size`.
///
/// # Errors
/// If levels cannot be drawn.
pub(crate) fn draw(
    config: &TrainConfig,
    distill: &DistillConfig,
    round: usize,
    block_size: usize,
    (noise, key): (Noise, u64),
) -> Result<(Levels, Lesson)> {
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
    let u = noise.uniform(Purpose::Lesson, key, 0) * (absorbing + gaussian + consistency);
    if u < absorbing {
        let levels = only(1.0, 0.0).draw(&noise, key, batch, len, block_size)?;
        let span = (block_size, distill.span(block_size, student_steps));
        let teacher = (distill.teacher_steps, distill.temperature);
        let commits = Commits::draw(&levels, len, span, teacher, (noise, key));
        Ok((levels, Lesson::Absorbing(commits)))
    } else if u < absorbing + gaussian {
        let levels = only(0.0, 1.0).draw(&noise, key, batch, len, block_size)?;
        let path = Path::solver(&levels, schedule, (student_steps as f64).recip(), distill.teacher_steps);
        Ok((levels, Lesson::Gaussian(path)))
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
        Ok((levels, Lesson::Consistency(path)))
    }
}
