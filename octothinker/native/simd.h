// What decode.cpp and train.cpp share: vectors of 16 floats (GCC's own, so any CPU works), bf16 conversion, exports.
#pragma once
#include <cstdint>
#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))

typedef float f32x16 __attribute__((vector_size(64), aligned(4)));
