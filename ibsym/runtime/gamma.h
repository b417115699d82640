/* log Gamma, its derivative psi and that one's derivative, for t >= 0, NaN below: eight steps up the recurrence
   where t is small, then Stirling's series, in double precision */
INLINE double raised(double t) { return t < 8 ? t + 8 : t; }

INLINE REAL log_gamma(REAL x)
{
    const double t = (double)x, y = raised(t), z = 1 / (y * y);
    double s = 1.0 / 156;
    s = s * z - 691.0 / 360360;
    s = s * z + 1.0 / 1188;
    s = s * z - 1.0 / 1680;
    s = s * z + 1.0 / 1260;
    s = s * z - 1.0 / 360;
    s = s * z + 1.0 / 12;
    double value = (y - 0.5) * (log(y) - 1) + 0.41893853320467274178 + s / y;
    if (t < 8) value -= log(t * (t + 1) * (t + 2) * (t + 3) * (t + 4) * (t + 5) * (t + 6) * (t + 7));
    return t < 0 ? (REAL)NAN : t < (double)INFINITY ? (REAL)value : x;
}

INLINE REAL digamma(REAL x)
{
    const double t = (double)x, y = raised(t), z = 1 / (y * y);
    double s = 3617.0 / 8160;
    s = s * z - 1.0 / 12;
    s = s * z + 691.0 / 32760;
    s = s * z - 1.0 / 132;
    s = s * z + 1.0 / 240;
    s = s * z - 1.0 / 252;
    s = s * z + 1.0 / 120;
    s = s * z - 1.0 / 12;
    double value = log(y) - 0.5 / y + s * z;
    if (t < 8)
        for (int k = 7; k > 0; k--) value -= 1 / (t + k);
    if (t < 8) value -= 1 / t; /* by itself, for -0 */
    return t < 0 ? (REAL)NAN : (REAL)value;
}

INLINE REAL trigamma(REAL x)
{
    const double t = (double)x, y = raised(t), z = 1 / (y * y);
    double s = -3617.0 / 510;
    s = s * z + 7.0 / 6;
    s = s * z - 691.0 / 2730;
    s = s * z + 5.0 / 66;
    s = s * z - 1.0 / 30;
    s = s * z + 1.0 / 42;
    s = s * z - 1.0 / 30;
    s = s * z + 1.0 / 6;
    double value = 1 / y + 0.5 * z + s * z / y;
    if (t < 8)
        for (int k = 7; k >= 0; k--) value += 1 / ((t + k) * (t + k));
    return t < 0 ? (REAL)NAN : (REAL)value;
}
