// Softmax cross-entropy of rows of logits, with the gradient written over them: (softmax(logits + bias) - onehot) * w.
#include "element.cuh"

// Calls body(column, count) over 0..width: singly up to the first 16-byte boundary of the row, then by `VEC`, then
// singly again, so that rows of odd width still move 16 bytes at a time.
template <int VEC, typename T, typename One, typename Many>
__device__ inline void over_row(const T *row, int width, One one, Many many) {
    const int past = (int)(reinterpret_cast<u64>(row) % (VEC * sizeof(T)) / sizeof(T));
    const int head = min(width, past ? VEC - past : 0), body = (width - head) / VEC;
    if ((int)threadIdx.x < head) one(threadIdx.x);
    for (int i = threadIdx.x; i < body; i += blockDim.x) many(head + i * VEC);
    const int tail = head + body * VEC + threadIdx.x;
    if (tail < width) one(tail);
}

// One block a row; needs at least 8 threads. A target outside the vocabulary gives NaN.
template <typename T>
__device__ void rows(T *logits, const float *bias, const u32 *targets, const float *weights, float *nats, int width) {
    constexpr int VEC = 8;
    T *row = logits + (long)blockIdx.x * width;
    const u32 target = targets[blockIdx.x];
    const float nan = __int_as_float(0x7fffffff);
    const float goal = target < (u32)width ? to_f32(row[target]) + bias[target] : nan;
    const float lowest = __int_as_float(0xff800000);

    float peak = lowest, sum = 0.0f;
    over_row<VEC>(
        row, width,
        [&](int c) {
            const float x = to_f32(row[c]) + bias[c], top = fmaxf(peak, x);
            if (top > lowest) sum = sum * __expf(peak - top) + __expf(x - top);
            peak = top;
        },
        [&](int c) {
            float x[VEC];
            load<VEC>(x, row + c);
            float top = peak;
#pragma unroll
            for (int i = 0; i < VEC; i++) top = fmaxf(top, x[i] += __ldg(bias + c + i));
            if (top > lowest) {
                sum *= __expf(peak - top);
#pragma unroll
                for (int i = 0; i < VEC; i++) sum += __expf(x[i] - top);
            }
            peak = top;
        });
    const float top = block_max(peak);
    const float total = block_sum(peak > lowest ? sum * __expf(peak - top) : 0.0f);
    const float lse = top + logf(total), weight = weights[blockIdx.x];
    if (threadIdx.x == 0) nats[blockIdx.x] = lse - goal;

    over_row<VEC>(
        row, width,
        [&](int c) {
            const float p = __expf(to_f32(row[c]) + bias[c] - lse);
            from_f32(row + c, weight * (c == (int)target ? p - 1.0f : p));
        },
        [&](int c) {
            float x[VEC];
            load<VEC>(x, row + c);
#pragma unroll
            for (int i = 0; i < VEC; i++) {
                const float p = __expf(x[i] + __ldg(bias + c + i) - lse);
                x[i] = weight * (c + i == (int)target ? p - 1.0f : p);
            }
            store<VEC>(row + c, x);
        });
}

#define CROSS_ENTROPY(T, name)                                                                                        \
    extern "C" __global__ void __launch_bounds__(512) cross_entropy_rows_##name(                                      \
        T *logits, const float *bias, const u32 *targets, const float *weights, float *nats, int width) {             \
        rows(logits, bias, targets, weights, nats, width);                                                            \
    }
CROSS_ENTROPY(float, f32)
CROSS_ENTROPY(bf16, bf16)
