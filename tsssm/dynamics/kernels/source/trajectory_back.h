/* The way back through a trajectory: the second half of trajectory.h. */

/* Sixteen sums of vectors need more than sixteen registers. */
#if W >= (DOUBLE ? 8 : 16) || defined(__aarch64__)
#define TILE 4
#else
#define TILE 2
#endif

/* Gradients, and the scratch of a thread on the way back. `pieces` holds PIECE evaluations: the inputs of their layers,
   then what flows back into the layers. */
#define Back NAME(back)
typedef struct {
  const R *states, *grad;
  R *x0, *dt, *normals, *root, *size, *features;
  V *adjoint, *from_later, *total, *rate_grad, *first_grad, *slopes, *sums, *biases, *sizes, *pieces;
  int64_t held;
} Back;

/* sums[a, c] += sum over the held evaluations of back[a] x[c]: the gradient of a matrix, lane by lane. */
static void NAME(add_outer)(V *sums, const V *back, const V *x, int64_t k, int64_t n, int64_t held, int64_t stride) {
  for (int64_t a = 0; a < k; a += 4)
    for (int64_t c = 0; c < n; c += TILE) {
      V t[4 * TILE], *to = sums + a * n + c;
      const V *q = back + a, *z = x + c;
      for (int i = 0; i < 4; i++) for (int j = 0; j < TILE; j++) t[i * TILE + j] = to[i * n + j];
      for (int64_t e = 0; e < held; e++, q += stride, z += stride) {
        V q0 = q[0], q1 = q[1], q2 = q[2], q3 = q[3];
        UNROLL for (int j = 0; j < TILE; j++) {
          V v = z[j];
          t[j] += q0 * v; t[TILE + j] += q1 * v; t[2 * TILE + j] += q2 * v; t[3 * TILE + j] += q3 * v;
        }
      }
      for (int i = 0; i < 4; i++) for (int j = 0; j < TILE; j++) to[i * n + j] = t[i * TILE + j];
    }
}

INLINE void NAME(flush)(const Plan *p, Back *g) {
  int64_t ins = p->in[p->layers], stride = ins + p->out[p->layers];
  for (int64_t i = 0; i < p->layers; i++)
    NAME(add_outer)(g->sums + p->sums[i], g->pieces + ins + p->out[i], g->pieces + p->in[i],
                    PADDED(p->widths[i + 1]), PADDED(p->widths[i]), g->held, stride);
  g->held = 0;
}

/* From the gradient of a rate, g->rate_grad, to that of what the network looked at, g->first_grad. */
INLINE void NAME(network_back)(const Plan *p, Back *g, V *back, const V *slopes) {
  int64_t last = p->layers - 1;
  for (int64_t i = 0; i < PADDED(p->d); i++) back[p->out[last] + i] = g->rate_grad[i];
  for (int64_t i = last; i >= 0; i--) {
    int64_t k = PADDED(p->widths[i + 1]), stride = PADDED(p->widths[i]);
    V *flow = back + p->out[i];
    for (int64_t j = 0; j < k; j++) g->biases[p->biases[i] + j] += flow[j];
    if (i == 0) {
      int64_t columns = p->wanted & WANT_FEATURES ? stride : PADDED(p->d);
      NAME(dense)(g->first_grad, flow, p->up[0], NULL, p->widths[1], columns, stride);
      return;
    }
    V *lower = back + p->out[i - 1];
    const V *slope = slopes + p->out[i - 1];
    NAME(dense)(lower, flow, p->up[i], NULL, p->widths[i + 1], stride, stride);
    for (int64_t j = 0; j < stride; j++) lower[j] *= slope[j];
  }
}

/* The noise of a step back: adds to g->total what flows through it to the state, and writes its own gradients. */
INLINE void NAME(noise_back)(const Plan *p, Back *g, Step *now, int64_t row, int64_t rows, int64_t k) {
  int64_t d = p->d, at = row * p->l + k;
  V root_grad = all(0), root = now->root;
  for (int64_t i = 0; i < d; i++) {
    V flow = g->adjoint[i], normal = now->normals[i], size = now->sizes[i];
    if (p->linear) {
      g->total[i] += flow * root * size * normal;
      flow *= now->x[i];
    }
    root_grad += flow * size * normal;
    now->normals[i] = flow * root * size;
    if (p->timed) now->sizes[i] = flow * root * normal;
    else g->sizes[i] += flow * root * normal;
  }
  NAME(write_rows)(g->root + at, &root_grad, p->l, rows, 1);
  if (p->wanted & WANT_NORMALS) NAME(write_rows)(g->normals + at * d, now->normals, p->l * d, rows, d);
  if (p->timed) NAME(write_rows)(g->size + at * d, now->sizes, p->l * d, rows, d);
}

