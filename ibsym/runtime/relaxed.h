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
