/* Vectors of W numbers of type R, and expm1 on them. Included once for each type and instruction set.

   The includer defines R, RINT (the integer of the same size), DOUBLE (0 or 1), W and NAME(x). The vector extensions
   of GCC and Clang compile to AVX-512, AVX2, SSE2 and NEON alike. */

typedef R NAME(vec) __attribute__((vector_size(W * sizeof(R))));
typedef RINT NAME(ivec) __attribute__((vector_size(W * sizeof(R))));
typedef R NAME(loose) __attribute__((vector_size(W * sizeof(R)), aligned(sizeof(R)), may_alias));
#define V NAME(vec)
#define I NAME(ivec)
#define LANES ((int64_t)W)

INLINE V NAME(load)(const R *p) { return *(const NAME(loose) *)p; }
INLINE void NAME(store)(R *p, V v) { *(NAME(loose) *)p = v; }
INLINE V NAME(all)(R x) { return (V){0} + x; }
INLINE V NAME(pick)(I mask, V yes, V no) { return (V)(((I)yes & mask) | ((I)no & ~mask)); }
INLINE R NAME(sum)(V v) {
  R total = 0;
  for (int j = 0; j < W; j++) total += v[j];
  return total;
}
#define load NAME(load)
#define store NAME(store)
#define all NAME(all)

/* Shuffles of two vectors: even and odd places of both, and places taken from each in turn, of the lower and upper half. */
#if W == 16
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif W == 8
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif W == 4
#define EVENS 0, 2, 4, 6
#define ODDS 1, 3, 5, 7
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#else
#define EVENS 0, 2
#define ODDS 1, 3
#define LOW 0, 2
#define HIGH 1, 3
#endif
#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (I){__VA_ARGS__})
#endif


/* W lanes of a row, of which `count` exist. */
INLINE V NAME(load_some)(const R *p, int64_t count) {
  if (count >= W) return load(p);
  V v = {0};
  for (int64_t j = 0; j < count; j++) v[j] = p[j];
  return v;
}
INLINE void NAME(store_some)(R *p, V v, int64_t count) {
  if (count >= W) store(p, v);
  else for (int64_t j = 0; j < count; j++) p[j] = v[j];
}
/* The same for complex numbers, which lie in memory as pairs. */
INLINE void NAME(load_pairs)(const R *p, int64_t count, R *re, R *im) {
  if (count >= W) {
    V first = load(p), second = load(p + W);
    store(re, SHUFFLE(first, second, EVENS));
    store(im, SHUFFLE(first, second, ODDS));
  } else
    for (int64_t j = 0; j < W; j++) { re[j] = j < count ? p[2 * j] : 0; im[j] = j < count ? p[2 * j + 1] : 0; }
}
INLINE void NAME(store_pairs)(R *p, int64_t count, const R *re, const R *im) {
  if (count >= W) {
    V reals = load(re), imaginaries = load(im);
    store(p, SHUFFLE(reals, imaginaries, LOW));
    store(p + W, SHUFFLE(reals, imaginaries, HIGH));
  } else
    for (int64_t j = 0; j < count; j++) { p[2 * j] = re[j]; p[2 * j + 1] = im[j]; }
}

/* Polynomials below are minimax fits on half a unit either side of 0, of 2^f - 1 over f, of sqrt(2) sin(pi r) over r
   and of sqrt(2) cos(pi r), in r^2, with errors below the rounding of R. */
#if DOUBLE
#define EXPONENT 52
#define ROUND 6755399441055744.0
#define LEAST -1022.0
#define MOST 1023.0
#else
#define EXPONENT 23
#define ROUND 12582912.0f
#define LEAST -126.0f
#define MOST 127.0f
#endif

/* (2^f - 1) / f for |f| <= 1/2. */
INLINE V NAME(slope_of_exp2)(V f) {
#if DOUBLE
  V p = f * 4.4455372281544427e-10 + 7.0725617019303205e-9;
  p = p * f + 1.0178121299165704e-7;
  p = p * f + 1.3215442724231128e-6;
  p = p * f + 1.5252733701214656e-5;
  p = p * f + 1.5403530441480680e-4;
  p = p * f + 1.3333558146531633e-3;
  p = p * f + 9.6181291076070657e-3;
  p = p * f + 5.5504108664821237e-2;
  p = p * f + 0.24022650695910098;
  p = p * f + 0.69314718055994531;
#else
  V p = f * 1.5403512e-4f + 1.3390736e-3f;
  p = p * f + 9.6182374e-3f;
  p = p * f + 5.5503574e-2f;
  p = p * f + 0.24022650f;
  p = p * f + 0.69314719f;
#endif
  return p;
}

