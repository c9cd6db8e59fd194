/* The modal scan for one type and instruction set: see loop.py for what it computes.

   A task is a block of W channels of a group of series; lane = channel, so nothing is summed across lanes in the inner
   loops. States are never stored: they are kept at every CHUNK rows and computed again backwards. The reverse sweep
   carries G, the gradient of the moved state, and q = conj(1 + m) G conj(X + hold), from which the gradients to rate
   and gap follow without dividing by anything. */

/* AT modes from n on, along the rows of a chunk: adds to y, or leaves the states before each row in `trace`. */
INLINE void NAME(advance)(Block *b, int64_t n, const int AT, const int CM, const int CR, const int PUSH, const int TRACE) {
  const R *m[MODES_AT_ONCE];
  V x[MODES_AT_ONCE], xi[MODES_AT_ONCE], w[MODES_AT_ONCE], wi[MODES_AT_ONCE];
  for (int j = 0; j < AT; j++) m[j] = NAME(factors)(b, n + j, j);
  UNROLL for (int j = 0; j < AT; j++) {
    x[j] = load(b->state + (n + j) * TWO);
    w[j] = load(b->weight + (n + j) * TWO);
    if (CM) { xi[j] = load(b->state + (n + j) * TWO + W); wi[j] = load(b->weight + (n + j) * TWO + W); }
  }
  for (int64_t k = 0; k < b->rows; k++) {
    const int64_t at = (int64_t)b->which[k] * TWO;
    const int silent = b->active && !b->active[k];
    V u = load(b->hold + k * TWO), ui = CR ? load(b->hold + k * TWO + W) : all(0);
    V y = TRACE ? all(0) : load(b->y + k * TWO), yi = CR && !TRACE ? load(b->y + k * TWO + W) : all(0);
    UNROLL for (int j = 0; j < AT; j++) {
      /* the step is summed before it is added: a part of it alone might be below half a digit of x each time */
      V mr = load(m[j] + at), s = x[j] + u, step = mr * s, stepi = all(0);
      if (TRACE) store(b->trace + (k * AT + j) * TWO, x[j]);
      if (CM) {
        V mi = load(m[j] + at + W), si = CR ? xi[j] + ui : xi[j];
        if (TRACE) store(b->trace + (k * AT + j) * TWO + W, xi[j]);
        step -= mi * si;
        stepi = mr * si + mi * s;
      }
      if (PUSH) {
        step += load(b->push + k * TWO);
        if (CR) stepi += load(b->push + k * TWO + W);
      }
      V next = x[j] + step, nexti = CM ? xi[j] + stepi : all(0);
      if (!TRACE) {
        y += w[j] * next;
        if (CM) y -= wi[j] * nexti;
        if (CR) yi += w[j] * nexti + wi[j] * next;
      }
      if (!silent) { x[j] = next; xi[j] = nexti; }
    }
    if (!TRACE) store(b->y + k * TWO, y);
    if (!TRACE && CR) store(b->y + k * TWO + W, yi);
  }
  UNROLL for (int j = 0; j < AT; j++) {
    store(b->state + (n + j) * TWO, x[j]);
    if (CM) store(b->state + (n + j) * TWO + W, xi[j]);
  }
}
static void NAME(advance_all)(Block *b) {
  const int64_t modes = b->scan->modes;
  const int kind = b->scan->complex_rows ? 2 : b->scan->complex_modes ? 1 : 0, push = b->scan->push != 0;
#define PAIRS(CM, CR, PUSH)                                                                                      \
  do {                                                                                                           \
    int64_t n = 0;                                                                                               \
    for (; n + MODES_AT_ONCE <= modes; n += MODES_AT_ONCE) NAME(advance)(b, n, MODES_AT_ONCE, CM, CR, PUSH, 0);    \
    for (; n < modes; n++) NAME(advance)(b, n, 1, CM, CR, PUSH, 0);                                              \
  } while (0)
  memset(b->y, 0, b->rows * TWO * sizeof(R));
  if (kind == 0 && !push) PAIRS(0, 0, 0);
  else if (kind == 0) PAIRS(0, 0, 1);
  else if (kind == 1 && !push) PAIRS(1, 0, 0);
  else if (kind == 1) PAIRS(1, 0, 1);
  else if (!push) PAIRS(1, 1, 0);
  else PAIRS(1, 1, 1);
#undef PAIRS
}

/* One row of the reverse sweep for one mode; what it carries from row to row. */
typedef struct { V x, xi, adj, adji, g_rate, g_ratei, g_weight, g_weighti, g_gain, g_gaini; } NAME(Sweep);

