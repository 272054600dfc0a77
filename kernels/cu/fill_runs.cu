// Runs of numbers that grow by `step`, each from its start on.
#include "element.cuh"

// As in src/cuda/fill_runs.rs.
static constexpr int WARPS = 8;

// A warp a run; what lies behind `len` is left out.
extern "C" __global__ void __launch_bounds__(32 * WARPS)
    fill_runs(const u32 *starts, const u32 *values, const u32 *counts, u32 *out, u32 len, u32 step, int runs) {
    const int run = blockIdx.x * WARPS + threadIdx.y;
    if (run >= runs) return;
    const u32 start = starts[run], value = values[run], count = min(counts[run], len - min(start, len));
    for (u32 i = threadIdx.x; i < count; i += 32) out[start + i] = value + step * i;
}
