// Sums in a fixed order: of the columns of a matrix, and of squares.
#include "element.cuh"

// out[y][c] = sum of in[r][c] over the rows r of chunk y. Block of 32 columns by 8 rows; grid (columns / 32, chunks).
template <typename T> __device__ void columns(const T *in, float *out, int rows, int width) {
    __shared__ float parts[8][33];
    const int c = blockIdx.x * 32 + threadIdx.x, chunk = (rows + gridDim.y - 1) / gridDim.y;
    const int start = blockIdx.y * chunk, end = min(rows, start + chunk);
    float sum = 0.0f;
    if (c < width)
        for (int r = start + threadIdx.y; r < end; r += 8) sum += to_f32(in[(long)r * width + c]);
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < width) {
#pragma unroll
        for (int i = 1; i < 8; i++) sum += parts[i][threadIdx.x];
        out[(long)blockIdx.y * width + c] = sum;
    }
}

extern "C" __global__ void column_sums_f32(const float *in, float *out, int rows, int width) {
    columns(in, out, rows, width);
}
extern "C" __global__ void column_sums_bf16(const bf16 *in, float *out, int rows, int width) {
    columns(in, out, rows, width);
}

// One partial sum of squares a block.
extern "C" __global__ void squares(const float *in, float *out, long count) {
    float sum = 0.0f;
    for (long at = blockIdx.x * (long)blockDim.x + threadIdx.x; at < count; at += (long)gridDim.x * blockDim.x)
        sum += in[at] * in[at];
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

// The sum of a short array, by one block, in f64: the global norm is compared between machines.
extern "C" __global__ void total(const float *in, float *out, int count) {
    __shared__ double parts[256];
    double sum = 0.0;
    for (int at = threadIdx.x; at < count; at += 256) sum += in[at];
    parts[threadIdx.x] = sum;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    }
    if (threadIdx.x == 0) *out = (float)parts[0];
}
