// Per-head RMS norm, gain and rotation of the pairs (i, i + D/2) in one pass over the query and key heads of a fused
// projection, or over heads of one kind. A warp takes a token; D / 8 lanes take a head vector, 8 consecutive elements
// each, so that a lane's partner in the rotation is D / 16 lanes away and its angles serve all heads of the token.
#include "element.cuh"

// Heads of a token: first queries, then keys, then as many values as keys. Blocks of row 0 of the grid take the queries,
// those of row 1 the keys and values.
struct Heads {
    long batch, time, head;                      // strides of x in elements
    int tokens, times, queries, keys, width;     // B * T, T, H, G (0 without keys and values), D
    int angles;                                  // rows of the angle tables: T, or B * T
    float eps;                                   // below 0: vectors are not normed
};

// Head vectors whose elements a lane has in flight.
static constexpr int AHEAD = 2;

struct Lane {
    int lanes, part, slot, slots;
    bool low;
    __device__ explicit Lane(int width)
        : lanes(width / 8), part(threadIdx.x % lanes), slot(threadIdx.x % 32 / lanes), slots(32 / lanes),
          low(part < lanes / 2) {}
    __device__ float sum(float x) const {
        for (int o = lanes / 2; o > 0; o >>= 1) x += __shfl_xor_sync(0xffffffffu, x, o);
        return x;
    }
};

// (a, b) -> (a cos - b sin, b cos + a sin), with sin negated for the inverse.
struct Rotation {
    float c[8], s[8];
    __device__ Rotation(const float *cos, const float *sin, const Heads &h, const Lane &lane, int token,
                        float direction) {
        const int half = lane.lanes / 2;
        const long at = ((long)(token % h.angles) * half + (lane.low ? lane.part : lane.part - half)) * 8;
        load<8>(c, cos + at);
        load<8>(s, sin + at);
#pragma unroll
        for (int i = 0; i < 8; i++) s[i] *= lane.low ? -direction : direction;
    }
    __device__ void apply(float (&v)[8], const Lane &lane) const {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float partner = __shfl_xor_sync(0xffffffffu, v[i], lane.lanes / 2);
            v[i] = v[i] * c[i] + s[i] * partner;
        }
    }
};

__device__ inline long x_at(const Heads &h, int token) {
    return token / h.times * h.batch + token % h.times * h.time;
}

// Calls body(token) for the tokens of a warp.
template <typename Body> __device__ inline void over_tokens(const Heads &h, Body body) {
    const int warps = blockDim.x / 32;
    for (int token = blockIdx.x * warps + threadIdx.x / 32; token < h.tokens; token += gridDim.x * warps) body(token);
}

// Calls body(first), for a lane to do the heads first, first + slots, .. of AHEAD. All lanes of a warp stay in the loop
// together, for the shuffles, so that heads may be past the last.
template <typename Body> __device__ inline void over_heads(const Lane &lane, int count, Body body) {
#pragma unroll 1
    for (int base = 0; base < count; base += AHEAD * lane.slots) body(base + lane.slot);
}

// q: [B, T, H, D] and k: [B, T, G, D], contiguous.
template <typename T>
__device__ void forward(const T *__restrict__ x, const float *__restrict__ q_gain, const float *__restrict__ k_gain,
                        const float *__restrict__ cos, const float *__restrict__ sin, T *__restrict__ q,
                        T *__restrict__ k, const Heads &h) {
    const Lane lane(h.width);
    const bool key = blockIdx.y > 0;
    const int count = key ? h.keys : h.queries;
    const long start = (key ? h.queries * h.head : 0) + lane.part * 8;
    float g[8];
    load<8>(g, (key ? k_gain : q_gain) + lane.part * 8);
    over_tokens(h, [&](int token) {
        const T *in = x + x_at(h, token) + start;
        T *out = (key ? k : q) + (long)token * count * h.width + lane.part * 8;
        const Rotation rotation(cos, sin, h, lane, token, 1.0f);
        over_heads(lane, count, [&](int first) {
            Pack<T, 8> packs[AHEAD];
#pragma unroll
            for (int j = 0; j < AHEAD; j++) packs[j].read(in + min(first + j * lane.slots, count - 1) * h.head);
#pragma unroll
            for (int j = 0; j < AHEAD; j++) {
                const int head = first + j * lane.slots;
                float v[8], squares = 0.0f;
                packs[j].get(v);
#pragma unroll
                for (int i = 0; i < 8; i++) squares += v[i] * v[i];
                const float r = h.eps < 0.0f ? 1.0f : inverse_rms(lane.sum(squares), h.width, h.eps);
#pragma unroll
                for (int i = 0; i < 8; i++) v[i] *= r * g[i];
                rotation.apply(v, lane);
                if (head < count) store<8>(out + (long)head * h.width, v);
            }
        });
    });
}

