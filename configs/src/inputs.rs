//! What a user said about a configuration, in all the places where it can be said.

use std::path::{Path, PathBuf};

use crate::decode::decode;
use crate::error::{Error, Result};
use crate::node::{Content, Node};
use crate::origin::PRESET;
use crate::preset::{preset, presets};
use crate::{Origin, Resolved, Section};

/// The layers above the program's defaults.
///
/// ```
/// use drdiff_configs::{Inputs, Resolved, Section};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// #[serde(default)]
/// struct Writing { tokens: usize, sampler: Sampler }
/// #[derive(Default, Serialize, Deserialize)]
/// #[serde(default)]
/// struct Sampler { steps: usize }
///
/// impl Section for Writing {
///     const NAME: &'static str = "writing";
///     const BASE: Option<&'static str> = None;
///     fn check(&self) -> Result<(), String> { Ok(()) }
/// }
///
/// let mut inputs = Inputs::default();
/// inputs.set("sampler.steps=4");
/// inputs.flag("--tokens", "tokens", 100);
/// let writing: Resolved<Writing> = inputs.resolve()?;
/// assert_eq!(writing.origin("tokens").to_string(), "--tokens 100");
/// assert_eq!((writing.value.tokens, writing.value.sampler.steps), (100, 4));
/// # Ok::<(), drdiff_configs::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Name and YAML of what lies below all layers.
    start: Option<(String, String)>,
    preset: Option<String>,
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    flags: Vec<Flag>,
}

#[derive(Clone, Debug)]
struct Flag {
    origin: Origin,
    path: Option<String>,
    value: String,
}

impl Inputs {
    /// Takes a configuration that lies below everything else, as it would be written in a file; `document` names it in
    /// messages.
    ///
    /// # Errors
    /// A type that cannot be written as YAML, which no shipped configuration is.
    pub fn start_from<T: Section>(&mut self, document: &str, value: &T) -> Result<()> {
        let text = serde_yaml::to_string(value).map_err(|e| Error::Invalid {
            section: T::NAME,
            reason: e.to_string(),
        })?;
        self.start = Some((document.to_owned(), text));
        Ok(())
    }

    /// Takes `--config`: a path of a YAML file, or the name of a preset. A file may name the preset that it is based
    /// on with the key `preset`.
    pub fn config(&mut self, name: &str) {
        let is_path = name.ends_with(".yaml") || name.ends_with(".yml") || name.contains(std::path::MAIN_SEPARATOR);
        if is_path {
            self.file = Some(name.into());
        } else {
            self.preset = Some(name.to_owned());
        }
    }

    /// Takes environment variables; those of other programs and other sections are ignored later.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        self.environment.extend(variables);
    }

    /// Takes one `--set key.key=value`; the value is YAML.
    pub fn set(&mut self, assignment: &str) {
        let origin = Origin::Flag(format!("--set {assignment}").into());
        let (path, value) = match assignment.split_once('=') {
            Some((path, value)) => (Some(path.trim().to_owned()), value),
            None => (None, assignment),
        };
        self.flags.push(Flag {
            origin,
            path,
            value: value.to_owned(),
        });
    }

    /// Takes a flag that stands for one value, such as `--tokens 100` for `tokens`.
    pub fn flag(&mut self, flag: &str, path: &str, value: impl std::fmt::Display) {
        let value = value.to_string();
        let origin = Origin::Flag(format!("{flag} {value}").into());
        self.flags.push(Flag {
            origin,
            path: Some(path.to_owned()),
            value,
        });
    }

    /// Merges all layers and reads a `T` out of them.
    ///
    /// # Errors
    /// See [`Error`]: each names the file and line, variable or flag that is to blame.
    pub fn resolve<T: Section>(&self) -> Result<Resolved<T>> {
        let mut file = self.file.as_deref().map(|path| read::<T>(path)).transpose()?;
        let based_on = file
            .as_mut()
            .and_then(|tree| tree.take("preset"))
            .map(|node| text_of(&node))
            .transpose()?;
        let base = self.preset.clone().or(based_on).or(T::BASE.map(str::to_owned));

        let mut tree = match &self.start {
            Some((document, text)) => Node::parse(document, text)?,
            None => Node::empty(),
        };
        if let Some(name) = base {
            tree.merge(preset_tree::<T>(&name)?);
        }
        if let Some(file) = file {
            tree.merge(file);
        }
        for layer in self.variables(T::NAME).chain(self.assignments()) {
            tree.merge(layer?);
        }
        let mut value: T = decode(&tree)?;
        value.written(&|path| tree.origin_at(&path.split('.').collect::<Vec<_>>()) != Origin::Default);
        value.check().map_err(|reason| Error::Invalid {
            section: T::NAME,
            reason,
        })?;
        Ok(Resolved { value, tree })
    }

    /// Variables of one section, in the order of their names, so that the result depends on no hash.
    fn variables(&self, section: &str) -> impl Iterator<Item = Result<Node>> {
        let prefix = format!("DRDIFF_{}__", section.to_uppercase());
        let mut ours: Vec<_> = self
            .environment
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix))
            .collect();
        ours.sort();
        ours.into_iter().map(move |(name, value)| {
            let path = name[prefix.len()..].to_lowercase();
            Node::assign(
                &path.split("__").collect::<Vec<_>>(),
                value,
                &Origin::Environment(name.as_str().into()),
            )
        })
    }

    fn assignments(&self) -> impl Iterator<Item = Result<Node>> {
        self.flags.iter().map(|Flag { origin, path, value }| match path {
            Some(path) if !path.is_empty() => Node::assign(&path.split('.').collect::<Vec<_>>(), value, origin),
            _ => Err(Error::Assignment(value.clone())),
        })
    }
}

/// A preset over the one that it is based on, if it names one.
fn preset_tree<T: Section>(name: &str) -> Result<Node> {
    let mut own = Node::parse(&format!("{PRESET}{name}"), preset(T::NAME, name)?.text)?;
    let Some(base) = own.take("preset") else {
        return Ok(own);
    };
    let mut tree = preset_tree::<T>(&text_of(&base)?)?;
    tree.merge(own);
    Ok(tree)
}

fn read<T: Section>(path: &Path) -> Result<Node> {
    let text = drdiff_files::text::read(path).map_err(|error| {
        let drdiff_files::Error::File { source, .. } = error else {
            return Error::NoText(error);
        };
        let stem = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        let remedy = match presets(T::NAME).find(|preset| preset.name == stem) {
            Some(preset) => format!("for the preset of that name write `--config {}`", preset.name),
            None => "check the path".to_owned(),
        };
        Error::Read {
            path: path.to_owned(),
            source,
            remedy,
        }
    })?;
    Node::parse(&path.display().to_string(), &text)
}

fn text_of(node: &Node) -> Result<String> {
    match &node.content {
        Content::Scalar(serde_yaml::Value::String(name)) => Ok(name.clone()),
        _ => Err(Error::Value {
            place: node.origin.to_string(),
            reason: "`preset` must be the name of a preset".to_owned(),
            snippet: crate::error::below(node.origin.snippet()),
        }),
    }
}
