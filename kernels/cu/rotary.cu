// Per-head RMS norm, gain and rotation of the pairs (i, i + D/2) in one pass. D / 8 lanes take a head vector, 8
// consecutive elements each, so a lane's partner in the rotation is D / 16 lanes away.
#include "element.cuh"

struct Heads {
    long batch, time, head;           // strides of x in elements
    int times, heads, rows, width;    // T, H, B * T * H, D
    int angles;                       // rows of the angle tables: T, or B * T
    float eps;
};

struct Lane {
    int lanes, part, first, step;
    bool low;
    __device__ explicit Lane(int width)
        : lanes(width / 8), part(threadIdx.x % lanes), first((blockIdx.x * blockDim.x + threadIdx.x) / lanes),
          step(gridDim.x * blockDim.x / lanes), low(part < lanes / 2) {}
    __device__ float sum(float x) const {
        for (int o = lanes / 2; o > 0; o >>= 1) x += __shfl_xor_sync(0xffffffffu, x, o);
        return x;
    }
};

// (a, b) -> (a cos - b sin, b cos + a sin), with sin negated for the inverse.
__device__ inline void rotate(float (&v)[8], const Lane &lane, const float *cos, const float *sin, long at,
                              float direction) {
    float c[8], s[8];
    load<8>(c, cos + at);
    load<8>(s, sin + at);
    const float sign = lane.low ? -direction : direction;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const float partner = __shfl_xor_sync(0xffffffffu, v[i], lane.lanes / 2);
        v[i] = v[i] * c[i] + sign * s[i] * partner;
    }
}

__device__ inline long angle_at(const Heads &h, const Lane &lane, int row) {
    const int half = h.width / 2;
    return (long)(row / h.heads % h.angles) * half + (lane.low ? lane.part : lane.part - lane.lanes / 2) * 8;
}

__device__ inline long x_at(const Heads &h, int row) {
    const int head = row % h.heads, token = row / h.heads;
    return token / h.times * h.batch + token % h.times * h.time + head * h.head;
}

__device__ inline float inverse(float squares, int width, float eps) {
    const float power = squares / width + eps;
    return power > 0.0f ? rsqrtf(power) : 0.0f;
}

template <typename T>
__device__ void forward(const T *x, const float *gain, const float *cos, const float *sin, T *y, const Heads &h) {
    const Lane lane(h.width);
    float g[8];
    load<8>(g, gain + lane.part * 8);
    // All lanes of a warp stay in the loop together, for the shuffles.
    for (int base = lane.first; base - lane.first < h.rows; base += lane.step) {
        const bool live = base < h.rows;
        const int row = live ? base : h.rows - 1;
        float v[8], squares = 0.0f;
        load<8>(v, x + x_at(h, row) + lane.part * 8);
#pragma unroll
        for (int i = 0; i < 8; i++) squares += v[i] * v[i];
        const float r = inverse(lane.sum(squares), h.width, h.eps);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] *= r * g[i];
        rotate(v, lane, cos, sin, angle_at(h, lane, row), 1.0f);
        if (live) store<8>(y + (long)row * h.width + lane.part * 8, v);
    }
}

// dy contiguous; partial [gridDim.x, D]. Shared memory: blockDim.x * 8 floats.
template <typename T>
__device__ void backward(const T *x, const float *gain, const float *cos, const float *sin, const T *dy, T *dx,
                         float *partial, const Heads &h) {
    extern __shared__ float sums[];
    const Lane lane(h.width);
    float g[8], dgain[8] = {};
    load<8>(g, gain + lane.part * 8);
    for (int base = lane.first; base - lane.first < h.rows; base += lane.step) {
        const bool live = base < h.rows;
        const int row = live ? base : h.rows - 1;
        const long at = (long)row * h.width + lane.part * 8;
        float v[8], d[8], squares = 0.0f, dot = 0.0f;
        load<8>(v, x + x_at(h, row) + lane.part * 8);
        load<8>(d, dy + at);
        rotate(d, lane, cos, sin, angle_at(h, lane, row), -1.0f);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            squares += v[i] * v[i];
            dot += v[i] * d[i] * g[i];
        }
        const float r = inverse(lane.sum(squares), h.width, h.eps);
        const float pull = lane.sum(dot) * r * r * r / h.width;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (live) dgain[i] += d[i] * v[i] * r;
            v[i] = d[i] * g[i] * r - v[i] * pull;
        }
        if (live) store<8>(dx + at, v);
    }
#pragma unroll
    for (int i = 0; i < 8; i++) sums[threadIdx.x * 8 + i] = dgain[i];
    __syncthreads();
    for (int c = threadIdx.x; c < h.width; c += blockDim.x) {
        float sum = 0.0f;
        for (int at = c; at < (int)blockDim.x * 8; at += h.width) sum += sums[at];
        partial[(long)blockIdx.x * h.width + c] = sum;
    }
}

#define ROTARY(T, name)                                                                                               \
    extern "C" __global__ void rotary_forward_##name(const T *x, const float *gain, const float *cos,                 \
                                                     const float *sin, T *y, Heads h) {                               \
        forward(x, gain, cos, sin, y, h);                                                                             \
    }                                                                                                                 \
    extern "C" __global__ void rotary_backward_##name(const T *x, const float *gain, const float *cos,                \
                                                      const float *sin, const T *dy, T *dx, float *partial, Heads h) { \
        backward(x, gain, cos, sin, dy, dx, partial, h);                                                              \
    }
ROTARY(float, f32)
ROTARY(bf16, bf16)
