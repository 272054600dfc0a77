//! Things that belong to one folder only: `unsafe` and CUDA, printing, YAML, writing files.

use super::Finding;
use super::repo::{File, Repo};
use super::source::{Source, has_word};

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let rust = repo.rust().flat_map(|(file, source)| {
        let mut findings = hardware(file, &source);
        findings.extend(printing(file, &source));
        findings.extend(yaml(file, &source));
        findings.extend(writing(file, &source));
        findings
    });
    let sources = repo
        .files
        .iter()
        .filter(|file| matches!(file.extension(), "cu" | "cuh") && file.folder() != "kernels");
    let sources = sources.map(|file| Finding::new(&file.path, 0, "CUDA sources belong in kernels/"));
    rust.chain(sources).collect()
}

/// Unsafe code and code that exists only with CUDA stay where the numeric tests are.
fn hardware(file: &File, source: &Source) -> Vec<Finding> {
    if file.folder() == "kernels" {
        return Vec::new();
    }
    let unsafe_code = source.code().filter(|(_, line)| has_word(line, "unsafe"));
    let cuda = source
        .code_with_strings()
        .filter(|(_, line)| line.split_whitespace().collect::<String>().contains("feature=\"cuda\""));
    unsafe_code
        .map(|(line, _)| Finding::new(&file.path, line, "`unsafe` belongs in kernels/"))
        .chain(cuda.map(|(line, _)| {
            Finding::new(
                &file.path,
                line,
                "code that depends on the `cuda` feature belongs in kernels/",
            )
        }))
        .collect()
}

/// Libraries return values and events; build scripts talk to cargo through stdout.
fn printing(file: &File, source: &Source) -> Vec<Finding> {
    const PRINTERS: &[&str] = &["println!", "eprintln!", "print!", "eprint!", "stdout()", "stderr()"];
    let may_print = matches!(file.folder(), "cli" | "xtask" | "testkit")
        || file.name() == "build.rs"
        // Asks where stdout goes, so that no output takes its place.
        || file.path == "crates/files/src/standard.rs"
        || file.path.contains("/examples/")
        || file.path.contains("/benches/");
    if may_print {
        return Vec::new();
    }
    source
        .code()
        .filter_map(|(line, code)| {
            let printer = PRINTERS.iter().find(|printer| has_word(code, printer))?;
            Some(Finding::new(
                &file.path,
                line,
                format!("`{printer}` belongs in cli/; return the text or an event"),
            ))
        })
        .collect()
}

/// Only `configs/` reads files that people write; the other crates own plain structs.
fn yaml(file: &File, source: &Source) -> Vec<Finding> {
    if file.folder() == "configs" {
        return Vec::new();
    }
    source
        .code()
        .filter(|(_, line)| has_word(line, "serde_yaml"))
        .map(|(line, _)| Finding::new(&file.path, line, "YAML belongs in configs/"))
        .collect()
}

/// One crate opens every output, so that what is there is never overwritten by accident; tests may be blunt.
fn writing(file: &File, source: &Source) -> Vec<Finding> {
    const WRITERS: &[&str] = &[
        "File::create",
        "File::create_new",
        "File::options",
        "OpenOptions",
        "fs::write",
        "fs::rename",
        "fs::copy",
        "fs::create_dir",
        "fs::create_dir_all",
        "fs::remove_file",
        "fs::remove_dir_all",
    ];
    let may_write = matches!(file.folder(), "xtask" | "testkit" | "files")
        || file.name() == "build.rs"
        || file.is_test()
        || file.path.contains("/examples/");
    if may_write {
        return Vec::new();
    }
    source
        .code()
        .filter(|(line, _)| !source.in_tests(*line))
        .filter_map(|(line, code)| {
            let writer = WRITERS.iter().find(|writer| has_word(code, writer))?;
            Some(Finding::new(
                &file.path,
                line,
                format!("`{writer}` belongs in crates/files/; write through drdiff-files"),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Repo::of(&[(path, text)]))
            .iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn unsafe_and_cuda_stay_in_kernels() {
        let text = "fn f() {}\nunsafe { g() }\n#[cfg(feature = \"cuda\")]\nfn g() {} // unsafe\n";
        assert_eq!(lines("crates/model/src/a.rs", text), [2, 3]);
        assert!(lines("kernels/src/a.rs", text).is_empty());
        assert_eq!(lines("crates/model/src/a.cu", ""), [0]);
        assert!(lines("kernels/cu/a.cu", "").is_empty());
    }

    #[test]
    fn only_the_terminal_programs_and_build_scripts_print() {
        let text = "println!(\"a\");\nlet s = \"print!\";\nwriteln!(std::io::stdout(), \"b\");\n";
        assert_eq!(lines("crates/model/src/a.rs", text), [1, 3]);
        assert!(lines("crates/cli/src/a.rs", text).is_empty());
        assert!(lines("kernels/build.rs", text).is_empty());
    }

    #[test]
    fn files_are_written_by_one_crate() {
        let text = "std::fs::write(a, b)?;\nfs::read(a)?;\nFile::create(a)?;\n#[cfg(test)]\nfs::write(a, b)?;\n";
        assert_eq!(lines("crates/model/src/a.rs", text), [1, 3]);
        assert!(lines("crates/files/src/a.rs", text).is_empty());
        assert!(lines("crates/model/tests/a.rs", text).is_empty());
    }

    #[test]
    fn yaml_stays_in_configs() {
        assert_eq!(lines("crates/model/src/a.rs", "use serde_yaml::Value;"), [1]);
        assert!(lines("configs/src/a.rs", "use serde_yaml::Value;").is_empty());
    }
}
