/* log of the mass of a cell, F(d + w) - F(d - w), and its slopes by d (shift) and w (growth), in double precision for
   either type. Of the standard normal law: where the cell is narrow, w <= 1 and |d| w <= 2, the mean of cosh(d t) e^(-t t / 2) over
   [0, w] by Gauss and Legendre; elsewhere the far tail is at most a fifth of the near one. */
static const double places[8] = {0.019855071751231912, 0.10166676129318664, 0.2372337950418355, 0.40828267875217511, 0.59171732124782483, 0.7627662049581645, 0.89833323870681336, 0.98014492824876809};
static const double weights[8] = {0.050614268145188532, 0.11119051722668721, 0.15685332293894344, 0.18134189168918083, 0.18134189168918083, 0.15685332293894344, 0.11119051722668721, 0.050614268145188532};

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

/* log of the mass; *edge is phi(|d| - w) / mass */
INLINE double normal_cell(double d, double w, double *edge)
{
    const double x = fabs(d);
    if (w >= 0 && w <= 1 && x * w <= 2) {
        double mean = 0;
        for (int k = 0; k < 8; k++) {
            const double t = w * places[k];
            mean += weights[k] * cosh(x * t) * exp(-t * t / 2);
        }
        *edge = exp(x * w - w * w / 2) / (2 * w * mean);
        return log(2 * w * mean) - x * x / 2 - 0.91893853320467274178;
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
    return (REAL)(edge * (1 + exp(-2 * fabs((double)d) * (double)w)));
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
