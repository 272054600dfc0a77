//! The reference page of all settings.

use super::resolve::default_of;
use super::{SETTINGS, Setting};

const HEAD: &str = "\
# Settings

This page is made from the table in `crates/generation/src/settings/table.rs` by `drdiff config settings`; a test keeps it current.

Each setting has one name: in lines of `drdiff batch` (`{\"prompt\": \"…\", \"block_size\": 32}`), under `grid` and `rows` of a sweep, and as a column of its report. \
In files and with `--set` it stands at its key. Where nothing is chosen, the default follows what is chosen, and is the same for flags, lines, sweeps and \
programs that use the library (`Choices::resolve`).
";

/// The page, in Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    page += "\n| setting | what it does | values | default | concerns |\n| --- | --- | --- | --- | --- |\n";
    for setting in SETTINGS {
        let (help, values) = (
            setting.help.replace('|', "\\|"),
            setting.kind.words().replace('|', "\\|"),
        );
        let (default, concerns) = (default_of(setting), setting.concerns.words());
        page += &format!("| `{}` | {help} | {values} | {default} | {concerns} |\n", setting.name);
    }
    page += "\n| setting | flag | key in files | in OpenAI's bodies | beside `infill` | axis of sweeps | column |\n| --- | --- | --- | --- | --- | --- | --- |\n";
    for setting in SETTINGS {
        page += &doors(setting);
    }
    page
}

fn doors(setting: &Setting) -> String {
    let code = |text: &str| match text {
        "" => String::new(),
        text => format!("`{}`", text.replace('|', "\\|")),
    };
    let flag = setting.flag.map_or_else(String::new, |flag| match flag.value {
        Some(value) => code(&format!("--{} {value}", flag.long)),
        None => code(&format!("--{}", flag.long)),
    });
    let openai: Vec<String> = setting.openai.iter().map(|field| code(field)).collect();
    let yes = |has: bool| if has { "yes" } else { "" };
    format!(
        "| `{}` | {flag} | {} | {} | {} | {} | {} |\n",
        setting.name,
        code(setting.path),
        openai.join(", "),
        yes(setting.gaps),
        yes(setting.axis),
        yes(setting.is_column()),
    )
}
