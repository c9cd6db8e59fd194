/* One random case of each function, in numbers of type R: included once for float and once for double. */

static R *CASE(numbers)(int64_t count, double low, double high) {
  R *to = keep((size_t)count * sizeof(R));
  for (int64_t i = 0; i < count; i++) to[i] = (R)(low + (high - low) * uniform());
  return to;
}
static R *CASE(space)(int64_t count) { return keep((size_t)count * sizeof(R)); }
static R *CASE(zeros)(int64_t count) { return memset(CASE(space)(count), 0, (size_t)count * sizeof(R)); }
static void CASE(output)(const R *from, int64_t count) {
  if (!from) return;
  mix(from, (size_t)count * sizeof(R));
  for (int64_t i = 0; check_finite && i < count; i++)
    if (!(from[i] - from[i] == 0)) { fail("an output is not finite"); return; }
}

/* Rates in the left half plane, real or complex. */
static R *CASE(rates)(int64_t count, int64_t complex) {
  R *to = CASE(numbers)(count * (1 + complex), -3, 3);
  for (int64_t i = 0; i < count; i++) to[i * (1 + complex)] = (R)(-0.01 - (below(4) ? 2 : 0.001) * uniform());
  return to;
}

/* Sizes of a scan, and what its two kinds have in common; gaps in a few steps, so that tables of them come about. */
typedef struct { int64_t b, l, h, n, rows, state, planes, chunks, blocks; } CASE(Size);

static CASE(Size) CASE(begin_scan)(Scan *scan, int64_t complex) {
  CASE(Size) z = {.b = 1 + below(3), .l = any_length(), .h = any_width(), .n = ONE_OF(1, 2, 3, 4, 5)};
  const int64_t lanes = tsssm_lanes(sizeof(R));
  int64_t resets = 0, *tables[4];
  z.rows = z.b * z.l; z.state = z.h * z.n * (1 + complex);
  z.blocks = (z.h + lanes - 1) / lanes; z.planes = z.blocks * z.n * 2 * lanes;
  uint8_t *reset = below(2) ? flags(z.rows, ONE_OF(0, 1, 5, 100) / 100.) : 0;
  for (int64_t i = 0; reset && i < z.rows; i++) resets += reset[i];
  for (int i = 0; i < 4; i++) tables[i] = keep((size_t)(z.b + resets + 1) * sizeof(int64_t));
  memset(scan, 0, sizeof *scan);
  scan->series = tsssm_series(reset, z.b, z.l, tables[0], tables[1], tables[2], tables[3]);
  z.chunks = tables[1][scan->series];
  scan->offsets = tables[0]; scan->chunks = tables[1]; scan->source = tables[2]; scan->sink = tables[3];
  scan->rate = CASE(rates)(z.h * z.n, complex);
  scan->weight = CASE(numbers)(z.state, -1, 1);
  scan->start = below(2) ? CASE(numbers)(z.b * z.state, -1, 1) : 0;
  scan->active = below(2) ? flags(z.rows, ONE_OF(0, 50, 90) / 100.) : 0;
  scan->rows = z.rows; scan->channels = z.h; scan->modes = z.n; scan->complex_modes = complex;
  scan->groups = scan->series < 1 ? 1 : scan->series < 16 ? scan->series : 16;
  scan->threads = threads;
  scan->rational = below(3) == 0; scan->alpha = scan->rational ? (double)ONE_OF(1, 2) / 2 : 0;
  scan->end = CASE(space)(z.b * z.state);
  return z;
}
static R *CASE(gaps)(int64_t count) {
  const double longest = ONE_OF(1, 100, 1000, 5000) / 1000., steps = below(2) ? 6 : 1e6;
  R *gap = CASE(numbers)(count, 0, 0);
  for (int64_t i = 0; i < count; i++) gap[i] = (R)(longest * (double)below((int64_t)steps) / steps);
  return gap;
}
/* What the backward pass of both kinds reads and writes. */
static void CASE(begin_back)(Scan *scan, CASE(Size) z, int64_t rows) {
  scan->g_y = CASE(numbers)(z.rows * z.h * rows, -1, 1);
  scan->g_end = CASE(numbers)(z.b * z.state, -1, 1);
  scan->g_rate = CASE(space)(z.state); scan->g_weight = CASE(space)(z.state);
  scan->g_hold = scan->hold ? CASE(space)(z.rows * z.h * rows) : 0;
  scan->g_push = scan->push ? CASE(space)(z.rows * z.h * rows) : 0;
  scan->g_start = scan->start ? CASE(zeros)(z.b * z.state) : 0;
  scan->sums = CASE(space)(scan->groups * 3 * z.planes);
  scan->gap_parts = scan->g_gap ? CASE(space)(z.blocks * z.rows) : 0;
}
static void CASE(end_scan)(const Scan *scan, CASE(Size) z, int64_t rows) {
  CASE(output)(scan->y, z.rows * z.h * rows); CASE(output)(scan->end, z.b * z.state);
  CASE(output)(scan->g_rate, z.state); CASE(output)(scan->g_weight, z.state);
  CASE(output)(scan->g_gap, z.rows); CASE(output)(scan->g_hold, z.rows * z.h * rows);
  CASE(output)(scan->g_push, z.rows * z.h * rows); CASE(output)(scan->g_start, z.b * z.state);
}

