/* Loss and gradients of dib in one pass, written by ibsym 0.2.0.dev0 from the formulas in dib.py. C11; REAL is float or
   double. Inputs are contiguous; where a gradient is NULL, it is not wanted. The last axes are aligned: an operand
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
    const REAL *in_q_z_logits, *in_p_z_logits, *in_c_logits;
    const int64_t *in_c;
    REAL *d_q_z_logits, *d_p_z_logits, *d_c_logits;
    int64_t n_q_z_logits, n_p_z_logits, n_c, n_c_logits;
    int64_t size_B, size_M, size_K;
    double parameter_beta;
    double *each_B;
    int64_t sum, threads; /* whether the loss is a sum over rows */
    REAL *loss, *terms[2];
} Arguments;

/* The fields of Arguments in their order, and the terms in theirs, for the caller. */
extern const char *const fields, *const terms;
const char *const fields =
    "in_q_z_logits in_p_z_logits in_c_logits in_c d_q_z_logits d_p_z_logits d_c_logits n_q_z_logits n_p_z_logits "
    "n_c n_c_logits size_B size_M size_K parameter_beta each_B";
const char *const terms = "E_q[log p(z)]\nE_q[log p(c|z)]";

enum { OPERANDS = 1, ROWS = 1, SUMS = 1, AXES = 3, LOGARITHMS = 1 };
enum { TABLE_q_z_logits, TABLE_p_z_logits };

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

/* Means over draws and rows of sum_i p(i) sum_j p(j|i) ... w, where every p is a softmax of the logits of one variable.
   w at a draw, classes and row is sums of loops times their weights, or logarithms of softmaxes, of what is summed over
   or of what is observed. The mean is linear in w,
       so that the share of w is known before w is. A class of probability 0
   does not count, nor does its slope.
   Axes: rows, draws, and classes, class 0 next to the rows. Values are kept with the rows last and the draws first. */

enum { OF_ROWS = 1, OF_DRAWS = 2 };
#define CLASS(k) (2 + (k))
#define OF_CLASS(k) (1 << CLASS(k))
#define FEW 256 /* elements of an event, up to which those of several rows are computed together */
#define SIDE 16 /* products of such elements that are computed side by side */

typedef struct {
    const REAL *logits;
    REAL *d;              /* where their gradient goes, or NULL */
    int adds;             /* whether others add to it: it was cleared before */
    int64_t n, classes, rows;
    double *p, *log_p;    /* the softmax and its logarithm, rows last */
    double *slope;        /* of the loss by that logarithm */
    double *room;         /* two numbers a row */
} Table;

typedef struct {
    int table, own, axes; /* whose softmax; the axis of its own classes; all of its axes */
} Weights;

typedef struct {
    Weights of;
    double factor;
} Logarithm;

typedef struct Expectation Expectation;
typedef struct Observed Observed;
/* Adds values inside of all sums, and writes gradients by their shares. */
typedef int Inside(const Expectation *e, int inside, const double *shares, double scale, int threads, double *values);

struct Expectation {
    int64_t size[AXES];
    Table *tables;
    int steps, logarithms, loops;
    Weights step[AXES];          /* what sums over a class, the outermost first */
    Logarithm logarithm[LOGARITHMS];
    Loop *loop;
    const int *axes;             /* of every operand of every loop, before its event */
    const int64_t *events;
    int observations, observed_axes; /* of all that is observed */
    const Observed *observed;
    int64_t observed_cells;
    Inside *observe;
    double weight;               /* derivative of the loss by the mean */
};

INLINE double shared_by(double share, double value) { return share == 0 ? 0 : share * value; }

/* e^t for t <= 0 in double precision, to a unit in the last place; 0 where that is no normal number */
INLINE double wide_exponential(double t)
{
    const double c = t < -708.0 ? -708.0 : t, shifted = c * 1.44269504088896340736 + 0x1.8p52, n = shifted - 0x1.8p52;
    const double f = c - n * 0x1.62e42feep-1 - n * 0x1.a39ef35793c76p-33; /* c = n log 2 + f */
    double y = 1.0 / 6227020800, power;
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
    int64_t last; /* n, in the last bits of what was shifted */
    memcpy(&last, &shifted, sizeof last);
    const int64_t scaled = (int64_t)((uint64_t)(last + 1023) << 52);
    memcpy(&power, &scaled, sizeof power);
    return t < -708.0 ? 0 : (1 + (y * (f * f) + f)) * power;
}

