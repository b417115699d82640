#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef REAL
#define REAL float
#endif

#define LANES 64   /* elements that are computed together */
#define CHUNK 1024 /* and whose sums are kept apart from the next chunk's */
#define STRIPS 64  /* parts of a loop: their number is fixed, so that the number of threads changes no digit */
#define BLOCK 16   /* rows of a table of pairs that are computed together */
#define PANEL 256  /* columns of such a table whose slopes are added up in single precision */
#define WORTHWHILE 262144 /* elements from which a second thread pays for its start */

#define INLINE static inline __attribute__((always_inline))
#define PRAGMA(x) _Pragma(#x)
#ifdef SIMD
#define LOOP PRAGMA(omp simd)
#define LOOP_SUM(...) PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#define LOOP_MAX(m) PRAGMA(omp simd reduction(max : m))
#else
#define LOOP
#define LOOP_SUM(...)
#define LOOP_MAX(m)
#endif
#ifdef _OPENMP
#define PARALLEL(condition) PRAGMA(omp parallel for schedule(static) num_threads(threads) if (condition))
#else
#define PARALLEL(condition)
#endif

/* Elementary functions without branches, so that a compiler vectorises the loops they stand in. */

INLINE REAL square(REAL t) { return t * t; }
INLINE REAL absolute(REAL t) { return t < 0 ? -t : t; }
INLINE REAL positive(REAL t) { return t > 0 ? t : 0; }
INLINE REAL sign(REAL t) { return (REAL)((t > 0) - (t < 0)); }
INLINE REAL weighted_slope(REAL w, REAL t) { return w == 0 && !(absolute(t) < INFINITY) ? 0 : t; }
INLINE REAL weighted(REAL w, REAL t) { return w == 0 && !(absolute(t) < INFINITY) ? 0 : w * t; }

#define R(x) ((REAL)(x))

#ifdef DOUBLE
#define root sqrt
typedef int64_t bits;
#define MANTISSA 52
#define BIAS 1023
#define ROUND 0x1.8p52
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define EXP_MIN -745.5
#define EXP_MAX 709.9
#define HALVES 1414.0
#define TINY 0x1p-1022
#define RAISE 0x1p54
#define RAISED 54
#else
#define root sqrtf
typedef int32_t bits;
#define MANTISSA 23
#define BIAS 127
#define ROUND 0x1.8p23f
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define EXP_MIN -104.0f
#define EXP_MAX 88.8f
#define HALVES 174.0f
#define TINY 0x1p-126f
#define RAISE 0x1p25f
#define RAISED 25
#endif

INLINE bits as_bits(REAL t) { bits b; memcpy(&b, &t, sizeof b); return b; }
INLINE REAL as_real(bits b) { REAL t; memcpy(&t, &b, sizeof t); return t; }
INLINE REAL power_of_two(bits n) { return as_real((bits)((uint64_t)(n + BIAS) << MANTISSA)); }

/* e^f - 1 for |f| <= log(2)/2 */
INLINE REAL expm1_reduced(REAL f)
{
#ifdef DOUBLE
    REAL y = 1.0 / 6227020800;
    y = y * f + 1.0 / 479001600;
    y = y * f + 1.0 / 39916800;
    y = y * f + 1.0 / 3628800;
    y = y * f + 1.0 / 362880;
    y = y * f + 1.0 / 40320;
    y = y * f + 1.0 / 5040;
    y = y * f + 1.0 / 720;
    y = y * f + 1.0 / 120;
    y = y * f + 1.0 / 24;
    y = y * f + 1.0 / 6;
    y = y * f + 0.5;
#else
    REAL y = 1.9875691500e-4f;
    y = y * f + 1.3981999507e-3f;
    y = y * f + 8.3334519073e-3f;
    y = y * f + 4.1665795894e-2f;
    y = y * f + 1.6666665459e-1f;
    y = y * f + 5.0000001201e-1f;
#endif
    return y * (f * f) + f;
}

/* t = n log 2 + f: n as a whole number added to ROUND, whose last bits hold it */
INLINE REAL reduced(REAL t, REAL *shifted)
{
    *shifted = t * (REAL)1.44269504088896340736 + ROUND;
    const REAL n = *shifted - ROUND;
    return t - n * LN2_HIGH - n * LN2_LOW;
}

INLINE REAL exponential(REAL t)
{
    REAL c = t < EXP_MIN ? EXP_MIN : t;
    c = c > EXP_MAX ? EXP_MAX : c;
    REAL shifted;
    const REAL y = 1 + expm1_reduced(reduced(c, &shifted));
    const bits n = as_bits(shifted) - as_bits(ROUND);
    const bits half = n >> 1;
    const REAL result = y * power_of_two(half) * power_of_two(n - half);
    return t > EXP_MAX ? INFINITY : result;
}

/* e^t = first * second, the second a power of two: (d first) (d second) is d^2 e^t, where e^t overflows as well */
INLINE REAL exponential_first(REAL t)
{
    REAL c = t < -HALVES ? -HALVES : t;
    c = c > HALVES ? HALVES : c;
    REAL shifted;
    const REAL y = 1 + expm1_reduced(reduced(c, &shifted));
    return y * power_of_two((as_bits(shifted) - as_bits(ROUND)) >> 1);
}

