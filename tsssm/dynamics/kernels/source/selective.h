/* The selective modal scan for one type and instruction set: gaps of each channel, or of all, and B and C of each row.

   Lane = channel, as in scan.h, so gaps are vectors, and the numbers of B and C are the same in all lanes. Modes go two
   by two; an odd number is filled up with a mode of zeros. The sums over channels that g_B and g_C need are left for
   after the loop over rows: folding two vectors into one, level by level, adds W lanes for three instructions each. */

#define PAIR 2

/* A block of channels at work. Its `block` holds what lies in planes (mode, part, lane); rows here have W lanes each. */
typedef struct {
  NAME(Block) block;
  const Selective *scan;
  const uint8_t *active;
  int64_t rows, modes;                                                       /* modes are even here */
  R *gap, *hold, *push, *y, *g_gap, *g_hold, *g_push;
  R *B, *C;                                                                  /* rows of real, then imaginary parts */
  R *factors, *trace, *sums;
} NAME(Rows);
#define Rows NAME(Rows)

/* Sums of neighbours: those of a in the first half, those of b in the second. Of W vectors, folded in pairs until one is
   left, lane j is the sum of vector j. */
INLINE V NAME(fold)(V a, V b) { return SHUFFLE(a, b, EVENS) + SHUFFLE(a, b, ODDS); }

/* exp(rate gap) - 1, or the rational z / (1 - alpha z), of two modes on all rows: planes (row, mode, part, lane). */
INLINE void NAME(selective_factors)(Rows *b, int64_t n, const int CM) {
  const int rational = (int)b->scan->scan.rational;
  const R alpha = (R)b->scan->scan.alpha, *from = (rational ? b->block.rate : b->block.speed) + n * TWO, *gaps = b->gap;
  const int64_t rows = b->rows, wide = CM ? TWO : W;
  R *to = b->factors;
  V re[PAIR], im[PAIR];
  UNROLL for (int j = 0; j < PAIR; j++) { re[j] = load(from + j * TWO); im[j] = load(from + j * TWO + W); }
  if (rational)
    for (int64_t k = 0; k < rows; k++)
      UNROLL for (int j = 0; j < PAIR; j++, to += wide) {
        V gap = load(gaps + k * W), z = re[j] * gap, d = all(1) - alpha * z;
        if (CM) {
          V zi = im[j] * gap, di = -alpha * zi, over = all(1) / (d * d + di * di);
          store(to, (z * d + zi * di) * over);
          store(to + W, (zi * d - z * di) * over);
        } else store(to, z / d);
      }
  else
    for (int64_t k = 0; k < rows; k++)
      UNROLL for (int j = 0; j < PAIR; j++, to += wide) {
        V gap = load(gaps + k * W), m, mi;
        if (CM) {
          NAME(expm1_complex)(re[j] * gap, im[j] * gap, &m, &mi);
          store(to + W, mi);
        } else m = NAME(exp2m1)(re[j] * gap, &mi);
        store(to, m);
      }
}

/* Two modes from n on, along the rows of a chunk: adds to y, or leaves the states before each row in `trace`. CM says
   that the modes are complex, CB that B or C are. */
INLINE void NAME(selective_advance)(Rows *b, int64_t n, const int CM, const int CB, const int HOLD, const int PUSH,
                                    const int TRACE) {
  /* vectors alias everything, so what is not local would be read again after each store */
  const R *hold = b->hold, *push = b->push, *m = b->factors, *B = b->B + n, *C = b->C + n;
  const uint8_t *active = b->active;
  const int64_t rows = b->rows, wide = CM ? TWO : W, imag = b->modes, next_row = 2 * b->modes;
  R *ys = b->y, *trace = b->trace, *state = b->block.state + n * TWO, *weight = b->block.weight + n * TWO;
  V x[PAIR], xi[PAIR], w[PAIR], wi[PAIR];
  NAME(selective_factors)(b, n, CM);
  UNROLL for (int j = 0; j < PAIR; j++) {
    x[j] = load(state + j * TWO); xi[j] = load(state + j * TWO + W);
    w[j] = load(weight + j * TWO); wi[j] = load(weight + j * TWO + W);
  }
  for (int64_t k = 0; k < rows; k++, B += next_row, C += next_row) {
    const int silent = active && !active[k];
    V u = HOLD ? load(hold + k * W) : all(0), p = PUSH ? load(push + k * W) : all(0), y = TRACE ? all(0) : load(ys + k * W);
    UNROLL for (int j = 0; j < PAIR; j++, m += wide) {
      V s = x[j], si = xi[j], mr = load(m), mi = CM ? load(m + W) : all(0);
      if (TRACE) {
        store(trace + (k * PAIR + j) * wide, s);
        if (CM) store(trace + (k * PAIR + j) * wide + W, si);
      }
      /* the step is summed before it is added: a part of it alone might be below half a digit of x each time */
      V step = PUSH ? B[j] * p : all(0), stepi = PUSH && CB ? B[imag + j] * p : all(0);
      if (HOLD) { s += B[j] * u; if (CB) si += B[imag + j] * u; }
      step += mr * s;
      if (CM) { step -= mi * si; stepi += mr * si; stepi += mi * s; }
      V next = x[j] + step, nexti = CM ? xi[j] + stepi : all(0);
      if (!TRACE) {
        V moved = w[j] * next;
        if (CM) moved -= wi[j] * nexti;
        y += C[j] * moved;
        if (CB) y -= C[imag + j] * (w[j] * nexti + wi[j] * next);
      }
      if (!silent) { x[j] = next; xi[j] = nexti; }
    }
    if (!TRACE) store(ys + k * W, y);
  }
  UNROLL for (int j = 0; j < PAIR; j++) { store(state + j * TWO, x[j]); store(state + j * TWO + W, xi[j]); }
}