/* The softmax of the logits of some rows, class by class, 0 where the tensors' own numbers have none so small; and its
   logarithm, which keeps its digits where a class is sure. */
static void softmax(const REAL *a, int64_t classes, int64_t rows, double *p, double *log_p, double *top, double *norm)
{
    for (int64_t b = 0; b < rows; b++) top[b] = (double)a[b * classes], norm[b] = 0;
    for (int64_t k = 0; k < classes; k++)
        for (int64_t b = 0; b < rows; b++) {
            const double t = log_p[k * rows + b] = (double)a[b * classes + k];
            top[b] = t > top[b] ? t : top[b];
        }
    for (int64_t k = 0; k < classes; k++)
        for (int64_t b = 0; b < rows; b++) log_p[k * rows + b] -= top[b];
    for (int64_t b = 0; b < rows; b++) top[b] = 0; /* from here on, whether its 1 was met, which is added last */
    for (int64_t k = 0; k < classes; k++) {
        LOOP
        for (int64_t b = 0; b < rows; b++) {
            const double e = p[k * rows + b] = wide_exponential(log_p[k * rows + b]), largest = e == 1 && top[b] == 0;
            norm[b] += largest ? 0 : e;
            top[b] += largest;
        }
    }
    for (int64_t b = 0; b < rows; b++) top[b] = log1p(norm[b]), norm[b] += 1;
    for (int64_t k = 0; k < classes; k++)
        for (int64_t b = 0; b < rows; b++) {
            const double share = p[k * rows + b] / norm[b];
            p[k * rows + b] = (REAL)share == 0 ? 0 : share;
            log_p[k * rows + b] -= top[b];
        }
}

static int softmaxes(Table *tables, int count)
{
    for (int i = 0; i < count; i++) {
        Table *t = &tables[i];
        const int64_t block = t->classes * t->rows;
        if (!t->n || !block || t->n % block) return 3;
        if (!(t->p = calloc((size_t)(3 * t->n + 2 * t->rows), sizeof(double)))) return 2;
        t->log_p = t->p + t->n, t->slope = t->log_p + t->n, t->room = t->slope + t->n;
        for (int64_t at = 0; at < t->n; at += block)
            softmax(t->logits + at, t->classes, t->rows, t->p + at, t->log_p + at, t->room, t->room + t->rows);
    }
    return 0;
}

/* gradients by the logits, from those by logarithms of softmaxes */
static int logits_slopes(Table *tables, int count, int status)
{
    for (int i = 0; i < count; i++) {
        const Table *t = &tables[i];
        const int64_t classes = t->classes, rows = t->rows;
        for (int64_t at = 0; !status && t->d && at < t->n; at += classes * rows) {
            memset(t->room, 0, sizeof(double) * (size_t)rows);
            for (int64_t k = 0; k < classes; k++)
                for (int64_t b = 0; b < rows; b++) t->room[b] += t->slope[at + k * rows + b];
            for (int64_t k = 0; k < classes; k++)
                for (int64_t b = 0; b < rows; b++) {
                    REAL *d = t->d + at + b * classes + k;
                    const double p = t->p[at + k * rows + b], slope = t->slope[at + k * rows + b];
                    *d = (REAL)(slope - shared_by(p, t->room[b]) + (t->adds ? (double)*d : 0));
                }
        }
        free(t->p);
    }
    return status;
}

/* how many values there are along some axes */
static int64_t cells(const Expectation *e, int axes)
{
    int64_t n = 1;
    for (int a = 0; a < AXES; a++) n *= axes >> a & 1 ? e->size[a] : 1;
    return n;
}

/* how far it is to the next value along each axis: first rows, then a table's own classes, other classes, draws */
static void strides(const Expectation *e, int axes, int own, int64_t *stride)
{
    int64_t n = 1;
    memset(stride, 0, sizeof(int64_t) * AXES);
    for (int i = 0; i < AXES + 1; i++) {
        const int a = i == 1 ? own : i < AXES ? i : 1;
        if (a < 0 || !(axes >> a & 1) || stride[a]) continue;
        stride[a] = n;
        n *= e->size[a];
    }
}

/* the next classes and draw along some axes; 0 after the last */
static int another(const Expectation *e, int axes, int64_t *index)
{
    for (int a = 1; a < AXES; a++) {
        if (!(axes >> a & 1)) continue;
        if (++index[a] < e->size[a]) return 1;
        index[a] = 0;
    }
    return 0;
}

