/* The means over rows of `event` elements each, row by row. */
static int elements_each(const Loop *loop, int64_t event, int threads, double *means, Each each)
{
    const int64_t count = loop->size / event;
    double *values = calloc((size_t)(count * SUMS), sizeof(double));
    int status = 0;
    if (!values) return 2;
    PARALLEL(threads > 1 && loop->size >= WORTHWHILE)
    for (int64_t r = 0; r < count; r++) strip(loop, r * event, (r + 1) * event, values + r * SUMS);
    for (int m = 0; m < loop->sums; m++) {
        double sum = 0;
        for (int64_t r = 0; r < count; r++) sum += values[r * SUMS + m];
        means[m] = sum / (double)count;
        if (!status) status = add_each(each, loop->weight[m], values + m, SUMS, count);
    }
    free(values);
    (void)threads;
    return status;
}

/* The means over rows of `event` elements each. */
static int elements(Loop *loop, int64_t event, int threads, double *means, Each each)
{
    int serial = 0, status = 0;
    for (int k = 0; k < loop->operands; k++)
        if (loop->n[k] > loop->size) loop->size = loop->n[k];
    if (each.loss) return elements_each(loop, event, threads, means, each);
    for (int k = 0; k < loop->operands; k++) {
        if (!loop->d[k]) continue;
        if (loop->want < loop->level[k]) loop->want = loop->level[k];
        if (loop->n[k] < loop->size) {
            serial = 1;
            if (!(loop->repeated[k] = calloc((size_t)loop->n[k], sizeof(double)))) status = 2;
        }
    }
    const int64_t size = loop->size;
    const double rows = (double)size / (double)event;
    for (int m = 0; m < loop->sums; m++) loop->scale[m] = (REAL)(loop->weight[m] / rows);
    const int64_t chunks = (size + CHUNK - 1) / CHUNK, strips = chunks < STRIPS ? chunks : STRIPS;
    double parts[STRIPS][SUMS] = {{0}};
    PARALLEL(threads > 1 && size >= WORTHWHILE && !serial)
    for (int64_t s = 0; s < strips; s++) {
        const int64_t from = chunks * s / strips * CHUNK, end = chunks * (s + 1) / strips * CHUNK;
        strip(loop, from, end < size ? end : size, parts[s]);
    }
    for (int m = 0; m < loop->sums; m++) {
        double sum = 0;
        for (int64_t s = 0; s < strips; s++) sum += parts[s][m];
        means[m] = sum / rows;
    }
    for (int k = 0; k < loop->operands; k++) {
        if (!loop->repeated[k]) continue;
        for (int64_t i = 0; i < loop->n[k]; i++)
            loop->d[k][i] = (REAL)(loop->repeated[k][i] + (loop->shared[k] ? (double)loop->d[k][i] : 0));
        free(loop->repeated[k]);
    }
    (void)threads, (void)serial;
    return status;
}
