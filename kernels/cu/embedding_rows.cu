// Rows of a table that an index names.
#include "element.cuh"

// As in src/cuda/embedding_rows.rs.
static constexpr int WARPS = 8, STEPS = 4;

// A warp takes 32 * VEC * STEPS neighbours of a row: row i of `out` becomes row ids[i] of `table`, whose `vocab` rows are
// `stride` elements apart, or zeros if there is none.
template <typename T, int VEC>
__device__ void read_rows(const u32 *ids, const T *table, T *out, long count, u32 vocab, int width, long stride) {
    const long row = (long)blockIdx.x * WARPS + threadIdx.y;
    if (row >= count) return;
    const u32 id = ids[row];
    const int first = (blockIdx.y * STEPS * 32 + threadIdx.x) * VEC;
    const float zeros[VEC] = {};
    Pack<T, VEC> numbers[STEPS];
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        const int column = first + step * 32 * VEC;
        if (id < vocab && column < width) numbers[step].read(table + id * stride + column);
        else numbers[step].set(zeros);
    }
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        const int column = first + step * 32 * VEC;
        if (column < width) numbers[step].write(out + row * width + column);
    }
}

#define ROWS(T, name, VEC)                                                                                            \
    extern "C" __global__ void __launch_bounds__(32 * WARPS) embedding_rows_##name##_##VEC(                           \
        const u32 *ids, const T *table, T *out, long count, u32 vocab, int width, long stride) {                      \
        read_rows<T, VEC>(ids, table, out, count, vocab, width, stride);                                              \
    }
ROWS(float, f32, 8)
ROWS(float, f32, 1)
ROWS(bf16, bf16, 8)
ROWS(bf16, bf16, 1)
