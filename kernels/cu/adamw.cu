// One AdamW step on all parameters (Loshchilov and Hutter 2019, algorithm 2), with clipping and a moving average, and
// the squared norm of all gradients. Blocks take equal parts of the parameters, found in a table.
#include "element.cuh"

// A parameter: addresses of f32 arrays, but for the gradient's, which may be bf16.
struct Slot {
    float *param;
    const void *grad;
    float *m, *v, *average;    // without m and v the gradient is the direction to go, as it is
    long count;
    int block;    // the first that works on it
    u32 flags;
};
static constexpr u32 BF16_GRAD = 1, DECAYS = 2, ALIGNED = 4;

struct Step {
    // rate = lr / bias1, keep = 1 - lr wd, root = 1 / sqrt(bias2)
    float beta1, beta2, eps, lr, rate, keep, root, ema;
};

static constexpr int THREADS = 256, VEC = 8;
// Elements of a block.
static constexpr int PART = THREADS * VEC * 2;

// The slot of this block: the last whose first block is not after it.
__device__ inline const Slot &slot_of(const Slot *slots, int count) {
    int low = 0, high = count - 1;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (slots[middle].block <= (int)blockIdx.x)
            low = middle;
        else
            high = middle - 1;
    }
    return slots[low];
}

// Calls body(at, VEC elements or 1) for the elements of this block: by VEC where addresses allow it.
template <typename Many, typename One> __device__ inline void over_part(const Slot &slot, Many many, One one) {
    const long start = (long)((int)blockIdx.x - slot.block) * PART, end = min(slot.count, start + PART);
    const long whole = slot.flags & ALIGNED ? start + (end - start) / VEC * VEC : start;
    for (long at = start + threadIdx.x * VEC; at < whole; at += THREADS * VEC) many(at);
    for (long at = whole + threadIdx.x; at < end; at += THREADS) one(at);
}

template <int WIDTH> __device__ inline void load_grad(float (&out)[WIDTH], const Slot &slot, long at) {
    if (slot.flags & BF16_GRAD)
        load<WIDTH>(out, static_cast<const bf16 *>(slot.grad) + at);
    else
        load<WIDTH>(out, static_cast<const float *>(slot.grad) + at);
}

template <int WIDTH> __device__ inline void advance(const Slot &slot, long at, float scale, const Step &s) {
    float p[WIDTH], g[WIDTH], m[WIDTH], v[WIDTH], e[WIDTH];
    load_grad<WIDTH>(g, slot, at);
    if (slot.m) {
        load<WIDTH>(m, slot.m + at);
        load<WIDTH>(v, slot.v + at);
    }
    load<WIDTH>(p, slot.param + at);
    if (slot.average) load<WIDTH>(e, slot.average + at);
    const float keep = slot.flags & DECAYS ? s.keep : 1.0f;
#pragma unroll
    for (int i = 0; i < WIDTH; i++) {
        if (slot.m) {
            g[i] *= scale;
            m[i] = s.beta1 * m[i] + (1.0f - s.beta1) * g[i];
            v[i] = s.beta2 * v[i] + (1.0f - s.beta2) * g[i] * g[i];
            p[i] = keep * p[i] - s.rate * m[i] / (sqrtf(v[i]) * s.root + s.eps);
        } else {
            p[i] = keep * p[i] - s.lr * g[i];
        }
        if (slot.average) e[i] += (1.0f - s.ema) * (p[i] - e[i]);
    }
    if (slot.m) {
        store<WIDTH>(slot.m + at, m);
        store<WIDTH>(slot.v + at, v);
    }
    store<WIDTH>(slot.param + at, p);
    if (slot.average) store<WIDTH>(slot.average + at, e);
}

extern "C" __global__ void __launch_bounds__(THREADS) adamw(const Slot *slots, int count, const float *clip, Step s) {
    const Slot slot = slot_of(slots, count);
    const float scale = *clip;
    over_part(slot, [&](long at) { advance<VEC>(slot, at, scale, s); }, [&](long at) { advance<1>(slot, at, scale, s); });
}

// One partial sum of squares a block.
extern "C" __global__ void __launch_bounds__(THREADS) squares(const Slot *slots, int count, float *out) {
    const Slot slot = slot_of(slots, count);
    float sum = 0.0f;
    over_part(
        slot,
        [&](long at) {
            float g[VEC];
            load_grad<VEC>(g, slot, at);
#pragma unroll
            for (int i = 0; i < VEC; i++) sum += g[i] * g[i];
        },
        [&](long at) {
            float g[1];
            load_grad<1>(g, slot, at);
            sum += g[0] * g[0];
        });
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

// The root of the sum of an array, by one block, in f64: the global norm is compared between machines.
extern "C" __global__ void __launch_bounds__(THREADS) root_of_sum(const float *in, float *out, int count) {
    __shared__ double parts[THREADS];
    double sum = 0.0;
    for (int at = threadIdx.x; at < count; at += THREADS) sum += in[at];
    parts[threadIdx.x] = sum;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    }
    if (threadIdx.x == 0) *out = (float)sqrt(parts[0]);
}
