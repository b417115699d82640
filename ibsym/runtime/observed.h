/* log softmax(logits) at observed classes, summed over an event, as values inside of sums over classes. */
struct Observed {
    Classes of;
    int64_t event;        /* rows of logits of one value */
    double factor;
    const double *share;  /* of every value */
    int64_t inner, outer; /* classes that are observed, and rows of logits, at one draw */
};

/* at the class that is observed at a row's draw; where the share is 0, neither value nor slope counts */
INLINE int at_observed(const Classes *c, int64_t i, const REAL *logit, const REAL *e, Softmax soft, REAL *d, double *sum)
{
    const Observed *o = (const Observed *)c;
    const int64_t class = c->index[(i / o->outer * o->inner + i % o->inner) % c->indices];
    const double share = o->share[i / o->event];
    if (class < 0 || class >= c->classes) return 1;
    if (share != 0) return at_class(c, class, (REAL)(c->weight * share), logit, e, soft, d, sum);
    if (d && !c->adds) memset(d, 0, sizeof(REAL) * (size_t)c->classes);
    return 0;
}

/* how many values there are */
INLINE int64_t values_observed(Observed o)
{
    const int64_t one = o.of.classes * o.event;
    return one ? o.of.n / one : 0;
}

static int observed_inside(const Expectation *e, int inside, const double *shares, double scale, int threads, double *values)
{
    for (int k = 0; k < e->observations; k++) {
        Observed o = e->observed[k];
        const int64_t rows = cells(e, inside) * o.event;
        o.inner = e->size[0] * o.event, o.outer = cells(e, inside & ~OF_DRAWS) * o.event;
        if (o.of.n != rows * o.of.classes || (o.of.indices != o.inner && o.of.indices != o.inner * e->size[1])) return 3;
        o.share = shares, o.of.weight = scale * o.factor;
        double *value = calloc((size_t)rows, sizeof(double));
        if (!value) return 2;
        const int status = class_rows(&o.of, rows, threads, 0, value);
        for (int64_t i = 0; i < rows; i++) values[i / o.event] += o.factor * value[i];
        free(value);
        if (status) return status;
    }
    return 0;
}
