/* Networks on W samples at once, one a lane: their weights as the kernels want them, layers and activations. What comes
   before and after a trajectory is in trajectory.h, which includes this. */

#ifndef TSSSM_TRAJECTORY
#define TSSSM_TRAJECTORY
/* activations, as trajectory_native.py counts them */
enum { TANH, SILU, RELU };
enum { MOST_LAYERS = 16, MOST_STAGES = 4, PIECE = 16, PARTS = 16 };
enum { WANT_DT = 1, WANT_FEATURES = 2, WANT_NORMALS = 4 };
#define PADDED(n) (((n) + 3) & ~(int64_t)3)
#define LESS(a, b) ((a) < (b) ? (a) : (b))
#endif

/* The network and the method, and where things lie in the scratch of a thread. Counts of numbers that a step handles
   four at a time are padded to fours. */
#define Plan NAME(plan)
typedef struct {
  int64_t layers, activation, stages, places, linear, timed, b, l, d, m, threads, wanted;
  const int64_t *place, *widths;
  R lead[MOST_STAGES], share[MOST_STAGES];
  const R *x0, *dt, *normals, *root, *size, *features;
  R *down[MOST_LAYERS], *up[MOST_LAYERS], *bias[MOST_LAYERS];
  int64_t in[MOST_LAYERS + 1], out[MOST_LAYERS + 1], sums[MOST_LAYERS + 1], biases[MOST_LAYERS + 1];
} Plan;

/* Lays out one evaluation: the inputs of all layers one after another, and likewise what flows back into them. */
INLINE void NAME(lay_out)(Plan *p, const int64_t *form, const double *tableau) {
  p->layers = form[0]; p->activation = form[1]; p->stages = form[2]; p->places = form[3]; p->linear = form[4];
  p->timed = form[5]; p->b = form[6]; p->l = form[7]; p->d = form[8]; p->m = form[9]; p->threads = form[10];
  p->wanted = form[11]; p->place = form + 12;
  p->widths = p->place + p->stages;
  for (int64_t s = 0; s < p->stages; s++) {
    p->lead[s] = (R)tableau[s];
    p->share[s] = (R)tableau[p->stages + s];
  }
  p->in[0] = p->out[0] = p->sums[0] = p->biases[0] = 0;
  for (int64_t i = 0; i < p->layers; i++) {
    int64_t n = PADDED(p->widths[i]), k = PADDED(p->widths[i + 1]);
    p->in[i + 1] = p->in[i] + n;
    p->out[i + 1] = p->out[i] + k;
    p->sums[i + 1] = p->sums[i] + n * k;
    p->biases[i + 1] = p->biases[i] + k;
  }
}

INLINE int64_t NAME(count_weights)(const Plan *p) {
  int64_t count = 0;
  for (int64_t i = 0; i < p->layers; i++) count += (p->widths[i] + 1) * p->widths[i + 1];
  return count;
}

/* Copies the weights to where rows of four fit: `down` (in, out) on the way forward, `up` (out, in) on the way back. */
INLINE R *NAME(pack)(Plan *p, const R *weights) {
  int64_t size = 2 * p->sums[p->layers] + p->biases[p->layers];
  R *packed = calloc(size, sizeof(R)), *at = packed;
  if (!packed) return NULL;
  for (int64_t i = 0; i < p->layers; i++) {
    int64_t n = p->widths[i], k = p->widths[i + 1], wide_n = PADDED(n), wide_k = PADDED(k);
    p->down[i] = at;
    p->up[i] = at + wide_n * wide_k;
    p->bias[i] = at + 2 * wide_n * wide_k;
    at = p->bias[i] + wide_k;
    for (int64_t a = 0; a < k; a++)
      for (int64_t c = 0; c < n; c++) p->down[i][c * wide_k + a] = p->up[i][a * wide_n + c] = weights[a * n + c];
    for (int64_t a = 0; a < k; a++) p->bias[i][a] = weights[k * n + a];
    weights += k * n + k;
  }
  return packed;
}

