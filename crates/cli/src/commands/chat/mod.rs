//! `drdiff chat`: a conversation, one message a line.

mod typed;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use clap::Args;
use drdiff::{Event, Message, Model, Settings, StopReason};
use drdiff_files::Output;
use drdiff_generation::Choices;
use drdiff_kernels::{DeviceKind, device};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use typed::{HELP, Typed};

use crate::exit::{self, Exit, usage};
use crate::output::{Out, remark};
use crate::sampler::{SamplerArgs, with_seed};
use crate::{device as devices, interrupt};

const EXAMPLES: &str = "\
Examples:
  drdiff chat
  drdiff chat --system \"You answer in one sentence.\" --tokens 200
  echo \"Why is the sky blue?\" | drdiff chat --quiet

Ctrl-C ends an answer and keeps what is written of it; Ctrl-D or /quit ends the conversation.
";

/// Arguments of `drdiff chat`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct ChatArgs {
    #[arg(
        short,
        long,
        value_name = "FOLDER|FILE|NAME",
        help = "Model to talk with; it needs a chat template [default: that of DRDIFF_MODEL, else the bundled one]"
    )]
    model: Option<PathBuf>,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_parser = devices::parse, default_value = "cpu", hide_short_help = true)]
    device: DeviceKind,
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    sampler: SamplerArgs,
    /// No greeting and no notes on stderr
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(args: &ChatArgs) -> Result<Exit> {
    let stop = interrupt::flag();
    let choices = with_seed(args.sampler.choices(args.quiet)?);
    let model = Model::load(args.model.as_deref(), &device(args.device)?)?;
    if !model.can_chat() {
        return Err(usage(
            "the model has no chat template, so it cannot hold a conversation; choose another, or write with `drdiff generate`",
        ));
    }
    let mut chat = Chat {
        model,
        choices,
        system: args.system.clone(),
        turns: Vec::new(),
        out: Out::default(),
        stop,
        quiet: args.quiet,
    };
    let terminal = io::stdin().is_terminal();
    if terminal && !args.quiet {
        remark(false, "type a message and Enter; /help lists what else can be typed");
    }
    let mut lines: Box<dyn FnMut() -> Result<Option<String>>> = match terminal {
        true => {
            let mut editor = DefaultEditor::new()?;
            Box::new(move || typed_line(&mut editor))
        }
        false => Box::new(piped_line),
    };
    while let Some(line) = lines()? {
        match Typed::read(&line) {
            Ok(Typed::Nothing) => {}
            Ok(Typed::Quit) => break,
            Ok(typed) => chat.take(typed)?,
            Err(wrong) => remark(false, &wrong),
        }
    }
    Ok(Exit::Done)
}

/// A line of the terminal; `None` at its end.
fn typed_line(editor: &mut DefaultEditor) -> Result<Option<String>> {
    match editor.readline("> ") {
        Ok(line) => {
            // A line that cannot be remembered is still a line.
            let _ = editor.add_history_entry(&line);
            Ok(Some(line))
        }
        Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A line of a pipe or a file; `None` at its end.
fn piped_line() -> Result<Option<String>> {
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(line)),
        Err(error) => Err(usage(format!(
            "cannot read stdin: {error}; messages are lines of text in UTF-8"
        ))),
    }
}

/// A conversation.
struct Chat {
    model: Model,
    choices: Choices,
    system: Option<String>,
    /// Messages of the user and of the model, in turns.
    turns: Vec<Message>,
    out: Out,
    stop: Arc<AtomicBool>,
    quiet: bool,
}

impl Chat {
    fn take(&mut self, typed: Typed) -> Result<()> {
        match typed {
            Typed::Message(text) => {
                self.turns.push(Message::new("user", &text));
                self.answer()
            }
            Typed::Again => {
                if self.turns.len() < 2 {
                    remark(false, "there is no answer yet; type a message first");
                    return Ok(());
                }
                self.turns.pop();
                let seed = self
                    .choices
                    .get("seed")
                    .and_then(serde_json::Value::as_u64)
                    .unwrap_or(0);
                self.choices = self.choices.clone().with("seed", seed.wrapping_add(1));
                self.answer()
            }
            Typed::Undo => {
                self.turns.truncate(self.turns.len().saturating_sub(2));
                Ok(())
            }
            Typed::New => {
                self.turns.clear();
                Ok(())
            }
            Typed::System(text) => {
                self.system = (!text.is_empty()).then_some(text);
                Ok(())
            }
            Typed::Set(name, value) => {
                let setting = drdiff_generation::settings::setting(&name);
                let chosen = setting.and_then(|setting| self.choices.choose(&name, setting.parse(&value)?));
                if let Err(wrong) = chosen {
                    remark(false, &wrong);
                }
                Ok(())
            }
            Typed::Save(path) => {
                if let Err(error) = self.save(&path) {
                    remark(false, &exit::sentence(&error));
                }
                Ok(())
            }
            Typed::Help => self.out.text(HELP),
            Typed::Nothing | Typed::Quit => Ok(()),
        }
    }

    fn messages(&self) -> Vec<Message> {
        let system = self.system.iter().map(|text| Message::new("system", text.as_str()));
        system.chain(self.turns.iter().cloned()).collect()
    }

    /// Writes the answer to the last message. One that cannot be written is told, and the message is taken back.
    fn answer(&mut self) -> Result<()> {
        let writing = self.model.chat(&self.messages(), &Settings::from(self.choices.clone()));
        let writing = match writing {
            Ok(writing) => writing,
            Err(error) => {
                self.turns.pop();
                remark(false, &error.to_string());
                return Ok(());
            }
        };
        let (mut answer, mut cut) = (String::new(), false);
        for event in writing {
            match event? {
                Event::BlockCommitted { text, .. } => {
                    self.out.text(&text)?;
                    answer += &text;
                }
                Event::Finished { output, .. } => cut = output.stop == StopReason::Length,
                _ => {}
            }
            // The signal meant the answer, not the conversation.
            if self.stop.swap(false, Ordering::Relaxed) {
                break;
            }
        }
        self.out.end_line()?;
        if cut {
            remark(
                self.quiet,
                "the answer is as long as --tokens allows; /set tokens 800 allows more",
            );
        }
        self.turns.push(Message::new("assistant", &answer));
        Ok(())
    }

    /// Writes the conversation as a line that `drdiff data prepare` reads.
    fn save(&self, path: &Path) -> Result<()> {
        let line = serde_json::json!({ "messages": self.messages() }).to_string() + "\n";
        Output::claim::<PathBuf>(path, &[])?
            .new_only()?
            .write(line.as_bytes())?;
        Ok(())
    }
}
