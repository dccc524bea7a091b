// What decode.cpp and train.cpp share: vectors of 16 floats (GCC's own, so any CPU works), bf16 conversion, exports.
#pragma once
#include <cstdint>
#include <cstring>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

typedef float f32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t i32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t u32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t u16x16 __attribute__((vector_size(32), aligned(2), may_alias));

inline f32x16 load(const float* p) { return *(const f32x16*)p; }
inline void store(float* p, f32x16 v) { *(f32x16*)p = v; }
inline f32x16 splat(float x) { return x - f32x16{}; }
inline i32x16 first_lanes(int n) {  // true in lanes 0 to n - 1
    return i32x16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} < n;
}
inline f32x16 larger(f32x16 a, f32x16 b) { return a > b ? a : b; }
inline f32x16 smaller(f32x16 a, f32x16 b) { return a < b ? a : b; }

// The upper lanes over the lower ones, four times: op(lane 0, ..., lane 15) in a fixed order.
template <class Op>
inline float reduce(f32x16 v, Op op) {
    v = op(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    v = op(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    v = op(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    v = op(v, __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
    return v[0];
}
inline float sum(f32x16 v) {
    return reduce(v, [](f32x16 a, f32x16 b) { return a + b; });
}
inline float largest(f32x16 v) { return reduce(v, larger); }

// e^x to 2e-7 (relative), 0 and infinity replaced by 4e-38 and 2e38. x = (n + f) ln 2 with |f| <= 1/2; polynomial of Cephes.
inline f32x16 exp(f32x16 x) {
    const float log2e = 1.44269504088896341f;
    x = smaller(larger(x, splat(-86.f)), splat(88.f));
    i32x16 n = __builtin_convertvector(x * log2e + 128.5f, i32x16) - 128;  // rounds to nearest: the sum is positive
    f32x16 f = x * log2e - __builtin_convertvector(n, f32x16);
    f32x16 p = splat(1.535336188319500e-4f);
    p = p * f + 1.339887440266574e-3f;
    p = p * f + 9.618437357674640e-3f;
    p = p * f + 5.550332471162809e-2f;
    p = p * f + 2.402264791363012e-1f;
    p = p * f + 6.931472028550421e-1f;
    p = p * f + 1.f;
    return (f32x16)((i32x16)p + (n << 23));
}

inline u16x16 to_bf16(f32x16 v) {  // round to nearest even
#ifdef __AVX512BF16__
    return (u16x16)_mm512_cvtneps_pbh((__m512)v);
#else
    u32x16 bits = (u32x16)v;
    return __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, u16x16);
#endif
}
inline uint16_t to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}
inline float from_bf16(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, 4);
    return y;
}
