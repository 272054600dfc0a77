#!/usr/bin/env bash
# Measures drdiff and PyTorch on one GPU in one go, and writes JSON lines and a table.
#
#   DRDIFF=target/release/drdiff OUT=bench-gpu benches/gpu.sh [train] [train-blocks] [attention] [lengths]
#
# DRDIFF: the program, built with CUDA.  OUT: folder for the results.  PYTHON: a Python with PyTorch (python3).
# Without names everything is measured, in about a quarter of an hour, of which torch.compile takes half.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1

here=$(cd "$(dirname "$0")" && pwd)
drdiff=${DRDIFF:-target/release/drdiff}
out=${OUT:-bench-gpu}
python=${PYTHON:-python3}
parts=("$@")
[[ ${#parts[@]} -gt 0 ]] || parts=(train train-blocks attention lengths)
mkdir -p "$out"

ours() {
    "$drdiff" bench "$@" --device cuda --warm-up 5 --runs 20 --json
}

# One length a process, so that each has its own peak of memory.
lengths() {
    local n
    for n in 1k 2k 4k 8k 16k 32k 64k 128k; do
        ours attention --batch 1 --lengths "$n" --plan dense,length_adaptive
    done
    ours attention --batch 1 --lengths 256k --plan length_adaptive
    for n in 512k 1M; do
        ours attention --batch 1 --lengths "$n" --plan length_adaptive --forward-only
    done
    for n in 4k 16k 64k 256k; do
        ours train --batch 1 --layout noisy-clean --block-size 64 --layers 2 --context "$n" --attention length_adaptive
    done
}

measure() {
    case $1 in
        train) ours train --batch 16,64 ;;
        train-blocks) ours train --layout noisy-clean --batch 16,64 --block-size 16 ;;
        attention) ours attention --lengths 4k,16k,64k --plan dense,ring ;;
        lengths) lengths ;;
        *)
            echo "gpu.sh: unknown part $1; use train, train-blocks, attention or lengths" >&2
            return 2
            ;;
    esac
}

files=()
# The two programs take turns, so that both meet the GPU at the same temperature.
for part in "${parts[@]}"; do
    files+=("$out/$part.drdiff.jsonl" "$out/$part.torch.jsonl")
    measure "$part" >"$out/$part.drdiff.jsonl" || echo "gpu.sh: drdiff stopped at $part" >&2
    "$python" "$here/peers.py" "$part" >"$out/$part.torch.jsonl" || echo "gpu.sh: PyTorch stopped at $part" >&2
done

{
    echo "Device: $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1)"
    echo "Date: $(date --utc +%F); $("$drdiff" --version); PyTorch $("$python" -c 'import torch; print(torch.__version__)')"
    "$python" "$here/table.py" "${files[@]}"
} >"$out/table.md"
cat "$out/table.md"
