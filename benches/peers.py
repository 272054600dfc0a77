"""What PyTorch reaches on the machine at hand, as rows that compare with those of `drdiff bench --json`.

    python3 peers.py train         a plain transformer, eager and compiled, on a GPU
    python3 peers.py train-blocks  the same in the layout [noisy | clean], with FlexAttention
    python3 peers.py attention     flash attention, and FlexAttention with a sparse mask, on a GPU
    python3 peers.py cpu           one pass of a 165 M network, and attention, on a CPU

--tiny takes small shapes on the CPU, to see that the script works.
"""

import argparse
import contextlib
import functools
import time

import torch
import torch._functorch.config
import torch.nn.functional as F

from networks import Modern, Network, Plain, angles, attention_flops, forward_flops
from rows import failed, median, row

RUNS, WARM_UP = 20, 5
# FlexAttention refuses masks in smaller tiles with its default kernels.
TILE = 128


def sizes(args):
    if args.tiny:
        return dict(layers=2, width=64, heads=2, hidden=96, vocab=500), 128, (2,)
    return dict(layers=8, width=512, heads=8, hidden=1408, vocab=8192), 1024, (16, 64)


class Timer:
    """Milliseconds of calls, one by one, without waiting in between on a GPU. On a CPU, `cpu_ms` is then the time that
    all threads spent on it, a call, in the mean."""

    def __init__(self, device):
        self.cuda = device == "cuda"
        self.cpu_ms = None

    def mark(self):
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def median(self, call, runs=RUNS, warm_up=WARM_UP, calls=1):
        """The median over `runs` of the mean of `calls` calls."""
        for _ in range(warm_up):
            call()
        begun = time.process_time()
        marks = [self.mark()]
        for _ in range(runs):
            for _ in range(calls):
                call()
            marks.append(self.mark())
        if not self.cuda:
            self.cpu_ms = (time.process_time() - begun) * 1e3 / (runs * calls)
            return median([(b - a) * 1e3 / calls for a, b in zip(marks, marks[1:])])
        torch.cuda.synchronize()
        return median([a.elapsed_time(b) / calls for a, b in zip(marks, marks[1:])])


def peak(device):
    return torch.cuda.max_memory_allocated() if device == "cuda" else None


