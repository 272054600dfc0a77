//! Models by name: those of this machine's folders for models, and of the cache of Hugging Face.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// A model that is here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedModel {
    /// What `--model` takes: a folder's name, or `owner/name` of the cache.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// The path in a variable of the environment; none if it is unset or empty.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The folder for models of this user: `DRDIFF_MODELS`, or `drdiff/models` in the user's data folder; `None` without either.
#[must_use]
pub fn models_folder() -> Option<PathBuf> {
    let data = || variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share")));
    variable("DRDIFF_MODELS").or_else(|| Some(data()?.join("drdiff/models")))
}

/// The folder in which Hugging Face's programs keep what they fetched: `HF_HUB_CACHE`, `HF_HOME/hub` or `~/.cache/huggingface/hub`.
#[must_use]
pub fn hub_folder() -> Option<PathBuf> {
    let home = || Some(variable("HOME")?.join(".cache/huggingface"));
    variable("HF_HUB_CACHE").or_else(|| Some(variable("HF_HOME").or_else(home)?.join("hub")))
}

/// All models that have a name, sorted.
#[must_use]
pub fn models() -> Vec<NamedModel> {
    let mut found: Vec<NamedModel> = models_folder().iter().flat_map(|folder| own(folder)).collect();
    found.extend(hub_folder().iter().flat_map(|folder| cached(folder)));
    found.sort();
    found
}

/// The place of the model of this name.
#[must_use]
pub fn find_model(name: &str) -> Option<PathBuf> {
    models()
        .into_iter()
        .find(|model| model.name == name)
        .map(|model| model.path)
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gguf")
}

/// Whether a folder holds weights of some kind.
fn holds_weights(folder: &Path) -> bool {
    entries(folder).any(|path| is_gguf(&path) || path.extension().is_some_and(|extension| extension == "safetensors"))
}

/// Folders with weights, and GGUF files by their names without the ending.
fn own(folder: &Path) -> Vec<NamedModel> {
    let model = |path: PathBuf| {
        let name = file_name(&path)?;
        let name = match path.is_dir() {
            true => holds_weights(&path).then_some(name)?,
            false => is_gguf(&path).then_some(name)?.strip_suffix(".gguf")?,
        };
        Some(NamedModel {
            name: name.to_owned(),
            path,
        })
    };
    entries(folder).filter_map(model).collect()
}

/// The newest snapshot of each model: `models--owner--name/snapshots/REVISION`, of which `refs/main` names one.
fn cached(folder: &Path) -> Vec<NamedModel> {
    let model = |path: PathBuf| {
        let name = file_name(&path)?.strip_prefix("models--")?.replacen("--", "/", 1);
        let snapshots = path.join("snapshots");
        let main = fs::read_to_string(path.join("refs/main")).ok();
        let main = main.map(|revision| snapshots.join(revision.trim()));
        let path = main
            .filter(|path| path.is_dir())
            .or_else(|| entries(&snapshots).max())?;
        holds_weights(&path).then_some(NamedModel { name, path })
    };
    entries(folder).filter_map(model).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_files_and_snapshots_have_names() {
        let root = env::temp_dir().join(format!("drdiff-names-{}", std::process::id()));
        let put = |path: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("a writable folder");
            fs::write(path, "x").expect("a writable folder");
        };
        put("own/small/model.gguf");
        put("own/notes/read.me");
        put("own/SmolLM2.Q8_0.gguf");
        put("hub/models--org--dream-7b/snapshots/abc/model.safetensors");
        put("hub/models--org--dream-7b/snapshots/zzz/model.safetensors");
        fs::create_dir_all(root.join("hub/models--org--dream-7b/refs")).expect("a writable folder");
        fs::write(root.join("hub/models--org--dream-7b/refs/main"), "abc\n").expect("a writable folder");
        put("hub/models--org--empty/snapshots/abc/config.json");
        let mut names: Vec<String> = own(&root.join("own")).into_iter().map(|model| model.name).collect();
        names.sort();
        let hub = cached(&root.join("hub"));
        fs::remove_dir_all(&root).expect("it was just made");
        assert_eq!(names, ["SmolLM2.Q8_0", "small"]);
        assert_eq!(hub.len(), 1);
        assert_eq!(hub[0].name, "org/dream-7b");
        assert!(hub[0].path.ends_with("snapshots/abc"));
    }
}
