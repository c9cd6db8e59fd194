/* Kalman filters whose states come in pairs, observed one number at a time through the sum of the pairs' first states.

   Included after vectors.h, once for each type and instruction set. Transitions and noises couple the two states of a pair
   and no others, so a covariance is moved in 4 n^2 steps instead of 2 n^3. An entry walks its rows alone; rows that
   nobody follows leave no trace. The backward pass moves each covariance again, and stores nothing but gradients. */

/* m = F m0, P = F P0 F^T + N of B pairs; half of F P0 lies in T. */
INLINE void NAME(move)(const R *F, const R *N, const R *m0, const R *P0, R *m, R *P, R *T, const int B) {
  const int n = 2 * B;
  for (int i = 0; i < B; i++) {
    const R *f = F + 4 * i, *upper = P0 + 2 * i * n, *lower = upper + n;
    m[2 * i] = f[0] * m0[2 * i] + f[1] * m0[2 * i + 1];
    m[2 * i + 1] = f[2] * m0[2 * i] + f[3] * m0[2 * i + 1];
    for (int c = 0; c < n; c++) {
      T[2 * i * n + c] = f[0] * upper[c] + f[1] * lower[c];
      T[(2 * i + 1) * n + c] = f[2] * upper[c] + f[3] * lower[c];
    }
  }
  for (int a = 0; a < n; a++)
    for (int j = 0; j < B; j++) {
      const R *f = F + 4 * j, *t = T + a * n + 2 * j;
      P[a * n + 2 * j] = f[0] * t[0] + f[1] * t[1];
      P[a * n + 2 * j + 1] = f[2] * t[0] + f[3] * t[1];
    }
  for (int i = 0; i < B; i++) {
    R *p = P + 2 * i * (n + 1);
    p[0] += N[3 * i]; p[1] += N[3 * i + 1]; p[n] += N[3 * i + 1]; p[n + 1] += N[3 * i + 2];
  }
}

/* Sum of the first states of the pairs of a vector with stride `step`. */
INLINE R NAME(firsts)(const R *x, const int B, const int step) {
  R total = 0;
  for (int j = 0; j < B; j++) total += x[2 * j * step];
  return total;
}

/* Sees y with noise r: Joseph's form of the covariance, kept symmetric. */
INLINE void NAME(see)(const R *g, R e, R s, R r, R *m, R *P, const int B) {
  const int n = 2 * B;
  R k[2 * MOST_PAIRS], t[2 * MOST_PAIRS];
  for (int a = 0; a < n; a++) k[a] = g[a] / s;
  for (int a = 0; a < n; a++) {
    m[a] += k[a] * e;
    for (int c = 0; c < n; c++) P[a * n + c] -= k[a] * g[c];
  }
  for (int a = 0; a < n; a++) t[a] = r * k[a] - NAME(firsts)(P + a * n, B, 1);
  for (int a = 0; a < n; a++)
    for (int c = 0; c <= a; c++) {
      const R mean = (P[a * n + c] + P[c * n + a] + t[a] * k[c] + t[c] * k[a]) / 2;
      P[a * n + c] = P[c * n + a] = mean;
    }
}

INLINE void NAME(filter)(const Pairs *of, int64_t entry, const int B) {
  const int n = 2 * B, nn = n * n;
  R T[4 * MOST_PAIRS * MOST_PAIRS], g[2 * MOST_PAIRS];
  for (int64_t k = 0, at = entry * of->rows; k < of->rows; k++, at++) {
    const int64_t before = of->before[at] < 0 ? -1 : entry * of->rows + of->before[at];
    const R *m0 = before < 0 ? (const R *)of->mean + entry * n : (const R *)of->m + before * n;
    const R *P0 = before < 0 ? (const R *)of->cov + entry * nn : (const R *)of->P + before * nn;
    R *m = (R *)of->m + at * n, *P = (R *)of->P + at * nn;
    const R r = ((const R *)of->r)[at];
    NAME(move)((const R *)of->F + at * 4 * B, (const R *)of->N + at * 3 * B, m0, P0, m, P, T, B);
    for (int a = 0; a < n; a++) g[a] = NAME(firsts)(P + a * n, B, 1);
    const R e = ((const R *)of->y)[at] - NAME(firsts)(m, B, 1), s = NAME(firsts)(g, B, 1) + r;
    ((R *)of->e)[at] = e;
    ((R *)of->s)[at] = s;
    if (of->seen[at]) NAME(see)(g, e, s, r, m, P, B);
  }
}

