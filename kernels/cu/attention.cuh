// What the attention kernels share: geometry, the rule of visibility, and the moves between memory levels.
#pragma once
#include "element.cuh"

static constexpr int TILE = 64;
static constexpr float LOG2E = 1.4426950408889634f;

// A tensor [B, L, heads, D] with D contiguous; strides in elements.
struct View {
    const void *data;
    long batch, time, head;
};

struct Geometry {
    int queries, keys, heads, key_heads;    // T, S, H, G
    int query_tiles, key_tiles;
    int width;                              // D
    int shared;                             // 1 if one sequence of the plan serves the whole batch
    float scale;
};

// A plan on the device. Codes are padded to whole tiles with codes that allow nothing.
struct Plan {
    const u32 *offsets, *entries;
    const int2 *queries, *keys;    // (limit, group), (time, group)
    const int2 *seats;             // (first key, number of keys) where sequences share a tensor of keys, else null
};

// Where the keys of a batch entry lie.
struct Seat {
    int batch, first, count;
    __device__ Seat(const Plan &plan, const Geometry &g, int entry) : batch(entry), first(0), count(g.keys) {
        if (plan.seats) batch = 0, first = plan.seats[entry].x, count = plan.seats[entry].y;
    }
};

// What a half of a block of two tiles does with a tile of the other side, where the plan is walked in pairs.
enum { SKIP = 0, FULL = 1, PARTIAL = 2 };

// Groups are -1 for keys without one and -2 for queries without one, so that plain equality is the rule.
__device__ inline bool allowed(int2 query, int2 key) { return key.x <= query.x || key.y == query.y; }

template <typename T> __device__ inline const T *at(const View &v, int batch, int time, int head) {
    return static_cast<const T *>(v.data) + batch * v.batch + time * v.time + head * v.head;
}

__device__ inline float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ inline u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }

// 16 bytes from global to shared memory in the background; zeros if not `live`.
__device__ inline void copy16(u32 to, const void *from, bool live) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(live ? 16 : 0));
}
__device__ inline void copy8(u32 to, const void *from, bool live) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(from), "r"(live ? 8 : 0));
}
__device__ inline void copies_commit() { asm volatile("cp.async.commit_group;"); }
template <int LEFT> __device__ inline void copies_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(LEFT)); }

// A tile in shared memory: rows of D elements, whose 16-byte chunks are permuted by the row so that the eight rows
// that ldmatrix reads together lie in different banks.
template <int D> __device__ inline u32 chunk_at(int row, int chunk) { return row * D * 2 + ((chunk ^ (row & 7)) << 4); }

// Rows 0..ROWS from `from`, `stride` elements apart, of which the first `live` exist.
template <int D, int ROWS, int THREADS>
__device__ inline void load_tile(u32 to, const bf16 *from, long stride, int live) {
    constexpr int CHUNKS = D / 8, STEP = THREADS / CHUNKS;
    const int chunk = threadIdx.x % CHUNKS, first = threadIdx.x / CHUNKS;
#pragma unroll
    for (int i = 0; i < ROWS / STEP; i++) {
        const int row = first + i * STEP;
        const bool here = row < live;
        copy16(to + chunk_at<D>(row, chunk), from + (here ? row * stride : 0) + chunk * 8, here);
    }
}

__device__ inline void ldmatrix(u32 (&r)[4], u32 from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
}
__device__ inline void ldmatrix_turned(u32 (&r)[4], u32 from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
}

// The fragments of a tile for mma.m16n8k16, from 16 rows starting at `row` and 16 columns starting at 16 * k.
// left: A[rows][columns]. right: B[n = rows][k = columns], two n of 8. right_turned: B[k = rows][n = columns], two n.
template <int D> __device__ inline void left(u32 (&r)[4], u32 tile, int row, int k) {
    const int lane = threadIdx.x % 32;
    ldmatrix(r, tile + chunk_at<D>(row + lane % 16, 2 * k + lane / 16));
}
template <int D> __device__ inline void right(u32 (&r)[4], u32 tile, int row, int k) {
    const int lane = threadIdx.x % 32;
    ldmatrix(r, tile + chunk_at<D>(row + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
}
template <int D> __device__ inline void right_turned(u32 (&r)[4], u32 tile, int row, int n) {
    const int lane = threadIdx.x % 32;
    ldmatrix_turned(r, tile + chunk_at<D>(row + lane % 16, 2 * n + lane / 16));
}

__device__ inline void mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// c[16 x 64] += A[16 x D] B^T where A is given by fragments and B is a tile of 64 rows.
template <int D, typename Fragment> __device__ inline void product(float (&c)[8][4], u32 tile, Fragment fragment) {
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        u32 a[4];
        fragment(a, k);
#pragma unroll
        for (int n = 0; n < 4; n++) {
            u32 b[4];
            right<D>(b, tile, n * 16, k);
            mma(c[2 * n], a, b[0], b[1]);
            mma(c[2 * n + 1], a, b[2], b[3]);
        }
    }
}

// c[16 x D] += P[16 x 64] B where P is packed accumulators and B is a tile of 64 rows of D.
template <int D> __device__ inline void accumulate(float (&c)[D / 8][4], const u32 (&p)[4][4], u32 tile) {
#pragma unroll
    for (int k = 0; k < 4; k++) {
#pragma unroll
        for (int n = 0; n < D / 16; n++) {
            u32 b[4];
            right_turned<D>(b, tile, k * 16, n);
            mma(c[2 * n], p[k], b[0], b[1]);
            mma(c[2 * n + 1], p[k], b[2], b[3]);
        }
    }
}

// Takes the forbidden pairs of a tile out of its scores. `own` are the codes of rows lane / 4 and lane / 4 + 8, `others`
// those of the tile's 64 columns. Rows are queries, or keys where TURNED.
template <bool TURNED> __device__ inline void hide(float (&s)[8][4], const int2 (&own)[2], const int2 *others) {
    const float infinity = __int_as_float(0x7f800000);
#pragma unroll
    for (int n = 0; n < 8; n++) {
        const int4 pair = __ldg(reinterpret_cast<const int4 *>(others + n * 8 + threadIdx.x % 4 * 2));
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int2 row = own[i / 2], column = i % 2 ? make_int2(pair.z, pair.w) : make_int2(pair.x, pair.y);
            if (!(TURNED ? allowed(column, row) : allowed(row, column))) s[n][i] = -infinity;
        }
    }
}

// Accumulators of a 16 x 64 product as the left side of the next product.
__device__ inline void pack_left(u32 (&p)[4][4], const float (&c)[8][4]) {
#pragma unroll
    for (int k = 0; k < 4; k++) {
        p[k][0] = pack(c[2 * k][0], c[2 * k][1]);
        p[k][1] = pack(c[2 * k][2], c[2 * k][3]);
        p[k][2] = pack(c[2 * k + 1][0], c[2 * k + 1][1]);
        p[k][3] = pack(c[2 * k + 1][2], c[2 * k + 1][3]);
    }
}

// Writes the two rows of a lane's share of 16 x D accumulators, those below `live`.
template <int D> __device__ inline void store_rows(bf16 *out, long stride, const float (&c)[D / 8][4], int live,
                                                    float low, float high) {
    const int lane = threadIdx.x % 32, row = lane / 4;
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
        const int column = n * 8 + lane % 4 * 2;
        if (row < live) *reinterpret_cast<u32 *>(out + row * stride + column) = pack(c[n][0] * low, c[n][1] * low);
        if (row + 8 < live)
            *reinterpret_cast<u32 *>(out + (row + 8) * stride + column) = pack(c[n][2] * high, c[n][3] * high);
    }
}
