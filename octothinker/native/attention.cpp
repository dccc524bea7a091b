// Rotary embedding and attention of the training step, forward and backward (native/ops.py: attention).
//
// Tiles of scores live in the first-level cache; nothing of size tokens x tokens is ever held (Dao et al. 2022). As in
// train.cpp, `Half` is bf16, sums are fp32, and any number of threads gives the same bits.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "tile.h"

using namespace tile;

namespace {

template <class T>
struct Buffer {  // uninitialised, unlike std::vector: zeroing took as long as packing
    std::unique_ptr<T[]> data;
    explicit Buffer(long n) : data(new T[n]) {}
    T* operator+(long i) { return data.get() + i; }
    const T* operator+(long i) const { return data.get() + i; }
};

// Tokens of all rows lie one after the other. A span is a run of tokens (a document, a prompt, a response) that attends
// causally to itself and wholly to its parent span, an earlier one (begin = end: none). Spans that hang together through
// parents stand together: a family. Query blocks never cross a span, so a block's keys are one or two ranges.

constexpr int BLOCK = 64;  // queries and keys of a tile: scores of 16 KB

struct Span { int32_t begin, end, parent_begin, parent_end; };

struct Shape {
    int tokens, heads, kv_heads, dim;  // dim is even
    int padded() const { return (dim + 15) / 16 * 16; }
    int width() const { return (heads + 2 * kv_heads) * dim; }
    // Tiles may read past the last token. Rows of `slots` floats lie an odd number of pages and four cache lines apart: a tile
    // has one in each of `dim` rows, and these must not compete for the same few places of the TLB and the first-level cache.
    int slots() const { return (((tokens + 15) / 16 * 16 + BLOCK + 1023) / 1024 | 1) * 1024 + 64; }
};

// Rotates one head of one token, half-split; `sign` -1 rotates back. x and out may be the same.
template <class A, class B>
inline void rotate(int dim, const A* x, const float* cos, const float* sin, float sign, B* out) {
    int half = dim / 2, j = 0;
    for (; j + 16 <= half; j += 16) {
        f32x16 a = load(x + j), b = load(x + half + j), c = load(cos + j), s = sign * load(sin + j);
        store(out + j, a * c - b * s);
        store(out + half + j, b * c + a * s);
    }
    for (; j < half; j++) {
        float a = load1(x + j), b = load1(x + half + j), c = cos[j], s = sign * sin[j];
        store1(out + j, a * c - b * s);
        store1(out + half + j, b * c + a * s);
    }
}

// (n x dim) rows -> units along dim by rows: out[k][row], for products whose k runs over dim.
template <class S, class U>
inline void pack_across(int n, int dim, const S* x, long stride, U* out, long out_stride) {
    constexpr int w = Unit<S>::width;
    for (int r = 0; r < n; r++)
        for (int k = 0; k < dim / w; k++) memcpy(out + k * out_stride + r, x + r * stride + k * w, sizeof(U));
}

// (n x dim) rows -> units of neighbouring rows: out[row / w][d], for products whose k runs over rows; zeros up to `padded`.
inline void pack_along(int n, int dim, int padded, const float* x, long stride, float* out) {
    for (int r = 0; r < n; r++, out += padded) {
        memcpy(out, x + r * stride, dim * sizeof(float));
        std::fill(out + dim, out + padded, 0.0f);
    }
}
inline void pack_along(int n, int dim, int padded, const Half* x, long stride, Pair* out) {
    for (int r = 0; r < n; r += 2, out += padded) {
        const Half *a = x + r * stride, *b = r + 1 < n ? a + stride : nullptr;
        for (int d = 0; d < dim; d++) out[d].bits = a[d].bits | (b ? (uint32_t)b[d].bits << 16 : 0u);
        memset((void*)(out + dim), 0, (padded - dim) * sizeof(Pair));
    }
}

// Everything a tile needs of q, k, v, rotated and in the order in which products read it.
template <class S>
struct Packed {
    typedef typename Unit<S>::type U;
    static constexpr int w = Unit<S>::width;
    Shape shape;
    Buffer<S> q, k;                     // [head][token][dim]
    Buffer<U> k_across, v_across;       // [head][dim / w][token]
    Buffer<U> k_along, v_along;         // [head][token / w][padded dim]

