/* The modal scan for one type and instruction set: see loop.py for what it computes.

   A task is a block of W channels of a group of series; lane = channel, so nothing is summed across lanes in the inner
   loops. States are never stored: they are kept at every CHUNK rows and computed again backwards. The reverse sweep
   carries G, the gradient of the moved state, and q = conj(1 + m) G conj(X + hold), from which the gradients to rate
   and gap follow without dividing by anything. */

#define TWO (2 * W)

/* A block of channels at work. Rows are staged in `hold`, `push`, `y`: real parts, then imaginary parts, a row. */
typedef struct {
  const Scan *scan;
  int64_t first, count, rows;
  const R *gap, *table;
  const int32_t *which;
  const uint8_t *active;
  R *rate, *speed, *weight, *state, *hold, *push, *y, *factors;                 /* forward */
  R *adjoint, *trace, *g_hold, *g_push, *g_gap, *g_rate, *g_weight;             /* backward */
} NAME(Block);
#define Block NAME(Block)

static R *NAME(open)(Block *b, const Scan *scan, int64_t first, int backward) {
  int64_t modes = scan->modes * TWO, rows = CHUNK * TWO;
  int64_t size = 4 * modes + (3 + MODES_AT_ONCE) * rows + (backward ? modes + (3 + MODES_AT_ONCE) * rows : 0);
  R *all = allocate(size * sizeof(R)), *p = all;
  memset(b, 0, sizeof *b);
  if (!all) return all;
  b->scan = scan; b->first = first;
  b->count = scan->channels - first < W ? scan->channels - first : W;
  b->rate = p; b->speed = p += modes; b->weight = p += modes; b->state = p += modes; b->hold = p += modes;
  b->push = p += rows; b->y = p += rows; b->factors = p += rows; p += MODES_AT_ONCE * rows;
  if (backward) { b->adjoint = p; b->g_hold = p += modes; b->g_push = p += rows; b->g_gap = p += rows; b->trace = p + rows; }
  memset(b->hold, 0, 2 * rows * sizeof(R));
  return all;
}

/* Entries (channel, mode) of a parameter or state, to planes (mode, part, lane) and back. Missing lanes are 0. */
INLINE void NAME(gather)(const Block *b, const R *from, R *to, int complex) {
  int64_t modes = b->scan->modes;
  for (int64_t n = 0; n < modes; n++)
    for (int64_t j = 0; j < W; j++) {
      const R *p = from + ((b->first + j) * modes + n) * (complex ? 2 : 1);
      to[n * TWO + j] = j < b->count ? p[0] : 0;
      to[n * TWO + W + j] = complex && j < b->count ? p[1] : 0;
    }
}
INLINE void NAME(scatter)(const Block *b, const R *from, R *to, int complex) {
  int64_t modes = b->scan->modes;
  for (int64_t n = 0; n < modes; n++)
    for (int64_t j = 0; j < b->count; j++) {
      R *p = to + ((b->first + j) * modes + n) * (complex ? 2 : 1);
      p[0] = from[n * TWO + j];
      if (complex) p[1] = from[n * TWO + W + j];
    }
}

static void NAME(read_parameters)(Block *b) {
  const Scan *scan = b->scan;
  NAME(gather)(b, scan->rate, b->rate, scan->complex_modes);
  NAME(gather)(b, scan->weight, b->weight, scan->complex_modes);
  for (int64_t i = 0; i < scan->modes * TWO; i++)
    b->speed[i] = b->rate[i] * (R)((i / W) % 2 ? 0.15915494309189533577 : 1.44269504088896340736);
}

/* exp(rate gap) - 1, or the rational z / (1 - alpha z), of one mode at several gaps: planes (gap, part, lane). */
static void NAME(fill_factors)(const Block *b, int64_t n, const R *gap, int64_t count, R *to) {
  R alpha = (R)b->scan->alpha;
  int rational = b->scan->rational, complex = (int)b->scan->complex_modes;
  V re = load((rational ? b->rate : b->speed) + n * TWO), im = load((rational ? b->rate : b->speed) + n * TWO + W);
  if (!rational && complex)
    for (int64_t k = 0; k < count; k++) {
      V m, mi;
      NAME(expm1_complex)(re * gap[k], im * gap[k], &m, &mi);
      store(to + k * TWO, m);
      store(to + k * TWO + W, mi);
    }
  else if (!rational)
    for (int64_t k = 0; k < count; k++) {
      V exp;
      store(to + k * TWO, NAME(exp2m1)(re * gap[k], &exp));
    }
  else
    for (int64_t k = 0; k < count; k++) {
      V z = re * gap[k], zi = im * gap[k], d = all(1) - alpha * z, di = -alpha * zi, over = all(1) / (d * d + di * di);
      store(to + k * TWO, (z * d + zi * di) * over);
      store(to + k * TWO + W, (zi * d - z * di) * over);
    }
}

