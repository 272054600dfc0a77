// silu(first half) * second half of each row. x has rows of 2 * half elements, `stride` apart. A thread takes VEC
// columns of one row; threads are counted in 32 bits, whose division costs little beside the exponentials.
#include "element.cuh"

// To a few units in the last place, without the division's slow path.
__device__ inline float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }

template <typename T, int VEC>
__device__ void forward(const T *__restrict__ x, long stride, T *__restrict__ y, u32 rows, u32 half) {
    const u32 at = blockIdx.x * blockDim.x + threadIdx.x, per_row = half / VEC, row = at / per_row;
    if (row >= rows) return;
    const u32 c = (at - row * per_row) * VEC;
    const T *in = x + row * stride + c;
    Pack<T, VEC> a, b;
    a.read(in);
    b.read(in + half);
    float gate[VEC], up[VEC];
    a.get(gate);
    b.get(up);
#pragma unroll
    for (int i = 0; i < VEC; i++) up[i] *= gate[i] * sigmoid(gate[i]);
    store<VEC>(y + (long)at * VEC, up);
}

// The gradient of x and, if there is room for it, the product once more: what the next map's gradient reads.
template <typename T, int VEC>
__device__ void backward(const T *__restrict__ x, const T *__restrict__ dy, T *__restrict__ dx, T *__restrict__ y,
                         u32 rows, u32 half) {
    const u32 at = blockIdx.x * blockDim.x + threadIdx.x, per_row = half / VEC, row = at / per_row;
    if (row >= rows) return;
    const u32 c = (at - row * per_row) * VEC;
    const long start = 2 * (long)row * half + c;
    Pack<T, VEC> a, b, e;
    a.read(x + start);
    b.read(x + start + half);
    e.read(dy + (long)at * VEC);
    float gate[VEC], up[VEC], d[VEC];
    a.get(gate);
    b.get(up);
    e.get(d);
#pragma unroll
    for (int i = 0; i < VEC; i++) {
        const float s = sigmoid(gate[i]), silu = gate[i] * s, product = up[i] * silu;
        gate[i] = d[i] * up[i] * (s + silu * (1.0f - s));
        up[i] = d[i] * silu;
        d[i] = product;
    }
    if (y) store<VEC>(y + (long)at * VEC, d);
    store<VEC>(dx + start, gate);
    store<VEC>(dx + start + half, up);
}

#define SWIGLU(T, VEC, name)                                                                                          \
    extern "C" __global__ void __launch_bounds__(256) swiglu_forward_##name(const T *x, long stride, T *y, u32 rows,  \
                                                                            u32 half) {                               \
        forward<T, VEC>(x, stride, y, rows, half);                                                                    \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256) swiglu_backward_##name(const T *x, const T *dy, T *dx,          \
                                                                             T *y, u32 rows, u32 half) {              \
        backward<T, VEC>(x, dy, dx, y, rows, half);                                                                   \
    }
SWIGLU(float, 1, f32_1)
SWIGLU(float, 8, f32_8)
SWIGLU(bf16, 1, bf16_1)
SWIGLU(bf16, 8, bf16_8)
