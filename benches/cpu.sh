#!/usr/bin/env bash
# Measures drdiff, PyTorch and llama.cpp on one CPU thread in one go, and writes JSON lines and a table.
#
#   DRDIFF=target/release/drdiff LLAMA=llama.cpp/build OUT=bench-cpu benches/cpu.sh
#
# DRDIFF: the program.  OUT: folder for the results and 1.5 GB of random weights.  THREADS: CPU threads (1).
# PYTHON: a Python with PyTorch, and with gguf and numpy for llama.cpp (python3).
# LLAMA: build folder of llama.cpp with llama-diffusion-cli and llama-quantize; left out if not given. See llama.py.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1

here=$(cd "$(dirname "$0")" && pwd)
drdiff=${DRDIFF:-target/release/drdiff}
out=${OUT:-bench-cpu}
python=${PYTHON:-python3}
threads=${THREADS:-1}
mkdir -p "$out"

ours() {
    "$drdiff" bench "$@" --threads "$threads" --json || echo "cpu.sh: failed: drdiff bench $*" >&2
}

# Lengths have a process each: the peak of a process's memory never falls.
{
    ours generate --random-165m --runs 5 --warm-up 1
    ours attention --lengths 1k --batch 1 --runs 10
    ours attention --lengths 4k --batch 1 --runs 3 --warm-up 1 --plan dense,ring
    ours attention --lengths 16k --batch 1 --runs 1 --warm-up 0 --forward-only --plan dense
    ours attention --lengths 16k --batch 1 --runs 1 --warm-up 0 --forward-only --plan ring
    ours generate --runs 3 --warm-up 1
} >"$out/drdiff.jsonl"

files=("$out/drdiff.jsonl")
if "$python" "$here/peers.py" cpu --threads "$threads" >"$out/torch.jsonl"; then
    files+=("$out/torch.jsonl")
else
    echo "cpu.sh: PyTorch stopped" >&2
fi
if [[ -n ${LLAMA:-} ]]; then
    if "$python" "$here/llama.py" "$LLAMA" --threads "$threads" --work "$out" >"$out/llama.jsonl"; then
        files+=("$out/llama.jsonl")
    else
        echo "cpu.sh: llama.cpp stopped" >&2
    fi
fi

{
    echo "CPU: $(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1), threads: $threads"
    echo "Date: $(date --utc +%F); $("$drdiff" --version)"
    "$python" "$here/table.py" "${files[@]}"
} >"$out/table.md"
cat "$out/table.md"
