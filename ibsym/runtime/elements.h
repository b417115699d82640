/* Sums of formulas over the elements of several operands, and the gradients, in one pass: each input is read once, each
   gradient written once. The last axes are aligned, so that an operand without a leading one repeats. A span is a stretch of
   LANES elements; its sums are kept by lane, each in a row: of values, or of products, less 1, whose logarithm is taken
   once a chunk. */
typedef void Span(const REAL *const *in, REAL *const *d, const REAL *scale, REAL (*row)[LANES]);

typedef struct {
    int operands, rows, sums;
    Span *span[3];           /* of values alone; with the gradients that are usually wanted; with all of them */
    const REAL *in[OPERANDS];
    int64_t n[OPERANDS];     /* elements of an operand */
    REAL *d[OPERANDS];       /* where its gradient goes, or NULL */
    double *repeated[OPERANDS]; /* where the gradient of an operand that repeats is added up */
    int level[OPERANDS];     /* the first span that writes its gradient, or 0 */
    int shared[OPERANDS];    /* whether other loops add to it: it was cleared before */
    int sum[ROWS];           /* the sum that a row is part of */
    double factor[ROWS];     /* of the logarithm of a product; 0 for a row of values */
    double weight[SUMS];     /* derivative of the loss by the mean of a sum */
    int64_t size;            /* elements of all together */
    REAL scale[SUMS];        /* derivative of the loss by one element's value */
    int want;                /* which span */
} Loop;

static void strip(const Loop *loop, int64_t from, int64_t to, double *sums)
{
    REAL copy[OPERANDS][CHUNK], part[OPERANDS][CHUNK], last_in[OPERANDS][LANES] = {{0}}, last_d[OPERANDS][LANES];
    Span *span = loop->span[loop->want];
    for (int64_t at = from; at < to; at += CHUNK) {
        const int64_t n = to - at < CHUNK ? to - at : CHUNK;
        const REAL *in[OPERANDS] = {0};
        REAL *d[OPERANDS] = {0}, row[ROWS][LANES], last_row[ROWS][LANES];
        int adds[OPERANDS] = {0};
        for (int k = 0; k < loop->operands; k++) {
            in[k] = window(loop->in[k], loop->n[k], at, n, copy[k]);
            adds[k] = loop->shared[k] || loop->n[k] < loop->size;
            d[k] = loop->d[k] && !adds[k] ? loop->d[k] + at : part[k];
        }
        for (int r = 0; r < loop->rows; r++)
            for (int j = 0; j < LANES; j++) row[r][j] = last_row[r][j] = 0;
        int64_t done = 0;
        for (; done + LANES <= n; done += LANES) {
            span(in, d, loop->scale, row);
            for (int k = 0; k < loop->operands; k++) in[k] += LANES, d[k] += LANES;
        }
        const int rest = (int)(n - done);
        if (rest) {
            const REAL *padded[OPERANDS] = {0};
            REAL *room[OPERANDS] = {0};
            for (int k = 0; k < loop->operands; k++) {
                memcpy(last_in[k], in[k], sizeof(REAL) * (size_t)rest);
                padded[k] = last_in[k], room[k] = last_d[k];
            }
            span(padded, room, loop->scale, last_row);
            for (int k = 0; k < loop->operands; k++)
                if (loop->level[k] && loop->level[k] <= loop->want) memcpy(d[k], last_d[k], sizeof(REAL) * (size_t)rest);
            for (int r = 0; r < loop->rows; r++)
                for (int j = 0; j < rest; j++) {
                    if (loop->factor[r] != 0) row[r][j] += last_row[r][j] + row[r][j] * last_row[r][j];
                    else row[r][j] += last_row[r][j];
                }
        }
        for (int r = 0; r < loop->rows; r++)
            sums[loop->sum[r]] += loop->factor[r] != 0 ? loop->factor[r] * log_total(row[r]) : total(row[r]);
        for (int k = 0; k < loop->operands; k++)
            if (loop->repeated[k]) add_window(loop->repeated[k], loop->n[k], at, n, part[k]);
            else if (loop->want && loop->d[k] && adds[k])
                for (int64_t i = 0; i < n; i++) loop->d[k][at + i] += part[k][i];
    }
}
