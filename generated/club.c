/* Loss and gradients of club in one pass, written by ibsym 0.2.0.dev0 from the formulas in club.py. C11; REAL is float
   or double. Inputs are contiguous; where a gradient is NULL, it is not wanted. The last axes are aligned: an operand
   without a leading one repeats. Sums are kept in strips of fixed sizes: the number of threads changes no digit. */
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
    const REAL *in_z, *in_z_mean, *in_z_logvar, *in_c_logits;
    const int64_t *in_c;
    REAL *d_z, *d_z_mean, *d_z_logvar, *d_c_logits;
    int64_t n_z, n_z_mean, n_z_logvar, n_c, n_c_logits;
    int64_t size_K, size_L, size_B;
    double parameter_beta;
    int64_t sum, threads; /* whether the loss is a sum over rows */
    REAL *loss, *terms[2];
} Arguments;

/* The fields of Arguments in their order, and the terms in theirs, for the caller. */
extern const char *const fields, *const terms;
const char *const fields =
    "in_z in_z_mean in_z_logvar in_c_logits in_c d_z d_z_mean d_z_logvar d_c_logits n_z n_z_mean n_z_logvar n_c "
    "n_c_logits size_K size_L size_B parameter_beta";
const char *const terms = "I_q(X;Z)\nE_q[log p(c|z)]";

enum { COLUMNS = 2, HOISTED = 3 };

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

/* Sums over all pairs of a row's value and a column's parameters, in tiles: of the table, one matrix is kept.
   What is read off it: a row's log-sum-exp of the sum over coordinates (together) or of each coordinate (apart), the
   diagonal (own), the mean off it (off), the mean of a function of an entry (mapped). */
enum { TOGETHER, OWN, OFF, MAPPED, APART, KINDS };
/* how columns count in a row's mixture: alike; all but its own; by strata of the data; by weights */
enum { EVERY, EXCLUDE, STRATIFIED, WEIGHTED };

typedef struct Pairs Pairs;
/* The formula of one coordinate for one row and every column, written or added to out. */
typedef void Values(REAL *out, int adds, int64_t columns, REAL v, REAL *const *at);
/* Its derivatives, times each entry's weight: the row's is returned, the columns' are added to d. */
typedef double Slopes(const REAL *weights, int64_t columns, REAL v, REAL *const *at, REAL *const *d);
/* What knows the columns only, computed once a coordinate, after the parameters. */
typedef void Hoist(int64_t columns, REAL *const *at);
/* The sum of a function of a row's entries, which become its derivatives times the scale; i: its own column. */
typedef double Map(const Arguments *g, REAL *a, int64_t columns, int64_t i, REAL scale);

struct Pairs {
    const Arguments *g;
    int kind[KINDS];        /* what is read off */
    double weight[KINDS];   /* derivative of the loss by each mean */
    Values *values;
    Slopes *slopes;
    Hoist *hoist;
    Map *map;
    int columns, hoisted;   /* parameters of a column, and what is computed from them */
    const REAL *row, *in[COLUMNS];
    int64_t n_row, n;       /* elements of the rows' values, and of each parameter */
    REAL *d_row, *d[COLUMNS];
    int64_t width;          /* coordinates */
    int pooled;             /* whether draws count as rows; else each draw has a table of its own */
    int mask;
    double total;           /* rows of the data, for strata */
    const REAL *log_weight; /* of every column */
    double *slope;          /* of the loss by that, or NULL */
};

/* log w_ij, by which column j counts in row i's mixture */
INLINE REAL pair_mask(const Pairs *p, int64_t i, int64_t j, int64_t columns)
{
    if (p->mask == EXCLUDE) return i == j ? -INFINITY : 0;
    const double others = (double)(columns - 1), total = p->total;
    const double next = log((total - others) / (total * others));
    return (REAL)(i == j ? -log(total) : j == (i + 1) % columns ? next : -log(others));
}