/* One step back: g->adjoint, the gradient of the state after it, becomes that of the state before it. */
INLINE void NAME(step_back)(const Plan *p, Back *g, Step *now, int64_t row, int64_t rows, int64_t k) {
  int64_t d = p->d, wide = PADDED(d), m = p->m, ins = p->in[p->layers], outs = p->out[p->layers];
  int64_t at = row * p->l + k;
  if (g->held + p->stages > PIECE) NAME(flush)(p, g);
  V *pieces = g->pieces + g->held * (ins + outs), gap_grad = all(0);
  for (int64_t s = 0; s < p->stages; s++)
    NAME(look)(p, now, s, pieces + s * (ins + outs), g->slopes + s * outs, s + 1 < p->stages || p->wanted & WANT_DT);
  for (int64_t i = 0; i < wide; i++) g->total[i] = g->from_later[i] = all(0);
  if (p->wanted & WANT_FEATURES) for (int64_t i = 0; i < p->places * m; i++) now->features[i] = all(0);
  for (int64_t s = p->stages - 1; s >= 0; s--) {
    V share = now->h * p->share[s], reach = now->h * (s + 1 < p->stages ? p->lead[s + 1] : 0);
    V *rate = now->rates + s * wide;
    for (int64_t i = 0; i < d; i++) g->rate_grad[i] = share * g->adjoint[i] + reach * g->from_later[i];
    NAME(network_back)(p, g, pieces + s * (ins + outs) + ins, g->slopes + s * outs);
    for (int64_t i = 0; i < d; i++) {
      V to_x = g->first_grad[i];
      if (p->wanted & WANT_DT) {
        gap_grad += g->adjoint[i] * rate[i] * p->share[s];
        if (s) gap_grad += to_x * rate[i - wide] * p->lead[s];
      }
      g->from_later[i] = to_x;
      g->total[i] += to_x;
    }
    if (p->wanted & WANT_FEATURES)
      for (int64_t i = 0; i < m; i++) now->features[p->place[s] * m + i] += g->first_grad[d + i];
  }
  g->held += p->stages;
  if (p->normals) NAME(noise_back)(p, g, now, row, rows, k);
  for (int64_t i = 0; i < d; i++) g->adjoint[i] += g->total[i];
  if (p->wanted & WANT_DT) NAME(write_rows)(g->dt + at, &gap_grad, p->l, rows, 1);
  if (p->wanted & WANT_FEATURES)
    NAME(write_rows)(g->features + at * p->places * m, now->features, p->l * p->places * m, rows, p->places * m);
}

static void NAME(backward_block)(const Plan *p, Back *g, V *at, int64_t row) {
  int64_t d = p->d, rows = LESS(W, p->b - row);
  Step now;
  NAME(lay_step)(p, &now, at);
  for (int64_t i = 0; i < d; i++) g->adjoint[i] = all(0);
  for (int64_t k = p->l - 1; k >= 0; k--) {
    int64_t at_k = (row * p->l + k) * d;
    NAME(read_rows)(now.x, g->grad + at_k, p->l * d, rows, d, k ? -d : 0);
    for (int64_t i = 0; i < d; i++) g->adjoint[i] += now.x[i];
    if (k) NAME(read_rows)(now.x, g->states + at_k - d, p->l * d, rows, d, k > 1 ? -d : 0);
    else NAME(read_rows)(now.x, p->x0 + row * d, d, rows, d, 0);
    NAME(read_step)(p, &now, row, rows, k, -1);
    NAME(step_back)(p, g, &now, row, rows, k);
  }
  NAME(flush)(p, g);
  NAME(write_rows)(g->x0 + row * d, g->adjoint, d, rows, d);
}

