#!/usr/bin/env python3
"""Writes a file of requests with Ray Data: actors that drive `drdiff batch`.

    ray_batch.py requests.jsonl -o out --workers 4 -- --tokens 400

Each request needs an `id` (or `custom_id`), because Ray deals the lines out as it likes: with ids, every text is the one
that `drdiff batch requests.jsonl` writes. A batch of lines has a folder of its own, named after its content. So when
Ray starts an actor again, or the whole script runs again, finished texts are not written twice.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import ray

# Exit codes, those of drdiff: done; done with some failed requests; bad input.
DONE, SOME_FAILED, USAGE = 0, 1, 2


class Writer:
    """One actor: gives each batch of lines to the program and hands its records on."""

    def __init__(self, drdiff, out, flags, cpus):
        self.command = [drdiff, "batch", "-", "--quiet", "--shard", "0/1", *flags]
        self.out = Path(out)
        self.environment = {**os.environ, "RAYON_NUM_THREADS": str(cpus)}
        # Ray has dealt the lines out already.
        self.environment.pop("DRDIFF_SHARDS", None)

    def __call__(self, batch):
        lines = [line for line in batch["text"] if line.strip()]
        content = "".join(line + "\n" for line in lines)
        folder = self.out / ("lines-" + hashlib.sha256(content.encode()).hexdigest()[:16])
        run = subprocess.run(
            [*self.command, "-o", str(folder)],
            input=content,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        if run.returncode not in (DONE, SOME_FAILED):
            # Ray tries the batch again, and what is finished is kept.
            raise RuntimeError(f"drdiff ended with {run.returncode}: {run.stderr.strip()}")
        texts = read(folder / "part-00000-of-00001.jsonl")
        errors = read(folder / "errors-00000-of-00001.jsonl")
        return {"record": texts + errors, "failed": [False] * len(texts) + [True] * len(errors)}


def read(path):
    """Lines of a file that may not exist."""
    return path.read_text().splitlines() if path.exists() else []


def require_ids(path):
    """Refuses requests without ids or with equal ones, in one pass over the file."""
    known = set()
    with open(path) as file:
        for number, line in enumerate(file, 1):
            try:
                request = json.loads(line)
            except ValueError:
                # Empty, or drdiff tells what is wrong with it.
                continue
            name = request.get("custom_id", request.get("id")) if isinstance(request, dict) else None
            if name is None or name in known:
                problem = "no id" if name is None else "the id of an earlier line"
                print(f"ray_batch.py: line {number} of {path} has {problem}; give each request its own", file=sys.stderr)
                sys.exit(USAGE)
            known.add(name)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="What follows -- goes to drdiff batch.")
    parser.add_argument("input", type=Path, help="JSON lines of requests, each with an id")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder that all nodes see")
    parser.add_argument("--workers", type=int, default=2, help="actors (%(default)s)")
    parser.add_argument("--cpus", type=int, default=1, help="CPUs of an actor (%(default)s)")
    parser.add_argument("--gpus", type=float, help="GPUs of an actor; say -- --device cuda too")
    parser.add_argument("--lines", type=int, default=64, help="requests that an actor gets at once (%(default)s)")
    parser.add_argument("--drdiff", default="drdiff", help="the program (%(default)s)")
    parser.add_argument("--address", help="Ray cluster to use; without one, this machine")
    ours, theirs = sys.argv[1:], []
    if "--" in ours:
        at = ours.index("--")
        ours, theirs = ours[:at], ours[at + 1 :]
    return parser.parse_args(ours), theirs


def main():
    args, flags = arguments()
    require_ids(args.input)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.address:
        ray.init(address=args.address)
    else:
        # One CPU more than the actors hold is needed to read the file.
        ray.init(num_cpus=args.workers * args.cpus + 1, include_dashboard=False)

    lines = ray.data.read_text(str(args.input.absolute()))
    records = lines.map_batches(
        Writer,
        fn_constructor_kwargs={
            "drdiff": args.drdiff,
            "out": str(args.out.absolute()),
            "flags": flags,
            "cpus": args.cpus,
        },
        batch_size=args.lines,
        batch_format="numpy",
        num_cpus=args.cpus,
        num_gpus=args.gpus,
        compute=ray.data.ActorPoolStrategy(size=args.workers),
    )
    counts = {False: 0, True: 0}
    names = {False: args.out / "texts.jsonl", True: args.out / "errors.jsonl"}
    temporary = {failed: name.with_suffix(".tmp") for failed, name in names.items()}
    files = {failed: open(name, "w") for failed, name in temporary.items()}
    for row in records.iter_rows():
        files[row["failed"]].write(row["record"] + "\n")
        counts[row["failed"]] += 1
    for failed, file in files.items():
        file.close()
        temporary[failed].replace(names[failed])
    print(f"{counts[False]} texts are in {names[False]}, {counts[True]} lines failed", file=sys.stderr)
    return SOME_FAILED if counts[True] else DONE


if __name__ == "__main__":
    sys.exit(main())