static void CASE(scan)(void) {
  Scan scan;
  const int64_t kind = below(3), rows = kind == 2 ? 2 : 1, inputs = below(3);
  CASE(Size) z = CASE(begin_scan)(&scan, kind > 0);
  R *gap = CASE(gaps)(z.rows);
  const int64_t most = ONE_OF(0, 1, 8, 1024);
  int32_t *which = keep((size_t)z.rows * sizeof *which);
  R *table = CASE(space)(most);
  scan.unique = most ? PASTE(tsssm_unique, R)(gap, z.rows, most, which, table) : 0;
  scan.gap = gap; scan.which = which; scan.unique_gaps = table;
  scan.table = CASE(space)(scan.unique * z.planes);
  scan.complex_rows = kind == 2;
  scan.held = inputs == 0;
  scan.hold = inputs != 1 ? CASE(numbers)(z.rows * z.h * rows, -1, 1) : 0;
  scan.push = inputs != 0 ? CASE(numbers)(z.rows * z.h * rows, -1, 1) : 0;
  scan.y = CASE(space)(z.rows * z.h * rows);
  scan.checkpoints = CASE(space)(z.chunks * z.planes);
  if (PASTE(tsssm_scan, R)(&scan, 0)) fail("no memory");
  scan.g_gap = below(2) ? CASE(space)(z.rows) : 0;
  CASE(begin_back)(&scan, z, rows);
  if (PASTE(tsssm_scan, R)(&scan, 1)) fail("no memory");
  CASE(end_scan)(&scan, z, rows);
}

static void CASE(selective)(void) {
  Selective call;
  memset(&call, 0, sizeof call);
  const int64_t complex = below(2), own = below(2), inputs = below(3);
  CASE(Size) z = CASE(begin_scan)(&call.scan, complex);
  call.complex_B = complex && below(2); call.complex_C = complex && below(2);
  call.B = below(3) || call.complex_B ? CASE(numbers)(z.rows * z.n * (1 + call.complex_B), -1, 1) : 0;
  call.C = below(3) || call.complex_C ? CASE(numbers)(z.rows * z.n * (1 + call.complex_C), -1, 1) : 0;
  call.parts = z.blocks < 4 ? z.blocks : 4;
  call.gaps = own ? CASE(gaps)(z.rows * z.h) : 0;
  call.scan.gap = own ? 0 : CASE(gaps)(z.rows);
  call.scan.hold = inputs != 1 ? CASE(numbers)(z.rows * z.h, -1, 1) : 0;
  call.scan.push = inputs != 0 ? CASE(numbers)(z.rows * z.h, -1, 1) : 0;
  call.scan.y = CASE(space)(z.rows * z.h);
  call.scan.checkpoints = CASE(space)(z.chunks * z.planes);
  if (PASTE(tsssm_selective, R)(&call, 0)) fail("no memory");
  call.g_gaps = own && below(2) ? CASE(space)(z.rows * z.h) : 0;
  call.scan.g_gap = !own && below(2) ? CASE(space)(z.rows) : 0;
  call.g_B = call.B && below(3) ? CASE(space)(z.rows * z.n * (1 + call.complex_B)) : 0;
  call.g_C = call.C && below(3) ? CASE(space)(z.rows * z.n * (1 + call.complex_C)) : 0;
  call.row_parts = CASE(zeros)(call.parts * z.rows * ((z.n + 1) / 2 * 2) * (call.complex_B || call.complex_C ? 4 : 2));
  CASE(begin_back)(&call.scan, z, 1);
  if (PASTE(tsssm_selective, R)(&call, 1)) fail("no memory");
  CASE(end_scan)(&call.scan, z, 1);
  CASE(output)(call.g_gaps, z.rows * z.h);
  CASE(output)(call.g_B, z.rows * z.n * (1 + call.complex_B)); CASE(output)(call.g_C, z.rows * z.n * (1 + call.complex_C));
}