static int64_t found_at(const int64_t *stride, const int64_t *index)
{
    int64_t at = 0;
    for (int a = 1; a < AXES; a++) at += stride[a] * index[a];
    return at;
}

/* The same over rows, where a value may be that of all: its stride is 0. */
INLINE void inward_rows(int64_t n, const double *share, int64_t a, const double *p, int64_t b, double *restrict to,
                        int64_t c)
{
    for (int64_t i = 0; i < n; i++) to[i * c] += share[i * a] * p[i * b];
}

INLINE void outward_rows(int64_t n, const double *share, int64_t a, const double *p, int64_t b, const double *value,
                         int64_t c, double scale, double *restrict sum, double *restrict slope)
{
    for (int64_t i = 0; i < n; i++) {
        const double part = shared_by(p[i * b], value[i * c]);
        sum[i * a] += part;
        slope[i * b] += shared_by(scale * share[i * a], part);
    }
}

/* what is outside of a sum times the probabilities: the shares of what is inside */
static void inward(const Expectation *e, Weights w, int outside, int inside, const double *shares, double *to)
{
    int64_t index[AXES] = {0}, out[AXES], in[AXES], own[AXES];
    const int64_t n = (inside | w.axes) & OF_ROWS ? e->size[0] : 1;
    strides(e, outside, -1, out);
    strides(e, inside, -1, in);
    strides(e, w.axes, w.own, own);
    do {
        const double *share = shares + found_at(out, index), *p = e->tables[w.table].p + found_at(own, index);
        double *here = to + found_at(in, index);
        if (out[0] & own[0] & in[0]) inward_rows(n, share, 1, p, 1, here, 1);
        else inward_rows(n, share, out[0], p, own[0], here, in[0]);
    } while (another(e, inside | w.axes, index));
}

/* the sum of what is inside by its probabilities, and the slope by their logarithms */
static void outward(const Expectation *e, Weights w, int outside, int inside, const double *shares, double scale,
                    const double *values, double *to)
{
    int64_t index[AXES] = {0}, out[AXES], in[AXES], own[AXES];
    const int64_t n = (inside | w.axes) & OF_ROWS ? e->size[0] : 1;
    strides(e, outside, -1, out);
    strides(e, inside, -1, in);
    strides(e, w.axes, w.own, own);
    do {
        const double *p = e->tables[w.table].p + found_at(own, index), *value = values + found_at(in, index);
        const double *share = shares + found_at(out, index);
        double *sum = to + found_at(out, index), *slope = e->tables[w.table].slope + found_at(own, index);
        if (out[0] & own[0] & in[0]) outward_rows(n, share, 1, p, 1, value, 1, scale, sum, slope);
        else outward_rows(n, share, out[0], p, own[0], value, in[0], scale, sum, slope);
    } while (another(e, inside | w.axes, index));
}

/* a logarithm as a value inside of all sums; its slope is the share */
static void logarithm_inside(const Expectation *e, Logarithm l, int inside, const double *shares, double scale,
                             double *values)
{
    int64_t index[AXES] = {0}, in[AXES], own[AXES];
    strides(e, inside, -1, in);
    strides(e, l.of.axes, l.of.own, own);
    do {
        const int64_t at = found_at(own, index);
        const double *log_p = e->tables[l.of.table].log_p + at, *share = shares + found_at(in, index);
        double *value = values + found_at(in, index), *slope = e->tables[l.of.table].slope + at;
        for (int64_t b = 0; b < (inside & OF_ROWS ? e->size[0] : 1); b++) {
            value[b * in[0]] += l.factor * log_p[b * own[0]];
            slope[b * own[0]] += scale * l.factor * share[b * in[0]];
        }
    } while (another(e, inside, index));
}

/* one event of a loop, of which gradients are wanted times its share */
static double alone(const Loop *loop, int64_t event, double share)
{
    Loop one = *loop;
    double sums[SUMS] = {0}, value = 0;
    for (int m = 0; m < one.sums; m++) one.scale[m] = (REAL)(one.weight[m] * share);
    strip(&one, 0, event, sums);
    for (int m = 0; m < one.sums; m++) value += one.weight[m] * sums[m];
    return value;
}

INLINE double added_up(const REAL *x, int n)
{
    double sum = 0;
    LOOP_SUM(sum)
    for (int j = 0; j < n; j++) sum += (double)x[j];
    return sum;
}

