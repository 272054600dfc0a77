"""One Markdown table of JSON lines: each of our rows beside the rows of others with the same work.

    python3 table.py OURS.jsonl PEERS.jsonl …

`ratio` is their time by ours: above 1 we are faster. `CPU ratio` is the same of the time on the CPU, which says more where
others use the machine too. `memory` is our peak by theirs.
"""

import sys

from rows import read

# What the plain transformer is called that differs in its feed-forward half: also a peer of ours.
SAME_WORK = {"plain-gelu": "plain"}
KEYS = ("n", "batch", "block_size")
SHOWN = (*KEYS, "steps", "tokens")


def work(row):
    """What two rows must share to be compared. A size that one of them does not name is not compared."""
    return row["bench"], row.get("what"), SAME_WORK.get(row["variant"], row["variant"])


def same(ours, theirs):
    if work(ours) != work(theirs):
        return False
    a, b = ours["shape"], theirs["shape"]
    return all(a[key] == b[key] for key in KEYS if key in a and key in b)


def sizes(row):
    return ", ".join(f"{key} {value:,}" for key, value in row["shape"].items() if key in SHOWN)


def number(value, unit, digits=0):
    return "-" if value is None else f"{value / unit:,.{digits}f}"


def line(*cells):
    return "| " + " | ".join(cells) + " |"


def compared(ours, theirs):
    memory = cpu = None
    if ours["device"] == "cpu" and ours["cpu_ms"] and theirs["cpu_ms"]:
        cpu = theirs["cpu_ms"] / ours["cpu_ms"]
    if ours["peak_bytes"] and theirs["peak_bytes"]:
        memory = ours["peak_bytes"] / theirs["peak_bytes"]
    return line(
        f"{ours['bench']} {ours['what']}",
        ours["variant"],
        sizes(ours),
        f"{ours['dtype']}",
        f"{ours['ms']:,.2f}",
        f"{theirs['peer']}" + ("" if theirs["variant"] == ours["variant"] else f" ({theirs['variant']})"),
        theirs["dtype"],
        f"{theirs['ms']:,.2f}",
        f"**{theirs['ms'] / ours['ms']:.2f}**",
        number(cpu, 1, 2),
        number(memory, 1, 2),
    )


def speeds(row):
    return line(
        f"{row['bench']} {row['what']}",
        row["variant"],
        sizes(row),
        row["peer"] or "drdiff",
        row["dtype"],
        f"{row['ms']:,.2f}",
        number(row["cpu_ms"] if row["device"] == "cpu" else None, 1, 2),
        number(row["tokens_per_s"], 1),
        number(row["flops_per_s"], 1e12, 2),
        number(row["peak_bytes"], 2**20),
    )


def sparse(row, rows):
    """A sparse plan against dense attention of ours by its share of the pairs: 1 is a plan that costs nothing."""
    for dense in rows:
        same_call = dense["what"] == row["what"] and dense["shape"] == row["shape"]
        if dense["variant"] == "dense" and dense["bench"] == "attention" and dense["peer"] is None and same_call:
            share = row["ms"] / (row["density"] * dense["ms"])
            on_cpu = None
            if row["device"] == "cpu" and row["cpu_ms"] and dense["cpu_ms"]:
                on_cpu = row["cpu_ms"] / (row["density"] * dense["cpu_ms"])
            cells = (row["what"], row["variant"], sizes(row), f"{row['density']:.4f}", f"{row['ms']:,.2f}")
            yield line(*cells, f"{dense['ms']:,.2f}", f"**{share:.2f}**", number(on_cpu, 1, 2))


def table(head, lines):
    lines = list(lines)
    if not lines:
        return
    print("\n" + line(*head))
    print(line(*("---" for _ in head)))
    print("\n".join(lines))


def main():
    rows = read(sys.argv[1:])
    measured = [row for row in rows if "ms" in row]
    own = [row for row in measured if row["peer"] is None]
    peers = [row for row in measured if row["peer"] is not None]
    head = ("what", "variant", "shape", "dtype", "ms", "peer", "dtype", "ms", "ratio", "CPU ratio", "memory")
    table(head, (compared(ours, theirs) for ours in own for theirs in peers if same(ours, theirs)))
    head = ("pass", "plan", "shape", "density p", "ms", "dense ms", "ms / (p x dense)", "same, CPU ms")
    table(head, (text for row in own if (row["density"] or 1) < 1 for text in sparse(row, own)))
    head = ("what", "variant", "shape", "by", "dtype", "ms", "CPU ms", "tokens/s", "TFLOP/s", "peak MiB")
    table(head, (speeds(row) for row in measured))
    for row in rows:
        if "error" in row:
            print(f"\nNot measured: {row['bench']} {row['variant']} of {row['peer']}, {sizes(row)}: {row['error']}")


if __name__ == "__main__":
    main()
