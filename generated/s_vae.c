/* Loss and gradients of s-vae in one pass, written by ibsym 0.2.0.dev0 from the formulas in s_vae.py. C11; REAL is
   float or double. Inputs are contiguous; where a gradient is NULL, it is not wanted. The last axes are aligned: an
   operand without a leading one repeats. Sums are kept in strips of fixed sizes: the number of threads changes no
   digit. */
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

typedef struct {
    const REAL *in_z_concentration, *in_x, *in_x_logits;
    REAL *d_z_concentration, *d_x, *d_x_logits;
    int64_t n_z_concentration, n_x, n_x_logits;
    int64_t size_B, size_D, size_L;
    double *each_B;
    int64_t sum, threads; /* whether the loss is a sum over rows */
    REAL *loss, *terms[2];
} Arguments;

/* The fields of Arguments in their order, and the terms in theirs, for the caller. */
extern const char *const fields, *const terms;
const char *const fields =
    "in_z_concentration in_x in_x_logits d_z_concentration d_x d_x_logits n_z_concentration n_x n_x_logits size_B "
    "size_D size_L each_B";
const char *const terms = "KL(q(z|x)||p(z))\nE_q[log p(x|z)]";

enum { OPERANDS = 2, ROWS = 2, SUMS = 1 };

/* Sums of formulas over the elements of several operands, and the gradients, in one pass: each input is read once, each
   gradient written once. The last axes are aligned,
       so that an operand without a leading one repeats. A span is a stretch of
   LANES elements; its sums are kept by lane, each in a row: of values, or of products, less 1, whose logarithm is taken
   once a chunk. */
typedef void Span(const REAL *const *in, REAL *const *d, const REAL *scale, REAL (*row)[LANES]);

typedef struct {
    int operands, rows, sums;
    Span *span[3];           /* of values alone; with the gradients that are usually wanted; with all of them */
    const REAL *in[OPERANDS];
    int64_t n[OPERANDS];     /* elements of an operand */
    REAL *d[OPERANDS];       /* where its gradient goes, or NULL */
    double *repeated[OPERANDS]; /* where the gradient of an operand that repeats is added up */
    int level[OPERANDS];     /* the first span that writes its gradient, or 0 */
    int shared[OPERANDS];    /* whether other loops add to it: it was cleared before */
    int sum[ROWS];           /* the sum that a row is part of */
    double factor[ROWS];     /* of the logarithm of a product; 0 for a row of values */
    double weight[SUMS];     /* derivative of the loss by the mean of a sum */
    int64_t size;            /* elements of all together */
    REAL scale[SUMS];        /* derivative of the loss by one element's value */
    int want;                /* which span */
} Loop;

static void strip(const Loop *loop, int64_t from, int64_t to, double *sums)
{
    REAL copy[OPERANDS][CHUNK], part[OPERANDS][CHUNK], last_in[OPERANDS][LANES] = {{0}}, last_d[OPERANDS][LANES];
    Span *span = loop->span[loop->want];
    for (int64_t at = from; at < to; at += CHUNK) {
        const int64_t n = to - at < CHUNK ? to - at : CHUNK;
        const REAL *in[OPERANDS] = {0};
        REAL *d[OPERANDS] = {0}, row[ROWS][LANES], last_row[ROWS][LANES];
        int adds[OPERANDS] = {0};
        for (int k = 0; k < loop->operands; k++) {
            in[k] = window(loop->in[k], loop->n[k], at, n, copy[k]);
            adds[k] = loop->shared[k] || loop->n[k] < loop->size;
            d[k] = loop->d[k] && !adds[k] ? loop->d[k] + at : part[k];
        }
        for (int r = 0; r < loop->rows; r++)
            for (int j = 0; j < LANES; j++) row[r][j] = last_row[r][j] = 0;
        int64_t done = 0;
        for (; done + LANES <= n; done += LANES) {
            span(in, d, loop->scale, row);
            for (int k = 0; k < loop->operands; k++) in[k] += LANES, d[k] += LANES;
        }
        const int rest = (int)(n - done);
        if (rest) {
            const REAL *padded[OPERANDS] = {0};
            REAL *room[OPERANDS] = {0};
            for (int k = 0; k < loop->operands; k++) {
                memcpy(last_in[k], in[k], sizeof(REAL) * (size_t)rest);
                padded[k] = last_in[k], room[k] = last_d[k];
            }
            span(padded, room, loop->scale, last_row);
            for (int k = 0; k < loop->operands; k++)
                if (loop->level[k] && loop->level[k] <= loop->want) memcpy(d[k], last_d[k],
                                                                           sizeof(REAL) * (size_t)rest);
            for (int r = 0; r < loop->rows; r++)
                for (int j = 0; j < rest; j++) {
                    if (loop->factor[r] != 0) row[r][j] += last_row[r][j] + row[r][j] * last_row[r][j];
                    else row[r][j] += last_row[r][j];
                }
        }
        for (int r = 0; r < loop->rows; r++)
            sums[loop->sum[r]] += loop->factor[r] != 0 ? loop->factor[r] * log_total(row[r]) : total(row[r]);
        for (int k = 0; k < loop->operands; k++)
            if (loop->repeated[k]) add_window(loop->repeated[k], loop->n[k], at, n, part[k]);
            else if (loop->want && loop->d[k] && adds[k])
                for (int64_t i = 0; i < n; i++) loop->d[k][at + i] += part[k][i];
    }
}

