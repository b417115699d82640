/* Values side by side: point i has row i of each; one with fewer rows repeats. */
typedef struct Points {
    int parts;
    const REAL *in[PARTS];
    REAL *d[PARTS];
    int64_t n[PARTS], width[PARTS]; /* elements, and coordinates */
} Points;

/* How many points there are; 0 where the numbers of rows do not fit. */
static int64_t points_rows(const Points *p, int64_t width)
{
    int64_t rows = 0;
    for (int part = 0; part < p->parts; part++) {
        const int64_t own = p->width[part] ? p->n[part] / p->width[part] : 0;
        if (!own) return 0;
        rows = own > rows ? own : rows;
    }
    for (int part = 0; part < p->parts; part++)
        if (rows % (p->n[part] / p->width[part])) return 0;
    return width ? rows : 0;
}

static void points_gathered(const Points *p, REAL *restrict out, int64_t rows, int64_t width)
{
    for (int part = 0; part < p->parts; out += p->width[part++])
        for (int64_t i = 0; i < rows; i++)
            for (int64_t k = 0, own = p->width[part]; k < own; k++)
                out[i * width + k] = p->in[part][(i * own + k) % p->n[part]];
}

static void points_scattered(const Points *p, const REAL *restrict d, int64_t rows, int64_t width)
{
    for (int part = 0; part < p->parts; d += p->width[part++])
        for (int64_t e = 0, own = p->width[part]; p->d[part] && e < p->n[part]; e++) {
            double sum = 0;
            for (int64_t i = e / own; i < rows; i += p->n[part] / own) sum += (double)d[i * width + e % own];
            p->d[part][e] += (REAL)sum;
        }
}

static int points_learn(const Points *p)
{
    for (int part = 0; part < p->parts; part++)
        if (p->d[part]) return 1;
    return 0;
}

/* Pairs of a point and a point: the rows' value and the columns' parameter. */
static int pairs_of_points(Pairs p, const Points *row, const Points *column, int threads, double *means, Each each)
{
    int64_t width = 0;
    for (int part = 0; part < row->parts; part++) width += row->width[part];
    const int64_t rows = points_rows(row, width), columns = points_rows(column, width);
    if (!rows || !columns) return 3;
    const size_t all = (size_t)((rows + columns) * width);
    REAL *points = malloc(sizeof(REAL) * all), *d = calloc(all, sizeof(REAL));
    int status = 2;
    if (points && d) {
        points_gathered(row, points, rows, width);
        points_gathered(column, points + rows * width, columns, width);
        p.row = points, p.n_row = rows * width;
        p.in[0] = points + rows * width, p.n = columns * width;
        p.d_row = points_learn(row) ? d : 0;
        p.d[0] = points_learn(column) ? d + rows * width : 0;
        p.width = width;
        status = pairs(&p, threads, means, each);
        points_scattered(row, d, rows, width);
        points_scattered(column, d + rows * width, columns, width);
    }
    free(points), free(d);
    return status;
}