/* Two modes from n on, backwards: `trace` holds the states before each row, `state` the one after the last. Adds to the
   gradients of rows and of parameters, and leaves those of B and C, folded once, in `sums`: (row, mode, part, lane). */
INLINE void NAME(selective_retreat)(Rows *b, int64_t n, const int CM, const int CB, const int HOLD, const int PUSH,
                                    const int ANY) {
  const int64_t imag = b->modes, next_row = 2 * b->modes, wide = CM ? TWO : W, last = b->rows - 1;
  const R *hold = b->hold, *push = b->push, *gaps = b->gap, *ys = b->y;
  const R *B = b->B + n + last * next_row, *C = b->C + n + last * next_row;
  const R *factors = b->factors, *trace = b->trace, *weights = b->block.weight + n * TWO, *rates = b->block.rate + n * TWO;
  const uint8_t *active = b->active;
  const R alpha = (R)b->scan->scan.alpha, beta = b->scan->scan.rational ? alpha : 1, gamma = b->scan->scan.rational ? alpha : 0;
  R *sums = b->sums, *g_gaps = b->g_gap, *g_hold = b->g_hold, *g_push = b->g_push;
  NAME(Sweep) c[PAIR];
  V w[PAIR], wi[PAIR], rate[PAIR], ratei[PAIR], folded[PAIR];
  UNROLL for (int j = 0; j < PAIR; j++) {
    w[j] = load(weights + j * TWO); wi[j] = load(weights + j * TWO + W);
    rate[j] = load(rates + j * TWO); ratei[j] = load(rates + j * TWO + W);
    c[j] = NAME(sweep_in)(&b->block, n + j);
  }
  for (int64_t k = last; k >= 0; k--, B -= next_row, C -= next_row) {
    const int silent = active && !active[k];
    V g = load(ys + k * W), gap = load(gaps + k * W), g_gap = load(g_gaps + k * W);
    V u = HOLD ? load(hold + k * W) : all(0), gu = HOLD ? load(g_hold + k * W) : all(0);
    V p = PUSH ? load(push + k * W) : all(0), gp = PUSH ? load(g_push + k * W) : all(0);
    UNROLL for (int j = 0; j < PAIR; j++) {
      NAME(Sweep) *z = &c[j];
      const R *before = trace + (k * PAIR + j) * wide, *m = factors + (k * PAIR + j) * wide;
      V from = load(before), fromi = CM ? load(before + W) : all(0), mr = load(m), mi = CM ? load(m + W) : all(0);
      V s = from, si = fromi, x = z->x, xi = z->xi;
      if (HOLD) { s += B[j] * u; if (CB) si += B[imag + j] * u; }
      if (silent) NAME(moved)(from, fromi, s, si, mr, mi, CM, &x, &xi);
      V gc = C[j] * g, gci = CB ? -C[imag + j] * g : all(0), G = w[j] * gc, Gi = CM ? -wi[j] * gc : all(0);
      V g_C, g_Ci = all(0), g_B = all(0), g_Bi = all(0);
      z->g_weight += gc * x;
      g_C = w[j] * x;
      if (CM) { z->g_weighti -= gc * xi; g_C -= wi[j] * xi; }
      if (CB) {
        G += wi[j] * gci; Gi += w[j] * gci;
        z->g_weight += gci * xi; z->g_weighti += gci * x;
        g_Ci = -g * (w[j] * xi + wi[j] * x);
      }
      g_C *= g;
      if (!silent) { G += z->adj; if (CM) Gi += z->adji; }
      V t = mr * G, ti = all(0);
      if (CM) { t += mi * Gi; ti = mr * Gi - mi * G; }
      if (HOLD) { gu += B[j] * t; g_B = u * t; if (CB) { gu += B[imag + j] * ti; g_Bi = u * ti; } }
      if (PUSH) { gp += B[j] * G; g_B += p * G; if (CB) { gp += B[imag + j] * Gi; g_Bi += p * Gi; } }
      folded[j] = NAME(fold)(g_B, g_C);
      if (CB) {
        V imaginary = NAME(fold)(g_Bi, g_Ci);
        if (W == 2) { store(sums + (k * PAIR + j) * TWO, folded[j]); store(sums + (k * PAIR + j) * TWO + W, imaginary); }
        else store(sums + (k * PAIR + j) * W, NAME(fold)(folded[j], imaginary));
      }
      V next = G + t, nexti = CM ? Gi + ti : all(0), h = next, hi = nexti;
      if (ANY) NAME(through_growth)(G, Gi, mr, mi, beta, gamma, CM, &h, &hi);
      V q = h * s, qi = all(0);
      if (CM) { q += hi * si; qi = hi * s - h * si; z->g_ratei += qi * gap; g_gap += ratei[j] * qi; }
      z->g_rate += q * gap;
      g_gap += rate[j] * q;
      if (silent) { z->adj += next; if (CM) z->adji += nexti; }
      else { z->adj = next; z->adji = nexti; }
      z->x = from; z->xi = fromi;
    }
    if (!CB && W == 2) { store(sums + k * TWO, folded[0]); store(sums + k * TWO + W, folded[1]); }
    else if (!CB) store(sums + k * W, NAME(fold)(folded[0], folded[1]));
    store(g_gaps + k * W, g_gap);
    if (HOLD) store(g_hold + k * W, gu);
    if (PUSH) store(g_push + k * W, gp);
  }
  UNROLL for (int j = 0; j < PAIR; j++) NAME(sweep_out)(&b->block, n + j, &c[j], CM, 0);
}

