// The gradient of an embedding table: for each row the sum, in a fixed order, of the gradients of the positions that
// read it. Positions are sorted by row with a stable radix sort; equal chunks of the sorted positions are summed by a
// block each, so that a row with many positions costs no more than many rows with one. Only integer atomics are used,
// whose result does not depend on their order.
#include "element.cuh"

static constexpr int BITS = 9, DIGITS = 1 << BITS;
// Threads of the sort, one for each digit, and the positions that they sort.
static constexpr int SORTERS = DIGITS, TILE = 1024;
static constexpr int WARPS = SORTERS / 32, ROUNDS = TILE / SORTERS;
// Sorted positions that one block sums.
static constexpr int CHUNK = 64;
// Rows in flight.
static constexpr int AHEAD = 8;
static constexpr u32 NONE = 0xffffffffu;

// The row of an id; ids outside the table share one after its end.
__device__ inline u32 row_of(u32 id, u32 vocab) { return min(id, vocab); }
__device__ inline int digit_of(u32 row, int shift) { return row >> shift & (DIGITS - 1); }

// Counts the digits of each tile of TILE ids: counts [tiles, DIGITS]. Marks the rows that occur if `used` is there.
extern "C" __global__ void __launch_bounds__(SORTERS) embedding_count(const u32 *ids, u32 *counts, u32 *used, int n,
                                                                      u32 vocab, int shift) {
    __shared__ u32 sums[DIGITS];
    sums[threadIdx.x] = 0;
    __syncthreads();
#pragma unroll
    for (int r = 0; r < ROUNDS; r++) {
        const int at = blockIdx.x * TILE + r * SORTERS + threadIdx.x;
        if (at < n) {
            const u32 row = row_of(ids[at], vocab);
            atomicAdd(sums + digit_of(row, shift), 1u);
            if (used && row < vocab) used[row] = 1;
        }
    }
    __syncthreads();
    counts[blockIdx.x * DIGITS + threadIdx.x] = sums[threadIdx.x];
}

// One stable pass: moves ids and their positions to where the digit sorts them. `positions` is null in the first pass,
// whose positions are 0, 1, ..
extern "C" __global__ void __launch_bounds__(SORTERS) embedding_sort(const u32 *ids, const u32 *positions,
                                                                     const u32 *counts, u32 *ids_out,
                                                                     u32 *positions_out, int n, u32 vocab, int shift) {
    __shared__ u32 next[WARPS][DIGITS];
    __shared__ u32 parts[WARPS];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, digit = threadIdx.x;
    const u32 before = (1u << lane) - 1u;
#pragma unroll
    for (int w = 0; w < WARPS; w++) next[w][digit] = 0;
    __syncthreads();

    // A warp sorts ROUNDS * 32 neighbours; lanes with the same digit are peers.
    u32 rows[ROUNDS], peers[ROUNDS];
#pragma unroll
    for (int r = 0; r < ROUNDS; r++) {
        const int at = blockIdx.x * TILE + (warp * ROUNDS + r) * 32 + lane;
        rows[r] = at < n ? row_of(ids[at], vocab) : NONE;
        const int own = at < n ? digit_of(rows[r], shift) : DIGITS;
        peers[r] = __match_any_sync(0xffffffffu, own);
        if (at < n && (peers[r] & before) == 0) next[warp][own] += __popc(peers[r]);
        __syncwarp();
    }
    __syncthreads();

    // This thread's digit: how often it is in all tiles and in those before; then the same for smaller digits.
    u32 total = 0, earlier = 0;
#pragma unroll 8
    for (int tile = 0; tile < (int)gridDim.x; tile++) {
        const u32 count = counts[tile * DIGITS + digit];
        total += count;
        earlier += tile < (int)blockIdx.x ? count : 0;
    }
    u32 upto = total;
#pragma unroll
    for (int o = 1; o < 32; o <<= 1) {
        const u32 other = __shfl_up_sync(0xffffffffu, upto, o);
        if (lane >= o) upto += other;
    }
    if (lane == 31) parts[warp] = upto;
    __syncthreads();
    u32 start = upto - total + earlier;
    for (int w = 0; w < warp; w++) start += parts[w];
#pragma unroll
    for (int w = 0; w < WARPS; w++) {
        const u32 count = next[w][digit];
        next[w][digit] = start;
        start += count;
    }
    __syncthreads();

#pragma unroll
    for (int r = 0; r < ROUNDS; r++) {
        const int at = blockIdx.x * TILE + (warp * ROUNDS + r) * 32 + lane;
        const int own = digit_of(rows[r], shift);
        const u32 to = at < n ? next[warp][own] + __popc(peers[r] & before) : 0;
        __syncwarp();
        if (at < n) {
            if ((peers[r] & before) == 0) next[warp][own] += __popc(peers[r]);
            ids_out[to] = rows[r];
            positions_out[to] = positions ? positions[at] : at;
        }
        __syncwarp();
    }
}

