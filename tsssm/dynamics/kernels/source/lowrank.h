/* Channels with a diagonal plus low rank matrix of rank 1, run row after row by the generalized bilinear rule, and back.

   Included after vectors.h, once for each type and instruction set. Lane = mode. A channel is

       (1 - a h L) x' + a h P k' = x + (1 - a) h (L x - P k) + h u B,    k = 2 Re(Q^H x),  k' = 2 Re(Q^H x'),
       y = Re(C x'),

   with real k, so that Woodbury's identity is one division a row: D = 1 / (1 - a h L), k' = 2 Re(Q^H D w) / (1 + a h c)
   for the right side w and c = 2 Re(Q^H D P). Backwards, l solves the adjoint system for the gradient g of x', which has
   the same c: l = conj(D) (g - a h m Q) with m = 2 Re(P^H l).

   Arrays in C order; modes are filled up to whole vectors, with zeros: parts (channels, 10, modes) are the real and
   imaginary planes of L, P, Q, B and C; states (.., 2, modes); gap, reset, active (batch, rows); u, y (batch, rows,
   channels); checkpoints (channels, batch, chunks, 2, modes) are the states before every CHUNK rows; g_gap (channels,
   batch, rows), or null. reset and active may be null. */

/* One gap: D and D P as planes, and a h c + 1. Made again only where the gap is another. */
typedef struct {
  R *D, *DP, h, core;
} NAME(Crossing);

static void NAME(prepare)(NAME(Crossing) *cross, const R *p, int64_t modes, R alpha, R h) {
  if (h == cross->h) return;
  R ah = alpha * h;
  V c = all(0);
  for (int64_t m = 0; m < modes; m += LANES) {
    V re = all(1) - ah * load(p + m), im = -ah * load(p + modes + m), inverse = all(1) / (re * re + im * im);
    V Pre = load(p + 2 * modes + m), Pim = load(p + 3 * modes + m);
    re = re * inverse;
    im = -im * inverse;
    V DPre = re * Pre - im * Pim, DPim = re * Pim + im * Pre;
    store(cross->D + m, re);
    store(cross->D + modes + m, im);
    store(cross->DP + m, DPre);
    store(cross->DP + modes + m, DPim);
    c += load(p + 4 * modes + m) * DPre + load(p + 5 * modes + m) * DPim;
  }
  cross->h = h;
  cross->core = 1 + 2 * ah * NAME(sum)(c);
}

/* 2 Re(Q^H x). */
static R NAME(seen)(const R *p, const R *x, int64_t modes) {
  V k = all(0);
  for (int64_t m = 0; m < modes; m += LANES)
    k += load(p + 4 * modes + m) * load(x + m) + load(p + 5 * modes + m) * load(x + modes + m);
  return 2 * NAME(sum)(k);
}

/* x' from x, and k' from k; gives the output. */
static R NAME(lowrank_row)(NAME(Crossing) *cross, const R *p, int64_t modes, R alpha, R h, R u, const R *x, R k, R *to,
                           R *k_to) {
  NAME(prepare)(cross, p, modes, alpha, h);
  R rest = (1 - alpha) * h, into = h * u;
  V s = all(0), y = all(0);
  for (int64_t m = 0; m < modes; m += LANES) {
    V Lre = load(p + m), Lim = load(p + modes + m), xre = load(x + m), xim = load(x + modes + m);
    V Dre = load(cross->D + m), Dim = load(cross->D + modes + m);
    V wre = xre + rest * (Lre * xre - Lim * xim - k * load(p + 2 * modes + m)) + into * load(p + 6 * modes + m);
    V wim = xim + rest * (Lre * xim + Lim * xre - k * load(p + 3 * modes + m)) + into * load(p + 7 * modes + m);
    V re = Dre * wre - Dim * wim, im = Dre * wim + Dim * wre;
    store(to + m, re);
    store(to + modes + m, im);
    s += load(p + 4 * modes + m) * re + load(p + 5 * modes + m) * im;
  }
  *k_to = 2 * NAME(sum)(s) / cross->core;
  R back = alpha * h * *k_to;
  for (int64_t m = 0; m < modes; m += LANES) {
    V re = load(to + m) - back * load(cross->DP + m), im = load(to + modes + m) - back * load(cross->DP + modes + m);
    store(to + m, re);
    store(to + modes + m, im);
    y += load(p + 8 * modes + m) * re - load(p + 9 * modes + m) * im;
  }
  return NAME(sum)(y);
}

