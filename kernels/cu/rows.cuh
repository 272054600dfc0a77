// Rows that a warp takes, one after another: walking them, keeping them, and summing over them.
#pragma once
#include "element.cuh"

// Calls body(step, column) for the columns of a lane. With STEPS the row is at most 32 * VEC * STEPS wide and the loop
// is unrolled, so that what it keeps for each step stays in registers.
template <int VEC, int STEPS, typename Body> __device__ inline void over_row(int width, Body body) {
    const int lane = threadIdx.x;
    if (STEPS > 0) {
#pragma unroll
        for (int s = 0; s < STEPS; s++)
            if ((s * 32 + lane) * VEC < width) body(s, (s * 32 + lane) * VEC);
    } else {
        for (int c = lane * VEC; c < width; c += 32 * VEC) body(0, c);
    }
}

// A row that is needed twice: kept in registers, or read again if it is wide.
template <typename T, int VEC, int STEPS> struct Row {
    Pack<T, VEC> kept[STEPS > 0 ? STEPS : 1];
    const T *from;
    __device__ explicit Row(const T *from) : from(from) {}
    __device__ void read(int step, int c) { kept[step].read(from + c); }
    __device__ void get(float (&out)[VEC], int step, int c) {
        if (STEPS == 0) kept[0].read(from + c);
        kept[step].get(out);
    }
};

// Adds up what each warp of a block summed for every column: into row blockIdx.x of `partial`, [gridDim.x, width].
// `scratch` has blockDim.y * width floats; warps that keep no registers (STEPS is 0) summed there already.
template <int VEC, int STEPS>
__device__ inline void sum_of_block(const float (&sums)[STEPS > 0 ? STEPS : 1][VEC], float *scratch, float *partial,
                                    int width) {
    if (STEPS > 0)
        over_row<VEC, STEPS>(width, [&](int s, int c) { store<VEC>(scratch + threadIdx.y * width + c, sums[s]); });
    __syncthreads();
    for (int c = threadIdx.y * 32 + threadIdx.x; c < width; c += 32 * blockDim.y) {
        float sum = 0.0f;
        for (int w = 0; w < (int)blockDim.y; w++) sum += scratch[w * width + c];
        partial[(long)blockIdx.x * width + c] = sum;
    }
}
