// A stream and a branch that is let through by a gate of its own: x + delta (1 + gate), element by element.
#include "element.cuh"

template <typename T, int VEC> __device__ void forward(const T *x, const T *delta, const T *gate, T *out, long count) {
    const long at = (blockIdx.x * (long)blockDim.x + threadIdx.x) * VEC;
    if (at + VEC <= count) {
        float v[VEC], d[VEC], a[VEC];
        load<VEC>(v, x + at);
        load<VEC>(d, delta + at);
        load<VEC>(a, gate + at);
#pragma unroll
        for (int i = 0; i < VEC; i++) v[i] += d[i] * (1.0f + a[i]);
        store<VEC>(out + at, v);
    } else {
        for (long i = at; i < count; i++)
            from_f32(out + i, to_f32(x[i]) + to_f32(delta[i]) * (1.0f + to_f32(gate[i])));
    }
}

// ddelta = dy (1 + gate), dgate = dy delta; the gradient of x is dy itself.
template <typename T, int VEC>
__device__ void backward(const T *delta, const T *gate, const T *dy, T *ddelta, T *dgate, long count) {
    const long at = (blockIdx.x * (long)blockDim.x + threadIdx.x) * VEC;
    if (at + VEC <= count) {
        float v[VEC], d[VEC], a[VEC];
        load<VEC>(v, dy + at);
        load<VEC>(d, delta + at);
        load<VEC>(a, gate + at);
#pragma unroll
        for (int i = 0; i < VEC; i++) {
            d[i] *= v[i];
            v[i] *= 1.0f + a[i];
        }
        store<VEC>(dgate + at, d);
        store<VEC>(ddelta + at, v);
    } else {
        for (long i = at; i < count; i++) {
            const float v = to_f32(dy[i]), d = to_f32(delta[i]);
            from_f32(ddelta + i, v * (1.0f + to_f32(gate[i])));
            from_f32(dgate + i, v * d);
        }
    }
}

#define GATE(T, VEC, name)                                                                                            \
    extern "C" __global__ void gated_add_forward_##name(const T *x, const T *delta, const T *gate, T *out,            \
                                                        long count) {                                                 \
        forward<T, VEC>(x, delta, gate, out, count);                                                                  \
    }                                                                                                                 \
    extern "C" __global__ void gated_add_backward_##name(const T *delta, const T *gate, const T *dy, T *ddelta,       \
                                                         T *dgate, long count) {                                      \
        backward<T, VEC>(delta, gate, dy, ddelta, dgate, count);                                                      \
    }
GATE(float, 1, f32_1)
GATE(float, 8, f32_8)
GATE(bf16, 1, bf16_1)
GATE(bf16, 8, bf16_8)