// Sums the runs of equal rows in each chunk of CHUNK sorted positions; block (chunk, slab of CHUNK * VEC columns). A run
// that lies in the chunk goes to the table; one that comes from the chunk before, to partial row 2 chunk; one that
// starts here and goes on, to partial row 2 chunk + 1.
template <typename T, typename O, int VEC>
__device__ void sums(const u32 *rows, const u32 *positions, const T *__restrict__ dy, O *dtable, float *partial, int n,
                     int width, u32 vocab) {
    // The chunk's rows, with the neighbours on both sides.
    __shared__ u32 run[CHUNK + 2];
    __shared__ u32 from[CHUNK];
    const int first = blockIdx.x * CHUNK, count = min(CHUNK, n - first), t = threadIdx.x;
    if (t < count) {
        run[t + 1] = rows[first + t];
        from[t] = positions[first + t];
    }
    if (t == 0) {
        run[0] = first > 0 ? rows[first - 1] : NONE;
        run[count + 1] = first + count < n ? rows[first + count] : NONE;
    }
    __syncthreads();
    const int column = (blockIdx.y * CHUNK + t) * VEC;
    if (column >= width) return;

    float sum[VEC] = {};
    bool fresh = run[1] != run[0];
    for (int base = 0; base < count; base += AHEAD) {
        Pack<T, VEC> packs[AHEAD];
#pragma unroll
        for (int j = 0; j < AHEAD; j++)
            if (base + j < count) packs[j].read(dy + (long)from[base + j] * width + column);
#pragma unroll
        for (int j = 0; j < AHEAD; j++) {
            const int at = base + j;
            if (at >= count) break;
            float v[VEC];
            packs[j].get(v);
#pragma unroll
            for (int i = 0; i < VEC; i++) sum[i] += v[i];
            const u32 row = run[at + 1];
            const bool ends = row != run[at + 2];
            if (row < vocab && (ends || at + 1 == count)) {
                if (ends && fresh)
                    store<VEC>(dtable + (long)row * width + column, sum);
                else
                    store<VEC>(partial + (2 * (long)blockIdx.x + (ends || !fresh ? 0 : 1)) * width + column, sum);
            }
            if (ends) {
                fresh = true;
#pragma unroll
                for (int i = 0; i < VEC; i++) sum[i] = 0.0f;
            }
        }
    }
}

// The rows whose runs span several chunks: the block of the chunk where such a run starts adds its partial sums. Block
// (chunk, slab of 32 * VEC columns) of 32 by SLICES threads.
static constexpr int SLICES = 8;

template <typename O, int VEC>
__device__ void spans(const u32 *rows, const float *partial, O *dtable, int n, int width, u32 vocab) {
    __shared__ float4 scratch[SLICES * 32 * VEC / 4];
    float *slices = reinterpret_cast<float *>(scratch);
    const int first = blockIdx.x * CHUNK, past = first + CHUNK;
    if (past >= n) return;
    const u32 row = rows[past];
    if (row >= vocab || rows[past - 1] != row || (first > 0 && rows[first - 1] == row)) return;
    // The end of the run.
    int low = past + 1, high = n;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (rows[middle] == row)
            low = middle + 1;
        else
            high = middle;
    }
    const int count = (low - 1) / CHUNK - (int)blockIdx.x + 1;
    const int own = threadIdx.x * VEC, column = blockIdx.y * 32 * VEC + own;
    float sum[VEC] = {};
    if (column < width) {
#pragma unroll 4
        for (int part = threadIdx.y; part < count; part += SLICES) {
            float v[VEC];
            load<VEC>(v, partial + (2 * ((long)blockIdx.x + part) + (part == 0)) * width + column);
#pragma unroll
            for (int i = 0; i < VEC; i++) sum[i] += v[i];
        }
    }
    store<VEC>(slices + threadIdx.y * 32 * VEC + own, sum);
    __syncthreads();
    if (threadIdx.y > 0 || column >= width) return;
#pragma unroll
    for (int s = 1; s < SLICES; s++) {
        float v[VEC];
        load<VEC>(v, slices + s * 32 * VEC + own);
#pragma unroll
        for (int i = 0; i < VEC; i++) sum[i] += v[i];
    }
    store<VEC>(dtable + (long)row * width + column, sum);
}

// Zeros in the rows that no id names. A warp takes a row.
template <typename O, int VEC>
__device__ void zeros(const u32 *used, O *dtable, int width, int vocab) {
    const float zero[VEC] = {};
    const int warps = gridDim.x * blockDim.y;
    for (int row = blockIdx.x * blockDim.y + threadIdx.y; row < vocab; row += warps) {
        if (used[row]) continue;
        for (int c = threadIdx.x * VEC; c < width; c += 32 * VEC) store<VEC>(dtable + (long)row * width + c, zero);
    }
}

#define SUMS(T, O, VEC, name)                                                                                         \
    extern "C" __global__ void __launch_bounds__(CHUNK) embedding_sums_##name(                                        \
        const u32 *rows, const u32 *positions, const T *dy, O *dtable, float *partial, int n, int width, u32 vocab) { \
        sums<T, O, VEC>(rows, positions, dy, dtable, partial, n, width, vocab);                                       \
    }
#define TABLE(O, VEC, name)                                                                                           \
    extern "C" __global__ void __launch_bounds__(32 * SLICES) embedding_spans_##name(                                 \
        const u32 *rows, const float *partial, O *dtable, int n, int width, u32 vocab) {                              \
        spans<O, VEC>(rows, partial, dtable, n, width, vocab);                                                        \
    }                                                                                                                 \
    extern "C" __global__ void embedding_zeros_##name(const u32 *used, O *dtable, int width, int vocab) {   \
        zeros<O, VEC>(used, dtable, width, vocab);                                                                    \
    }
SUMS(float, float, 1, f32_f32_1)
SUMS(float, float, 8, f32_f32_8)
SUMS(bf16, float, 1, bf16_f32_1)
SUMS(bf16, float, 8, bf16_f32_8)
SUMS(bf16, bf16, 1, bf16_bf16_1)
SUMS(bf16, bf16, 8, bf16_bf16_8)
TABLE(float, 1, f32_1)
TABLE(float, 8, f32_8)
TABLE(bf16, 1, bf16_1)
TABLE(bf16, 8, bf16_8)
