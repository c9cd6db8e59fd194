/* Tasks of the modal scan: blocks of channels times groups of series, forward and backward. */

/* Groups of series of about equal work. Their number does not depend on the threads, so neither do the sums. */
static int64_t NAME(cut)(const Scan *scan, int64_t group) {
  int64_t low = 0, high = scan->series, target = scan->rows * group / scan->groups;
  if (group >= scan->groups) return scan->series;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    if (scan->offsets[middle] < target) low = middle + 1;
    else high = middle;
  }
  return low;
}

static void NAME(load_state)(Block *b, const void *from, int64_t entry, R *to) {
  const Scan *scan = b->scan;
  int64_t size = scan->channels * scan->modes * (scan->complex_modes ? 2 : 1);
  if (from && entry >= 0) NAME(gather)(b, (const R *)from + entry * size, to, scan->complex_modes);
  else memset(to, 0, scan->modes * TWO * sizeof(R));
}
static void NAME(save_state)(Block *b, const R *from, void *to, int64_t entry) {
  const Scan *scan = b->scan;
  int64_t size = scan->channels * scan->modes * (scan->complex_modes ? 2 : 1);
  if (to && entry >= 0) NAME(scatter)(b, from, (R *)to + entry * size, scan->complex_modes);
}
static R *NAME(checkpoint)(const Scan *scan, int64_t chunk, int64_t block) {
  int64_t blocks = (scan->channels + W - 1) / W;
  return (R *)scan->checkpoints + (chunk * blocks + block) * scan->modes * TWO;
}

static int NAME(forward_task)(const Scan *scan, int64_t group, int64_t block) {
  Block b;
  R *memory = NAME(open)(&b, scan, block * W, 0);
  if (!memory) return 1;
  NAME(read_parameters)(&b);
  for (int64_t s = NAME(cut)(scan, group); s < NAME(cut)(scan, group + 1); s++) {
    int64_t row = scan->offsets[s], end = scan->offsets[s + 1], chunk = scan->chunks[s];
    NAME(load_state)(&b, scan->start, scan->source[s], b.state);
    if (scan->held) NAME(scale)(&b, b.state, 0, 0);
    for (; row < end; row += CHUNK, chunk++) {
      NAME(enter)(&b, row, end - row < CHUNK ? end - row : CHUNK);
      if (scan->checkpoints) memcpy(NAME(checkpoint)(scan, chunk, block), b.state, scan->modes * TWO * sizeof(R));
      NAME(advance_all)(&b);
      NAME(unstage)(&b, b.y, scan->y, row);
    }
    if (scan->held) NAME(scale)(&b, b.state, 1, 0);
    NAME(save_state)(&b, b.state, scan->end, scan->sink[s]);
  }
  free(memory);
  return 0;
}

static int NAME(backward_task)(const Scan *scan, int64_t group, int64_t block) {
  Block b;
  R *memory = NAME(open)(&b, scan, block * W, 1);
  if (!memory) return 1;
  const int64_t blocks = (scan->channels + W - 1) / W, modes = scan->modes * TWO;
  NAME(read_parameters)(&b);
  b.g_rate = (R *)scan->sums + (group * blocks + block) * 3 * modes;
  b.g_weight = b.g_rate + modes;
  b.g_gain = b.g_weight + modes;
  memset(b.g_rate, 0, 3 * modes * sizeof(R));
  for (int64_t s = NAME(cut)(scan, group); s < NAME(cut)(scan, group + 1); s++) {
    int64_t start = scan->offsets[s], end = scan->offsets[s + 1], count = (end - start + CHUNK - 1) / CHUNK;
    NAME(load_state)(&b, scan->g_end, scan->sink[s], b.adjoint);
    if (scan->held) NAME(scale)(&b, b.adjoint, 1, 1);
    for (int64_t chunk = count - 1; chunk >= 0; chunk--) {
      int64_t row = start + chunk * CHUNK;
      NAME(enter)(&b, row, end - row < CHUNK ? end - row : CHUNK);
      memcpy(b.state, NAME(checkpoint)(scan, scan->chunks[s] + chunk, block), modes * sizeof(R));
      /* silent rows have no inputs but do have an output, so the gradient is staged without them in mind */
      const uint8_t *active = b.active;
      b.active = 0;
      NAME(stage)(&b, scan->g_y, b.y, row);
      b.active = active;
      NAME(retreat_all)(&b);
      if (active)
        for (int64_t k = 0; k < b.rows; k++)
          if (!active[k]) {
            memset(b.g_hold + k * TWO, 0, TWO * sizeof(R));
            memset(b.g_push + k * TWO, 0, TWO * sizeof(R));
          }
      NAME(unstage)(&b, b.g_hold, scan->g_hold, row);
      NAME(unstage)(&b, b.g_push, scan->g_push, row);
      if (scan->g_gap)
        for (int64_t k = 0; k < b.rows; k++) ((R *)scan->gap_parts)[block * scan->rows + row + k] = NAME(sum)(load(b.g_gap + k * TWO));
    }
    if (scan->held) NAME(scale)(&b, b.adjoint, 0, 1);
    NAME(save_state)(&b, b.adjoint, scan->g_start, scan->source[s]);
  }
  if (scan->held) {
    /* weights were divided by the rate, and so is what the gain m / rate of the inputs adds to its gradient */
    NAME(scale)(&b, b.g_weight, 1, 1);
    NAME(scale)(&b, b.g_gain, 1, 1);
    for (int64_t i = 0; i < modes; i++) b.g_rate[i] -= b.g_gain[i];
  }
  free(memory);
  return 0;
}

