#!/usr/bin/env bash
# Trains networks with different routers at equal operations for a position without a token, one command for each, and
# measures them on held-out text: bounds by block size, at several budgets where an arm has been trained for them.
#
#   DRDIFF=target/release/drdiff DATA=shards TEXT=held-out.jsonl OUT=bench-routing DEVICE=cuda benches/routing.sh [arm ...]
#
# DRDIFF: the program.  DATA: a corpus of `drdiff data prepare` with the tiers that the preset names.  TEXT: text that is not in
# it; without it nothing is measured but what training validates.  OUT: a folder for each arm.  STEPS: steps of each run
# (1600 of 65,536 tokens, 105 M tokens).  SIZE: 384 or 512, see below.  DEVICE: cuda or cpu.  VOCAB: the corpus's vocabulary (8192).  SEED: of weights and
# draws, the same for all arms (1).  STOP_AFTER: save and stop an arm after so long (9m, say) with code 75; the same command goes
# on.  TRY=1: a few steps of a small network, to see that every arm runs.
#
# The network has 8 layers of width 384, routed from the fifth on; SIZE=512 takes that of the preset (10 layers).
#
#   dense           the feed-forward units as wide as the operations of the others
#   expert_choice   equal capacity at every noise level
#   rising          capacity grows with the signal; also the network trained for the full budget
#   falling         ... shrinks with it
#   token_choice    reads scores once a layer
#   threshold
#   blind           expert_choice whose routers do not read the entropy of the last prediction
#   elastic         rising, budgets from a quarter up, which cut experts
#   elastic_rows    ... which cut the rows of every expert
#   budget_25 _50 _75   rising, trained for that budget alone
#   many            expert_choice among twice as many experts
#   everywhere      ... in all layers, with a smaller shared expert (only with SIZE=384)
#
# What the figures answer: dense to threshold, which router; then expert_choice, rising, falling, which schedule; elastic at
# four budgets beside budget_25 to rising, what elasticity costs.
set -euo pipefail

drdiff=${DRDIFF:-target/release/drdiff}
data=${DATA:-shards}
out=${OUT:-bench-routing}
device=${DEVICE:-cuda}
arms=("$@")
[[ ${#arms[@]} -gt 0 ]] || arms=(dense expert_choice rising falling token_choice threshold blind elastic elastic_rows
    budget_25 budget_50 budget_75 many everywhere)

# What the arms share; without elasticity every run has its full budget.
common=(--set 'model.routing.budget={min: 1, max: 1}' --set model.routing.schedule=flat --set seed="${SEED:-1}")
dense_hidden=1408 # 1088 + 320: half of the layers have 2 of 8 experts of width 320
windows=(--windows 256)
if [[ -n ${TRY:-} ]]; then
    common+=(--set steps="${STEPS:-6}" --set batch=2 --set log_every=2 --set validate_every=0 --set validation_windows=2
        --set 'validation_blocks=[4, 16]' --set model.width=64 --set model.embed=64 --set model.layers=4
        --set model.heads=2 --set model.kv_heads=2 --set model.head_dim=32 --set model.hidden=128
        --set model.routing.expert_hidden=32 --set optimizer.warmup=2)
    dense_hidden=160
    windows=(--windows 2)
else
    common+=(--set steps="${STEPS:-1600}")
    if [[ ${SIZE:-384} == 384 ]]; then
        common+=(--set model.width=384 --set model.embed=384 --set model.layers=8 --set model.heads=6
            --set model.kv_heads=6 --set model.hidden=816 --set model.routing.expert_hidden=240)
        dense_hidden=1056
    fi
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
        blind) echo model.routing.entropy=false ;;
        elastic) echo model.routing.schedule=rising model.routing.budget.min=0.25 model.routing.cut=experts ;;
        elastic_rows) echo model.routing.schedule=rising model.routing.budget.min=0.25 model.routing.cut=rows ;;
        budget_25 | budget_50 | budget_75)
            local percent=${1#budget_}
            local share
            share=$(awk "BEGIN { print $percent / 100 }")
            echo model.routing.schedule=rising model.routing.budget.min="$share" model.routing.budget.max="$share"
            ;;
        many) echo model.routing.experts=16 ;;
        # 8 * 576 + 8 * 2 * 240 = 8 * 816 + 4 * 2 * 240
        everywhere) echo model.routing.experts=16 model.routing.first_layer=0 model.hidden=576 ;;
        *)
            echo "routing.sh: there is no arm $1" >&2
            return 2
            ;;
    esac
}

# Budgets that an arm is measured at: those that it has been trained for.
budgets() {
    case $1 in
        dense) echo 1 ;;
        elastic | elastic_rows) echo 0.25 0.5 0.75 1 ;;
        budget_*) awk "BEGIN { print ${1#budget_} / 100 }" ;;
        *) echo 1 ;;
    esac
}

for arm in "${arms[@]}"; do
    settings=()
    for change in $(changes "$arm"); do
        settings+=(--set "$change")
    done
    more=()
    [[ ! -e $out/$arm/training.safetensors ]] || more+=(--resume)
    [[ -z ${STOP_AFTER:-} ]] || more+=(--stop-after "$STOP_AFTER")
    "$drdiff" train --config routed --data "$data" -o "$out/$arm" --device "$device" "${common[@]}" "${settings[@]}" "${more[@]}"
done

for arm in "${arms[@]}"; do
    echo "$arm $(grep '"event":"validation"' "$out/$arm/train.jsonl" | tail -n 1)"
done
[[ -n ${TEXT:-} ]] || exit 0

for arm in "${arms[@]}"; do
    difficulty=(--difficulty)
    [[ $arm != dense ]] || difficulty=()
    for share in $(budgets "$arm"); do
        echo "$arm, budget $share"
        "$drdiff" eval --model "$out/$arm" --text "$TEXT" --device "$device" --compute "$share" --quiet \
            "${windows[@]}" "${difficulty[@]}" --out "$out/$arm/eval-$share.json"
    done
done