/* out[j] = bias[j] + sum_i x[i] A[i, j], eight at a time to hide the latency of the additions. */
static void NAME(dense)(V *out, const V *x, const R *A, const R *bias, int64_t n, int64_t columns, int64_t stride) {
  int64_t j = 0;
  for (; j + 8 <= columns; j += 8) {
    V c0 = {0}, c1 = {0}, c2 = {0}, c3 = {0}, c4 = {0}, c5 = {0}, c6 = {0}, c7 = {0};
    const R *a = A + j;
    if (bias) {
      c0 += bias[j]; c1 += bias[j + 1]; c2 += bias[j + 2]; c3 += bias[j + 3];
      c4 += bias[j + 4]; c5 += bias[j + 5]; c6 += bias[j + 6]; c7 += bias[j + 7];
    }
    for (int64_t i = 0; i < n; i++, a += stride) {
      V v = x[i];
      c0 += v * a[0]; c1 += v * a[1]; c2 += v * a[2]; c3 += v * a[3];
      c4 += v * a[4]; c5 += v * a[5]; c6 += v * a[6]; c7 += v * a[7];
    }
    V *o = out + j;
    o[0] = c0; o[1] = c1; o[2] = c2; o[3] = c3; o[4] = c4; o[5] = c5; o[6] = c6; o[7] = c7;
  }
  if (j >= columns) return;
  V c0 = {0}, c1 = {0}, c2 = {0}, c3 = {0};
  if (bias) { c0 += bias[j]; c1 += bias[j + 1]; c2 += bias[j + 2]; c3 += bias[j + 3]; }
  const R *a = A + j;
  for (int64_t i = 0; i < n; i++, a += stride) {
    V v = x[i];
    c0 += v * a[0]; c1 += v * a[1]; c2 += v * a[2]; c3 += v * a[3];
  }
  out[j] = c0; out[j + 1] = c1; out[j + 2] = c2; out[j + 3] = c3;
}

/* 1/a and 1/b with one division; |a b| must stay in range, hence the clamps of the exponents below. */
INLINE void NAME(invert_two)(V *a, V *b) {
  V one = all(1) / (*a * *b), other = *a * one;
  *a = *b * one;
  *b = other;
}
INLINE V NAME(exp2m1_clamped)(V x) {
  V exp;
  return NAME(exp2m1)(NAME(pick)(x > all(60), all(60), x), &exp);
}

/* Activation of n (a multiple of 4) numbers in place; their slopes too, where asked for. */
static void NAME(activate)(V *z, V *slope, int64_t n, int64_t kind) {
  const R log2e = (R)1.4426950408889634;
  if (kind == TANH) {
    for (int64_t j = 0; j < n; j += 2) {
      V e = NAME(exp2m1_clamped)(z[j] * (2 * log2e)), f = NAME(exp2m1_clamped)(z[j + 1] * (2 * log2e));
      V p = e + (R)2, q = f + (R)2;
      NAME(invert_two)(&p, &q);
      z[j] = e * p;
      z[j + 1] = f * q;
      if (slope) { slope[j] = (R)1 - z[j] * z[j]; slope[j + 1] = (R)1 - z[j + 1] * z[j + 1]; }
    }
  } else if (kind == SILU) {
    for (int64_t j = 0; j < n; j += 2) {
      V p = NAME(exp2m1_clamped)(z[j] * -log2e) + (R)2, q = NAME(exp2m1_clamped)(z[j + 1] * -log2e) + (R)2;
      NAME(invert_two)(&p, &q);
      z[j] *= p;
      z[j + 1] *= q;
      if (slope) { slope[j] = p + z[j] * ((R)1 - p); slope[j + 1] = q + z[j + 1] * ((R)1 - q); }
    }
  } else {
    for (int64_t j = 0; j < n; j++) {
      if (slope) slope[j] = NAME(pick)(z[j] > all(0), all(1), all(0));
      /* as a choice of what to drop, so that NaN passes */
      z[j] = NAME(pick)(z[j] <= all(0), all(0), z[j]);
    }
  }
}

/* The network on the inputs at `acts`, which takes the inputs of all layers; no last layer where `rate` is NULL. What is
   `beside`, if anything, is added to the outputs of the first. */
INLINE void NAME(network)(const Plan *p, V *acts, V *slopes, V *rate, const V *beside) {
  int64_t last = p->layers - 1;
  for (int64_t i = 0; i < last; i++) {
    int64_t k = PADDED(p->widths[i + 1]);
    V *next = acts + p->in[i + 1];
    NAME(dense)(next, acts + p->in[i], p->down[i], p->bias[i], p->widths[i], k, k);
    if (i == 0 && beside) for (int64_t j = 0; j < p->widths[1]; j++) next[j] += beside[j];
    NAME(activate)(next, slopes ? slopes + p->out[i] : NULL, k, p->activation);
  }
  if (!rate) return;
  NAME(dense)(rate, acts + p->in[last], p->down[last], p->bias[last], p->widths[last], PADDED(p->d), PADDED(p->d));
  if (last == 0 && beside) for (int64_t j = 0; j < p->d; j++) rate[j] += beside[j];
}
