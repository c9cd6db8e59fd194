/* Tasks of the selective scan: staging of rows, blocks of channels times groups of series, sums of their parts. */

static R *NAME(open_rows)(Rows *b, const Selective *scan, int64_t first) {
  memset(b, 0, sizeof *b);
  b->scan = scan;
  b->modes = (scan->scan.modes + 1) / PAIR * PAIR;
  const int64_t planes = b->modes * TWO, line = CHUNK * W, pair = CHUNK * PAIR * TWO, numbers = CHUNK * 2 * b->modes;
  const int64_t size = 6 * planes + 7 * line + 3 * pair + 2 * numbers;
  R *memory = allocate(size * sizeof(R)), *p = memory;
  if (!memory) return 0;
  memset(memory, 0, size * sizeof(R));
  b->block.scan = &scan->scan;
  b->block.rate = p; b->block.speed = p += planes; b->block.far = p += planes; b->block.weight = p += planes;
  b->block.state = p += planes; b->block.adjoint = p += planes; b->gap = p += planes; b->hold = p += line; b->push = p += line; b->y = p += line;
  b->g_gap = p += line; b->g_hold = p += line; b->g_push = p += line; b->factors = p += line; b->trace = p += pair;
  b->sums = p += pair; b->B = p += pair; b->C = p + numbers;
  for (int64_t k = 0; k < CHUNK; k++)
    for (int64_t n = 0; n < scan->scan.modes; n++) b->B[k * 2 * b->modes + n] = b->C[k * 2 * b->modes + n] = 1;
  b->block.first = first;
  b->block.count = scan->scan.channels - first < W ? scan->scan.channels - first : W;
  NAME(read_parameters)(&b->block);
  return memory;
}

/* W channels of each row of a tensor (rows, channels), to vectors and back. */
static void NAME(take)(const Rows *b, const void *from, R *to, int64_t row, const uint8_t *active) {
  const int64_t channels = b->scan->scan.channels;
  const R *p = (const R *)from + row * channels + b->block.first;
  if (!from) return;
  for (int64_t k = 0; k < b->rows; k++)
    store(to + k * W, active && !active[k] ? all(0) : NAME(load_some)(p + k * channels, b->block.count));
}
static void NAME(give)(const Rows *b, const R *from, void *to, int64_t row, const uint8_t *active) {
  const int64_t channels = b->scan->scan.channels;
  R *p = (R *)to + row * channels + b->block.first;
  if (!to) return;
  for (int64_t k = 0; k < b->rows; k++)
    NAME(store_some)(p + k * channels, active && !active[k] ? all(0) : load(from + k * W), b->block.count);
}
/* Rows of B or C, their real parts apart from the imaginary ones. */
static void NAME(take_numbers)(const Rows *b, const void *from, int64_t complex, R *to, int64_t row, const uint8_t *active) {
  const int64_t modes = b->scan->scan.modes;
  if (!from) return;
  for (int64_t k = 0; k < b->rows; k++, to += 2 * b->modes) {
    const R *p = (const R *)from + (row + k) * modes * (complex ? 2 : 1);
    if (active && !active[k]) memset(to, 0, 2 * b->modes * sizeof(R));
    else if (!complex) memcpy(to, p, modes * sizeof(R));
    else for (int64_t n = 0; n < modes; n++) { to[n] = p[2 * n]; to[b->modes + n] = p[2 * n + 1]; }
  }
}

/* Point the block at a chunk of rows. Silent rows bring no inputs. */
static void NAME(enter_rows)(Rows *b, int64_t row, int64_t rows) {
  const Selective *scan = b->scan;
  b->rows = rows < CHUNK ? rows : CHUNK;
  b->active = scan->scan.active ? scan->scan.active + row : 0;
  NAME(take)(b, scan->gaps, b->gap, row, 0);
  for (int64_t k = 0; k < b->rows && !scan->gaps; k++) store(b->gap + k * W, all(((const R *)scan->scan.gap)[row + k]));
  NAME(take)(b, scan->scan.hold, b->hold, row, b->active);
  NAME(take)(b, scan->scan.push, b->push, row, b->active);
  NAME(take_numbers)(b, scan->B, scan->complex_B, b->B, row, b->active);
  NAME(take_numbers)(b, scan->C, scan->complex_C, b->C, row, 0);
}

static int NAME(selective_forward)(const Selective *selective, int64_t group, int64_t block) {
  const Scan *scan = &selective->scan;
  Rows b;
  R *memory = NAME(open_rows)(&b, selective, block * W);
  if (!memory) return 1;
  for (int64_t s = NAME(cut)(scan, group); s < NAME(cut)(scan, group + 1); s++) {
    int64_t row = scan->offsets[s], end = scan->offsets[s + 1], chunk = scan->chunks[s];
    NAME(load_state)(&b.block, scan->start, scan->source[s], b.block.state);
    for (; row < end; row += CHUNK, chunk++) {
      NAME(enter_rows)(&b, row, end - row);
      if (scan->checkpoints) memcpy(NAME(checkpoint)(scan, chunk, block), b.block.state, scan->modes * TWO * sizeof(R));
      memset(b.y, 0, CHUNK * W * sizeof(R));
      NAME(sweep)(&b, 0);
      NAME(give)(&b, b.y, scan->y, row, 0);
    }
    NAME(save_state)(&b.block, b.block.state, scan->end, scan->sink[s]);
  }
  free(memory);
  return 0;
}