/* From gradients of the belief after a row to those before it, and of y and r; m and P are the belief before. */
INLINE void NAME(unsee)(const Pairs *of, int64_t at, const R *m, const R *P, R *gm, R *gP, const int B) {
  const int n = 2 * B;
  R g[2 * MOST_PAIRS], gPg[2 * MOST_PAIRS], gg[2 * MOST_PAIRS];
  R ge = of->g_e ? ((const R *)of->g_e)[at] : 0, gs = of->g_s ? ((const R *)of->g_s)[at] : 0;
  for (int a = 0; a < n; a++) gg[a] = 0;
  if (of->seen[at]) {
    R along = 0, twice = 0;
    for (int a = 0; a < n; a++) g[a] = NAME(firsts)(P + a * n, B, 1);
    for (int a = 0; a < n; a++) {
      gPg[a] = 0;
      for (int c = 0; c < n; c++) gPg[a] += gP[a * n + c] * g[c];
      along += gm[a] * g[a];
      twice += gPg[a] * g[a];
    }
    const R s = NAME(firsts)(g, B, 1) + ((const R *)of->r)[at], e = ((const R *)of->y)[at] - NAME(firsts)(m, B, 1);
    ge += along / s;
    gs += (twice - along * e) / (s * s);
    for (int a = 0; a < n; a++) gg[a] = (gm[a] * e - 2 * gPg[a]) / s;
  }
  for (int j = 0; j < B; j++) { gg[2 * j] += gs; gm[2 * j] -= ge; }
  for (int a = 0; a < n; a++)
    for (int j = 0; j < B; j++) { gP[a * n + 2 * j] += gg[a] / 2; gP[2 * j * n + a] += gg[a] / 2; }
  ((R *)of->g_y)[at] = ge;
  ((R *)of->g_r)[at] = gs;
}

/* From gradients of m = F m0, P = F P0 F^T + N to those of F and N, and on to what is before. */
INLINE void NAME(unmove)(const R *F, const R *m0, const R *P0, const R *gm, const R *gP, R *gF, R *gN, R *to_m, R *to_P, R *U,
                         const int B) {
  const int n = 2 * B;
  for (int a = 0; a < n; a++)
    for (int j = 0; j < B; j++) {
      const R *f = F + 4 * j, *p = gP + a * n + 2 * j;
      U[a * n + 2 * j] = p[0] * f[0] + p[1] * f[2];
      U[a * n + 2 * j + 1] = p[0] * f[1] + p[1] * f[3];
    }
  for (int i = 0; i < B; i++) {
    const R *f = F + 4 * i, *upper = U + 2 * i * n, *lower = upper + n, *p = gP + 2 * i * (n + 1);
    gN[3 * i] = p[0]; gN[3 * i + 1] = p[1] + p[n]; gN[3 * i + 2] = p[n + 1];
    for (int a = 0; a < 2; a++)
      for (int b = 0; b < 2; b++) {
        R sum = 0;
        for (int c = 0; c < n; c++) sum += (a ? lower : upper)[c] * P0[(2 * i + b) * n + c];
        gF[4 * i + 2 * a + b] = 2 * sum + gm[2 * i + a] * m0[2 * i + b];
      }
    to_m[2 * i] += f[0] * gm[2 * i] + f[2] * gm[2 * i + 1];
    to_m[2 * i + 1] += f[1] * gm[2 * i] + f[3] * gm[2 * i + 1];
    for (int c = 0; c < n; c++) {
      to_P[2 * i * n + c] += f[0] * upper[c] + f[2] * lower[c];
      to_P[(2 * i + 1) * n + c] += f[1] * upper[c] + f[3] * lower[c];
    }
  }
}

INLINE void NAME(filter_back)(const Pairs *of, int64_t entry, const int B) {
  const int n = 2 * B, nn = n * n;
  R T[4 * MOST_PAIRS * MOST_PAIRS], P[4 * MOST_PAIRS * MOST_PAIRS], gP[4 * MOST_PAIRS * MOST_PAIRS], m[2 * MOST_PAIRS];
  for (int64_t k = of->rows - 1, at = entry * of->rows + k; k >= 0; k--, at--) {
    const int64_t before = of->before[at] < 0 ? -1 : entry * of->rows + of->before[at];
    const R *m0 = before < 0 ? (const R *)of->mean + entry * n : (const R *)of->m + before * n;
    const R *P0 = before < 0 ? (const R *)of->cov + entry * nn : (const R *)of->P + before * nn;
    R *to_m = before < 0 ? (R *)of->g_mean + entry * n : (R *)of->g_m + before * n;
    R *to_P = before < 0 ? (R *)of->g_cov + entry * nn : (R *)of->g_P + before * nn;
    const R *F = (const R *)of->F + at * 4 * B, *given = (const R *)of->g_P + at * nn;
    R *gm = (R *)of->g_m + at * n;
    NAME(move)(F, (const R *)of->N + at * 3 * B, m0, P0, m, P, T, B);
    for (int a = 0; a < n; a++)
      for (int c = 0; c < n; c++) gP[a * n + c] = (given[a * n + c] + given[c * n + a]) / 2;
    NAME(unsee)(of, at, m, P, gm, gP, B);
    NAME(unmove)(F, m0, P0, gm, gP, (R *)of->g_F + at * 4 * B, (R *)of->g_N + at * 3 * B, to_m, to_P, T, B);
  }
}

static void NAME(filter_entry)(const Pairs *of, int64_t entry, int backward) {
#define WITH(B) if (backward) NAME(filter_back)(of, entry, B); else NAME(filter)(of, entry, B)
  switch (of->pairs) {
    case 1: WITH(1); break;
    case 2: WITH(2); break;
    case 3: WITH(3); break;
    case 4: WITH(4); break;
    default: WITH((int)of->pairs);
  }
#undef WITH
}

static void NAME(pairs)(const Pairs *of, int backward) {
  const int64_t work = of->batch * of->rows * of->pairs * of->pairs * 16;
  const int threads = of->batch > 1 && work > WORTH_THREADS ? (int)of->threads : 1;
  (void)threads;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
#endif
  for (int64_t entry = 0; entry < of->batch; entry++) NAME(filter_entry)(of, entry, backward);
}
