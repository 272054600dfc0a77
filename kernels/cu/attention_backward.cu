// The gradients of attention over a tile plan in bf16. Scores are made again and weights come from the log-sum-exp.
// Keys and values: a block owns a key tile and walks over the plan's columns and the heads of its group. Queries: a
// block owns a query tile and walks over the rows. Nothing is summed by two blocks, so no atomics and a fixed order.
#include "attention.cuh"

static constexpr int THREADS = 128;

// (lse * log2 e, <out, dout> - dlse) of every query, dlse being 0 if absent; infinity for queries without keys, whose
// weights are then zero.
// Eight lanes take a query of a head, so that a warp writes four neighbours. Blocks of the same queries are neighbours
// too: their heads lie together in out and dout, which are contiguous.
template <int VEC, typename T>
__device__ void summary(const T *out, const T *dout, const float *lse, const float *dlse, float2 *sums,
                        const Geometry &g) {
    const int head = blockIdx.x % g.heads, batch = blockIdx.y, lane = threadIdx.x % 8;
    const float infinity = __int_as_float(0x7f800000);
#pragma unroll
    for (int i = 0; i < TILE / (THREADS / 8); i++) {
        const int query = blockIdx.x / g.heads * TILE + i * (THREADS / 8) + threadIdx.x / 8;
        const long from = (((long)batch * g.queries + query) * g.heads + head) * g.width;
        float sum = 0.0f;
        for (int c = lane * VEC; query < g.queries && c < g.width; c += 8 * VEC) {
            float a[VEC], b[VEC];
            load(a, out + from + c);
            load(b, dout + from + c);
#pragma unroll
            for (int j = 0; j < VEC; j++) sum += a[j] * b[j];
        }
#pragma unroll
        for (int o = 4; o > 0; o >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, o);
        if (lane != 0 || query >= g.queries) continue;
        const long to = ((long)batch * g.heads + head) * g.queries + query;
        if (dlse) sum -= dlse[to];
        sums[to] = make_float2(lse[to] == -infinity ? infinity : lse[to] * LOG2E, sum);
    }
}
#define SUMMARY(T, name)                                                                                              \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                             \
        attention_summary_##name(const T *out, const T *dout, const float *lse, const float *dlse, float2 *sums,      \
                                 Geometry g) {                                                                        \
        if (g.width % 8 == 0) summary<8>(out, dout, lse, dlse, sums, g);                                              \
        else summary<1>(out, dout, lse, dlse, sums, g);                                                               \
    }
SUMMARY(bf16, bf16)
SUMMARY(float, f32)

