/* sum_c r_c log m_c of the shares of classes in a batch: means over rows of softmax(logits), counts of a class index,
   or equal ones. */
typedef struct {
    const REAL *logits;   /* rows of classes, or NULL */
    const int64_t *index; /* the class of every row, or NULL */
    int64_t n;
    REAL *d;              /* where the gradient is added to, or NULL: it was cleared before */
} Law;

/* softmax(logits) of every row with its logarithm, and the means over rows with theirs */
typedef struct {
    Classes of;
    REAL *p, *log_p;
    double *share, *log_share;
} Batch;

#define RARE 1e-30 /* shares whose logarithms come from those of rows: that of an unlikely class keeps its digits */

INLINE int kept(const Classes *c, int64_t i, const REAL *logit, const REAL *e, Softmax soft, REAL *d, double *sum)
{
    const Batch *b = (const Batch *)c;
    REAL *p = b->p + i * c->classes, *log_p = b->log_p + i * c->classes;
    (void)d, (void)sum;
    LOOP
    for (int64_t k = 0; k < c->classes; k++) p[k] = e[k] * soft.r, log_p[k] = (logit[k] - soft.top) - soft.log_norm;
    return 0;
}

static double log_of_rare(const Batch *b, int64_t class, int64_t classes, int64_t rows)
{
    double top = -INFINITY, sum = 0;
    const REAL *log_p = b->log_p + class;
    for (int64_t i = 0; i < rows; i++) top = (double)log_p[i * classes] <= top ? top : (double)log_p[i * classes];
    for (int64_t i = 0; top > -INFINITY && i < rows; i++) sum += exp((double)log_p[i * classes] - top);
    return top > -INFINITY ? top + log(sum / (double)rows) : top;
}

/* The shares of a law and their logarithms; 1 where it declines. */
static int shares_of(const Law *law, Batch *b, int64_t classes, int threads)
{
    const int64_t rows = law->logits ? law->n / classes : law->n;
    double *share = b->share, parts[STRIPS] = {0};
    int status = 0;
    for (int64_t c = 0; c < classes; c++) share[c] = law->logits || law->index ? 0 : 1 / (double)classes;
    if ((law->logits || law->index) && (!rows || (law->logits && law->n % classes))) return 3;
    for (int64_t i = 0; law->index && i < rows; i++) {
        if (law->index[i] < 0 || law->index[i] >= classes) return 1;
        share[law->index[i]] += 1;
    }
    if (law->logits) {
        b->of = (Classes){.row = kept, .logits = law->logits, .n = law->n, .classes = classes};
        b->p = malloc(sizeof(REAL) * 2 * (size_t)law->n), b->log_p = b->p + law->n;
        if (!b->p || (status = class_rows(&b->of, rows, threads, parts, 0))) return b->p ? status : 2;
    }
    for (int64_t i = 0; law->logits && i < rows; i++) {
        LOOP
        for (int64_t c = 0; c < classes; c++) share[c] += (double)b->p[i * classes + c];
    }
    for (int64_t c = 0; c < classes; c++) {
        if (law->logits || law->index) share[c] /= (double)rows;
        b->log_share[c] = law->logits && share[c] < RARE ? log_of_rare(b, c, classes, rows) : log(share[c]);
    }
    return 0;
}

/* Gradients by logits of sum slope_c share_c, or where `relative` of sum slope_c log share_c: u - p sum u of a row. */
static void share_slopes(const Law *law, const Batch *b, const double *slope, int relative, int64_t classes, REAL *room)
{
    if (!law->d || !law->logits) return;
    const int64_t rows = law->n / classes;
    REAL *by = room, *u = room + classes;
    int rare = 0;
    for (int64_t c = 0; c < classes; c++) {
        const int one = relative && slope[c] != 0 && b->share[c] < RARE;
        by[c] = one ? 0 : (REAL)(slope[c] / (double)rows / (relative && slope[c] != 0 ? b->share[c] : 1));
        rare |= one;
    }
    for (int64_t i = 0; i < rows; i++) {
        const REAL *p = b->p + i * classes, *log_p = b->log_p + i * classes;
        REAL *d = law->d + i * classes;
        double all = 0;
        LOOP
        for (int64_t c = 0; c < classes; c++) u[c] = by[c] * p[c];
        for (int64_t c = 0; rare && c < classes; c++)
            if (slope[c] != 0 && b->share[c] < RARE)
                u[c] = (REAL)(slope[c] / (double)rows * exp((double)log_p[c] - b->log_share[c]));
        LOOP_SUM(all)
        for (int64_t c = 0; c < classes; c++) all += (double)u[c];
        LOOP
        for (int64_t c = 0; c < classes; c++) d[c] += u[c] - p[c] * (REAL)all;
    }
}

/* The means of the logarithms of several laws' shares under those of one; `same`: whether a law is that one. */
static int share_means(const Law *own, const Law *others, const int *same, const double *weight, int count,
                       int64_t classes, int threads, double *means, Each each)
{
    double *room = malloc(sizeof(double) * (size_t)(classes * 6));
    REAL *single = malloc(sizeof(REAL) * (size_t)(classes * 2));
    Batch first = {.share = room, .log_share = room + classes};
    int status = room && single ? shares_of(own, &first, classes, threads) : 2;
    double *slope = room + 4 * classes, *relative = room + 5 * classes;
    for (int64_t c = 0; !status && c < classes; c++) slope[c] = 0;
    for (int k = 0; !status && k < count; k++) {
        Batch second = {.share = room + 2 * classes, .log_share = room + 3 * classes};
        if (!same[k]) status = shares_of(others + k, &second, classes, threads);
        const double *log_share = same[k] ? first.log_share : second.log_share;
        means[k] = 0;
        for (int64_t c = 0; !status && c < classes; c++) {
            const int counts = first.share[c] != 0 || log_share[c] != -INFINITY; /* 0 log 0 = 0 */
            means[k] += counts ? first.share[c] * log_share[c] : 0;
            slope[c] += counts ? weight[k] * log_share[c] : 0;
            relative[c] = weight[k] * first.share[c];
        }
        if (!status && !same[k]) share_slopes(others + k, &second, relative, 1, classes, single);
        if (!status && each.loss) status = add_each(each, weight[k], means + k, 1, 1);
        free(second.p);
    }
    if (!status) share_slopes(own, &first, slope, 0, classes, single);
    free(first.p), free(room), free(single);
    return status;
}
