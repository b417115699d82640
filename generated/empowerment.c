/* Loss and gradients of empowerment in one pass, written by ibsym 0.2.0.dev0 from the formulas in empowerment.py. C11;
   REAL is float or double. Inputs are contiguous; where a gradient is NULL, it is not wanted. The last axes are
   aligned: an operand without a leading one repeats. Sums are kept in strips of fixed sizes: the number of threads
   changes no digit. */
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
    const REAL *in_w_a_logits, *in_a, *in_r_a_logits;
    REAL *d_w_a_logits, *d_a, *d_r_a_logits;
    int64_t n_w_a_logits, n_a, n_r_a_logits;
    int64_t size_B, size_K;
    double *each_B;
    int64_t sum, threads; /* whether the loss is a sum over rows */
    REAL *loss, *terms[2];
} Arguments;

/* The fields of Arguments in their order, and the terms in theirs, for the caller. */
extern const char *const fields, *const terms;
const char *const fields =
    "in_w_a_logits in_a in_r_a_logits d_w_a_logits d_a d_r_a_logits n_w_a_logits n_a n_r_a_logits size_B size_K "
    "each_B";
const char *const terms = "E_w[log w(a|s)]\nE_w[log r(a|s,t)]";

/* Formulas in log softmax(logits), row by row, and the gradients: rows are few enough to stay in the cache. */
typedef struct {
    REAL top, norm, r, log_norm; /* the largest logit; the sum of e^(logit - top), its inverse and logarithm */
} Softmax;

typedef struct Classes Classes;
/* Adds a row's value, writes or adds its gradient to d unless that is NULL; 1 where it declines. */
typedef int ClassRow(const Classes *c, int64_t i, const REAL *logit, const REAL *e, Softmax soft, REAL *d, double *sum);

struct Classes {
    ClassRow *row;
    const REAL *logits;
    int64_t n, classes;
    int64_t event;        /* rows of logits that make one row of the loss; 0 for one */
    const int64_t *index; /* a class for every row, repeated; or NULL */
    int64_t indices;
    REAL *d;              /* where the gradient goes, or NULL */
    int adds;             /* whether others add to it: it was cleared before */
    double weight;        /* derivative of the loss by the mean */
    REAL scale;           /* and by one row's value */
};

/* log softmax(logits) at a class, whose derivative of the loss is `scale` */
INLINE int at_class(const Classes *c, int64_t class, REAL scale, const REAL *logit, const REAL *e, Softmax soft,
                    REAL *d,
                    double *sum)
{
    *sum += (double)((logit[class] - soft.top) - soft.log_norm);
    if (!d) return 0;
    const REAL before = c->adds ? d[class] : 0;
    if (c->adds) {
        LOOP
        for (int64_t k = 0; k < c->classes; k++) d[k] += -scale * (e[k] * soft.r);
    } else {
        LOOP
        for (int64_t k = 0; k < c->classes; k++) d[k] = -scale * (e[k] * soft.r);
    }
    REAL others = soft.norm - e[class];
    if (others < soft.norm / 2) { /* add up what the difference would lose */
        others = 0;
        LOOP_SUM(others)
        for (int64_t k = 0; k < c->classes; k++) others += k == class ? 0 : e[k];
    }
    d[class] = before + scale * (others * soft.r);
    return 0;
}

/* Rows from..to: their values are added to one sum, or each to its own. */
static int class_strip(const Classes *c, int64_t from, int64_t to, double *sum, int apart)
{
    const int64_t classes = c->classes, block = classes > CHUNK ? 1 : CHUNK / classes;
    const int wide = classes >= LANES; /* a row alone fills a loop */
    REAL stack[CHUNK], *exponentials = stack;
    if (classes > CHUNK && !(exponentials = malloc(sizeof(REAL) * (size_t)classes))) return 2;
    int status = 0;
    for (int64_t row = from; row < to; row += block) {
        const int64_t rows = to - row < block ? to - row : block;
        const REAL *logits = c->logits + row * classes;
        REAL top[CHUNK], norms[CHUNK];
        for (int64_t i = 0; i < rows; i++) {
            const REAL *a = logits + i * classes;
            REAL m = a[0];
            LOOP_MAX(m)
            for (int64_t k = 0; k < classes; k++) m = a[k] > m ? a[k] : m;
            top[i] = m;
            REAL *e = exponentials + i * classes, norm = 0;
            if (wide) {
                LOOP_SUM(norm)
                for (int64_t k = 0; k < classes; k++) {
                    e[k] = exponential_of_difference(a[k] - m);
                    norm += e[k];
                }
            } else {
                LOOP
                for (int64_t k = 0; k < classes; k++) e[k] = a[k] - m;
            }
            norms[i] = norm;
        }
        LOOP
        for (int64_t k = 0; k < (wide ? 0
                                 : rows * classes); k++) exponentials[k] = exponential_of_difference(exponentials[k]);
        for (int64_t i = 0; i < rows; i++) {
            const REAL *e = exponentials + i * classes;
            REAL norm = norms[i];
            if (!wide) {
                LOOP_SUM(norm)
                for (int64_t k = 0; k < classes; k++) norm += e[k];
            }
            REAL log_norm = logarithm(norm);
            if (norm < R(1.5)) { /* one class is likelier than all others together: add up what its 1 would swallow */
                const REAL *a = logits + i * classes;
                REAL less = 0;
                LOOP_SUM(less)
                for (int64_t k = 0; k < classes; k++) less += a[k] < top[i] ? e[k] : 0;
                log_norm = log_one_plus(less);
            }
            const Softmax soft = {top[i], norm, 1 / norm, log_norm};
            REAL *d = c->d ? c->d + (row + i) * classes : 0;
            status |= c->row(c, row + i, logits + i * classes, e, soft, d, apart ? sum + (row + i - from) : sum);
        }
    }
    if (exponentials != stack) free(exponentials);
    return status;
}

