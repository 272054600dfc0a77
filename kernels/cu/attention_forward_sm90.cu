// Attention over a tile plan in bf16 on the tensor cores of compute capability 9.0 (Shah and others,
// "FlashAttention-3", 2024). A block takes two query tiles, a warpgroup each. The sums of one key tile are made while
// its neighbours, in this block or the other on the same multiprocessor, exponentiate.
#include "attention_rows.cuh"
#include "warpgroup.cuh"

// Entries of the plan here: key tile << 4 | mode of the first query tile << 2 | mode of the second.
template <int D>
__device__ void forward(const View &q, const View &k, const View &v, bf16 *out, float *lse, const Plan &plan,
                        const Geometry &g) {
    extern __shared__ __align__(1024) unsigned char memory[];
    constexpr u32 BYTES = TILE * D * 2;
    const u32 q_tiles = shared_address(memory), stages = q_tiles + 2 * BYTES;
    const int pairs = (g.query_tiles + 1) / 2;
    // Late queries see more keys in causal plans: the longest work starts first.
    const int pair = pairs - 1 - blockIdx.x, head = blockIdx.y, batch = blockIdx.z;
    const int key_head = head / (g.heads / g.key_heads), sequence = g.shared ? 0 : batch;
    const int second = __shfl_sync(0xffffffffu, threadIdx.x / WARPGROUP, 0), lane = threadIdx.x % 32;
    const int tile = pair * 2 + second, first_row = threadIdx.x % WARPGROUP / 32 * 16;

    const Seat seat(plan, g, batch);
    const Source<D> q_rows(q, batch, head);
    const Source<D> k_rows(k, seat.batch, key_head, seat.first), v_rows(v, seat.batch, key_head, seat.first);
#pragma unroll
    for (int i = 0; i < 2; i++) q_rows.load(q_tiles + i * BYTES, (pair * 2 + i) * TILE, g.queries);
    const u32 *offsets = plan.offsets + sequence * pairs + pair;
    const u32 *entries = plan.entries + offsets[0];
    const int count = offsets[1] - offsets[0];
    const auto entry_at = [&](int i) { return i < count ? entries[i] : 0; };
    const auto load_stage = [&](int i, u32 entry) {
        const int key = (entry >> 4) * TILE;
        const u32 to = stages + i % STAGES * 2 * BYTES;
        if (i < count) {
            k_rows.load(to, key, seat.count);
            v_rows.load(to + BYTES, key, seat.count);
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

    const u64 queries = describe(q_tiles + second * BYTES);
    float o[D / 8][4] = {};
    settle(o);    // else the compiler zeroes it again where a product may be under way
    Rows rows;
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
            float s[8][4];
            begin();
            times_rows<D>(s, queries, k_tile);
            commit();
            wait<0>();
            settle(s);
            settle(o);
            if (mode == PARTIAL) hide<false>(s, code, plan.keys + ((long)sequence * g.key_tiles + (entry >> 4)) * TILE);
            soften<D>(s, o, rows, g.scale * LOG2E);
            u32 p[4][4];
            pack_left(p, s);
            begin();
            add_times<D>(o, p, v_tile);
            commit();
        }
    }
    copies_wait<0>();
    wait<0>();
    settle(o);

    const int query = tile * TILE + first_row;
    float inverse[2];
    finish(rows, inverse, lse + ((long)batch * g.heads + head) * g.queries + query, g.queries - query, g.scale);
    const long stride = (long)g.heads * D;
    store_rows<D>(out + ((long)batch * g.queries + query) * stride + head * D, stride, o, g.queries - query, inverse[0],
                  inverse[1]);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
    attention_forward_64(View q, View k, View v, bf16 *out, float *lse, Plan plan, Geometry g) {
    forward<64>(q, k, v, out, lse, plan, g);
}
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    attention_forward_128(View q, View k, View v, bf16 *out, float *lse, Plan plan, Geometry g) {
    forward<128>(q, k, v, out, lse, plan, g);
}
