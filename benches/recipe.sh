#!/usr/bin/env bash
# Trains networks that differ in one thing each, for equal tokens, and tells their bounds: which recipe learns fastest.
#
#   DRDIFF=target/release/drdiff DATA=shards OUT=bench-recipe DEVICE=cuda benches/recipe.sh [arm ...]
#
# DRDIFF: the program.  DATA: a corpus of `drdiff data prepare` with the tiers tales and young; the arms vocab_4096 and vocab_16384
# read $DATA-4096 and $DATA-16384, which were prepared with --vocab.  OUT: a folder for each arm.  STEPS: steps of 65,536 tokens (1526,
# 100 M tokens).  WIDTH: 512, the bundled model's size, or 256, with 6 layers: a sixth of the work.  DEVICE: cuda or cpu.  SEED: of weights
# and draws, the same for all arms (1).  TRY=1: a few steps of a small network, to see that every arm runs. A run that was interrupted
# goes on; one that is done is told again.
#
# base is the preset `small` without prompt_dropout. The other arms change one thing of it:
#
#   adamw              AdamW alone, at the same rate              slow             two thirds of the rate
#   uniform            masked shares from [0, 1]                  bell, bell_wide  bells of width 0.5 and 0.75
#   clipped_by_size    masked shares as BD3-LM clips them, by block size
#   spread             half of the blocks masked as the default sampler leaves them
#   left_to_right      half of the blocks masked from some position on
#   absorbing          masked positions alone                     soft             half of the sequences soft
#   unconditioned, half_conditioned   self-conditioning in no pass and in half of them
#   zero_init          last maps of attention and feed-forward begin at zero
#   skips              every block reads the input again
#   deep, wide         18 layers of width 384, 5 of 768 (of WIDTH 256: 11 of 192, 3 of 384)
#   size_16, no_whole  blocks of 16 alone; all sizes but 256 and the whole window
#   vocab_4096, vocab_16384
set -euo pipefail

drdiff=${DRDIFF:-target/release/drdiff}
data=${DATA:-shards}
out=${OUT:-bench-recipe}
device=${DEVICE:-cuda}
width=${WIDTH:-512}
arms=("$@")
[[ ${#arms[@]} -gt 0 ]] || arms=(base adamw slow uniform bell bell_wide clipped_by_size spread left_to_right absorbing soft
    unconditioned half_conditioned zero_init skips deep wide size_16 no_whole vocab_4096 vocab_16384)

common=(--set prompt_dropout.share=0 --set seed="${SEED:-1}" --set validate_every=0 --set optimizer.warmup=100)
if [[ -n ${TRY:-} ]]; then
    common+=(--set steps="${STEPS:-4}" --set batch=2 --set log_every=2 --set validation_windows=2 --set model.width=64
        --set model.embed=64 --set model.layers=2 --set model.heads=2 --set model.kv_heads=2 --set model.head_dim=32
        --set model.hidden=128 --set optimizer.warmup=2)
else
    common+=(--set steps="${STEPS:-1526}" --set validation_windows=128)
fi

# Width, layers, heads, hidden width.
shape() {
    [[ -z ${TRY:-} ]] || return 0
    printf '%s\n' model.width="$1" model.embed="$1" model.layers="$2" model.heads="$3" model.kv_heads="$3" model.hidden="$4"
}

# One change a line.
changes() {
    # `small` is of width 512 itself. Deep and wide ones have about as many parameters as the other arms.
    case $1-$width in
        deep-512) shape 384 18 6 1056 ;;
        wide-512) shape 768 5 12 1856 ;;
        deep-256) shape 192 11 3 528 ;;
        wide-256) shape 384 3 6 1056 ;;
        *-256) shape 256 6 4 704 ;;
        *-512) ;;
        *)
            echo "recipe.sh: WIDTH is 256 or 512" >&2
            return 2
            ;;
    esac
    case $1 in
        base | deep | wide) ;;
        adamw) echo optimizer.muon=null ;;
        slow) echo optimizer.learning_rate=1.33e-3 ;;
        uniform) echo 'levels.masked_share=!only {type: uniform}' ;;
        bell) echo 'levels.masked_share=!only {type: bell, centre: 0.5, width: 0.5}' ;;
        bell_wide) echo 'levels.masked_share=!only {type: bell, centre: 0.5, width: 0.75}' ;;
        clipped_by_size)
            echo 'masked_shares={2: {type: clipped, low: 0.45, high: 0.95}, 4: {type: clipped, low: 0.45, high: 0.95},' \
                '8: {type: clipped, low: 0.3, high: 0.8}, 16: {type: clipped, low: 0.3, high: 0.8}, 32: {type: clipped, low: 0.3, high: 0.8}}'
            ;;
        spread) echo levels.mask_order.spread=1 ;;
        left_to_right) echo levels.mask_order.left_to_right=1 ;;
        absorbing) echo 'levels={absorbing: 1, gaussian: 0, independent: 0, joint: 0}' ;;
        soft) echo 'levels={absorbing: 0.5, gaussian: 0.2, independent: 0.1, joint: 0.2}' ;;
        unconditioned) echo self_conditioning=0 ;;
        half_conditioned) echo self_conditioning=0.5 ;;
        zero_init) echo zero_init_projections=true ;;
        skips) echo model.embedding_skips=true ;;
        size_16) echo 'block_sizes=!only {16: 1}' ;;
        no_whole) echo 'block_sizes={256: 0, 1024: 0}' ;;
        vocab_4096 | vocab_16384) echo "model.vocab=${1#vocab_}" ;;
        *)
            echo "recipe.sh: there is no arm $1" >&2
            return 2
            ;;
    esac
}

for arm in "${arms[@]}"; do
    changes "$arm" >/dev/null
done

for arm in "${arms[@]}"; do
    settings=()
    while IFS= read -r change; do
        settings+=(--set "$change")
    done < <(changes "$arm")
    shards=$data
    [[ $arm != vocab_* ]] || shards=$data-${arm#vocab_}
    more=()
    [[ ! -e $out/$arm/training.safetensors ]] || more+=(--resume)
    "$drdiff" train --config small --data "$shards" -o "$out/$arm" --device "$device" --quiet "${common[@]}" "${settings[@]}" "${more[@]}"
    echo "$arm $(grep -o '"tokens_per_second":[0-9.]*' "$out/$arm/train.jsonl" | cut -d: -f2 | sort -n |
        awk '{ all[NR] = $1 } END { printf "%.0f tokens/s", all[int((NR + 1) / 2)] }') $(grep '"event":"validation"' "$out/$arm/train.jsonl" | tail -n 1)"
done
