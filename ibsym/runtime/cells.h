/* log of the mass of a cell, F(d + w) - F(d - w), and its slopes by d (shift) and w (growth), in double precision for
   either type. Of the standard normal law: where the cell is narrow, w <= 1 and |d| w <= 2, the mean of cosh(d t) e^(-t t / 2) over
   [0, w], a sum of Hermite's polynomials in d; elsewhere the far tail is at most a fifth of the near one. */
#ifdef DOUBLE
#define NARROW_TERMS 13
#else
#define NARROW_TERMS 8
#endif

/* sum_k He_2k(d) w^2k / (2k + 1)!, from s = |d| w and q = w w */
INLINE double narrow_mean(double s, double q)
{
    double before = 1, term = (s * s - q) / 6, mean = 1 + term;
    for (int k = 1; k < NARROW_TERMS; k++) {
        const double n = 2 * k, lower = q * q * ((n - 1) / (n + 1));
        const double next = ((s * s - (2 * n + 1) * q) * term - lower * before) * (1 / ((n + 2) * (n + 3)));
        before = term, term = next, mean += next;
    }
    return mean;
}

/* 1 - 1/t^2 + 3/t^4 - ..., so that Phi(-t) = phi(t)/t times it, for t >= 20 */
INLINE double tail_series(double t)
{
    const double z = 1 / (t * t);
    double s = 1;
    for (int k = 15; k > 0; k -= 2) s = 1 - k * z * s;
    return s;
}

INLINE double log_tail(double t) /* log Phi(-t) */
{
    if (t < 20) return t < -1 ? log1p(-0.5 * erfc(-t * 0.70710678118654752440)) : log(0.5 * erfc(t * 0.70710678118654752440));
    return -t * t / 2 - log(t) - 0.91893853320467274178 + log(tail_series(t));
}

INLINE double hazard(double t) /* phi(t) / Phi(-t) */
{
    if (t < 20) return 0.79788456080286535588 * exp(-t * t / 2) / erfc(t * 0.70710678118654752440);
    return t / tail_series(t);
}

/* log of the mass; *edge is phi(|d| - w) / mass. What a narrow cell takes is computed for every one, so that a compiler
   computes it once for the three below. */
INLINE double normal_cell(double d, double w, double *edge)
{
    const double x = fabs(d);
    const int narrow = w >= 0 && w <= 1 && x * w <= 2;
    const double s = narrow ? x * w : 0, q = narrow ? w * w : 0, twice = 2 * w * narrow_mean(s, q);
    const double at_edge = exp(s - q / 2) / twice, log_twice = log(twice);
    if (narrow) {
        *edge = at_edge;
        return log_twice - x * x / 2 - 0.91893853320467274178;
    }
    const double near = log_tail(x - w), gap = log_tail(x + w) - near, most = -2 * x * w;
    const double ratio = near == -(double)INFINITY ? 0 : exp(gap > most ? most : gap); /* never more, but for rounding */
    *edge = hazard(x - w) / (1 - ratio);
    return near + log1p(-ratio);
}

INLINE REAL log_normal_cell(REAL d, REAL w)
{
    double edge;
    return (REAL)normal_cell((double)d, (double)w, &edge);
}

INLINE REAL normal_cell_shift(REAL d, REAL w)
{
    double edge;
    normal_cell((double)d, (double)w, &edge);
    return (REAL)((double)sign(d) * edge * expm1(-2 * fabs((double)d) * (double)w));
}

INLINE REAL normal_cell_growth(REAL d, REAL w)
{
    double edge;
    normal_cell((double)d, (double)w, &edge);
    return (REAL)(edge * (2 + expm1(-2 * fabs((double)d) * (double)w)));
}

/* of e^-|t| / 2: e^-|d| sinh w beside the centre, 1 - e^-w cosh d around it */
INLINE REAL log_laplace_cell(REAL d, REAL w)
{
    const double x = fabs((double)d), h = (double)w;
    if (x >= h) return (REAL)(h - x + log(-expm1(-2 * h) / 2));
    return (REAL)log(-(expm1(x - h) + expm1(-x - h)) / 2);
}

INLINE REAL laplace_cell_shift(REAL d, REAL w)
{
    const double x = fabs((double)d), h = (double)w;
    if (x >= h) return -sign(d);
    return (REAL)((double)sign(d) * (exp(x - h) - exp(-x - h)) / (expm1(x - h) + expm1(-x - h)));
}

INLINE REAL laplace_cell_growth(REAL d, REAL w)
{
    const double x = fabs((double)d), h = (double)w;
    if (x >= h) return (REAL)((1 + exp(-2 * h)) / -expm1(-2 * h));
    return (REAL)(-(exp(x - h) + exp(-x - h)) / (expm1(x - h) + expm1(-x - h)));
}