INLINE void pair_masked(const Pairs *p, REAL *a, int64_t i, int64_t columns)
{
    if (p->mask == EVERY) return;
    for (int64_t j = 0; p->mask == WEIGHTED && j < columns; j++) a[j] += p->log_weight[j];
    if (p->mask == WEIGHTED) return;
    for (int64_t j = 0; j < columns; j++) a[j] += pair_mask(p, i, j, columns);
}

/* a row's log-sum-exp, and its softmax times a number in place */
INLINE double pair_softmax(REAL *a, int64_t columns, REAL scale)
{
    REAL top = a[0], sum = 0;
    LOOP_MAX(top)
    for (int64_t j = 0; j < columns; j++) top = a[j] > top ? a[j] : top;
    if (top == -INFINITY) top = 0; /* every density is 0: so is every share */
    LOOP_SUM(sum)
    for (int64_t j = 0; j < columns; j++) {
        const REAL e = exponential_of_difference(a[j] - top);
        a[j] = e;
        sum += e;
    }
    const REAL share = sum > 0 || sum != sum ? scale / sum : 0;
    LOOP
    for (int64_t j = 0; j < columns; j++) a[j] *= share;
    return (double)top + log((double)sum);
}

/* What is read off row i of the matrix, which becomes the derivative of the loss by its entries. */
INLINE void pair_row(const Pairs *p, REAL *a, int64_t i, int64_t columns, const REAL *scale, double *sums)
{
    const REAL own = p->kind[OWN] ? a[i] : 0; /* a row may have fewer columns than there are rows */
    sums[OWN] += (double)own;
    if (p->kind[OFF]) {
        double off = 0;
        for (int64_t j = 0; j < columns; j++) off += (double)(i == j ? 0 * a[j]
                                                              : a[j]); /* an infinite entry makes NaN */
        sums[OFF] += off;
    }
    if (p->kind[TOGETHER]) {
        pair_masked(p, a, i, columns);
        sums[TOGETHER] += pair_softmax(a, columns, scale[TOGETHER]);
    } else if (p->kind[MAPPED]) {
        sums[MAPPED] += p->map(p->g, a, columns, p->mask == EXCLUDE ? i : -1, scale[MAPPED]);
    } else {
        for (int64_t j = 0; j < columns; j++) a[j] = 0;
    }
    if (p->kind[OFF])
        for (int64_t j = 0; j < columns; j++) a[j] += i == j ? 0 : scale[OFF];
    if (p->kind[OWN]) a[i] += scale[OWN];
}

/* One draw: values, then slopes, both in blocks of rows. `at` are the columns' parameters and `slope` their gradients,
   each a plane of coordinates by columns; a block's gradients are added to `slope` in double precision. `sums` has
   KINDS places for every row, `apart` one for every coordinate; `by_row` is NULL,
       or has one for every row of a strip. */
