//! Tells the library whether there is a model to compile in.

use std::env;
use std::path::Path;

fn main() {
    let root = Path::new("../..");
    println!("cargo::rustc-check-cfg=cfg(has_bundled_model)");
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_BUNDLED_MODEL").is_some() {
        let files = [
            "model.gguf",
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja",
        ];
        let files = files.map(|file| root.join("models/drdiff-smol").join(file));
        for file in &files {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        if files.iter().all(|file| file.is_file()) {
            println!("cargo::rustc-cfg=has_bundled_model");
        }
    }
}