/* One block backwards; numbers of g_B and g_C a row are `each`. */
static int NAME(selective_backward)(const Selective *selective, int64_t group, int64_t block, R *part, int64_t each) {
  const Scan *scan = &selective->scan;
  const int64_t blocks = (scan->channels + W - 1) / W, modes = scan->modes * TWO;
  Rows b;
  R *memory = NAME(open_rows)(&b, selective, block * W), *sums = (R *)scan->sums + (group * blocks + block) * 3 * modes;
  R *gap_parts = (R *)scan->gap_parts + block * scan->rows, *grads = allocate(2 * b.modes * TWO * sizeof(R));
  if (!memory || !grads) return free(memory), free(grads), 1;
  memset(grads, 0, 2 * b.modes * TWO * sizeof(R));
  b.block.g_rate = grads;
  b.block.g_weight = grads + b.modes * TWO;
  for (int64_t s = NAME(cut)(scan, group); s < NAME(cut)(scan, group + 1); s++) {
    const int64_t start = scan->offsets[s], end = scan->offsets[s + 1], count = (end - start + CHUNK - 1) / CHUNK;
    NAME(load_state)(&b.block, scan->g_end, scan->sink[s], b.block.adjoint);
    for (int64_t chunk = count - 1; chunk >= 0; chunk--) {
      const int64_t row = start + chunk * CHUNK;
      NAME(enter_rows)(&b, row, end - row);
      memcpy(b.block.state, NAME(checkpoint)(scan, scan->chunks[s] + chunk, block), modes * sizeof(R));
      NAME(take)(&b, scan->g_y, b.y, row, 0);
      memset(b.g_gap, 0, 3 * CHUNK * W * sizeof(R));
      NAME(sweep)(&b, part + row * each);
      NAME(give)(&b, b.g_hold, scan->g_hold, row, b.active);
      NAME(give)(&b, b.g_push, scan->g_push, row, b.active);
      NAME(give)(&b, b.g_gap, selective->g_gaps, row, 0);
      for (int64_t k = 0; k < b.rows && scan->g_gap; k++) gap_parts[row + k] = NAME(sum)(load(b.g_gap + k * W));
    }
    NAME(save_state)(&b.block, b.block.adjoint, scan->g_start, scan->source[s]);
  }
  memcpy(sums, b.block.g_rate, modes * sizeof(R));
  memcpy(sums + modes, b.block.g_weight, modes * sizeof(R));
  free(grads);
  free(memory);
  return 0;
}

/* The sums of the parts of g_B and g_C on one row, in their order, to where each of the two belongs. */
static void NAME(add_up_row)(const Selective *selective, int64_t row, int64_t each) {
  const int64_t modes = selective->scan.modes, size = selective->scan.rows * each;
  const int64_t width = selective->complex_B || selective->complex_C ? 4 : 2;
  R *total = (R *)selective->row_parts + row * each;
  for (int64_t part = 1; part < selective->parts; part++)
    for (int64_t i = 0; i < each; i++) total[i] += total[part * size + i];
  for (int which = 0; which < 2; which++) {
    const int complex = (int)(which ? selective->complex_C : selective->complex_B);
    R *to = (R *)(which ? selective->g_C : selective->g_B);
    if (!to) continue;
    to += row * modes * (1 + complex);
    for (int64_t n = 0; n < modes; n++)
      for (int i = 0; i <= complex; i++) to[n * (1 + complex) + i] = total[n * width + 2 * i + which];
  }
}

/* A task of the backward pass is a part of the blocks, so that few parts of g_B and g_C are kept, in a number that does not
   depend on the threads. */
static int NAME(selective)(const Selective *selective, int backward) {
  const Scan *scan = &selective->scan;
  const int64_t blocks = (scan->channels + W - 1) / W, parts = backward ? selective->parts : blocks;
  const int64_t each = (scan->modes + 1) / PAIR * PAIR * (selective->complex_B || selective->complex_C ? 4 : 2);
  const int64_t tasks = parts * scan->groups;
  const int threads = tasks > 1 && scan->rows * scan->channels * scan->modes > WORTH_THREADS ? (int)scan->threads : 1;
  int failed = 0;
  (void)threads;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1) reduction(| : failed)
#endif
  for (int64_t task = 0; task < tasks; task++) {
    const int64_t group = task / parts, part = task % parts;
    if (!backward) failed |= NAME(selective_forward)(selective, group, part);
    else
      for (int64_t block = blocks * part / parts; block < blocks * (part + 1) / parts; block++)
        failed |= NAME(selective_backward)(selective, group, block, (R *)selective->row_parts + part * scan->rows * each, each);
  }
  if (!backward || failed) return failed;
  NAME(add_up)(scan);
  for (int64_t row = 0; row < scan->rows && (selective->g_B || selective->g_C); row++) NAME(add_up_row)(selective, row, each);
  return 0;
}
#undef Rows
#undef PAIR
