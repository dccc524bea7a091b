// Forward and backward operators of the training step, called from native/ops.py, which says what each computes.
//
// `Half` is bf16, and every operator exists for fp32 too; sums are fp32 in both. Work is cut in pieces that do not depend on
// the number of threads, and every sum has a fixed order: any number of threads gives the same bits.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tile.h"

using namespace tile;

namespace {

constexpr int PIECE = 64;  // rows of a piece of work

inline f32x16 sigmoid(f32x16 x) { return 1.0f / (1.0f + exp(-x)); }

// ---- residual add + RMSNorm --------------------------------------------------------------------------------------------

template <class S>
void add_norm(long n, int h, const float* x, const S* delta, const float* w, float eps, float* y, S* out, float* scale) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) {
        const float* row = x + i * h;
        float total = 0;
        if (delta) {
            for (int j = 0; j < h; j++) y[i * h + j] = row[j] + load1(delta + i * h + j);
            row = y + i * h;
        }
        for (int j = 0; j < h; j++) total += row[j] * row[j];
        float r = scale[i] = 1.0f / std::sqrt(total / h + eps);
        int j = 0;
        for (; j + 16 <= h; j += 16) store(out + i * h + j, load(row + j) * r * load(w + j));
        for (; j < h; j++) store1(out + i * h + j, row[j] * r * w[j]);
    }
}

template <class S>
void add_norm_backward(long n, int h, const float* y, const float* w, const float* scale, const S* dout, const float* dy,
                       float* dx, S* ddelta, float* dw) {
    long pieces = (n + PIECE - 1) / PIECE;
    std::vector<float> partial(pieces * h);
#pragma omp parallel for schedule(static)
    for (long p = 0; p < pieces; p++) {
        float* sums = partial.data() + p * h;
        for (long i = p * PIECE; i < std::min(n, (p + 1) * PIECE); i++) {
            const float *row = y + i * h, r = scale[i];
            const S* g = dout + i * h;
            float along = 0;  // mean of gradient * normed: the part of the gradient that only stretches the row
            for (int j = 0; j < h; j++) along += load1(g + j) * w[j] * row[j];
            along *= r * r / h;
            for (int j = 0; j < h; j++) {
                float gj = load1(g + j), d = (gj * w[j] - row[j] * along) * r;
                sums[j] += gj * row[j] * r;
                dx[i * h + j] = d + (dy ? dy[i * h + j] : 0.0f);
            }
            if (ddelta)
                for (int j = 0; j < h; j++) store1(ddelta + i * h + j, dx[i * h + j]);
        }
    }
    for (int j = 0; j < h; j++) dw[j] = 0;
    for (long p = 0; p < pieces; p++)
        for (int j = 0; j < h; j++) dw[j] += partial[p * h + j];
}

// ---- SwiGLU: gate and up are the halves of each row ----------------------------------------------------------------------

template <class S>
void swiglu(long n, int width, const S* both, S* out) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) {
        const S *gate = both + 2 * i * width, *up = gate + width;
        int j = 0;
        for (; j + 16 <= width; j += 16) {
            f32x16 g = load(gate + j);
            store(out + i * width + j, g * sigmoid(g) * load(up + j));
        }
        for (; j < width; j++) {
            float g = load1(gate + j);
            store1(out + i * width + j, g / (1.0f + std::exp(-g)) * load1(up + j));
        }
    }
}

// `out` is computed again on the way, for the gradient of down_proj.
template <class S>
void swiglu_backward(long n, int width, const S* both, const S* dout, S* out, S* dboth) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) {
        const S *gate = both + 2 * i * width, *up = gate + width;
        S *dgate = dboth + 2 * i * width, *dup = dgate + width;
        int j = 0;
        for (; j + 16 <= width; j += 16) {
            f32x16 g = load(gate + j), u = load(up + j), d = load(dout + i * width + j), s = sigmoid(g);
            store(out + i * width + j, g * s * u);
            store(dgate + j, d * u * s * (1.0f + g * (1.0f - s)));
            store(dup + j, d * g * s);
        }
        for (; j < width; j++) {
            float g = load1(gate + j), u = load1(up + j), d = load1(dout + i * width + j), s = 1.0f / (1.0f + std::exp(-g));
            store1(out + i * width + j, g * s * u);
            store1(dgate + j, d * u * s * (1.0f + g * (1.0f - s)));
            store1(dup + j, d * g * s);
        }
    }
}

