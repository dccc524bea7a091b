// Forward and backward operators of the training step (native/ops.py).
#include "simd.h"

EXPORT int octo_compiled_for(void) {
#if defined(__AVX512BF16__)
    return __builtin_cpu_supports("avx512bf16") ? 1 : 0;
#elif defined(__AVX2__)
    return __builtin_cpu_supports("avx2") ? 1 : 0;
#else
    return 1;
#endif
}
