#!/usr/bin/env bash
# Runs clients that people have against a real server: curl, openai, llm, langchain-openai, lm_eval, and openai of npm.
#
#   DRDIFF=target/debug/drdiff examples/serving/test_clients.sh
#   examples/serving/test_clients.sh --fetch     fetches the clients and ends
#
# DRDIFF: the program.  DRDIFF_MODEL: the model, a small one if unset.  VENV: a virtual environment for the clients, made if there
# is none (target/clients-venv; about 600 MB).  A bare Debian needs: apt-get install curl python3 python3-venv nodejs npm
set -euo pipefail
cd "$(dirname "$0")/../.."

drdiff=$(realpath -m "${DRDIFF:-${CARGO_TARGET_DIR:-target}/debug/drdiff}")
venv=$(realpath -m "${VENV:-target/clients-venv}")
if ! "$venv/bin/python" -c 'import langchain_openai, llm, lm_eval, openai' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        openai==3.57.0 llm==0.36 langchain-openai==1.7.4 'lm-eval[api]==0.4.13'
fi
node=$venv/node
if [ ! -d "$node/node_modules/openai" ]; then
    npm install --silent --no-audit --no-fund --prefix "$node" openai@7
fi
# Only the clients were asked for.
if [ "${1:-}" = --fetch ]; then exit 0; fi
export DRDIFF_MODEL=${DRDIFF_MODEL:-$PWD/models/drdiff-recall} OPENAI_API_KEY=none

work=$(mktemp -d)
touch "$work/log"
"$drdiff" serve --port 0 2>"$work/log" &
server=$!
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 300); do
    url=$(sed -n 's|.*the API: \(http://[^)]*\)).*|\1|p' "$work/log")
    if [ -n "$url" ] && curl -sf "${url%/v1}/health" >"$work/health"; then break; fi
    kill -0 $server || { cat "$work/log" >&2; exit 3; }
    sleep 0.1
done

prompt="The old house"
expected=$("$drdiff" generate "$prompt" --seed 7 --tokens 24 --no-echo --quiet)
same() {
    if [ "$2" != "$expected" ]; then
        printf 'test_clients.sh: %s wrote\n%s\nand drdiff generate\n%s\n' "$1" "$2" "$expected" >&2
        exit 3
    fi
    echo "$1: the text of drdiff generate"
}

body="{\"prompt\": \"$prompt\", \"max_tokens\": 24, \"seed\": 7, \"stream\": true}"
text=$(curl -sfN "$url/completions" -H 'content-type: application/json' -d "$body" |
    sed -n 's/^data: {/{/p' | python3 -c 'import json, sys
print("".join(json.loads(line)["choices"][0]["text"] for line in sys.stdin))')
same curl "$text"

same openai "$("$venv/bin/python" examples/serving/openai_client.py "$url" "$prompt")"
# LangChain sends a temperature and a top-p of its own.
plain=$expected
expected=$("$drdiff" generate "$prompt" --seed 7 --tokens 24 --temperature 0.7 --top-p 1 --no-echo --quiet)
same langchain-openai "$("$venv/bin/python" examples/serving/langchain_client.py "$url" "$prompt")"
expected=$plain

export LLM_USER_PATH=$work/llm
mkdir "$LLM_USER_PATH"
printf -- '- model_id: drdiff\n  model_name: drdiff\n  api_base: %s\n  completion: true\n' "$url" \
    >"$LLM_USER_PATH/extra-openai-models.yaml"
for stream in "" --no-stream; do
    same "llm${stream:+ $stream}" "$("$venv/bin/llm" -m drdiff --no-log $stream -o seed 7 -o max_tokens 24 "$prompt")"
done

cp examples/serving/client.mjs "$node/"
same "openai of npm" "$(node "$node/client.mjs" "$url" "$prompt")"

# Likelihoods and texts, with the server's own tokenizer; the tasks' data lie beside them.
tasks=$PWD/examples/serving/lm_eval
mkdir "$work/eval" && cp "$tasks/questions.jsonl" "$work/eval/"
(cd "$work/eval" && HF_HOME=$work/hf HF_HUB_OFFLINE=1 "$venv/bin/lm_eval" run --model local-completions \
    --model_args "model=drdiff,base_url=$url/completions,num_concurrent=4,tokenized_requests=False" \
    --include_path "$tasks" --tasks drdiff_choice,drdiff_write --output_path "$work/eval/results") >"$work/eval.log" 2>&1 ||
    { cat "$work/eval.log" >&2; exit 3; }
python3 - "$work/eval/results" <<'PYTHON'
import json
import sys
from pathlib import Path

(path,) = Path(sys.argv[1]).rglob("results_*.json")
results = json.loads(path.read_text())["results"]
for task in ["drdiff_choice", "drdiff_write"]:
    scores = {name: value for name, value in results[task].items() if isinstance(value, float)}
    assert scores, results
    print(f"lm_eval, {task}: {scores}")
PYTHON

# Nobody is left, and the server ends when it is told to.
running=$(curl -sf "${url%/v1}/metrics" | sed -n 's/^drdiff_requests_running //p')
kill -TERM $server
code=0
wait $server || code=$?
if [ "$running" != 0 ] || [ "$code" != 0 ]; then
    echo "test_clients.sh: $running texts were left, and the server ended with $code" >&2
    exit 3
fi
