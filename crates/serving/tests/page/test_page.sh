#!/usr/bin/env bash
# Tests the page of `drdiff serve` in Chromium.
#
#   DRDIFF=target/debug/drdiff crates/serving/tests/page/test_page.sh
#
# DRDIFF: the program.  OUT: folder for pictures (target/page).  AXE: axe.min.js, fetched by npm if unset.  A bare Debian needs:
# apt-get install --no-install-recommends chromium chromium-driver nodejs npm
set -euo pipefail
cd "$(dirname "$0")/../../../.."

drdiff=$(realpath "${DRDIFF:-${CARGO_TARGET_DIR:-target}/debug/drdiff}")
out=${OUT:-target/page}
mkdir -p "$out"
if [ -z "${AXE:-}" ]; then
    [ -f "$out/node_modules/axe-core/axe.min.js" ] || npm install --silent --no-audit --no-fund --prefix "$out" axe-core@4
    AXE=$out/node_modules/axe-core/axe.min.js
fi
export DRDIFF_MODEL=${DRDIFF_MODEL:-$PWD/models/drdiff-recall}

work=$(mktemp -d)
touch "$work/driver" "$work/log"
HOME=$work chromedriver --port=0 >"$work/driver" 2>&1 &
driver=$!
"$drdiff" serve --port 0 2>"$work/log" &
server=$!
trap 'kill $server $driver 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 300); do
    url=$(sed -n 's|.*is served at \(http://[^/]*\)/.*|\1|p' "$work/log")
    port=$(sed -n 's/.*started successfully on port \([0-9]*\).*/\1/p' "$work/driver")
    if [ -n "$url" ] && [ -n "$port" ]; then break; fi
    sleep 0.1
done
node crates/serving/tests/page/page.mjs "http://127.0.0.1:$port" "$url" "$out" "$AXE"
