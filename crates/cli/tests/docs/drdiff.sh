#!/usr/bin/env bash
# Stands for `drdiff` where commands of the documentation run: the program with a small network and little work. What was typed stays;
# `PARSE=1` only reads it, which finds flags and values that do not exist. Failures are added to the file `FAILURES`.
set -u
told() { echo "exit code $1: drdiff ${typed[*]}: $(tail -n 3 "$2")" >> "$FAILURES"; }
typed=("$@")
err=$(mktemp); trap 'rm -f "$err"' EXIT
if [ "${PARSE:-}" = 1 ]; then
  "$DRDIFF" "$@" --help > /dev/null 2> "$err" || told $? "$err"
  exit 0
fi
less=(); last=
for word in "$@"; do
  case $last in
    --texts) word=300 ;;
    -n) [ "$1 ${2:-}" = "data requests" ] && word=40 ;;
    --tokens) [ "$1" = batch ] && [ "$word" -gt 100 ] && word=16 ;;
    --recall) word=${word%%[,.]*} ;;
    --recall-samples) word=1 ;;
    --data) [ -f "$word/manifest.json" ] && vocab=$(grep -o '"vocab_size": *[0-9]*' "$word/manifest.json" | head -1 | grep -o '[0-9]*$') ;;
  esac
  less+=("$word"); last=$word
done
case "$1 ${2:-}" in
  "batch status" | "batch verify" | "batch merge" | "sweep steps") ;;
  train*) less+=(--set steps=2 --set batch=1 --set model.vocab="${vocab:-257}" --set model.width=32 --set model.embed=32
    --set model.layers=4 --set model.heads=1 --set model.kv_heads=1 --set model.head_dim=32 --set model.hidden=64
    --set validation_windows=1) ;;
  sweep*) less+=(--set settings.tokens=16 --set texts=1 --set rows=[]) ;;
esac
"$DRDIFF" "${less[@]}" 2> "$err"; code=$?
expected=0
case "${typed[*]}" in
  "batch requests.jsonl -o out2") expected=1 ;; # one of its lines is wrong, to show what becomes of it
esac
[ $code = $expected ] || told $code "$err"
