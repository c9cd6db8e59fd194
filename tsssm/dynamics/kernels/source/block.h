/* A block of W channels at work: its parameters, the rows staged for it, and the factors m of its modes. */

#define TWO (2 * W)

/* A block of channels at work. Rows are staged in `hold`, `push`, `y`: real parts, then imaginary parts, a row. */
typedef struct {
  const Scan *scan;
  int64_t first, count, rows;
  const R *gap, *table;
  const int32_t *which;
  const uint8_t *active;
  R longest;                                                                    /* gap of the rows */
  R *rate, *speed, *far, *weight, *state, *hold, *push, *y, *factors;           /* forward */
  R *adjoint, *trace, *g_hold, *g_push, *g_gap, *g_rate, *g_weight, *g_gain;    /* backward */
} NAME(Block);
#define Block NAME(Block)

static R *NAME(open)(Block *b, const Scan *scan, int64_t first, int backward) {
  int64_t modes = scan->modes * TWO, rows = CHUNK * TWO;
  int64_t size = 5 * modes + (3 + MODES_AT_ONCE) * rows + (backward ? modes + (3 + MODES_AT_ONCE) * rows : 0);
  R *all = allocate(size * sizeof(R)), *p = all;
  memset(b, 0, sizeof *b);
  if (!all) return all;
  b->scan = scan; b->first = first;
  b->count = scan->channels - first < W ? scan->channels - first : W;
  b->rate = p; b->speed = p += modes; b->far = p += modes; b->weight = p += modes; b->state = p += modes; b->hold = p += modes;
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

/* Planes of a state or gradient, from or to units of the rate: times rate, 1 / rate, or their conjugates. */
static void NAME(scale)(const Block *b, R *planes, int invert, int conjugate) {
  for (int64_t n = 0; n < b->scan->modes; n++)
    for (int64_t j = 0; j < b->count; j++) {
      R re = b->rate[n * TWO + j], im = b->rate[n * TWO + W + j], over = invert ? 1 / (re * re + im * im) : 1;
      R x = planes[n * TWO + j], xi = planes[n * TWO + W + j];
      if (invert != conjugate) im = -im;
      planes[n * TWO + j] = (x * re - xi * im) * over;
      planes[n * TWO + W + j] = (x * im + xi * re) * over;
    }
}

static void NAME(read_parameters)(Block *b) {
  const Scan *scan = b->scan;
  NAME(gather)(b, scan->rate, b->rate, scan->complex_modes);
  NAME(gather)(b, scan->weight, b->weight, scan->complex_modes);
  for (int64_t i = 0; i < scan->modes * TWO; i++)
    b->speed[i] = b->rate[i] * (R)((i / W) % 2 ? 0.15915494309189533577 : 1.44269504088896340736);
  memset(b->far, 0, scan->modes * TWO * sizeof(R));
  for (int64_t n = 0; n < scan->modes; n++)
    for (int64_t i = 0; i < TWO; i++) {
      R size = b->speed[n * TWO + i], *far = b->far + n * TWO + i / W;
      *far = size > *far ? size : -size > *far ? -size : *far;
    }
  if (scan->held) NAME(scale)(b, b->weight, 1, 0);
}

INLINE void NAME(exp_factors)(V re, V im, const R *gap, int64_t count, R *to, const int NEAR, const int NEAR_TURN) {
  for (int64_t k = 0; k < count; k++) {
    V m, mi;
    NAME(expm1_complex_of)(re * gap[k], im * gap[k], &m, &mi, NEAR, NEAR_TURN);
    store(to + k * TWO, m);
    store(to + k * TWO + W, mi);
  }
}

/* exp(rate gap) - 1, or the rational z / (1 - alpha z), of one mode at several gaps, none above `longest`: planes (gap,
   part, lane). Short gaps need no reduction of their range, which is a third of the work. */
static void NAME(fill_factors)(const Block *b, int64_t n, const R *gap, int64_t count, R longest, R *to) {
  R alpha = (R)b->scan->alpha;
  int rational = b->scan->rational, complex = (int)b->scan->complex_modes;
  int near = b->far[n * TWO] * longest <= (R)0.5, near_turn = b->far[n * TWO + 1] * longest <= (R)0.5;
  V re = load((rational ? b->rate : b->speed) + n * TWO), im = load((rational ? b->rate : b->speed) + n * TWO + W);
  if (!rational && complex) {
    if (near && near_turn) NAME(exp_factors)(re, im, gap, count, to, 1, 1);
    else if (near) NAME(exp_factors)(re, im, gap, count, to, 1, 0);
    else NAME(exp_factors)(re, im, gap, count, to, 0, 0);
  } else if (!rational)
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
static R NAME(longest)(const R *gap, int64_t count) {
  R longest = 0;
  for (int64_t k = 0; k < count; k++) longest = gap[k] > longest ? gap[k] : longest;
  return longest;
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
  b->longest = NAME(longest)(b->gap, rows);
  b->active = scan->active ? scan->active + row : 0;
  b->which = scan->unique ? scan->which + row : counting;
  b->table = (const R *)scan->table + b->first / W * scan->modes * scan->unique * TWO;
  NAME(stage)(b, scan->hold, b->hold, row);
  NAME(stage)(b, scan->push, b->push, row);
}
static const R *NAME(factors)(const Block *b, int64_t n, int64_t j) {
  if (b->scan->unique) return b->table + n * b->scan->unique * TWO;
  R *to = b->factors + j * CHUNK * TWO;
  NAME(fill_factors)(b, n, b->gap, b->rows, b->longest, to);
  return to;
}

