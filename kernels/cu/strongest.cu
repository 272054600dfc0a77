// The columns that score highest in any of a unit's rows. A warp takes PART columns of a unit and keeps the best of
// them, so that long rows are read by many warps; a block then takes the best of what the warps of a unit kept.
#include "element.cuh"

// As in src/cuda/strongest.rs.
static constexpr int WARPS = 8, PART = 256, MERGERS = 128;

// A score and its column as one number, which is higher for a higher score and, of equal ones, for the earlier column.
// No two columns have the same. 0, which is below all of them, for NaN.
__device__ inline u64 rank_of(float score, u32 column) {
    if (isnan(score)) return 0;
    const u32 bits = __float_as_uint(__fadd_rn(score, 0.0f));    // makes -0 equal 0
    const u32 order = bits >> 31 ? ~bits : bits | 0x80000000u;
    return (u64)order << 32 | (u32)~column;
}

__device__ inline u64 warp_highest(u64 x) {
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) x = max(x, __shfl_xor_sync(0xffffffffu, x, o));
    return x;
}

// The highest number of a block of MERGERS threads, given to every thread.
__device__ inline u64 block_highest(u64 x) {
    __shared__ u64 highest[MERGERS / 32];
    x = warp_highest(x);
    __syncthreads();    // somebody may still read the last ones
    if (threadIdx.x % 32 == 0) highest[threadIdx.x / 32] = x;
    __syncthreads();
#pragma unroll
    for (int w = 0; w < MERGERS / 32; w++) x = max(x, highest[w]);
    return x;
}

// Warp `unit * parts + part` writes the `keep` highest ranks of its part, in descending order and with zeros behind them
// if there are fewer: kept [units, parts, keep].
template <int VEC>
__device__ void keep_parts(const float *scores, const u32 *candidates, u64 *kept, long units, int widest, int columns,
                           int parts, int keep) {
    constexpr int STEPS = PART / 32 / VEC;
    const long warp = (long)blockIdx.x * WARPS + threadIdx.y;
    if (warp >= units * parts) return;
    const long unit = warp / parts;
    const u32 first = (u32)(warp % parts) * PART, end = min(first + PART, (u32)columns);
    const u32 begins[2] = {candidates[unit * 4], candidates[unit * 4 + 2]};
    const u32 ends[2] = {candidates[unit * 4 + 1], candidates[unit * 4 + 3]};
    bool any = false;
#pragma unroll
    for (int i = 0; i < 2; i++) any |= max(begins[i], first) < min(ends[i], end);

    float peaks[STEPS][VEC];
    int at[STEPS];
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
#pragma unroll
        for (int i = 0; i < VEC; i++) peaks[s][i] = __int_as_float(0x7fffffff);    // NaN gives way to any number
        // Behind the last columns these are read again, and left out below.
        at[s] = min((int)first + (s * 32 + (int)threadIdx.x) * VEC, columns - VEC);
    }
    const float *row = scores + unit * widest * columns;
    const int rows = any ? widest : 0;
#pragma unroll 4
    for (int r = 0; r < rows; r++, row += columns) {
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
            float x[VEC];
            load<VEC>(x, row + at[s]);
#pragma unroll
            for (int i = 0; i < VEC; i++) peaks[s][i] = fmaxf(peaks[s][i], x[i]);
        }
    }

    u64 ranks[STEPS][VEC];
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
#pragma unroll
        for (int i = 0; i < VEC; i++) {
            const u32 column = first + (s * 32 + threadIdx.x) * VEC + i;
            const bool first_range = begins[0] <= column && column < ends[0];
            const bool second_range = begins[1] <= column && column < ends[1];
            ranks[s][i] = column < end && (first_range || second_range) ? rank_of(peaks[s][i], column) : 0;
        }
    }
    u64 last = ~0ull;
    for (int slot = 0; slot < keep; slot++) {
        u64 highest = 0;
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
#pragma unroll
            for (int i = 0; i < VEC; i++)
                if (ranks[s][i] < last) highest = max(highest, ranks[s][i]);
        }
        last = warp_highest(highest);
        if (threadIdx.x == 0) kept[warp * keep + slot] = last;
    }
}

#define KEEP(VEC)                                                                                                     \
    extern "C" __global__ void __launch_bounds__(32 * WARPS)                                                          \
        strongest_keep_##VEC(const float *scores, const u32 *candidates, u64 *kept, long units, int widest,           \
                             int columns, int parts, int keep) {                                                      \
        keep_parts<VEC>(scores, candidates, kept, units, widest, columns, parts, keep);                               \
    }
KEEP(8)
KEEP(1)

// Block `unit` writes the columns of the highest of its `count` kept ranks in ascending order: out [units, slots].
// A rank of 0 has column 0xffffffff, as empty slots have.
extern "C" __global__ void __launch_bounds__(MERGERS)
    strongest_merge(const u64 *kept, u32 *out, int count, int slots) {
    extern __shared__ u32 chosen[];
    const u64 *own = kept + (long)blockIdx.x * count;
    u64 last = ~0ull;
    for (int slot = 0; slot < slots; slot++) {
        u64 highest = 0;
        for (int i = threadIdx.x; i < count; i += MERGERS) {
            const u64 rank = own[i];
            if (rank < last) highest = max(highest, rank);
        }
        last = block_highest(highest);
        if (threadIdx.x == 0) chosen[slot] = ~(u32)last;
    }
    __syncthreads();
    for (int slot = threadIdx.x; slot < slots; slot += MERGERS) {
        const u32 column = chosen[slot];
        int before = 0;
        for (int i = 0; i < slots; i++) before += chosen[i] < column || (chosen[i] == column && i < slot);
        out[(long)blockIdx.x * slots + before] = column;
    }
}