/* (1 + x_1) (1 + x_2) ... - 1, which loses no digit of small numbers: some products side by side, then theirs */
INLINE double compounded(const REAL *x, int n)
{
    double part[SIDE] = {0}, whole = 0;
    for (int from = 0; from < n; from += SIDE) {
        const int width = n - from < SIDE ? n - from : SIDE;
        if (width == SIDE) {
            LOOP
            for (int j = 0; j < SIDE; j++) part[j] += (double)x[from + j] + part[j] * (double)x[from + j];
        } else {
            for (int j = 0; j < width; j++) part[j] += (double)x[from + j] + part[j] * (double)x[from + j];
        }
    }
    for (int j = 0; j < SIDE; j++) whole += part[j] + whole * part[j];
    return whole;
}

/* Small events of some rows side by side, so that no lane is idle; their gradients get the rows' shares afterwards. */
static void together(const Loop *loop, const int *axes, int64_t event, int64_t rows, const double *share, double *value)
{
    REAL copy[OPERANDS][CHUNK], part[OPERANDS][CHUNK], last[OPERANDS][LANES] = {{0}}, row[ROWS][LANES];
    const REAL *in[OPERANDS] = {0};
    REAL *d[OPERANDS] = {0};
    double sums[ROWS] = {0};
    int64_t b = 0, left = event; /* the row, and how many of its elements are still to come */
    for (int o = 0; o < loop->operands; o++) {
        in[o] = axes[o] & OF_ROWS ? loop->in[o] : window(loop->in[o], event, 0, event * rows, copy[o]);
        d[o] = part[o];
    }
    for (int64_t done = 0; done < event * rows; done += LANES) {
        const int n = (int)(event * rows - done < LANES ? event * rows - done : LANES);
        for (int o = 0; o < loop->operands && n < LANES; o++) in[o] = memcpy(last[o], in[o], sizeof(REAL) * (size_t)n);
        memset(row, 0, sizeof row);
        loop->span[loop->want](in, d, loop->scale, row);
        for (int o = 0; o < loop->operands; o++) in[o] += LANES, d[o] += LANES;
        for (int from = 0; from < n;) {
            const int to = n - from < left ? n : from + (int)left;
            for (int r = 0; r < loop->rows; r++) {
                const double x = loop->factor[r] != 0 ? compounded(row[r] + from, to - from)
                    : added_up(row[r] + from, to - from);
                sums[r] += loop->factor[r] != 0 ? x + sums[r] * x : x;
            }
            left -= to - from, from = to;
            if (left) continue;
            double w = 0;
            for (int r = 0; r < loop->rows; r++) {
                w += loop->weight[loop->sum[r]] * (loop->factor[r] != 0 ? loop->factor[r] * log1p(sums[r]) : sums[r]);
                sums[r] = 0;
            }
            value[b] += share[b] == 0 ? 0 : w;
            b++, left = event;
        }
    }
    for (int o = 0; o < loop->operands; o++)
        for (int64_t i = 0; loop->d[o] && i < rows; i++) {
            const REAL *rough = part[o] + i * event, c = (REAL)share[i];
            const int64_t at = axes[o] & OF_ROWS ? i * event : 0;
            double *sum = loop->repeated[o] ? loop->repeated[o] + at : 0;
            REAL *to = loop->d[o] + at;
            if (c == 0) {
                if (!sum && !loop->shared[o]) memset(to, 0, sizeof(REAL) * (size_t)event);
            } else if (sum) {
                for (int64_t j = 0; j < event; j++) sum[j] += (double)(c * rough[j]);
            } else if (loop->shared[o]) {
                for (int64_t j = 0; j < event; j++) to[j] += c * rough[j];
            } else {
                for (int64_t j = 0; j < event; j++) to[j] = c * rough[j];
            }
        }
}

/* Adds the values of a loop at rows from..to of one draw and of one class of each axis. */
static void of_rows(const Loop *loop, const int *axes, int64_t event, int64_t from, int64_t to, const double *share,
                    double scale, double *value)
{
    Loop one = *loop;
    for (int o = 0; o < one.operands; o++) one.n[o] = event, one.shared[o] |= one.repeated[o] != 0;
    one.size = event;
    if (event <= FEW) {
        for (int m = 0; m < one.sums; m++) one.scale[m] = (REAL)(one.weight[m] * scale);
        for (int o = 0; o < one.operands; o++) {
            const int64_t at = axes[o] & OF_ROWS ? from * event : 0;
            one.in[o] += at;
            if (one.repeated[o]) one.repeated[o] += at;
            if (one.d[o]) one.d[o] += at;
        }
        together(&one, axes, event, to - from, share + from, value + from);
        return;
    }
    for (int64_t b = from; b < to; b++) {
        Loop here = one;
        for (int o = 0; o < one.operands; o++) {
            const int64_t at = axes[o] & OF_ROWS ? b * event : 0;
            here.in[o] += at;
            if (here.repeated[o]) here.repeated[o] += at;
            if (here.d[o]) here.d[o] += at;
            if (share[b] == 0 && here.d[o] && !here.shared[o]) memset(here.d[o], 0, sizeof(REAL) * (size_t)event);
        }
        if (share[b] != 0) value[b] += alone(&here, event, share[b] * scale);
    }
}