static void pair_table(const Pairs *p, int64_t draw, int64_t rows, int64_t columns, int threads, REAL *const *at,
                       double *const *slope, REAL *matrix, REAL *rooms, const REAL *scale, double *sums, double *apart,
                           double *by_row)
{
    const int64_t width = p->width, blocks = (rows + BLOCK - 1) / BLOCK, strips = width < STRIPS ? width : STRIPS;
    const REAL *row = p->row + draw * rows * width;
    REAL *d_row = p->d_row ? p->d_row + draw * rows * width : 0;
    const int busy = threads > 1 && rows * columns * width >= WORTHWHILE;
    int want = p->d_row != 0;
    for (int c = 0; c < p->columns; c++) want |= p->d[c] != 0;
    if (matrix) {
        PARALLEL(busy)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t from = block * BLOCK, to = from + BLOCK < rows ? from + BLOCK : rows;
            for (int64_t k = 0; k < width; k++) {
                REAL *here[COLUMNS + HOISTED] = {0};
                for (int c = 0; c < p->columns + p->hoisted; c++) here[c] = at[c] + k * columns;
                for (int64_t i = from; i < to; i++)
                    p->values(matrix + i * columns, k > 0, columns, row[i * width + k], here);
            }
            for (int64_t i = from; i < to; i++) pair_row(p, matrix + i * columns, i, columns, scale, sums + i * KINDS);
        }
    }
    for (int64_t i = 0; p->slope && i < rows; i++)
        for (int64_t j = 0; j < columns; j++) p->slope[j] += (double)matrix[i * columns + j];
    if (!p->kind[APART] && !want) return;
    PARALLEL(busy)
    for (int64_t s = 0; s < strips; s++) {
        REAL *e = rooms + s * columns * (1 + COLUMNS);
        memset(e, 0, sizeof(REAL) * (size_t)columns * (1 + COLUMNS));
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t from = block * BLOCK, to = from + BLOCK < rows ? from + BLOCK : rows;
            for (int64_t k = width * s / strips; k < width * (s + 1) / strips; k++) {
                REAL *here[COLUMNS + HOISTED] = {0}, *d[COLUMNS] = {0};
                for (int c = 0; c < p->columns + p->hoisted; c++) here[c] = at[c] + k * columns;
                for (int c = 0; c < p->columns; c++) d[c] = e + columns * (1 + c);
                for (int64_t i = from; i < to; i++) {
                    const REAL v = row[i * width + k], *weights = matrix ? matrix + i * columns : 0;
                    if (p->kind[APART]) {
                        p->values(e, 0, columns, v, here);
                        pair_masked(p, e, i, columns);
                        const double value = pair_softmax(e, columns, scale[APART]);
                        apart[k] += value;
                        if (by_row) by_row[s * rows + i] += value;
                        if (!want) continue;
                        for (int64_t j = 0; weights && j < columns; j++) e[j] += weights[j];
                        weights = e;
                    }
                    const double found = p->slopes(weights, columns, v, here, d);
                    if (d_row) d_row[i * width + k] += (REAL)found;
                }
                for (int c = 0; c < p->columns; c++)
                    for (int64_t j = 0; j < columns; j++) {
                        slope[c][k * columns + j] += (double)d[c][j];
                        d[c][j] = 0;
                    }
            }
        }
    }
    (void)threads, (void)busy;
}