// Everything is transposed: a warp's 16 rows are keys, its columns queries.
template <int D>
__device__ void keys(const View &q, const View &k, const View &v, const View &dout, const float2 *sums, bf16 *dk,
                     bf16 *dv, const Plan &plan, const Geometry &g) {
    extern __shared__ __align__(1024) unsigned char memory[];
    constexpr u32 BYTES = TILE * D * 2, STAGE = 2 * BYTES + TILE * 8;
    const u32 k_tile = shared_address(memory), v_tile = k_tile + BYTES, stages = k_tile + 2 * BYTES;
    // Heads side by side, so that a tile that everybody reads starts first for all of them.
    const int tile = blockIdx.x / g.key_heads, key_head = blockIdx.x % g.key_heads, batch = blockIdx.y;
    const int sequence = g.shared ? 0 : batch, group = g.heads / g.key_heads, first_key = tile * TILE;
    const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * 16;

    load_tile<D, TILE, THREADS>(k_tile, at<bf16>(k, batch, first_key, key_head), k.time, g.keys - first_key);
    load_tile<D, TILE, THREADS>(v_tile, at<bf16>(v, batch, first_key, key_head), v.time, g.keys - first_key);
    const u32 *offsets = plan.offsets + sequence * g.key_tiles + tile;
    const u32 *entries = plan.entries + offsets[0];
    const int column = offsets[1] - offsets[0], count = column * group;
    const auto load_stage = [&](int stage, u32 entry, int head) {
        const int query = (entry >> 1) * TILE, live = g.queries - query;
        const u32 to = stages + stage * STAGE;
        load_tile<D, TILE, THREADS>(to, at<bf16>(q, batch, query, head), q.time, live);
        load_tile<D, TILE, THREADS>(to + BYTES, at<bf16>(dout, batch, query, head), dout.time, live);
        const float2 *from = sums + ((long)batch * g.heads + head) * g.queries + query;
        const int row = threadIdx.x;
        if (row < TILE) copy8(to + 2 * BYTES + row * 8, from + (row < live ? row : 0), row < live);
    };
    if (count > 0) load_stage(0, entries[0], key_head * group);
    copies_commit();

    const int2 *codes = plan.keys + ((long)sequence * g.key_tiles + tile) * TILE + first_row + lane / 4;
    const int2 code[2] = {codes[0], codes[8]};
    float dk_sum[D / 8][4] = {}, dv_sum[D / 8][4] = {};
    const float scale = g.scale * LOG2E;

    for (int i = 0; i < count; i++) {
        copies_wait<0>();
        __syncthreads();
        if (i + 1 < count) load_stage((i + 1) & 1, entries[(i + 1) % column], key_head * group + (i + 1) / column);
        copies_commit();
        const u32 entry = entries[i % column];
        const u32 q_tile = stages + (i & 1) * STAGE, dout_tile = q_tile + BYTES;
        const float4 *queries = reinterpret_cast<const float4 *>(memory + 2 * BYTES + (i & 1) * STAGE + 2 * BYTES);

        float s[8][4] = {}, ds[8][4] = {};
        product<D>(s, q_tile, [&](u32(&a)[4], int step) { left<D>(a, k_tile, first_row, step); });
        if (entry & 1) hide<true>(s, code, plan.queries + ((long)sequence * g.query_tiles + (entry >> 1)) * TILE);
#pragma unroll
        for (int n = 0; n < 8; n++) {
            const float4 pair = queries[n * 4 + lane % 4];
#pragma unroll
            for (int half = 0; half < 2; half++) {
                s[n][2 * half] = exp2_fast(fmaf(s[n][2 * half], scale, -pair.x));
                s[n][2 * half + 1] = exp2_fast(fmaf(s[n][2 * half + 1], scale, -pair.z));
            }
        }
        u32 p[4][4];
        pack_left(p, s);
        accumulate<D>(dv_sum, p, dout_tile);
        product<D>(ds, dout_tile, [&](u32(&a)[4], int step) { left<D>(a, v_tile, first_row, step); });
#pragma unroll
        for (int n = 0; n < 8; n++) {
            const float4 pair = queries[n * 4 + lane % 4];
#pragma unroll
            for (int half = 0; half < 2; half++) {
                ds[n][2 * half] = s[n][2 * half] * (ds[n][2 * half] - pair.y);
                ds[n][2 * half + 1] = s[n][2 * half + 1] * (ds[n][2 * half + 1] - pair.w);
            }
        }
        pack_left(p, ds);
        accumulate<D>(dk_sum, p, q_tile);
    }
    copies_wait<0>();
    const int key = first_key + first_row;
    const long stride = (long)g.key_heads * D, to = ((long)batch * g.keys + key) * stride + key_head * D;
    store_rows<D>(dk + to, stride, dk_sum, g.keys - key, g.scale, g.scale);
    store_rows<D>(dv + to, stride, dv_sum, g.keys - key, 1.0f, 1.0f);
}

