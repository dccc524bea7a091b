// Forward and backward operators of the training step, called from native/ops.py, which says what each computes.
//
// `Half` is bf16, and every operator exists for fp32 too; sums are fp32 in both. Work is cut in pieces that do not depend on
// the number of threads, and every sum has a fixed order: any number of threads gives the same bits.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "tile.h"

using namespace tile;

namespace {

constexpr float LOG2E = 1.44269504f;
constexpr int PIECE = 64;  // rows of a piece of work

template <class T>
struct Buffer {  // uninitialised, unlike std::vector: zeroing took as long as packing
    std::unique_ptr<T[]> data;
    explicit Buffer(long n) : data(new T[n]) {}
    T* operator+(long i) { return data.get() + i; }
    const T* operator+(long i) const { return data.get() + i; }
};

inline f32x16 sigmoid(f32x16 x) { return 1.0f / (1.0f + exp2v(-LOG2E * x)); }

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
        f32x16 most = all(-1e30f), total = {};
        long j = 0;
        for (; j + 16 <= vocab; j += 16) most = larger(most, load(row + j));
        float top = largest(most), rest = 0;
        for (; j < vocab; j++) top = std::max(top, load1(row + j));
        float slope = inverse_t * LOG2E;
        for (j = 0; j + 16 <= vocab; j += 16) total += exp2v((load(row + j) - top) * slope);
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
        float g = upstream[i] * inverse_t, slope = inverse_t * LOG2E, base = lse[i] * LOG2E;
        float hit = g * (1.0f - std::exp(load1(row + target[i]) * inverse_t - lse[i]));
        long j = 0;
        for (; j + 16 <= vocab; j += 16) store(row + j, -g * exp2v(load(row + j) * slope - base));
        for (; j < vocab; j++) store1(row + j, -g * std::exp(load1(row + j) * inverse_t - lse[i]));
        store1(row + target[i], hit);
    }
}

// ---- rotary embedding + attention ---------------------------------------------------------------------------------------
//
// Tokens of all rows lie one after the other. A span is a run of tokens (a document, a prompt, a response) that attends
// causally to itself and wholly to its parent span, an earlier one (begin = end: none). Spans that hang together through
// parents stand together: a family. Query blocks never cross a span, so a block's keys are one or two ranges.

constexpr int BLOCK = 64;  // queries and keys of a tile: scores of 16 KB

struct Span { int32_t begin, end, parent_begin, parent_end; };

struct Shape {
    int tokens, heads, kv_heads, dim;  // dim is even
    int padded() const { return (dim + 15) / 16 * 16; }
    int width() const { return (heads + 2 * kv_heads) * dim; }
    int slots() const { return (tokens + 15) / 16 * 16 + BLOCK; }  // tiles may read past the last token
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
    return (lanes >= first) & (lanes < last) ? scores : all(-1e30f);
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
    const float scale = LOG2E / std::sqrt((float)dim);
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
                        f32x16 most = all(top[r]), part = {};
                        for (int c = 0; c < 16 * vectors; c += 16) {
                            f32x16 x = visible(tile, q.begin + r, c, load(row + c) * scale);
                            store(row + c, x);
                            most = larger(most, x);
                        }
                        const float now = largest(most);
                        for (int c = 0; c < 16 * vectors; c += 16) {
                            f32x16 e = exp2v(load(row + c) - now);
                            part += e;
                            store(along_keys(p.data()) + r * BLOCK + c, e);
                        }
                        const float shrink = started ? exp2v(all(top[r] - now))[0] : 0.0f;
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
                    lse[(long)h * s.tokens + q.begin + r] = top[r] + std::log2(total[r]);
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
                    e[i] = exp2v(visible(tile, q.begin + r + i, c, load(p + at) * (LOG2E * root)) - lse[r + i]);
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
#pragma omp parallel for schedule(static)
    for (int t = 0; t < s.tokens; t++)
        for (int g = 0; g < s.kv_heads; g++) {
            float a[256] = {}, b[256] = {};
            for (int h = g * each; h < (g + 1) * each; h++)
                for (int d = 0; d < dim; d++) {
                    a[d] += dk[((long)h * s.tokens + t) * padded + d];
                    b[d] += dv[((long)h * s.tokens + t) * padded + d];
                }
            S* row = dqkv + (long)t * s.width() + (s.heads + g) * dim;
            rotate(dim, a, cos + (long)t * half, sin + (long)t * half, -1.0f, row);
            for (int d = 0; d < dim; d++) store1(row + s.kv_heads * dim + d, b[d]);
        }
}

}  // namespace

// ---- exports: `half` chooses bf16 -----------------------------------------------------------------------------------------

#define EITHER(call_float, call_half) \
    if (half) call_half;              \
    else call_float;

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

EXPORT int octo_compiled_for(void) {
#if defined(__AVX512BF16__)
    return __builtin_cpu_supports("avx512bf16") ? 1 : 0;
#elif defined(__AVX2__)
    return __builtin_cpu_supports("avx2") ? 1 : 0;
#else
    return 1;
#endif
}
