/* Sums over all pairs of a row's value and a column's parameters, in tiles: of the table, one matrix is kept.
   What is read off it: a row's log-sum-exp of the sum over coordinates (together) or of each coordinate (apart), the
   diagonal (own), the mean off it (off), the mean of a function of an entry (mapped). */
enum { TOGETHER, OWN, OFF, MAPPED, APART, KINDS };
/* how columns count in a row's mixture: alike; all but its own; by strata of the data; by weights */
enum { EVERY, EXCLUDE, STRATIFIED, WEIGHTED };

typedef struct Pairs Pairs;
/* The formula of one coordinate for one row and every column, written or added to out. */
typedef void Values(REAL *out, int adds, int64_t columns, REAL v, REAL *const *at);
/* Its derivatives, times each entry's weight: the row's is returned, the columns' are added to d. */
typedef double Slopes(const REAL *weights, int64_t columns, REAL v, REAL *const *at, REAL *const *d);
/* What knows the columns only, computed once a coordinate, after the parameters. */
typedef void Hoist(int64_t columns, REAL *const *at);
/* The sum of a function of a row's entries, which become its derivatives times the scale; i: its own column. */
typedef double Map(const Arguments *g, REAL *a, int64_t columns, int64_t i, REAL scale);

struct Pairs {
    const Arguments *g;
    int kind[KINDS];        /* what is read off */
    double weight[KINDS];   /* derivative of the loss by each mean */
    Values *values;
    Slopes *slopes;
    Hoist *hoist;
    Map *map;
    int columns, hoisted;   /* parameters of a column, and what is computed from them */
    const REAL *row, *in[COLUMNS];
    int64_t n_row, n;       /* elements of the rows' values, and of each parameter */
    REAL *d_row, *d[COLUMNS];
    int64_t width;          /* coordinates */
    int pooled;             /* whether draws count as rows; else each draw has a table of its own */
    int mask;
    double total;           /* rows of the data, for strata */
    const REAL *log_weight; /* of every column */
    double *slope;          /* of the loss by that, or NULL */
};

/* log w_ij, by which column j counts in row i's mixture */
INLINE REAL pair_mask(const Pairs *p, int64_t i, int64_t j, int64_t columns)
{
    if (p->mask == EXCLUDE) return i == j ? -INFINITY : 0;
    const double others = (double)(columns - 1), total = p->total;
    const double next = log((total - others) / (total * others));
    return (REAL)(i == j ? -log(total) : j == (i + 1) % columns ? next : -log(others));
}

INLINE void pair_masked(const Pairs *p, REAL *a, int64_t i, int64_t columns)
{
    if (p->mask == EVERY) return;
    for (int64_t j = 0; p->mask == WEIGHTED && j < columns; j++) a[j] += p->log_weight[j];
    if (p->mask == WEIGHTED) return;
    for (int64_t j = 0; j < columns; j++) a[j] += pair_mask(p, i, j, columns);
}

/* a row's log-sum-exp, and its softmax times a number in place */
INLINE double pair_softmax(REAL *a, int64_t columns, REAL scale)
{
    REAL top = a[0], sum = 0;
    LOOP_MAX(top)
    for (int64_t j = 0; j < columns; j++) top = a[j] > top ? a[j] : top;
    if (top == -INFINITY) top = 0; /* every density is 0: so is every share */
    LOOP_SUM(sum)
    for (int64_t j = 0; j < columns; j++) {
        const REAL e = exponential_of_difference(a[j] - top);
        a[j] = e;
        sum += e;
    }
    const REAL share = sum > 0 || sum != sum ? scale / sum : 0;
    LOOP
    for (int64_t j = 0; j < columns; j++) a[j] *= share;
    return (double)top + log((double)sum);
}

