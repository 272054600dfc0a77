// silu(first half) * second half of each row. x has rows of 2 * half elements, `stride` apart.
#include "element.cuh"

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

template <typename T, int VEC> __device__ void forward(const T *x, long stride, T *y, int rows, int half) {
    const int per_row = half / VEC;
    const long count = (long)rows * per_row;
    for (long at = blockIdx.x * (long)blockDim.x + threadIdx.x; at < count; at += (long)gridDim.x * blockDim.x) {
        const long row = at / per_row, c = at % per_row * VEC;
        float gate[VEC], up[VEC];
        load<VEC>(gate, x + row * stride + c);
        load<VEC>(up, x + row * stride + half + c);
#pragma unroll
        for (int i = 0; i < VEC; i++) up[i] *= gate[i] * sigmoid(gate[i]);
        store<VEC>(y + row * half + c, up);
    }
}

template <typename T, int VEC> __device__ void backward(const T *x, const T *dy, T *dx, int rows, int half) {
    const int per_row = half / VEC;
    const long count = (long)rows * per_row;
    for (long at = blockIdx.x * (long)blockDim.x + threadIdx.x; at < count; at += (long)gridDim.x * blockDim.x) {
        const long row = at / per_row, c = at % per_row * VEC;
        float gate[VEC], up[VEC], d[VEC];
        load<VEC>(gate, x + 2 * row * half + c);
        load<VEC>(up, x + (2 * row + 1) * half + c);
        load<VEC>(d, dy + row * half + c);
#pragma unroll
        for (int i = 0; i < VEC; i++) {
            const float s = sigmoid(gate[i]), silu = gate[i] * s;
            gate[i] = d[i] * up[i] * (s + silu * (1.0f - s));
            up[i] = d[i] * silu;
        }
        store<VEC>(dx + 2 * row * half + c, gate);
        store<VEC>(dx + (2 * row + 1) * half + c, up);
    }
}

#define SWIGLU(T, VEC, name)                                                                                          \
    extern "C" __global__ void swiglu_forward_##name(const T *x, long stride, T *y, int rows, int half) {             \
        forward<T, VEC>(x, stride, y, rows, half);                                                                    \
    }                                                                                                                 \
    extern "C" __global__ void swiglu_backward_##name(const T *x, const T *dy, T *dx, int rows, int half) {           \
        backward<T, VEC>(x, dy, dx, rows, half);                                                                      \
    }
SWIGLU(float, 1, f32_1)
SWIGLU(float, 8, f32_8)
SWIGLU(bf16, 1, bf16_1)
SWIGLU(bf16, 8, bf16_8)
