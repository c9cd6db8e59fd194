/* Every function of the kernels on random shapes, with buffers of exactly the size that each needs.

   Each case runs three times: with all memory filled with zeros, then with NaN patterns, then on two threads. Outputs must
   be finite and the same bit for bit, so nothing is read that was not written. Meant for the address and undefined
   behaviour sanitizers: see `make sanitize`. The argument is the number of cases of each kind. */

#include <stdio.h>
#include <stdlib.h>
#if defined(__x86_64__)
/* declares posix_memalign once more */
#include <immintrin.h>
#endif

static int pattern;
#define FILL(memory, size) memset(memory, pattern, size)
#define WORTH_THREADS 0
/* the library asks for a cache line more than it uses, which would hide that it used it */
#define posix_memalign(memory, boundary, size) posix_memalign(memory, boundary, (size) - 64)
#include "../../tsssm/dynamics/kernels/source/tsssm.c"

static uint64_t seed = 1, hash;
static int threads, check_finite, failures;
static const char *name = "";
static void *kept[256];
static int count_kept;

static double uniform(void) {
  seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17;
  return (double)(seed >> 11) / 9007199254740992.0;
}
static int64_t below(int64_t n) { return (int64_t)(uniform() * (double)n); }
#define ONE_OF(...) one_of((const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
static int64_t one_of(const int64_t *choices, size_t count) { return choices[below((int64_t)count)]; }

/* A buffer of exactly `size` bytes, on no boundary beyond its type's: freed at the end of the case. */
static void *keep(size_t size) {
  void *memory = malloc(size);
  if (!memory || count_kept == 256) { fprintf(stderr, "no memory for %zu bytes\n", size); exit(2); }
  memset(memory, pattern, size);
  return kept[count_kept++] = memory;
}
static uint8_t *flags(int64_t count, double share) {
  uint8_t *to = keep((size_t)count);
  for (int64_t i = 0; i < count; i++) to[i] = uniform() < share;
  return to;
}
static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", name, what);
  failures++;
}
static void mix(const void *from, size_t size) {
  const uint8_t *bytes = from;
  for (size_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * 1099511628211u;
}

/* Lengths around a chunk, channels around the lanes of every instruction set. */
static int64_t any_length(void) { return ONE_OF(0, 1, 2, 3, 63, 64, 65, 127, 130, 200); }
static int64_t any_width(void) { return ONE_OF(1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33); }

#define CASE(x) PASTE(x, float)
#define R float
#include "cases.h"
#undef CASE
#undef R
#define CASE(x) PASTE(x, double)
#define R double
#include "cases.h"

static void series_alone(void) {
  int64_t entries = 1 + below(4), length = any_length(), resets = 0;
  uint8_t *reset = below(3) ? flags(entries * length, uniform()) : 0;
  for (int64_t i = 0; reset && i < entries * length; i++) resets += reset[i];
  int64_t *tables[4];
  for (int i = 0; i < 4; i++) tables[i] = keep((size_t)(1 + entries + resets) * sizeof(int64_t));
  int64_t count = tsssm_series(reset, entries, length, tables[0], tables[1], tables[2], tables[3]);
  if (count > entries + resets || tables[0][count] != entries * length) fail("series do not end where the rows do");
  for (int64_t s = 0; s < count; s++)
    if (tables[0][s + 1] < tables[0][s] || tables[1][s + 1] - tables[1][s] != (tables[0][s + 1] - tables[0][s] + 63) / 64)
      fail("chunks of a series are not those of its rows");
}

/* A bank over series that come in two pieces, the second closed; floats only. */
static void bank(void) {
  Bank of = {.series = below(5), .channels = ONE_OF(1, 2, 7), .groups = any_width(), .modes = ONE_OF(1, 2, 4),
             .readouts = 1 + below(3), .thresholds = ONE_OF(1, 2, 3, 4, 16), .threads = threads, .fast = 3};
  const int64_t G = of.groups, K = of.modes, r = of.readouts, q = of.thresholds, n = of.series;
  double *rate = numbers_double(2 * K * G, -2, 2);
  for (int64_t i = 0; i < K * G; i++) rate[2 * i] = -0.01 - uniform();
  of.rate = rate;
  of.mix = numbers_float(of.channels * G, -1, 1); of.readout = numbers_float(2 * r * K * G, -1, 1);
  of.gain = numbers_float(r * G, -1, 1); of.steepness = numbers_float(r * G, 0.1, 3);
  of.threshold = numbers_float(q * r * G, -1, 1);
  of.state = zeros_float(n * (2 * K + 1) * G);
  of.recent = zeros_float(n * r * (q + RECENT) * G); of.sums = zeros_double(n * r * (q + SUMS) * G);
  double *clock = zeros_double(4 * n), *clock_after = zeros_double(4 * n);
  of.clock = clock; of.clock_after = clock_after;
  for (int64_t piece = 0; piece < 2; piece++) {
    int64_t *offsets = keep((size_t)(n + 1) * sizeof *offsets), rows = 0;
    for (int64_t s = 0; s <= n; s++) { offsets[s] = rows; rows += s < n ? any_length() : 0; }
    double *gap = gaps_double(rows), *step = space_double(rows), *unique_steps = space_double(64);
    int32_t *parts = keep((size_t)rows * sizeof *parts), *which = keep((size_t)rows * sizeof *which);
    of.nodes = 0;
    for (int64_t i = 0; i < rows; i++) {
      parts[i] = (int32_t)ONE_OF(0, 1, 1, 1, 3, 70);
      step[i] = gap[i] / (parts[i] > 1 ? parts[i] : 1);
      of.nodes += parts[i];
    }
    of.unique = tsssm_unique_double(step, rows, ONE_OF(0, 64), which, unique_steps);
    of.values = numbers_float(rows * of.channels, -1, 1); of.gap = gap; of.step = step; of.parts = parts; of.which = which;
    of.unique_steps = unique_steps; of.offsets = offsets; of.resumed = piece; of.closed = piece;
    of.pools = space_float(n * (q + 6) * r * G);
    if (tsssm_pooled(&of)) fail("no memory");
    output_float(of.pools, n * (q + 6) * r * G);
    memcpy(clock, clock_after, (size_t)(4 * n) * sizeof *clock);
  }
}

static void run(const char *of, void (*one)(void), long cases) {
  name = of;
  for (long i = 0; i < cases; i++) {
    const uint64_t begin = seed;
    uint64_t first = 0;
    for (int pass = 0; pass < 3; pass++) {
      seed = begin;
      pattern = pass == 0 ? 0 : 0xFF;
      threads = pass < 2 ? 1 : 2;
      check_finite = pass == 0;
      hash = 14695981039346656037u;
      one();
      while (count_kept) free(kept[--count_kept]);
      if (pass == 0) first = hash;
      else if (hash != first) fail(pass == 1 ? "depends on memory that nobody wrote" : "depends on the threads");
    }
  }
}

int main(int argc, char **argv) {
  const long cases = argc > 1 ? atol(argv[1]) : 200;
  run("series", series_alone, cases);
#define BOTH(x) run(#x " float", x##_float, cases); run(#x " double", x##_double, cases)
  BOTH(scan);
  BOTH(selective);
  BOTH(cauchy);
  BOTH(lowrank_of);
  BOTH(trajectory);
  BOTH(driven_of);
  BOTH(recurrence_of);
  BOTH(pairs_of);
  run("bank", bank, cases);
  printf("instruction set %d, %ld cases of each kind: %d failures\n", tsssm_level(), cases, failures);
  return failures > 0;
}