/* Rows of an input, to planes. Silent rows bring none. */
static void NAME(stage)(const Block *b, const R *from, R *to, int64_t row) {
  int64_t channels = b->scan->channels;
  if (!from) return;
  for (int64_t k = 0; k < b->rows; k++) {
    int64_t at = (row + k) * channels + b->first;
    if (b->active && !b->active[k]) memset(to + k * TWO, 0, TWO * sizeof(R));
    else if (b->scan->complex_rows) NAME(load_pairs)(from + 2 * at, b->count, to + k * TWO, to + k * TWO + W);
    else store(to + k * TWO, NAME(load_some)(from + at, b->count));
  }
}
static void NAME(unstage)(const Block *b, const R *from, R *to, int64_t row) {
  int64_t channels = b->scan->channels;
  if (!to) return;
  for (int64_t k = 0; k < b->rows; k++) {
    int64_t at = (row + k) * channels + b->first;
    if (b->scan->complex_rows) NAME(store_pairs)(to + 2 * at, b->count, from + k * TWO, from + k * TWO + W);
    else NAME(store_some)(to + at, load(from + k * TWO), b->count);
  }
}

/* Point the block at a chunk of rows. */
static void NAME(enter)(Block *b, int64_t row, int64_t rows) {
  const Scan *scan = b->scan;
  b->rows = rows;
  b->gap = (const R *)scan->gap + row;
  b->active = scan->active ? scan->active + row : 0;
  b->which = scan->unique ? scan->which + row : counting;
  b->table = (const R *)scan->table + b->first / W * scan->modes * scan->unique * TWO;
  NAME(stage)(b, scan->hold, b->hold, row);
  NAME(stage)(b, scan->push, b->push, row);
}
static const R *NAME(factors)(const Block *b, int64_t n, int64_t j) {
  if (b->scan->unique) return b->table + n * b->scan->unique * TWO;
  R *to = b->factors + j * CHUNK * TWO;
  NAME(fill_factors)(b, n, b->gap, b->rows, to);
  return to;
}

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
      V mr = load(m[j] + at), s = x[j] + u, next = x[j] + mr * s, nexti = all(0);
      if (TRACE) store(b->trace + (k * AT + j) * TWO, x[j]);
      if (CM) {
        V mi = load(m[j] + at + W), si = CR ? xi[j] + ui : xi[j];
        if (TRACE) store(b->trace + (k * AT + j) * TWO + W, xi[j]);
        next -= mi * si;
        nexti = xi[j] + mr * si + mi * s;
      }
      if (PUSH) {
        next += load(b->push + k * TWO);
        if (CR) nexti += load(b->push + k * TWO + W);
      }
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
typedef struct { V x, xi, adj, adji, g_rate, g_ratei, g_weight, g_weighti; } NAME(Sweep);

