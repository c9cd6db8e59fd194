/* Fast kernels of tsssm in plain C: no headers of Python or torch, loaded by ctypes.

   Every kernel is compiled for several instruction sets, and the best one that the machine has is chosen when the
   library is first used. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { CHUNK = 64, MODES_AT_ONCE = 2, MOST_PAIRS = 16 };

/* Of the bank: how far it goes at once, and the places behind the shares of a readout, in its float sums (all of them)
   and in those of doubles (up to SUMS). */
enum { NODES = 32, ROWS_AT_ONCE = 8, MOST_THRESHOLDS = 16 };
enum { SQUARE, UPS, LEAN, RUN, SUMS, KEEP = SUMS, LAST, HIGHEST, LOWEST, LONGEST, RECENT };

/* Work below which other threads stay asleep, and how memory is filled before use: tests set both. */
#ifndef WORTH_THREADS
#define WORTH_THREADS 400000
#endif
#ifndef FILL
#define FILL(memory, size)
#endif

/* Arguments of a scan; native.py has the same fields. Pointers are to numbers of the called type, null where a thing is
   absent. Complex numbers are pairs. */
typedef struct {
  /* forward: rows are packed end to end, series s from offsets[s] to offsets[s + 1], its checkpoints from chunks[s];
     it begins with start[source[s]] and leaves end[sink[s]], where those are not negative */
  const void *rate, *weight, *gap, *hold, *push, *start;
  const uint8_t *active;
  const int64_t *offsets, *chunks, *source, *sink;
  const int32_t *which;
  const void *unique_gaps;
  void *table, *y, *end, *checkpoints;
  /* backward */
  const void *g_y, *g_end;
  void *g_rate, *g_weight, *g_gap, *g_hold, *g_push, *g_start, *sums, *gap_parts;
  int64_t rows, channels, modes, series, unique, groups, threads, complex_modes, complex_rows, rational, held;
  double alpha;
} Scan;

/* A scan whose gaps are those of each channel, or whose inputs and outputs pass through B and C of each row; selective.py
   has the same fields. Real inputs; `gaps` and `g_gaps` are (rows, channels) and take the place of `gap` and `g_gap`. */
typedef struct {
  Scan scan;
  const void *gaps, *B, *C;
  void *g_gaps, *g_B, *g_C, *row_parts;
  int64_t complex_B, complex_C, parts;
} Selective;

/* Arguments of a recurrence; recurrence.py has the same fields. Rows lie as (batch, rows, outer, inner), counted in numbers
   of the called type, of which a complex one is two; so are starts, without rows. Factors have strides of their own between
   batch entries and between rows; the `outer` parts of a row share them. Absent pointers are null: start, and of the
   gradients g_a and g_start. */
typedef struct {
  const void *a, *b, *start;
  void *x;
  const void *g_x;
  void *g_a, *g_b, *g_start;
  int64_t batch, outer, rows, inner, a_batch, a_row, complex, reverse, threads;
} Recurrence;

/* Arguments of a bank; bank.py has the same fields. Groups are the last axis of everything that has them. What a series
   left lies in state (series, 2 modes + 1, groups), recent (series, readouts, thresholds + 9, groups) and sums (.. + 4 ..)
   and is replaced by what it leaves now, unless `closed`; clock (series, 4) is only read, and clock_after written. */
typedef struct {
  const double *rate;
  const float *mix, *readout, *gain, *threshold, *steepness, *values;
  const double *gap, *step, *unique_steps;
  const int32_t *parts, *which;
  const int64_t *offsets;
  const double *clock;
  double *clock_after, *sums;
  float *state, *recent, *pools;
  int64_t series, channels, groups, modes, readouts, thresholds, unique, nodes, threads, resumed, closed;
  double fast;
} Bank;

/* Arguments of channels with a diagonal plus low rank matrix, see lowrank.h; lowrank.py has the same fields. */
typedef struct {
  const void *parts, *gap, *u, *start;
  const uint8_t *reset, *active;
  void *y, *end, *checkpoints;
  const void *g_y, *g_end;
  void *g_parts, *g_gap, *g_u, *g_start;
  int64_t batch, rows, channels, modes, threads;
  double alpha;
} LowRank;

