// Small matrix products inside the first-level cache, on fp32 or on bf16 with fp32 sums: the attention of train.cpp.
//
// A product is C[m][n] (+)= sum_k A[m][k] B[k][n], where a "unit" of A and B is one float, or two bf16 that are neighbours
// along k (`Pair`), so that one code serves both: the bf16 dot-product instruction takes pairs.
#pragma once
#include "simd.h"

namespace tile {

template <class S> struct Unit;
template <> struct Unit<float> { typedef float type; static constexpr int width = 1; };
template <> struct Unit<Half> { typedef Pair type; static constexpr int width = 2; };

// Two rows of units: 16 floats each; or bf16 pairs along k when the rows are neighbours along k, one row then.
inline void store_rows(float* p, long stride, f32x16 first, f32x16 second) {
    store(p, first);
    store(p + stride, second);
}
inline void store_rows(Pair* p, long, f32x16 low, f32x16 high) {
#ifdef __AVX512BF16__
    *(u32x16*)p = __builtin_convertvector(to_bf16(low), u32x16) | __builtin_convertvector(to_bf16(high), u32x16) << 16;
#else
    *(u32x16*)p = (rounded(low) >> 16) | (rounded(high) & 0xffff0000u);
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
