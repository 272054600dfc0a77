"""The rows that all benchmarks print: one JSON object a line, with the fields of `drdiff bench --json`."""

import json
import statistics


def row(bench, what, variant, peer, shape, dtype, ms, **more):
    """Prints a row. `shape` holds named sizes; `more` may hold tokens, flops and bytes of a call, and other fields."""
    line = dict(bench=bench, what=what, variant=variant, peer=peer, shape=shape, dtype=dtype, density=None)
    line |= dict(device=None, threads=None, runs=None, ms=ms, cpu_ms=None)
    for count in ("tokens", "flops", "bytes"):
        number = more.pop(count, None)
        line[f"{count}_per_s"] = None if number is None else number / (ms / 1e3)
    print(json.dumps(line | dict(peak_bytes=None, commit=None) | more), flush=True)


def failed(bench, variant, peer, shape, error):
    """Prints what could not be measured, and why: one peer that fails must not take the others with it."""
    reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    print(json.dumps(dict(bench=bench, variant=variant, peer=peer, shape=shape, error=reason)), flush=True)


def median(values):
    return statistics.median(values)


def read(paths):
    """All rows of some files; what is no JSON object (a warning that slipped in) is left out."""
    rows = []
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("{"):
                    rows.append(json.loads(line))
    return rows