static void CASE(cauchy)(void) {
  const int64_t h = 1 + below(3), n = ONE_OF(1, 2, 3, 7), q = ONE_OF(1, 2, 3, 4, 5, 9), m = ONE_OF(0, 1, 2, 15, 16, 17, 100, 390, 401);
  R *a = CASE(numbers)(h * n, 0.1, 3), *b = CASE(numbers)(h * n, 0.1, 3), *w = CASE(numbers)(2 * h * q * n, -1, 1);
  R *sin = CASE(space)(m), *cos = CASE(space)(m);
  for (int64_t i = 0; i < m; i++) {
    /* a rational point of the circle, from 0 to the right angle */
    double t = m > 1 ? (double)i / (double)(m - 1) : 0;
    sin[i] = (R)(2 * t / (1 + t * t)); cos[i] = (R)((1 - t * t) / (1 + t * t));
  }
  R *re = CASE(space)(h * q * m), *im = CASE(space)(h * q * m);
  PASTE(tsssm_cauchy, R)(a, b, w, sin, cos, re, im, h, n, q, m, threads);
  CASE(output)(re, h * q * m); CASE(output)(im, h * q * m);
  R *g_re = CASE(numbers)(h * q * m, -1, 1), *g_im = CASE(numbers)(h * q * m, -1, 1);
  R *g_a = CASE(space)(h * n), *g_b = CASE(space)(h * n), *g_w = CASE(space)(2 * h * q * n);
  PASTE(tsssm_cauchy_backward, R)(a, b, w, sin, cos, g_re, g_im, g_a, g_b, g_w, h, n, q, m, threads);
  CASE(output)(g_a, h * n); CASE(output)(g_b, h * n); CASE(output)(g_w, 2 * h * q * n);
}

static void CASE(lowrank_of)(void) {
  const int64_t b = 1 + below(3), l = any_length(), h = 1 + below(4), modes = 16 * (1 + below(3)), wanted = below(2);
  const int64_t state = b * h * 2 * modes, plane = h * 10 * modes, chunks = (l + 63) / 64;
  R *parts = CASE(numbers)(plane, -1, 1);
  for (int64_t i = 0; i < h; i++) {
    /* stable: no real part is positive, and Q is P */
    R *p = parts + i * 10 * modes;
    for (int64_t m = 0; m < modes; m++) p[m] = -p[m] * p[m];
    memcpy(p + 4 * modes, p + 2 * modes, (size_t)(2 * modes) * sizeof(R));
  }
  LowRank of = {.batch = b, .rows = l, .channels = h, .modes = modes, .threads = threads, .alpha = 0.5 + 0.5 * (double)below(2)};
  of.parts = parts; of.gap = CASE(gaps)(b * l); of.u = CASE(numbers)(b * l * h, -1, 1);
  of.start = CASE(numbers)(state, -1, 1);
  of.reset = below(2) ? flags(b * l, 0.1) : 0;
  of.active = below(2) ? flags(b * l, 0.5) : 0;
  R *y = CASE(space)(b * l * h), *end = CASE(space)(state);
  of.y = y; of.end = end; of.checkpoints = CASE(space)(h * b * chunks * 2 * modes);
  if (PASTE(tsssm_lowrank, R)(&of, 0)) fail("no memory");
  CASE(output)(y, b * l * h); CASE(output)(end, state);
  R *g_parts = CASE(space)(plane), *g_gap = wanted ? CASE(space)(h * b * l) : 0;
  R *g_u = CASE(space)(b * l * h), *g_start = CASE(space)(state);
  of.g_y = CASE(numbers)(b * l * h, -1, 1); of.g_end = CASE(numbers)(state, -1, 1);
  of.g_parts = g_parts; of.g_gap = g_gap; of.g_u = g_u; of.g_start = g_start;
  if (PASTE(tsssm_lowrank, R)(&of, 1)) fail("no memory");
  CASE(output)(g_parts, plane); CASE(output)(g_gap, h * b * l); CASE(output)(g_u, b * l * h); CASE(output)(g_start, state);
}

