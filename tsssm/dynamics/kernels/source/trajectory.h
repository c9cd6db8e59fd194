/* Whole trajectories of x' = MLP([x, v]) with noise, one sample a lane, forward and backward.

   Included after vectors.h, once for each type and instruction set. A step of length h from x, with stages s, is

       k_s = MLP([x + h lead_s k_{s-1}, v_s]),   x' = x + h sum_s share_s k_s + root size normal (x, if linear)

   where v_s is what the field knows beside the state (inputs, functions of time) at place_s of the step: every
   Runge-Kutta method whose stages look at the one before them only. Nothing but the states is kept: the backward pass
   evaluates the network again, and sums the gradients of the weights in registers over pieces of PIECE evaluations.

   form    int64: layers, activation, stages, places, linear, timed, b, l, d, m, threads, wanted, place[stages],
           widths[layers + 1] with widths[0] = d + m and widths[layers] = d
   tableau double: lead[stages], share[stages]
   weights each layer's matrix (out, in), then its bias (out)
   x0 (b, d); dt (b, l); features (b, l, places, m), not read where m = 0; states (b, l, d)
   normals (b, l, d) or NULL for no noise; with them root (b, l) and size (d), or (b, l, d) if `timed`

   `wanted` says which gradients to write: 1 of dt, 2 of the features, 4 of the normals. Both functions return 0, or 1
   without memory. */

#include "mlp.h"

#define Four NAME(four)
typedef R Four __attribute__((vector_size(4 * sizeof(R)), aligned(sizeof(R)), may_alias));
#if defined(__clang__)
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef RINT NAME(four_places) __attribute__((vector_size(4 * sizeof(R))));
#define MIX(a, b, ...) __builtin_shuffle(a, b, (NAME(four_places)){__VA_ARGS__})
#endif

/* A square of four numbers of four rows, turned on its side. */
INLINE void NAME(turn)(R *to, const R *from, int64_t to_stride, int64_t stride) {
  Four a = *(const Four *)from, b = *(const Four *)(from + stride);
  Four c = *(const Four *)(from + 2 * stride), d = *(const Four *)(from + 3 * stride);
  Four ab = MIX(a, b, 0, 4, 1, 5), AB = MIX(a, b, 2, 6, 3, 7), cd = MIX(c, d, 0, 4, 1, 5), CD = MIX(c, d, 2, 6, 3, 7);
  *(Four *)to = MIX(ab, cd, 0, 1, 4, 5);
  *(Four *)(to + to_stride) = MIX(ab, cd, 2, 3, 6, 7);
  *(Four *)(to + 2 * to_stride) = MIX(AB, CD, 0, 1, 4, 5);
  *(Four *)(to + 3 * to_stride) = MIX(AB, CD, 2, 3, 6, 7);
}

/* Rows of samples, `stride` apart, to one vector for each of n numbers, and back; lanes without a sample are zero. The
   rows of a batch are far apart, and a power of two often, so they are asked for `ahead` of time. */
static void NAME(read_rows)(V *to, const R *from, int64_t stride, int64_t rows, int64_t n, int64_t ahead) {
  R *lanes = (R *)to;
  int64_t whole = W % 4 == 0 && rows == W ? n & ~(int64_t)3 : 0;
  if (rows < W) for (int64_t i = 0; i < n; i++) to[i] = all(0);
  if (ahead) for (int64_t r = 0; r < rows; r++) __builtin_prefetch(from + r * stride + ahead, 0, 2);
  for (int64_t r = 0; r < (whole ? W : 0); r += 4)
    for (int64_t i = 0; i < whole; i += 4) NAME(turn)(lanes + i * W + r, from + r * stride + i, W, stride);
  for (int64_t i = whole; i < n; i++)
    for (int64_t r = 0; r < rows; r++) lanes[i * W + r] = from[r * stride + i];
}
static void NAME(write_rows)(R *to, const V *from, int64_t stride, int64_t rows, int64_t n) {
  const R *lanes = (const R *)from;
  int64_t whole = W % 4 == 0 && rows == W ? n & ~(int64_t)3 : 0;
  for (int64_t r = 0; r < (whole ? W : 0); r += 4)
    for (int64_t i = 0; i < whole; i += 4) NAME(turn)(to + r * stride + i, lanes + i * W + r, stride, W);
  for (int64_t i = whole; i < n; i++)
    for (int64_t r = 0; r < rows; r++) to[r * stride + i] = lanes[i * W + r];
}

/* Vectors of a block of W samples at one step. */
#define Step NAME(step)
typedef struct {
  V *x, *normals, *sizes, *rates, *features;
  V h, root;
} Step;

