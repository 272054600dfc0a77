//! Compiles `cu/*.cu` to PTX when the feature `cuda` is on.
//!
//! The compiler is `$NVCC`, or `$CUDA_HOME/bin/nvcc`, or `nvcc` on the path; the architecture is
//! `$CUDA_COMPUTE_CAP` as for candle's own kernels, or 80, whose PTX runs on everything newer. Files that end in `_sm90`
//! use what compute capability 9.0 has and no other, before or after; where older GPUs are to be served they are left
//! empty.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=cu");
    for variable in ["NVCC", "CUDA_HOME", "CUDA_COMPUTE_CAP"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR: not run by cargo")?);
    let capability = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "80".to_owned());
    let hopper = capability.parse::<u32>().is_ok_and(|number| number >= 90);
    for entry in fs::read_dir("cu").map_err(|error| format!("cu: {error}"))? {
        let source = entry.map_err(|error| format!("cu: {error}"))?.path();
        if source.extension().is_none_or(|extension| extension != "cu") {
            continue;
        }
        let target = out.join(source.file_name().unwrap_or_default()).with_extension("ptx");
        match source.to_string_lossy().ends_with("_sm90.cu") {
            false => compile(&source, &target, &capability)?,
            true if hopper => compile(&source, &target, "90a")?,
            true => fs::write(&target, "").map_err(|error| format!("{}: {error}", target.display()))?,
        }
    }
    Ok(())
}

fn compiler() -> PathBuf {
    env::var_os("NVCC")
        .map(PathBuf::from)
        .unwrap_or_else(|| match env::var_os("CUDA_HOME") {
            Some(home) => Path::new(&home).join("bin/nvcc"),
            None => PathBuf::from("nvcc"),
        })
}

fn compile(source: &Path, target: &Path, capability: &str) -> Result<(), String> {
    let nvcc = compiler();
    let result = Command::new(&nvcc)
        .args(["-ptx", "-O3", "-std=c++17"])
        .arg(format!("-arch=compute_{capability}"))
        .arg("-o")
        .args([target, source])
        .output()
        .map_err(|error| format!("cannot run {}: {error}; see docs/guide/gpu.md", nvcc.display()))?;
    if result.status.success() {
        return Ok(());
    }
    Err(format!(
        "{}:\n{}",
        source.display(),
        String::from_utf8_lossy(&result.stderr)
    ))
}
