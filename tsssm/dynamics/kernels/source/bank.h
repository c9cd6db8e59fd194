/* A bank of damped oscillators driven by the slope of a path, read out and pooled over time, in floats: bank_loop.py says
   what is computed.

   Included after vectors.h, once for each instruction set. Lane = group. A task walks a block of W groups through its
   series, NODES nodes at a time: states are advanced and stored first, which fits the first cache, and each readout then
   goes over them with its coefficients and sums in registers. Sums over NODES nodes are floats, and doubles beyond; where
   a series comes in pieces, the sums of the nodes since the last full count are carried, so the order of all sums and
   with it every bit of the pools is that of the whole series. */

INLINE V NAME(larger)(V a, V b) {
#if defined(__x86_64__) && BYTES == 64
  return (V)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__x86_64__) && BYTES == 32
  return (V)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__x86_64__)
  return (V)_mm_max_ps((__m128)a, (__m128)b);
#else
  return NAME(pick)(a > b, a, b);
#endif
}
INLINE V NAME(smaller)(V a, V b) {
#if defined(__x86_64__) && BYTES == 64
  return (V)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__x86_64__) && BYTES == 32
  return (V)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__x86_64__)
  return (V)_mm_min_ps((__m128)a, (__m128)b);
#else
  return NAME(pick)(a < b, a, b);
#endif
}

/* W groups at work, all planes of W lanes, and where the series at hand stands: `pooled` nodes are in the sums, and one
   more waits in `state` for the gap behind it to be known. */
#define Work NAME(Work)
typedef struct {
  const Bank *bank;
  int64_t first, count;
  double *sums;                                                       /* (R, Q + SUMS) */
  R *speed, *inverse;                                                 /* (K, 3): doublings, turns, rest of turns; (K, 2) */
  R *mix, *readout, *gain, *threshold, *steepness;                    /* (c), (R, K, 2), (R), (R, Q), (R) */
  R *state, *path, *known, *factors, *recent;                         /* (NODES + 1, K, 2), (NODES + 1), (R, Q + RECENT) */
  const R *table;
  double memo, clock, before, origin;
  int64_t pooled, known_from, known_end;
  R weight[NODES], late[NODES];
} Work;

/* The 12 leading bits of a number: products of two such are exact. */
INLINE R NAME(leading)(double x) {
  float lead = (float)x;
  uint32_t bits;
  memcpy(&bits, &lead, sizeof bits);
  bits &= 0xFFFFF000u;
  memcpy(&lead, &bits, sizeof bits);
  return lead;
}

/* E = expm1(rate h) and E / (rate h) of all oscillators: planes (K, 4). Turns are an exact product and a small rest, so
   that many of them lose no more than few; steps too short to see are jumps. */
static void NAME(bank_factors)(const Work *b, double h, R *to) {
  const double fast = b->bank->fast, reach = fast * h < 1e-12 ? 1e-12 : fast * h > 1e15 ? 1e15 : fast * h;
  const R shrink = (R)(1 / reach), whole = (R)reach, lead = NAME(leading)(reach), less = (R)(reach - lead);
  const R *speed = b->speed, *inverse = b->inverse;
  for (int64_t k = 0; k < b->bank->modes; k++, to += 4 * W, speed += 3 * W, inverse += 2 * W) {
    V turn = load(speed + W) * lead, rest = load(speed + W) * less + load(speed + 2 * W) * whole;
    V e, ei, f = load(inverse) * shrink, fi = load(inverse + W) * shrink;
    NAME(expm1_complex)(load(speed) * whole, NAME(past_integer)(turn) + rest, &e, &ei);
    store(to, e);
    store(to + W, ei);
    store(to + 2 * W, e * f - ei * fi);
    store(to + 3 * W, e * fi + ei * f);
  }
}