    Packed(Shape s, const S* qkv, const float* cos, const float* sin, bool backward)
        : shape(s), q((long)s.heads * s.slots() * s.dim), k((long)s.kv_heads * s.slots() * s.dim),
          k_across(across(s.kv_heads, 0)), v_across(backward ? across(s.kv_heads, 0) : 0),
          k_along(backward ? along(s.kv_heads, 0) : 0), v_along(along(s.kv_heads, 0)) {
        const long slots = s.slots(), dim = s.dim, padded = s.padded(), each = s.kv_heads, last = s.tokens / w * w;
        for (int g = 0; g < each; g++) {  // what tiles may read past the last token: 0 times it must be 0
            for (int d = 0; d < dim / w && backward; d++)
                memset((void*)(v_across + across(g, 0) + d * slots + s.tokens), 0, (slots - s.tokens) * sizeof(U));
            memset((void*)(v_along + along(g, last)), 0, (slots - last) / w * padded * sizeof(U));
            if (backward) memset((void*)(k_along + along(g, last)), 0, (slots - last) / w * padded * sizeof(U));
        }
        int pieces = (s.tokens + BLOCK - 1) / BLOCK;
#pragma omp parallel for collapse(2) schedule(static)
        for (int h = 0; h < s.heads + each; h++)
            for (int p = 0; p < pieces; p++) {
                int begin = p * BLOCK, n = std::min(BLOCK, s.tokens - begin), g = h - s.heads;
                const S* x = qkv + begin * (long)s.width() + h * dim;
                S* out = g < 0 ? q + (h * slots + begin) * dim : k + (g * slots + begin) * dim;
                for (int i = 0; i < n; i++)
                    rotate(dim, x + i * (long)s.width(), cos + (begin + i) * (dim / 2), sin + (begin + i) * (dim / 2), 1.0f,
                           out + i * dim);
                if (g < 0) continue;
                const S* v = x + each * dim;
                pack_across(n, dim, out, dim, k_across + across(g, begin), slots);
                pack_along(n, dim, padded, v, s.width(), v_along + along(g, begin));
                if (!backward) continue;
                pack_across(n, dim, v, s.width(), v_across + across(g, begin), slots);
                pack_along(n, dim, padded, out, dim, k_along + along(g, begin));
            }
    }
    const S* query(int h, int t) const { return q + ((long)h * shape.slots() + t) * shape.dim; }
    long across(int g, int t) const { return (long)g * (shape.dim / w) * shape.slots() + t; }
    long along(int g, int t) const { return ((long)g * shape.slots() + t) / w * shape.padded(); }
};

// Queries [begin, begin + count) of a span, and the tiles of keys they see.
struct Tile {
    int key, keys;   // first key (even, so that pairs are whole) and how many
    int low, high;   // keys in use; `causal`: of query i only those up to itself
    bool causal;
    int first() const { return low - key; }
    int last(int query) const { return (causal ? std::min(high, query + 1) : high) - key; }
    int vectors() const { return (keys + 15) / 16; }
};

template <class F>
void tiles(const Span& span, int begin, int count, F each) {
    for (int own = 0; own < 2; own++) {
        int low = own ? span.begin : span.parent_begin, high = own ? begin + count : span.parent_end;
        for (int key = low & ~1; key < high; key += BLOCK)
            each(Tile{key, std::min(BLOCK, high - key), std::max(low, key), high, own == 1});
    }
}

// 16 scores of a query from key `c` of a tile on, scaled; very negative where it must not see the key.
inline f32x16 visible(const Tile& tile, int query, int c, f32x16 scores) {
    const i32x16 lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    int first = tile.first() - c, last = tile.last(query) - c;
    if (first <= 0 && last >= 16) return scores;
    return (lanes >= first) & (lanes < last) ? scores : splat(-1e30f);
}

// Probabilities or their gradients as units along keys: the same floats, or bf16 one after the other.
inline float* along_keys(float* units) { return units; }
inline Half* along_keys(Pair* units) { return (Half*)units; }

struct Work { Span span; int begin, count; };

inline std::vector<Work> query_blocks(const Span* spans, int n) {
    std::vector<Work> work;
    for (int i = 0; i < n; i++)
        for (int b = spans[i].begin; b < spans[i].end; b += BLOCK)
            work.push_back({spans[i], b, std::min(BLOCK, spans[i].end - b)});
    return work;
}

template <class S>
void attention(Shape s, int n_spans, const Span* spans, const S* qkv, const float* cos, const float* sin, S* out, float* lse) {
    typedef typename Unit<S>::type U;
    constexpr int w = Unit<S>::width;
    const Packed<S> packed(s, qkv, cos, sin, false);
    const std::vector<Work> work = query_blocks(spans, n_spans);
    const int dim = s.dim, padded = s.padded(), slots = s.slots();
    const float scale = 1.0f / std::sqrt((float)dim);
#pragma omp parallel
    {
        std::vector<float> scores(BLOCK * BLOCK), sums(BLOCK * padded);
        std::vector<U> p(BLOCK * BLOCK / w);
#pragma omp for collapse(2) schedule(dynamic)
        for (int h = 0; h < s.heads; h++)
            for (size_t item = 0; item < work.size(); item++) {
                const Work& q = work[item];
                const int g = h / (s.heads / s.kv_heads);
                float top[BLOCK], total[BLOCK];
                std::fill(top, top + BLOCK, -1e29f);
                std::fill(total, total + BLOCK, 0.0f);
                bool started = false;
                tiles(q.span, q.begin, q.count, [&](const Tile& tile) {
                    const int vectors = tile.vectors();
                    product(q.count, vectors, dim / w, (const U*)packed.query(h, q.begin), dim / w, 1,
                            packed.k_across + packed.across(g, tile.key), slots, scores.data(), BLOCK, false);
                    for (int r = 0; r < q.count; r++) {
                        float* row = &scores[r * BLOCK];
                        f32x16 most = splat(top[r]), part = {};
                        for (int c = 0; c < 16 * vectors; c += 16) {
                            f32x16 x = visible(tile, q.begin + r, c, load(row + c) * scale);
                            store(row + c, x);
                            most = larger(most, x);
                        }
                        const float now = largest(most);
                        for (int c = 0; c < 16 * vectors; c += 16) {
                            f32x16 e = exp(load(row + c) - now);
                            part += e;
                            store(along_keys(p.data()) + r * BLOCK + c, e);
                        }
                        const float shrink = started ? exp(splat(top[r] - now))[0] : 0.0f;
                        total[r] = total[r] * shrink + sum(part);
                        top[r] = now;
                        if (started && shrink != 1.0f)
                            for (int d = 0; d < padded; d += 16) store(&sums[r * padded + d], load(&sums[r * padded + d]) * shrink);
                    }
                    product(q.count, padded / 16, (tile.keys + w - 1) / w, p.data(), BLOCK / w, 1,
                            packed.v_along + packed.along(g, tile.key), padded, sums.data(), padded, started);
                    started = true;
                });
                for (int r = 0; r < q.count; r++) {
                    S* row = out + ((long)(q.begin + r) * s.heads + h) * dim;
                    float inverse = 1.0f / total[r];
                    int d = 0;
                    for (; d + 16 <= dim; d += 16) store(row + d, load(&sums[r * padded + d]) * inverse);
                    for (; d < dim; d++) store1(row + d, sums[r * padded + d] * inverse);
                    lse[(long)h * s.tokens + q.begin + r] = top[r] + std::log(total[r]);
                }
            }
    }
}

// What one thread needs of a query block, besides the scores of a tile.
template <class S>
struct QueryBlock {
    typedef typename Unit<S>::type U;
    std::vector<S> dout;                    // [query][dim]
    std::vector<U> q_along, dout_along;     // [query / w][padded dim]
    std::vector<float> dq, delta;
    explicit QueryBlock(const Shape& s)
        : dout(BLOCK * s.dim), q_along(BLOCK * s.padded()), dout_along(BLOCK * s.padded()), dq(BLOCK * s.padded()), delta(BLOCK) {}