/* All rows in strips: the sum of each strip in `parts`, or the value of each row in `values`. */
static int class_rows(const Classes *c, int64_t rows, int threads, double *parts, double *values)
{
    const int64_t strips = rows < STRIPS ? rows : STRIPS;
    int status[STRIPS] = {0}, worst = 0;
    PARALLEL(threads > 1 && c->n >= WORTHWHILE)
    for (int64_t s = 0; s < strips; s++)
        status[s] = class_strip(c, rows * s / strips, rows * (s + 1) / strips,
                                values ? values + rows * s / strips : &parts[s], values != 0);
    for (int64_t s = 0; s < strips; s++) worst |= status[s];
    (void)threads;
    return worst;
}

/* Means over rows of formulas in log softmax(logits). */

/* log softmax(logits) at the row's class */
INLINE int picked(const Classes *c, int64_t i, const REAL *logit, const REAL *e, Softmax soft, REAL *d, double *sum)
{
    const int64_t class = c->index[i % c->indices];
    if (class < 0 || class >= c->classes) return 1;
    return at_class(c, class, c->scale, logit, e, soft, d, sum);
}

/* log softmax(logits) at the row's own number */
INLINE int matched(const Classes *c, int64_t i, const REAL *logit, const REAL *e, Softmax soft, REAL *d, double *sum)
{
    return at_class(c, i % c->classes, c->scale, logit, e, soft, d, sum);
}

/* log of the mean e^logit of all, which may be many: added up in double precision; infinite where the largest is */
INLINE int whole(const Classes *c, int64_t i, const REAL *logit, const REAL *e, Softmax soft, REAL *d, double *sum)
{
    (void)i;
    double norm = 0;
    LOOP_SUM(norm)
    for (int64_t k = 0; k < c->classes; k++) norm += (double)e[k];
    double value = (double)soft.top + log(norm / (double)c->classes);
    const REAL share = (REAL)((double)c->scale / norm);
    if (absolute(soft.top) == INFINITY) {
        value = (double)soft.top;
        for (int64_t k = 0; k < c->classes; k++) value = logit[k] == logit[k] ? value : NAN;
    }
    *sum += value;
    if (!d) return 0;
    LOOP
    for (int64_t k = 0; k < c->classes; k++) {
        const REAL slope = share * e[k];
        d[k] = c->adds ? d[k] + slope : slope;
    }
    return 0;
}

static int class_mean(Classes *c, int threads, double *mean, Each each)
{
    const int64_t rows = c->classes ? c->n / c->classes : 0;
    if (!rows) return 3;
    c->scale = (REAL)(c->weight / (double)rows);
    double parts[STRIPS] = {0}, sum = 0, *values = 0;
    if (each.loss && !(values = calloc((size_t)rows, sizeof(double)))) return 2;
    int status = class_rows(c, rows, threads, parts, values);
    for (int64_t r = 0; values && r < rows; r++) sum += values[r];
    const int64_t event = c->event ? c->event : 1;
    for (int64_t r = 0; values && r < rows / event; r++) {
        double whole = 0;
        for (int64_t e = 0; e < event; e++) whole += values[r * event + e];
        values[r] = whole / (double)event;
    }
    if (values) status |= add_each(each, c->weight, values, 1, rows / event);
    free(values);
    for (int s = 0; s < STRIPS; s++) sum += parts[s];
    *mean = sum / (double)rows;
    return status;
}

/* Means over rows of sum_k a_k log softmax(logits)_k: weights of classes, as of relaxed draws, learn as well. */
typedef struct {
    Classes of;
    const REAL *share; /* a, as many as logits */
    int64_t shares;
    REAL *d_share;     /* where their gradient goes, or NULL */
    int adds;          /* whether others add to it: it was cleared before */
} Relaxed;

/* a log softmax(logits); of weight 0, what is not finite does not count. Slopes by logits are
   a_k (1 - p_k) - p_k (A - a_k), A the sum of weights: where a class is sure, both differences keep their digits. */
