/* where a formula holds: NaN below 0; infinity beyond 0; x or an edge that is open; 1 at 0 */
INLINE REAL defined(REAL t) { return t < 0 ? (REAL)NAN : t; }
INLINE REAL barrier(REAL t) { return t > 0 ? (REAL)INFINITY : t <= 0 ? 0 : t; }
INLINE REAL opened(REAL t, REAL x) { return t < 0 ? x : t >= 0 ? (REAL)INFINITY : t; }
INLINE REAL opened_slope(REAL t) { return (REAL)(t < 0); }
INLINE REAL is_zero(REAL t) { return t == 0 ? 1 : t < 0 || t > 0 ? 0 : t; }
