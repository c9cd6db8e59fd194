/* Steps that a network drives, x' = carry x + weight MLP(z) + kick, with numbers of their own for every state and step.

   Included by trajectory.h, whose network, lanes and gradients of weights it shares. z is x, or exp(x) up to MOST_LOG
   where the state is a logarithm; `beside`, as wide as the first layer, is added to that layer's outputs. The samples are
   `form`'s b, over which lanes go, times `outer`; every array has its own strides along both and along the steps, 0 where
   it stays the same. Nothing but the states is kept. */

#define MOST_LOG 15
#define AT(part, first, out, k) ((R *)(part).at + (first) * (part).lane + (out) * (part).outer + (k) * (part).step)

/* Vectors of a block at one step. */
#define Now NAME(now)
typedef struct {
  V *x, *carry, *weight, *kick, *rate, *beside, *rest;
} Now;

INLINE int64_t NAME(now_size)(const Plan *p) { return 5 * PADDED(p->d) + PADDED(p->widths[1]); }
INLINE Now NAME(lay_now)(const Plan *p, V *at) {
  int64_t wide = PADDED(p->d);
  return (Now){at, at + wide, at + 2 * wide, at + 3 * wide, at + 4 * wide, at + 5 * wide, at + NAME(now_size)(p)};
}

INLINE V NAME(exp_of)(V x) {
  V shifted, f;
  x = NAME(within)(x * (R)1.4426950408889634);
  shifted = x + all(ROUND);
  f = x - (shifted - all(ROUND));
  V scale = (V)(((I)shifted << EXPONENT) + (I)all(1));
  return scale + scale * (NAME(slope_of_exp2)(f) * f);
}

/* Reads n numbers of each sample of a block at step k, and asks for those of step k + next. */
INLINE void NAME(read_part)(V *to, Part of, int64_t first, int64_t rows, int64_t out, int64_t k, int64_t n, int64_t next) {
  NAME(read_rows)(to, AT(of, first, out, k), of.lane, rows, n, next * of.step);
}
INLINE void NAME(write_part)(const V *from, Part to, int64_t first, int64_t rows, int64_t out, int64_t k, int64_t n) {
  if (to.at) NAME(write_rows)(AT(to, first, out, k), from, to.lane, rows, n);
}

/* The network at now->x; where it looks goes to `acts`. */
INLINE void NAME(look_beside)(const Plan *p, const Driven *of, const Now *now, V *acts, V *slopes, int keep_rate) {
  const V most = all(MOST_LOG);
  for (int64_t i = 0; i < p->d; i++) {
    V x = now->x[i];
    acts[i] = of->log ? NAME(exp_of)(NAME(pick)(x > most, most, x)) : x;
  }
  NAME(network)(p, acts, slopes, keep_rate ? now->rate : NULL, now->beside);
}

static void NAME(driven_block)(const Plan *p, const Driven *of, V *at, int64_t first, int64_t out) {
  int64_t d = p->d, rows = LESS(W, p->b - first);
  const Now now = NAME(lay_now)(p, at);
  NAME(read_part)(now.x, of->x0, first, rows, out, 0, d, 0);
  for (int64_t k = 0; k < p->l; k++) {
    int64_t next = k + 1 < p->l;
    NAME(read_part)(now.carry, of->carry, first, rows, out, k, d, next);
    NAME(read_part)(now.weight, of->weight, first, rows, out, k, d, next);
    NAME(read_part)(now.kick, of->kick, first, rows, out, k, d, next);
    NAME(read_part)(now.beside, of->beside, first, rows, out, k, p->widths[1], next);
    NAME(look_beside)(p, of, &now, now.rest, NULL, 1);
    for (int64_t i = 0; i < d; i++) now.x[i] = now.carry[i] * now.x[i] + now.weight[i] * now.rate[i] + now.kick[i];
    NAME(write_part)(now.x, of->states, first, rows, out, k, d);
  }
}