template <int D>
__device__ void queries(const View &q, const View &k, const View &v, const View &dout, const float2 *sums, bf16 *dq,
                        const Plan &plan, const Geometry &g) {
    extern __shared__ __align__(1024) unsigned char memory[];
    constexpr u32 BYTES = TILE * D * 2;
    const u32 q_tile = shared_address(memory), dout_tile = q_tile + BYTES, stages = q_tile + 2 * BYTES;
    const int tile = g.query_tiles - 1 - blockIdx.x, head = blockIdx.y, batch = blockIdx.z;
    const int sequence = g.shared ? 0 : batch, key_head = head / (g.heads / g.key_heads), first_query = tile * TILE;
    const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * 16;

    const int live = g.queries - first_query;
    load_tile<D, TILE, THREADS>(q_tile, at<bf16>(q, batch, first_query, head), q.time, live);
    load_tile<D, TILE, THREADS>(dout_tile, at<bf16>(dout, batch, first_query, head), dout.time, live);
    const u32 *offsets = plan.offsets + sequence * g.query_tiles + tile;
    const u32 *entries = plan.entries + offsets[0];
    const int count = offsets[1] - offsets[0];
    const auto load_stage = [&](int stage, u32 entry) {
        const int key = (entry >> 1) * TILE;
        const u32 to = stages + stage * 2 * BYTES;
        load_tile<D, TILE, THREADS>(to, at<bf16>(k, batch, key, key_head), k.time, g.keys - key);
        load_tile<D, TILE, THREADS>(to + BYTES, at<bf16>(v, batch, key, key_head), v.time, g.keys - key);
    };
    u32 entry = count > 0 ? entries[0] : 0, next = count > 1 ? entries[1] : 0;
    if (count > 0) load_stage(0, entry);
    copies_commit();

    const int2 *codes = plan.queries + ((long)sequence * g.query_tiles + tile) * TILE + first_row + lane / 4;
    const int2 code[2] = {codes[0], codes[8]};
    float2 sum[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = first_row + half * 8 + lane / 4;
        sum[half] = row < live ? sums[((long)batch * g.heads + head) * g.queries + first_query + row]
                               : make_float2(__int_as_float(0x7f800000), 0.0f);
    }
    float dq_sum[D / 8][4] = {};
    const float scale = g.scale * LOG2E;

    for (int i = 0; i < count; i++) {
        copies_wait<0>();
        __syncthreads();
        if (i + 1 < count) load_stage((i + 1) & 1, next);
        copies_commit();
        const u32 coming = i + 2 < count ? entries[i + 2] : 0;
        const u32 k_tile = stages + (i & 1) * 2 * BYTES, v_tile = k_tile + BYTES;
        float s[8][4] = {}, ds[8][4] = {};
        product<D>(s, k_tile, [&](u32(&a)[4], int step) { left<D>(a, q_tile, first_row, step); });
        product<D>(ds, v_tile, [&](u32(&a)[4], int step) { left<D>(a, dout_tile, first_row, step); });
        if (entry & 1) hide<false>(s, code, plan.keys + ((long)sequence * g.key_tiles + (entry >> 1)) * TILE);
#pragma unroll
        for (int n = 0; n < 8; n++) {
#pragma unroll
            for (int c = 0; c < 4; c++)
                ds[n][c] = exp2_fast(fmaf(s[n][c], scale, -sum[c / 2].x)) * (ds[n][c] - sum[c / 2].y);
        }
        u32 p[4][4];
        pack_left(p, ds);
        accumulate<D>(dq_sum, p, k_tile);
        entry = next;
        next = coming;
    }
    copies_wait<0>();
    const int query = first_query + first_row;
    const long stride = (long)g.heads * D;
    store_rows<D>(dq + ((long)batch * g.queries + query) * stride + head * D, stride, dq_sum, g.queries - query,
                  g.scale, g.scale);
}

#define BACKWARD(D)                                                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS, 2)                                                          \
        attention_keys_##D(View q, View k, View v, View dout, const float2 *sums, bf16 *dk, bf16 *dv, Plan plan,      \
                           Geometry g) {                                                                              \
        keys<D>(q, k, v, dout, sums, dk, dv, plan, g);                                                                \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) attention_queries_##D(                                   \
        View q, View k, View v, View dout, const float2 *sums, bf16 *dq, Plan plan, Geometry g) {                     \
        queries<D>(q, k, v, dout, sums, dq, plan, g);                                                                 \
    }
BACKWARD(64)
BACKWARD(128)
