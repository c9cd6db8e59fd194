/* Tasks of the bank: blocks of groups times runs of series, and what a series brings along and leaves. */

/* Lanes of `planes` planes from and to arrays whose last axis is that of the groups; absent lanes are 0. */
INLINE void NAME(bank_gather)(const Work *b, R *to, const R *from, int64_t planes) {
  for (int64_t i = 0; i < planes; i++) store(to + i * W, NAME(load_some)(from + i * b->bank->groups + b->first, b->count));
}
INLINE void NAME(bank_scatter)(const Work *b, R *to, const R *from, int64_t planes) {
  for (int64_t i = 0; i < planes; i++) NAME(store_some)(to + i * b->bank->groups + b->first, load(from + i * W), b->count);
}

static R *NAME(bank_open)(Work *b, const Bank *bank, int64_t first) {
  const int64_t K = bank->modes, r = bank->readouts, q = bank->thresholds;
  const int64_t doubles = r * (q + SUMS), rows = ROWS_AT_ONCE + NODES + 1;
  const int64_t singles = 9 * K + bank->channels + 2 * r * K + 2 * r + r * q + 2 * K * (NODES + 1) + rows + r * (q + RECENT);
  double *memory = allocate((doubles * sizeof(double) + singles * sizeof(R)) * W);
  if (!memory) return 0;
  b->bank = bank; b->first = first;
  b->count = bank->groups - first < W ? bank->groups - first : W;
  b->sums = memory;
  R *p = (R *)(memory + doubles * W);
  b->speed = p; b->inverse = p += 3 * K * W; b->mix = p += 2 * K * W; b->readout = p += bank->channels * W; b->gain = p += 2 * r * K * W;
  b->threshold = p += r * W; b->steepness = p += r * q * W; b->state = p += r * W; b->path = p += 2 * K * (NODES + 1) * W;
  b->known = p += (NODES + 1) * W; b->factors = p += ROWS_AT_ONCE * W; b->recent = p + 4 * K * W;
  b->memo = -1;
  return (R *)memory;
}

/* Parameters of the block: rates in units of the fastest, thresholds of a readout side by side. */
static void NAME(bank_parameters)(Work *b) {
  const Bank *bank = b->bank;
  const int64_t K = bank->modes, Q = bank->thresholds, readouts = bank->readouts;
  for (int64_t k = 0; k < K; k++)
    for (int64_t j = 0; j < W; j++) {
      const double *rate = bank->rate + 2 * (k * bank->groups + b->first + j);
      const double re = j < b->count ? rate[0] / bank->fast : -1, im = j < b->count ? rate[1] / bank->fast : 0;
      const double over = 1 / (re * re + im * im);
      R *speed = b->speed + 3 * k * W + j, turns = NAME(leading)(im * 0.15915494309189533577);
      speed[0] = (R)(re * 1.44269504088896340736);
      speed[W] = turns;
      speed[2 * W] = (R)(im * 0.15915494309189533577 - turns);
      b->inverse[2 * k * W + j] = (R)(re * over);
      b->inverse[(2 * k + 1) * W + j] = (R)(-im * over);
    }
  NAME(bank_gather)(b, b->mix, bank->mix, bank->channels);
  NAME(bank_gather)(b, b->gain, bank->gain, readouts);
  NAME(bank_gather)(b, b->steepness, bank->steepness, readouts);
  for (int64_t i = 0; i < readouts * K; i++) {
    R *to = b->readout + 2 * i * W;
    NAME(load_pairs)(bank->readout + 2 * (i * bank->groups + b->first), b->count, to, to + W);
    store(to + W, -load(to + W));
  }
  for (int64_t r = 0; r < readouts; r++)
    for (int64_t q = 0; q < Q; q++)
      NAME(bank_gather)(b, b->threshold + (r * Q + q) * W, bank->threshold + (q * readouts + r) * bank->groups, 1);
}

