// Attention over a tile plan for the shapes that the tensor-core kernels do not take: f32, and any D up to 256.
// A warp owns a query (or a key) and goes over the plan pair by pair; lanes share out the tile's other side, then the
// columns. Exact f32 arithmetic and a fixed order; speed is not the point.
#include "attention.cuh"

static constexpr int COLUMNS = 8;    // D / 32 at most

template <typename T> __device__ inline float dot(const T *a, const T *b, int width) {
    float sum = 0.0f;
    for (int c = 0; c < width; c++) sum += to_f32(a[c]) * to_f32(b[c]);
    return sum;
}

// sum[j] += weight * from[lane + 32 j], for the lane's columns.
template <typename T> __device__ inline void add(float (&sum)[COLUMNS], float weight, const T *from, int width) {
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
        const int c = threadIdx.x % 32 + 32 * j;
        if (c < width) sum[j] += weight * to_f32(from[c]);
    }
}

template <typename T> __device__ inline void put(T *to, const float (&sum)[COLUMNS], float scale, int width) {
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
        const int c = threadIdx.x % 32 + 32 * j;
        if (c < width) from_f32(to + c, sum[j] * scale);
    }
}

struct Place {
    int index, head, batch, sequence;
    bool live;
    __device__ Place(int length, int shared)
        : index(blockIdx.x * 4 + threadIdx.x / 32), head(blockIdx.y), batch(blockIdx.z),
          sequence(shared ? 0 : batch), live(index < length) {}
};

template <typename T>
__device__ void forward(const View &q, const View &k, const View &v, T *out, float *lse, const Plan &plan,
                        const Geometry &g) {
    const Place p(g.queries, g.shared);
    if (!p.live) return;
    const Seat seat(plan, g, p.batch);
    const int key_head = p.head / (g.heads / g.key_heads), tile = p.index / TILE, lane = threadIdx.x % 32;
    const int2 code = plan.queries[(long)p.sequence * g.query_tiles * TILE + p.index];
    const T *mine = at<T>(q, p.batch, p.index, p.head);
    const u32 *offsets = plan.offsets + p.sequence * g.query_tiles + tile;
    const float infinity = __int_as_float(0x7f800000);
    float peak = -infinity, sum = 0.0f, total[COLUMNS] = {};
    for (u32 e = offsets[0]; e < offsets[1]; e++) {
        for (int side = 0; side < TILE; side += 32) {
            const int first = (plan.entries[e] >> 1) * TILE + side, key = first + lane;
            const int2 other = plan.keys[(long)p.sequence * g.key_tiles * TILE + key];
            float score = -infinity;
            if (allowed(code, other) && key < seat.count)
                score = g.scale * dot(mine, at<T>(k, seat.batch, seat.first + key, key_head), g.width);
            const float top = fmaxf(peak, warp_max(score));
            if (top == -infinity) continue;
            const float shrink = expf(peak - top), weight = expf(score - top);
            peak = top;
            sum = sum * shrink + warp_sum(weight);
#pragma unroll
            for (int j = 0; j < COLUMNS; j++) total[j] *= shrink;
            for (int i = 0; i < 32 && first + i < seat.count; i++)
                add(total, __shfl_sync(0xffffffffu, weight, i), at<T>(v, seat.batch, seat.first + first + i, key_head),
                    g.width);
        }
    }
    const long row = ((long)p.batch * g.queries + p.index) * g.heads + p.head;
    put(out + row * g.width, total, sum > 0.0f ? 1.0f / sum : 0.0f, g.width);
    if (lane == 0)
        lse[((long)p.batch * g.heads + p.head) * g.queries + p.index] = sum > 0.0f ? peak + logf(sum) : -infinity;
}

// The softmax weight of a pair (sums.x is lse * log2 e) and the gradient of its scaled score.
struct Pair {
    float weight, gradient;
};

template <typename T>
__device__ inline Pair pair_of(const T *q, const T *k, const T *v, const T *dout, float2 sums, const Geometry &g) {
    Pair pair;
    pair.weight = exp2f(g.scale * dot(q, k, g.width) * 1.4426950408889634f - sums.x);
    pair.gradient = pair.weight * (dot(dout, v, g.width) - sums.y);
    return pair;
}