/* The means of all that is read off. */
static int pairs(const Pairs *p, int threads, double *means, Each each)
{
    const int64_t width = p->width, columns = width ? p->n / width : 0;
    const int64_t all = width ? p->n_row / width : 0, rows = p->pooled ? all : columns;
    if (!columns || !rows || all % rows) return 3;
    if (each.loss && (p->kind[OFF] || p->kind[MAPPED])) return 3;
    const int others = p->mask == EXCLUDE || p->mask == STRATIFIED || p->kind[OFF];
    if (columns < 2 && others) return 3;
    const size_t line = (size_t)columns, plane = line * (size_t)width, planes = (size_t)(p->columns + p->hoisted);
    const int tabled = p->kind[TOGETHER] || p->kind[OWN] || p->kind[OFF] || p->kind[MAPPED];
    REAL *work = malloc(sizeof(REAL) * (plane * planes + (tabled ? (size_t)rows * line : 0)));
    REAL *rooms = malloc(sizeof(REAL) * STRIPS * line * (1 + COLUMNS));
    double *sums = calloc((size_t)(rows * KINDS + width) + plane * (size_t)p->columns, sizeof(double));
    const int64_t parts = each.loss && p->kind[APART] ? (width < STRIPS ? width : STRIPS) : 0;
    double *by_row = parts ? calloc((size_t)(parts * rows), sizeof(double)) : 0;
    if (!work || !sums || !rooms || (parts && !by_row)) {
        free(work), free(sums), free(rooms), free(by_row);
        return 2;
    }
    REAL *at[COLUMNS + HOISTED] = {0}, *matrix = tabled ? work + plane * planes : 0;
    double *slope[COLUMNS] = {0};
    for (int c = 0; c < p->columns + p->hoisted; c++) at[c] = work + plane * (size_t)c;
    for (int c = 0; c < p->columns; c++) slope[c] = sums + rows * KINDS + width + plane * (size_t)c;
    double *apart = sums + rows * KINDS, count[KINDS];
    REAL scale[KINDS];
    for (int m = 0; m < KINDS; m++) {
        const int off = m == OFF || (m == MAPPED && p->mask == EXCLUDE);
        count[m] = (double)all * (off ? (double)(columns - 1) : m == MAPPED ? (double)columns : 1);
        scale[m] = (REAL)(p->weight[m] / count[m]);
    }
    PARALLEL(threads > 1 && width * columns >= WORTHWHILE)
    for (int64_t k = 0; k < width; k++) {
        REAL *here[COLUMNS + HOISTED] = {0};
        for (int c = 0; c < p->columns + p->hoisted; c++) here[c] = at[c] + k * columns;
        for (int c = 0; c < p->columns; c++)
            for (int64_t j = 0; j < columns; j++) here[c][j] = p->in[c][j * width + k];
        if (p->hoist) p->hoist(columns, here);
    }
    for (int64_t draw = 0; draw < all / rows; draw++)
        pair_table(p, draw, rows, columns, threads, at, slope, matrix, rooms, scale, sums, apart, by_row);
    for (int c = 0; c < p->columns; c++)
        if (p->d[c])
            for (int64_t j = 0; j < columns; j++)
                for (int64_t k = 0; k < width; k++) p->d[c][j * width + k] += (REAL)slope[c][k * columns + j];
    for (int m = 0; m < KINDS; m++) {
        double sum = 0;
        if (m == APART)
            for (int64_t k = 0; k < width; k++) sum += apart[k];
        else
            for (int64_t i = 0; i < rows; i++) sum += sums[i * KINDS + m];
        means[m] = sum / count[m];
    }
    int status = 0;
    if (each.loss) {
        for (int64_t e = rows; e < parts * rows; e++) by_row[e % rows] += by_row[e];
        for (int m = 0; m < KINDS && !status; m++)
            if (p->kind[m])
                status = add_each(each, p->weight[m] * (double)rows / count[m], m == APART ? by_row : sums + m,
                                  m == APART ? 1 : KINDS, rows);
    }
    free(work), free(sums), free(rooms), free(by_row);
    return status;
}

/* the size of the first batch, where the loss is a sum over it */
static double rows(const Arguments *g)
{
    return g->sum ? g->size_B : 1;
}

/* E_q[log p(c|z)]: c_logits: log softmax picked by the index */
static int classes0(const Arguments *g, double *mean)
{
    Classes c = {
        .row = picked,
        .logits = g->in_c_logits,
        .n = g->n_c_logits,
        .classes = g->size_K,
        .index = g->in_c,
        .indices = g->n_c,
        .d = g->d_c_logits,
        .adds = 0,
        .weight = rows(g) * (-1.0),
    };
    return class_mean(&c, (int)g->threads, mean, (Each){0});
}

/* I_q(X;Z), over pairs: -of column z_logvar/2 - quadratic(z - of column z_mean, of column z_logvar)/2 - log(2*pi)/2 */
static void values0(REAL *restrict out, int adds, int64_t columns, REAL v_z, REAL *const *at)
{
    const REAL *restrict at_w_z_mean = at[1];
    const REAL *restrict at_h0 = at[2];
    const REAL *restrict at_h1 = at[3];
    const REAL *restrict at_h2 = at[4];
    LOOP
    for (int64_t j = 0; j < columns; j++) {
        const REAL w_z_mean = at_w_z_mean[j];
        const REAL h0 = at_h0[j];
        const REAL h1 = at_h1[j];
        const REAL h2 = at_h2[j];
        const REAL t0 = v_z - w_z_mean;
        out[j] = h2 - R(0.5) * ((t0 * h0) * (t0 * h1)) + (adds ? out[j] : 0);
    }
}

