/* Cauchy sums of conjugate pairs at the unit circle, forward and backward: see cauchy.py for what they are.

   Included after vectors.h, once for each type and instruction set. Lane = point of the circle. With the half angle's
   sine s and cosine c, the pair of mode n has the denominator d = a_n c^2 - s^2 + i b_n s c, and sum k of a channel is

       sum over n of (i s w_kn - c w_(sums+k)n) / d.

   Arrays in C order: a, b (channels, modes); w (channels, 2 sums, modes); s, c (points); re, im (channels, sums,
   points). The reciprocal of d is the cost of a pair at a point: it serves SUMS_AT_ONCE sums, and no array of
   modes x points exists. */

#define SUMS_AT_ONCE 4
#define VECTORS_A_TILE 24

/* Real part and minus the imaginary part of 1 / d. */
INLINE void NAME(reciprocal)(R a, R b, V cc, V ss, V sc, V *E, V *G) {
  V re = cc * a - ss, im = sc * b;
  V inverse = all(1) / (re * re + im * im);
  *E = re * inverse;
  *G = im * inverse;
}

/* Sine and cosine of some points; where none are left, the half angle is right, which no pole reaches. */
INLINE void NAME(load_points)(const R *sin, const R *cos, int64_t left, V *s, V *c) {
  *s = NAME(load_some)(sin, left);
  *c = NAME(load_some)(cos, left);
  for (int64_t j = left; j < W; j++) (*s)[j] = 1;
}

/* `count` sums of one channel, a number the compiler knows; w and out point at the first of them. */
INLINE void NAME(cauchy_group)(int count, const R *a, const R *b, const R *w, const R *sin, const R *cos, R *re, R *im,
                               int64_t modes, int64_t sums, int64_t points) {
  const R *v = w + sums * modes;
  for (int64_t m = 0; m < points; m += W) {
    V s, c, real[SUMS_AT_ONCE], imag[SUMS_AT_ONCE];
    NAME(load_points)(sin + m, cos + m, points - m, &s, &c);
    V cc = c * c, ss = s * s, sc = s * c;
    for (int k = 0; k < count; k++) real[k] = imag[k] = all(0);
    for (int64_t n = 0; n < modes; n++) {
      V E, G;
      NAME(reciprocal)(a[n], b[n], cc, ss, sc, &E, &G);
      V sE = s * E, sG = s * G, cE = c * E, cG = c * G;
      UNROLL
      for (int k = 0; k < count; k++) {
        real[k] += sG * w[k * modes + n] - cE * v[k * modes + n];
        imag[k] += sE * w[k * modes + n] + cG * v[k * modes + n];
      }
    }
    for (int k = 0; k < count; k++) {
      NAME(store_some)(re + k * points + m, real[k], points - m);
      NAME(store_some)(im + k * points + m, imag[k], points - m);
    }
  }
}

/* A tile of points and of the gradients to a group of sums there, filled up to whole vectors. */
typedef struct {
  V sin[VECTORS_A_TILE], cos[VECTORS_A_TILE], re[SUMS_AT_ONCE][VECTORS_A_TILE], im[SUMS_AT_ONCE][VECTORS_A_TILE];
  int64_t vectors;
} NAME(Tile);

static void NAME(fill_tile)(NAME(Tile) *tile, int count, const R *sin, const R *cos, const R *g_re, const R *g_im,
                            int64_t points, int64_t left) {
  tile->vectors = 0;
  for (int64_t m = 0; m < left && tile->vectors < VECTORS_A_TILE; m += W) {
    int64_t i = tile->vectors++;
    NAME(load_points)(sin + m, cos + m, left - m, tile->sin + i, tile->cos + i);
    for (int k = 0; k < count; k++) {
      tile->re[k][i] = NAME(load_some)(g_re + k * points + m, left - m);
      tile->im[k][i] = NAME(load_some)(g_im + k * points + m, left - m);
    }
  }
}