/* Mode n of the planes of a block as it enters the sweep, and what the sweep adds to them. */
INLINE NAME(Sweep) NAME(sweep_in)(const Block *b, int64_t n) {
  const R *state = b->state + n * TWO, *adjoint = b->adjoint + n * TWO;
  return (NAME(Sweep)){.x = load(state), .xi = load(state + W), .adj = load(adjoint), .adji = load(adjoint + W),
                       .g_rate = all(0), .g_ratei = all(0), .g_weight = all(0), .g_weighti = all(0),
                       .g_gain = all(0), .g_gaini = all(0)};
}
INLINE void NAME(add_to)(R *plane, V re, V im, const int CM) {
  store(plane, load(plane) + re);
  if (CM) store(plane + W, load(plane + W) + im);
}
INLINE void NAME(sweep_out)(Block *b, int64_t n, const NAME(Sweep) *z, const int CM, const int GAIN) {
  store(b->adjoint + n * TWO, z->adj);
  if (CM) store(b->adjoint + n * TWO + W, z->adji);
  NAME(add_to)(b->g_rate + n * TWO, z->g_rate, z->g_ratei, CM);
  NAME(add_to)(b->g_weight + n * TWO, z->g_weight, z->g_weighti, CM);
  if (GAIN) NAME(add_to)(b->g_gain + n * TWO, z->g_gain, z->g_gaini, CM);
}

/* A state p after the step m s that a silent row moves a copy of it by, which nobody else sees. */
INLINE void NAME(moved)(V p, V pi, V s, V si, V mr, V mi, const int CM, V *x, V *xi) {
  V step = mr * s;
  if (CM) { step -= mi * si; *xi = pi + (mr * si + mi * s); }
  *x = p + step;
}

/* G times the conjugate of dm/dz = (1 + beta m)(1 + gamma m): beta = 1, gamma = 0 for the exponential, both alpha for the
   rational. */
INLINE void NAME(through_growth)(V G, V Gi, V mr, V mi, R beta, R gamma, const int CM, V *h, V *hi) {
  V a = all(1) + beta * mr, d = all(1) + gamma * mr;
  if (CM) {
    V ai = beta * mi, di = gamma * mi, r = a * d - ai * di, ri = a * di + ai * d;
    *h = r * G + ri * Gi; *hi = r * Gi - ri * G;
  } else *h = a * d * G;
}

/* A row's part of the gradient to the rate where gap times rate is small: conj(1 + m) G conj(X) gap for the transition, and
   conj(1 + m - m / z) G conj(hold) gap for the gain m / rate of held inputs. The bracket is near z / 2 and would be lost in
   the difference, so it is summed as a series in m, whose coefficients are those of Gregory. */
INLINE void NAME(add_gain_series)(NAME(Sweep) *z, V mr, V mi, V p, V pi, V u, V ui, V G, V Gi, V h, V hi, R gap, const int CM,
                                  const int CR) {
  V k = mr * (R)(19. / 720) - (R)(1. / 24), ki = mi * (R)(19. / 720), last;
  const R rest[3] = {(R)(1. / 12), (R)0.5, 0};
  for (int i = 0; i < 3; i++) {
    last = k;
    k = CM ? rest[i] + (last * mr - ki * mi) : last * mr + rest[i];
    if (CM) ki = last * mi + ki * mr;
  }
  V a = h * p, ai = all(0), e = G * u, ei = all(0);
  if (CM) { a += hi * pi; ai = hi * p - h * pi; ei = Gi * u; }
  if (CR) { e += Gi * ui; ei -= G * ui; }
  a += k * e;
  if (CM) { a += ki * ei; ai += k * ei - ki * e; z->g_ratei += ai * gap; }
  z->g_rate += a * gap;
}

