//! Exit codes, which are a promise, and the one sentence that an error becomes.

use std::fmt;
use std::io;
use std::process::ExitCode;

use drdiff_attention::Error as AttentionError;
use drdiff_data::DataError;
use drdiff_data::TokenizerError;
use drdiff_evaluation::Error as EvaluationError;
use drdiff_evaluation::recall::RecallError;
use drdiff_files::Error as FilesError;
use drdiff_generation::Error as GenerationError;
use drdiff_jobs::batch::BatchError;
use drdiff_jobs::sweep::SweepError;
use drdiff_kernels::Error as KernelsError;
use drdiff_model::Error as ModelError;
use drdiff_solver::Error as SolverError;
use drdiff_training::Error as TrainingError;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was asked for is done.
    Done,
    /// Done, but some of many records failed; their file says why.
    SomeFailed,
    /// What was asked for cannot be: wrong usage or input.
    Usage,
    /// It failed while running.
    Runtime,
    /// Interrupted in good order; the same command can be run again.
    Interrupted,
}

impl Exit {
    /// The exit of this program run as a child; `None` if a signal ended it.
    #[cfg(any(test, not(unix)))]
    pub(crate) fn of_child(code: Option<i32>) -> Self {
        [Self::Done, Self::SomeFailed, Self::Usage, Self::Interrupted]
            .into_iter()
            .find(|exit| code == Some(i32::from(exit.code())))
            .unwrap_or(Self::Runtime)
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::SomeFailed => 1,
            Self::Usage => 2,
            Self::Runtime => 3,
            Self::Interrupted => 75,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Shown at the end of every help text.
pub(crate) const HELP: &str = "\
Exit codes:
  0   done
  1   done, but some records failed
  2   wrong usage or bad input
  3   failed while running
  75  interrupted; the same command can be run again";

/// What was asked for cannot be done; the text says why and what to do instead.
#[derive(Debug)]
pub(crate) struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error that ends the program with the code of wrong usage.
pub(crate) fn usage(sentence: impl Into<String>) -> anyhow::Error {
    Usage(sentence.into()).into()
}

/// The reader of stdout has gone: `drdiff … | head` is no failure.
#[derive(Debug)]
pub(crate) struct ClosedPipe;

impl fmt::Display for ClosedPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of the output has gone")
    }
}

impl std::error::Error for ClosedPipe {}

/// The exit of a command that failed.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    error.chain().find_map(of_cause).unwrap_or(Exit::Runtime)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if cause.is::<ClosedPipe>() {
        Some(Exit::Done)
    } else if cause.is::<Usage>() || cause.is::<drdiff_configs::Error>() {
        Some(Exit::Usage)
    } else if let Some(error) = cause.downcast_ref() {
        Some(of_library(error))
    } else if let Some(error) = cause.downcast_ref() {
        Some(of_files(error))
    } else if let Some(error) = cause.downcast_ref() {
        Some(of_generation(error))
    } else if let Some(error) = cause.downcast_ref() {
        Some(of_batch(error))
    } else if let Some(error) = cause.downcast_ref() {
        Some(of_sweep(error))
    } else if let Some(error) = cause.downcast_ref() {
        Some(of_evaluation(error))
    } else if let Some(error) = cause.downcast_ref() {
        Some(of_recall(error))
    } else if let Some(error) = cause.downcast_ref() {
        Some(of_training(error))
    } else if let Some(error) = cause.downcast_ref() {
        Some(of_data(error))
    } else if let Some(error) = cause.downcast_ref() {
        Some(of_model(error))
    } else if let Some(error) = cause.downcast_ref() {
        Some(of_tokenizer(error))
    } else if let Some(error) = cause.downcast_ref() {
        Some(of_solver(error))
    } else {
        cause.downcast_ref().map(of_kernels)
    }
}

fn of_library(error: &drdiff::Error) -> Exit {
    match error {
        drdiff::Error::Input(_) | drdiff::Error::Config(_) => Exit::Usage,
        drdiff::Error::Tokenizer(error) => of_tokenizer(error),
        drdiff::Error::Model(error) => of_model(error),
        drdiff::Error::Generation(error) => of_generation(error),
        drdiff::Error::Files(error) => of_files(error),
        drdiff::Error::Data(error) => of_data(error),
        drdiff::Error::Training(error) => of_training(error),
        drdiff::Error::Kernels(error) => of_kernels(error),
        _ => Exit::Runtime,
    }
}

