// Rows written to places of a matrix that an index names.
#include "element.cuh"

// A block a row: row i of `rows`, `stride` elements apart, becomes row index[i] of `table`, which has `count`.
template <typename T, int VEC>
__device__ void put(T *table, const T *rows, const u32 *index, u32 count, int width, long stride) {
    const u32 to = index[blockIdx.x];
    if (to >= count) return;
    const T *from = rows + blockIdx.x * stride;
    for (int at = threadIdx.x * VEC; at < width; at += blockDim.x * VEC) {
        float v[VEC];
        load<VEC>(v, from + at);
        store<VEC>(table + (long)to * width + at, v);
    }
}

#define PUT(T, name, VEC)                                                                                             \
    extern "C" __global__ void put_rows_##name##_##VEC(T *table, const T *rows, const u32 *index, u32 count,          \
                                                       int width, long stride) {                                      \
        put<T, VEC>(table, rows, index, count, width, stride);                                                        \
    }
PUT(float, f32, 8)
PUT(float, f32, 1)
PUT(bf16, bf16, 8)
PUT(bf16, bf16, 1)