static void CASE(trajectory)(void) {
  const int64_t b = any_width() + (below(6) ? 0 : 256), l = ONE_OF(0, 1, 2, 5, 17), d = 1 + below(6), m = below(4);
  const int64_t layers = 1 + below(4), stages = 1 + below(4), places = 1 + below(3), noise = below(4), wanted = below(8);
  const int64_t size = 12 + stages + layers + 1, timed = noise == 2;
  int64_t *form = keep((size_t)size * sizeof *form), *widths = form + 12 + stages, count = 0;
  const int64_t head[12] = {layers, below(3), stages, places, noise && below(2), timed, b, l, d, m, threads, wanted};
  memcpy(form, head, sizeof head);
  for (int64_t s = 0; s < stages; s++) form[12 + s] = below(places);
  widths[0] = d + m; widths[layers] = d;
  for (int64_t i = 1; i < layers; i++) widths[i] = ONE_OF(1, 3, 4, 5, 8, 9, 13);
  for (int64_t i = 0; i < layers; i++) count += (widths[i] + 1) * widths[i + 1];
  double *tableau = keep((size_t)(2 * stages) * sizeof *tableau);
  for (int64_t s = 0; s < 2 * stages; s++) tableau[s] = uniform();
  R *weights = CASE(numbers)(count, -0.5, 0.5), *x0 = CASE(numbers)(b * d, -1, 1), *dt = CASE(numbers)(b * l, 0, 0.1);
  R *normals = noise ? CASE(numbers)(b * l * d, -1, 1) : 0, *root = noise ? CASE(numbers)(b * l, 0, 0.3) : 0;
  R *sizes = noise ? CASE(numbers)(timed ? b * l * d : d, 0, 1) : 0, *features = m ? CASE(numbers)(b * l * places * m, -1, 1) : 0;
  R *states = CASE(space)(b * l * d);
  if (PASTE(tsssm_trajectory_forward, R)(form, tableau, weights, x0, dt, normals, root, sizes, features, states)) fail("no memory");
  CASE(output)(states, b * l * d);
  if (!m) form[11] &= ~(int64_t)WANT_FEATURES;
  R *grad = CASE(numbers)(b * l * d, -1, 1), *to_weights = CASE(space)(count + d), *to_x0 = CASE(space)(b * d);
  R *to_dt = form[11] & WANT_DT ? CASE(space)(b * l) : 0, *to_normals = noise && form[11] & WANT_NORMALS ? CASE(space)(b * l * d) : 0;
  R *to_root = noise ? CASE(space)(b * l) : 0, *to_size = timed ? CASE(space)(b * l * d) : 0;
  R *to_features = form[11] & WANT_FEATURES ? CASE(space)(b * l * places * m) : 0;
  if (PASTE(tsssm_trajectory_backward, R)(form, tableau, weights, x0, dt, normals, root, sizes, features, states, grad,
                                          to_weights, to_x0, to_dt, to_normals, to_root, to_size, to_features))
    fail("no memory");
  CASE(output)(to_weights, count + d); CASE(output)(to_x0, b * d); CASE(output)(to_dt, b * l); CASE(output)(to_root, b * l);
  CASE(output)(to_normals, b * l * d); CASE(output)(to_size, b * l * d); CASE(output)(to_features, b * l * places * m);
}

