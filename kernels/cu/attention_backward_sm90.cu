// The gradients of attention over a tile plan in bf16 on the tensor cores of compute capability 9.0. As in
// attention_backward.cu, a block owns what it sums: here two key tiles or two query tiles, a warpgroup each. Products
// are queued so that the tensor cores work while scores become weights and weights gradients.
#include "warpgroup.cuh"

// Everything is transposed: a warpgroup's 64 rows are keys, its columns queries.
// Entries of the plan here: query tile << 4 | mode of the first key tile << 2 | mode of the second.
template <int D>
__device__ void keys(const View &q, const View &k, const View &v, const View &dout, const float2 *sums, bf16 *dk,
                     bf16 *dv, const Plan &plan, const Geometry &g) {
    extern __shared__ __align__(1024) unsigned char memory[];
    constexpr u32 BYTES = TILE * D * 2, SUMS = TILE * 8;
    const u32 own = shared_address(memory), stages = own + 4 * BYTES, stage_sums = stages + STAGES * 2 * BYTES;
    // Heads side by side, so that a tile that everybody reads starts first for all of them.
    const int pair = blockIdx.x / g.key_heads, key_head = blockIdx.x % g.key_heads, batch = blockIdx.y;
    const int sequence = g.shared ? 0 : batch, group = g.heads / g.key_heads, pairs = (g.key_tiles + 1) / 2;
    const int second = __shfl_sync(0xffffffffu, threadIdx.x / WARPGROUP, 0), lane = threadIdx.x % 32;
    const int tile = pair * 2 + second, first_row = threadIdx.x % WARPGROUP / 32 * 16;

    // The keys of both tiles, then their values.
    const Source<D> k_rows(k, batch, key_head), v_rows(v, batch, key_head);
    const Source<D> q_rows(q, batch, 0), dout_rows(dout, batch, 0);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        k_rows.load(own + i * BYTES, (pair * 2 + i) * TILE, g.keys);
        v_rows.load(own + (2 + i) * BYTES, (pair * 2 + i) * TILE, g.keys);
    }
    const u32 *offsets = plan.offsets + sequence * pairs + pair;
    const u32 *entries = plan.entries + offsets[0];
    const int column = offsets[1] - offsets[0], count = column * group;
    // The column is walked for each head of the group in turn.
    int next = 0, head = key_head * group;
    const auto load_stage = [&](int i, u32 entry) {
        if (i < count) {
            const int query = (entry >> 4) * TILE, live = g.queries - query;
            const u32 to = stages + i % STAGES * 2 * BYTES;
            q_rows.load(to, query, g.queries, head * q.head);
            dout_rows.load(to + BYTES, query, g.queries, head * dout.head);
            const float2 *from = sums + ((long)batch * g.heads + head) * g.queries + query;
            const int row = threadIdx.x;
            if (row < TILE) copy8(stage_sums + i % STAGES * SUMS + row * 8, from + (row < live ? row : 0), row < live);
            if ((i + 1) % column == 0) head++;
        }
        copies_commit();
    };
    const auto next_entry = [&] {
        if (count == 0) return 0u;
        const u32 entry = entries[next];
        next = next + 1 == column ? 0 : next + 1;
        return entry;
    };
    u32 coming[AHEAD + 1];    // the entries that follow, the last of them not yet asked for
#pragma unroll
    for (int i = 0; i <= AHEAD; i++) coming[i] = next_entry();
