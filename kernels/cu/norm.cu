// RMS norm of rows, alone or of the sum of a stream and what a layer adds to it. A warp takes a row; the gain's gradient
// is summed per warp, then per block, then over blocks.
#include "rows.cuh"

// y = x r gain, where x is `delta` added to it first, if there is one; that sum is rounded and written to `sum`.
// x: rows of `width`, `stride` elements apart; the others contiguous.
template <typename T, int VEC, int STEPS>
__device__ void forward(const T *x, long stride, const T *delta, const float *gain, T *sum, T *y, int rows, int width,
                        float eps) {
    const int warps = gridDim.x * blockDim.y;
    for (int row = blockIdx.x * blockDim.y + threadIdx.y; row < rows; row += warps) {
        const long at = (long)row * width;
        Row<T, VEC, STEPS> in(x + row * stride), more(delta + at);
        float squares = 0.0f;
        if (STEPS > 0) {
            over_row<VEC, STEPS>(width, [&](int s, int c) { in.read(s, c); });
            if (delta) over_row<VEC, STEPS>(width, [&](int s, int c) { more.read(s, c); });
        }
        over_row<VEC, STEPS>(width, [&](int s, int c) {
            float v[VEC];
            in.get(v, s, c);
            if (delta) {
                float d[VEC];
                more.get(d, s, c);
#pragma unroll
                for (int i = 0; i < VEC; i++) v[i] += d[i];
                in.kept[s].set(v);
                in.kept[s].write(sum + at + c);
                in.kept[s].get(v);
            }
#pragma unroll
            for (int i = 0; i < VEC; i++) squares += v[i] * v[i];
        });
        // A wide row is read again from where it now is.
        if (delta) in.from = sum + at;
        const float r = inverse_rms(warp_sum(squares), width, eps);
        over_row<VEC, STEPS>(width, [&](int s, int c) {
            float v[VEC], g[VEC];
            in.get(v, s, c);
            if (gain) load<VEC>(g, gain + c);
#pragma unroll
            for (int i = 0; i < VEC; i++) v[i] *= gain ? r * g[i] : r;
            store<VEC>(y + at + c, v);
        });
    }
}

// dx = dsum + r (g - xhat mean(g xhat)) with g = dy gain and xhat = r x, dsum being 0 if absent; `partial`
// [gridDim.x, width] takes each block's sum of dy xhat. Shared memory: blockDim.y * width floats, if there is a gain.
template <typename T, int VEC, int STEPS>
__device__ void backward(const T *x, const float *gain, const T *dsum, const T *dy, T *dx, float *partial, int rows,
                         int width, float eps) {
    extern __shared__ float4 scratch[];
    float *sums = reinterpret_cast<float *>(scratch) + (gain ? threadIdx.y * width : 0);
    const int warps = gridDim.x * blockDim.y;
    float dgain[STEPS > 0 ? STEPS : 1][VEC] = {};
    if (STEPS == 0 && gain)
        over_row<VEC, STEPS>(width, [&](int s, int c) { store<VEC>(sums + c, dgain[0]); });
    for (int row = blockIdx.x * blockDim.y + threadIdx.y; row < rows; row += warps) {
        const long at = (long)row * width;
        Row<T, VEC, STEPS> in(x + at), din(dy + at), more(dsum + at);
        if (STEPS > 0) {
            over_row<VEC, STEPS>(width, [&](int s, int c) {
                in.read(s, c);
                din.read(s, c);
            });
            if (dsum) over_row<VEC, STEPS>(width, [&](int s, int c) { more.read(s, c); });
        }
        float squares = 0.0f, dot = 0.0f;
        over_row<VEC, STEPS>(width, [&](int s, int c) {
            float v[VEC], d[VEC], g[VEC];
            in.get(v, s, c);
            din.get(d, s, c);
            if (gain) load<VEC>(g, gain + c);
#pragma unroll
            for (int i = 0; i < VEC; i++) {
                squares += v[i] * v[i];
                dot += v[i] * (gain ? d[i] * g[i] : d[i]);
            }
        });
        const float r = inverse_rms(warp_sum(squares), width, eps);
        const float pull = warp_sum(dot) * r * r * r / width;
        over_row<VEC, STEPS>(width, [&](int s, int c) {
            float v[VEC], d[VEC], g[VEC], m[VEC];
            in.get(v, s, c);
            din.get(d, s, c);
            if (gain) {
                load<VEC>(g, gain + c);
                if (STEPS == 0) load<VEC>(dgain[0], sums + c);
#pragma unroll
                for (int i = 0; i < VEC; i++) dgain[s][i] += d[i] * v[i] * r;
                if (STEPS == 0) store<VEC>(sums + c, dgain[0]);
            }
#pragma unroll
            for (int i = 0; i < VEC; i++) v[i] = (gain ? d[i] * g[i] : d[i]) * r - v[i] * pull;
            if (dsum) {
                more.get(m, s, c);
#pragma unroll
                for (int i = 0; i < VEC; i++) v[i] += m[i];
            }
            store<VEC>(dx + at + c, v);
        });
    }
    if (gain) sum_of_block<VEC, STEPS>(dgain, reinterpret_cast<float *>(scratch), partial, width);
}

#define RMS_NORM(T, VEC, STEPS, name)                                                                                 \
    extern "C" __global__ void __launch_bounds__(256) rms_norm_forward_##name(                                        \
        const T *x, long stride, const T *delta, const float *gain, T *sum, T *y, int rows, int width, float eps) {   \
        forward<T, VEC, STEPS>(x, stride, delta, gain, sum, y, rows, width, eps);                                     \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256) rms_norm_backward_##name(                                       \
        const T *x, const float *gain, const T *dsum, const T *dy, T *dx, float *partial, int rows, int width,        \
        float eps) {                                                                                                  \
        backward<T, VEC, STEPS>(x, gain, dsum, dy, dx, partial, rows, width, eps);                                    \
    }
RMS_NORM(float, 1, 0, f32_1)
RMS_NORM(float, 8, 0, f32_8)
RMS_NORM(float, 8, 2, f32_512)
RMS_NORM(float, 8, 4, f32_1024)
RMS_NORM(bf16, 1, 0, bf16_1)
RMS_NORM(bf16, 8, 0, bf16_8)
RMS_NORM(bf16, 8, 2, bf16_512)
RMS_NORM(bf16, 8, 4, bf16_1024)