/* The means over rows of `event` elements each, row by row. */
static int elements_each(const Loop *loop, int64_t event, int threads, double *means, Each each)
{
    const int64_t count = loop->size / event;
    double *values = calloc((size_t)(count * SUMS), sizeof(double));
    int status = 0;
    if (!values) return 2;
    PARALLEL(threads > 1 && loop->size >= WORTHWHILE)
    for (int64_t r = 0; r < count; r++) strip(loop, r * event, (r + 1) * event, values + r * SUMS);
    for (int m = 0; m < loop->sums; m++) {
        double sum = 0;
        for (int64_t r = 0; r < count; r++) sum += values[r * SUMS + m];
        means[m] = sum / (double)count;
        if (!status) status = add_each(each, loop->weight[m], values + m, SUMS, count);
    }
    free(values);
    (void)threads;
    return status;
}

/* The means over rows of `event` elements each. */
static int elements(Loop *loop, int64_t event, int threads, double *means, Each each)
{
    int serial = 0, status = 0;
    for (int k = 0; k < loop->operands; k++)
        if (loop->n[k] > loop->size) loop->size = loop->n[k];
    if (each.loss) return elements_each(loop, event, threads, means, each);
    for (int k = 0; k < loop->operands; k++) {
        if (!loop->d[k]) continue;
        if (loop->want < loop->level[k]) loop->want = loop->level[k];
        if (loop->n[k] < loop->size) {
            serial = 1;
            if (!(loop->repeated[k] = calloc((size_t)loop->n[k], sizeof(double)))) status = 2;
        }
    }
    const int64_t size = loop->size;
    const double rows = (double)size / (double)event;
    for (int m = 0; m < loop->sums; m++) loop->scale[m] = (REAL)(loop->weight[m] / rows);
    const int64_t chunks = (size + CHUNK - 1) / CHUNK, strips = chunks < STRIPS ? chunks : STRIPS;
    double parts[STRIPS][SUMS] = {{0}};
    PARALLEL(threads > 1 && size >= WORTHWHILE && !serial)
    for (int64_t s = 0; s < strips; s++) {
        const int64_t from = chunks * s / strips * CHUNK, end = chunks * (s + 1) / strips * CHUNK;
        strip(loop, from, end < size ? end : size, parts[s]);
    }
    for (int m = 0; m < loop->sums; m++) {
        double sum = 0;
        for (int64_t s = 0; s < strips; s++) sum += parts[s][m];
        means[m] = sum / rows;
    }
    for (int k = 0; k < loop->operands; k++) {
        if (!loop->repeated[k]) continue;
        for (int64_t i = 0; i < loop->n[k]; i++)
            loop->d[k][i] = (REAL)(loop->repeated[k][i] + (loop->shared[k] ? (double)loop->d[k][i] : 0));
        free(loop->repeated[k]);
    }
    (void)threads, (void)serial;
    return status;
}

