// Attention over a tile plan in bf16 (Dao, "FlashAttention-2", 2023). A block takes two query tiles, so that keys and
// values are read once for 128 queries; each of its four warps takes 32 queries.
#include "attention_rows.cuh"

static constexpr int THREADS = 128;

// Entries of the plan here: key tile << 4 | mode of the first query tile << 2 | mode of the second.
template <int D>
__device__ void forward(const View &q, const View &k, const View &v, bf16 *out, float *lse, const Plan &plan,
                        const Geometry &g) {
    extern __shared__ __align__(1024) unsigned char memory[];
    constexpr u32 BYTES = TILE * D * 2;
    const u32 q_tile = shared_address(memory), stages = q_tile + 2 * BYTES;
    const int pairs = (g.query_tiles + 1) / 2;
    // Late queries see more keys in causal plans: the longest work starts first.
    const int pair = pairs - 1 - blockIdx.x, head = blockIdx.y, batch = blockIdx.z;
    const int key_head = head / (g.heads / g.key_heads), sequence = g.shared ? 0 : batch;
    const Seat seat(plan, g, batch);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, second = warp / 2;
    const int first_row = warp * 32, first_query = pair * 2 * TILE;

    load_tile<D, 2 * TILE, THREADS>(q_tile, at<bf16>(q, batch, first_query, head), q.time, g.queries - first_query);
    const auto load_stage = [&](int stage, u32 entry) {
        const int key = (entry >> 4) * TILE;
        const u32 to = stages + stage * 2 * BYTES;
        load_tile<D, TILE, THREADS>(to, at<bf16>(k, seat.batch, seat.first + key, key_head), k.time,
                                  seat.count - key);
        load_tile<D, TILE, THREADS>(to + BYTES, at<bf16>(v, seat.batch, seat.first + key, key_head), v.time,
                                  seat.count - key);
    };
    const u32 *offsets = plan.offsets + sequence * pairs + pair;
    const u32 *entries = plan.entries + offsets[0];
    const int count = offsets[1] - offsets[0];
    u32 entry = count > 0 ? entries[0] : 0, next = count > 1 ? entries[1] : 0;
    if (count > 0) load_stage(0, entry);
    copies_commit();

    // Queries and their codes, padded to whole tiles; a pair's second tile may not exist.
    const int2 *query_codes = plan.queries + ((long)sequence * g.query_tiles + pair * 2) * TILE;
    const int padded = (g.query_tiles - pair * 2) * TILE;
    int2 code[2][2];
#pragma unroll
    for (int m = 0; m < 2; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = first_row + m * 16 + half * 8 + lane / 4;
            code[m][half] = row < padded ? query_codes[row] : make_int2(-1, -2);
        }
    }
    float o[2][D / 8][4] = {};
    Rows rows[2];

    for (int i = 0; i < count; i++) {
        copies_wait<0>();
        __syncthreads();
        if (i + 1 < count) load_stage((i + 1) & 1, next);
        copies_commit();
        const u32 coming = i + 2 < count ? entries[i + 2] : 0;
        const u32 k_tile = stages + (i & 1) * 2 * BYTES, v_tile = k_tile + BYTES;
        const int mode = second ? entry & 3 : entry >> 2 & 3;
        if (mode != SKIP) {
            float s[2][8][4] = {};
#pragma unroll
            for (int step = 0; step < D / 16; step++) {
                u32 a[2][4];
                left<D>(a[0], q_tile, first_row, step);
                left<D>(a[1], q_tile, first_row + 16, step);
#pragma unroll
                for (int n = 0; n < 4; n++) {
                    u32 b[4];
                    right<D>(b, k_tile, n * 16, step);
#pragma unroll
                    for (int m = 0; m < 2; m++) {
                        mma(s[m][2 * n], a[m], b[0], b[1]);
                        mma(s[m][2 * n + 1], a[m], b[2], b[3]);
                    }
                }
            }
            if (mode == PARTIAL) {
                const int2 *codes = plan.keys + ((long)sequence * g.key_tiles + (entry >> 4)) * TILE;
#pragma unroll
                for (int m = 0; m < 2; m++) hide<false>(s[m], code[m], codes);
            }
            u32 p[2][4][4];
#pragma unroll
            for (int m = 0; m < 2; m++) {
                soften<D>(s[m], o[m], rows[m], g.scale * LOG2E);
                pack_left(p[m], s[m]);
            }
#pragma unroll
            for (int step = 0; step < 4; step++) {
#pragma unroll
                for (int n = 0; n < D / 16; n++) {
                    u32 b[4];
                    right_turned<D>(b, v_tile, step * 16, n);
#pragma unroll
                    for (int m = 0; m < 2; m++) {
                        mma(o[m][2 * n], p[m][step], b[0], b[1]);
                        mma(o[m][2 * n + 1], p[m][step], b[2], b[3]);
                    }
                }
            }
        }
        entry = next;
        next = coming;
    }
    copies_wait<0>();

#pragma unroll
    for (int m = 0; m < 2; m++) {
        const int query = first_query + first_row + m * 16;
        float inverse[2];
        finish(rows[m], inverse, lse + ((long)batch * g.heads + head) * g.queries + query, g.queries - query, g.scale);
        const long stride = (long)g.heads * D;
        store_rows<D>(out + ((long)batch * g.queries + query) * stride + head * D, stride, o[m], g.queries - query,
                      inverse[0], inverse[1]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
    attention_forward_64(View q, View k, View v, bf16 *out, float *lse, Plan plan, Geometry g) {
    forward<64>(q, k, v, out, lse, plan, g);
}
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    attention_forward_128(View q, View k, View v, bf16 *out, float *lse, Plan plan, Geometry g) {
    forward<128>(q, k, v, out, lse, plan, g);
}
