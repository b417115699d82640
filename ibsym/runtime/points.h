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

/* Pairs of a point and a point: the rows' value and each of the columns' parameters. */
static int pairs_of_points(Pairs p, const Points *row, const Points *column, int threads, double *means, Each each)
{
    int64_t width = 0;
    for (int part = 0; part < row->parts; part++) width += row->width[part];
    const int64_t rows = points_rows(row, width), columns = points_rows(column, width);
    if (!rows || !columns) return 3;
    for (int c = 0; c < p.columns; c++)
        if (points_rows(&column[c], width) != columns) return 3;
    const int64_t plane = columns * width;
    const size_t all = (size_t)(rows * width + p.columns * plane);
    REAL *points = malloc(sizeof(REAL) * all), *d = calloc(all, sizeof(REAL));
    int status = 2;
    if (points && d) {
        points_gathered(row, points, rows, width);
        p.row = points, p.n_row = rows * width, p.n = plane;
        p.d_row = points_learn(row) ? d : 0;
        p.width = width;
        for (int c = 0; c < p.columns; c++) {
            REAL *in = points + rows * width + c * plane;
            points_gathered(&column[c], in, columns, width);
            p.in[c] = in, p.d[c] = points_learn(&column[c]) ? d + rows * width + c * plane : 0;
        }
        status = pairs(&p, threads, means, each);
        points_scattered(row, d, rows, width);
        for (int c = 0; c < p.columns; c++) points_scattered(&column[c], d + rows * width + c * plane, columns, width);
    }
    free(points), free(d);
    return status;
}
