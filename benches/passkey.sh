#!/usr/bin/env bash
# Trains a network that retrieves, one with full attention and one with a band alone, on windows of up to 4,096 bytes, and asks
# each for numbers that were said far away, left and right of the question.
#
#   DRDIFF=target/release/drdiff DATA=shards OUT=bench-passkey DEVICE=cuda benches/passkey.sh [arm ...]
#
# DRDIFF: the program.  DATA: a corpus of `drdiff data prepare --vocab 257 --valid-share 0.05`.  OUT: a folder for each arm.
# DEVICE: cuda or cpu.  STEPS: steps of 65,536 bytes with windows of 4,096, after half as many with windows of 256 and as many of
# those with windows of 1,024 (1200).  SAMPLES: questions of each length, side and place (100); the other arms have a tenth.
# EVAL=1: measures only.  TRY=1: a few steps of a small network and short texts, to see that every arm runs.  A run that was
# interrupted goes on.
#
# Arms: retrieval, dense, band; all of them read their neighbours. hops, only if named, goes on from the arm retrieval with keys that
# stand for others. STOP=3m, say, saves and stops each stage after so long (--stop-after); the same command then goes on.
set -euo pipefail

drdiff=${DRDIFF:-target/release/drdiff}
data=${DATA:-shards}
out=${OUT:-bench-passkey}
device=${DEVICE:-cuda}
steps=${STEPS:-1200}
samples=${SAMPLES:-100}
arms=("$@")
[[ ${#arms[@]} -gt 0 ]] || arms=(retrieval dense band)

# Of each stage: bytes of a window, and most numbers that one says. Order and choice are learnt from short windows with few
# numbers, where a chunk that was chosen by chance often holds the right one; long windows then teach to choose among many.
windows=(256 1024 4096) needles=(3 12 24)
bytes=65536 # of a step
near=4k,64k far=1M few=4k,16k,64k
common=()
if [[ -n ${TRY:-} ]]; then
    steps=${STEPS:-6} samples=${SAMPLES:-2}
    windows=(256 512 1024) bytes=2048
    near=1k,4k far=16k few=1k
    common=(--set model.width=64 --set model.embed=64 --set model.layers=4 --set model.heads=2 --set model.head_dim=32
        --set model.hidden=128 --set optimizer.warmup=2 --set log_every=3 --set model.attention.retrieval.groups=1)
fi

changes() {
    case $1 in
        retrieval) ;;
        hops) echo exercises.hops=2 ;;
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

# train FOLDER STAGE STEPS [option ...]: goes on with a run that was interrupted; nothing for one that is done.
train() {
    local folder=$1 window=${windows[$2]} needles=${needles[$2]} steps=$3
    shift 3
    [[ ! -e $folder/done ]] || return 0
    local rest=("$@") stop=()
    [[ ! -e $folder/training.safetensors ]] || rest=(--resume)
    [[ -z ${STOP:-} ]] || stop=(--stop-after "$STOP")
    "$drdiff" train --config passkey --data "$data" -o "$folder" --device "$device" "${common[@]}" "${settings[@]}" \
        --set model.context="$window" --set "block_sizes=!only {$window: 1}" --set "validation_blocks=[$window]" \
        --set batch=$((bytes / window > 0 ? bytes / window : 1)) --set steps="$steps" \
        --set "exercises.needles=[1,$needles]" "${stop[@]}" "${rest[@]}"
    touch "$folder/done"
}

ask() {
    local folder=$1 lengths=$2 name=$3
    shift 3
    "$drdiff" eval --model "$folder" --device "$device" --recall "$lengths" --recall-whole "$@" -o "$folder/$name.json"
}

# part N: an N-th of the questions, at least one.
part() { echo $((samples / $1 > 0 ? samples / $1 : 1)); }

for arm in "${arms[@]}"; do
    settings=()
    while IFS= read -r change; do
        settings+=(--set "$change")
    done < <(changes "$arm")
    if [[ -z ${EVAL:-} ]]; then
        kept=("${settings[@]}")
        # Behind a narrow band even a short window has something to choose, and not all of it can be chosen.
        settings+=(--set model.attention.retrieval.local=64 --set model.attention.retrieval.top_k=2 --set exercises.recall=1)
        start=()
        [[ $arm != hops ]] || start=(--from "$out/retrieval")
        train "$out/$arm-a" 0 $((steps / 2)) "${start[@]}"
        settings=("${kept[@]}")
        train "$out/$arm-b" 1 $((steps / 2)) --from "$out/$arm-a"
        train "$out/$arm" 2 "$steps" --from "$out/$arm-b"
    fi
    case $arm in
        retrieval)
            ask "$out/$arm" "$near,$far" one --recall-samples "$samples"
            ask "$out/$arm" "$near,$far" some --recall-samples "$samples" --recall-needles 6 --recall-asked 2
            ;;
        hops)
            for hops in 0 1 2; do
                ask "$out/$arm" "$near,$far" "hops-$hops" --recall-samples "$(part 5)" --recall-hops "$hops"
            done
            ;;
        *) ask "$out/$arm" "$few" one --recall-samples "$(part 10)" ;;
    esac
done