/* An array (outer, lane, step, wide), where axes may be shared. */
static Part CASE(part)(const Driven *of, int64_t wide, int64_t given) {
  const int64_t b = of->form[6], l = of->form[7];
  const int64_t by_step = !given || below(3) > 0, by_lane = !given || below(3) > 0, by_outer = !given || below(3) > 0;
  Part to = {.step = by_step ? wide : 0, .lane = by_lane ? wide * (by_step ? l : 1) : 0};
  to.outer = by_outer ? wide * (by_step ? l : 1) * (by_lane ? b : 1) : 0;
  const int64_t count = wide * (by_step ? l : 1) * (by_lane ? b : 1) * (by_outer ? of->outer : 1);
  to.at = given ? CASE(numbers)(count, -0.7, 0.7) : CASE(space)(count);
  return to;
}

static void CASE(driven_of)(void) {
  const int64_t b = any_width() + (below(6) ? 0 : 256), l = ONE_OF(0, 1, 2, 5, 17), d = 1 + below(6), layers = 1 + below(4);
  const int64_t head[13] = {layers, below(3), 1, 1, 0, 0, b, l, d, 0, threads, 0, 0};
  int64_t *form = keep((size_t)(13 + layers + 1) * sizeof *form), *widths = form + 13, count = 0;
  memcpy(form, head, sizeof head);
  widths[0] = widths[layers] = d;
  for (int64_t i = 1; i < layers; i++) widths[i] = ONE_OF(1, 3, 4, 5, 8, 9, 13);
  for (int64_t i = 0; i < layers; i++) count += (widths[i] + 1) * widths[i + 1];
  Driven of = {.form = form, .outer = 1 + below(3), .log = below(2), .weights = CASE(numbers)(count, -0.5, 0.5)};
  const int64_t samples = of.outer * b, wide = widths[1];
  of.carry = CASE(part)(&of, d, 1); of.weight = CASE(part)(&of, d, 1); of.kick = CASE(part)(&of, d, 1);
  of.beside = CASE(part)(&of, wide, 1); of.states = CASE(part)(&of, d, 0);
  of.x0 = (Part){CASE(numbers)(samples * d, -1, 1), d, b * d, 0};
  if (PASTE(tsssm_driven, R)(&of, 0)) fail("no memory");
  CASE(output)(of.states.at, samples * l * d);
  of.g_states = CASE(part)(&of, d, 1);
  of.g_x0 = (Part){CASE(space)(samples * d), d, b * d, 0};
  if (below(2)) of.g_carry = CASE(part)(&of, d, 0);
  if (below(2)) of.g_weight = CASE(part)(&of, d, 0);
  if (below(2)) of.g_kick = CASE(part)(&of, d, 0);
  if (below(2)) of.g_beside = CASE(part)(&of, wide, 0);
  of.g_weights = CASE(space)(count + d);
  if (PASTE(tsssm_driven, R)(&of, 1)) fail("no memory");
  CASE(output)(of.g_weights, count); CASE(output)(of.g_x0.at, samples * d); CASE(output)(of.g_carry.at, samples * l * d);
  CASE(output)(of.g_weight.at, samples * l * d); CASE(output)(of.g_kick.at, samples * l * d);
  CASE(output)(of.g_beside.at, samples * l * wide);
}

