/* The linear recurrence x_k = a_k x_{k-1} + b_k for factors that are given, forward and backward.

   Included after vectors.h, once for each type and instruction set. Lane = number of a row; the parts of a complex number
   stay neighbours, so nothing is moved but within vectors of factors. A task walks VECTORS_A_BLOCK vectors of an entry
   through all rows with the state in registers: what it costs is reading and writing memory once. */

#define VECTORS_A_BLOCK 8

/* A pair of numbers over and over, each time `step` more. */
#if W == 16
#define REPEAT(p, q, step)                                                                                           \
  p, q, p + step, q + step, p + 2 * step, q + 2 * step, p + 3 * step, q + 3 * step, p + 4 * step, q + 4 * step,          \
      p + 5 * step, q + 5 * step, p + 6 * step, q + 6 * step, p + 7 * step, q + 7 * step
#elif W == 8
#define REPEAT(p, q, step) p, q, p + step, q + step, p + 2 * step, q + 2 * step, p + 3 * step, q + 3 * step
#elif W == 4
#define REPEAT(p, q, step) p, q, p + step, q + step
#else
#define REPEAT(p, q, step) p, q
#endif
#if defined(__clang__)
#define WITHIN(a, p, q) __builtin_shufflevector(a, a, REPEAT(p, q, 2))
#else
#define WITHIN(a, p, q) __builtin_shuffle(a, (I){REPEAT(p, q, 2)})
#endif

/* a x, or conj(a) x, of numbers that are pairs where CM says so. */
INLINE V NAME(times)(V a, V x, const int CM, const int CONJ) {
  if (!CM) return a * x;
  V re = WITHIN(a, 0, 0), im = WITHIN(a, 1, 1), signs = {REPEAT(-1, 1, 0)};
  return re * x + (CONJ ? -signs : signs) * im * WITHIN(x, 1, 0);
}

/* Pointers of one entry at its first row, which is the last one in memory where the recurrence is reversed. */
typedef struct {
  const R *a, *b, *start, *x, *g;
  R *to_x, *to_a, *to_b, *to_start;
  int64_t rows, next, a_next;
} NAME(Entry);
#define Entry NAME(Entry)

/* AT vectors from number e on, the last of them with `count` lanes. */
INLINE void NAME(follow)(const Entry *p, int64_t e, int64_t count, const int AT, const int CM) {
  const R *a = p->a + e, *b = p->b + e;
  R *x = p->to_x + e;
  V last[VECTORS_A_BLOCK];
  UNROLL for (int j = 0; j < AT; j++) last[j] = p->start ? NAME(load_some)(p->start + e + j * W, count) : all(0);
  for (int64_t k = 0; k < p->rows; k++, a += p->a_next, b += p->next, x += p->next)
    UNROLL for (int j = 0; j < AT; j++) {
      last[j] = NAME(load_some)(b + j * W, count) + NAME(times)(NAME(load_some)(a + j * W, count), last[j], CM, 0);
      NAME(store_some)(x + j * W, last[j], count);
    }
}
INLINE void NAME(follow_back)(const Entry *p, int64_t e, int64_t count, const int AT, const int CM) {
  const int64_t end = p->rows - 1;
  V flow[VECTORS_A_BLOCK];
  UNROLL for (int j = 0; j < AT; j++) flow[j] = all(0);
  for (int64_t k = end; k >= 0; k--) {
    const R *before = k ? p->x + e + (k - 1) * p->next : p->start ? p->start + e : 0;
    const R *a = p->a + e + k * p->a_next, *g = p->g + e + k * p->next;
    R *to_a = p->to_a ? p->to_a + e + k * p->next : 0, *to_b = p->to_b + e + k * p->next;
    UNROLL for (int j = 0; j < AT; j++) {
      V here = flow[j] + NAME(load_some)(g + j * W, count);
      NAME(store_some)(to_b + j * W, here, count);
      if (to_a) {
        V x = before ? NAME(load_some)(before + j * W, count) : all(0);
        NAME(store_some)(to_a + j * W, NAME(times)(x, here, CM, 1), count);
      }
      flow[j] = NAME(times)(NAME(load_some)(a + j * W, count), here, CM, 1);
    }
  }
  if (p->to_start) UNROLL for (int j = 0; j < AT; j++) NAME(store_some)(p->to_start + e + j * W, flow[j], count);
}

static void NAME(follow_block)(const Entry *p, int64_t e, int64_t stop, const int CM, int backward) {
#define BLOCK(CM)                                                                                                    \
  if (!backward) {                                                                                                   \
    for (; e + VECTORS_A_BLOCK * W <= stop; e += VECTORS_A_BLOCK * W) NAME(follow)(p, e, W, VECTORS_A_BLOCK, CM);    \
    for (; e + 2 * W <= stop; e += 2 * W) NAME(follow)(p, e, W, 2, CM);                                              \
    for (; e + W <= stop; e += W) NAME(follow)(p, e, W, 1, CM);                                                      \
    if (e < stop) NAME(follow)(p, e, stop - e, 1, CM);                                                               \
  } else {                                                                                                           \
    for (; e + VECTORS_A_BLOCK * W <= stop; e += VECTORS_A_BLOCK * W) NAME(follow_back)(p, e, W, VECTORS_A_BLOCK, CM); \
    for (; e + 2 * W <= stop; e += 2 * W) NAME(follow_back)(p, e, W, 2, CM);                                         \
    for (; e + W <= stop; e += W) NAME(follow_back)(p, e, W, 1, CM);                                                 \
    if (e < stop) NAME(follow_back)(p, e, stop - e, 1, CM);                                                          \
  }
  if (CM) { BLOCK(1) } else { BLOCK(0) }
#undef BLOCK
}

static Entry NAME(entry)(const Recurrence *of, int64_t batch, int64_t outer) {
  const int64_t wide = of->outer * of->inner, at = batch * of->rows * wide + outer * of->inner;
  const int64_t from = batch * wide + outer * of->inner, last = of->reverse && of->rows ? of->rows - 1 : 0;
#define AT(pointer, place) (of->pointer ? (R *)of->pointer + (place) : 0)
  return (Entry){.a = AT(a, batch * of->a_batch + last * of->a_row),
                 .b = AT(b, at + last * wide), .start = AT(start, from), .x = AT(x, at + last * wide),
                 .g = AT(g_x, at + last * wide), .to_x = AT(x, at + last * wide), .to_a = AT(g_a, at + last * wide),
                 .to_b = AT(g_b, at + last * wide), .to_start = AT(g_start, from), .rows = of->rows,
                 .next = of->reverse ? -wide : wide, .a_next = of->reverse ? -of->a_row : of->a_row};
#undef AT
}

static void NAME(recurrence)(const Recurrence *of, int backward) {
  const int64_t block = VECTORS_A_BLOCK * W, blocks = (of->inner + block - 1) / block;
  const int64_t tasks = of->batch * of->outer * blocks;
  const int threads = tasks > 1 && tasks * of->rows * block > WORTH_THREADS ? (int)of->threads : 1;
  (void)threads;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
#endif
  for (int64_t task = 0; task < tasks; task++) {
    const int64_t entry = task / blocks, e = task % blocks * block, stop = of->inner - e < block ? of->inner : e + block;
    const Entry p = NAME(entry)(of, entry / of->outer, entry % of->outer);
    NAME(follow_block)(&p, e, stop, (int)of->complex, backward);
  }
}

#undef VECTORS_A_BLOCK
#undef REPEAT
#undef WITHIN
#undef Entry
