"""Golden run of diffusers' DPMSolverMultistepScheduler on a closed-form denoiser.

    pip install diffusers==0.35.2 torch==2.3.1 'numpy<2'
    python make_diffusers.py > diffusers.json

The data law is one of four points in the plane, equally likely, so the posterior mean is a softmax. diffusers computes
in float32; its module is run with float32 replaced by float64, so that formulas and not roundings are compared. Its own
time grid, with sigma = 0 at the end, is recorded as half log-SNRs (null is infinity) and replayed by the Rust test.
"""

import json
import math
import types

import numpy
import torch
from diffusers.schedulers import scheduling_dpmsolver_multistep as module


def in_double(real, **replaced):
    proxy = types.ModuleType(real.__name__)
    proxy.__dict__.update({k: getattr(real, k) for k in dir(real)})
    proxy.__dict__.update(replaced)
    return proxy


module.torch = in_double(torch, float32=torch.float64)
module.np = in_double(numpy, float32=numpy.float64)

POINTS = torch.tensor([[1.0, 0.2], [-0.7, 0.9], [0.1, -1.1], [-1.2, -0.4]], dtype=torch.float64)


def denoise(z, alpha, sigma):
    return torch.softmax(alpha * z @ POINTS.T / sigma**2 - alpha**2 * (POINTS**2).sum(-1) / (2 * sigma**2), -1) @ POINTS


def run(algorithm, order, kind, steps, spacing):
    scheduler = module.DPMSolverMultistepScheduler(
        algorithm_type=algorithm,
        solver_order=order,
        solver_type=kind,
        prediction_type="sample",
        final_sigmas_type="zero",
        lower_order_final=True,
        timestep_spacing=spacing,
    )
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(7)
    z = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    lambdas = [None if s == 0 else -math.log(s) for s in scheduler.sigmas.tolist()]
    states, noises = [z.flatten().tolist()], []
    for k, t in enumerate(scheduler.timesteps):
        alpha, sigma = scheduler._sigma_to_alpha_sigma_t(scheduler.sigmas[k])
        noise = torch.randn(3, 2, generator=generator, dtype=torch.float64)
        z = scheduler.step(denoise(z, alpha, sigma), t, z, variance_noise=noise).prev_sample
        noises.append(noise.flatten().tolist())
        states.append(z.flatten().tolist())
    record = {"algorithm": algorithm, "order": order, "kind": kind, "lambdas": lambdas, "states": states}
    if algorithm.startswith("sde"):
        record["noises"] = noises
    return record


CASES = [
    ("dpmsolver++", 1, "midpoint"),
    ("dpmsolver++", 2, "midpoint"),
    ("dpmsolver++", 3, "heun"),  # the kind decides the order-2 step that starts it up
    ("sde-dpmsolver++", 1, "midpoint"),
    ("sde-dpmsolver++", 2, "midpoint"),
]
runs = [run(*case, steps, spacing) for case in CASES for steps, spacing in [(6, "linspace"), (20, "trailing")]]
print(json.dumps({"points": POINTS.tolist(), "runs": runs}))
