// The tensor cores of compute capability 9.0 (PTX ISA, "Asynchronous warpgroup level matrix instructions"): a warpgroup
// of four warps multiplies 64 rows at a time, warp w owning rows 16 w to 16 w + 15 with the fragments of mma.m16n8k16,
// and reads the right side, and if it likes the left, from shared memory while its threads do something else.
#pragma once
#include "attention.cuh"

static constexpr int WARPGROUP = 128, THREADS = 2 * WARPGROUP;
// Tiles in shared memory: one that may still be read, one in use, and AHEAD on their way.
static constexpr int STAGES = 4, AHEAD = STAGES - 2;

// A tile of 64 rows lies in shared memory as D / 64 panels of 64 columns: rows of 128 bytes whose 16-byte chunks are
// permuted by the row (the 128-byte swizzle). Panels begin at multiples of 1024 bytes.
static constexpr u32 PANEL = TILE * 128;
__device__ inline u32 panel_at(int row, int chunk) {
    return chunk / 8 * PANEL + row * 128 + ((chunk % 8 ^ row % 8) << 4);
}

// This thread's share of the rows of a batch entry and head, copied to shared memory a tile at a time.
template <int D> struct Source {
    static constexpr int CHUNKS = D / 8, STEP = THREADS / CHUNKS;
    const bf16 *from;
    int stride;
    __device__ Source(const View &v, int batch, int head, int start = 0)
        : from(at<bf16>(v, batch, start + threadIdx.x / CHUNKS, head) + threadIdx.x % CHUNKS * 8), stride(v.time) {}
    // Rows first..first + 64 of `length`, zeros beyond, `shift` elements away.
    __device__ void load(u32 to, int first, int length, long shift = 0) const {
        const int chunk = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS;
        const bf16 *rows = from + (long)first * stride + shift;
#pragma unroll
        for (int i = 0; i < TILE / STEP; i++)
            copy16(to + panel_at(row + i * STEP, chunk), rows + (long)stride * (i * STEP), first + row + i * STEP < length);
    }
};

// Shared memory that this thread wrote, finished copies included, becomes visible to the tensor cores; a barrier then
// tells the other threads.
__device__ inline void publish() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// A panel as the tensor cores take it: the address / 16 in bits 0..13, the distance of groups of eight rows (1024
// bytes) / 16 in bits 32..45, and the 128-byte swizzle in bits 62..63. The leading distance (bits 16..29) would matter
// only between panels, which are named one by one. The same words serve both majors: where columns are the inner
// dimension of the product, a step of 16 is 32 bytes to the right, and where rows are, 2048 bytes down.
__device__ inline u64 describe(u32 panel) { return u64((panel & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62; }
static constexpr u64 NEXT_PANEL = PANEL >> 4, RIGHT = 32 >> 4, DOWN = 2048 >> 4;

// Order: `begin` after the registers of a product were last touched by ordinary instructions, then products, then
// `commit`; after `wait`, `settle` keeps the compiler from reading sums earlier.
__device__ inline void begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int LEFT> __device__ inline void wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory"); }
template <int N> __device__ inline void settle(float (&c)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) asm volatile("" : "+f"(c[n][i])::"memory");
    }
}

// c[64 x 64] (+)= A[64 x 16] B[16 x 64]. DOWNWARD: B's rows are rows of the panel (it is read transposed); otherwise
// B's columns are. A comes from registers or, never transposed, from a panel.
template <bool DOWNWARD> __device__ inline void wgmma(float (&c)[8][4], const u32 (&a)[4], u64 b, bool add) {
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %38, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
                 "{%32, %33, %34, %35}, %36, add, 1, 1, %37;\n}\n"
                 :"+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3]),
                 "+f"(c[1][0]), "+f"(c[1][1]), "+f"(c[1][2]), "+f"(c[1][3]),
                 "+f"(c[2][0]), "+f"(c[2][1]), "+f"(c[2][2]), "+f"(c[2][3]),
                 "+f"(c[3][0]), "+f"(c[3][1]), "+f"(c[3][2]), "+f"(c[3][3]),
                 "+f"(c[4][0]), "+f"(c[4][1]), "+f"(c[4][2]), "+f"(c[4][3]),
                 "+f"(c[5][0]), "+f"(c[5][1]), "+f"(c[5][2]), "+f"(c[5][3]),
                 "+f"(c[6][0]), "+f"(c[6][1]), "+f"(c[6][2]), "+f"(c[6][3]),
                 "+f"(c[7][0]), "+f"(c[7][1]), "+f"(c[7][2]), "+f"(c[7][3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(DOWNWARD ? 1 : 0), "r"(int(add))
                 : "memory");
}
template <bool DOWNWARD> __device__ inline void wgmma(float (&c)[8][4], u64 a, u64 b, bool add) {
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %35, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
                 "%32, %33, add, 1, 1, 0, %34;\n}\n"
                 :"+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3]),
                 "+f"(c[1][0]), "+f"(c[1][1]), "+f"(c[1][2]), "+f"(c[1][3]),
                 "+f"(c[2][0]), "+f"(c[2][1]), "+f"(c[2][2]), "+f"(c[2][3]),
                 "+f"(c[3][0]), "+f"(c[3][1]), "+f"(c[3][2]), "+f"(c[3][3]),
                 "+f"(c[4][0]), "+f"(c[4][1]), "+f"(c[4][2]), "+f"(c[4][3]),
                 "+f"(c[5][0]), "+f"(c[5][1]), "+f"(c[5][2]), "+f"(c[5][3]),
                 "+f"(c[6][0]), "+f"(c[6][1]), "+f"(c[6][2]), "+f"(c[6][3]),
                 "+f"(c[7][0]), "+f"(c[7][1]), "+f"(c[7][2]), "+f"(c[7][3])
                 : "l"(a), "l"(b), "n"(DOWNWARD ? 1 : 0), "r"(int(add))
                 : "memory");
}

// c[64 x 64] = A B^T, where A and B are tiles of 64 rows of D.
template <int D> __device__ inline void times_rows(float (&c)[8][4], u64 a, u64 b) {
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        const u64 step = k / 4 * NEXT_PANEL + k % 4 * RIGHT;
        wgmma<false>(c, a + step, b + step, k > 0);
    }
}

// c[64 x D] += P[64 x 64] B, where P is packed sums and B a tile of 64 rows of D.
template <int D> __device__ inline void add_times(float (&c)[D / 8][4], const u32 (&p)[4][4], u64 b) {
#pragma unroll
    for (int panel = 0; panel < D / 64; panel++) {
        auto &part = reinterpret_cast<float(&)[8][4]>(c[panel * 8]);
#pragma unroll
        for (int k = 0; k < 4; k++) wgmma<true>(part, p[k], b + panel * NEXT_PANEL + k * DOWN, true);
    }
}