/* The rest of the folding, and what it gives added to a part of the sums: (row, mode, part, B or C). */
INLINE void NAME(fold_sums)(const Rows *b, int64_t n, const int CB, R *restrict part) {
  const int NUMBERS = PAIR * (CB ? 4 : 2);
  const int64_t rows = b->rows, step = b->modes * NUMBERS / PAIR;
  int64_t count = rows * NUMBERS / (W == 2 ? 2 : 4);
  R *restrict sums = b->sums;
  for (int64_t lanes = W / 4; lanes > 1; lanes /= 2) {
    count = (count + 1) / 2;
    for (int64_t i = 0; i < count; i++)
      store(sums + i * W, NAME(fold)(load(sums + 2 * i * W), load(sums + (2 * i + 1) * W)));
  }
  part += n * NUMBERS / PAIR;
  for (int64_t k = 0; k < rows; k++)
    UNROLL for (int64_t i = 0; i < NUMBERS; i++) part[k * step + i] += sums[k * NUMBERS + i];
}

/* Both sweeps over all modes of a chunk; `part` is where the sums of g_B and g_C go, null for the forward pass. */
#define SWEEP(CM, CB, HOLD, PUSH, ANY)                                                 \
  for (int64_t n = 0; n < b->modes; n += PAIR) {                                       \
    if (!part) {                                                                       \
      NAME(selective_advance)(b, n, CM, CB, HOLD, PUSH, 0);                            \
      continue;                                                                        \
    }                                                                                  \
    NAME(selective_advance)(b, n, CM, CB, HOLD, PUSH, 1);                              \
    NAME(selective_retreat)(b, n, CM, CB, HOLD, PUSH, ANY);                            \
    NAME(fold_sums)(b, n, CB, part);                                                   \
  }
static void NAME(sweep)(Rows *b, R *part) {
  const Selective *scan = b->scan;
  const int complex = (int)scan->scan.complex_modes, hold = scan->scan.hold != 0, push = scan->scan.push != 0;
  const int any = scan->scan.rational || (hold && push);
  if (scan->complex_B || scan->complex_C) SWEEP(1, 1, 1, 1, 1)
  else if (any && complex) SWEEP(1, 0, 1, 1, 1)
  else if (any) SWEEP(0, 0, 1, 1, 1)
  else if (hold && complex) SWEEP(1, 0, 1, 0, 0)
  else if (hold) SWEEP(0, 0, 1, 0, 0)
  else if (complex) SWEEP(1, 0, 0, 1, 0)
  else SWEEP(0, 0, 0, 1, 0)
}
#undef SWEEP
