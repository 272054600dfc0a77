//! What a folder was begun with. Everything that decides texts must stay the same until the job is done.

use std::path::Path;

use drdiff_files::FolderLock;
use drdiff_generation::{Choices, Settings};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::BatchError;
use super::Result;
use super::input::InputFormat;

const FILE: &str = "manifest.json";
const LOCK: &str = ".manifest.lock";

/// How finished texts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// DrDiff's own records.
    Drdiff,
    /// Lines of OpenAI's batch outputs.
    OpenAi,
}

/// What a folder was begun with, as `manifest.json` holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the program.
    pub version: String,
    /// Revision of the program.
    pub commit: String,
    /// Weights file, or `bundled`.
    pub model: String,
    /// blake3 of the weights file.
    pub model_hash: String,
    /// Where it was computed.
    pub device: String,
    /// How requests are written.
    pub input_format: InputFormat,
    /// How texts are written.
    pub format: OutputFormat,
    /// Parts of the job.
    pub shards: usize,
    /// Whether each request is computed alone.
    pub fixed_batch: bool,
    /// The settings of requests that say nothing else.
    pub settings: Settings,
    /// What was chosen of them; the rest follows what a request says. Without it, as in older folders, all of them are.
    pub chosen: Option<Choices>,
}

impl Manifest {
    /// Keys that may change without any text becoming another one, but for rounding; `chosen` itself is there where nothing is chosen.
    const FREE: [&'static str; 5] = ["version", "commit", "model", "device", "chosen"];

    /// Reads the manifest of a folder.
    ///
    /// # Errors
    /// [`BatchError::NoJob`] if there is none that this program can read.
    pub fn read(folder: &Path) -> Result<Self, BatchError> {
        let reason = match std::fs::read(folder.join(FILE)) {
            Ok(bytes) => match serde_json::from_slice(drdiff_files::without_mark(&bytes)) {
                Ok(manifest) => return Ok(manifest),
                Err(e) => format!("{FILE} is not readable: {e}"),
            },
            Err(e) => format!("no {FILE}: {e}"),
        };
        Err(BatchError::NoJob {
            folder: folder.to_owned(),
            reason,
        })
    }

    /// Writes the manifest of a new folder, or compares it with the one that is there. Gives the older one's version
    /// and revision if they differ.
    ///
    /// # Errors
    /// [`BatchError::Changed`] if the folder was begun with something else.
    pub(super) fn agree(&self, folder: &Path) -> Result<Option<String>> {
        // Many shards may begin at the same moment.
        let _lock = FolderLock::wait(folder, LOCK).map_err(BatchError::from)?;
        let path = folder.join(FILE);
        if !path.exists() {
            let json = serde_json::to_string_pretty(self).map_err(|e| BatchError::Record {
                path: path.clone(),
                reason: e.to_string(),
            })?;
            drdiff_files::write(&path, (json + "\n").as_bytes()).map_err(BatchError::from)?;
            return Ok(None);
        }
        let mut old = Self::read(folder)?;
        old.chosen = old.chosen.or_else(|| self.chosen.clone());
        let mut differences = differences(&old.flat(), &self.flat());
        differences.retain(|(key, ..)| !Self::FREE.contains(&key.as_str()));
        // What was chosen is told where it makes no other settings.
        let other = |key: &str| !key.starts_with("chosen");
        if differences.iter().any(|(key, ..)| other(key)) {
            differences.retain(|(key, ..)| other(key));
        }
        let rest = differences.len().saturating_sub(1);
        if let Some((key, old, new)) = differences.into_iter().next() {
            return Err(BatchError::Changed {
                folder: folder.to_owned(),
                key,
                old,
                new,
                more: match rest {
                    0 => String::new(),
                    rest => format!(" (and {rest} more differ)"),
                },
            });
        }
        let other = (&old.version, &old.commit) != (&self.version, &self.commit);
        Ok(other.then(|| format!("{} ({})", old.version, old.commit)))
    }

    /// What is chosen for every request.
    pub(super) fn choices(&self) -> Choices {
        let all = || Choices::all_of(&self.settings);
        self.chosen.clone().unwrap_or_else(all)
    }

    /// Every value with the path of its key, in order.
    fn flat(&self) -> Vec<(String, String)> {
        let mut flat = Vec::new();
        flatten(
            String::new(),
            &serde_json::to_value(self).unwrap_or_default(),
            &mut flat,
        );
        flat
    }
}

fn flatten(path: String, value: &Value, flat: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(path, value, flat);
            }
        }
        value => flat.push((path, value.to_string())),
    }
}

/// Keys whose values differ, with both; a key that one side lacks is `nothing` there.
fn differences(old: &[(String, String)], new: &[(String, String)]) -> Vec<(String, String, String)> {
    let find = |list: &[(String, String)], key: &str| {
        let found = list.iter().find(|(known, _)| known == key);
        found.map_or_else(|| "nothing".to_owned(), |(_, value)| value.clone())
    };
    let keys = old
        .iter()
        .chain(new.iter().filter(|(key, _)| !old.iter().any(|(known, _)| known == key)));
    keys.map(|(key, _)| (key.clone(), find(old, key), find(new, key)))
        .filter(|(_, old, new)| old != new)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            version: "1".into(),
            commit: "a".into(),
            model: "m".into(),
            model_hash: "h".into(),
            device: "cpu".into(),
            input_format: InputFormat::Text,
            format: OutputFormat::Drdiff,
            shards: 2,
            fixed_batch: false,
            settings: Settings::default(),
            chosen: None,
        }
    }

    #[test]
    fn the_same_job_agrees_and_others_are_told_what_differs() {
        let dir = tempfile::tempdir().unwrap();
        let first = manifest();
        assert_eq!(first.agree(dir.path()).unwrap(), None);
        assert_eq!(first.agree(dir.path()).unwrap(), None);
        assert_eq!(Manifest::read(dir.path()).unwrap(), first);

        let mut newer = manifest();
        newer.commit = "b".into();
        assert_eq!(newer.agree(dir.path()).unwrap(), Some("1 (a)".into()));

        let mut other = manifest();
        other.settings.sampler.sampling.temperature = 0.1;
        let error = other.agree(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("settings.sampler.sampling.temperature = 0.5, and now") && error.contains("is 0.1;"),
            "{error}"
        );
        other.model_hash = "other".into();
        other.shards = 3;
        let error = other.agree(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("model_hash = \"h\"") && error.contains("and 2 more differ"),
            "{error}"
        );
    }

    #[test]
    fn choices_belong_to_the_job_and_older_folders_go_on() {
        let dir = tempfile::tempdir().unwrap();
        manifest().agree(dir.path()).unwrap();
        let of = |choices: Choices| Manifest {
            chosen: Some(choices),
            ..manifest()
        };
        of(Choices::default()).agree(dir.path()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        of(Choices::default()).agree(dir.path()).unwrap();
        let steps = Choices::default().with("steps", 8);
        let error = of(steps.clone()).agree(dir.path()).unwrap_err().to_string();
        assert!(error.contains("chosen.steps"), "{error}");
        assert_eq!(manifest().choices(), Choices::all_of(&Settings::default()));
        assert_eq!(of(steps.clone()).choices(), steps);
    }

    #[test]
    fn a_folder_without_a_job_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            Manifest::read(dir.path())
                .unwrap_err()
                .to_string()
                .contains("holds no job (no manifest.json")
        );
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(
            Manifest::read(dir.path())
                .unwrap_err()
                .to_string()
                .contains("not readable")
        );
    }
}