#pragma unroll
    for (int i = 0; i < AHEAD; i++) load_stage(i, coming[i]);

    // A pair's second tile may not exist.
    const int2 *codes = plan.keys + ((long)sequence * g.key_tiles + tile) * TILE + first_row + lane / 4;
    int2 code[2] = {make_int2(0x7fffffff, -1), make_int2(0x7fffffff, -1)};
    if (tile < g.key_tiles) code[0] = codes[0], code[1] = codes[8];

    const u64 k_own = describe(own + second * BYTES), v_own = describe(own + (2 + second) * BYTES);
    float dk_sum[D / 8][4] = {}, dv_sum[D / 8][4] = {};
    settle(dk_sum);    // else the compiler zeroes them again where a product may be under way
    settle(dv_sum);
    const float scale = g.scale * LOG2E;

    for (int i = 0; i < count; i++) {
        copies_wait<AHEAD - 1>();
        publish();
        __syncthreads();
        const u32 entry = coming[0];
        load_stage(i + AHEAD, coming[AHEAD]);
#pragma unroll
        for (int j = 0; j < AHEAD; j++) coming[j] = coming[j + 1];
        coming[AHEAD] = next_entry();

        const u64 q_tile = describe(stages + i % STAGES * 2 * BYTES), dout_tile = q_tile + (BYTES >> 4);
        const float4 *queries = reinterpret_cast<const float4 *>(memory + (4 + 2 * STAGES) * BYTES + i % STAGES * SUMS);
        const int mode = second ? entry & 3 : entry >> 2 & 3;
        if (mode == SKIP) {
            wait<0>();
        } else {
            float s[8][4], ds[8][4];
            u32 p[4][4], dp[4][4];
            begin();
            times_rows<D>(s, k_own, q_tile);
            commit();
            times_rows<D>(ds, v_own, dout_tile);
            commit();
            wait<1>();
            settle(s);
            if (mode == PARTIAL) hide<true>(s, code, plan.queries + ((long)sequence * g.query_tiles + (entry >> 4)) * TILE);
#pragma unroll
            for (int n = 0; n < 8; n++) {
                const float4 pair = queries[n * 4 + lane % 4];
#pragma unroll
                for (int c = 0; c < 4; c++) s[n][c] = exp2_fast(fmaf(s[n][c], scale, c % 2 ? -pair.z : -pair.x));
            }
            pack_left(p, s);
            begin();
            add_times<D>(dv_sum, p, dout_tile);
            commit();
            wait<1>();
            settle(ds);
#pragma unroll
            for (int n = 0; n < 8; n++) {
                const float4 pair = queries[n * 4 + lane % 4];
#pragma unroll
                for (int c = 0; c < 4; c++) ds[n][c] = s[n][c] * (ds[n][c] - (c % 2 ? pair.w : pair.y));
            }
            pack_left(dp, ds);
            begin();
            add_times<D>(dk_sum, dp, q_tile);
            commit();
        }
    }
    copies_wait<0>();
    wait<0>();
    settle(dk_sum);
    settle(dv_sum);
    const int key = tile * TILE + first_row;
    const long stride = (long)g.key_heads * D, to = ((long)batch * g.keys + key) * stride + key_head * D;
    store_rows<D>(dk + to, stride, dk_sum, g.keys - key, g.scale, g.scale);
    store_rows<D>(dv + to, stride, dv_sum, g.keys - key, 1.0f, 1.0f);
}

// Entries of the plan here: key tile << 4 | mode of the first query tile << 2 | mode of the second.
template <int D>
__device__ void queries(const View &q, const View &k, const View &v, const View &dout, const float2 *sums, bf16 *dq,
                        const Plan &plan, const Geometry &g) {
    extern __shared__ __align__(1024) unsigned char memory[];
    constexpr u32 BYTES = TILE * D * 2;
    const u32 own = shared_address(memory), stages = own + 4 * BYTES;
    const int pairs = (g.query_tiles + 1) / 2, pair = pairs - 1 - blockIdx.x, head = blockIdx.y, batch = blockIdx.z;
    const int sequence = g.shared ? 0 : batch, key_head = head / (g.heads / g.key_heads);
    const int second = __shfl_sync(0xffffffffu, threadIdx.x / WARPGROUP, 0), lane = threadIdx.x % 32;
    const int tile = pair * 2 + second, first_row = threadIdx.x % WARPGROUP / 32 * 16;

    // The queries of both tiles, then the gradients of their outputs.
    const Source<D> q_rows(q, batch, head), dout_rows(dout, batch, head);
    const Source<D> k_rows(k, batch, key_head), v_rows(v, batch, key_head);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        q_rows.load(own + i * BYTES, (pair * 2 + i) * TILE, g.queries);
        dout_rows.load(own + (2 + i) * BYTES, (pair * 2 + i) * TILE, g.queries);
    }
    const u32 *offsets = plan.offsets + sequence * pairs + pair;
    const u32 *entries = plan.entries + offsets[0];
    const int count = offsets[1] - offsets[0];
    const auto entry_at = [&](int i) { return i < count ? entries[i] : 0; };
    const auto load_stage = [&](int i, u32 entry) {
        const int key = (entry >> 4) * TILE;
        const u32 to = stages + i % STAGES * 2 * BYTES;
        if (i < count) {
            k_rows.load(to, key, g.keys);
            v_rows.load(to + BYTES, key, g.keys);
        }
        copies_commit();
    };
    u32 coming[AHEAD + 1];    // the entries that follow, the last of them not yet asked for
