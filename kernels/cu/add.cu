// The sum of two arrays of one length.
#include "element.cuh"

template <typename T, int VEC> __device__ void add(const T *a, const T *b, T *out, long count) {
    const long at = (blockIdx.x * (long)blockDim.x + threadIdx.x) * VEC;
    if (at + VEC <= count) {
        float x[VEC], y[VEC];
        load<VEC>(x, a + at);
        load<VEC>(y, b + at);
#pragma unroll
        for (int i = 0; i < VEC; i++) x[i] += y[i];
        store<VEC>(out + at, x);
    } else {
        for (long i = at; i < count; i++) from_f32(out + i, to_f32(a[i]) + to_f32(b[i]));
    }
}

#define ADD(T, VEC, name)                                                                                             \
    extern "C" __global__ void add_##name(const T *a, const T *b, T *out, long count) {                               \
        add<T, VEC>(a, b, out, count);                                                                                \
    }
ADD(float, 1, f32_1)
ADD(float, 8, f32_8)
ADD(bf16, 1, bf16_1)
ADD(bf16, 8, bf16_8)
