// Sums of the columns of a matrix, in a fixed order.
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