/* the values of a loop inside of all sums; gradients of what repeats are added up in double precision */
static int values_of(const Expectation *e, int l, int inside, const double *shares, double scale, int threads,
                     double *values)
{
    Loop loop = e->loop[l];
    const int *axes = e->axes + l * OPERANDS;
    const int64_t event = e->events[l], all = cells(e, inside) * event, rows = inside & OF_ROWS ? e->size[0] : 1;
    const int64_t tile = event && event <= FEW ? CHUNK / event : 1, tiles = (rows + tile - 1) / tile;
    int64_t in[AXES], stride[OPERANDS][AXES];
    int status = 0, serial = 0;
    strides(e, inside, -1, in);
    for (int o = 0; o < loop.operands; o++) {
        const int one_draw = loop.n[o] != event * cells(e, axes[o]);
        strides(e, one_draw ? axes[o] & ~OF_DRAWS : axes[o], -1, stride[o]);
        if (!loop.d[o]) continue;
        if (loop.want < loop.level[o]) loop.want = loop.level[o];
        if (loop.n[o] == all) continue;
        if (!(loop.repeated[o] = calloc((size_t)loop.n[o], sizeof(double)))) status = 2;
        serial |= !(axes[o] & OF_ROWS);
    }
    PARALLEL(threads > 1 && all >= WORTHWHILE && !serial)
    for (int64_t t = 0; t < (status ? 0 : tiles); t++) {
        int64_t index[AXES] = {0};
        do {
            Loop here = loop;
            for (int o = 0; o < loop.operands; o++) {
                const int64_t at = event * found_at(stride[o], index);
                here.in[o] += at;
                if (here.repeated[o]) here.repeated[o] += at;
                if (here.d[o]) here.d[o] += at;
            }
            const int64_t at = found_at(in, index), to = (t + 1) * tile < rows ? (t + 1) * tile : rows;
            of_rows(&here, axes, event, t * tile, to, shares + at, scale, values + at);
        } while (another(e, inside, index));
    }
    for (int o = 0; o < loop.operands; o++) {
        double *from = loop.repeated[o];
        REAL *to = loop.d[o];
        for (int64_t i = 0; from && i < loop.n[o]; i++) to[i] = (REAL)(from[i] + (loop.shared[o] ? (double)to[i] : 0));
        free(from);
    }
    (void)threads, (void)all, (void)serial;
    return status;
}

/* Learns the number of draws from what has some; 3 where it fits no other. */
static int drawn(Expectation *e, int *axes, int64_t n, int64_t event)
{
    const int64_t one = event * cells(e, *axes & ~OF_DRAWS);
    if (!one || !n || n % one) return 3;
    if (n == one) *axes &= ~OF_DRAWS;
    else if (!(*axes & OF_DRAWS) || (e->size[1] != 1 && e->size[1] != n / one)) return 3;
    else e->size[1] = n / one;
    return 0;
}