/* Arguments of filters of pairs of states, see pairs.h; pairs.py has the same fields. Rows lie as (batch, rows), behind each
   4 numbers of F and 3 of N for each pair, means of 2 pairs and covariances. A row goes on from row `before`, from the start
   where that is -1. Backwards g_m and g_P hold the gradients of m and P, and are used up. */
typedef struct {
  const void *F, *N, *y, *r, *mean, *cov;
  const uint8_t *seen;
  const int64_t *before;
  void *m, *P, *e, *s;
  const void *g_e, *g_s;
  void *g_m, *g_P, *g_F, *g_N, *g_y, *g_r, *g_mean, *g_cov;
  int64_t batch, rows, pairs, threads;
} Pairs;

/* Steps that a network drives, see driven.h; driven_native.py has the same fields. Strides are in numbers, between samples
   that lie in lanes, outer samples and steps; `form` is that of trajectory.h, and `g_x0` to `g_beside` are null where unasked
   for. */
typedef struct {
  void *at;
  int64_t lane, outer, step;
} Part;
typedef struct {
  Part x0, carry, weight, kick, beside, states, g_states, g_x0, g_carry, g_weight, g_kick, g_beside;
  const int64_t *form;
  const void *weights;
  void *g_weights;
  int64_t outer, log;
} Driven;

static void *allocate(size_t size) {
  void *memory = 0;
  if (posix_memalign(&memory, 64, size + 64)) return 0;
  FILL(memory, size);
  return memory;
}

static const int32_t counting[CHUNK] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
    22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
    44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)

#if defined(__x86_64__) && !defined(TSSSM_BASELINE_ONLY)
#define LEVELS 3
#define SET avx512
#define BYTES 64
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")
#endif
#include "kernels.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#define SET avx2
#define BYTES 32
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#include "kernels.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
#define LEVELS 1
#endif

#define SET baseline
#define BYTES 16
#include "kernels.h"

/* 0 baseline (SSE2, NEON), 1 AVX2, 2 AVX-512: the best the machine has, or less where TSSSM_ISA asks for it. */
int tsssm_level(void) {
  static int level = -1;
  if (level >= 0) return level;
  int best = 0;
#if LEVELS == 3
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) best = 1;
  if (best && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    best = 2;
  const char *wanted = getenv("TSSSM_ISA");
  if (wanted && !strcmp(wanted, "baseline")) best = 0;
  if (wanted && !strcmp(wanted, "avx2") && best > 1) best = 1;
#endif
  return level = best;
}

#if LEVELS == 3
#define CALL(name, ...)                                                                                 \
  return tsssm_level() == 2 ? PASTE(name, avx512)(__VA_ARGS__)                                          \
         : tsssm_level() == 1 ? PASTE(name, avx2)(__VA_ARGS__) : PASTE(name, baseline)(__VA_ARGS__)
#else
#define CALL(name, ...) return PASTE(name, baseline)(__VA_ARGS__)
#endif