def release(device):
    """Frees what the last case left, compiled code included."""
    torch.compiler.reset()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def train_case(device, variant, peer, network, loss, ids, shape, flops):
    """Times whole steps: fresh ids, forward, backward, AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def step():
        with torch.autocast(device, dtype=torch.bfloat16):
            value = loss(ids())
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    ms = Timer(device).median(step)
    shape = shape | dict(params=sum(weight.numel() for weight in network.parameters()))
    counts = dict(tokens=shape["n"] * shape["batch"], flops=3 * flops)
    row("train", "step", variant, peer, shape, "bf16", ms, **counts, device=device, runs=RUNS, peak_bytes=peak(device))


def train(args, device):
    config, n, batches = sizes(args)
    vocab = config["vocab"]
    # The plain one is compiled without its loss, as in the measurement that our target was taken from.
    for variant, block, with_loss in (("plain", Modern, True), ("plain-gelu", Plain, False)):
        shape = config if block is Modern else config | dict(hidden=4 * config["width"])
        for batch in batches:
            for peer in ("torch-eager", "torch-compile"):
                try:
                    release(device)
                    network = Network(block, **shape).to(device)
                    rope = angles(torch.arange(n, device=device), shape["width"] // shape["heads"])
                    forward = torch.compile(network) if peer == "torch-compile" and not with_loss else network

                    def loss(ids):
                        return F.cross_entropy(forward(ids, rope).float().view(-1, vocab), ids.view(-1))

                    if peer == "torch-compile" and with_loss:
                        loss = torch.compile(loss)
                    ids = functools.partial(torch.randint, 0, vocab, (batch, n), device=device)
                    flops = forward_flops(network, batch * n, batch * n, batch * n * n)
                    train_case(device, variant, peer, network, loss, ids, dict(n=n, batch=batch), flops)
                except Exception as error:
                    failed("train", variant, peer, dict(n=n, batch=batch), error)


def noisy_clean(n, block_size):
    """The rule of the training layout: queries and keys are n noisy, then n clean positions."""

    def rule(_batch, _head, query, key):
        query_block, key_block = query % n // block_size, key % n // block_size
        noisy_query, noisy_key = query < n, key < n
        own = noisy_query & noisy_key & (query_block == key_block)
        before = noisy_query & ~noisy_key & (key_block < query_block)
        clean = ~noisy_query & ~noisy_key & (key_block <= query_block)
        return own | before | clean

    return rule


def noisy_clean_pairs(n, block_size):
    blocks = n // block_size
    return block_size**2 * (blocks + blocks * (blocks - 1) // 2 + blocks * (blocks + 1) // 2)


def train_blocks(args, device, block_size=16):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    config, n, batches = sizes(args)
    vocab = config["vocab"]
    for batch in batches:
        try:
            release(device)
            network = Network(Modern, **config).to(device)
            positions = torch.arange(n, device=device).repeat(2)
            rope = angles(positions, config["width"] // config["heads"])
            mask = create_block_mask(noisy_clean(n, block_size), None, None, 2 * n, 2 * n, device=device)
            attend = functools.partial(flex_attention, block_mask=mask)

            def loss(ids):
                noisy = torch.full_like(ids, vocab)
                logits = network(torch.cat((noisy, ids), dim=1), rope, attend, predicted=n)
                return F.cross_entropy(logits.float().view(-1, vocab), ids.view(-1))

            ids = functools.partial(torch.randint, 0, vocab, (batch, n), device=device)
            flops = forward_flops(network, 2 * batch * n, batch * n, batch * noisy_clean_pairs(n, block_size))
            shape = dict(n=n, batch=batch, block_size=block_size)
            train_case(device, "noisy-clean", "torch-flex", network, torch.compile(loss), ids, shape, flops)
        except Exception as error:
            failed("train", "noisy-clean", "torch-flex", dict(n=n, batch=batch, block_size=block_size), error)


def ring_tiles(query_tile, key_tile):
    """The sparse mask of `--plan ring`: a band, every 4th and every 16th tile in two rings, and two tiles for all."""
    far = (query_tile - key_tile).abs()
    return (far <= 1) | ((far <= 17) & (far % 4 == 1)) | ((far <= 81) & (far % 16 == 1)) | (key_tile < 2)


def ring(_batch, _head, query, key):
    return ring_tiles(query // TILE, key // TILE)


def ring_mask(n, device):
    """The mask in whole tiles, and the share of pairs it allows. `create_block_mask` would visit every pair first."""
    from torch.nn.attention.flex_attention import BlockMask

    tiles = torch.arange(n // TILE, device=device)
    sees = ring_tiles(tiles[:, None], tiles[None, :])
    counts = sees.sum(-1, dtype=torch.int32)[None, None]
    indices = torch.argsort(sees.int(), dim=-1, descending=True, stable=True).to(torch.int32)[None, None]
    none = torch.zeros_like(counts)
    mask = BlockMask.from_kv_blocks(none, indices, counts, indices, BLOCK_SIZE=TILE, mask_mod=ring)
    return mask, sees.double().mean().item()


def attention_case(device, variant, peer, run, inputs, density, runs=RUNS, backward=True):
    q, k, v = inputs
    batch, heads, n, head_dim = q.shape
    shape = dict(n=n, batch=batch, heads=heads, head_dim=head_dim)
    dtype = str(q.dtype).removeprefix("torch.").replace("bfloat16", "bf16").replace("float32", "f32")
    flops = attention_flops(batch * n * n * density, heads, head_dim)
    timer, calls = Timer(device), 5 if device == "cuda" else 1
    more = dict(tokens=batch * n, device=device, runs=runs, density=density, threads=threads(device))
    warm_up = WARM_UP if device == "cuda" else 1
    ms = timer.median(lambda: run(q, k, v), runs, warm_up, calls)
    used = dict(cpu_ms=timer.cpu_ms, peak_bytes=peak(device))
    row("attention", "forward", variant, peer, shape, dtype, ms, flops=flops, **used, **more)
    if backward:
        gradient, out = torch.randn_like(q), run(q, k, v)
        ms = timer.median(
            lambda: torch.autograd.grad(out, (q, k, v), gradient, retain_graph=True), runs, warm_up, calls
        )
        used = dict(cpu_ms=timer.cpu_ms, peak_bytes=peak(device))
        row("attention", "backward", variant, peer, shape, dtype, ms, flops=2.5 * flops, **used, **more)


def threads(device):
    return torch.get_num_threads() if device == "cpu" else None


def draw(device, dtype, batch, heads, n, head_dim, gradients):
    def one():
        return torch.randn(batch, heads, n, head_dim, device=device, dtype=dtype, requires_grad=gradients)

    return one(), one(), one()


def sdpa(device, dtype, n, batch, heads, head_dim):
    """Dense attention by PyTorch: its flash kernel, and the kernel that it chooses itself."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    for peer in ("torch-flash", "torch-sdpa"):
        try:
            release(device)
            forced = sdpa_kernel(SDPBackend.FLASH_ATTENTION) if peer == "torch-flash" else contextlib.nullcontext()
            with forced:
                inputs = draw(device, dtype, batch, heads, n, head_dim, True)
                attention_case(device, "dense", peer, F.scaled_dot_product_attention, inputs, 1.0)
        except Exception as error:
            failed("attention", "dense", peer, dict(n=n, batch=batch, heads=heads, head_dim=head_dim), error)


