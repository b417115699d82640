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