static void CASE(recurrence_of)(void) {
  const int64_t complex = below(2), outer = 1 + below(3), wide = any_width() * ONE_OF(1, 1, 5) * (1 + complex);
  Recurrence of = {.batch = 1 + below(3), .outer = outer, .rows = any_length(), .inner = wide, .complex = complex,
                   .reverse = below(2), .threads = threads};
  const int64_t whole = of.batch * of.rows * outer * wide, state = of.batch * outer * wide;
  const int64_t by_batch = outer == 1 || below(2), by_row = below(2);
  /* factors of their own, or shared by parts of a row, by rows or by the batch */
  const int64_t stretches = (by_batch ? of.batch : 1) * (by_row ? of.rows : 1);
  of.a_row = by_row ? wide : 0;
  of.a_batch = by_batch ? wide * (by_row ? of.rows : 1) : 0;
  of.a = CASE(numbers)(stretches * wide, -0.6, 0.6);
  of.b = CASE(numbers)(whole, -1, 1);
  of.start = below(2) ? CASE(numbers)(state, -1, 1) : 0;
  of.x = CASE(space)(whole);
  PASTE(tsssm_recurrence, R)(&of, 0);
  of.g_x = CASE(numbers)(whole, -1, 1);
  of.g_a = below(3) ? CASE(space)(whole) : 0;
  of.g_b = CASE(space)(whole);
  of.g_start = of.start ? CASE(space)(state) : 0;
  PASTE(tsssm_recurrence, R)(&of, 1);
  CASE(output)(of.x, whole); CASE(output)(of.g_a, whole); CASE(output)(of.g_b, whole); CASE(output)(of.g_start, state);
}

/* Filters of pairs: stable transitions, a start in the middle, rows that nobody goes on from. */
static void CASE(pairs_of)(void) {
  Pairs of = {.batch = 1 + below(3), .rows = any_length(), .pairs = ONE_OF(1, 2, 3, 4, 5, 16), .threads = threads};
  const int64_t k = of.pairs, n = 2 * k, rows = of.batch * of.rows;
  int64_t *before = keep((size_t)rows * sizeof *before);
  for (int64_t i = 0, last = -1; i < rows; i++) {
    last = i % (of.rows ? of.rows : 1) ? last : -1;
    before[i] = last;
    if (below(3)) last = i % of.rows;
  }
  R *N = CASE(numbers)(rows * 3 * k, 0, 0.2), *cov = CASE(zeros)(of.batch * n * n);
  for (int64_t i = 0; i < rows * k; i++) N[3 * i] += 1, N[3 * i + 2] += 1;
  for (int64_t i = 0; i < of.batch; i++) for (int64_t j = 0; j < n; j++) cov[(i * n + j) * n + j] = 1;
  of.F = CASE(numbers)(rows * 4 * k, -0.6, 0.6); of.N = N; of.before = before; of.cov = cov;
  of.y = CASE(numbers)(rows, -1, 1); of.r = CASE(numbers)(rows, 0.1, 1); of.seen = flags(rows, 0.7);
  of.mean = CASE(numbers)(of.batch * n, -1, 1);
  of.m = CASE(space)(rows * n); of.P = CASE(space)(rows * n * n); of.e = CASE(space)(rows); of.s = CASE(space)(rows);
  PASTE(tsssm_pairs, R)(&of, 0);
  of.g_e = below(3) ? CASE(numbers)(rows, -1, 1) : 0; of.g_s = below(3) ? CASE(numbers)(rows, -1, 1) : 0;
  of.g_m = CASE(numbers)(rows * n, -1, 1); of.g_P = CASE(numbers)(rows * n * n, -1, 1);
  of.g_F = CASE(space)(rows * 4 * k); of.g_N = CASE(space)(rows * 3 * k);
  of.g_y = CASE(space)(rows); of.g_r = CASE(space)(rows);
  of.g_mean = CASE(zeros)(of.batch * n); of.g_cov = CASE(zeros)(of.batch * n * n);
  PASTE(tsssm_pairs, R)(&of, 1);
  CASE(output)(of.m, rows * n); CASE(output)(of.P, rows * n * n); CASE(output)(of.e, rows); CASE(output)(of.s, rows);
  CASE(output)(of.g_F, rows * 4 * k); CASE(output)(of.g_N, rows * 3 * k); CASE(output)(of.g_y, rows);
  CASE(output)(of.g_r, rows); CASE(output)(of.g_mean, of.batch * n); CASE(output)(of.g_cov, of.batch * n * n);
}
