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
INLINE int at_class(const Classes *c, int64_t class, REAL scale, const REAL *logit, const REAL *e, Softmax soft, REAL *d,
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
        for (int64_t k = 0; k < (wide ? 0 : rows * classes); k++) exponentials[k] = exponential_of_difference(exponentials[k]);
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
