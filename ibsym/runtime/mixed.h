/* The mean over draws and rows of sum_k p_k w_k, where p is the softmax of a row's logits, and w at a draw, class and
   row is a constant and the sums of a few loops times their weights. A class of probability 0 does not count, nor does
   its slope. */

enum { OF_ROWS = 1, OF_CLASSES = 2, OF_DRAWS = 4 }; /* the axes that an operand has before its event */

typedef struct {
    const REAL *logits;
    REAL *d;              /* where their gradient goes, or NULL */
    int adds;             /* whether others add to it: it was cleared before */
    int64_t n, classes, rows;
} Table;

/* softmax of every row of logits, 0 where the tensors' own numbers have none so small */
static void probabilities(const Table *t, double *p)
{
    for (int64_t i = 0; i < t->n; i += t->classes) {
        const REAL *a = t->logits + i;
        double top = (double)a[0], norm = 0;
        for (int64_t k = 1; k < t->classes; k++) top = (double)a[k] > top ? (double)a[k] : top;
        for (int64_t k = 0; k < t->classes; k++) norm += p[i + k] = exp((double)a[k] - top);
        for (int64_t k = 0; k < t->classes; k++) p[i + k] = (REAL)(p[i + k] / norm) == 0 ? 0 : p[i + k] / norm;
    }
}

/* how many elements an operand has at one draw */
static int64_t a_draw(int place, const Table *t, int64_t event)
{
    return event * (place & OF_CLASSES ? t->classes : 1) * (place & OF_ROWS ? t->rows : 1);
}

/* where an operand's event stands, in events */
static int64_t stands(int place, const Table *t, int64_t draws, int64_t s, int64_t k, int64_t b)
{
    int64_t at = place & OF_DRAWS && draws > 1 ? s : 0;
    if (place & OF_CLASSES) at = at * t->classes + k;
    return place & OF_ROWS ? at * t->rows + b : at;
}

/* w of one draw, class and row; its gradient, times its share in the loss */
static double weighed(const Table *t, Loop *loops, const int *places, const int64_t *events, int count, double constant,
                      double share, int64_t s, int64_t k, int64_t b)
{
    double w = constant;
    for (int l = 0; l < count; l++) {
        Loop one = loops[l];
        double sums[SUMS] = {0};
        for (int o = 0; o < one.operands; o++) {
            const int place = places[l * OPERANDS + o];
            const int64_t at = events[l] * stands(place, t, one.n[o] / a_draw(place, t, events[l]), s, k, b);
            one.in[o] += at;
            if (one.repeated[o]) one.repeated[o] += at;
            if (one.d[o]) one.d[o] += at;
            one.shared[o] |= one.repeated[o] != 0;
            one.n[o] = events[l];
        }
        for (int m = 0; m < one.sums; m++) one.scale[m] = (REAL)(one.weight[m] * share);
        one.size = events[l];
        strip(&one, 0, events[l], sums);
        for (int m = 0; m < one.sums; m++) w += one.weight[m] * sums[m];
    }
    return w;
}

/* what no class of positive probability wrote */
static void cleared(Loop *loops, const int64_t *events, int count, int64_t at)
{
    for (int l = 0; l < count; l++)
        for (int o = 0; o < loops[l].operands; o++)
            if (loops[l].d[o] && !loops[l].repeated[o] && !loops[l].shared[o])
                memset(loops[l].d[o] + at * events[l], 0, sizeof(REAL) * (size_t)events[l]);
}

static int mean_over_classes(const Table *t, Loop *loops, const int *places, const int64_t *events, int count,
                             double constant, double weight, int threads, double *mean, Each each)
{
    const int64_t classes = t->classes, rows = t->rows, cells = classes * rows;
    if (!cells || !t->n) return 3;
    const int64_t own = t->n / cells;
    int64_t draws = own, size = 0;
    int status = 0, serial = 0;
    for (int l = 0; l < count; l++)
        for (int o = 0; o < loops[l].operands; o++) {
            const int64_t whole = a_draw(places[l * OPERANDS + o], t, events[l]);
            if (!whole || !loops[l].n[o]) return 3;
            if (loops[l].n[o] / whole > draws) draws = loops[l].n[o] / whole;
        }
    for (int l = 0; l < count; l++) {
        Loop *loop = &loops[l];
        size += draws * cells * events[l];
        for (int o = 0; o < loop->operands; o++) {
            if (!loop->d[o]) continue;
            if (loop->want < loop->level[o]) loop->want = loop->level[o];
            if (loop->n[o] == draws * cells * events[l]) continue;
            if (!(loop->repeated[o] = calloc((size_t)loop->n[o], sizeof(double)))) status = 2;
            serial |= !(places[l * OPERANDS + o] & OF_ROWS);
        }
    }
    double *p = malloc(sizeof(double) * (size_t)t->n), *slope = calloc((size_t)t->n, sizeof(double));
    double *of_rows = malloc(sizeof(double) * (size_t)(draws * rows));
    double *w = malloc(sizeof(double) * (size_t)(draws * cells));
    const double scale = weight / (double)(draws * rows);
    if (p && slope && of_rows && w && !status) {
        probabilities(t, p);
        PARALLEL(threads > 1 && size >= WORTHWHILE && !serial)
        for (int64_t b = 0; b < rows; b++)
            for (int64_t s = 0; s < draws; s++) {
                const int64_t row = ((own > 1 ? s : 0) * rows + b) * classes;
                double *here = w + (s * rows + b) * classes, sum = 0;
                for (int64_t k = 0; k < classes; k++) {
                    const double share = p[row + k];
                    if (share == 0) cleared(loops, events, count, (s * classes + k) * rows + b);
                    else here[k] = weighed(t, loops, places, events, count, constant, share * scale, s, k, b);
                    sum += share == 0 ? 0 : share * here[k];
                }
                of_rows[s * rows + b] = sum;
                for (int64_t k = 0; k < classes; k++)
                    if (p[row + k] != 0) slope[row + k] += scale * p[row + k] * (here[k] - sum);
            }
        double sum = 0;
        for (int64_t i = 0; i < draws * rows; i++) sum += of_rows[i];
        *mean = sum / (double)(draws * rows);
        if (each.loss) status = add_each(each, weight, of_rows, 1, draws * rows);
        for (int64_t i = 0; t->d && i < t->n; i++) t->d[i] = (REAL)(slope[i] + (t->adds ? (double)t->d[i] : 0));
    } else status = 2;
    for (int l = 0; l < count; l++)
        for (int o = 0; o < loops[l].operands; o++) {
            double *from = loops[l].repeated[o];
            REAL *to = loops[l].d[o];
            for (int64_t i = 0; from && i < loops[l].n[o]; i++)
                to[i] = (REAL)(from[i] + (loops[l].shared[o] ? (double)to[i] : 0));
            free(from);
        }
    free(p), free(slope), free(of_rows), free(w);
    (void)threads, (void)size, (void)serial;
    return status;
}