/* Gradients of `count` sums of one channel over a tile, added to g_a, g_b and g_w. */
INLINE void NAME(cauchy_tile_backward)(int count, const NAME(Tile) *tile, const R *a, const R *b, const R *w, R *g_a,
                                       R *g_b, R *g_w, int64_t modes, int64_t sums) {
  const R *v = w + sums * modes;
  R *g_v = g_w + sums * modes;
  for (int64_t n = 0; n < modes; n++) {
    V to_a = all(0), to_b = all(0), to_w[SUMS_AT_ONCE], to_v[SUMS_AT_ONCE];
    for (int k = 0; k < count; k++) to_w[k] = to_v[k] = all(0);
    for (int64_t i = 0; i < tile->vectors; i++) {
      V s = tile->sin[i], c = tile->cos[i], cc = c * c, sc = s * c, E, G;
      NAME(reciprocal)(a[n], b[n], cc, s * s, sc, &E, &G);
      V sE = s * E, sG = s * G, cE = c * E, cG = c * G;
      V w_re = all(0), w_im = all(0), v_re = all(0), v_im = all(0);
      UNROLL
      for (int k = 0; k < count; k++) {
        V re = tile->re[k][i], im = tile->im[k][i];
        to_w[k] += re * sG + im * sE;
        to_v[k] += im * cG - re * cE;
        w_re += re * w[k * modes + n];
        w_im += im * w[k * modes + n];
        v_re += re * v[k * modes + n];
        v_im += im * v[k * modes + n];
      }
      /* E - iG = 1 / d, so its change is -(E - iG)^2 that of d */
      V g_E = s * w_im - c * v_re, g_G = s * w_re + c * v_im, even = E * E - G * G, odd = E * G * (R)2;
      to_a -= cc * (g_E * even + g_G * odd);
      to_b += sc * (g_G * even - g_E * odd);
    }
    g_a[n] += NAME(sum)(to_a);
    g_b[n] += NAME(sum)(to_b);
    for (int k = 0; k < count; k++) {
      g_w[k * modes + n] += NAME(sum)(to_w[k]);
      g_v[k * modes + n] += NAME(sum)(to_v[k]);
    }
  }
}

static void NAME(cauchy)(const R *a, const R *b, const R *w, const R *sin, const R *cos, R *re, R *im,
                         int64_t channels, int64_t modes, int64_t sums, int64_t points, int threads) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads)
#else
  (void)threads;
#endif
  for (int64_t h = 0; h < channels; h++) {
    const R *ah = a + h * modes, *bh = b + h * modes, *wh = w + 2 * h * sums * modes;
    R *real = re + h * sums * points, *imag = im + h * sums * points;
    int64_t k = 0;
#define CAUCHY(COUNT)                                                                                            \
  for (; k + COUNT <= sums; k += COUNT)                                                                          \
  NAME(cauchy_group)(COUNT, ah, bh, wh + k * modes, sin, cos, real + k * points, imag + k * points, modes, sums, points)
    CAUCHY(SUMS_AT_ONCE);
    CAUCHY(1);
#undef CAUCHY
  }
}

/* g_re, g_im are gradients to re, im; g_a, g_b, g_w (shapes of a, b, w) are overwritten. */
static void NAME(cauchy_backward)(const R *a, const R *b, const R *w, const R *sin, const R *cos, const R *g_re,
                                  const R *g_im, R *g_a, R *g_b, R *g_w, int64_t channels, int64_t modes, int64_t sums,
                                  int64_t points, int threads) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads)
#else
  (void)threads;
#endif
  for (int64_t h = 0; h < channels; h++) {
    const R *ah = a + h * modes, *bh = b + h * modes, *wh = w + 2 * h * sums * modes;
    R *to_a = g_a + h * modes, *to_b = g_b + h * modes, *to_w = g_w + 2 * h * sums * modes;
    memset(to_a, 0, modes * sizeof(R));
    memset(to_b, 0, modes * sizeof(R));
    memset(to_w, 0, 2 * sums * modes * sizeof(R));
    /* tile by tile, so that the gradients of a group of sums stay in the first cache for all modes */
    for (int64_t m = 0; m < points; m += VECTORS_A_TILE * LANES) {
      NAME(Tile) tile;
      int64_t k = 0;
#define CAUCHY(COUNT)                                                                                            \
  for (; k + COUNT <= sums; k += COUNT) {                                                                        \
    int64_t from = (h * sums + k) * points + m;                                                                  \
    NAME(fill_tile)(&tile, COUNT, sin + m, cos + m, g_re + from, g_im + from, points, points - m);               \
    NAME(cauchy_tile_backward)(COUNT, &tile, ah, bh, wh + k * modes, to_a, to_b, to_w + k * modes, modes, sums); \
  }
      CAUCHY(SUMS_AT_ONCE)
      CAUCHY(1)
#undef CAUCHY
    }
  }
}

#undef SUMS_AT_ONCE
#undef VECTORS_A_TILE