#pragma unroll
    for (int i = 0; i <= AHEAD; i++) coming[i] = entry_at(i);
#pragma unroll
    for (int i = 0; i < AHEAD; i++) load_stage(i, coming[i]);

    // A pair's second tile may not exist.
    const int2 *codes = plan.queries + ((long)sequence * g.query_tiles + tile) * TILE + first_row + lane / 4;
    int2 code[2] = {make_int2(-1, -2), make_int2(-1, -2)};
    if (tile < g.query_tiles) code[0] = codes[0], code[1] = codes[8];
    const int query = tile * TILE + first_row;
    float2 sum[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = query + half * 8 + lane / 4;
        sum[half] = row < g.queries ? sums[((long)batch * g.heads + head) * g.queries + row]
                                    : make_float2(__int_as_float(0x7f800000), 0.0f);
    }
    const u64 q_own = describe(own + second * BYTES), dout_own = describe(own + (2 + second) * BYTES);
    float dq_sum[D / 8][4] = {};
    settle(dq_sum);    // else the compiler zeroes it again where a product may be under way
    const float scale = g.scale * LOG2E;

    for (int i = 0; i < count; i++) {
        copies_wait<AHEAD - 1>();
        publish();
        __syncthreads();
        const u32 entry = coming[0];
        load_stage(i + AHEAD, coming[AHEAD]);
#pragma unroll
        for (int j = 0; j < AHEAD; j++) coming[j] = coming[j + 1];
        coming[AHEAD] = entry_at(i + AHEAD + 1);

        const u64 k_tile = describe(stages + i % STAGES * 2 * BYTES), v_tile = k_tile + (BYTES >> 4);
        const int mode = second ? entry & 3 : entry >> 2 & 3;
        if (mode == SKIP) {
            wait<0>();
        } else {
            float s[8][4], ds[8][4];
            u32 dp[4][4];
            begin();
            times_rows<D>(s, q_own, k_tile);
            commit();
            times_rows<D>(ds, dout_own, v_tile);
            commit();
            wait<1>();
            settle(s);
            if (mode == PARTIAL) hide<false>(s, code, plan.keys + ((long)sequence * g.key_tiles + (entry >> 4)) * TILE);
#pragma unroll
            for (int n = 0; n < 8; n++) {
#pragma unroll
                for (int c = 0; c < 4; c++) s[n][c] = exp2_fast(fmaf(s[n][c], scale, -sum[c / 2].x));
            }
            wait<0>();
            settle(ds);
#pragma unroll
            for (int n = 0; n < 8; n++) {
#pragma unroll
                for (int c = 0; c < 4; c++) ds[n][c] = s[n][c] * (ds[n][c] - sum[c / 2].y);
            }
            pack_left(dp, ds);
            begin();
            add_times<D>(dq_sum, dp, k_tile);
            commit();
            // Narrow heads leave room for two blocks on a multiprocessor, which fill each other's waits.
            if constexpr (D == 64) {
                wait<0>();
                settle(dq_sum);
            }
        }
    }
    copies_wait<0>();
    wait<0>();
    settle(dq_sum);
    const long stride = (long)g.heads * D;
    store_rows<D>(dq + ((long)batch * g.queries + query) * stride + head * D, stride, dq_sum, g.queries - query,
                  g.scale, g.scale);
}

#define BACKWARD(D, BLOCKS)                                                                                           \
    extern "C" __global__ void __launch_bounds__(THREADS, 1)                                                          \
        attention_keys_##D(View q, View k, View v, View dout, const float2 *sums, bf16 *dk, bf16 *dv, Plan plan,      \
                           Geometry g) {                                                                              \
        keys<D>(q, k, v, dout, sums, dk, dv, plan, g);                                                                \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) attention_queries_##D(                              \
        View q, View k, View v, View dout, const float2 *sums, bf16 *dq, Plan plan, Geometry g) {                     \
        queries<D>(q, k, v, dout, sums, dq, plan, g);                                                                 \
    }
BACKWARD(64, 2)
BACKWARD(128, 1)