/* The path at the next rows. */
static void NAME(bank_mix)(Work *b, int64_t row, int64_t end) {
  const int64_t c = b->bank->channels, rows = end - row < ROWS_AT_ONCE ? end - row : ROWS_AT_ONCE;
  const R *u = b->bank->values + row * c;
  b->known_from = row; b->known_end = row + rows;
  if (rows == ROWS_AT_ONCE) {
    V v[ROWS_AT_ONCE];
    UNROLL for (int i = 0; i < ROWS_AT_ONCE; i++) v[i] = all(0);
    for (int64_t n = 0; n < c; n++)
      UNROLL for (int i = 0; i < ROWS_AT_ONCE; i++) v[i] += load(b->mix + n * W) * u[i * c + n];
    UNROLL for (int i = 0; i < ROWS_AT_ONCE; i++) store(b->known + i * W, v[i]);
  } else
    for (int64_t i = 0; i < rows; i++) {
      V v = all(0);
      for (int64_t n = 0; n < c; n++) v += load(b->mix + n * W) * u[i * c + n];
      store(b->known + i * W, v);
    }
}

/* States of all oscillators one step on, from slot `at` to the next. */
INLINE void NAME(bank_step)(R *at, const R *factors, V rise, int64_t modes) {
  R *to = at + 2 * modes * W;
  for (int64_t k = 0; k < modes; k++, at += 2 * W, to += 2 * W, factors += 4 * W) {
    V x = load(at), xi = load(at + W), e = load(factors), ei = load(factors + W);
    store(to, x + (load(factors + 2 * W) * rise + (e * x - ei * xi)));
    store(to + W, xi + (load(factors + 3 * W) * rise + (e * xi + ei * x)));
  }
}

/* One readout over `nodes` nodes. K and Q are known to the compiler where the call says so. */
INLINE void NAME(bank_pool)(Work *b, int64_t r, int64_t nodes, const int64_t K, const int64_t Q) {
  const R *readout = b->readout + r * K * 2 * W, *threshold = b->threshold + r * Q * W, *x = b->state;
  R *recent = b->recent + r * (Q + RECENT) * W, *rest = recent + Q * W;
  const V gain = load(b->gain + r * W), steepness = load(b->steepness + r * W), zero = all(0), one = all(1);
  V earlier, share[MOST_THRESHOLDS];
  const double *run_before = b->sums + (r * (Q + SUMS) + Q + RUN) * W;
  for (int j = 0; j < W; j++) earlier[j] = (R)run_before[j];
  V square = load(rest + SQUARE * W), ups = load(rest + UPS * W), lean = load(rest + LEAN * W), run = load(rest + RUN * W);
  V keep = load(rest + KEEP * W), last = load(rest + LAST * W), top = load(rest + HIGHEST * W), low = load(rest + LOWEST * W);
  V longest = load(rest + LONGEST * W);
  UNROLL for (int64_t q = 0; q < Q; q++) share[q] = load(recent + q * W);
  for (int64_t i = 0; i < nodes; i++, x += 2 * K * W) {
    V y = gain * load(b->path + i * W), odd = zero;
    UNROLL for (int64_t k = 0; k < K; k++) {
      y += load(readout + 2 * k * W) * load(x + 2 * k * W);
      odd += load(readout + (2 * k + 1) * W) * load(x + (2 * k + 1) * W);
    }
    y += odd;
    const V w = all(b->weight[i]), z = y * steepness;
    const V on = NAME(smaller)(NAME(larger)(z - load(threshold), zero), one);
    share[0] += w * on;
    UNROLL for (int64_t q = 1; q < Q; q++)
      share[q] += w * NAME(smaller)(NAME(larger)(z - load(threshold + q * W), zero), one);
    square += w * y * y;
    top = NAME(larger)(top, y);
    low = NAME(smaller)(low, y);
    lean += on * b->late[i];
    run = on * (run + w);
    keep *= on;
    longest = NAME(larger)(longest, keep * earlier + run);
    ups += NAME(larger)(on - last, zero);
    last = on;
  }
  UNROLL for (int64_t q = 0; q < Q; q++) store(recent + q * W, share[q]);
  store(rest + SQUARE * W, square); store(rest + UPS * W, ups); store(rest + LEAN * W, lean); store(rest + RUN * W, run);
  store(rest + KEEP * W, keep); store(rest + LAST * W, last); store(rest + HIGHEST * W, top); store(rest + LOWEST * W, low);
  store(rest + LONGEST * W, longest);
}