static int mean_over_classes(Expectation e, int threads, double *mean, Each each)
{
    int axes[AXES + 1], inside = 0, status = 0; /* of the values inside of the first few sums */
    e.size[1] = 1;
    for (int i = 0; i < e.steps; i++) status |= drawn(&e, &e.step[i].axes, e.tables[e.step[i].table].n, 1);
    for (int i = 0; i < e.logarithms; i++) {
        status |= drawn(&e, &e.logarithm[i].of.axes, e.tables[e.logarithm[i].of.table].n, 1);
        inside |= e.logarithm[i].of.axes;
    }
    for (int l = 0; l < e.loops; l++)
        for (int o = 0; o < e.loop[l].operands; o++) {
            int own = e.axes[l * OPERANDS + o];
            status |= drawn(&e, &own, e.loop[l].n[o], e.events[l]);
            inside |= own;
        }
    if (e.observations) {
        status |= drawn(&e, &e.observed_axes, e.observed_cells, 1);
        inside |= e.observed_axes;
    }
    if (status) return 3;
    int64_t room = cells(&e, axes[e.steps] = inside);
    for (int i = e.steps - 1; i >= 0; i--) {
        axes[i] = (axes[i + 1] | e.step[i].axes) & ~(1 << e.step[i].own);
        room += cells(&e, axes[i]);
    }
    double *value[AXES + 1], *share[AXES + 1], *memory = calloc((size_t)room, 2 * sizeof(double));
    if (!memory) return 2;
    value[0] = memory, share[0] = memory + room;
    for (int i = 0; i < e.steps; i++) {
        value[i + 1] = value[i] + cells(&e, axes[i]);
        share[i + 1] = share[i] + cells(&e, axes[i]);
    }
    const int64_t n = cells(&e, axes[0]);
    const double scale = e.weight / (double)n;
    for (int64_t i = 0; i < n; i++) share[0][i] = 1;
    for (int i = 0; i < e.steps; i++) inward(&e, e.step[i], axes[i], axes[i + 1], share[i], share[i + 1]);
    for (int i = 0; i < e.logarithms; i++)
        logarithm_inside(&e, e.logarithm[i], inside, share[e.steps], scale, value[e.steps]);
    for (int l = 0; l < e.loops && !status; l++)
        status = values_of(&e, l, inside, share[e.steps], scale, threads, value[e.steps]);
    if (e.observations && !status) status = e.observe(&e, inside, share[e.steps], scale, threads, value[e.steps]);
    for (int i = e.steps - 1; i >= 0; i--)
        outward(&e, e.step[i], axes[i], axes[i + 1], share[i], scale, value[i + 1], value[i]);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += value[0][i];
    *mean = sum / (double)n;
    if (each.loss && !status) status = add_each(each, e.weight, value[0], 1, n);
    free(memory);
    return status;
}

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

/* the size of the first batch, where the loss is a sum over it */
static double rows(const Arguments *g)
{
    return g->sum ? g->size_B : 1;
}

/* E_q[log p(z)]: the sum over classes by softmax(q_z_logits) */
static int mixed0(const Arguments *g, Table *tables, double *mean)
{
    const Expectation e = {
        .size = {g->size_B, 1, g->size_M},
        .tables = tables,
        .steps = 1,
        .step = { {TABLE_q_z_logits, CLASS(0), OF_ROWS | OF_CLASS(0)} },
        .logarithms = 1,
        .logarithm = { { {TABLE_p_z_logits, CLASS(0), OF_CLASS(0)}, 1.0 } },
        .weight = rows(g) * (-1.0),
    };
    return mean_over_classes(e, (int)g->threads, mean, (Each){g->each_B, g->size_B});
}

/* all exact sums over classes: the softmaxes first, their slopes last */
static int mixed(const Arguments *g, double *means)
{
    Table tables[] = {
        [TABLE_q_z_logits] = {
            .logits = g->in_q_z_logits,
            .d = g->d_q_z_logits,
            .adds = 0,
            .n = g->n_q_z_logits,
            .classes = g->size_M,
            .rows = g->size_B,
        },
        [TABLE_p_z_logits] = {
            .logits = g->in_p_z_logits,
            .d = g->d_p_z_logits,
            .adds = 0,
            .n = g->n_p_z_logits,
            .classes = g->size_M,
            .rows = 1,
        },
    };
    int status = softmaxes(tables, 2);
    if (!status) status = mixed0(g, tables, &means[0]);
    return logits_slopes(tables, 2, status);
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
        .weight = rows(g) * (-g->parameter_beta),
    };
    return class_mean(&c, (int)g->threads, mean, (Each){g->each_B, g->size_B});
}

/* 0; or what stands against it: a class that is none (1), no memory (2), sizes that do not fit (3) */
int fused(const Arguments *g);
int fused(const Arguments *g)
{
    double by_class[1] = {0};
    double classes_0;
    int status = 0;
    if ((status = mixed(g, by_class))) return status;
    if ((status = classes0(g, &classes_0))) return status;
    *g->terms[0] = (REAL)(by_class[0]);
    *g->terms[1] = (REAL)(classes_0);
    const double loss = -by_class[0] - g->parameter_beta * classes_0;
    *g->loss = (REAL)(rows(g) * loss);
    return 0;
}