    void load_block(const Shape& s, int h, const Work& q, const S* query, const S* out, const S* dout_all) {
        for (int r = 0; r < q.count; r++) {
            long at = ((long)(q.begin + r) * s.heads + h) * s.dim;
            memcpy((void*)&dout[r * s.dim], dout_all + at, s.dim * sizeof(S));
            float along = 0;
            for (int d = 0; d < s.dim; d++) along += load1(out + at + d) * load1(dout_all + at + d);
            delta[r] = along;
        }
        pack_along(q.count, s.dim, s.padded(), query, s.dim, q_along.data());
        pack_along(q.count, s.dim, s.padded(), dout.data(), s.dim, dout_along.data());
    }
};

// One head's gradient through one query block: adds to dk and dv ([token][padded dim] of this head), writes dq.
template <class S>
void block_backward(const Packed<S>& packed, const Work& q, int h, const float* lse, QueryBlock<S>& mine, float* p, float* dp,
                    typename Unit<S>::type* p_down, typename Unit<S>::type* ds_down, typename Unit<S>::type* ds_along, float* dk,
                    float* dv) {
    typedef typename Unit<S>::type U;
    constexpr int w = Unit<S>::width;
    const Shape& s = packed.shape;
    const int dim = s.dim, padded = s.padded(), slots = s.slots(), g = h / (s.heads / s.kv_heads), n = q.count;
    const float root = 1.0f / std::sqrt((float)dim);
    bool started = false;
    tiles(q.span, q.begin, n, [&](const Tile& tile) {
        const int vectors = tile.vectors();
        product(n, vectors, dim / w, (const U*)packed.query(h, q.begin), dim / w, 1, packed.k_across + packed.across(g, tile.key),
                slots, p, BLOCK, false);
        product(n, vectors, dim / w, (const U*)mine.dout.data(), dim / w, 1, packed.v_across + packed.across(g, tile.key), slots,
                dp, BLOCK, false);
        for (int r = 0; r < n; r += 2) {
            const bool two = r + 1 < n;  // the last pair's second query may be none
            for (int c = 0; c < 16 * vectors; c += 16) {
                f32x16 e[2] = {}, ds[2] = {};
                for (int i = 0; i < 1 + two; i++) {
                    int at = (r + i) * BLOCK + c;
                    e[i] = exp(visible(tile, q.begin + r + i, c, load(p + at) * root) - lse[r + i]);
                    ds[i] = e[i] * (load(dp + at) - mine.delta[r + i]) * root;
                    store(along_keys(ds_along) + at, ds[i]);
                }
                store_rows(p_down + r / w * BLOCK + c, BLOCK, e[0], e[1]);
                store_rows(ds_down + r / w * BLOCK + c, BLOCK, ds[0], ds[1]);
            }
        }
        const int skip = tile.low - tile.key, keys = tile.keys - skip, pairs = (n + w - 1) / w;
        product(keys, padded / 16, pairs, p_down + skip, 1, BLOCK, mine.dout_along.data(), padded,
                dv + (long)tile.low * padded, padded, true);
        product(keys, padded / 16, pairs, ds_down + skip, 1, BLOCK, mine.q_along.data(), padded, dk + (long)tile.low * padded,
                padded, true);
        product(n, padded / 16, (tile.keys + w - 1) / w, ds_along, BLOCK / w, 1, packed.k_along + packed.along(g, tile.key),
                padded, mine.dq.data(), padded, started);
        started = true;
    });
}

template <class S>
void attention_backward(Shape s, int n_spans, const Span* spans, const S* qkv, const float* cos, const float* sin, const S* out,
                        const float* lse, const S* dout, S* dqkv) {
    typedef typename Unit<S>::type U;
    const Packed<S> packed(s, qkv, cos, sin, true);
    const int dim = s.dim, padded = s.padded(), half = dim / 2, each = s.heads / s.kv_heads;
    std::vector<std::vector<Work>> families;  // nothing flows between them
    for (int i = 0; i < n_spans; i++) {
        if (spans[i].parent_begin == spans[i].parent_end || families.empty()) families.emplace_back();
        for (const Work& q : query_blocks(spans + i, 1)) families.back().push_back(q);
    }
    std::vector<float> dk((long)s.heads * s.tokens * padded), dv(dk.size());
#pragma omp parallel
    {
        QueryBlock<S> mine(s);
        std::vector<float> p(BLOCK * BLOCK), dp(BLOCK * BLOCK);
        std::vector<U> p_down(BLOCK * BLOCK), ds_down(BLOCK * BLOCK), ds_along(BLOCK * BLOCK);
#pragma omp for collapse(2) schedule(dynamic)
        for (int h = 0; h < s.heads; h++)
            for (size_t f = 0; f < families.size(); f++)
                for (const Work& q : families[f]) {
                    mine.load_block(s, h, q, packed.query(h, q.begin), out, dout);
                    block_backward(packed, q, h, lse + (long)h * s.tokens + q.begin, mine, p.data(), dp.data(), p_down.data(),
                                   ds_down.data(), ds_along.data(), &dk[(long)h * s.tokens * padded],
                                   &dv[(long)h * s.tokens * padded]);
                    for (int r = 0; r < q.count; r++) {
                        long t = q.begin + r;
                        rotate(dim, &mine.dq[r * padded], cos + t * half, sin + t * half, -1.0f, dqkv + t * s.width() + h * dim);
                    }
                }
    }
#pragma omp parallel
    {
        std::vector<float> a(padded), b(padded);
#pragma omp for schedule(static)
        for (int t = 0; t < s.tokens; t++)
            for (int g = 0; g < s.kv_heads; g++) {
                for (int d = 0; d < padded; d += 16) {
                    f32x16 k = {}, v = {};
                    for (int h = g * each; h < (g + 1) * each; h++) {
                        k += load(&dk[((long)h * s.tokens + t) * padded + d]);
                        v += load(&dv[((long)h * s.tokens + t) * padded + d]);
                    }
                    store(&a[d], k), store(&b[d], v);
                }
                S* row = dqkv + (long)t * s.width() + (s.heads + g) * dim;
                rotate(dim, a.data(), cos + (long)t * half, sin + (long)t * half, -1.0f, row);
                for (int d = 0; d < dim; d++) store1(row + s.kv_heads * dim + d, b[d]);
            }
    }
}

}  // namespace

EXPORT void octo_attention(long half, long tokens, long heads, long kv_heads, long dim, long n_spans, const void* spans, const void* qkv,
                           const float* cos, const float* sin, void* out, float* lse) {
    Shape s{(int)tokens, (int)heads, (int)kv_heads, (int)dim};
    EITHER(attention(s, n_spans, (const Span*)spans, (const float*)qkv, cos, sin, (float*)out, lse),
           attention(s, n_spans, (const Span*)spans, (const Half*)qkv, cos, sin, (Half*)out, lse))
}
EXPORT void octo_attention_backward(long half, long tokens, long heads, long kv_heads, long dim, long n_spans, const void* spans,
                                    const void* qkv, const float* cos, const float* sin, const void* out, const float* lse,
                                    const void* dout, void* dqkv) {
    Shape s{(int)tokens, (int)heads, (int)kv_heads, (int)dim};
    const Span* list = (const Span*)spans;
    EITHER(attention_backward(s, n_spans, list, (const float*)qkv, cos, sin, (const float*)out, lse, (const float*)dout, (float*)dqkv),
           attention_backward(s, n_spans, list, (const Half*)qkv, cos, sin, (const Half*)out, lse, (const Half*)dout, (Half*)dqkv))
}