/* One step back: g->adjoint, the gradient of the state after it, becomes that of the state before it. */
INLINE void NAME(driven_back)(const Plan *p, const Driven *of, Back *g, const Now *now, int64_t first, int64_t out, int64_t k) {
  int64_t d = p->d, ins = p->in[p->layers], outs = p->out[p->layers], rows = LESS(W, p->b - first);
  if (g->held == PIECE) NAME(flush)(p, g);
  V *acts = g->pieces + g->held++ * (ins + outs), *back = acts + ins;
  NAME(look_beside)(p, of, now, acts, g->slopes, of->g_weight.at != NULL);
  for (int64_t i = 0; i < d; i++) g->rate_grad[i] = now->weight[i] * g->adjoint[i];
  NAME(network_back)(p, g, back, g->slopes);
  NAME(write_part)(g->adjoint, of->g_kick, first, rows, out, k, d);
  NAME(write_part)(back, of->g_beside, first, rows, out, k, p->widths[1]);
  for (int64_t i = 0; i < d; i++) {
    V flow = g->adjoint[i], x = now->x[i], to_x = g->first_grad[i];
    g->adjoint[i] = flow * now->carry[i] + (of->log ? NAME(pick)(x > all(MOST_LOG), all(0), to_x * acts[i]) : to_x);
    now->carry[i] = flow * x;
    now->weight[i] = flow * now->rate[i];
  }
  NAME(write_part)(now->carry, of->g_carry, first, rows, out, k, d);
  NAME(write_part)(now->weight, of->g_weight, first, rows, out, k, d);
}

static void NAME(driven_back_block)(const Plan *p, const Driven *of, Back *g, V *at, int64_t first, int64_t out) {
  int64_t d = p->d, rows = LESS(W, p->b - first);
  const Now now = NAME(lay_now)(p, at);
  for (int64_t i = 0; i < d; i++) g->adjoint[i] = all(0);
  for (int64_t k = p->l - 1; k >= 0; k--) {
    int64_t next = -(k > 0);
    NAME(read_part)(now.x, of->g_states, first, rows, out, k, d, next);
    for (int64_t i = 0; i < d; i++) g->adjoint[i] += now.x[i];
    if (k) NAME(read_part)(now.x, of->states, first, rows, out, k - 1, d, -(k > 1));
    else NAME(read_part)(now.x, of->x0, first, rows, out, 0, d, 0);
    NAME(read_part)(now.carry, of->carry, first, rows, out, k, d, next);
    NAME(read_part)(now.weight, of->weight, first, rows, out, k, d, next);
    NAME(read_part)(now.beside, of->beside, first, rows, out, k, p->widths[1], next);
    NAME(driven_back)(p, of, g, &now, first, out, k);
  }
  NAME(flush)(p, g);
  NAME(write_part)(g->adjoint, of->g_x0, first, rows, out, 0, d);
}

/* All blocks of the samples, or part, part + PARTS, ... of them on the way back, with sums of their own. */
static void NAME(driven_part)(const Plan *p, const Driven *of, V *at, int64_t part, int64_t parts, R *sums) {
  int64_t along = (p->b + W - 1) / W;
  Back g = {.held = 0};
  if (sums) NAME(begin_back)(p, &g, at + NAME(now_size)(p));
  for (int64_t i = part; i < along * of->outer; i += parts) {
    if (sums) NAME(driven_back_block)(p, of, &g, at, i % along * W, i / along);
    else NAME(driven_block)(p, of, at, i % along * W, i / along);
  }
  if (sums) NAME(sum_lanes)(p, &g, sums);
}

static int NAME(driven)(const Driven *of, int backward) {
  static const double euler[] = {0, 1};
  Plan plan, *p = &plan;
  NAME(lay_out)(p, of->form, euler);
  int64_t blocks = (p->b + W - 1) / W * of->outer, parts = LESS(PARTS, blocks), count = NAME(count_weights)(p) + p->d;
  int64_t threads = LESS(p->threads, parts > 0 ? parts : 1);
  int64_t size = NAME(now_size)(p) + (backward ? NAME(back_size)(p) : p->in[p->layers]);
  void *block = NULL;
  R *packed = NAME(pack)(p, of->weights), *sums = backward ? calloc(parts * count + 1, sizeof(R)) : NULL;
  V *scratch = packed && (sums || !backward) ? NAME(scratch)(threads, size, &block) : NULL;
  if (scratch) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
#endif
    for (int64_t thread = 0; thread < threads; thread++)
      for (int64_t part = thread; part < parts; part += threads)
        NAME(driven_part)(p, of, scratch + thread * size, part, parts, sums ? sums + part * count : NULL);
    if (sums) NAME(sum_parts)(of->g_weights, sums, parts, count);
  }
  free(packed);
  free(sums);
  free(block);
  return scratch == NULL;
}

#undef MOST_LOG
#undef AT
#undef Now