template <typename T>
__device__ void queries(const View &q, const View &k, const View &v, const View &dout, const float2 *sums, T *dq,
                        const Plan &plan, const Geometry &g) {
    const Place p(g.queries, g.shared);
    if (!p.live) return;
    const int key_head = p.head / (g.heads / g.key_heads), tile = p.index / TILE, lane = threadIdx.x % 32;
    const int2 code = plan.queries[(long)p.sequence * g.query_tiles * TILE + p.index];
    const T *mine = at<T>(q, p.batch, p.index, p.head), *dmine = at<T>(dout, p.batch, p.index, p.head);
    const float2 own = sums[((long)p.batch * g.heads + p.head) * g.queries + p.index];
    const u32 *offsets = plan.offsets + p.sequence * g.query_tiles + tile;
    float total[COLUMNS] = {};
    for (u32 e = offsets[0]; e < offsets[1]; e++) {
        for (int side = 0; side < TILE; side += 32) {
            const int first = (plan.entries[e] >> 1) * TILE + side, key = first + lane;
            const int2 other = plan.keys[(long)p.sequence * g.key_tiles * TILE + key];
            Pair pair = {0.0f, 0.0f};
            if (allowed(code, other) && key < g.keys)
                pair = pair_of(mine, at<T>(k, p.batch, key, key_head), at<T>(v, p.batch, key, key_head), dmine, own, g);
            for (int i = 0; i < 32 && first + i < g.keys; i++)
                add(total, __shfl_sync(0xffffffffu, pair.gradient, i), at<T>(k, p.batch, first + i, key_head), g.width);
        }
    }
    put(dq + (((long)p.batch * g.queries + p.index) * g.heads + p.head) * g.width, total, g.scale, g.width);
}

template <typename T>
__device__ void keys(const View &q, const View &k, const View &v, const View &dout, const float2 *sums, T *dk, T *dv,
                     const Plan &plan, const Geometry &g) {
    const Place p(g.keys, g.shared);
    if (!p.live) return;
    const int group = g.heads / g.key_heads, tile = p.index / TILE, lane = threadIdx.x % 32;
    const int2 code = plan.keys[(long)p.sequence * g.key_tiles * TILE + p.index];
    const T *k_mine = at<T>(k, p.batch, p.index, p.head), *v_mine = at<T>(v, p.batch, p.index, p.head);
    const u32 *offsets = plan.offsets + p.sequence * g.key_tiles + tile;
    float dk_sum[COLUMNS] = {}, dv_sum[COLUMNS] = {};
    for (int head = p.head * group; head < (p.head + 1) * group; head++) {
        for (u32 e = offsets[0]; e < offsets[1]; e++) {
            for (int side = 0; side < TILE; side += 32) {
                const int first = (plan.entries[e] >> 1) * TILE + side, query = first + lane;
                const int2 other = plan.queries[(long)p.sequence * g.query_tiles * TILE + query];
                Pair pair = {0.0f, 0.0f};
                if (allowed(other, code) && query < g.queries) {
                    const float2 own = sums[((long)p.batch * g.heads + head) * g.queries + query];
                    pair = pair_of(at<T>(q, p.batch, query, head), k_mine, v_mine, at<T>(dout, p.batch, query, head), own,
                                   g);
                }
                for (int i = 0; i < 32 && first + i < g.queries; i++) {
                    add(dv_sum, __shfl_sync(0xffffffffu, pair.weight, i), at<T>(dout, p.batch, first + i, head), g.width);
                    add(dk_sum, __shfl_sync(0xffffffffu, pair.gradient, i), at<T>(q, p.batch, first + i, head), g.width);
                }
            }
        }
    }
    const long to = (((long)p.batch * g.keys + p.index) * g.key_heads + p.head) * g.width;
    put(dk + to, dk_sum, g.scale, g.width);
    put(dv + to, dv_sum, 1.0f, g.width);
}

#define SIMPLE(T, name)                                                                                               \
    extern "C" __global__ void attention_forward_##name(View q, View k, View v, T *out, float *lse, Plan plan,        \
                                                        Geometry g) {                                                 \
        forward(q, k, v, out, lse, plan, g);                                                                          \
    }                                                                                                                 \
    extern "C" __global__ void attention_queries_##name(View q, View k, View v, View dout, const float2 *sums, T *dq, \
                                                        Plan plan, Geometry g) {                                      \
        queries(q, k, v, dout, sums, dq, plan, g);                                                                    \
    }                                                                                                                 \
    extern "C" __global__ void attention_keys_##name(View q, View k, View v, View dout, const float2 *sums, T *dk,    \
                                                     T *dv, Plan plan, Geometry g) {                                  \
        keys(q, k, v, dout, sums, dk, dv, plan, g);                                                                   \
    }
SIMPLE(float, f32)
SIMPLE(bf16, bf16)
