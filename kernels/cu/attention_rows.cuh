// The softmax of the forward kernels, a row at a time as key tiles come by.
#pragma once
#include "attention.cuh"

// The running maximum and sum of weights of rows lane / 4 and lane / 4 + 8; the sum is of this lane's columns.
struct Rows {
    float peak[2] = {__int_as_float(0xff800000), __int_as_float(0xff800000)}, sum[2] = {0.0f, 0.0f};
};

// Turns scores into weights, relative to a peak that is raised, and what was summed under it rescaled, only where the
// scores of a row have outgrown it by 2^8: sums in f32 bear that, and most tiles then leave the outputs alone.
template <int D> __device__ inline void soften(float (&s)[8][4], float (&o)[D / 8][4], Rows &rows, float scale) {
    const float infinity = __int_as_float(0x7f800000);
    float peak[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        peak[half] = fmaxf(s[0][2 * half], s[0][2 * half + 1]);
#pragma unroll
        for (int n = 1; n < 8; n++) peak[half] = fmaxf(peak[half], fmaxf(s[n][2 * half], s[n][2 * half + 1]));
        peak[half] = fmaxf(peak[half], __shfl_xor_sync(0xffffffffu, peak[half], 1));
        peak[half] = fmaxf(peak[half], __shfl_xor_sync(0xffffffffu, peak[half], 2));
    }
    const bool outgrown = peak[0] * scale > rows.peak[0] * scale + 8.0f || peak[1] * scale > rows.peak[1] * scale + 8.0f;
    if (__any_sync(0xffffffffu, outgrown)) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float raised = fmaxf(rows.peak[half], peak[half]);
            // Where nothing is allowed yet, infinity minus infinity must not appear.
            const float shrink = raised == -infinity ? 0.0f : exp2_fast((rows.peak[half] - raised) * scale);
            rows.peak[half] = raised;
            rows.sum[half] *= shrink;
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
                o[n][2 * half] *= shrink;
                o[n][2 * half + 1] *= shrink;
            }
        }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float base = rows.peak[half] == -infinity ? 0.0f : rows.peak[half] * scale;
        float sum[2] = {0.0f, 0.0f};
#pragma unroll
        for (int n = 0; n < 8; n++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                s[n][2 * half + i] = exp2_fast(fmaf(s[n][2 * half + i], scale, -base));
                sum[i] += s[n][2 * half + i];
            }
        }
        rows.sum[half] += sum[0] + sum[1];
    }
}

// 1 / sum of both rows, and their log-sum-exp into `lse` where they exist. Rows without keys give 0 and -infinity.
__device__ inline void finish(const Rows &rows, float (&inverse)[2], float *lse, int live, float scale) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float sum = rows.sum[half];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        inverse[half] = sum > 0.0f ? 1.0f / sum : 0.0f;
        const int row = half * 8 + lane / 4;
        if (lane % 4 == 0 && row < live)
            lse[row] = sum > 0.0f ? rows.peak[half] * scale + logf(sum) : __int_as_float(0xff800000);
    }
}