/* Moves the float sums of the nodes since `origin` into the doubles. */
static void NAME(bank_flush)(Work *b) {
  const int64_t Q = b->bank->thresholds;
  for (int64_t r = 0; r < b->bank->readouts; r++) {
    R *recent = b->recent + r * (Q + RECENT) * W, *keep = recent + (Q + KEEP) * W;
    double *sums = b->sums + r * (Q + SUMS) * W, *lean = sums + (Q + LEAN) * W, *run = sums + (Q + RUN) * W;
    for (int64_t j = 0; j < W; j++) {
      run[j] *= keep[j];
      lean[j] += b->origin * recent[j];
      keep[j] = 1;
    }
    for (int64_t i = 0; i < (Q + SUMS) * W; i++) sums[i] += recent[i];
    memset(recent, 0, (Q + SUMS) * W * sizeof(R));
  }
  b->origin = b->clock;
}

/* Pools the first `nodes` of the slots, which end where the clock stands. */
static void NAME(bank_read)(Work *b, int64_t nodes) {
  const int64_t K = b->bank->modes, Q = b->bank->thresholds;
  for (int64_t r = 0; r < b->bank->readouts; r++) {
    if (K == 4 && Q == 4) NAME(bank_pool)(b, r, nodes, 4, 4);
    else if (K == 4 && Q == 3) NAME(bank_pool)(b, r, nodes, 4, 3);
    else if (Q == 4) NAME(bank_pool)(b, r, nodes, K, 4);
    else if (Q == 1) NAME(bank_pool)(b, r, nodes, K, 1);
    else NAME(bank_pool)(b, r, nodes, K, Q);
  }
  b->pooled += nodes;
  if (b->pooled % NODES == 0) NAME(bank_flush)(b);
}

/* Walks all rows from `row` on: each node is pooled when the gap behind it is known. */
static void NAME(bank_walk)(Work *b, int64_t row, int64_t end) {
  const Bank *bank = b->bank;
  const int64_t K = bank->modes;
  int64_t part = 0;
  double base = b->clock;
  b->known_end = 0;
  while (row < end) {
    int64_t i = 0, room = NODES - b->pooled % NODES;
    for (; i < room && row < end; i++) {
      const double h = bank->step[row];
      const int64_t parts = bank->parts[row] > 1 ? bank->parts[row] : 1;
      if (row >= b->known_end) NAME(bank_mix)(b, row, end);
      const R *factors = b->table + (bank->unique ? bank->which[row] * 4 * K * W : 0);
      if (!bank->unique && h != b->memo) { NAME(bank_factors)(b, h, b->factors); b->memo = h; }
      /* where the row before lies is lost on the way, but what is left to go is known */
      const V target = load(b->known + (row - b->known_from) * W), v = load(b->path + i * W);
      const V rise = parts - part > 1 ? (target - v) * (R)(1. / (double)(parts - part)) : target - v;
      const double w = 0.5 * (b->before + h);
      b->weight[i] = (R)w;
      b->late[i] = (R)(w * (b->clock - b->origin));
      NAME(bank_step)(b->state + i * 2 * K * W, factors, rise, K);
      part++;
      store(b->path + (i + 1) * W, part == parts ? target : v + rise);
      b->before = h;
      b->clock = part == parts ? base + bank->gap[row] : base + h * (double)part;
      if (part == parts) { base = b->clock; part = 0; row++; }
    }
    NAME(bank_read)(b, i);
    memcpy(b->state, b->state + i * 2 * K * W, 2 * K * W * sizeof(R));
    memcpy(b->path, b->path + i * W, W * sizeof(R));
  }
}

#include "bank_tasks.h"

#undef Work
