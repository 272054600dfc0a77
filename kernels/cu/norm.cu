// RMS norm of rows. A warp takes a row; the gain's gradient is summed per warp, then per block, then over blocks.
#include "element.cuh"

// 1 / sqrt(mean(x^2) + eps), and 0 for a row of zeros whatever eps.
__device__ inline float inverse_rms(float squares, int width, float eps) {
    const float power = squares / width + eps;
    return power > 0.0f ? rsqrtf(power) : 0.0f;
}

// x: rows of `width`, `stride` elements apart; y contiguous.
template <typename T, int VEC>
__device__ void forward(const T *x, long stride, const float *gain, T *y, int rows, int width, float eps) {
    const int lane = threadIdx.x, warps = gridDim.x * blockDim.y;
    for (int row = blockIdx.x * blockDim.y + threadIdx.y; row < rows; row += warps) {
        const T *in = x + row * stride;
        T *out = y + (long)row * width;
        float squares = 0.0f;
        for (int c = lane * VEC; c < width; c += 32 * VEC) {
            float v[VEC];
            load<VEC>(v, in + c);
#pragma unroll
            for (int i = 0; i < VEC; i++) squares += v[i] * v[i];
        }
        const float r = inverse_rms(warp_sum(squares), width, eps);
        for (int c = lane * VEC; c < width; c += 32 * VEC) {
            float v[VEC], g[VEC];
            load<VEC>(v, in + c);
            if (gain) load<VEC>(g, gain + c);
#pragma unroll
            for (int i = 0; i < VEC; i++) v[i] *= gain ? r * g[i] : r;
            store<VEC>(out + c, v);
        }
    }
}

// dx = r (g - xhat mean(g xhat)) with g = dy gain and xhat = r x; `partial` [gridDim.x, width] takes each block's sum
// of dy xhat. Shared memory: blockDim.y * width floats, if there is a gain.
template <typename T, int VEC>
__device__ void backward(const T *x, const float *gain, const T *dy, T *dx, float *partial, int rows, int width,
                         float eps) {
    extern __shared__ float4 scratch[];
    float *sums = reinterpret_cast<float *>(scratch) + (gain ? threadIdx.y * width : 0);
    const int lane = threadIdx.x, warps = gridDim.x * blockDim.y;
    if (gain)
        for (int c = lane * VEC; c < width; c += 32 * VEC)
#pragma unroll
            for (int i = 0; i < VEC; i++) sums[c + i] = 0.0f;
    for (int row = blockIdx.x * blockDim.y + threadIdx.y; row < rows; row += warps) {
        const T *in = x + (long)row * width, *din = dy + (long)row * width;
        T *out = dx + (long)row * width;
        float squares = 0.0f, dot = 0.0f;
        for (int c = lane * VEC; c < width; c += 32 * VEC) {
            float v[VEC], d[VEC], g[VEC];
            load<VEC>(v, in + c);
            load<VEC>(d, din + c);
            if (gain) load<VEC>(g, gain + c);
#pragma unroll
            for (int i = 0; i < VEC; i++) {
                squares += v[i] * v[i];
                dot += v[i] * (gain ? d[i] * g[i] : d[i]);
            }
        }
        const float r = inverse_rms(warp_sum(squares), width, eps);
        const float pull = warp_sum(dot) * r * r * r / width;
        for (int c = lane * VEC; c < width; c += 32 * VEC) {
            float v[VEC], d[VEC], g[VEC], s[VEC];
            load<VEC>(v, in + c);
            load<VEC>(d, din + c);
            if (gain) {
                load<VEC>(g, gain + c);
                load<VEC>(s, sums + c);
#pragma unroll
                for (int i = 0; i < VEC; i++) s[i] += d[i] * v[i] * r;
                store<VEC>(sums + c, s);
            }
#pragma unroll
            for (int i = 0; i < VEC; i++) v[i] = (gain ? d[i] * g[i] : d[i]) * r - v[i] * pull;
            store<VEC>(out + c, v);
        }
    }
    if (!gain) return;
    __syncthreads();
    const float *all = reinterpret_cast<float *>(scratch);
    for (int c = threadIdx.y * 32 + lane; c < width; c += 32 * blockDim.y) {
        float sum = 0.0f;
        for (int w = 0; w < (int)blockDim.y; w++) sum += all[w * width + c];
        partial[(long)blockIdx.x * width + c] = sum;
    }
}

#define RMS_NORM(T, VEC, name)                                                                                        \
    extern "C" __global__ void rms_norm_forward_##name(const T *x, long stride, const float *gain, T *y, int rows,    \
                                                       int width, float eps) {                                        \
        forward<T, VEC>(x, stride, gain, y, rows, width, eps);                                                        \
    }                                                                                                                 \
    extern "C" __global__ void rms_norm_backward_##name(const T *x, const float *gain, const T *dy, T *dx,            \
                                                        float *partial, int rows, int width, float eps) {             \
        backward<T, VEC>(x, gain, dy, dx, partial, rows, width, eps);                                                 \
    }
RMS_NORM(float, 1, f32_1)
RMS_NORM(float, 8, f32_8)
RMS_NORM(bf16, 1, bf16_1)
RMS_NORM(bf16, 8, bf16_8)
