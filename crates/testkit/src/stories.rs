//! Folders of small stories: text that a corpus can be made of.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A story of `sentences` sentences that differs for each `seed`.
#[must_use]
pub fn story(seed: usize, sentences: usize) -> String {
    const WHO: [&str; 5] = ["The miller", "A grey cat", "Her brother", "The old king", "Nobody"];
    const DID: [&str; 5] = ["walked to", "dreamt of", "painted", "couldn't find", "sold"];
    const WHAT: [&str; 5] = [
        "the river",
        "17 apples",
        "a \"golden\" key",
        "the café",
        "tomorrow's bread",
    ];
    let pick = |list: [&'static str; 5], n: usize| list[(n * 7 + n / 3 + seed * 11) % 5];
    let mut text = String::new();
    for n in 0..sentences {
        text += &format!(
            "{} {} {}.",
            pick(WHO, n + seed),
            pick(DID, n / 2 + 3),
            pick(WHAT, n * seed + n / 5)
        );
        text += if n % 4 == 3 { "\n\n" } else { " " };
    }
    text.trim().to_owned()
}

/// One line of a .jsonl file.
#[must_use]
pub fn line(id: &str, title: &str, tier: &str, text: &str) -> String {
    serde_json::json!({ "id": id, "title": title, "tier": tier, "text": text, "words": 3 }).to_string() + "\n"
}

/// A folder with a .txt, a .jsonl and a .jsonl.zst file of stories.
#[derive(Debug)]
pub struct Stories {
    /// The folder, removed with this value.
    pub dir: TempDir,
    /// Files to learn from, of three kinds.
    pub train: Vec<PathBuf>,
    /// A file to measure on.
    pub valid: Vec<PathBuf>,
}

impl Stories {
    /// Writes the files.
    ///
    /// # Panics
    /// If the system has no room for them.
    #[must_use]
    pub fn write() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let tales: String = (0..20)
            .map(|n| line(&format!("t{n}"), &format!("Tale {n}"), "tales", &story(n, 30)))
            .collect();
        let young: String = (0..10)
            .map(|n| line(&format!("y{n}"), &format!("Book {n}"), "young", &story(n + 50, 200)))
            .collect();
        let valid: String = (0..4)
            .map(|n| line(&format!("v{n}"), "Held out", "tales", &story(n + 90, 60)))
            .collect();
        let packed = zstd::encode_all(young.as_bytes(), 3).expect("zstd in memory");
        let put = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).expect("a writable folder");
            path
        };
        let train = vec![
            put("tales.jsonl", tales.as_bytes()),
            put("young.jsonl.zst", &packed),
            put(
                "note.txt",
                format!("\u{feff}{}\r\n", story(7, 40).replace('\n', "\r\n")).as_bytes(),
            ),
        ];
        let valid = vec![put("valid.jsonl", valid.as_bytes())];
        Self { dir, train, valid }
    }

    /// Where a corpus of them may be put.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.dir.path().join("corpus")
    }
}

/// Names of the entries of a folder, sorted.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .expect("a readable folder")
        .map(|entry| {
            entry
                .expect("a readable entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}