/* Means over rows of log I_v(t) - v log t and of t I_{v+1}(t) / I_v(t), v = dimensions / 2 - 1, of one t a row. */
typedef struct {
    const REAL *t;
    int64_t n;
    double dimensions;
    REAL *d;                          /* where the gradient goes, or NULL */
    int adds;                         /* whether others add to it: it was cleared before */
    double log_weight, moment_weight; /* derivatives of the loss by the means */
} Bessel;

#ifdef DOUBLE
#define NODES 96
#define REACH 3.7
#else
#define NODES 64
#define REACH 3.3
#endif

/* I_{v+1}(t) t^-(v+1) is an integral of e^(t c) (1 - c^2)^(a-1) over -1 < c < 1, a = (dimensions + 1) / 2, up to a
   constant. With c = tanh(y/2), y the mode, asinh(t/a), plus 2 sinh(u) / sqrt(a), a grid of u has all digits. */
typedef struct {
    double a, growth[NODES], log_cosh[NODES], constant; /* e^(y - mode) and log cosh(u) */
} Grid;

static Grid grid_of(double dimensions)
{
    Grid g = {.a = (dimensions + 1) / 2};
    for (int k = 0; k < NODES; k++) {
        const double u = REACH * (2.0 * k / (NODES - 1) - 1);
        g.growth[k] = exp(2 / sqrt(g.a) * sinh(u)), g.log_cosh[k] = log(cosh(u));
    }
    g.constant = log(2 * REACH / (NODES - 1) * 2 / sqrt(g.a * acos(-1))) + dimensions / 2 * log(2) - lgamma(g.a);
    return g;
}

/* With far = (1 - c) / 2 and its mean and variance under the integrand: t I_v / I_{v+1} is n + t (1 - 2 mean), n the
   dimensions, and the slope of I_{v+1} / I_v by t is (n - 4 t^2 variance) over the square of that. */
static void bessel_row(const Bessel *b, const Grid *g, int64_t i, double values[2])
{
    const double n = b->dimensions, t = b->t[i] >= 0 ? (double)b->t[i] : NAN, at_mode = t / g->a + hypot(1, t / g->a);
    double far[NODES], exponent[NODES], highest = -INFINITY, whole = 0, first = 0, variance = 0;
    for (int k = 0; k < NODES; k++) {
        const double grown = at_mode * g->growth[k]; /* e^y */
        far[k] = 1 / (1 + grown);
        exponent[k] = g->a * log(grown * far[k] * far[k]) + g->log_cosh[k] - 2 * far[k] * t;
        highest = exponent[k] > highest ? exponent[k] : highest;
    }
    for (int k = 0; k < NODES; k++) {
        const double weight = exp(exponent[k] - highest);
        whole += weight, first += weight * far[k], exponent[k] = weight;
    }
    first /= whole;
    for (int k = 0; k < NODES; k++) variance += exponent[k] * (far[k] - first) * (far[k] - first);
    variance /= whole;
    const double below = n + t * (1 - 2 * first), ratio = t / below;
    values[0] = t + highest + log(whole) + log(below) + g->constant;
    values[1] = t * ratio;
    if (!b->d) return;
    const double slope = t / below * ((n - 4 * t * t * variance) / below);
    const double d = ((b->log_weight + b->moment_weight) * ratio + b->moment_weight * slope) / (double)b->n;
    b->d[i] = (REAL)((b->adds ? (double)b->d[i] : 0) + d);
}

static int bessel_means(const Bessel *b, int threads, double *means, Each each)
{
    const Grid g = grid_of(b->dimensions);
    double *values = b->n ? malloc(sizeof(double) * 2 * (size_t)b->n) : 0;
    if (!values) return b->n ? 2 : 3;
    PARALLEL(threads > 1 && b->n * NODES >= WORTHWHILE)
    for (int64_t i = 0; i < b->n; i++) bessel_row(b, &g, i, values + 2 * i);
    int status = 0;
    for (int k = 0; k < 2; k++) {
        double sum = 0;
        for (int64_t i = 0; i < b->n; i++) sum += values[2 * i + k];
        means[k] = sum / (double)b->n;
        if (!status && each.loss) status = add_each(each, k ? b->moment_weight : b->log_weight, values + k, 2, b->n);
    }
    free(values);
    (void)threads;
    return status;
}

/* the size of the first batch, where the loss is a sum over it */
static double rows(const Arguments *g)
{
    return g->sum ? g->size_B : 1;
}

