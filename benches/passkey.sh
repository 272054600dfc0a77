#!/usr/bin/env bash
# Trains a network that retrieves, one with full attention and one with a band alone, on windows of 4,096 bytes, and asks
# each for numbers that were said far away, left and right of the question.
#
#   DRDIFF=target/release/drdiff DATA=shards OUT=bench-passkey DEVICE=cuda benches/passkey.sh [arm ...]
#
# DRDIFF: the program.  DATA: a corpus of `drdiff data prepare --vocab 257`.  OUT: a folder for each arm.
# DEVICE: cuda or cpu.  STEPS: steps of 65,536 bytes with windows of 4,096, after a ninth as many with windows of 1,024
# (6000).  SAMPLES: questions of each length, side and place (100); the dense arm has a tenth.  EVAL=1: measures only.
# TRY=1: a few steps of a small network and short texts, to see that every arm runs.  A run that was interrupted goes on.
#
# Arms: retrieval, dense, band. Time is not measured: watch the first log lines, and give --stop-after through STOP, such as
# STOP=6m for each stage, where time is short; the same command then goes on with what is left.
set -euo pipefail

drdiff=${DRDIFF:-target/release/drdiff}
data=${DATA:-shards}
out=${OUT:-bench-passkey}
device=${DEVICE:-cuda}
steps=${STEPS:-6000}
samples=${SAMPLES:-100}
arms=("$@")
[[ ${#arms[@]} -gt 0 ]] || arms=(retrieval dense band)

short=1024 long=4096
batch=64 # of the first stage: as many bytes a step as the second
near=4k,64k far=1M few=4k,16k,64k
common=()
if [[ -n ${TRY:-} ]]; then
    steps=${STEPS:-9} samples=${SAMPLES:-2}
    short=512 long=1024 batch=2
    near=1k,4k far=16k few=1k
    common=(--set model.width=64 --set model.embed=64 --set model.layers=4 --set model.heads=2 --set model.head_dim=32
        --set model.hidden=128 --set optimizer.warmup=2 --set log_every=3 --set model.attention.retrieval.groups=1)
fi

changes() {
    case $1 in
        retrieval) ;;
        dense) echo model.attention.plan=dense ;;
        band)
            echo model.attention.plan=length_adaptive
            echo 'model.attention.length_adaptive={dense: 128, cell: 64, band: 1, globals: 0, rings: []}'
            ;;
        *)
            echo "passkey.sh: there is no arm $1" >&2
            return 2
            ;;
    esac
}

# train FOLDER CONTEXT BATCH STEPS [option ...]: goes on with a run that was interrupted; nothing for one that is done.
train() {
    local folder=$1 context=$2 batch=$3 steps=$4
    shift 4
    [[ ! -e $folder/done ]] || return 0
    local rest=("$@") stop=()
    [[ ! -e $folder/training.safetensors ]] || rest=(--resume)
    [[ -z ${STOP:-} ]] || stop=(--stop-after "$STOP")
    "$drdiff" train --config passkey --data "$data" -o "$folder" --device "$device" "${common[@]}" "${settings[@]}" \
        --set model.context="$context" --set "block_sizes=!only {$context: 1}" --set "validation_blocks=[$context]" \
        --set batch="$batch" --set steps="$steps" "${stop[@]}" "${rest[@]}"
    touch "$folder/done"
}

ask() {
    local folder=$1 lengths=$2 name=$3
    shift 3
    "$drdiff" eval --model "$folder" --device "$device" --recall "$lengths" --recall-whole "$@" -o "$folder/$name.json"
}

for arm in "${arms[@]}"; do
    settings=()
    while IFS= read -r change; do
        settings+=(--set "$change")
    done < <(changes "$arm")
    chosen=()
    [[ $arm != retrieval ]] || chosen=(--set model.attention.retrieval.top_k=$((short / 64)))
    if [[ -z ${EVAL:-} ]]; then
        kept=("${settings[@]}")
        settings+=("${chosen[@]}")
        train "$out/$arm-short" "$short" "$batch" $((steps / 9))
        settings=("${kept[@]}")
        train "$out/$arm" "$long" $((batch * short / long > 0 ? batch * short / long : 1)) "$steps" --from "$out/$arm-short"
    fi
    case $arm in
        retrieval)
            ask "$out/$arm" "$near,$far" one --recall-samples "$samples"
            ask "$out/$arm" "$near,$far" some --recall-samples "$samples" --recall-needles 6 --recall-asked 2
            ;;
        *) ask "$out/$arm" "$few" one --recall-samples $((samples / 10 > 0 ? samples / 10 : 1)) ;;
    esac
done
