//! What a line of a conversation means.

use std::path::PathBuf;

/// What can be typed besides messages.
pub(super) const HELP: &str = "\
  /again            another answer to the last message
  /undo             take the last message and its answer back
  /new              begin anew
  /system TEXT      what the model is told before the conversation; nothing without TEXT
  /set NAME VALUE   any setting of writing, such as /set temperature 0.9
  /save FILE        write the conversation as a line of JSON
  /quit             end
";

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    /// Nothing but space.
    Nothing,
    /// A message to the model.
    Message(String),
    /// Another answer.
    Again,
    /// One turn less.
    Undo,
    /// No turns.
    New,
    /// Another system prompt.
    System(String),
    /// A setting and its value.
    Set(String, String),
    /// Where to write the conversation.
    Save(PathBuf),
    /// What can be typed.
    Help,
    /// The end.
    Quit,
}

impl Typed {
    /// Reads a line. A message that begins with a slash is typed with two of them.
    ///
    /// # Errors
    /// In words, what is wrong with a line that begins with a slash.
    pub(super) fn read(line: &str) -> Result<Self, String> {
        let line = line.trim();
        let Some(command) = line.strip_prefix('/') else {
            return Ok(match line {
                "" => Self::Nothing,
                text => Self::Message(text.to_owned()),
            });
        };
        if command.starts_with('/') {
            return Ok(Self::Message(command.to_owned()));
        }
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        let alone = |typed: Self| match rest {
            "" => Ok(typed),
            _ => Err(format!("/{name} takes nothing behind it")),
        };
        match name {
            "again" => alone(Self::Again),
            "undo" => alone(Self::Undo),
            "new" => alone(Self::New),
            "help" => alone(Self::Help),
            "quit" | "exit" | "bye" => alone(Self::Quit),
            "system" => Ok(Self::System(rest.to_owned())),
            "set" => {
                let (setting, value) = rest
                    .split_once(char::is_whitespace)
                    .ok_or("type a name and a value, such as /set temperature 0.9")?;
                // Settings are typed as flags are, too.
                Ok(Self::Set(setting.replace('-', "_"), value.trim().to_owned()))
            }
            "save" if rest.is_empty() => Err("type the name of a file, such as /save talk.jsonl".to_owned()),
            "save" => Ok(Self::Save(rest.into())),
            _ => Err(format!(
                "there is no /{name}; /help lists what can be typed, and //{name} is a message"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        let read = |line: &str| Typed::read(line);
        assert_eq!(read(" Hello there \n"), Ok(Typed::Message("Hello there".into())));
        assert_eq!(read("  "), Ok(Typed::Nothing));
        assert_eq!(read("//etc is a folder"), Ok(Typed::Message("/etc is a folder".into())));
        assert_eq!(read("/again"), Ok(Typed::Again));
        assert_eq!(read("/set top-p 0.9"), Ok(Typed::Set("top_p".into(), "0.9".into())));
        assert_eq!(read("/system"), Ok(Typed::System(String::new())));
        assert!(read("/set x").unwrap_err().contains("a name and a value"));
        assert!(read("/undo 3").unwrap_err().contains("takes nothing"));
        assert!(read("/agian").unwrap_err().contains("/help"));
    }
}