/* AT modes from n on, backwards: `trace` holds the states before each row, `state` the one after the last. */
INLINE void NAME(retreat)(Block *b, int64_t n, const int AT, const int CM, const int CR, const int GENERAL, const int SERIES) {
  const R *m[MODES_AT_ONCE];
  NAME(Sweep) c[MODES_AT_ONCE];
  V w[MODES_AT_ONCE], wi[MODES_AT_ONCE], rate[MODES_AT_ONCE], ratei[MODES_AT_ONCE];
  const R beta = b->scan->rational ? (R)b->scan->alpha : 1, gamma = b->scan->rational ? (R)b->scan->alpha : 0;
  UNROLL for (int j = 0; j < AT; j++) {
    int64_t at = (n + j) * TWO;
    m[j] = b->scan->unique ? b->table + (n + j) * b->scan->unique * TWO : b->factors + j * CHUNK * TWO;
    w[j] = load(b->weight + at); wi[j] = load(b->weight + at + W);
    rate[j] = load(b->rate + at); ratei[j] = load(b->rate + at + W);
    c[j] = NAME(sweep_in)(b, n + j);
  }
  for (int64_t k = b->rows - 1; k >= 0; k--) {
    const int64_t at = (int64_t)b->which[k] * TWO;
    const int silent = b->active && !b->active[k];
    const R gap = b->gap[k];
    V g = load(b->y + k * TWO), gi = CR ? load(b->y + k * TWO + W) : all(0);
    V u = load(b->hold + k * TWO), ui = CR ? load(b->hold + k * TWO + W) : all(0);
    V gu = load(b->g_hold + k * TWO), gui = CR ? load(b->g_hold + k * TWO + W) : all(0);
    V gp = GENERAL ? load(b->g_push + k * TWO) : all(0), gpi = GENERAL && CR ? load(b->g_push + k * TWO + W) : all(0);
    V gd = load(b->g_gap + k * TWO);
    UNROLL for (int j = 0; j < AT; j++) {
      NAME(Sweep) *z = &c[j];
      const R *before = b->trace + (k * AT + j) * TWO;
      V p = load(before), pi = CM ? load(before + W) : all(0), mr = load(m[j] + at), mi = CM ? load(m[j] + at + W) : all(0);
      V s = p + u, si = CR ? pi + ui : pi;
      V x = z->x, xi = z->xi, G = z->adj, Gi = CM ? z->adji : all(0);
      if (silent) {
        NAME(moved)(p, pi, s, si, mr, mi, CM, &x, &xi);
        G = Gi = all(0);
      }
      G += w[j] * g;
      z->g_weight += g * x;
      if (CM) { z->g_weighti -= g * xi; Gi -= wi[j] * g; }
      if (CR) {
        z->g_weight += gi * xi; z->g_weighti += gi * x;
        G += wi[j] * gi; Gi += w[j] * gi;
      }
      V t = mr * G, ti = all(0);
      if (CM) { t += mi * Gi; ti = mr * Gi - mi * G; }
      gu += t;
      if (CR) gui += ti;
      if (GENERAL) { gp += G; if (CR) gpi += Gi; }
      V next = G + t, nexti = CM ? Gi + ti : all(0);
      V h = next, hi = nexti;
      if (GENERAL) NAME(through_growth)(G, Gi, mr, mi, beta, gamma, CM, &h, &hi);
      V q = h * s, qi = all(0);
      if (CM) { q += hi * si; qi = hi * s - h * si; }
      gd += rate[j] * q;
      if (CM) gd += ratei[j] * qi;
      if (SERIES) {
        NAME(add_gain_series)(z, mr, mi, p, pi, u, ui, G, Gi, h, hi, gap, CM, CR);
      } else {
        z->g_rate += q * gap;
        z->g_gain += t * u;
        if (CM) { z->g_ratei += qi * gap; z->g_gaini += ti * u; }
        if (CR) { z->g_gain += ti * ui; z->g_gaini -= t * ui; }
      }
      if (silent) { z->adj += next; if (CM) z->adji += nexti; }
      else { z->adj = next; z->adji = nexti; }
      z->x = p; z->xi = pi;
    }
    store(b->g_hold + k * TWO, gu);
    if (CR) store(b->g_hold + k * TWO + W, gui);
    if (GENERAL) store(b->g_push + k * TWO, gp);
    if (GENERAL && CR) store(b->g_push + k * TWO + W, gpi);
    store(b->g_gap + k * TWO, gd);
  }
  UNROLL for (int j = 0; j < AT; j++) NAME(sweep_out)(b, n + j, &c[j], CM, 1);
}

/* Whether the modes from n on move so little in every gap of the chunk that the series is right to rounding. In double
   precision the plain sums have digits to spare. */
static int NAME(slow)(const Block *b, int64_t n, int64_t count) {
  R most = (R)0.04, largest = 0;
  if (DOUBLE || b->scan->push || b->scan->rational) return 0;
  for (int64_t i = n * TWO; i < (n + count) * TWO; i += TWO) {
    /* back from powers of two and turns */
    R re = b->far[i] * (R)0.69314718, im = b->far[i + 1] * (R)6.2831853;
    largest = re + im > largest ? re + im : largest;
  }
  return largest * b->longest <= most;
}
static void NAME(retreat_all)(Block *b) {
  const Scan *scan = b->scan;
  const int64_t modes = scan->modes;
  const int kind = scan->complex_rows ? 2 : scan->complex_modes ? 1 : 0, general = scan->push || scan->rational;
#define STEP(AT, CM, CR, GENERAL)                                                                                \
  do {                                                                                                           \
    NAME(advance)(b, n, AT, CM, CR, GENERAL, 1);                                                                 \
    if (!GENERAL && NAME(slow)(b, n, AT)) NAME(retreat)(b, n, AT, CM, CR, GENERAL, 1);                           \
    else NAME(retreat)(b, n, AT, CM, CR, GENERAL, 0);                                                            \
  } while (0)
#define PAIRS(CM, CR, GENERAL)                                                                                   \
  do {                                                                                                           \
    int64_t n = 0;                                                                                               \
    for (; n + MODES_AT_ONCE <= modes; n += MODES_AT_ONCE) STEP(MODES_AT_ONCE, CM, CR, GENERAL);                 \
    for (; n < modes; n++) STEP(1, CM, CR, GENERAL);                                                             \
  } while (0)
  memset(b->g_hold, 0, 3 * CHUNK * TWO * sizeof(R));
  if (kind == 0 && !general) PAIRS(0, 0, 0);
  else if (kind == 0) PAIRS(0, 0, 1);
  else if (kind == 1 && !general) PAIRS(1, 0, 0);
  else if (kind == 1) PAIRS(1, 0, 1);
  else if (!general) PAIRS(1, 1, 0);
  else PAIRS(1, 1, 1);
#undef PAIRS
#undef STEP
}