/* AT modes from n on, backwards: `trace` holds the states before each row, `state` the one after the last. */
INLINE void NAME(retreat)(Block *b, int64_t n, const int AT, const int CM, const int CR, const int GENERAL, const int GAP) {
  const R *m[MODES_AT_ONCE];
  NAME(Sweep) c[MODES_AT_ONCE];
  V w[MODES_AT_ONCE], wi[MODES_AT_ONCE], rate[MODES_AT_ONCE], ratei[MODES_AT_ONCE];
  /* dm/dz = (1 + beta m)(1 + gamma m): beta = 1, gamma = 0 for the exponential, both alpha for the rational */
  const R beta = b->scan->rational ? (R)b->scan->alpha : 1, gamma = b->scan->rational ? (R)b->scan->alpha : 0;
  UNROLL for (int j = 0; j < AT; j++) {
    int64_t at = (n + j) * TWO;
    m[j] = b->scan->unique ? b->table + (n + j) * b->scan->unique * TWO : b->factors + j * CHUNK * TWO;
    w[j] = load(b->weight + at); wi[j] = load(b->weight + at + W);
    rate[j] = load(b->rate + at); ratei[j] = load(b->rate + at + W);
    c[j] = (NAME(Sweep)){.x = load(b->state + at), .xi = load(b->state + at + W), .adj = load(b->adjoint + at),
                         .adji = load(b->adjoint + at + W), .g_rate = all(0), .g_ratei = all(0), .g_weight = all(0), .g_weighti = all(0)};
  }
  for (int64_t k = b->rows - 1; k >= 0; k--) {
    const int64_t at = (int64_t)b->which[k] * TWO;
    const int silent = b->active && !b->active[k];
    const R gap = b->gap[k];
    V g = load(b->y + k * TWO), gi = CR ? load(b->y + k * TWO + W) : all(0);
    V u = load(b->hold + k * TWO), ui = CR ? load(b->hold + k * TWO + W) : all(0);
    V gu = load(b->g_hold + k * TWO), gui = CR ? load(b->g_hold + k * TWO + W) : all(0);
    V gp = GENERAL ? load(b->g_push + k * TWO) : all(0), gpi = GENERAL && CR ? load(b->g_push + k * TWO + W) : all(0);
    V gd = GAP ? load(b->g_gap + k * TWO) : all(0);
    UNROLL for (int j = 0; j < AT; j++) {
      NAME(Sweep) *z = &c[j];
      const R *before = b->trace + (k * AT + j) * TWO;
      V p = load(before), pi = CM ? load(before + W) : all(0), mr = load(m[j] + at), mi = CM ? load(m[j] + at + W) : all(0);
      V s = p + u, si = CR ? pi + ui : pi;
      V x = z->x, xi = z->xi, G = w[j] * g, Gi = all(0);
      if (silent) {
        /* a silent row moves a copy of the state that nobody else sees */
        x = p + mr * s;
        if (CM) { x -= mi * si; xi = pi + mr * si + mi * s; }
      }
      z->g_weight += g * x;
      if (CM) { z->g_weighti -= g * xi; Gi = -wi[j] * g; }
      if (CR) {
        z->g_weight += gi * xi; z->g_weighti += gi * x;
        G += wi[j] * gi; Gi += w[j] * gi;
      }
      if (!silent) { G += z->adj; if (CM) Gi += z->adji; }
      V t = mr * G, ti = all(0);
      if (CM) { t += mi * Gi; ti = mr * Gi - mi * G; }
      gu += t;
      if (CR) gui += ti;
      if (GENERAL) { gp += G; if (CR) gpi += Gi; }
      V next = G + t, nexti = CM ? Gi + ti : all(0);
      V h = next, hi = nexti;
      if (GENERAL) {
        V a = all(1) + beta * mr, d = all(1) + gamma * mr;
        if (CM) {
          V ai = beta * mi, di = gamma * mi, r = a * d - ai * di, ri = a * di + ai * d;
          h = r * G + ri * Gi; hi = r * Gi - ri * G;
        } else h = a * d * G;
      }
      V q = h * s, qi = all(0);
      if (CM) { q += hi * si; qi = hi * s - h * si; z->g_ratei += qi * gap; }
      z->g_rate += q * gap;
      if (GAP) { gd += rate[j] * q; if (CM) gd += ratei[j] * qi; }
      if (silent) { z->adj += next; if (CM) z->adji += nexti; }
      else { z->adj = next; z->adji = nexti; }
      z->x = p; z->xi = pi;
    }
    store(b->g_hold + k * TWO, gu);
    if (CR) store(b->g_hold + k * TWO + W, gui);
    if (GENERAL) store(b->g_push + k * TWO, gp);
    if (GENERAL && CR) store(b->g_push + k * TWO + W, gpi);
    if (GAP) store(b->g_gap + k * TWO, gd);
  }
  UNROLL for (int j = 0; j < AT; j++) {
    int64_t at = (n + j) * TWO;
    store(b->adjoint + at, c[j].adj);
    store(b->g_rate + at, load(b->g_rate + at) + c[j].g_rate);
    store(b->g_weight + at, load(b->g_weight + at) + c[j].g_weight);
    if (!CM) continue;
    store(b->adjoint + at + W, c[j].adji);
    store(b->g_rate + at + W, load(b->g_rate + at + W) + c[j].g_ratei);
    store(b->g_weight + at + W, load(b->g_weight + at + W) + c[j].g_weighti);
  }
}
static void NAME(retreat_all)(Block *b) {
  const Scan *scan = b->scan;
  const int64_t modes = scan->modes;
  const int kind = scan->complex_rows ? 2 : scan->complex_modes ? 1 : 0;
  const int general = scan->push || scan->rational, gap = scan->g_gap != 0;
#define PAIRS(CM, CR, GENERAL, GAP)                                                                              \
  do {                                                                                                           \
    int64_t n = 0;                                                                                               \
    for (; n + MODES_AT_ONCE <= modes; n += MODES_AT_ONCE) {                                                           \
      NAME(advance)(b, n, MODES_AT_ONCE, CM, CR, GENERAL, 1);                                                       \
      NAME(retreat)(b, n, MODES_AT_ONCE, CM, CR, GENERAL, GAP);                                                     \
    }                                                                                                            \
    for (; n < modes; n++) {                                                                                     \
      NAME(advance)(b, n, 1, CM, CR, GENERAL, 1);                                                                \
      NAME(retreat)(b, n, 1, CM, CR, GENERAL, GAP);                                                              \
    }                                                                                                            \
  } while (0)
  memset(b->g_hold, 0, 3 * CHUNK * TWO * sizeof(R));
  if (kind == 0 && !general && !gap) PAIRS(0, 0, 0, 0);
  else if (kind == 0 && !general) PAIRS(0, 0, 0, 1);
  else if (kind == 0) PAIRS(0, 0, 1, 1);
  else if (kind == 1 && !general && !gap) PAIRS(1, 0, 0, 0);
  else if (kind == 1 && !general) PAIRS(1, 0, 0, 1);
  else if (kind == 1) PAIRS(1, 0, 1, 1);
  else if (!general && !gap) PAIRS(1, 1, 0, 0);
  else if (!general) PAIRS(1, 1, 0, 1);
  else PAIRS(1, 1, 1, 1);
#undef PAIRS
}