/* A series that has no rows yet, or what it left. */
static void NAME(bank_begin)(Work *b) {
  const int64_t Q = b->bank->thresholds, r = b->bank->readouts;
  memset(b->recent, 0, r * (Q + RECENT) * W * sizeof(R));
  memset(b->sums, 0, r * (Q + SUMS) * W * sizeof(double));
  memset(b->state, 0, 2 * b->bank->modes * W * sizeof(R));
  memset(b->path, 0, W * sizeof(R));
  for (int64_t i = 0; i < r; i++) {
    R *rest = b->recent + (i * (Q + RECENT) + Q) * W;
    store(rest + KEEP * W, all(1)); store(rest + LAST * W, all(1));
    store(rest + HIGHEST * W, all(-3.4028235e38f)); store(rest + LOWEST * W, all(3.4028235e38f));
  }
  b->clock = b->before = b->origin = 0;
  b->pooled = -1;
}
static void NAME(bank_load)(Work *b, int64_t s) {
  const Bank *bank = b->bank;
  const int64_t K = bank->modes, G = bank->groups, sums = bank->readouts * (bank->thresholds + SUMS);
  const int64_t recent = bank->readouts * (bank->thresholds + RECENT);
  const R *state = bank->state + s * (2 * K + 1) * G;
  const double *clock = bank->clock + 4 * s;
  NAME(bank_gather)(b, b->path, state, 1);
  NAME(bank_gather)(b, b->state, state + G, 2 * K);
  NAME(bank_gather)(b, b->recent, bank->recent + s * recent * G, recent);
  for (int64_t i = 0; i < sums; i++)
    for (int64_t j = 0; j < W; j++) b->sums[i * W + j] = j < b->count ? bank->sums[(s * sums + i) * G + b->first + j] : 0;
  b->pooled = (int64_t)clock[0] - 1; b->clock = clock[1]; b->before = clock[2]; b->origin = clock[3];
}
/* The clock of a series is the same for all blocks: the first one keeps it, where no other reads it any more. */
static void NAME(bank_save)(const Work *b, int64_t s) {
  const Bank *bank = b->bank;
  const int64_t K = bank->modes, G = bank->groups, sums = bank->readouts * (bank->thresholds + SUMS);
  const int64_t recent = bank->readouts * (bank->thresholds + RECENT);
  R *state = bank->state + s * (2 * K + 1) * G;
  NAME(bank_scatter)(b, state, b->path, 1);
  NAME(bank_scatter)(b, state + G, b->state, 2 * K);
  NAME(bank_scatter)(b, bank->recent + s * recent * G, b->recent, recent);
  for (int64_t i = 0; i < sums; i++)
    for (int64_t j = 0; j < b->count; j++) bank->sums[(s * sums + i) * G + b->first + j] = b->sums[i * W + j];
  if (b->first) return;
  double *clock = bank->clock_after + 4 * s;
  clock[0] = (double)(b->pooled + 1); clock[1] = b->clock; clock[2] = b->before; clock[3] = b->origin;
}

/* Pools of readout r, one plane each; in place of the root mean square its square, for want of the root in plain C. */
INLINE void NAME(bank_planes)(const Work *b, int64_t r, double total, R *to) {
  const int64_t Q = b->bank->thresholds;
  const double *share = b->sums + r * (Q + SUMS) * W, *sums = share + Q * W, over = 1 / total;
  const R *rest = b->recent + (r * (Q + RECENT) + Q) * W;
  for (int64_t i = 0; i < Q * W; i++) to[i] = (R)(share[i] * over);
  to += Q * W;
  for (int j = 0; j < W; j++) to[j] = (R)(sums[SQUARE * W + j] * over);
  for (int j = 0; j < W; j++) to[W + j] = rest[HIGHEST * W + j];
  for (int j = 0; j < W; j++) to[2 * W + j] = rest[LOWEST * W + j];
  for (int j = 0; j < W; j++) to[3 * W + j] = (R)(rest[LONGEST * W + j] * over);
  for (int j = 0; j < W; j++) to[4 * W + j] = (R)sums[UPS * W + j];
  for (int j = 0; j < W; j++) to[5 * W + j] = (R)((sums[LEAN * W + j] * over - share[j] * 0.5) * over);
}

