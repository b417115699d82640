/* The mean over rows of log 1/S sum_s e^w_s, where w at a draw and row is a constant and the sums of a few loops times
   their weights. One pass gives every w and its gradients; each draw's share e^w / sum_s e^w multiplies them afterwards. */

/* to = c from, or is added to: of each draw and row, by its share; what repeats is added up in double precision */
static int shared_out(const Loop *loop, int k, const REAL *from, int64_t event, const double *share)
{
    const int64_t n = loop->n[k], rows = loop->size / event;
    REAL *to = loop->d[k];
    if (n == loop->size) {
        for (int64_t r = 0; r < rows; r++) {
            const REAL c = (REAL)share[r];
            REAL *here = to + r * event;
            const REAL *rough = from + r * event;
            if (loop->shared[k])
                for (int64_t j = 0; j < event; j++) here[j] += c * rough[j];
            else
                for (int64_t j = 0; j < event; j++) here[j] = c * rough[j];
        }
        return 0;
    }
    double *sum = calloc((size_t)n, sizeof(double));
    if (!sum) return 2;
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * event % n;
        for (int64_t j = 0; j < event; j++) {
            sum[at] += share[r] * (double)from[r * event + j];
            if (++at == n) at = 0;
        }
    }
    for (int64_t i = 0; i < n; i++) to[i] = (REAL)(sum[i] + (loop->shared[k] ? (double)to[i] : 0));
    free(sum);
    return 0;
}

/* The means of e^w, and the shares in place of w, times what a row's logarithm weighs. */
static double log_means(double *w, int64_t rows, int64_t all, double weight, Each each)
{
    const double draws = (double)(all / rows);
    double total = 0;
    for (int64_t b = 0; b < rows; b++) {
        double top = w[b], sum = 0;
        for (int64_t r = b; r < all; r += rows) top = w[r] > top ? w[r] : top;
        if (!(fabs(top) < INFINITY)) top = 0;
        for (int64_t r = b; r < all; r += rows) {
            w[r] = exp(w[r] - top);
            sum += w[r];
        }
        for (int64_t r = b; r < all; r += rows) w[r] *= weight / (double)rows / sum;
        const double found = top + log(sum / draws);
        if (each.loss) each.loss[b] += weight * found;
        total += found;
    }
    return total / (double)rows;
}

/* `rough` are the same loops: where gradients go before they have their shares. */
static int log_mean_over_draws(const Loop *loops, Loop *rough, const int64_t *events, int count, double constant,
                               int64_t rows, double weight, int threads, double *mean, Each each)
{
    int64_t all = 0, size = 0;
    int status = 0;
    for (int l = 0; l < count; l++) {
        Loop *loop = &rough[l];
        for (int k = 0; k < loop->operands; k++)
            if (loop->n[k] > loop->size) loop->size = loop->n[k];
        const int64_t own = loop->size / events[l];
        if (l && own != all) return 3;
        all = own, size += loop->size;
    }
    if (!rows || !all || all % rows || (each.loss && each.rows != rows)) return 3;
    double *w = malloc(sizeof(double) * (size_t)all);
    if (!w) return 2;
    for (int l = 0; l < count; l++) {
        Loop *loop = &rough[l];
        for (int m = 0; m < loop->sums; m++) loop->scale[m] = (REAL)loop->weight[m];
        for (int k = 0; k < loop->operands; k++) {
            if (!loop->d[k]) continue;
            if (loop->want < loop->level[k]) loop->want = loop->level[k];
            if (!loop->shared[k] && loop->n[k] == loop->size) continue;
            loop->d[k] = calloc((size_t)loop->size, sizeof(REAL));
            if (!loop->d[k]) status = 2;
        }
    }
    PARALLEL(threads > 1 && size >= WORTHWHILE)
    for (int64_t r = 0; r < all; r++) {
        w[r] = constant;
        for (int l = 0; l < count; l++) {
            double sums[SUMS] = {0};
            strip(&rough[l], r * events[l], (r + 1) * events[l], sums);
            for (int m = 0; m < rough[l].sums; m++) w[r] += rough[l].weight[m] * sums[m];
        }
    }
    *mean = log_means(w, rows, all, weight, each);
    for (int l = 0; l < count; l++)
        for (int k = 0; k < rough[l].operands; k++) {
            Loop loop = loops[l];
            loop.size = rough[l].size;
            if (loop.d[k] && !status) status = shared_out(&loop, k, rough[l].d[k], events[l], w);
            if (rough[l].d[k] != loop.d[k]) free(rough[l].d[k]);
        }
    free(w);
    (void)threads, (void)size;
    return status;
}