INLINE int relaxed(const Classes *of, int64_t i, const REAL *logit, const REAL *e, Softmax soft, REAL *d, double *sum)
{
    const Relaxed *c = (const Relaxed *)of;
    if (c->shares != of->n) return 1;
    const int64_t classes = of->classes;
    const REAL *a = c->share + i * classes, scale = of->scale;
    REAL *d_share = c->d_share ? c->d_share + i * classes : 0;
    double whole = 0;
    REAL value = 0;
    LOOP_SUM(value, whole)
    for (int64_t k = 0; k < classes; k++) {
        value += weighted(a[k], (logit[k] - soft.top) - soft.log_norm);
        whole += (double)a[k];
    }
    *sum += (double)value;
    if (d_share) {
        LOOP
        for (int64_t k = 0; k < classes; k++) {
            const REAL slope = scale * weighted_slope(a[k], (logit[k] - soft.top) - soft.log_norm);
            d_share[k] = c->adds ? d_share[k] + slope : slope;
        }
    }
    if (!d) return 0;
    int64_t sure = -1; /* a class that is likelier than all others together */
    REAL others = 0, before = 0;
    for (int64_t k = 0; k < classes; k++) sure = e[k] > soft.norm / 2 ? k : sure;
    if (sure >= 0) {
        LOOP_SUM(others)
        for (int64_t k = 0; k < classes; k++) others += k == sure ? 0 : e[k];
        before = of->adds ? d[sure] : 0;
    }
    LOOP
    for (int64_t k = 0; k < classes; k++) {
        const REAL p = e[k] * soft.r;
        const REAL slope = scale * (a[k] * (1 - p) - p * (REAL)(whole - (double)a[k]));
        d[k] = of->adds ? d[k] + slope : slope;
    }
    if (sure >= 0) {
        const REAL p = e[sure] * soft.r;
        d[sure] = before + scale * (a[sure] * (others * soft.r) - p * (REAL)(whole - (double)a[sure]));
    }
    return 0;
}

/* the size of the first batch, where the loss is a sum over it */
static double rows(const Arguments *g)
{
    return g->sum ? g->size_B : 1;
}

/* w_a_logits: expected(log_p, log_p) */
static int class_row0(const Classes *c, int64_t i, const REAL *logit, const REAL *e, Softmax soft, REAL *d, double *sum)
{
    REAL value = 0, slopes = 0;
    LOOP_SUM(value, slopes)
    for (int64_t k = 0; k < c->classes; k++) {
        const REAL log_p = (logit[k] - soft.top) - soft.log_norm;
        const REAL p = e[k] * soft.r;
        value += weighted(p, log_p);
        slopes += weighted(p, log_p);
    }
    *sum += (double)value;
    (void)i;
    if (!d) return 0;
    LOOP
    for (int64_t k = 0; k < c->classes; k++) {
        const REAL log_p = (logit[k] - soft.top) - soft.log_norm;
        const REAL p = e[k] * soft.r;
        const REAL found = c->scale * (weighted(p, log_p - slopes));
        d[k] = c->adds ? d[k] + found : found;
    }
    return 0;
}

/* E_w[log w(a|s)]: w_a_logits: expected(log_p, log_p) */
static int classes0(const Arguments *g, double *mean)
{
    Classes c = {
        .row = class_row0,
        .logits = g->in_w_a_logits,
        .n = g->n_w_a_logits,
        .classes = g->size_K,
        .d = g->d_w_a_logits,
        .adds = 0,
        .weight = rows(g),
    };
    return class_mean(&c, (int)g->threads, mean, (Each){g->each_B, g->size_B});
}

/* E_w[log r(a|s,t)]: r_a_logits: log softmax with weights a */
static int classes1(const Arguments *g, double *mean)
{
    Relaxed c = {
        .of.row = relaxed,
        .of.logits = g->in_r_a_logits,
        .of.n = g->n_r_a_logits,
        .of.classes = g->size_K,
        .of.d = g->d_r_a_logits,
        .of.adds = 0,
        .of.weight = rows(g) * (-1.0),
        .share = g->in_a,
        .shares = g->n_a,
        .d_share = g->d_a,
        .adds = 0,
    };
    return class_mean(&c.of, (int)g->threads, mean, (Each){g->each_B, g->size_B});
}

/* 0; or what stands against it: a class that is none (1), no memory (2), sizes that do not fit (3) */
int fused(const Arguments *g);
int fused(const Arguments *g)
{
    double classes_0;
    double classes_1;
    int status = 0;
    if ((status = classes0(g, &classes_0))) return status;
    if ((status = classes1(g, &classes_1))) return status;
    *g->terms[0] = (REAL)(classes_0);
    *g->terms[1] = (REAL)(classes_1);
    const double loss = classes_0 - classes_1;
    *g->loss = (REAL)(rows(g) * loss);
    return 0;
}
