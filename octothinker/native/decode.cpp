// Decoding with a KV cache (model/engine.py).
#include "simd.h"
