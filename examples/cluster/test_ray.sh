#!/usr/bin/env bash
# Runs the Ray example on this machine with two workers and compares it with a plain `drdiff batch`.
#
#   DRDIFF=target/debug/drdiff examples/cluster/test_ray.sh
#
# DRDIFF: the program.  VENV: a virtual environment for Ray, made if there is none
# (target/ray-venv; about 500 MB).  A bare Debian needs: apt-get install python3 python3-venv
set -euo pipefail
cd "$(dirname "$0")/../.."

drdiff=$(realpath "${DRDIFF:-${CARGO_TARGET_DIR:-target}/debug/drdiff}")
venv=${VENV:-target/ray-venv}
if ! "$venv/bin/python" -c 'import ray.data' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'ray[data]==2.60.0'
fi
export RAY_USAGE_STATS_ENABLED=0 RAY_DATA_DISABLE_PROGRESS_BARS=1

# A small model: what is compared are files, not texts.
export DRDIFF_MODEL=$PWD/models/drdiff-recall

work=$(mktemp -d)
# Ray keeps things in the home folder.
export HOME=$work
trap 'rm -rf "$work"' EXIT
for n in 1 2 3 4 5 6 7; do
    echo "{\"id\": \"tale-$n\", \"prompt\": \"Tale $n. Once upon a time\", \"tokens\": $((10 + n))}"
done >"$work/requests.jsonl"
echo '{"id": "fails", "prompt": "x", "block_size": 1000000}' >>"$work/requests.jsonl"

flags=(--steps 4 --seed 3)
plain=0
"$drdiff" batch "$work/requests.jsonl" -o "$work/plain" --quiet "${flags[@]}" || plain=$?

# The second run finds everything done.
for run in first second; do
    code=0
    "$venv/bin/python" examples/cluster/ray_batch.py "$work/requests.jsonl" -o "$work/ray" \
        --workers 2 --lines 2 --drdiff "$drdiff" -- "${flags[@]}" || code=$?
    if [ "$code" != 1 ] || [ "$plain" != 1 ]; then
        echo "test_ray.sh: one request fails, so both have to end with 1; they ended with $plain and $code ($run run)" >&2
        exit 3
    fi
done

"$venv/bin/python" - "$work" <<'PYTHON'
import json
import sys
from pathlib import Path

work = Path(sys.argv[1])


def records(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.pop("seconds", None)
        line.pop("line", None)
    assert len({line["id"] for line in lines}) == len(lines), f"{path}: an id occurs twice"
    return sorted(lines, key=lambda line: line["id"])


for ours, theirs in [("ray/texts.jsonl", "part"), ("ray/errors.jsonl", "errors")]:
    ray, plain = records(work / ours), records(work / f"plain/{theirs}-00000-of-00001.jsonl")
    assert ray == plain, f"{ours} differs from the plain run:\n{ray}\n{plain}"
    print(f"{ours}: {len(ray)} records, equal to those of the plain run")
folders = list((work / "ray").glob("lines-*"))
assert len(folders) == 4, f"8 requests in batches of 2 need 4 folders, not {len(folders)}"
PYTHON