int tsssm_scan_float(const Scan *scan, int backward) { CALL(run_float, scan, backward); }
int tsssm_scan_double(const Scan *scan, int backward) { CALL(run_double, scan, backward); }
int tsssm_selective_float(const Selective *scan, int backward) { CALL(selective_float, scan, backward); }
int tsssm_selective_double(const Selective *scan, int backward) { CALL(selective_double, scan, backward); }
int64_t tsssm_unique_float(const float *gap, int64_t rows, int64_t most, int32_t *which, float *table) {
  CALL(unique_float, gap, rows, most, which, table);
}
int64_t tsssm_unique_double(const double *gap, int64_t rows, int64_t most, int32_t *which, double *table) {
  CALL(unique_double, gap, rows, most, which, table);
}
void tsssm_recurrence_float(const Recurrence *of, int backward) { CALL(recurrence_float, of, backward); }
void tsssm_recurrence_double(const Recurrence *of, int backward) { CALL(recurrence_double, of, backward); }
int tsssm_lowrank_float(const LowRank *of, int backward) { CALL(lowrank_float, of, backward); }
int tsssm_lowrank_double(const LowRank *of, int backward) { CALL(lowrank_double, of, backward); }
void tsssm_pairs_float(const Pairs *of, int backward) { CALL(pairs_float, of, backward); }
void tsssm_pairs_double(const Pairs *of, int backward) { CALL(pairs_double, of, backward); }
int tsssm_pooled(const Bank *bank) { CALL(bank_float, bank); }
#define CAUCHY(R)                                                                                                     \
  void tsssm_cauchy_##R(const R *a, const R *b, const R *w, const R *sin, const R *cos, R *re, R *im, int64_t channels, \
                        int64_t modes, int64_t sums, int64_t points, int threads) {                                   \
    CALL(cauchy_##R, a, b, w, sin, cos, re, im, channels, modes, sums, points, threads);                              \
  }                                                                                                                   \
  void tsssm_cauchy_backward_##R(const R *a, const R *b, const R *w, const R *sin, const R *cos, const R *g_re,       \
                                 const R *g_im, R *g_a, R *g_b, R *g_w, int64_t channels, int64_t modes, int64_t sums, \
                                 int64_t points, int threads) {                                                       \
    CALL(cauchy_backward_##R, a, b, w, sin, cos, g_re, g_im, g_a, g_b, g_w, channels, modes, sums, points, threads);  \
  }
CAUCHY(float)
CAUCHY(double)

#define TRAJECTORY(kind, R)                                                                                                 \
  int tsssm_trajectory_forward_##kind(const int64_t *form, const double *tableau, const R *weights, const R *x0, const R *dt, \
                                      const R *normals, const R *root, const R *size, const R *features, R *states) {        \
    CALL(trajectory_forward_##kind, form, tableau, weights, x0, dt, normals, root, size, features, states);                  \
  }                                                                                                                         \
  int tsssm_trajectory_backward_##kind(const int64_t *form, const double *tableau, const R *weights, const R *x0,            \
                                       const R *dt, const R *normals, const R *root, const R *size, const R *features,       \
                                       const R *states, const R *grad, R *to_weights, R *to_x0, R *to_dt, R *to_normals,     \
                                       R *to_root, R *to_size, R *to_features) {                                            \
    CALL(trajectory_backward_##kind, form, tableau, weights, x0, dt, normals, root, size, features, states, grad, to_weights,  \
         to_x0, to_dt, to_normals, to_root, to_size, to_features);                                                          \
  }
TRAJECTORY(float, float)
TRAJECTORY(double, double)
int tsssm_driven_float(const Driven *of, int backward) { CALL(driven_float, of, backward); }
int tsssm_driven_double(const Driven *of, int backward) { CALL(driven_double, of, backward); }
int64_t tsssm_lanes(int bytes) { return (tsssm_level() == 2 ? 64 : tsssm_level() == 1 ? 32 : 16) / bytes; }

/* Cut `entries` batch rows of `length` into series at their resets: fills the four tables of a Scan and gives the number
   of series. `capacity` of the tables is 1 + entries + the number of resets. */
int64_t tsssm_series(const uint8_t *reset, int64_t entries, int64_t length, int64_t *offsets, int64_t *chunks, int64_t *source,
                     int64_t *sink) {
  int64_t count = 0, chunk = 0;
  for (int64_t e = 0; e < entries; e++) {
    int64_t start = 0;
    for (int64_t k = 1; k <= length || k == 1; k++) {
      int last = k >= length;
      if (!last && !(reset && reset[e * length + k])) continue;
      int64_t stop = last ? length : k;
      offsets[count] = e * length + start;
      chunks[count] = chunk;
      source[count] = start == 0 && !(reset && length && reset[e * length]) ? e : -1;
      sink[count++] = last ? e : -1;
      chunk += (stop - start + CHUNK - 1) / CHUNK;
      start = stop;
      if (last) break;
    }
  }
  offsets[count] = entries * length;
  chunks[count] = chunk;
  return count;
}
