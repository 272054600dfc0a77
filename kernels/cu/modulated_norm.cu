// The RMS norm of a row with a gain, then scaled and shifted by numbers of the row's own (adaLN): of a stream alone, or
// of the sum of a stream and a gated branch. A warp takes a row, as in norm.cu.
#include "rows.cuh"

// y = x r gain (1 + scale) + shift, where x is delta (1 + gate) added to it first, if there is a delta; that sum is
// rounded and written to `sum`. modulation: rows of scale and shift, side by side. All contiguous.
template <typename T, int VEC, int STEPS>
__device__ void forward(const T *x, const T *delta, const T *gate, const float *gain, const T *modulation, T *sum,
                        T *y, int rows, int width, float eps) {
    const int warps = gridDim.x * blockDim.y;
    for (int row = blockIdx.x * blockDim.y + threadIdx.y; row < rows; row += warps) {
        const long at = (long)row * width;
        const T *scale = modulation + 2 * at, *shift = scale + width;
        Row<T, VEC, STEPS> in(x + at);
        float squares = 0.0f;
        if (STEPS > 0) over_row<VEC, STEPS>(width, [&](int s, int c) { in.read(s, c); });
        over_row<VEC, STEPS>(width, [&](int s, int c) {
            float v[VEC];
            in.get(v, s, c);
            if (delta) {
                float d[VEC], a[VEC];
                load<VEC>(d, delta + at + c);
                load<VEC>(a, gate + at + c);
#pragma unroll
                for (int i = 0; i < VEC; i++) v[i] += d[i] * (1.0f + a[i]);
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
            float v[VEC], g[VEC], a[VEC], b[VEC];
            in.get(v, s, c);
            load<VEC>(g, gain + c);
            load<VEC>(a, scale + c);
            load<VEC>(b, shift + c);
#pragma unroll
            for (int i = 0; i < VEC; i++) v[i] = v[i] * r * g[i] * (1.0f + a[i]) + b[i];
            store<VEC>(y + at + c, v);
        });
    }
}

// Of the sum x, whose gradient past the norm is dsum (0 if absent): with xhat = r x and e = dy (1 + scale),
// dx = dsum + r (e gain - xhat mean(e gain xhat)), ddelta = dx (1 + gate), dgate = dx delta,
// dscale = dy xhat gain, dshift = dy, and `partial` [gridDim.x, width] takes each block's sum of e xhat.
// Shared memory: blockDim.y * width floats.
template <typename T, int VEC, int STEPS>
__device__ void backward(const T *x, const T *delta, const T *gate, const float *gain, const T *modulation,
                         const T *dsum, const T *dy, T *dx, T *ddelta, T *dgate, T *dmodulation, float *partial,
                         int rows, int width, float eps) {
    extern __shared__ float4 scratch[];
    float *sums = reinterpret_cast<float *>(scratch) + threadIdx.y * width;
    const int warps = gridDim.x * blockDim.y;
    float dgain[STEPS > 0 ? STEPS : 1][VEC] = {};
    if (STEPS == 0) over_row<VEC, STEPS>(width, [&](int s, int c) { store<VEC>(sums + c, dgain[0]); });
    for (int row = blockIdx.x * blockDim.y + threadIdx.y; row < rows; row += warps) {
        const long at = (long)row * width;
        const T *scale = modulation + 2 * at;
        T *dscale = dmodulation + 2 * at, *dshift = dscale + width;
        Row<T, VEC, STEPS> in(x + at), din(dy + at);
        if (STEPS > 0) {
            over_row<VEC, STEPS>(width, [&](int s, int c) {
                in.read(s, c);
                din.read(s, c);
            });
        }
        float squares = 0.0f, dot = 0.0f;
        over_row<VEC, STEPS>(width, [&](int s, int c) {
            float v[VEC], d[VEC], g[VEC], a[VEC];
            in.get(v, s, c);
            din.get(d, s, c);
            load<VEC>(g, gain + c);
            load<VEC>(a, scale + c);
#pragma unroll
            for (int i = 0; i < VEC; i++) {
                squares += v[i] * v[i];
                dot += v[i] * d[i] * (1.0f + a[i]) * g[i];
            }
        });
        const float r = inverse_rms(warp_sum(squares), width, eps);
        const float pull = warp_sum(dot) * r * r * r / width;
        over_row<VEC, STEPS>(width, [&](int s, int c) {
            float v[VEC], d[VEC], g[VEC], a[VEC];
            in.get(v, s, c);
            din.get(d, s, c);
            load<VEC>(g, gain + c);
            load<VEC>(a, scale + c);
            store<VEC>(dshift + c, d);
            if (STEPS == 0) load<VEC>(dgain[0], sums + c);
#pragma unroll
            for (int i = 0; i < VEC; i++) {
                const float xhat = v[i] * r, e = d[i] * (1.0f + a[i]);
                dgain[s][i] += e * xhat;
                a[i] = d[i] * xhat * g[i];
                v[i] = e * g[i] * r - v[i] * pull;
            }
            if (STEPS == 0) store<VEC>(sums + c, dgain[0]);
            store<VEC>(dscale + c, a);
            if (dsum) {
                load<VEC>(d, dsum + at + c);
#pragma unroll
                for (int i = 0; i < VEC; i++) v[i] += d[i];
            }
            store<VEC>(dx + at + c, v);
            if (delta) {
                load<VEC>(d, delta + at + c);
                load<VEC>(a, gate + at + c);
#pragma unroll
                for (int i = 0; i < VEC; i++) {
                    d[i] *= v[i];
                    v[i] *= 1.0f + a[i];
                }
                store<VEC>(dgate + at + c, d);
                store<VEC>(ddelta + at + c, v);
            }
        });
    }
    sum_of_block<VEC, STEPS>(dgain, reinterpret_cast<float *>(scratch), partial, width);
}

#define MODULATED_NORM(T, VEC, STEPS, name)                                                                           \
    extern "C" __global__ void __launch_bounds__(256) modulated_norm_forward_##name(                                  \
        const T *x, const T *delta, const T *gate, const float *gain, const T *modulation, T *sum, T *y, int rows,    \
        int width, float eps) {                                                                                       \
        forward<T, VEC, STEPS>(x, delta, gate, gain, modulation, sum, y, rows, width, eps);                           \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256) modulated_norm_backward_##name(                                 \
        const T *x, const T *delta, const T *gate, const float *gain, const T *modulation, const T *dsum,             \
        const T *dy, T *dx, T *ddelta, T *dgate, T *dmodulation, float *partial, int rows, int width, float eps) {    \
        backward<T, VEC, STEPS>(x, delta, gate, gain, modulation, dsum, dy, dx, ddelta, dgate, dmodulation, partial,  \
                                rows, width, eps);                                                                    \
    }
MODULATED_NORM(float, 1, 0, f32_1)
MODULATED_NORM(float, 8, 0, f32_8)
MODULATED_NORM(float, 8, 2, f32_512)
MODULATED_NORM(float, 8, 4, f32_1024)
MODULATED_NORM(bf16, 1, 0, bf16_1)
MODULATED_NORM(bf16, 8, 0, bf16_8)
MODULATED_NORM(bf16, 8, 2, bf16_512)
MODULATED_NORM(bf16, 8, 4, bf16_1024)