/* Gradients of one row: g holds that of x' without the output's part, and becomes that of x, whose own is added where the
   row is silent and x lives on. to_u and to_h get those of the input and the gap. */
static void NAME(lowrank_row_back)(NAME(Crossing) *cross, const R *p, R *to_p, int64_t modes, R alpha, R h, R u, R g_y,
                                   const R *x, R k, const R *x_to, R k_to, R *g, R *e, int silent, R *to_u, R *to_h) {
  NAME(prepare)(cross, p, modes, alpha, h);
  R rest = (1 - alpha) * h, mix = alpha * k_to + (1 - alpha) * k;
  V seen = all(0), to_B = all(0), to_L = all(0);
  for (int64_t m = 0; m < modes; m += LANES) {
    V re = g_y * load(p + 8 * modes + m), im = -g_y * load(p + 9 * modes + m);
    if (!silent) re += load(g + m), im += load(g + modes + m);
    V Dre = load(cross->D + m), Dim = load(cross->D + modes + m);
    V ere = Dre * re + Dim * im, eim = Dre * im - Dim * re;
    store(e + m, ere);
    store(e + modes + m, eim);
    seen += load(p + 2 * modes + m) * ere + load(p + 3 * modes + m) * eim;
  }
  R mu = 2 * NAME(sum)(seen) / cross->core, back = alpha * h * mu;
#define ADD(plane, value) store(to_p + (plane) * modes + m, load(to_p + (plane) * modes + m) + (value))
  for (int64_t m = 0; m < modes; m += LANES) {
    V Lre = load(p + m), Lim = load(p + modes + m), Qre = load(p + 4 * modes + m), Qim = load(p + 5 * modes + m);
    V Dre = load(cross->D + m), Dim = load(cross->D + modes + m);
    V lre = load(e + m) - back * (Dre * Qre + Dim * Qim), lim = load(e + modes + m) - back * (Dre * Qim - Dim * Qre);
    V xre = load(x_to + m), xim = load(x_to + modes + m);
    V zre = alpha * xre + (1 - alpha) * load(x + m), zim = alpha * xim + (1 - alpha) * load(x + modes + m);
    V reals = lre * zre + lim * zim, turns = lim * zre - lre * zim;
    ADD(0, h * reals);
    ADD(1, h * turns);
    ADD(2, -(h * mix) * lre);
    ADD(3, -(h * mix) * lim);
    ADD(4, -(h * mu) * zre);
    ADD(5, -(h * mu) * zim);
    ADD(6, (h * u) * lre);
    ADD(7, (h * u) * lim);
    ADD(8, g_y * xre);
    ADD(9, -g_y * xim);
    to_B += lre * load(p + 6 * modes + m) + lim * load(p + 7 * modes + m);
    to_L += Lre * reals + Lim * turns;
    V re = lre + rest * (Lre * lre + Lim * lim - mu * Qre), im = lim + rest * (Lre * lim - Lim * lre - mu * Qim);
    if (silent) re += load(g + m), im += load(g + modes + m);
    store(g + m, re);
    store(g + modes + m, im);
  }
#undef ADD
  *to_u = h * NAME(sum)(to_B);
  *to_h = NAME(sum)(to_L) - mix * mu / 2 + u * NAME(sum)(to_B);
}

/* Rows from first to stop of one series and channel from the state x. Writes y where it is not null, and the states before
   and after each row where `before` is not null. */
