// Two attentions over disjoint keys made one. With lse = log(exp(lse_a) + exp(lse_b)) and w = exp(lse_part - lse),
// out = w_a a + w_b b. A warp takes a query of a head; out is [B, T, H, D], lse [B, H, T].
#include "element.cuh"

struct Shares {
    float a, b, lse;
};

// A part without keys has -infinity and takes no share; without both there are no keys at all.
__device__ inline Shares shares(float a, float b) {
    const float infinity = __int_as_float(0x7f800000), peak = fmaxf(a, b);
    if (peak == -infinity) return {0.0f, 0.0f, -infinity};
    const float x = expf(a - peak), y = expf(b - peak), sum = x + y;
    return {x / sum, y / sum, peak + logf(sum)};
}

// Where the log-sum-exp of row (b T + t) H + h lies.
__device__ inline long place(long row, int length, int heads) {
    const long head = row % heads, time = row / heads % length, batch = row / heads / length;
    return (batch * heads + head) * length + time;
}

template <typename T, int VEC>
__device__ void forward(const T *a, const float *lse_a, const T *b, const float *lse_b, T *out, float *lse, long rows,
                        int length, int heads, int width) {
    const long row = (long)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    const long at = row * width, to = place(row, length, heads);
    const Shares share = shares(lse_a[to], lse_b[to]);
    if (threadIdx.x == 0) lse[to] = share.lse;
    for (int c = threadIdx.x * VEC; c < width; c += 32 * VEC) {
        float x[VEC], y[VEC];
        load<VEC>(x, a + at + c);
        load<VEC>(y, b + at + c);
#pragma unroll
        for (int i = 0; i < VEC; i++) x[i] = share.a * x[i] + share.b * y[i];
        store<VEC>(out + at + c, x);
    }
}

// dout_part = w_part dout; dlse_a = w_a (w_b <dout, a - b> + dlse), dlse_b = w_b (w_a <dout, b - a> + dlse), dlse being 0
// if absent.
template <typename T, int VEC>
__device__ void backward(const T *a, const float *lse_a, const T *b, const float *lse_b, const T *dout,
                         const float *dlse, T *da, float *dlse_a, T *db, float *dlse_b, long rows, int length,
                         int heads, int width) {
    const long row = (long)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    const long at = row * width, to = place(row, length, heads);
    const Shares share = shares(lse_a[to], lse_b[to]);
    float dot = 0.0f;
    for (int c = threadIdx.x * VEC; c < width; c += 32 * VEC) {
        float x[VEC], y[VEC], d[VEC];
        load<VEC>(x, a + at + c);
        load<VEC>(y, b + at + c);
        load<VEC>(d, dout + at + c);
#pragma unroll
        for (int i = 0; i < VEC; i++) {
            dot += d[i] * (x[i] - y[i]);
            x[i] = share.a * d[i];
            y[i] = share.b * d[i];
        }
        store<VEC>(da + at + c, x);
        store<VEC>(db + at + c, y);
    }
    dot = warp_sum(dot);
    if (threadIdx.x == 0) {
        const float past = dlse ? dlse[to] : 0.0f;
        dlse_a[to] = share.a * (share.b * dot + past);
        dlse_b[to] = share.b * (past - share.a * dot);
    }
}

#define MERGE(T, VEC, name)                                                                                           \
    extern "C" __global__ void __launch_bounds__(256)                                                                 \
        merge_forward_##name(const T *a, const float *lse_a, const T *b, const float *lse_b, T *out, float *lse,      \
                             long rows, int length, int heads, int width) {                                           \
        forward<T, VEC>(a, lse_a, b, lse_b, out, lse, rows, length, heads, width);                                    \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                                                 \
        merge_backward_##name(const T *a, const float *lse_a, const T *b, const float *lse_b, const T *dout,          \
                              const float *dlse, T *da, float *dlse_a, T *db, float *dlse_b, long rows, int length,   \
                              int heads, int width) {                                                                 \
        backward<T, VEC>(a, lse_a, b, lse_b, dout, dlse, da, dlse_a, db, dlse_b, rows, length, heads, width);         \
    }
MERGE(float, 1, f32_1)
MERGE(float, 8, f32_8)
MERGE(bf16, 1, bf16_1)
MERGE(bf16, 8, bf16_8)