def attention(args, device):
    from torch.nn.attention.flex_attention import flex_attention

    # One forward pass serves many backward passes here.
    torch._functorch.config.donated_buffer = False
    cuda = device == "cuda"
    heads, head_dim = (8, 64) if cuda else (2, 16)
    for n in (4096, 16384, 65536) if cuda else (512,):
        batch = max(1, 65536 // n) if cuda else 1
        dtype = torch.bfloat16 if cuda else torch.float32
        sdpa(device, dtype, n, batch, heads, head_dim)
        try:
            release(device)
            mask, density = ring_mask(n, device)
            flex = torch.compile(functools.partial(flex_attention, block_mask=mask), dynamic=False)
            inputs = draw(device, dtype, batch, heads, n, head_dim, cuda)
            attention_case(device, "ring", "torch-flex", flex, inputs, density, backward=cuda)
        except Exception as error:
            failed("attention", "ring", "torch-flex", dict(n=n, batch=batch, heads=heads, head_dim=head_dim), error)


def lengths(args, device):
    """One sequence, longer and longer: where a sparse plan overtakes dense attention."""
    cuda = device == "cuda"
    dtype, heads, head_dim = (torch.bfloat16, 8, 64) if cuda else (torch.float32, 2, 16)
    for n in [1024 << i for i in range(8)] if cuda else (256, 512):
        sdpa(device, dtype, n, 1, heads, head_dim)


def naive(q, k, v):
    return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v


@torch.inference_mode()
def cpu(args, _device):
    torch.set_num_threads(args.threads)
    runs = 2 if args.tiny else 5
    config = dict(layers=12, width=768, heads=12, hidden=2048, vocab=50_258)
    config, n = (sizes(args)[0], 64) if args.tiny else (config, 512)
    ids = torch.randint(0, config["vocab"] + 1, (1, n))
    for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        network = Network(Modern, **config).to(dtype)
        rope = angles(torch.arange(n), config["width"] // config["heads"])
        timer = Timer("cpu")
        ms = timer.median(lambda: network(ids, rope), runs, 1)
        params = sum(weight.numel() for weight in network.parameters())
        counts = dict(tokens=n, flops=forward_flops(network, n, n, n * n), bytes=params * dtype.itemsize)
        more = dict(cpu_ms=timer.cpu_ms, device="cpu", threads=args.threads, runs=runs)
        row("generate", "step", "random-165m", "torch", dict(n=n, params=params), name, ms, **counts, **more)
    inputs = draw("cpu", torch.float32, 1, 8, n if args.tiny else 1024, 64, False)
    for peer, run in (("torch-sdpa", F.scaled_dot_product_attention), ("torch-naive", naive)):
        attention_case("cpu", "dense", peer, run, inputs, 1.0, runs, backward=False)


def main():
    benches = dict(train=train, attention=attention, lengths=lengths, cpu=cpu) | {"train-blocks": train_blocks}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", choices=benches)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the bench cpu (default: 1)")
    parser.add_argument("--tiny", action="store_true", help="small shapes on the CPU")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    benches[args.bench](args, "cpu" if args.tiny or args.bench == "cpu" else "cuda")


if __name__ == "__main__":
    main()