INLINE int64_t NAME(back_size)(const Plan *p) {
  int64_t n = p->layers, wide = PADDED(p->d);
  return 4 * wide + PADDED(p->d + p->m) + p->stages * p->out[n] + p->sums[n] + p->biases[n]
         + wide + PIECE * (p->in[n] + p->out[n]);
}
/* Lays out the scratch, with sums of zero. */
INLINE void NAME(begin_back)(const Plan *p, Back *g, V *at) {
  int64_t n = p->layers, wide = PADDED(p->d);
  g->adjoint = at;
  g->from_later = g->adjoint + wide;
  g->total = g->from_later + wide;
  g->rate_grad = g->total + wide;
  g->first_grad = g->rate_grad + wide;
  g->slopes = g->first_grad + PADDED(p->d + p->m);
  g->sums = g->slopes + p->stages * p->out[n];
  g->biases = g->sums + p->sums[n];
  g->sizes = g->biases + p->biases[n];
  g->pieces = g->sizes + wide;
  g->held = 0;
  for (V *v = g->sums; v < g->pieces; v++) *v = all(0);
}

/* Adds up the lanes of the sums, in the order of the weights, and last those of a size that does not change. */
INLINE void NAME(sum_lanes)(const Plan *p, const Back *g, R *weights) {
  for (int64_t i = 0; i < p->layers; i++) {
    int64_t n = p->widths[i], k = p->widths[i + 1];
    for (int64_t a = 0; a < k; a++)
      for (int64_t c = 0; c < n; c++) *weights++ = NAME(sum)(g->sums[p->sums[i] + a * PADDED(n) + c]);
    for (int64_t a = 0; a < k; a++) *weights++ = NAME(sum)(g->biases[p->biases[i] + a]);
  }
  for (int64_t i = 0; i < p->d; i++) *weights++ = NAME(sum)(g->sizes[i]);
}

/* Blocks part, part + PARTS, ...: the number of parts is fixed, so that threads do not change the sums. */
static void NAME(backward_part)(const Plan *p, Back *g, V *at, int64_t part, R *weights) {
  NAME(begin_back)(p, g, at + NAME(step_size)(p));
  for (int64_t row = part * W; row < p->b; row += PARTS * W) NAME(backward_block)(p, g, at, row);
  NAME(sum_lanes)(p, g, weights);
}

INLINE void NAME(sum_parts)(R *to, const R *sums, int64_t parts, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    R total = 0;
    for (int64_t part = 0; part < parts; part++) total += sums[part * count + i];
    to[i] = total;
  }
}

/* Gradients go to to_weights (as `weights`, then d of a size that is not timed), to_x0, to_dt, to_features, and where
   there is noise to to_normals, to_root and, timed, to_size. */
static int NAME(trajectory_backward)(const int64_t *form, const double *tableau, const R *weights, const R *x0,
                                     const R *dt, const R *normals, const R *root, const R *size, const R *features,
                                     const R *states, const R *grad, R *to_weights, R *to_x0, R *to_dt, R *to_normals,
                                     R *to_root, R *to_size, R *to_features) {
  Plan plan;
  NAME(lay_out)(&plan, form, tableau);
  plan.x0 = x0; plan.dt = dt; plan.normals = normals; plan.root = root; plan.size = size; plan.features = features;
  const Plan *p = &plan;
  int64_t blocks = (p->b + W - 1) / W, parts = LESS(PARTS, blocks), threads = LESS(p->threads, parts > 0 ? parts : 1);
  int64_t scratch_size = NAME(step_size)(p) + NAME(back_size)(p), count = NAME(count_weights)(p) + p->d;
  void *block = NULL;
  R *packed = NAME(pack)(&plan, weights), *sums = calloc(parts * count + 1, sizeof(R));
  V *scratch = packed && sums ? NAME(scratch)(threads, scratch_size, &block) : NULL;
  if (scratch) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
#endif
    for (int64_t thread = 0; thread < threads; thread++) {
      Back g;
      g.states = states; g.grad = grad;
      g.x0 = to_x0; g.dt = to_dt; g.features = to_features;
      g.normals = to_normals; g.root = to_root; g.size = to_size;
      for (int64_t part = thread; part < parts; part += threads)
        NAME(backward_part)(p, &g, scratch + thread * scratch_size, part, sums + part * count);
    }
    NAME(sum_parts)(to_weights, sums, parts, count);
  }
  free(packed);
  free(sums);
  free(block);
  return scratch == NULL;
}

#undef TILE