INLINE REAL exponential_second(REAL t)
{
    REAL c = t < -HALVES ? -HALVES : t;
    c = c > HALVES ? HALVES : c;
    REAL shifted;
    (void)reduced(c, &shifted);
    const bits n = as_bits(shifted) - as_bits(ROUND);
    const REAL power = power_of_two(n - (n >> 1));
    return t > HALVES ? INFINITY : t < -HALVES ? 0 : power;
}

/* e^t for t <= 0; below the smallest normal number it stays there */
INLINE REAL exponential_of_negative(REAL t)
{
#ifdef DOUBLE
    const REAL c = t < -708.0 ? -708.0 : t;
#else
    const REAL c = t < -87.0f ? -87.0f : t;
#endif
    REAL shifted;
    const REAL y = 1 + expm1_reduced(reduced(c, &shifted));
    return y * power_of_two(as_bits(shifted) - as_bits(ROUND));
}

/* e^t for t <= 0, and 0 where that is no normal number */
INLINE REAL exponential_of_difference(REAL t)
{
#ifdef DOUBLE
    return t < -708.0 ? 0 : exponential_of_negative(t);
#else
    return t < -87.0f ? 0 : exponential_of_negative(t);
#endif
}

INLINE REAL exponential_minus_one(REAL t)
{
    const REAL least = -(REAL)(MANTISSA + 5) * (REAL)0.69;
    REAL c = t < least ? least : t;
    c = c > EXP_MAX ? EXP_MAX : c;
    REAL shifted;
    const REAL y = expm1_reduced(reduced(c, &shifted));
    const REAL half = power_of_two(as_bits(shifted) - as_bits(ROUND) - 1);
    const REAL result = 2 * (y * half + (half - (REAL)0.5));
    return t > EXP_MAX ? INFINITY : result;
}

INLINE REAL logarithm(REAL t)
{
    const int small = t < TINY;
    const REAL raised = small ? t * RAISE : t;
    const bits offset = as_bits(raised) - as_bits((REAL)0.70710678118654752440);
    const bits n = offset >> MANTISSA;
    const REAL f = as_real(as_bits(raised) - (bits)((uint64_t)n << MANTISSA)) - 1;
    const REAL k = (REAL)(n - (small ? RAISED : 0));
    const REAL s = f / (2 + f), z = s * s;
#ifdef DOUBLE
    REAL r = 1.479819860511658591e-01;
    r = r * z + 1.531383769920937332e-01;
    r = r * z + 1.818357216161805012e-01;
    r = r * z + 2.222219843214978396e-01;
    r = r * z + 2.857142874366239149e-01;
    r = r * z + 3.999999999940941908e-01;
    r = r * z + 6.666666666666735130e-01;
#else
    REAL r = 0.24279078841f;
    r = r * z + 0.28498786688f;
    r = r * z + 0.40000972152f;
    r = r * z + 0.66666662693f;
#endif
    const REAL h = (REAL)0.5 * f * f;
    REAL y = k * LN2_HIGH - ((h - (s * (h + r * z) + k * LN2_LOW)) - f);
    y = t > 0 ? y : -INFINITY;
    y = t < 0 ? (REAL)NAN : y;
    return t < INFINITY ? y : t;
}

/* log(1 + t) for 0 <= t <= 1 */
INLINE REAL log_one_plus(REAL t)
{
    const REAL u = 1 + t, lost = t - (u - 1);
    return logarithm(u) + lost / u;
}

/* x[(at + i) % size] for i < n: where an operand repeats, its window may need a copy */
INLINE const REAL *window(const REAL *x, int64_t size, int64_t at, int64_t n, REAL *copy)
{
    if (at >= size) at %= size;
    if (at + n <= size) return x + at;
    for (int64_t i = 0; i < n; i++) {
        copy[i] = x[at];
        if (++at == size) at = 0;
    }
    return copy;
}

/* the same in reverse: what is added up over repetitions stays in double precision */
INLINE void add_window(double *x, int64_t size, int64_t at, int64_t n, const REAL *part)
{
    at %= size;
    for (int64_t i = 0; i < n; i++) {
        x[at] += (double)part[i];
        if (++at == size) at = 0;
    }
}

/* Where the loss of each row is added up; or NULL. */
typedef struct {
    double *loss;
    int64_t rows;
} Each;

/* weight times a value of every row and draw: a row's draws count by their mean; one value is that of every row */
INLINE int add_each(Each each, double weight, const double *values, int64_t stride, int64_t count)
{
    const int64_t all = count > each.rows ? count : each.rows;
    if (count != 1 && count % each.rows) return 3;
    weight *= (double)each.rows / (double)all;
    for (int64_t r = 0; r < all; r++) each.loss[r % each.rows] += weight * values[r % count * stride];
    return 0;
}

INLINE double total(const REAL *lanes)
{
    double sum = 0;
    for (int j = 0; j < LANES; j++) sum += lanes[j];
    return sum;
}

/* the logarithm of a product of at most CHUNK factors in [1, 2], kept by lanes, less 1: those near 1 lose nothing */
INLINE double log_total(const REAL *lanes)
{
    double first = 0, second = 0;
    for (int j = 0; j < LANES / 2; j++) {
        first += lanes[j] + first * lanes[j];
        second += lanes[j + LANES / 2] + second * lanes[j + LANES / 2];
    }
    return log1p(first) + log1p(second);
}