static void NAME(lowrank_rows)(const LowRank *of, int64_t b, int64_t channel, int64_t first, int64_t stop,
                               NAME(Crossing) *cross, R *x, R *spare, R *before, R *after, R *ks) {
  const int64_t modes = of->modes, width = 2 * modes;
  const R *p = (const R *)of->parts + channel * 10 * modes, *gap = of->gap, *u = of->u;
  R *y = of->y, k = NAME(seen)(p, x, modes), k_to;
  for (int64_t row = first; row < stop; row++) {
    int64_t i = b * of->rows + row, j = row - first;
    int silent = of->active && !of->active[i];
    if (of->reset && of->reset[i]) {
      memset(x, 0, width * sizeof(R));
      k = 0;
    }
    R *to = before ? after + j * width : spare;
    R out = NAME(lowrank_row)(cross, p, modes, (R)of->alpha, gap[i], silent ? 0 : u[i * of->channels + channel], x, k, to,
                              &k_to);
    if (before) {
      memcpy(before + j * width, x, width * sizeof(R));
      ks[2 * j] = k;
      ks[2 * j + 1] = k_to;
    } else
      y[i * of->channels + channel] = out;
    if (!silent) {
      memcpy(x, to, width * sizeof(R));
      k = k_to;
    }
  }
}

/* Gives 1 where there was no memory. */
static int NAME(lowrank)(const LowRank *of, int backward) {
  const int64_t modes = of->modes, width = 2 * modes, chunks = (of->rows + CHUNK - 1) / CHUNK;
  const size_t size = (size_t)width * (size_t)(backward ? 6 + 2 * CHUNK : 4) + 2 * CHUNK;
  int failed = 0;
#ifdef _OPENMP
#pragma omp parallel for num_threads(of->threads) reduction(| : failed)
#endif
  for (int64_t channel = 0; channel < of->channels; channel++) {
    R *work = allocate(size * sizeof(R));
    if (!work) {
      failed |= 1;
      continue;
    }
    /* no gap is negative, so the first one is prepared */
    NAME(Crossing) cross = {work, work + width, -1, 1};
    R *x = work + 2 * width, *spare = work + 3 * width, *g = work + 4 * width, *e = work + 5 * width;
    R *before = work + 6 * width, *after = before + CHUNK * width, *ks = after + CHUNK * width;
    const R *p = (const R *)of->parts + channel * 10 * modes;
    if (backward) memset((R *)of->g_parts + channel * 10 * modes, 0, 10 * modes * sizeof(R));
    for (int64_t b = 0; b < of->batch; b++) {
      R *saved = (R *)of->checkpoints + (channel * of->batch + b) * chunks * width;
      int64_t at = (b * of->channels + channel) * width;
      if (!backward) {
        memcpy(x, (const R *)of->start + at, width * sizeof(R));
        for (int64_t c = 0; c < chunks; c++) {
          int64_t stop = (c + 1) * CHUNK < of->rows ? (c + 1) * CHUNK : of->rows;
          memcpy(saved + c * width, x, width * sizeof(R));
          NAME(lowrank_rows)(of, b, channel, c * CHUNK, stop, &cross, x, spare, 0, 0, 0);
        }
        memcpy((R *)of->end + at, x, width * sizeof(R));
        continue;
      }
      memcpy(g, (const R *)of->g_end + at, width * sizeof(R));
      for (int64_t c = chunks - 1; c >= 0; c--) {
        int64_t first = c * CHUNK, stop = first + CHUNK < of->rows ? first + CHUNK : of->rows;
        memcpy(x, saved + c * width, width * sizeof(R));
        NAME(lowrank_rows)(of, b, channel, first, stop, &cross, x, spare, before, after, ks);
        for (int64_t row = stop - 1; row >= first; row--) {
          int64_t i = b * of->rows + row, j = row - first, io = i * of->channels + channel;
          int silent = of->active && !of->active[i];
          R to_u, to_h;
          NAME(lowrank_row_back)(&cross, p, (R *)of->g_parts + channel * 10 * modes, modes, (R)of->alpha,
                                 ((const R *)of->gap)[i], silent ? 0 : ((const R *)of->u)[io], ((const R *)of->g_y)[io],
                                 before + j * width, ks[2 * j], after + j * width, ks[2 * j + 1], g, e, silent, &to_u,
                                 &to_h);
          ((R *)of->g_u)[io] = silent ? 0 : to_u;
          if (of->g_gap) ((R *)of->g_gap)[(channel * of->batch + b) * of->rows + row] = to_h;
          if (of->reset && of->reset[i]) memset(g, 0, width * sizeof(R));
        }
      }
      memcpy((R *)of->g_start + at, g, width * sizeof(R));
    }
    free(work);
  }
  return failed;
}
