// Small matrix products inside the first-level cache, on fp32 or on bf16 with fp32 sums: the attention of train.cpp.
//
// A product is C[m][n] (+)= sum_k A[m][k] B[k][n], where a "unit" of A and B is one float, or two bf16 that are neighbours
// along k (`Pair`), so that one code serves both: the bf16 dot-product instruction takes pairs.
#pragma once
#ifdef __AVX512F__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // false alarms inside the header (GCC bug 105593)
#include <immintrin.h>
#endif
#include "simd.h"

namespace tile {

typedef int32_t i32x16 __attribute__((vector_size(64), aligned(4)));
typedef uint32_t u32x16 __attribute__((vector_size(64), aligned(4)));
typedef uint16_t u16x16 __attribute__((vector_size(32), aligned(2)));

struct Half { uint16_t bits; };  // one bf16
struct Pair { uint32_t bits; };  // two, the first in the low half

template <class S> struct Unit;
template <> struct Unit<float> { typedef float type; static constexpr int width = 1; };
template <> struct Unit<Half> { typedef Pair type; static constexpr int width = 2; };

inline f32x16 all(float x) { return x - (f32x16){}; }
inline f32x16 bits_to_float(u32x16 x) { return (f32x16)x; }
inline f32x16 load(const float* p) { return *(const f32x16*)p; }
inline f32x16 load(const Half* p) {
    return bits_to_float(__builtin_convertvector(*(const u16x16*)p, u32x16) << 16);
}
inline float load1(const float* p) { return *p; }
inline float load1(const Half* p) {
    uint32_t wide = (uint32_t)p->bits << 16;
    float x;
    memcpy(&x, &wide, 4);
    return x;
}
inline u32x16 rounded(f32x16 x) {  // to the nearest bf16, ties to even, in the high half; garbage in the low one
    u32x16 u = (u32x16)x;
    return u + 0x7fff + ((u >> 16) & 1);
}
inline void store(float* p, f32x16 x) { *(f32x16*)p = x; }
inline void store(Half* p, f32x16 x) {
#ifdef __AVX512BF16__
    _mm256_storeu_si256((__m256i*)p, (__m256i)_mm512_cvtneps_pbh((__m512)x));
#else
    *(u16x16*)p = __builtin_convertvector(rounded(x) >> 16, u16x16);
#endif
}
// Two rows of units: 16 floats each; or bf16 pairs along k when the rows are neighbours along k, one row then.
inline void store_rows(float* p, long stride, f32x16 first, f32x16 second) {
    store(p, first);
    store(p + stride, second);
}
inline void store1(float* p, float x) { *p = x; }
inline void store1(Half* p, float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    p->bits = (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

inline void store_rows(Pair* p, long, f32x16 low, f32x16 high) {
#ifdef __AVX512BF16__
    u32x16 first = __builtin_convertvector((u16x16)_mm512_cvtneps_pbh((__m512)low), u32x16);
    u32x16 second = __builtin_convertvector((u16x16)_mm512_cvtneps_pbh((__m512)high), u32x16);
    *(u32x16*)p = first | second << 16;
#else
    *(u32x16*)p = (rounded(low) >> 16) | (rounded(high) & 0xffff0000u);
#endif
}

inline f32x16 larger(f32x16 a, f32x16 b) { return a > b ? a : b; }
template <class F>
inline float fold(f32x16 x, F both) {
    x = both(x, __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    x = both(x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    x = both(x, __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    x = both(x, __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
    return x[0];
}
inline float sum(f32x16 x) {
    return fold(x, [](f32x16 a, f32x16 b) { return a + b; });
}
inline float largest(f32x16 x) { return fold(x, larger); }

// e^x for x up to 87, within an ulp or two; 0 below -104. x = n ln 2 + f, a series of e^f, times 2^n. (Rounding by a magic
// constant would not survive -ffast-math, and 2^(x log2 e) is off by |x| ulps.)
inline f32x16 expv(f32x16 x) {
    const float log2e = 1.44269504f, ln2 = 0.69314718f;
#ifdef __AVX512F__
    const f32x16 in = larger(x, all(-104.f));
    const f32x16 n = (f32x16)_mm512_roundscale_ps((__m512)(in * log2e), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const f32x16 f = in - n * ln2;
#else
    const f32x16 in = larger(x, all(-87.f)), raw = in * log2e;
    const i32x16 n = __builtin_convertvector(raw + (raw < 0 ? all(-0.5f) : all(0.5f)), i32x16);
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
    return (f32x16)_mm512_scalef_ps((__m512)y, (__m512)n);
#else
    return x < -87.f ? (f32x16){} : y * (f32x16)((n + 127) << 23);
#endif
}

inline f32x16 dot(f32x16 sum, float a, const float* b) { return sum + a * *(const f32x16*)b; }
inline f32x16 dot(f32x16 sum, Pair a, const Pair* b) {
#ifdef __AVX512BF16__
    return (f32x16)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32((int)a.bits), (__m512bh)_mm512_loadu_si512(b));
#else
    u32x16 v = *(const u32x16*)b, w = a.bits - (u32x16){};
    sum += bits_to_float(w << 16) * bits_to_float(v << 16);
    return sum + bits_to_float(w & 0xffff0000u) * bits_to_float(v & 0xffff0000u);
#endif
}

// A block of MR rows and NV vectors of C, held in registers: the pragmas unroll early enough for the compiler to do so.
template <class U, int MR, int NV>
inline void block(int K, const U* a, long am, long ak, const U* b, long bk, float* c, long cm, bool add) {
    typedef float vector __attribute__((vector_size(64)));
    vector acc[MR][NV];
#pragma GCC unroll 16
    for (int m = 0; m < MR; m++)
#pragma GCC unroll 4
        for (int n = 0; n < NV; n++) acc[m][n] = add ? load(c + m * cm + 16 * n) : (f32x16){};
    for (int k = 0; k < K; k++) {
#pragma GCC unroll 16
        for (int m = 0; m < MR; m++)
#pragma GCC unroll 4
            for (int n = 0; n < NV; n++) acc[m][n] = dot(acc[m][n], a[m * am + k * ak], b + k * bk + 16 * n);
    }
#pragma GCC unroll 16
    for (int m = 0; m < MR; m++)
#pragma GCC unroll 4
        for (int n = 0; n < NV; n++) store(c + m * cm + 16 * n, acc[m][n]);
}

template <class U, int MR, int NV>
inline void rows(int M, int K, const U* a, long am, long ak, const U* b, long bk, float* c, long cm, bool add) {
    int m = 0;
    for (; m + MR <= M; m += MR) block<U, MR, NV>(K, a + m * am, am, ak, b, bk, c + m * cm, cm, add);
    for (; m + 2 <= M; m += 2) block<U, 2, NV>(K, a + m * am, am, ak, b, bk, c + m * cm, cm, add);
    if (m < M) block<U, 1, NV>(K, a + m * am, am, ak, b, bk, c + m * cm, cm, add);
}

// C (M x 16 vectors) (+)= A (M x K units; strides am, ak) B (K x 16 vectors, row stride bk).
template <class U>
void product(int M, int vectors, int K, const U* a, long am, long ak, const U* b, long bk, float* c, long cm, bool add) {
    for (; vectors > 0; vectors -= 4, b += 64, c += 64) {
        if (vectors >= 4) rows<U, 6, 4>(M, K, a, am, ak, b, bk, c, cm, add);
        else if (vectors == 3) rows<U, 8, 3>(M, K, a, am, ak, b, bk, c, cm, add);
        else if (vectors == 2) rows<U, 12, 2>(M, K, a, am, ak, b, bk, c, cm, add);
        else rows<U, 12, 1>(M, K, a, am, ak, b, bk, c, cm, add);
    }
}

}  // namespace tile

// For an exported operator: `half` chooses bf16.
#define EITHER(call_float, call_half) \
    if (half) call_half;              \
    else call_float;