INLINE int64_t NAME(step_size)(const Plan *p) { return PADDED(p->d) * (p->stages + 3) + p->places * p->m; }
INLINE V *NAME(lay_step)(const Plan *p, Step *now, V *at) {
  int64_t wide = PADDED(p->d);
  now->x = at;
  now->normals = at + wide;
  now->sizes = at + 2 * wide;
  now->rates = at + 3 * wide;
  now->features = now->rates + p->stages * wide;
  if (p->normals && !p->timed) for (int64_t i = 0; i < p->d; i++) now->sizes[i] = all(p->size[i]);
  return at + NAME(step_size)(p);
}

/* Reads step k of a block; `next`, 1 or -1, is where the run goes from there. */
INLINE void NAME(read_step)(const Plan *p, Step *now, int64_t row, int64_t rows, int64_t k, int64_t next) {
  int64_t at = row * p->l + k, d = p->d, wide = p->places * p->m;
  next *= k + next >= 0 && k + next < p->l;
  NAME(read_rows)(&now->h, p->dt + at, p->l, rows, 1, 0);
  if (wide) NAME(read_rows)(now->features, p->features + at * wide, p->l * wide, rows, wide, next * wide);
  if (!p->normals) return;
  NAME(read_rows)(&now->root, p->root + at, p->l, rows, 1, 0);
  NAME(read_rows)(now->normals, p->normals + at * d, p->l * d, rows, d, next * d);
  if (p->timed) NAME(read_rows)(now->sizes, p->size + at * d, p->l * d, rows, d, next * d);
}

/* Stage s: where it looks goes to `acts`, its rate to rates + s PADDED(d). */
INLINE void NAME(look)(const Plan *p, const Step *now, int64_t s, V *acts, V *slopes, int keep_rate) {
  int64_t d = p->d, wide = PADDED(d);
  V *rate = now->rates + s * wide;
  if (s == 0) for (int64_t i = 0; i < d; i++) acts[i] = now->x[i];
  else {
    V reach = now->h * p->lead[s];
    for (int64_t i = 0; i < d; i++) acts[i] = now->x[i] + reach * rate[i - wide];
  }
  for (int64_t i = 0; i < p->m; i++) acts[d + i] = now->features[p->place[s] * p->m + i];
  NAME(network)(p, acts, slopes, keep_rate ? rate : NULL, NULL);
}

/* Scratch of `count` vectors for each thread, zero, on a boundary of cache lines; `block` is what to free. */
INLINE V *NAME(scratch)(int64_t threads, int64_t count, void **block) {
  *block = calloc(threads * count * sizeof(V) + 64, 1);
  return *block ? (V *)(((uintptr_t)*block + 63) & ~(uintptr_t)63) : NULL;
}

static void NAME(forward_block)(const Plan *p, V *at, R *states, int64_t row) {
  int64_t d = p->d, wide = PADDED(d), rows = LESS(W, p->b - row);
  Step now;
  V *acts = NAME(lay_step)(p, &now, at);
  NAME(read_rows)(now.x, p->x0 + row * d, d, rows, d, 0);
  for (int64_t k = 0; k < p->l; k++) {
    NAME(read_step)(p, &now, row, rows, k, 1);
    for (int64_t s = 0; s < p->stages; s++) NAME(look)(p, &now, s, acts, NULL, 1);
    for (int64_t i = 0; i < d; i++) {
      V total = all(0), x = now.x[i];
      for (int64_t s = 0; s < p->stages; s++) total += now.rates[s * wide + i] * p->share[s];
      now.x[i] = x + now.h * total;
      if (!p->normals) continue;
      V kick = now.root * now.sizes[i] * now.normals[i];
      now.x[i] += p->linear ? kick * x : kick;
    }
    NAME(write_rows)(states + (row * p->l + k) * d, now.x, p->l * d, rows, d);
  }
}

static int NAME(trajectory_forward)(const int64_t *form, const double *tableau, const R *weights, const R *x0,
                                    const R *dt, const R *normals, const R *root, const R *size, const R *features,
                                    R *states) {
  Plan plan;
  NAME(lay_out)(&plan, form, tableau);
  plan.x0 = x0; plan.dt = dt; plan.normals = normals; plan.root = root; plan.size = size; plan.features = features;
  const Plan *p = &plan;
  int64_t blocks = (p->b + W - 1) / W, threads = LESS(p->threads, blocks > 0 ? blocks : 1);
  int64_t scratch_size = NAME(step_size)(p) + p->in[p->layers];
  void *block = NULL;
  R *packed = NAME(pack)(&plan, weights);
  V *scratch = packed ? NAME(scratch)(threads, scratch_size, &block) : NULL;
  if (scratch) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
#endif
    for (int64_t thread = 0; thread < threads; thread++)
      for (int64_t i = thread; i < blocks; i += threads)
        NAME(forward_block)(p, scratch + thread * scratch_size, states, i * W);
  }
  free(packed);
  free(block);
  return scratch == NULL;
}

#include "trajectory_back.h"
#include "driven.h"

#undef Back
#undef Four
#undef MIX
#undef Plan
#undef Step