/* Pools the waiting node with the weight it has, and writes the pools. */
static void NAME(bank_close)(Work *b, int64_t s) {
  const Bank *bank = b->bank;
  const int64_t P = bank->thresholds + 6, readouts = bank->readouts, G = bank->groups;
  R *to = bank->pools + s * P * readouts * G + b->first, planes[(MOST_THRESHOLDS + 6) * W];
  memset(planes, 0, sizeof planes);
  const int moved = b->clock > 0, any = b->pooled >= 0;
  const double w = moved ? 0.5 * b->before : 1;
  b->weight[0] = (R)w;
  b->late[0] = (R)(w * (b->clock - b->origin));
  if (any) { NAME(bank_read)(b, 1); NAME(bank_flush)(b); }
  for (int64_t r = 0; r < readouts; r++) {
    if (any) NAME(bank_planes)(b, r, moved ? b->clock : 1, planes);
    for (int64_t i = 0; i < P; i++) NAME(store_some)(to + (i * readouts + r) * G, load(planes + i * W), b->count);
  }
}

static void NAME(bank_series)(Work *b, int64_t s) {
  const Bank *bank = b->bank;
  int64_t row = bank->offsets[s];
  const int64_t end = bank->offsets[s + 1];
  if (bank->resumed && bank->clock[4 * s] > 0) NAME(bank_load)(b, s);
  else NAME(bank_begin)(b);
  if (b->pooled < 0 && row < end) {
    NAME(bank_mix)(b, row, row + 1);
    memcpy(b->path, b->known, W * sizeof(R));
    b->pooled = 0;
    row++;
  }
  NAME(bank_walk)(b, row, end);
  if (!bank->closed) NAME(bank_save)(b, s);
  NAME(bank_close)(b, s);
}

/* Where run `i` of `runs` about equal ones begins. */
static int64_t NAME(bank_cut)(const Bank *bank, int64_t i, int64_t runs) {
  const int64_t rows = bank->offsets[bank->series], target = (rows + bank->series) * i / runs;
  int64_t low = 0, high = bank->series;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (bank->offsets[middle] + middle < target) low = middle + 1;
    else high = middle;
  }
  return low;
}

static int NAME(bank_task)(const Bank *bank, int64_t block, int64_t i, int64_t runs) {
  Work b;
  R *memory = NAME(bank_open)(&b, bank, block * W), *table = 0;
  if (!memory) return 1;
  NAME(bank_parameters)(&b);
  const int64_t wide = 4 * bank->modes * W;
  b.table = b.factors;
  if (bank->unique && !(b.table = table = allocate(bank->unique * wide * sizeof(R)))) { free(memory); return 1; }
  for (int64_t n = 0; n < bank->unique; n++) NAME(bank_factors)(&b, bank->unique_steps[n], table + n * wide);
  for (int64_t s = NAME(bank_cut)(bank, i, runs); s < NAME(bank_cut)(bank, i + 1, runs); s++) NAME(bank_series)(&b, s);
  free(table);
  free(memory);
  return 0;
}

static int NAME(bank)(const Bank *bank) {
  const int64_t blocks = (bank->groups + W - 1) / W, runs = bank->series < 16 ? bank->series : 16, tasks = blocks * runs;
  const int64_t work = bank->nodes * bank->groups * bank->readouts;
  const int threads = tasks > 1 && work > WORTH_THREADS ? (int)bank->threads : 1;
  int failed = 0;
  (void)threads;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1) reduction(| : failed)
#endif
  for (int64_t task = 0; task < tasks; task++) failed |= NAME(bank_task)(bank, task / runs, task % runs, runs);
  return failed;
}