static double slopes0(const REAL *weights, int64_t columns, REAL v_z, REAL *const *at, REAL *const *d)
{
    const REAL *restrict at_w_z_mean = at[1];
    const REAL *restrict at_h0 = at[2];
    const REAL *restrict at_h1 = at[3];
    REAL *restrict d_z_logvar = d[0];
    REAL *restrict d_z_mean = d[1];
    double total = 0;
    for (int64_t from = 0; from < columns; from += PANEL) {
        const int64_t to = columns - from < PANEL ? columns : from + PANEL;
        REAL slope = 0;
        LOOP_SUM(slope)
        for (int64_t j = from; j < to; j++) {
            const REAL weight = weights[j];
            const REAL w_z_mean = at_w_z_mean[j];
            const REAL h0 = at_h0[j];
            const REAL h1 = at_h1[j];
            const REAL t0 = v_z - w_z_mean;
            const REAL t1 = weight * (t0 * h0);
            const REAL t2 = t1 * h1;
            slope += -t2;
            d_z_logvar[j] += R(0.5) * (t1 * (t0 * h1)) - R(0.5) * weight;
            d_z_mean[j] += t2;
        }
        total += (double)slope;
    }
    return total;
}

static void hoist0(int64_t columns, REAL *const *at)
{
    const REAL *restrict at_w_z_logvar = at[0];
    REAL *restrict at_h0 = at[2];
    REAL *restrict at_h1 = at[3];
    REAL *restrict at_h2 = at[4];
    LOOP
    for (int64_t j = 0; j < columns; j++) {
        const REAL w_z_logvar = at_w_z_logvar[j];
        at_h0[j] = exponential_first(-w_z_logvar);
        at_h1[j] = exponential_second(-w_z_logvar);
        at_h2[j] = -R(0.5) * w_z_logvar - R(0.9189385332046728);
    }
}

static int pairs0(const Arguments *g, double *means)
{
    const Pairs p = {
        .g = g,
        .kind = {[OWN] = 1, [OFF] = 1},
        .weight = {[OWN] = rows(g) * (g->parameter_beta), [OFF] = rows(g) * (-g->parameter_beta)},
        .values = values0,
        .slopes = slopes0,
        .hoist = hoist0,
        .columns = 2,
        .hoisted = 3,
        .row = g->in_z,
        .in = {g->in_z_logvar, g->in_z_mean},
        .n_row = g->n_z,
        .n = g->n_z_logvar,
        .d_row = g->d_z,
        .d = {g->d_z_logvar, g->d_z_mean},
        .width = g->size_L,
        .pooled = 0,
        .mask = EVERY,
        .total = 0,
    };
    return pairs(&p, (int)g->threads, means, (Each){0});
}

/* 0; or what stands against it: a class that is none (1), no memory (2), sizes that do not fit (3) */
int fused(const Arguments *g);
int fused(const Arguments *g)
{
    if (g->d_z) memset(g->d_z, 0, sizeof(REAL) * (size_t)g->n_z);
    if (g->d_z_mean) memset(g->d_z_mean, 0, sizeof(REAL) * (size_t)g->n_z_mean);
    if (g->d_z_logvar) memset(g->d_z_logvar, 0, sizeof(REAL) * (size_t)g->n_z_logvar);
    double classes_0;
    double pairs_0[KINDS];
    int status = 0;
    if ((status = pairs0(g, pairs_0))) return status;
    if ((status = classes0(g, &classes_0))) return status;
    *g->terms[0] = (REAL)(pairs_0[OWN] - 1.0 * pairs_0[OFF]);
    *g->terms[1] = (REAL)(classes_0);
    const double loss = g->parameter_beta * (pairs_0[OWN] - 1.0 * pairs_0[OFF]) - classes_0;
    *g->loss = (REAL)(rows(g) * loss);
    return 0;
}