// ---- log-probabilities over the vocabulary -------------------------------------------------------------------------------

template <class S>
void logprob(long n, long vocab, const S* logits, const int64_t* target, float inverse_t, float* logp, float* lse) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) {
        const S* row = logits + i * vocab;
        f32x16 most = splat(-1e30f), total = {};
        long j = 0;
        for (; j + 16 <= vocab; j += 16) most = larger(most, load(row + j));
        float top = largest(most), rest = 0;
        for (; j < vocab; j++) top = std::max(top, load1(row + j));
        for (j = 0; j + 16 <= vocab; j += 16) total += exp((load(row + j) - top) * inverse_t);
        for (; j < vocab; j++) rest += std::exp((load1(row + j) - top) * inverse_t);
        lse[i] = top * inverse_t + std::log(sum(total) + rest);
        logp[i] = target[i] < 0 ? 0.0f : load1(row + target[i]) * inverse_t - lse[i];
    }
}

// In place: logits -> upstream * d logp[target] / d logits; 0 where the target is negative.
template <class S>
void logprob_backward(long n, long vocab, S* logits, const int64_t* target, float inverse_t, const float* lse,
                      const float* upstream) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) {
        S* row = logits + i * vocab;
        if (target[i] < 0) {
            memset((void*)row, 0, vocab * sizeof(S));
            continue;
        }
        float g = upstream[i] * inverse_t;
        float hit = g * (1.0f - std::exp(load1(row + target[i]) * inverse_t - lse[i]));
        long j = 0;
        for (; j + 16 <= vocab; j += 16) store(row + j, -g * exp(load(row + j) * inverse_t - lse[i]));
        for (; j < vocab; j++) store1(row + j, -g * std::exp(load1(row + j) * inverse_t - lse[i]));
        store1(row + target[i], hit);
    }
}

}  // namespace

// ---- exports: `half` chooses bf16 -----------------------------------------------------------------------------------------

EXPORT void octo_add_norm(long half, long n, long h, const float* x, const void* delta, const float* w, float eps, float* y,
                          void* out, float* scale) {
    EITHER(add_norm(n, h, x, (const float*)delta, w, eps, y, (float*)out, scale),
           add_norm(n, h, x, (const Half*)delta, w, eps, y, (Half*)out, scale))
}
EXPORT void octo_add_norm_backward(long half, long n, long h, const float* y, const float* w, const float* scale, const void* dout,
                                   const float* dy, float* dx, void* ddelta, float* dw) {
    EITHER(add_norm_backward(n, h, y, w, scale, (const float*)dout, dy, dx, (float*)ddelta, dw),
           add_norm_backward(n, h, y, w, scale, (const Half*)dout, dy, dx, (Half*)ddelta, dw))
}
EXPORT void octo_swiglu(long half, long n, long width, const void* both, void* out) {
    EITHER(swiglu(n, width, (const float*)both, (float*)out), swiglu(n, width, (const Half*)both, (Half*)out))
}
EXPORT void octo_swiglu_backward(long half, long n, long width, const void* both, const void* dout, void* out, void* dboth) {
    EITHER(swiglu_backward(n, width, (const float*)both, (const float*)dout, (float*)out, (float*)dboth),
           swiglu_backward(n, width, (const Half*)both, (const Half*)dout, (Half*)out, (Half*)dboth))
}
EXPORT void octo_logprob(long half, long n, long vocab, const void* logits, const int64_t* target, float inverse_t, float* logp,
                         float* lse) {
    EITHER(logprob(n, vocab, (const float*)logits, target, inverse_t, logp, lse),
           logprob(n, vocab, (const Half*)logits, target, inverse_t, logp, lse))
}
EXPORT void octo_logprob_backward(long half, long n, long vocab, void* logits, const int64_t* target, float inverse_t,
                                  const float* lse, const float* upstream) {
    EITHER(logprob_backward(n, vocab, (float*)logits, target, inverse_t, lse, upstream),
           logprob_backward(n, vocab, (Half*)logits, target, inverse_t, lse, upstream))
}
EXPORT int octo_compiled_for(void) {
#if defined(__AVX512BF16__)
    return __builtin_cpu_supports("avx512bf16") ? 1 : 0;
#elif defined(__AVX2__)
    return __builtin_cpu_supports("avx2") ? 1 : 0;
#else
    return 1;
#endif
}
