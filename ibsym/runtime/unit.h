/* A(t) = log of the integral of e^(t v) over [0, 1], its derivatives A'(t) and A''(t): by their series near 0 */
#ifdef DOUBLE
#define NEAR 0.5
#else
#define NEAR 1.5f
#endif

INLINE REAL unit_cumulant(REAL t)
{
    const REAL a = absolute(t), z = t * t, safe = a < NEAR ? 1 : a;
    REAL y = R(-691.0 / 15692092416000);
    y = y * z + R(1.0 / 479001600);
    y = y * z + R(-1.0 / 9676800);
    y = y * z + R(1.0 / 181440);
    y = y * z + R(-1.0 / 2880);
    y = y * z + R(1.0 / 24);
    const REAL far = positive(t) + logarithm(-exponential_minus_one(-safe) / safe);
    return a < NEAR ? y * z + t / 2 : far;
}

INLINE REAL unit_mean(REAL t)
{
    const REAL a = absolute(t), z = t * t, safe = a < NEAR ? 1 : a;
    REAL y = R(-691.0 / 1307674368000);
    y = y * z + R(1.0 / 47900160);
    y = y * z + R(-1.0 / 1209600);
    y = y * z + R(1.0 / 30240);
    y = y * z + R(-1.0 / 720);
    y = y * z + R(1.0 / 12);
    const REAL low = 1 / safe - 1 / exponential_minus_one(safe);
    return a < NEAR ? y * t + R(0.5) : t > 0 ? 1 - low : low;
}

INLINE REAL unit_variance(REAL t)
{
    const REAL a = absolute(t), z = t * t, safe = a < NEAR ? 1 : a;
    REAL y = R(-691.0 * 11 / 1307674368000);
    y = y * z + R(9.0 / 47900160);
    y = y * z + R(-7.0 / 1209600);
    y = y * z + R(5.0 / 30240);
    y = y * z + R(-3.0 / 720);
    y = y * z + R(1.0 / 12);
    const REAL far = 1 / (safe * safe) + 1 / (exponential_minus_one(safe) * exponential_minus_one(-safe));
    return a < NEAR ? y : far;
}
