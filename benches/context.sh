#!/usr/bin/env bash
# Trains small denoisers that differ in what their attention reads, for equal tokens on windows of 4,096, and measures them on
# held-out text, whole and by place in the window: whether what lies far back is used, and what it costs.
#
#   DRDIFF=target/release/drdiff DATA=shards TEXT=held-out.jsonl OUT=bench-context DEVICE=cuda benches/context.sh [arm ...]
#
# DRDIFF: the program.  DATA: a corpus of `drdiff data prepare`; of short documents nothing far back is worth reading.  TEXT: text that
# is not in it; without it nothing is measured but what training validates.  OUT: a folder for each arm.  STEPS: steps of each
# run (800 of 65,536 tokens, 52 M tokens).  WINDOWS: windows of TEXT (32).  DEVICE: cuda or cpu.  VOCAB: the corpus's vocabulary (8192).
# SEED: of weights and draws, the same for all arms (1).  STOP_AFTER: save and stop an arm after so long (9m, say) with code 75; the
# same command goes on.  EVAL=1: measures only.  TRY=1: a few steps of a small network on short windows, to see that every arm runs.
#
# The network is that of `small` with 8 layers of width 384; levels are absorbing alone, which is what the bound measures.
# Arms of the first set see every window as one block, to both sides; those of the second write it block after block too.
#
#   whole_dense            blocks_dense
#   whole_length_adaptive  blocks_length_adaptive
#   whole_retrieval        blocks_retrieval         a band of 128 to each side, and chunks retrieved in layers 4 and 6
#   whole_tree                                      trees with near siblings in layers 5 and 7, length_adaptive in the others;
#                                                   a tree reads whole windows alone
#   whole_mixed            blocks_mixed             only if named: retrieval, length_adaptive in the layers that do not retrieve
#
# Each set is compared within itself: the second shares its tokens among blocks of 16, 64 and the whole window, drawn equally often.
set -euo pipefail

drdiff=${DRDIFF:-target/release/drdiff}
data=${DATA:-shards}
out=${OUT:-bench-context}
device=${DEVICE:-cuda}
arms=("$@")
[[ ${#arms[@]} -gt 0 ]] || arms=(whole_dense whole_length_adaptive whole_retrieval whole_tree
    blocks_dense blocks_length_adaptive blocks_retrieval)

context=4096 batch=16
windows=${WINDOWS:-32}
upper=[5,7] retrieving=[4,6]
common=(--set 'sampling={shares: !only {}, document_start: 0}' --set self_conditioning=0
    --set 'levels={absorbing: 1, gaussian: 0, independent: 0, joint: 0}' --set model.vocab="${VOCAB:-8192}"
    --set seed="${SEED:-1}" --set validate_every=0)
if [[ -n ${TRY:-} ]]; then
    context=512 batch=2 windows=${WINDOWS:-2}
    upper=[3] retrieving=[2]
    # Sparse plans that leave something out of such short windows.
    common+=(--set steps="${STEPS:-4}" --set log_every=2 --set validation_windows=2 --set optimizer.warmup=2
        --set model.width=64 --set model.embed=64 --set model.layers=4 --set model.heads=2 --set model.kv_heads=2
        --set model.head_dim=32 --set model.hidden=128
        --set 'model.attention.retrieval={top_k: 2, local: 64, groups: 1, landmark: 32}'
        --set 'model.attention.length_adaptive={dense: 128, cell: 64, rings: [{from: 128, rate: 2, cells: 1}]}')
else
    common+=(--set steps="${STEPS:-800}" --set validation_windows=32 --set optimizer.warmup=100 --set optimizer.ema=0.99
        --set model.width=384 --set model.embed=384 --set model.layers=8 --set model.heads=6 --set model.kv_heads=6
        --set model.hidden=1056)
fi
common+=(--set model.context="$context" --set batch="$batch")

# One change a line.
changes() {
    case $1 in
        whole_*) echo "block_sizes=!only {$context: 1}" ;;
        blocks_*) echo "block_sizes=!only {16: 1, 64: 1, $context: 1}" ;;
    esac
    echo "validation_blocks=[$(sizes "$1")]"
    case $1 in
        whole_dense | blocks_dense) echo model.attention.plan=dense ;;
        whole_length_adaptive | blocks_length_adaptive) echo model.attention.plan=length_adaptive ;;
        whole_retrieval | blocks_retrieval) echo model.attention.plan=retrieval ;;
        whole_tree) echo "model.attention={plan: tree, layers: $upper, rest: length_adaptive, tree: {near: 1}}" ;;
        whole_mixed | blocks_mixed)
            echo "model.attention={plan: retrieval, layers: $retrieving, rest: length_adaptive}"
            ;;
        *)
            echo "context.sh: there is no arm $1" >&2
            return 2
            ;;
    esac
}

# Block sizes that an arm is measured at: those that it has been trained with, but for the middle one.
sizes() {
    case $1 in
        blocks_*) echo "16,$context" ;;
        *) echo "$context" ;;
    esac
}

for arm in "${arms[@]}"; do
    changes "$arm" >/dev/null
done

for arm in "${arms[@]}"; do
    [[ -z ${EVAL:-} ]] || break
    settings=()
    while IFS= read -r change; do
        settings+=(--set "$change")
    done < <(changes "$arm")
    more=()
    [[ ! -e $out/$arm/training.safetensors ]] || more+=(--resume)
    [[ -z ${STOP_AFTER:-} ]] || more+=(--stop-after "$STOP_AFTER")
    "$drdiff" train --config small --data "$data" -o "$out/$arm" --device "$device" "${common[@]}" "${settings[@]}" "${more[@]}"
done

# The median of the tokens a second that the log names.
speed() {
    grep -o '"tokens_per_second":[0-9.]*' "$out/$1/train.jsonl" | cut -d: -f2 | sort -n |
        awk '{ all[NR] = $1 } END { printf "%.0f tokens/s", all[int((NR + 1) / 2)] }'
}

for arm in "${arms[@]}"; do
    echo "$arm $(speed "$arm") $(grep '"event":"validation"' "$out/$arm/train.jsonl" | tail -n 1)"
done
[[ -n ${TEXT:-} ]] || exit 0

for arm in "${arms[@]}"; do
    echo "$arm, $(speed "$arm")"
    "$drdiff" eval --model "$out/$arm" --text "$TEXT" --device "$device" --quiet --windows "$windows" \
        --block-sizes "$(sizes "$arm")" --by-position 4 --out "$out/$arm/eval.json"
done
