//! `cargo xtask cuda`: the CUDA build of `drdiff`, on a machine that needs neither a GPU nor a CUDA installation.

mod stubs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Compute capability of the oldest GPU to serve, without the dot.
    #[arg(long, default_value = "90")]
    compute_cap: String,
    /// Stop once the toolkit is in place.
    #[arg(long)]
    toolkit_only: bool,
}

/// The toolkit's parts that building needs, as Python wheels.
const WHEELS: [&str; 5] = [
    "nvidia-cuda-nvcc==13.0.*",
    "nvidia-cuda-crt==13.0.*",
    "nvidia-cuda-runtime==13.0.*",
    "nvidia-cuda-cccl==13.0.*",
    "nvidia-nvvm==13.0.*",
];

/// Fetches the toolkit into `.cuda/`, builds, and leaves `target/cuda/drdiff.xz`.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    let home = toolkit(root)?;
    if args.toolkit_only {
        println!("CUDA_HOME={}", home.display());
        return Ok(());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut build = cargo(root);
    build.args([
        "build",
        "--release",
        "--locked",
        "-p",
        "drdiff-cli",
        "--features",
        "cuda",
    ]);
    build.env("CUDA_HOME", &home).env("NVCC", home.join("bin/nvcc"));
    build.env("CUDA_COMPUTE_CAP", &args.compute_cap);
    // cudarc asks the `nvcc` on the path for the version.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(home.join("bin")).chain(std::env::split_paths(&path));
    build.env("PATH", std::env::join_paths(paths)?);
    succeed(&mut build)?;
    let packed = pack(&target)?;
    println!("{} ({} MiB)", packed.display(), fs::metadata(&packed)?.len() >> 20);
    Ok(())
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

/// Runs a command and fails if it does.
fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("could not start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed ({status})");
    }
    Ok(())
}

/// The folder to use as `CUDA_HOME`, made if it is not there.
fn toolkit(root: &Path) -> Result<PathBuf> {
    let home = root.join(".cuda/nvidia/cu13");
    let done = home.join(".ready");
    if done.exists() {
        return Ok(home);
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target"]);
    succeed(pip.arg(root.join(".cuda")).args(WHEELS))?;
    let mut chmod = Command::new("chmod");
    succeed(
        chmod
            .args(["-R", "a+x"])
            .args([home.join("bin"), home.join("nvvm/bin")]),
    )?;
    stubs::write(&cudarc(root)?, &home.join("lib"))?;
    fs::write(done, "")?;
    Ok(home)
}

/// The folder of cudarc's sources, whose bindings name the functions that the program links to.
fn cudarc(root: &Path) -> Result<PathBuf> {
    let output = cargo(root)
        .args(["metadata", "--format-version", "1", "--all-features", "--locked"])
        .output()
        .context("could not start `cargo metadata`")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("reading `cargo metadata`")?;
    metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "cudarc")
        .and_then(|package| package["manifest_path"].as_str())
        .and_then(|manifest| Path::new(manifest).parent())
        .map(|folder| folder.join("src"))
        .context("cudarc is not among the dependencies")
}

/// Packs the program for the journey.
fn pack(target: &Path) -> Result<PathBuf> {
    let folder = target.join("cuda");
    fs::create_dir_all(&folder)?;
    let program = folder.join("drdiff");
    fs::copy(target.join("release/drdiff"), &program)?;
    succeed(
        Command::new("xz")
            .args(["--force", "--keep", "--threads=0"])
            .arg(&program),
    )?;
    Ok(program.with_extension("xz"))
}