/* What is read off row i of the matrix, which becomes the derivative of the loss by its entries. */
INLINE void pair_row(const Pairs *p, REAL *a, int64_t i, int64_t columns, const REAL *scale, double *sums)
{
    const REAL own = p->kind[OWN] ? a[i] : 0; /* a row may have fewer columns than there are rows */
    sums[OWN] += (double)own;
    if (p->kind[OFF]) {
        double off = 0;
        for (int64_t j = 0; j < columns; j++) off += (double)(i == j ? 0 * a[j] : a[j]); /* an infinite entry makes NaN */
        sums[OFF] += off;
    }
    if (p->kind[TOGETHER]) {
        pair_masked(p, a, i, columns);
        sums[TOGETHER] += pair_softmax(a, columns, scale[TOGETHER]);
    } else if (p->kind[MAPPED]) {
        sums[MAPPED] += p->map(p->g, a, columns, p->mask == EXCLUDE ? i : -1, scale[MAPPED]);
    } else {
        for (int64_t j = 0; j < columns; j++) a[j] = 0;
    }
    if (p->kind[OFF])
        for (int64_t j = 0; j < columns; j++) a[j] += i == j ? 0 : scale[OFF];
    if (p->kind[OWN]) a[i] += scale[OWN];
}

/* One draw: values, then slopes, both in blocks of rows. `at` are the columns' parameters and `slope` their gradients,
   each a plane of coordinates by columns; a block's gradients are added to `slope` in double precision. `sums` has
   KINDS places for every row, `apart` one for every coordinate; `by_row` is NULL, or has one for every row of a strip. */
static void pair_table(const Pairs *p, int64_t draw, int64_t rows, int64_t columns, int threads, REAL *const *at,
                       double *const *slope, REAL *matrix, REAL *rooms, const REAL *scale, double *sums, double *apart, double *by_row)
{
    const int64_t width = p->width, blocks = (rows + BLOCK - 1) / BLOCK, strips = width < STRIPS ? width : STRIPS;
    const REAL *row = p->row + draw * rows * width;
    REAL *d_row = p->d_row ? p->d_row + draw * rows * width : 0;
    const int busy = threads > 1 && rows * columns * width >= WORTHWHILE;
    int want = p->d_row != 0;
    for (int c = 0; c < p->columns; c++) want |= p->d[c] != 0;
    if (matrix) {
        PARALLEL(busy)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t from = block * BLOCK, to = from + BLOCK < rows ? from + BLOCK : rows;
            for (int64_t k = 0; k < width; k++) {
                REAL *here[COLUMNS + HOISTED] = {0};
                for (int c = 0; c < p->columns + p->hoisted; c++) here[c] = at[c] + k * columns;
                for (int64_t i = from; i < to; i++)
                    p->values(matrix + i * columns, k > 0, columns, row[i * width + k], here);
            }
            for (int64_t i = from; i < to; i++) pair_row(p, matrix + i * columns, i, columns, scale, sums + i * KINDS);
        }
    }
    for (int64_t i = 0; p->slope && i < rows; i++)
        for (int64_t j = 0; j < columns; j++) p->slope[j] += (double)matrix[i * columns + j];
    if (!p->kind[APART] && !want) return;
    PARALLEL(busy)
    for (int64_t s = 0; s < strips; s++) {
        REAL *e = rooms + s * columns * (1 + COLUMNS);
        memset(e, 0, sizeof(REAL) * (size_t)columns * (1 + COLUMNS));
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t from = block * BLOCK, to = from + BLOCK < rows ? from + BLOCK : rows;
            for (int64_t k = width * s / strips; k < width * (s + 1) / strips; k++) {
                REAL *here[COLUMNS + HOISTED] = {0}, *d[COLUMNS] = {0};
                for (int c = 0; c < p->columns + p->hoisted; c++) here[c] = at[c] + k * columns;
                for (int c = 0; c < p->columns; c++) d[c] = e + columns * (1 + c);
                for (int64_t i = from; i < to; i++) {
                    const REAL v = row[i * width + k], *weights = matrix ? matrix + i * columns : 0;
                    if (p->kind[APART]) {
                        p->values(e, 0, columns, v, here);
                        pair_masked(p, e, i, columns);
                        const double value = pair_softmax(e, columns, scale[APART]);
                        apart[k] += value;
                        if (by_row) by_row[s * rows + i] += value;
                        if (!want) continue;
                        for (int64_t j = 0; weights && j < columns; j++) e[j] += weights[j];
                        weights = e;
                    }
                    const double found = p->slopes(weights, columns, v, here, d);
                    if (d_row) d_row[i * width + k] += (REAL)found;
                }
                for (int c = 0; c < p->columns; c++)
                    for (int64_t j = 0; j < columns; j++) {
                        slope[c][k * columns + j] += (double)d[c][j];
                        d[c][j] = 0;
                    }
            }
        }
    }
    (void)threads, (void)busy;
}

