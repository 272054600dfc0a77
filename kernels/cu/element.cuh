// Elements: f32 or bf16 in memory, f32 in registers, eight at a time where the rows allow it.
#pragma once
#include <cuda_bf16.h>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef __nv_bfloat16 bf16;

__device__ inline float to_f32(float x) { return x; }
__device__ inline float to_f32(bf16 x) { return __bfloat162float(x); }
__device__ inline void from_f32(float *out, float x) { *out = x; }
__device__ inline void from_f32(bf16 *out, float x) { *out = __float2bfloat16(x); }

__device__ inline u32 pack(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const u32 *>(&pair);
}

// VEC consecutive elements as they lie in memory: 8, 16 bytes at a time, for rows whose width and address are
// multiples of 8 elements, else 1.
template <typename T, int VEC> struct Pack {
    T raw;
    __device__ void read(const T *in) { raw = *in; }
    __device__ void write(T *out) const { *out = raw; }
    __device__ void get(float (&out)[VEC]) const { out[0] = to_f32(raw); }
    __device__ void set(const float (&in)[VEC]) { from_f32(&raw, in[0]); }
};
template <> struct Pack<bf16, 8> {
    uint4 raw;
    __device__ void read(const bf16 *in) { raw = *reinterpret_cast<const uint4 *>(in); }
    __device__ void write(bf16 *out) const { *reinterpret_cast<uint4 *>(out) = raw; }
    __device__ void get(float (&out)[8]) const {
        const u32 words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            out[2 * i] = __uint_as_float(words[i] << 16);
            out[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
        }
    }
    __device__ void set(const float (&in)[8]) {
        raw = make_uint4(pack(in[0], in[1]), pack(in[2], in[3]), pack(in[4], in[5]), pack(in[6], in[7]));
    }
};
template <> struct Pack<float, 8> {
    float4 a, b;
    __device__ void read(const float *in) {
        a = reinterpret_cast<const float4 *>(in)[0];
        b = reinterpret_cast<const float4 *>(in)[1];
    }
    __device__ void write(float *out) const {
        reinterpret_cast<float4 *>(out)[0] = a;
        reinterpret_cast<float4 *>(out)[1] = b;
    }
    __device__ void get(float (&out)[8]) const {
        out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
        out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
    }
    __device__ void set(const float (&in)[8]) {
        a = make_float4(in[0], in[1], in[2], in[3]);
        b = make_float4(in[4], in[5], in[6], in[7]);
    }
};

template <int VEC, typename T> __device__ inline void load(float (&out)[VEC], const T *in) {
    Pack<T, VEC> pack;
    pack.read(in);
    pack.get(out);
}
template <int VEC, typename T> __device__ inline void store(T *out, const float (&in)[VEC]) {
    Pack<T, VEC> pack;
    pack.set(in);
    pack.write(out);
}

// 1 / sqrt(mean(x^2) + eps), and 0 for a row of zeros whatever eps.
__device__ inline float inverse_rms(float squares, int width, float eps) {
    const float power = squares / width + eps;
    return power > 0.0f ? rsqrtf(power) : 0.0f;
}

__device__ inline float warp_sum(float x) {
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) x += __shfl_xor_sync(0xffffffffu, x, o);
    return x;
}
__device__ inline float warp_max(float x) {
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, o));
    return x;
}

// The sum over a block of at most 32 warps, in a fixed order, given to every thread.
__device__ inline float block_sum(float x) {
    __shared__ float parts[32];
    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = threadIdx.x % 32 < (blockDim.x + 31) / 32 ? parts[threadIdx.x % 32] : 0.0f;
    return warp_sum(x);
}
__device__ inline float block_max(float x) {
    __shared__ float parts[32];
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = threadIdx.x % 32 < (blockDim.x + 31) / 32 ? parts[threadIdx.x % 32] : __int_as_float(0xff800000);
    return warp_max(x);
}