/* E_q[log p(x|z)]: binary_cross_entropy(x, x_logits) */
INLINE void span0(const int want, const REAL *const *in, REAL *const *d, const REAL *scale, REAL (*row)[LANES])
{
    const REAL *restrict in_x = in[0];
    const REAL *restrict in_x_logits = in[1];
    REAL *restrict d_x = d[0];
    REAL *restrict d_x_logits = d[1];
    REAL *restrict row0 = row[0];
    REAL *restrict row1 = row[1];
    const REAL s0 = scale[0];
    LOOP
    for (int j = 0; j < LANES; j++) {
        const REAL v_x = in_x[j];
        const REAL v_x_logits = in_x_logits[j];
        const REAL a0 = v_x_logits, e0 = exponential_of_negative(-absolute(a0));
        const REAL r0 = 1 / (1 + e0), er0 = e0 * r0;
        const REAL toward1 = a0 >= 0 ? r0 : er0;
        const REAL away2 = a0 >= 0 ? er0 : r0;
        const REAL t0 = 1 - v_x;
        row0[j] += t0 * v_x_logits + positive(-v_x_logits);
        row1[j] += e0 + row1[j] * e0;
        if (want >= 2) d_x[j] = -s0 * v_x_logits;
        if (want >= 1) d_x_logits[j] = s0 * (t0 * toward1 - away2 * v_x);
    }
}

static void span0_0(const REAL *const *in, REAL *const *d, const REAL *scale, REAL (*row)[LANES])
{
    span0(0, in, d, scale, row);
}

static void span0_1(const REAL *const *in, REAL *const *d, const REAL *scale, REAL (*row)[LANES])
{
    span0(1, in, d, scale, row);
}

static void span0_2(const REAL *const *in, REAL *const *d, const REAL *scale, REAL (*row)[LANES])
{
    span0(2, in, d, scale, row);
}

static int loop0(const Arguments *g, double *means)
{
    Loop loop = {
        .operands = 2,
        .rows = 2,
        .sums = 1,
        .span = {span0_0, span0_1, span0_2},
        .in = {g->in_x, g->in_x_logits},
        .n = {g->n_x, g->n_x_logits},
        .d = {g->d_x, g->d_x_logits},
        .level = {2, 1},
        .shared = {0, 0},
        .sum = {0, 0},
        .factor = {0, 1.0},
        .weight = {rows(g)},
    };
    return elements(&loop, g->size_D, (int)g->threads, means, (Each){g->each_B, g->size_B});
}

/* KL(q(z|x)||p(z)): Bessel functions of z_concentration */
static int bessel0(const Arguments *g, double *means)
{
    const Bessel b = {
        .t = g->in_z_concentration,
        .n = g->n_z_concentration,
        .dimensions = g->size_L,
        .d = g->d_z_concentration,
        .adds = 0,
        .log_weight = rows(g) * (-1.0),
        .moment_weight = rows(g),
    };
    return bessel_means(&b, (int)g->threads, means, (Each){g->each_B, g->size_B});
}

/* 0; or what stands against it: a class that is none (1), no memory (2), sizes that do not fit (3) */
int fused(const Arguments *g);
int fused(const Arguments *g)
{
    double loop_0[1];
    double bessel_0[2];
    int status = 0;
    if ((status = loop0(g, loop_0))) return status;
    if ((status = bessel0(g, bessel_0))) return status;
    *g->terms[0] = (REAL)(bessel_0[1] - 1.0 * bessel_0[0] + 0.6931471805599453 - 0.5 * g->size_L * 0.6931471805599453
                          - lgamma(0.5 * g->size_L));
    *g->terms[1] = (REAL)(-1.0 * loop_0[0]);
    for (int64_t r = 0; g->each_B && r < g->size_B; r++) g->each_B[r] += 0.6931471805599453
        - 0.5 * g->size_L * 0.6931471805599453 - lgamma(0.5 * g->size_L);
    const double loss = bessel_0[1] - 1.0 * bessel_0[0] + 0.6931471805599453 - 0.5 * g->size_L * 0.6931471805599453
        - lgamma(0.5 * g->size_L) - (-1.0 * loop_0[0]);
    *g->loss = (REAL)(rows(g) * loss);
    return 0;
}