fn of_files(error: &FilesError) -> Exit {
    match error {
        FilesError::File { action, source, .. } => of_file(action, source),
        _ => Exit::Usage,
    }
}

/// What cannot be opened was named wrongly; what fails later fails while running. A pipe whose reader has gone is no
/// failure.
fn of_file(action: &str, source: &io::Error) -> Exit {
    match source.kind() {
        io::ErrorKind::BrokenPipe => Exit::Done,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::Runtime,
        _ if matches!(action, "read" | "create" | "make the folder" | "lock") => Exit::Usage,
        _ => Exit::Runtime,
    }
}

fn of_generation(error: &GenerationError) -> Exit {
    match error {
        GenerationError::Length { .. }
        | GenerationError::EmptyGap
        | GenerationError::NoGap
        | GenerationError::Nul
        | GenerationError::EmptyStop
        | GenerationError::IdleSteps { .. }
        | GenerationError::Setting(_)
        | GenerationError::StyleGuidance(_)
        | GenerationError::Compute(_)
        | GenerationError::Plan { .. }
        | GenerationError::Incapable { .. }
        | GenerationError::Verified { .. }
        | GenerationError::UnknownToken { .. }
        | GenerationError::Vocabulary { .. } => Exit::Usage,
        GenerationError::Solver(error) => of_solver(error),
        GenerationError::Model(error) => of_model(error),
        GenerationError::Attention(error) => of_attention(error),
        GenerationError::Kernels(error) => of_kernels(error),
        _ => Exit::Runtime,
    }
}

fn of_batch(error: &BatchError) -> Exit {
    match error {
        BatchError::File { action, source, .. } => of_file(action, source),
        BatchError::Files(error) => of_files(error),
        BatchError::Generation(error) => of_generation(error),
        BatchError::Gone { .. } | BatchError::Record { .. } | BatchError::InputChanged => Exit::Runtime,
        _ => Exit::Usage,
    }
}

fn of_sweep(error: &SweepError) -> Exit {
    match error {
        SweepError::Config(_) | SweepError::File { action: "read", .. } => Exit::Usage,
        SweepError::Files(error) => of_files(error),
        SweepError::Journal(error) => of_batch(error),
        SweepError::Generation(error) => of_generation(error),
        SweepError::Evaluation(error) => of_evaluation(error),
        SweepError::Tokenizer(error) => of_tokenizer(error),
        SweepError::Model(error) => of_model(error),
        SweepError::Solver(error) => of_solver(error),
        _ => Exit::Runtime,
    }
}

fn of_evaluation(error: &EvaluationError) -> Exit {
    match error {
        EvaluationError::Config(_) | EvaluationError::File { action: "read", .. } => Exit::Usage,
        EvaluationError::Files(error) => of_files(error),
        EvaluationError::Tokenizer(error) => of_tokenizer(error),
        // All that is read of this kind is the file that the user named.
        EvaluationError::Data(_) => Exit::Usage,
        EvaluationError::Model(error) => of_model(error),
        _ => Exit::Runtime,
    }
}

fn of_recall(error: &RecallError) -> Exit {
    match error {
        RecallError::Data(error) => of_data(error),
        RecallError::Tokenizer(error) => of_tokenizer(error),
        RecallError::Generation(error) => of_generation(error),
        RecallError::Model(error) => of_model(error),
        RecallError::Attention(error) => of_attention(error),
        RecallError::Kernels(error) => of_kernels(error),
        _ => Exit::Runtime,
    }
}

fn of_solver(error: &SolverError) -> Exit {
    match error {
        SolverError::UnknownName { .. }
        | SolverError::OutOfRange { .. }
        | SolverError::FixedOrder { .. }
        | SolverError::Diffusion(_) => Exit::Usage,
        _ => Exit::Runtime,
    }
}

fn of_training(error: &TrainingError) -> Exit {
    match error {
        TrainingError::Config(_)
        | TrainingError::NoValidationText
        | TrainingError::NoState { .. }
        | TrainingError::Resume { .. }
        | TrainingError::Diffusion(_) => Exit::Usage,
        TrainingError::Files(error) => of_files(error),
        TrainingError::Data(error) => of_data(error),
        TrainingError::Model(error) => of_model(error),
        TrainingError::Attention(error) => of_attention(error),
        TrainingError::Kernels(error) => of_kernels(error),
        _ => Exit::Runtime,
    }
}