/* x, but no further than the exponents of R reach; NaN stays NaN. */
INLINE V NAME(within)(V x) {
#if defined(__x86_64__) && BYTES == 64 && DOUBLE
  return (V)_mm512_min_pd((__m512d)all(MOST), _mm512_max_pd((__m512d)all(LEAST), (__m512d)x));
#elif defined(__x86_64__) && BYTES == 64
  return (V)_mm512_min_ps((__m512)all(MOST), _mm512_max_ps((__m512)all(LEAST), (__m512)x));
#elif defined(__x86_64__) && BYTES == 32 && DOUBLE
  return (V)_mm256_min_pd((__m256d)all(MOST), _mm256_max_pd((__m256d)all(LEAST), (__m256d)x));
#elif defined(__x86_64__) && BYTES == 32
  return (V)_mm256_min_ps((__m256)all(MOST), _mm256_max_ps((__m256)all(LEAST), (__m256)x));
#else
  x = NAME(pick)(x < all(LEAST), all(LEAST), x);
  return NAME(pick)(x > all(MOST), all(MOST), x);
#endif
}

/* 2^x - 1, and 2^x beside it; NEAR says that |x| <= 1/2. */
INLINE V NAME(exp2m1_of)(V x, V *exp, const int NEAR) {
  V less_one;
  if (NEAR) less_one = NAME(slope_of_exp2)(x) * x;
  else {
    x = NAME(within)(x);
    /* adding 1.5 * 2^EXPONENT rounds to an integer and leaves it in the low bits, from where it moves to the exponent */
    V shifted = x + all(ROUND), f = x - (shifted - all(ROUND));
    V scale = (V)(((I)shifted << EXPONENT) + (I)all(1));
    less_one = (NAME(slope_of_exp2)(f) * f) * scale + (scale - all(1));
  }
  *exp = less_one + all(1);
  return less_one;
}
INLINE V NAME(exp2m1)(V x, V *exp) { return NAME(exp2m1_of)(x, exp, 0); }

/* x less the nearest integer. */
INLINE V NAME(past_integer)(V x) {
#if defined(__x86_64__) && BYTES == 64 && DOUBLE
  return (V)_mm512_reduce_pd((__m512d)x, 0);
#elif defined(__x86_64__) && BYTES == 64
  return (V)_mm512_reduce_ps((__m512)x, 0);
#else
  return x - ((x + all(ROUND)) - all(ROUND));
#endif
}

/* exp(x ln 2 + 2 pi i t) - 1 without cancellation, from the sine and cosine of half the angle. NEAR and NEAR_TURN say
   that |x| and |t| are at most 1/2. */
INLINE void NAME(expm1_complex_of)(V x, V t, V *re, V *im, const int NEAR, const int NEAR_TURN) {
  V exp, less_one = NAME(exp2m1_of)(x, &exp, NEAR);
  V r = NEAR_TURN ? t : NAME(past_integer)(t), s = r * r;
#if DOUBLE
  V sine = s * 1.0881987825861207e-6 - 3.0975781893640452e-5;
  sine = sine * s + 6.5944734400185092e-4;
  sine = sine * s - 1.0423362743596963e-2;
  sine = sine * s + 0.11617182688030462;
  sine = sine * s - 0.84748802481168890;
  sine = sine * s + 3.6064765714706315;
  sine = sine * s - 7.3082494999954380;
  sine = (sine * s + 4.4428829381583663) * r;
  V cosine = s * 5.8700470661023445e-6 - 1.4788121119781903e-4;
  cosine = cosine * s + 2.7288054211578879e-3;
  cosine = cosine * s - 3.6496452232236799e-2;
  cosine = cosine * s + 0.33280776879425881;
  cosine = cosine * s - 1.8883467170319753;
  cosine = cosine * s + 5.7398857349464210;
  cosine = cosine * s - 6.9788641996388771;
  cosine = cosine * s + 1.4142135623730951;
#else
  V sine = s * 0.10968695f - 0.84604213f;
  sine = sine * s + 3.6063432f;
  sine = sine * s - 7.3082451f;
  sine = (sine * s + 4.4428829f) * r;
  V cosine = s * 0.31124105f - 1.8838652f;
  cosine = cosine * s + 5.7395169f;
  cosine = cosine * s - 6.9788547f;
  cosine = cosine * s + 1.4142136f;
#endif
  *re = less_one - exp * (sine * sine);
  *im = exp * (sine * cosine);
}
INLINE void NAME(expm1_complex)(V x, V t, V *re, V *im) { NAME(expm1_complex_of)(x, t, re, im, 0, 0); }
