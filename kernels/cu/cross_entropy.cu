// Softmax cross-entropy of rows of logits, with the gradient written over them: (softmax(logits + bias) - target) * w.
// The target is a token, or a token and a teacher's distribution in some shares.
#include "element.cuh"

constexpr int VEC = 8;

// Calls body(column, count) over 0..width: singly up to the first 16-byte boundary of the row, then by `VEC`, then
// singly again, so that rows of odd width still move 16 bytes at a time.
template <typename T, typename One, typename Many>
__device__ inline void over_row(const T *row, int width, One one, Many many) {
    const int past = (int)(reinterpret_cast<u64>(row) % (VEC * sizeof(T)) / sizeof(T));
    const int head = min(width, past ? VEC - past : 0), body = (width - head) / VEC;
    if ((int)threadIdx.x < head) one(threadIdx.x);
    for (int i = threadIdx.x; i < body; i += blockDim.x) many(head + i * VEC);
    const int tail = head + body * VEC + threadIdx.x;
    if (tail < width) one(tail);
}

// The logarithm of the sum of exp(row + bias), to all threads of the block.
template <typename T> __device__ inline float log_sum_exp(const T *row, const float *bias, int width) {
    const float lowest = __int_as_float(0xff800000);
    float peak = lowest, sum = 0.0f;
    over_row(
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
    return top + logf(total);
}

// The logit of the target; NaN for a target outside the vocabulary.
template <typename T> __device__ inline float goal_of(const T *row, const float *bias, u32 target, int width) {
    return target < (u32)width ? to_f32(row[target]) + bias[target] : __int_as_float(0x7fffffff);
}

// One block a row; needs at least 8 threads. A target outside the vocabulary gives NaN.
template <typename T>
__device__ void rows(T *logits, const float *bias, const u32 *targets, const float *weights, float *nats, int width) {
    T *row = logits + (long)blockIdx.x * width;
    const u32 target = targets[blockIdx.x];
    const float goal = goal_of(row, bias, target, width);
    const float lse = log_sum_exp(row, bias, width), weight = weights[blockIdx.x];
    if (threadIdx.x == 0) nats[blockIdx.x] = lse - goal;

    over_row(
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

// One block a row, as `rows`. `theirs` are the teacher's logits; costs are (1 - share) nats + share CE(teacher, row).
// Rows of both matrices begin at the same distance from a 16-byte boundary.
template <typename T>
__device__ void taught(T *logits, const float *bias, const u32 *targets, const float *weights, const T *theirs,
                       const float *their_bias, const float *shares, float *nats, float *costs, int width) {
    const float share = shares[blockIdx.x];
    if (share == 0.0f) {
        rows(logits, bias, targets, weights, nats, width);
        if (threadIdx.x == 0) costs[blockIdx.x] = nats[blockIdx.x];
        return;
    }
    T *row = logits + (long)blockIdx.x * width;
    const T *their_row = theirs + (long)blockIdx.x * width;
    const u32 target = targets[blockIdx.x];
    const float goal = goal_of(row, bias, target, width);
    const float lse = log_sum_exp(row, bias, width), their_lse = log_sum_exp(their_row, their_bias, width);
    const float weight = weights[blockIdx.x];
    float mean = 0.0f;
    // Adds what a column has in the teacher's mean of the logits; its gradient.
    auto column = [&](int c, float x, float theirs) {
        const float p = __expf(theirs - their_lse);
        mean += p * x;
        const float q = __expf(x - lse) - share * p;
        return weight * (c == (int)target ? q - (1.0f - share) : q);
    };
    over_row(
        row, width,
        [&](int c) { from_f32(row + c, column(c, to_f32(row[c]) + bias[c], to_f32(their_row[c]) + their_bias[c])); },
        [&](int c) {
            float x[VEC], theirs[VEC];
            load<VEC>(x, row + c);
            load<VEC>(theirs, their_row + c);
#pragma unroll
            for (int i = 0; i < VEC; i++)
                x[i] = column(c + i, x[i] + __ldg(bias + c + i), theirs[i] + __ldg(their_bias + c + i));
            store<VEC>(row + c, x);
        });
    const float cross = lse - block_sum(mean);
    if (threadIdx.x == 0) {
        nats[blockIdx.x] = lse - goal;
        costs[blockIdx.x] = (1.0f - share) * (lse - goal) + share * cross;
    }
}

#define CROSS_ENTROPY(T, name)                                                                                        \
    extern "C" __global__ void __launch_bounds__(512) cross_entropy_rows_##name(                                      \
        T *logits, const float *bias, const u32 *targets, const float *weights, float *nats, int width) {             \
        rows(logits, bias, targets, weights, nats, width);                                                            \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(512) cross_entropy_taught_##name(                                    \
        T *logits, const float *bias, const u32 *targets, const float *weights, const T *theirs,                      \
        const float *their_bias, const float *shares, float *nats, float *costs, int width) {                         \
        taught(logits, bias, targets, weights, theirs, their_bias, shares, nats, costs, width);                       \
    }
CROSS_ENTROPY(float, f32)
CROSS_ENTROPY(bf16, bf16)