fn of_data(error: &DataError) -> Exit {
    match error {
        DataError::Interrupted => Exit::Interrupted,
        DataError::Tokenizer(error) => of_tokenizer(error),
        DataError::Files(error) => of_files(error),
        DataError::Train(_) | DataError::Io { .. } => Exit::Runtime,
        _ => Exit::Usage,
    }
}

fn of_model(error: &ModelError) -> Exit {
    match error {
        ModelError::File { action: "read", .. }
        | ModelError::Corrupt { .. }
        | ModelError::Mismatch(_)
        | ModelError::Config(_)
        | ModelError::Measure(_)
        | ModelError::Diffusion(_)
        | ModelError::NoMasks
        | ModelError::WrongTokenizer { .. } => Exit::Usage,
        ModelError::Files(error) => of_files(error),
        ModelError::Tokenizer(error) => of_tokenizer(error),
        ModelError::Attention(error) => of_attention(error),
        ModelError::Kernels(error) => of_kernels(error),
        _ => Exit::Runtime,
    }
}

fn of_attention(error: &AttentionError) -> Exit {
    match error {
        AttentionError::LengthAdaptive(_)
        | AttentionError::Memory { .. }
        | AttentionError::Tree(_)
        | AttentionError::Layer { .. }
        | AttentionError::TreeBlocks { .. }
        | AttentionError::LayersWrite
        | AttentionError::NoRest
        | AttentionError::RestIsPlan
        | AttentionError::Neighbours { .. }
        | AttentionError::Retrieval(_)
        | AttentionError::Halves { .. } => Exit::Usage,
        _ => Exit::Runtime,
    }
}

fn of_tokenizer(error: &TokenizerError) -> Exit {
    match error {
        TokenizerError::Encode(_) => Exit::Runtime,
        _ => Exit::Usage,
    }
}

fn of_kernels(error: &KernelsError) -> Exit {
    match error {
        KernelsError::Stopped => Exit::Interrupted,
        KernelsError::NoCudaBuild | KernelsError::NoGpu { .. } => Exit::Usage,
        _ => Exit::Runtime,
    }
}

/// All causes in one sentence. Many messages already quote their cause, and a tensor error goes on with a backtrace:
/// both are left out. Only a configuration error has more lines, which show the line that is wrong.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut sentence, cause| {
        let words = cause.to_string();
        let first = words.lines().next().unwrap_or_default();
        let is_config = matches!(cause.downcast_ref(), Some(drdiff::Error::Config(_)));
        let cause = if is_config || cause.is::<drdiff_configs::Error>() {
            &words
        } else {
            first
        };
        if !sentence.contains(cause) {
            if !sentence.is_empty() {
                sentence += ": ";
            }
            sentence += cause;
        }
        sentence
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn unreadable() -> ModelError {
        let source = io::Error::new(io::ErrorKind::NotFound, "no such file");
        ModelError::File {
            action: "read",
            path: PathBuf::from("m.gguf"),
            source,
        }
    }

    #[test]
    fn causes_are_told_once() {
        let error = anyhow::Error::new(unreadable()).context("cannot load the model");
        assert_eq!(
            sentence(&error),
            "cannot load the model: cannot read m.gguf: no such file"
        );
    }

    #[test]
    fn a_child_hands_its_exit_on() {
        for exit in [
            Exit::Done,
            Exit::SomeFailed,
            Exit::Usage,
            Exit::Runtime,
            Exit::Interrupted,
        ] {
            assert_eq!(Exit::of_child(Some(i32::from(exit.code()))), exit);
        }
        assert_eq!(Exit::of_child(None), Exit::Runtime);
    }

    #[test]
    fn wrapped_errors_keep_their_exit() {
        let wrapped = GenerationError::Model(ModelError::Kernels(KernelsError::NoCudaBuild));
        assert_eq!(of(&wrapped.into()), Exit::Usage);
        assert_eq!(
            of(&anyhow::Error::new(unreadable()).context("while starting")),
            Exit::Usage
        );
        assert_eq!(of(&DataError::Interrupted.into()), Exit::Interrupted);
        assert_eq!(of(&ClosedPipe.into()), Exit::Done);
        assert_eq!(of(&anyhow::anyhow!("anything else")), Exit::Runtime);
    }
}
