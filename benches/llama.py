"""Seconds a step of llama.cpp's diffusion program on a network with random weights, in several types.

    python3 llama.py BUILD [--threads 1] [--work FOLDER]

BUILD is a build folder of llama.cpp with the targets llama-diffusion-cli and llama-quantize. Needs gguf and numpy. A step
is the difference of two runs with different numbers of steps, so that loading does not count. It includes choosing
tokens, about 2 % of it.
"""

import argparse
import pathlib
import resource
import subprocess
import sys
import time

from rows import failed, median, row

POSITIONS = 512
FEW, MANY = 2, 6
TYPES = {"f32": None, "bf16": "BF16", "q8_0": "Q8_0", "q4_k_m": "Q4_K_M"}


def seconds(program, model, steps, threads):
    """Wall and CPU seconds of a run."""
    command = [program, "-m", model, "-p", "Hi", "-t", str(threads), "--temp", "0"]
    command += ["-ub", str(POSITIONS), "-b", str(POSITIONS), "-c", str(POSITIONS)]
    command += ["--diffusion-eps", "0.001", "--diffusion-algorithm", "4", "--diffusion-steps", str(steps)]

    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    begun, before = time.perf_counter(), used()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun, used() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", default=".", help="folder for the model files, up to 1.5 GB")
    args = parser.parse_args()
    folder = pathlib.Path(args.build) / "bin"
    plain = pathlib.Path(args.work) / "random-f32.gguf"
    if not plain.exists():
        writer = pathlib.Path(__file__).with_name("llada_gguf.py")
        subprocess.run([sys.executable, writer, plain], check=True)
    for dtype, kind in TYPES.items():
        shape = dict(n=POSITIONS)
        model = plain.with_name(f"random-{dtype}.gguf")
        try:
            if kind and not model.exists():
                command = [folder / "llama-quantize", plain, model, kind]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            steps = []
            for _ in range(args.runs):
                few, many = (seconds(folder / "llama-diffusion-cli", model, n, args.threads) for n in (FEW, MANY))
                steps.append([(b - a) / (MANY - FEW) * 1e3 for a, b in zip(few, many)])
            ms, cpu_ms = (median(column) for column in zip(*steps))
            counts = dict(tokens=POSITIONS, bytes=model.stat().st_size)
            more = dict(cpu_ms=cpu_ms, device="cpu", threads=args.threads, runs=args.runs)
            row("generate", "step", "random-165m", "llama.cpp", shape, dtype, ms, **counts, **more)
        except (OSError, subprocess.CalledProcessError) as error:
            failed("generate", "random-165m", "llama.cpp", shape, error)


if __name__ == "__main__":
    main()
