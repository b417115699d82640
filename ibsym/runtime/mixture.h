/* Pairs of a value and a component of a mixture, whose weights are a softmax of logits. */
typedef struct {
    const REAL *logits;
    REAL *d;              /* where their gradient goes, or NULL */
    int64_t n;
} Mixture;

static int pairs_weighted(Pairs p, const Mixture *mixture, int threads, double *means, Each each)
{
    const int64_t n = mixture->n;
    if (!n || p.n != n * p.width) return 3;
    REAL *log_weight = malloc(sizeof(REAL) * (size_t)n);
    double *share = calloc((size_t)n, 2 * sizeof(double)), top = -INFINITY, norm = 0, all = 0;
    int status = 2;
    if (log_weight && share) {
        double *slope = share + n;
        for (int64_t j = 0; j < n; j++) top = (double)mixture->logits[j] > top ? (double)mixture->logits[j] : top;
        for (int64_t j = 0; j < n; j++) norm += share[j] = exp((double)mixture->logits[j] - top);
        for (int64_t j = 0; j < n; j++) {
            log_weight[j] = (REAL)((double)mixture->logits[j] - top - log(norm));
            share[j] /= norm;
        }
        p.log_weight = log_weight;
        p.slope = mixture->d ? slope : 0;
        status = pairs(&p, threads, means, each);
        for (int64_t j = 0; j < n; j++) all += slope[j];
        for (int64_t j = 0; mixture->d && j < n; j++) mixture->d[j] += (REAL)(slope[j] - share[j] * all);
    }
    free(log_weight), free(share);
    return status;
}
