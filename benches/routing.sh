#!/usr/bin/env bash
# Trains networks with different routers at equal operations for a position without a token, one command for each, and
# prints their bounds on held-out text.
#
#   DRDIFF=target/release/drdiff DATA=shards OUT=bench-routing DEVICE=cuda benches/routing.sh [arm ...]
#
# DRDIFF: the program.  DATA: a corpus of `drdiff data prepare` with the tiers that the preset names.  OUT: a folder for
# each arm.  STEPS: steps of each run (8857, as the preset).  DEVICE: cuda or cpu.  VOCAB: the corpus's vocabulary (8192).
# TRY=1: a few steps of a small network, to see that every arm runs.  A run that was interrupted goes on.
#
# The elastic arm at a smaller budget: drdiff eval --model OUT/elastic --text held-out.jsonl --compute 0.5
#
# Arms: dense, expert_choice (flat), rising, falling, token_choice, threshold, elastic (rising, budgets from a quarter up).
set -euo pipefail

drdiff=${DRDIFF:-target/release/drdiff}
data=${DATA:-shards}
out=${OUT:-bench-routing}
device=${DEVICE:-cuda}
arms=("$@")
[[ ${#arms[@]} -gt 0 ]] || arms=(dense expert_choice rising falling token_choice threshold elastic)

# What the arms share; without elasticity every run has its full budget.
common=(--set steps="${STEPS:-8857}" --set 'model.routing.budget={min: 1, max: 1}' --set model.routing.schedule=flat)
dense_hidden=1408
if [[ -n ${TRY:-} ]]; then
    common=(--set 'model.routing.budget={min: 1, max: 1}' --set model.routing.schedule=flat
        --set steps="${STEPS:-6}" --set batch=2 --set log_every=2 --set validate_every=0 --set validation_windows=2
        --set 'validation_blocks=[4, 16]' --set model.width=64 --set model.embed=64 --set model.layers=4
        --set model.heads=2 --set model.kv_heads=2 --set model.head_dim=32 --set model.hidden=128
        --set model.routing.expert_hidden=32 --set optimizer.warmup=2)
    dense_hidden=160
fi
common+=(--set model.vocab="${VOCAB:-8192}")

changes() {
    case $1 in
        dense) echo model.routing.kind=dense model.hidden="$dense_hidden" ;;
        expert_choice) echo model.routing.kind=expert_choice ;;
        rising | falling) echo model.routing.schedule="$1" ;;
        token_choice) echo model.routing.kind=token_choice ;;
        # A score of 0 for all leaves every expert a ninth; 2 of 8 have twice that or more.
        threshold) echo model.routing.kind=threshold model.routing.threshold=0.12 ;;
        elastic) echo model.routing.schedule=rising model.routing.budget.min=0.25 ;;
        *)
            echo "routing.sh: there is no arm $1" >&2
            return 2
            ;;
    esac
}

for arm in "${arms[@]}"; do
    settings=()
    for change in $(changes "$arm"); do
        settings+=(--set "$change")
    done
    resume=()
    [[ ! -e $out/$arm/training.safetensors ]] || resume=(--resume)
    "$drdiff" train --config routed --data "$data" -o "$out/$arm" --device "$device" "${common[@]}" "${settings[@]}" "${resume[@]}"
done

for arm in "${arms[@]}"; do
    echo "$arm $(grep '"event":"validation"' "$out/$arm/train.jsonl" | tail -n 1)"
done
