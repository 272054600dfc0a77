"""Compares `drdiff serve` with `drdiff batch` on the same requests, with as many at once, in turns.

    cargo build --release
    python3 benches/serve.py --drdiff target/release/drdiff

Both write `--requests` texts of `--tokens` tokens behind prompts of 64 words; of batch's time that of loading is taken off. Prints
tokens a second by wall clock and by CPU seconds of the program, their ratio, and the latencies of streams: time to the first block and
between blocks. Texts have to be equal, up to what rounding changes in a batch.
"""

import argparse
import http.client
import json
import os
import re
import resource
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

WORDS = "the old house on the hill was cold and nobody had lived there for a hundred years but a light burned".split()


def requests(count, tokens):
    """Bodies whose prompts differ."""
    prompts = (" ".join(WORDS[(n + i * i) % len(WORDS)] for i in range(64)) for n in range(count))
    settings = {"block_size": 16, "steps": 8, "stop_at_end": False}
    return [{"prompt": p, "max_tokens": tokens, "seed": n, "diffusion": settings} for n, p in enumerate(prompts)]


def batch(drdiff, bodies, slots):
    """Wall and CPU seconds of a job."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "in.jsonl")
        lines = ({"id": str(n), "prompt": b["prompt"], "tokens": b["max_tokens"], "seed": b["seed"], **b["diffusion"]} for n, b in enumerate(bodies))
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([drdiff, "batch", file, "-o", Path(folder, "out"), "--batch", str(slots), "-q"], check=True)
        wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cpu_of(process):
    """CPU seconds of a running program."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(address, body, times=None):
    """One answer, streamed if `times` are wanted: of the first block, and between blocks."""
    connection = http.client.HTTPConnection(address)
    body = body if times is None else {**body, "stream": True}
    begun = last = time.perf_counter()
    connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    if times is None:
        assert json.loads(answer.read())["usage"]["completion_tokens"] == body["max_tokens"]
        return
    blocks = 0
    for line in answer:
        if b'"event":"block"' in line:
            now = time.perf_counter()
            times["first" if blocks == 0 else "between"].append(now - (begun if blocks == 0 else last))
            last, blocks = now, blocks + 1


def serve(address, bodies, clients, times=None):
    """Wall seconds of all answers, so many at once."""
    left, lock = list(reversed(bodies)), threading.Lock()

    def work():
        while True:
            with lock:
                if not left:
                    return
                body = left.pop()
            ask(address, body, times)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    begun = time.perf_counter()
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--drdiff", default="target/release/drdiff")
    parser.add_argument("--requests", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    bodies, slots = requests(args.requests, args.tokens), args.concurrency
    server = subprocess.Popen([args.drdiff, "serve", "--port", "0", "--slots", str(slots)], stderr=subprocess.PIPE, text=True)
    address = re.search("http://([^/]+)/", server.stderr.readline())[1]
    threading.Thread(target=server.stderr.read, daemon=True).start()
    ask(address, bodies[0])
    total = args.requests * args.tokens
    ours, theirs, ours_cpu, theirs_cpu = [], [], [], []
    for _ in range(args.rounds):
        idle = batch(args.drdiff, requests(1, 1), slots)
        whole = batch(args.drdiff, bodies, slots)
        theirs.append(total / (whole[0] - idle[0]))
        theirs_cpu.append(total / (whole[1] - idle[1]))
        before = cpu_of(server)
        ours.append(total / serve(address, bodies, slots))
        ours_cpu.append(total / (cpu_of(server) - before))
    times = {"first": [], "between": []}
    serve(address, bodies, slots, times)
    server.terminate()
    assert server.wait() == 0
    row = lambda name, a, b: print(f"{name}: serve {statistics.median(a):.1f}, batch {statistics.median(b):.1f}, ratio {statistics.median(x / y for x, y in zip(a, b)):.3f}")
    row("tokens a second", ours, theirs)
    row("tokens a CPU second", ours_cpu, theirs_cpu)
    for name, values in times.items():
        values.sort()
        at = lambda share: values[min(int(share * len(values)), len(values) - 1)]
        print(f"{name} block, seconds: p50 {at(0.5):.3f}, p99 {at(0.99):.3f}")


if __name__ == "__main__":
    main()