/* The means of all that is read off. */
static int pairs(const Pairs *p, int threads, double *means, Each each)
{
    const int64_t width = p->width, columns = width ? p->n / width : 0;
    const int64_t all = width ? p->n_row / width : 0, rows = p->pooled ? all : columns;
    if (!columns || !rows || all % rows) return 3;
    if (each.loss && (p->kind[OFF] || p->kind[MAPPED])) return 3;
    const int others = p->mask == EXCLUDE || p->mask == STRATIFIED || p->kind[OFF];
    if (columns < 2 && others) return 3;
    const size_t line = (size_t)columns, plane = line * (size_t)width, planes = (size_t)(p->columns + p->hoisted);
    const int tabled = p->kind[TOGETHER] || p->kind[OWN] || p->kind[OFF] || p->kind[MAPPED];
    REAL *work = malloc(sizeof(REAL) * (plane * planes + (tabled ? (size_t)rows * line : 0)));
    REAL *rooms = malloc(sizeof(REAL) * STRIPS * line * (1 + COLUMNS));
    double *sums = calloc((size_t)(rows * KINDS + width) + plane * (size_t)p->columns, sizeof(double));
    const int64_t parts = each.loss && p->kind[APART] ? (width < STRIPS ? width : STRIPS) : 0;
    double *by_row = parts ? calloc((size_t)(parts * rows), sizeof(double)) : 0;
    if (!work || !sums || !rooms || (parts && !by_row)) {
        free(work), free(sums), free(rooms), free(by_row);
        return 2;
    }
    REAL *at[COLUMNS + HOISTED] = {0}, *matrix = tabled ? work + plane * planes : 0;
    double *slope[COLUMNS] = {0};
    for (int c = 0; c < p->columns + p->hoisted; c++) at[c] = work + plane * (size_t)c;
    for (int c = 0; c < p->columns; c++) slope[c] = sums + rows * KINDS + width + plane * (size_t)c;
    double *apart = sums + rows * KINDS, count[KINDS];
    REAL scale[KINDS];
    for (int m = 0; m < KINDS; m++) {
        const int off = m == OFF || (m == MAPPED && p->mask == EXCLUDE);
        count[m] = (double)all * (off ? (double)(columns - 1) : m == MAPPED ? (double)columns : 1);
        scale[m] = (REAL)(p->weight[m] / count[m]);
    }
    PARALLEL(threads > 1 && width * columns >= WORTHWHILE)
    for (int64_t k = 0; k < width; k++) {
        REAL *here[COLUMNS + HOISTED] = {0};
        for (int c = 0; c < p->columns + p->hoisted; c++) here[c] = at[c] + k * columns;
        for (int c = 0; c < p->columns; c++)
            for (int64_t j = 0; j < columns; j++) here[c][j] = p->in[c][j * width + k];
        if (p->hoist) p->hoist(columns, here);
    }
    for (int64_t draw = 0; draw < all / rows; draw++)
        pair_table(p, draw, rows, columns, threads, at, slope, matrix, rooms, scale, sums, apart, by_row);
    for (int c = 0; c < p->columns; c++)
        if (p->d[c])
            for (int64_t j = 0; j < columns; j++)
                for (int64_t k = 0; k < width; k++) p->d[c][j * width + k] += (REAL)slope[c][k * columns + j];
    for (int m = 0; m < KINDS; m++) {
        double sum = 0;
        if (m == APART)
            for (int64_t k = 0; k < width; k++) sum += apart[k];
        else
            for (int64_t i = 0; i < rows; i++) sum += sums[i * KINDS + m];
        means[m] = sum / count[m];
    }
    int status = 0;
    if (each.loss) {
        for (int64_t e = rows; e < parts * rows; e++) by_row[e % rows] += by_row[e];
        for (int m = 0; m < KINDS && !status; m++)
            if (p->kind[m])
                status = add_each(each, p->weight[m] * (double)rows / count[m], m == APART ? by_row : sums + m, m == APART ? 1 : KINDS, rows);
    }
    free(work), free(sums), free(rooms), free(by_row);
    return status;
}
