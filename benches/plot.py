#!/usr/bin/env python3
"""Draws time against length from the JSON lines of `drdiff bench attention --json`, both axes logarithmic, as one SVG.

    drdiff bench attention --device cuda --batch 1 --lengths 16k,64k,256k,1M --plan length_adaptive,tree,retrieval --json > lines.jsonl
    benches/plot.py lines.jsonl > plans.svg

A row `scoring` is drawn as a curve of its own, and `forward` without it as another: the choice among chunks is all that grows with N squared.
"""

import json
import math
import sys

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 680, 420, 64, 24, 200, 48
COLOURS = ["#0b6e99", "#c1440e", "#4b8b3b", "#7a4fa3", "#8a6d3b", "#333333", "#c2185b"]


def curves(lines):
    """Milliseconds by length for each curve, by its name."""
    times = {}
    for line in lines:
        if not line.startswith("{"):
            continue
        row = json.loads(line)
        if row["what"] in ("forward", "scoring"):
            times.setdefault((row["variant"], row["what"]), {})[row["shape"]["n"]] = row["ms"]
    found = {}
    for (variant, what), by_length in sorted(times.items()):
        scoring = times.get((variant, "scoring"), {})
        found[f"{variant}, {what}" if what == "scoring" else variant] = by_length
        if what == "forward" and scoring:
            rest = {n: ms - scoring[n] for n, ms in by_length.items() if n in scoring}
            found[f"{variant} without scoring"] = rest
    return found


def draw(found):
    lengths = sorted({n for curve in found.values() for n in curve})
    times = [ms for curve in found.values() for ms in curve.values()]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))

    def place(n, ms):
        across = math.log(n / lengths[0]) / math.log(lengths[-1] / lengths[0])
        up = (math.log10(ms) - low) / (high - low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for power in range(low, high + 1):
        _, y = place(lengths[0], 10.0**power)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        time = f"{10.0 ** (power - 3):g} s" if power >= 3 else f"{10.0**power:g} ms"
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{time}</text>')
    for n in lengths:
        x, _ = place(n, 10.0**low)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{n:,}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">positions</text>')
    for index, (name, curve) in enumerate(sorted(found.items(), key=lambda item: -max(item[1].values()))):
        colour = COLOURS[index % len(COLOURS)]
        points = [place(n, ms) for n, ms in sorted(curve.items())]
        parts.append(f'<path d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)
        y = TOP + 18 * index + 12
        parts.append(f'<path d="M{WIDTH - RIGHT + 12} {y - 4}h18" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 36}" y="{y}">{name}</text>')
    return "\n".join([*parts, "</svg>"])


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(draw(curves(file)))
