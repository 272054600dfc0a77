//! Libraries without code, to link against where the real ones belong to the machine that runs the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

struct Stub {
    /// Folder of cudarc's bindings.
    bindings: &'static str,
    /// What the library's functions are called at the front.
    prefix: &'static str,
    library: &'static str,
    /// The name that the program asks the loader for.
    soname: &'static str,
}

const STUBS: [Stub; 5] = [
    Stub {
        bindings: "driver",
        prefix: "cu",
        library: "libcuda.so",
        soname: "libcuda.so.1",
    },
    Stub {
        bindings: "cublas",
        prefix: "cublas",
        library: "libcublas.so",
        soname: "libcublas.so.13",
    },
    Stub {
        bindings: "cublaslt",
        prefix: "cublasLt",
        library: "libcublasLt.so",
        soname: "libcublasLt.so.13",
    },
    Stub {
        bindings: "curand",
        prefix: "curand",
        library: "libcurand.so",
        soname: "libcurand.so.10",
    },
    Stub {
        bindings: "nvrtc",
        prefix: "nvrtc",
        library: "libnvrtc.so",
        soname: "libnvrtc.so.13",
    },
];

/// Writes the stubs into `lib`, and the name under which the linker looks for the runtime library.
pub(super) fn write(cudarc: &Path, lib: &Path) -> Result<()> {
    for stub in &STUBS {
        let path = cudarc.join(stub.bindings).join("sys/mod.rs");
        let bindings = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let functions = functions(&bindings, stub.prefix);
        let code: String = functions
            .iter()
            .map(|name| format!("void {name}(void) {{}}\n"))
            .collect();
        let source = lib.join(stub.library).with_extension("c");
        fs::write(&source, code)?;
        let mut compile = Command::new("cc");
        compile
            .args(["-shared", "-fPIC", "-w", "-o"])
            .arg(lib.join(stub.library))
            .arg(&source);
        super::succeed(compile.arg(format!("-Wl,-soname,{}", stub.soname)))?;
    }
    fs::copy(lib.join("libcudart.so.13"), lib.join("libcudart.so"))?;
    Ok(())
}

/// The names of the functions in a file of bindings.
fn functions<'a>(bindings: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    bindings
        .split("fn ")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn functions_are_found_once_each() {
        let bindings = "pub unsafe fn cuInit(flags: u32) { fn cuInit(flags: u32); }\nfn other();\nfn cuFree_v2();";
        assert_eq!(
            functions(bindings, "cu").into_iter().collect::<Vec<_>>(),
            ["cuFree_v2", "cuInit"]
        );
    }
}