// dq, dk, dv contiguous; dx [B, T, H + 2 G, D] contiguous; partial [gridDim.x, gridDim.y, D] takes each block's sum of
// the gain's gradient. Shared memory: blockDim.x * 8 floats.
template <typename T>
__device__ void backward(const T *__restrict__ x, const float *__restrict__ q_gain, const float *__restrict__ k_gain,
                         const float *__restrict__ cos, const float *__restrict__ sin, const T *__restrict__ dq,
                         const T *__restrict__ dk, const T *__restrict__ dv, T *__restrict__ dx,
                         float *__restrict__ partial, const Heads &h) {
    extern __shared__ float sums[];
    const Lane lane(h.width);
    const bool key = blockIdx.y > 0;
    const int count = key ? h.keys : h.queries, heads = h.queries + 2 * h.keys;
    const long start = (key ? h.queries * h.head : 0) + lane.part * 8;
    float g[8], dgain[8] = {};
    load<8>(g, (key ? k_gain : q_gain) + lane.part * 8);
    over_tokens(h, [&](int token) {
        const T *in = x + x_at(h, token) + start;
        const T *din = (key ? dk : dq) + (long)token * count * h.width + lane.part * 8;
        T *out = dx + ((long)token * heads + (key ? h.queries : 0)) * h.width + lane.part * 8;
        const Rotation rotation(cos, sin, h, lane, token, -1.0f);
        over_heads(lane, count, [&](int first) {
            Pack<T, 8> packs[AHEAD], dpacks[AHEAD];
#pragma unroll
            for (int j = 0; j < AHEAD; j++) {
                const int head = min(first + j * lane.slots, count - 1);
                packs[j].read(in + head * h.head);
                dpacks[j].read(din + (long)head * h.width);
            }
#pragma unroll
            for (int j = 0; j < AHEAD; j++) {
                const int head = first + j * lane.slots;
                float v[8], d[8], squares = 0.0f, dot = 0.0f;
                packs[j].get(v);
                dpacks[j].get(d);
                rotation.apply(d, lane);
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    squares += v[i] * v[i];
                    dot += v[i] * d[i] * g[i];
                }
                const float r = h.eps < 0.0f ? 1.0f : inverse_rms(lane.sum(squares), h.width, h.eps);
                const float pull = h.eps < 0.0f ? 0.0f : lane.sum(dot) * r * r * r / h.width;
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    if (head < count) dgain[i] += d[i] * v[i] * r;
                    v[i] = d[i] * g[i] * r - v[i] * pull;
                }
                if (head < count) store<8>(out + (long)head * h.width, v);
            }
        });
        if (!key) return;
        const T *values = dv + (long)token * count * h.width + lane.part * 8;
#pragma unroll 2
        for (int head = lane.slot; head < count; head += lane.slots) {
            Pack<T, 8> pack;
            pack.read(values + (long)head * h.width);
            pack.write(out + (long)(count + head) * h.width);
        }
    });
#pragma unroll
    for (int i = 0; i < 8; i++) sums[threadIdx.x * 8 + i] = dgain[i];
    __syncthreads();
    // Thread t holds the columns 8 t mod D and the seven after.
    for (int c = threadIdx.x; c < h.width; c += blockDim.x) {
        float sum = 0.0f;
        for (int at = c; at < (int)blockDim.x * 8; at += h.width) sum += sums[at];
        partial[((long)blockIdx.x * gridDim.y + blockIdx.y) * h.width + c] = sum;
    }
}

#define ROTARY(T, name)                                                                                               \
    extern "C" __global__ void __launch_bounds__(128) rotary_forward_##name(                                          \
        const T *x, const float *q_gain, const float *k_gain, const float *cos, const float *sin, T *q, T *k,         \
        Heads h) {                                                                                                    \
        forward(x, q_gain, k_gain, cos, sin, q, k, h);                                                                \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(128, 4) rotary_backward_##name(                                      \
        const T *x, const float *q_gain, const float *k_gain, const float *cos, const float *sin, const T *dq,        \
        const T *dk, const T *dv, T *dx, float *partial, Heads h) {                                                   \
        backward(x, q_gain, k_gain, cos, sin, dq, dk, dv, dx, partial, h);                                            \
    }
ROTARY(float, f32)
ROTARY(bf16, bf16)
