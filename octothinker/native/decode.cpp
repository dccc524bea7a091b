// A decoder's forward pass over ragged rows with a paged KV cache, and sampling (model/compiled.py calls it).
//
//     row = (token, position, sequence)      any mix of prompts' tokens and of sequences' newest tokens; no padding
//     embed -> layers x [norm -> qkv -> rope, cache write -> attention -> out += ; norm -> gate|up -> silu -> down +=]
//           -> norm -> head -> draw
//
// All numbers that enter a product are stored as 32-bit *words*: one fp32, or two neighbouring bf16 (P values a word). One code
// then serves both: only `dot`, which multiplies words and adds in fp32, and the stores differ. The residual stream, scores,
// softmax and logits are fp32 in either case.
//
// A row's result depends on its own sequence only, to the last bit: every sum runs in an order that neither the other rows
// nor the number of threads change.
#include "simd.h"

#include <cmath>
#include <omp.h>

namespace {

typedef uint32_t word;

constexpr int LANES = 32;   // columns of a weight panel: two vectors
constexpr int PAGE = 16;    // positions of a KV page: one vector of scores
constexpr int MAX_DIM = 512;  // of a head
constexpr int PAD = 16;     // words between rows: rows 4 KiB apart would fall into the same cache set
#ifdef __AVX512F__
constexpr int ROWS = 12;    // rows of a tile: 24 accumulators of 32 registers
#else
constexpr int ROWS = 3;     // on 16 registers of 8 floats (AVX2) or 32 of 4 (NEON) a tile is as high as they allow
#endif
constexpr int CHUNK = 4 * ROWS;  // rows of one unit of work

#ifdef __AVX512BF16__
constexpr bool PAIRS = true;  // one instruction multiplies pairs of bf16
#else
constexpr bool PAIRS = false;
#endif

template <bool HALF> constexpr int P = HALF ? 2 : 1;
// Values in a word of a row, the left side of a product: activations, queries, weights of the softmax. Without the instruction
// their bf16 are kept as fp32, which is broadcast from memory for nothing; the right side is unpacked once for all rows.
template <bool HALF> constexpr int R = HALF && PAIRS ? 2 : 1;

inline long up(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

// ---- words ---------------------------------------------------------------------------------------------------------------

// sum + a[k] * b[0..15], k and b counted in words.
template <bool HALF> inline f32x16 dot(f32x16 sum, const word* a, long k, const word* b) {
    if constexpr (!HALF) return ::dot(sum, ((const float*)a)[k], (const float*)b);
    if constexpr (PAIRS) return ::dot(sum, Pair{a[k]}, (const Pair*)b);
    u32x16 pairs = *(const u32x16*)b;
    sum += ((const float*)a)[2 * k] * (f32x16)(pairs << 16);
    return sum + ((const float*)a)[2 * k + 1] * (f32x16)(pairs & 0xffff0000u);
}

template <bool HALF> inline void store_words(word* to, f32x16 v) {
    if constexpr (HALF)
        *(u16x16*)to = to_bf16(v);
    else
        *(f32x16*)to = v;
}

template <bool HALF> inline void store_row(word* to, f32x16 v) {
    if constexpr (HALF && !PAIRS)
        *(u32x16*)to = rounded(v) & 0xffff0000u;
    else
        store_words<HALF>(to, v);
}

template <bool HALF> inline word make_word(const float* v) {
    word w;
    if constexpr (HALF)
        w = to_bf16(v[0]) | (word)to_bf16(v[1]) << 16;
    else
        memcpy(&w, v, 4);
    return w;
}

template <bool HALF> inline void to_words(const float* from, long n, word* to) {
    long i = 0;
    for (; i + 16 <= n; i += 16) store_words<HALF>(to + i / P<HALF>, load(from + i));
    for (; i < n; i += P<HALF>) to[i / P<HALF>] = make_word<HALF>(from + i);
}

template <bool HALF> inline void to_row(const float* from, long n, word* to) {
    if constexpr (!HALF || PAIRS) return to_words<HALF>(from, n, to);
    for (long i = 0; i < n; ++i) to[i] = (word)to_bf16(from[i]) << 16;
}

// ---- work shared by threads ----------------------------------------------------------------------------------------------

struct Team {
    int rank, size;
    void wait() const {
        if (size > 1) {
#pragma omp barrier
        }
    }
    template <class F> void each(long n, F f) const {
        for (long i = n * rank / size, end = n * (rank + 1) / size; i < end; ++i) f(i);
    }
    template <class F> void deal(long n, long hand, F f) const {  // for work of unequal size
        for (long i = rank * hand; i < n; i += size * hand)
            for (long j = i; j < n && j < i + hand; ++j) f(j);
    }
};

// ---- matrix product ------------------------------------------------------------------------------------------------------

// M rows of `a` times one panel [words][LANES] of weights; out(r, left, right) takes the 32 sums of row r.
template <bool HALF, int M, class Out>
inline void tile(const word* __restrict a, long stride, const word* __restrict b, long words, Out out) {
    f32x16 sums[M][2] = {};
    for (long k = 0; k < words; ++k, b += LANES) {
        __builtin_prefetch(b + words * LANES, 0, 2);  // of the next panel, into L2
        __builtin_prefetch(b + words * LANES + 16, 0, 2);
#pragma GCC unroll 12
        for (int r = 0; r < M; ++r) {
            sums[r][0] = dot<HALF>(sums[r][0], a + r * stride, k, b);
            sums[r][1] = dot<HALF>(sums[r][1], a + r * stride, k, b + 16);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < M; ++r) out(r, sums[r][0], sums[r][1]);
}

template <bool HALF, int M = ROWS, class Out>
inline void tile_of(int rows, const word* a, long stride, const word* b, long words, Out out) {
    if (rows == M) return tile<HALF, M>(a, stride, b, words, out);
    if constexpr (M > 1) tile_of<HALF, M - 1>(rows, a, stride, b, words, out);
}

// out(row, panel, left, right) for all rows of a and all panels of w. A thread keeps to neighbouring panels: each is read once.
template <bool HALF, class Out>
void product(Team team, long rows, const word* a, long stride, const word* w, long words, long columns, Out out) {
    long chunks = (rows + CHUNK - 1) / CHUNK, panels = (columns + LANES - 1) / LANES;
    team.each(panels * chunks, [&](long i) {
        long panel = i / chunks, row = i % chunks * CHUNK, end = row + CHUNK < rows ? row + CHUNK : rows;
        for (; row < end; row += ROWS) {
            auto put = [&](int r, f32x16 left, f32x16 right) { out(row + r, panel, left, right); };
            tile_of<HALF>(end - row < ROWS ? end - row : ROWS, a + row * stride, stride, w + panel * words * LANES, words, put);
        }
    });
}

// ---- the model and its buffers ---------------------------------------------------------------------------------------------

struct Layer {
    const float* norm1;
    const word* qkv;
    const float *bias, *q_norm, *k_norm;  // null where the family has none
    const word* out;
    const float* norm2;
    const word *gate_up, *down;
};

struct Model {
    long layers, hidden, heads, kv_heads, dim, mlp, vocab, half;
    double eps;
    const word* embed;  // as packed for the head: a tied model has one copy
    const float* norm;
    const word* head;
    const float *cos, *sin;  // (positions, dim / 2)
    const Layer* layer;

    long per() const { return half ? 2 : 1; }
    long row_per() const { return half && PAIRS ? 2 : 1; }
    long q_size() const { return heads * dim; }
    long qkv_size() const { return (heads + 2 * kv_heads) * dim; }
    long key_words() const { return dim / per() * PAGE; }                 // K of a page and head: [dim / P][PAGE] words
    long value_words() const { return PAGE / per() * up(dim, 16); }       // V: [PAGE / P][dim, padded] words
    long page_words(long layer) const { return layer * kv_heads * (key_words() + value_words()); }
};

struct Rows {
    long count;
    const int32_t *tokens, *positions, *sequences;
    const int64_t* table;  // (sequences, width): addresses of a sequence's pages, in order
    long width;
};

struct Buffers {  // strides in floats or words
    long hidden, input, qkv, query, act, score, logit;
    float *x, *projected, *scores, *logits;
    word *in, *q, *gated;
    long bytes;

    Buffers(const Model& m, long rows, long longest, int threads, long logit_rows, char* base) {
        hidden = up(m.hidden, LANES), qkv = up(m.qkv_size(), LANES), query = up(m.q_size(), 16);
        input = up(m.hidden > m.q_size() ? m.hidden : m.q_size(), 16) / m.row_per() + PAD, act = up(m.mlp, 16) / m.row_per() + PAD;
        score = up(longest, PAGE), logit = up(m.vocab, LANES);
        char* at = base;
        auto take = [&](long n) { at += up(4 * n, 64); return at - up(4 * n, 64); };
        x = (float*)take(rows * hidden), projected = (float*)take(rows * qkv), in = (word*)take(rows * input);
        q = (word*)take(rows * query), gated = (word*)take(rows * act), scores = (float*)take(threads * 4 * score);
        logits = (float*)take(logit_rows * logit), bytes = at - base;
    }
};

// ---- the steps of a layer ----------------------------------------------------------------------------------------------------

template <bool HALF> void norm(const float* x, const float* weight, long n, double eps, word* to) {
    f32x16 squares = {};
    for (long i = 0; i < n; i += 16) squares += load(x + i) * load(x + i);
    float scale = 1 / std::sqrt(sum(squares) / n + (float)eps);
    for (long i = 0; i < n; i += 16) store_row<HALF>(to + i / R<HALF>, load(x + i) * scale * load(weight + i));
}

void head_norm(float* x, const float* weight, long n, double eps) {
    float squares = 0;
    for (long i = 0; i < n; ++i) squares += x[i] * x[i];
    float scale = 1 / std::sqrt(squares / n + (float)eps);
    for (long i = 0; i < n; ++i) x[i] *= scale * weight[i];
}

void rotate(float* __restrict x, float* __restrict y, const float* cos, const float* sin, long half) {  // y = x + half
    for (long i = 0; i < half; ++i) {
        float a = x[i], b = y[i];
        x[i] = a * cos[i] - b * sin[i];
        y[i] = b * cos[i] + a * sin[i];
    }
}

// Bias, norm and rope of one row's projections; its key and value go to their page, its queries to q.
// `next`: the page that is written next, fetched meanwhile.
template <bool HALF>
void place(const Model& m, const Layer& l, float* x, long position, word* page, word* q, const word* next) {
    const float *cos = m.cos + position * m.dim / 2, *sin = m.sin + position * m.dim / 2;
    long slot = position % PAGE, half = m.dim / 2, padded = up(m.dim, 16);
    if (l.bias)
        for (long i = 0; i < m.qkv_size(); ++i) x[i] += l.bias[i];
    for (long h = 0; h < m.heads + m.kv_heads; ++h) {
        const float* weight = h < m.heads ? l.q_norm : l.k_norm;
        if (weight) head_norm(x + h * m.dim, weight, m.dim, m.eps);
        rotate(x + h * m.dim, x + h * m.dim + half, cos, sin, half);
    }
    to_row<HALF>(x, m.q_size(), q);
    const float *k = x + m.q_size(), *v = k + m.kv_heads * m.dim;
    word words[MAX_DIM];
    long head = m.key_words() + m.value_words();
    for (long h = 0; h < m.kv_heads; ++h, k += m.dim, v += m.dim, page += head, next += head) {
        to_words<HALF>(k, m.dim, words);
        for (long i = 0; i < m.dim / P<HALF>; ++i) {
            page[i * PAGE + slot] = words[i];
            __builtin_prefetch(next + i * PAGE, 1);
        }
        to_words<HALF>(v, m.dim, words);
        word* values = page + m.key_words() + slot / P<HALF> * padded;
        for (long i = 0; i < m.dim; ++i)
            if constexpr (HALF)  // not the whole word: its other half may be written by another thread just now
                ((uint16_t*)values)[2 * i + slot % 2] = ((uint16_t*)words)[i];
            else
                values[i] = words[i];
    }
}

// The keys and values of one KV head: page n is at pages[n] + offset. While one head's are used, the next one's are fetched:
// they lie in short runs that the hardware does not foresee.
struct Cache {
    const int64_t* pages;
    long offset;
    const word* page(long n) const { return (const word*)pages[n] + offset; }
};

// Scores of G heads' queries against PAGES pages.
template <bool HALF, int G, int PAGES>
inline void score(const word* q, long dim, Cache now, Cache next, long first, float* to, long stride) {
    f32x16 sums[G][PAGES] = {};
    const word *keys[PAGES], *fetched[PAGES];
    for (int n = 0; n < PAGES; ++n) keys[n] = now.page(first + n), fetched[n] = next.page(first + n);
    for (long k = 0; k < dim / P<HALF>; ++k)
#pragma GCC unroll 4
        for (int n = 0; n < PAGES; ++n) {
            __builtin_prefetch(fetched[n] + k * PAGE);
#pragma GCC unroll 4
            for (int g = 0; g < G; ++g) sums[g][n] = dot<HALF>(sums[g][n], q + g * dim / R<HALF>, k, keys[n] + k * PAGE);
        }
    for (int g = 0; g < G; ++g)
        for (int n = 0; n < PAGES; ++n) store(to + g * stride + (first + n) * PAGE, sums[g][n]);
}

// Weighted sums for G heads of VECTORS x 16 dimensions of V. Few sums are kept WAYS times, or each would wait for its last.
template <bool HALF, int G, int VECTORS>
inline void mix(const word* weights, long stride, Cache now, Cache next, long n, long padded, float* to) {
    constexpr int WAYS = G * VECTORS <= 6 ? 2 : 1;
    f32x16 sums[WAYS][G][VECTORS] = {};
    for (long page = 0; page < n; ++page) {
        const word *v = now.page(page), *fetched = next.page(page);
        for (int p = 0; p < PAGE / P<HALF>; p += WAYS, v += WAYS * padded, fetched += WAYS * padded, weights += WAYS * P<HALF> / R<HALF>)
#pragma GCC unroll 2
            for (int w = 0; w < WAYS; ++w)
#pragma GCC unroll 4
                for (int i = 0; i < VECTORS; ++i) {
                    __builtin_prefetch(fetched + w * padded + 16 * i);
#pragma GCC unroll 4
                    for (int g = 0; g < G; ++g)
                        sums[w][g][i] = dot<HALF>(sums[w][g][i], weights + g * stride, w, v + w * padded + 16 * i);
                }
    }
    for (int g = 0; g < G; ++g)
        for (int i = 0; i < VECTORS; ++i) store(to + g * padded + i * 16, sums[0][g][i] + (WAYS > 1 ? sums[WAYS - 1][g][i] : f32x16{}));
}

// Attention of G heads that share a KV head, over `length` positions.
template <bool HALF, int G>
void attend(const Model& m, const word* q, Cache now, Cache next, long length, float* s, long stride, word* to) {
    long n = (length + PAGE - 1) / PAGE, padded = up(m.dim, 16), i = 0;
    for (; i + 4 <= n; i += 4) score<HALF, G, 4>(q, m.dim, now, next, i, s, stride);
    if (n - i == 3) score<HALF, G, 3>(q, m.dim, now, next, i, s, stride);
    if (n - i == 2) score<HALF, G, 2>(q, m.dim, now, next, i, s, stride);
    if (n - i == 1) score<HALF, G, 1>(q, m.dim, now, next, i, s, stride);
    float scale = 1 / std::sqrt((float)m.dim), best[G], totals[G], mixed[G * MAX_DIM];
    long last = (n - 1) * PAGE;
    for (int g = 0; g < G; ++g) {
        float* mine = s + g * stride;
        store(mine + last, first_lanes(length - last) ? load(mine + last) : splat(-1e30f));
        f32x16 top = load(mine);
        for (long p = PAGE; p <= last; p += PAGE) top = larger(top, load(mine + p));
        best[g] = largest(top);
    }
    for (int g = 0; g < G; ++g) {
        float* mine = s + g * stride;
        f32x16 total = {};
        for (long p = 0; p <= last; p += PAGE) {
            f32x16 e = exp((load(mine + p) - best[g]) * scale);
            total += e;
            store_row<HALF>((word*)mine + p / R<HALF>, e);  // in place: words are never longer than the floats read
        }
        totals[g] = 1 / sum(total);
    }
    const word* weights = (const word*)s;
    now.offset += m.key_words(), next.offset += m.key_words();
    for (i = 0; i < padded;) {
        long vectors = padded - i >= 64 ? 4 : padded - i >= 32 ? 2 : 1;
        auto of = vectors == 4 ? mix<HALF, G, 4> : vectors == 2 ? mix<HALF, G, 2> : mix<HALF, G, 1>;
        of(weights, stride, now, next, n, padded, mixed + i);
        i += 16 * vectors, now.offset += 16 * vectors, next.offset += 16 * vectors;
    }
    for (int g = 0; g < G; ++g) {
        for (i = 0; i < padded; i += 16) store(mixed + g * padded + i, load(mixed + g * padded + i) * totals[g]);
        to_row<HALF>(mixed + g * padded, m.dim, to + g * m.dim / R<HALF>);
    }
}

template <bool HALF>
void attention(const Model& m, const Rows& rows, const Buffers& b, long layer, long item, int rank) {
    auto cache = [&](long item) -> Cache {
        long row = item / m.kv_heads, head = item % m.kv_heads;
        return {rows.table + rows.sequences[row] * rows.width, m.page_words(layer) + head * (m.key_words() + m.value_words())};
    };
    long row = item / m.kv_heads, head = item % m.kv_heads, group = m.heads / m.kv_heads;
    Cache now = cache(item), next = cache(item + 1 < rows.count * m.kv_heads ? item + 1 : item);
    float* s = b.scores + rank * 4 * b.score;
    for (long h = head * group, end = h + group; h < end;) {
        const word* q = b.q + row * b.query + h * m.dim / R<HALF>;
        word* to = b.in + row * b.input + h * m.dim / R<HALF>;
        long g = end - h < 4 ? end - h : 4;
        auto of = g == 4 ? attend<HALF, 4> : g == 3 ? attend<HALF, 3> : g == 2 ? attend<HALF, 2> : attend<HALF, 1>;
        of(m, q, now, next, rows.positions[row] + 1, s, b.score, to);
        h += g;
    }
}

// Rows [0, rows.count) through all layers: b.in holds the normed final states, if they are wanted.
template <bool HALF> void layers(Team team, const Model& m, const Rows& rows, const Buffers& b, int rank, bool wanted) {
    long n = rows.count, words = m.hidden / P<HALF>;
    auto add = [&](long row, long panel, f32x16 left, f32x16 right) {
        float* x = b.x + row * b.hidden + panel * LANES;
        store(x, load(x) + left), store(x + 16, load(x + 16) + right);
    };
    team.each(n, [&](long row) {
        long token = rows.tokens[row];
        const word* panel = m.embed + token / LANES * words * LANES + token % LANES;
        float* x = b.x + row * b.hidden;
        for (long k = 0; k < words; ++k)
            if constexpr (HALF) {
                x[2 * k] = from_bf16(panel[k * LANES] & 0xffff), x[2 * k + 1] = from_bf16(panel[k * LANES] >> 16);
            } else
                memcpy(x + k, panel + k * LANES, 4);
    });
    for (long i = 0; i < m.layers; ++i) {
        const Layer& l = m.layer[i];
        team.each(n, [&](long row) {
            norm<HALF>(b.x + row * b.hidden, l.norm1, m.hidden, m.eps, b.in + row * b.input);
        });
        team.wait();
        product<HALF>(team, n, b.in, b.input, l.qkv, words, m.qkv_size(), [&](long row, long panel, f32x16 left, f32x16 right) {
            float* to = b.projected + row * b.qkv + panel * LANES;
            store(to, left), store(to + 16, right);
        });
        team.wait();
        auto page = [&](long row) {
            return (word*)rows.table[rows.sequences[row] * rows.width + rows.positions[row] / PAGE] + m.page_words(i);
        };
        team.each(n, [&](long row) {
            const word* next = page(row + 1 < n ? row + 1 : row);
            place<HALF>(m, l, b.projected + row * b.qkv, rows.positions[row], page(row), b.q + row * b.query, next);
        });
        team.wait();
        if (!wanted && i == m.layers - 1) return;  // a prompt's rows leave their keys and values, nothing else
        team.deal(n * m.kv_heads, 4 * m.kv_heads, [&](long item) {
            attention<HALF>(m, rows, b, i, item, rank);
        });
        team.wait();
        product<HALF>(team, n, b.in, b.input, l.out, m.q_size() / P<HALF>, m.hidden, add);
        team.wait();
        team.each(n, [&](long row) {
            norm<HALF>(b.x + row * b.hidden, l.norm2, m.hidden, m.eps, b.in + row * b.input);
        });
        team.wait();
        // A panel holds 16 columns of gate and the same 16 of up.
        product<HALF>(team, n, b.in, b.input, l.gate_up, words, 2 * m.mlp, [&](long row, long panel, f32x16 gate, f32x16 up) {
            store_row<HALF>(b.gated + row * b.act + panel * 16 / R<HALF>, gate * up / (1 + exp(-gate)));
        });
        team.wait();
        product<HALF>(team, n, b.gated, b.act, l.down, m.mlp / P<HALF>, m.hidden, add);
        team.wait();
    }
    team.each(n, [&](long row) { norm<HALF>(b.x + row * b.hidden, m.norm, m.hidden, m.eps, b.in + row * b.input); });
}

// ---- sampling ----------------------------------------------------------------------------------------------------------------

struct Draw {
    const uint64_t* keys;        // of each row's random stream
    const int32_t* counts;       // numbers it has drawn
    const float* temperatures;   // 0: the arg-max
    int32_t* tokens;
    float* logprobs;
};

double uniform(uint64_t key, uint64_t position) {  // engine.uniforms
    uint64_t x = key + (position + 1) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return ((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

// Logits become weights e^((logit - largest) / temperature) in place; the token drawn is the one at which their running sum
// passes the row's random number. The sum is fp64 over vectors of 16: fp32 would lose the tail of a large vocabulary.
void draw(float* logits, long vocab, const Draw& d, long row) {
    long padded = up(vocab, 16), at = 0, token = 0;
    for (long i = vocab; i < padded; ++i) logits[i] = -1e30f;
    f32x16 top = load(logits);
    for (long i = 16; i < padded; i += 16) top = larger(top, load(logits + i));
    bool greedy = d.temperatures[row] == 0;
    float best = largest(top), rate = greedy ? 1 : 1 / d.temperatures[row];
    if (greedy)
        while (logits[token] != best) ++token;
    double total = 0;
    for (long i = 0; i < padded; i += 16) {
        f32x16 weights = exp((load(logits + i) - best) * rate);
        store(logits + i, weights);
        total += sum(weights);
    }
    if (!greedy) {
        double left = uniform(d.keys[row], d.counts[row]) * total;
        for (float here; at + 16 < padded && left >= (here = sum(load(logits + at))); at += 16) left -= here;
        for (token = at; token < vocab - 1 && left >= logits[token]; ++token) left -= logits[token];
    }
    d.tokens[row] = token;
    d.logprobs[row] = std::log(logits[token] / total);
}

template <bool HALF>
void forward(const Model& m, const Rows& rows, const Buffers& b, bool apart, long logit_rows, const Draw* d, float* copy) {
#pragma omp parallel
    {
        int rank = omp_get_thread_num(), size = omp_get_num_threads();
        if (apart) {  // every thread takes its rows through all layers: nobody waits
            long from = rows.count * rank / size, to = rows.count * (rank + 1) / size;
            Rows mine = {to - from, rows.tokens + from, rows.positions + from, rows.sequences + from, rows.table, rows.width};
            Buffers part = b;
            part.x += from * b.hidden, part.projected += from * b.qkv, part.in += from * b.input;
            part.q += from * b.query, part.gated += from * b.act;
            layers<HALF>({0, 1}, m, mine, part, rank, d || copy);
        } else
            layers<HALF>({rank, size}, m, rows, b, rank, d || copy);
        Team team = {rank, size};
        for (long from = 0; (d || copy) && from < rows.count; from += logit_rows) {
            long n = rows.count - from < logit_rows ? rows.count - from : logit_rows;
            team.wait();
            product<HALF>(team, n, b.in + from * b.input, b.input, m.head, m.hidden / P<HALF>, m.vocab,
                [&](long row, long panel, f32x16 left, f32x16 right) {
                    float* to = b.logits + row * b.logit + panel * LANES;
                    store(to, left), store(to + 16, right);
                });
            team.wait();
            team.each(n, [&](long row) {
                if (copy) memcpy(copy + (from + row) * m.vocab, b.logits + row * b.logit, 4 * m.vocab);
                if (d) draw(b.logits + row * b.logit, m.vocab, *d, from + row);
            });
        }
    }
}

}  // namespace

// ---- what Python calls ---------------------------------------------------------------------------------------------------------

EXPORT long octo_page_bytes(const Model* m) { return 4 * m->page_words(m->layers); }

EXPORT long octo_buffer_bytes(const Model* m, long rows, long longest, long logit_rows) {
    return Buffers(*m, rows, longest, omp_get_max_threads(), logit_rows, nullptr).bytes;
}

// `apart`: no two rows are of one sequence. `draws` null: the rows' keys and values only. `copy`: logits (rows, vocab), or null.
EXPORT void octo_decode(const Model* m, const Rows* rows, long longest, long apart, long logit_rows, const Draw* draws, float* copy, char* buffers) {
    Buffers b(*m, rows->count, longest, omp_get_max_threads(), logit_rows, buffers);
    (m->half ? forward<true> : forward<false>)(*m, *rows, b, apart, logit_rows, draws, copy);
}

// A matrix (rows, columns) of fp32 or bf16 into panels [words][LANES]; its row n becomes lane n / group * stride + offset + n % group.
EXPORT void octo_pack(word* to, const void* from, long is_bf16, long rows, long columns, long group, long stride, long offset, long half) {
    long per = half ? 2 : 1, words = columns / per;
#pragma omp parallel for
    for (long first = 0; first < rows; first += 16) {
        long n = rows - first < 16 ? rows - first : 16;
        word* lanes[16];
        for (long i = 0; i < n; ++i) {
            long lane = (first + i) / group * stride + offset + (first + i) % group;
            lanes[i] = to + lane / LANES * words * LANES + lane % LANES;
        }
        for (long k = 0; k < words; ++k)
            for (long i = 0; i < n; ++i) {
                long at = (first + i) * columns + k * per;
                float v[2];
                for (long j = 0; j < per; ++j) v[j] = is_bf16 ? from_bf16(((const uint16_t*)from)[at + j]) : ((const float*)from)[at + j];
                lanes[i][k * LANES] = half ? make_word<true>(v) : make_word<false>(v);
            }
    }
}
