// The gradient of an embedding table: for each row the sum, in order, of the gradients of the positions that read it.
// Counts use integer atomics, whose result does not depend on their order; the sums use none.
#include "element.cuh"

extern "C" __global__ void embedding_count(const u32 *ids, u32 *counts, int n, int vocab) {
    for (int at = blockIdx.x * blockDim.x + threadIdx.x; at < n; at += gridDim.x * blockDim.x)
        if (ids[at] < (u32)vocab) atomicAdd(counts + ids[at], 1u);
}

static constexpr int THREADS = 256;

// Block (row of the table, slab of THREADS columns). Scans the ids until all positions of the row are found.
template <typename T>
__device__ void backward(const u32 *ids, const u32 *counts, const T *dy, float *dtable, int n, int width) {
    __shared__ int found[THREADS];
    __shared__ int warps[THREADS / 32];
    const u32 id = blockIdx.x;
    const int column = blockIdx.y * THREADS + threadIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int missing = counts[id];
    float sum = 0.0f;
    for (int start = 0; missing > 0 && start < n; start += THREADS) {
        const int at = start + threadIdx.x;
        const bool hit = at < n && ids[at] == id;
        const u32 ballot = __ballot_sync(0xffffffffu, hit);
        if (!__syncthreads_or(hit)) continue;
        if (lane == 0) warps[warp] = __popc(ballot);
        __syncthreads();
        int before = 0, total = 0;
#pragma unroll
        for (int w = 0; w < THREADS / 32; w++) {
            before += w < warp ? warps[w] : 0;
            total += warps[w];
        }
        if (hit) found[before + __popc(ballot & ((1u << lane) - 1u))] = at;
        __syncthreads();
        if (column < width)
            for (int i = 0; i < total; i++) sum += to_f32(dy[(long)found[i] * width + column]);
        missing -= total;
        __syncthreads();
    }
    if (column < width) dtable[(long)id * width + column] = sum;
}

#define EMBEDDING(T, name)                                                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS) embedding_backward_##name(                                  \
        const u32 *ids, const u32 *counts, const T *dy, float *dtable, int n, int width) {                            \
        backward(ids, counts, dy, dtable, n, width);                                                                  \
    }
EMBEDDING(float, f32)
EMBEDDING(bf16, bf16)
