// One AdamW step on one parameter (Loshchilov and Hutter 2019, algorithm 2), with clipping and a moving average.

struct Step {
    float beta1, beta2, eps, rate, keep, root, ema;    // rate = lr / bias1, keep = 1 - lr wd, root = 1 / sqrt(bias2)
};

extern "C" __global__ void adamw(float *param, const float *grad, float *m, float *v, float *average,
                                 const float *clip, long count, Step s) {
    const float scale = *clip;
    for (long at = blockIdx.x * (long)blockDim.x + threadIdx.x; at < count; at += (long)gridDim.x * blockDim.x) {
        const float g = grad[at] * scale;
        const float first = s.beta1 * m[at] + (1.0f - s.beta1) * g;
        const float second = s.beta2 * v[at] + (1.0f - s.beta2) * g * g;
        const float p = s.keep * param[at] - s.rate * first / (sqrtf(second) * s.root + s.eps);
        m[at] = first;
        v[at] = second;
        param[at] = p;
        if (average) average[at] += (1.0f - s.ema) * (p - average[at]);
    }
}