/* m of every unique gap: planes (block, mode, gap, part, lane). */
static int NAME(fill_table)(const Scan *scan) {
  for (int64_t block = 0; block * W < scan->channels; block++) {
    Block b;
    R *memory = NAME(open)(&b, scan, block * W, 0);
    if (!memory) return 1;
    NAME(read_parameters)(&b);
    for (int64_t n = 0; n < scan->modes; n++)
      NAME(fill_factors)(&b, n, scan->unique_gaps, scan->unique, NAME(longest)(scan->unique_gaps, scan->unique),
                         (R *)scan->table + (block * scan->modes + n) * scan->unique * TWO);
    free(memory);
  }
  return 0;
}

/* Sums of the groups' parts, in their order. */
static void NAME(add_up)(const Scan *scan) {
  const int64_t blocks = (scan->channels + W - 1) / W, modes = scan->modes * TWO;
  for (int64_t block = 0; block < blocks; block++) {
    Block b = {.scan = scan, .first = block * W, .count = scan->channels - block * W < W ? scan->channels - block * W : W};
    R *total = (R *)scan->sums + block * 3 * modes;
    for (int64_t group = 1; group < scan->groups; group++)
      for (int64_t i = 0; i < 2 * modes; i++) total[i] += total[group * blocks * 3 * modes + i];
    NAME(scatter)(&b, total, scan->g_rate, scan->complex_modes);
    NAME(scatter)(&b, total + modes, scan->g_weight, scan->complex_modes);
  }
  for (int64_t i = 0; scan->g_gap && i < scan->rows; i++) {
    R total = 0;
    for (int64_t block = 0; block < blocks; block++) total += ((R *)scan->gap_parts)[block * scan->rows + i];
    ((R *)scan->g_gap)[i] = total;
  }
}

static int NAME(run)(const Scan *scan, int backward) {
  const int64_t blocks = (scan->channels + W - 1) / W, tasks = blocks * scan->groups;
  int failed = scan->unique ? NAME(fill_table)(scan) : 0;
  /* waking threads costs microseconds, and milliseconds where other processes hold the cores */
  const int threads = tasks > 1 && scan->rows * scan->channels * scan->modes > WORTH_THREADS ? (int)scan->threads : 1;
  (void)threads;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1) reduction(| : failed)
#endif
  for (int64_t task = 0; task < tasks; task++)
    failed |= (backward ? NAME(backward_task) : NAME(forward_task))(scan, task / blocks, task % blocks);
  if (backward && !failed) NAME(add_up)(scan);
  return failed;
}

/* Index of each gap in a table of the different ones, or 0 where there are more than `most` of them. */
static int64_t NAME(unique)(const R *gap, int64_t rows, int64_t most, int32_t *which, R *table) {
  enum { SLOTS = 4096 };
  int32_t slots[SLOTS];
  int64_t count = 0;
  memset(slots, -1, sizeof slots);
  for (int64_t k = 0; k < rows; k++) {
    RINT bits;
    memcpy(&bits, gap + k, sizeof bits);
    uint64_t slot = ((uint64_t)bits * 0x9E3779B97F4A7C15ull) >> 52;
    while (slots[slot] >= 0 && memcmp(table + slots[slot], gap + k, sizeof(R))) slot = (slot + 1) % SLOTS;
    if (slots[slot] < 0) {
      if (count == most) return 0;
      table[count] = gap[k];
      slots[slot] = (int32_t)count++;
    }
    which[k] = slots[slot];
  }
  return count;
}
#undef Block
