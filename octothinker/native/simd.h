// What the operators share: vectors of 16 floats (GCC's own, so any CPU works), bf16 and its dot product, e^x, exports.
#pragma once
#include <cstdint>
#include <cstring>
#ifdef __AVX512F__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // false alarms inside the header (GCC bug 105593)
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

typedef float f32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t i32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t u32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t u16x16 __attribute__((vector_size(32), aligned(2), may_alias));

struct Half { uint16_t bits; };  // one bf16
struct Pair { uint32_t bits; };  // two, the first in the low half

inline f32x16 splat(float x) { return x - f32x16{}; }
inline i32x16 first_lanes(int n) {  // true in lanes 0 to n - 1
    return i32x16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} < n;
}
inline f32x16 larger(f32x16 a, f32x16 b) { return a > b ? a : b; }
inline f32x16 smaller(f32x16 a, f32x16 b) { return a < b ? a : b; }

inline float from_bf16(uint32_t low_half) {
    uint32_t bits = low_half << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
inline f32x16 from_bf16(u16x16 x) { return (f32x16)(__builtin_convertvector(x, u32x16) << 16); }
inline u32x16 rounded(f32x16 x) {  // to the nearest bf16, ties to even, in the high half; garbage in the low one
    u32x16 bits = (u32x16)x;
    return bits + 0x7fff + ((bits >> 16) & 1);
}
inline uint16_t to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}
inline u16x16 to_bf16(f32x16 x) {
#ifdef __AVX512BF16__
    return (u16x16)_mm512_cvtneps_pbh((__m512)x);
#else
    return __builtin_convertvector(rounded(x) >> 16, u16x16);
#endif
}

inline f32x16 load(const float* p) { return *(const f32x16*)p; }
inline f32x16 load(const Half* p) { return from_bf16(*(const u16x16*)p); }
inline void store(float* p, f32x16 x) { *(f32x16*)p = x; }
inline void store(Half* p, f32x16 x) { *(u16x16*)p = to_bf16(x); }
inline float load1(const float* p) { return *p; }
inline float load1(const Half* p) { return from_bf16(p->bits); }
inline void store1(float* p, float x) { *p = x; }
inline void store1(Half* p, float x) { p->bits = to_bf16(x); }

// sum + a * b[0..15], or, of pairs, both products.
inline f32x16 dot(f32x16 sum, float a, const float* b) { return sum + a * load(b); }
inline f32x16 dot(f32x16 sum, Pair a, const Pair* b) {
#ifdef __AVX512BF16__
    return (f32x16)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32((int)a.bits), (__m512bh)_mm512_loadu_si512(b));
#else
    u32x16 pairs = *(const u32x16*)b;
    sum += from_bf16(a.bits) * (f32x16)(pairs << 16);
    return sum + from_bf16(a.bits >> 16) * (f32x16)(pairs & 0xffff0000u);
#endif
}

// The upper lanes over the lower ones, four times: op(lane 0, ..., lane 15) in a fixed order.
template <class Op>
inline float reduce(f32x16 x, Op op) {
    x = op(x, __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    x = op(x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    x = op(x, __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    x = op(x, __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
    return x[0];
}
inline float sum(f32x16 x) {
    return reduce(x, [](f32x16 a, f32x16 b) { return a + b; });
}
inline float largest(f32x16 x) { return reduce(x, larger); }

// e^x within an ulp or two; 0 below -87.33, where numbers stop being normal (the processor makes each subnormal one by microcode:
// masked scores took half of attention's time), and never infinity, which a division under -ffast-math would make NaN.
// x = n ln 2 + f, a series of e^f, times 2^n. (Rounding by a magic constant would not survive -ffast-math, and 2^(x log2 e) is
// off by |x| ulps.)
inline f32x16 exp(f32x16 x) {
    const float log2e = 1.44269504f, ln2 = 0.69314718f, LEAST = -87.33f;
#ifdef __AVX512F__
    const f32x16 in = smaller(larger(x, splat(LEAST)), splat(88.f));
    const f32x16 n = (f32x16)_mm512_roundscale_ps((__m512)(in * log2e), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const f32x16 f = in - n * ln2;
#else
    const f32x16 in = smaller(larger(x, splat(LEAST)), splat(88.f)), raw = in * log2e;
    const i32x16 n = __builtin_convertvector(raw + (raw < 0 ? splat(-0.5f) : splat(0.5f)), i32x16);
    const f32x16 f = in - __builtin_convertvector(n, f32x16) * ln2;
#endif
    f32x16 y = 1.9841270e-4f * f + 1.3888889e-3f;
    y = y * f + 8.3333333e-3f;
    y = y * f + 4.1666667e-2f;
    y = y * f + 1.6666667e-1f;
    y = y * f + 0.5f;
    y = y * f + 1.0f;
    y = y * f + 1.0f;
#ifdef __AVX512F__
    return (f32x16)_mm512_maskz_scalef_ps(_mm512_cmp_ps_mask((__m512)x, (__m512)splat(LEAST), _CMP_GE_OQ), (__m512)y, (__m512)n);
#else
    return x < LEAST ? f32x16{} : y * (f32x16)((n + 127) << 23);
#endif
}
