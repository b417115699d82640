/* Codes and those vectors e of a codebook that are nearest to them: the mean over rows of sum |code - e|^2, which moves
   the codebook, the code or both. Of several that are as near it is the first. */
#define TILE 32 /* vectors whose distances are added up in registers */

typedef struct {
    const REAL *code, *codebook;
    REAL *d_code, *d_codebook; /* where gradients go, or NULL */
    int adds;                  /* whether others add to the code's: it was cleared before */
    int64_t n, classes, width, event; /* elements of codes; vectors; elements of a vector, and of a row's codes */
    double code_weight, codebook_weight; /* derivatives of the loss by the mean */
} Codebook;

/* The vector that is nearest to a code; `planes` has TILE vectors side by side, element by element. */
static int64_t nearest(const Codebook *c, const REAL *planes, const REAL *code)
{
    int64_t found = 0;
    REAL least = INFINITY;
    for (int64_t from = 0; from < c->classes; from += TILE, planes += TILE * c->width) {
        REAL distance[TILE] = {0};
        for (int64_t e = 0; e < c->width; e++) {
            const REAL *plane = planes + e * TILE, at = code[e];
            LOOP
            for (int j = 0; j < TILE; j++) distance[j] += square(at - plane[j]);
        }
        const int64_t n = c->classes - from < TILE ? c->classes - from : TILE;
        for (int64_t j = 0; j < n; j++) {
            if (distance[j] != distance[j]) return from + j; /* what is no number is seen */
            if (distance[j] < least) least = distance[j], found = from + j;
        }
    }
    return found;
}

static int codebook_mean(const Codebook *c, int threads, double *mean, Each each)
{
    const int64_t one = c->width * c->classes, codes = one ? c->n / c->width : 0, rows = c->event ? c->n / c->event : 0;
    if (!rows || c->n % c->event) return 3;
    const int64_t tiles = (c->classes + TILE - 1) / TILE, strips = codes < STRIPS ? codes : STRIPS;
    REAL *planes = calloc((size_t)(tiles * TILE * c->width), sizeof(REAL));
    int64_t *index = malloc(sizeof(int64_t) * (size_t)codes);
    double *values = calloc((size_t)codes, sizeof(double)), *by_row = calloc((size_t)rows, sizeof(double));
    double *slope = calloc((size_t)one, sizeof(double)), sum = 0;
    int status = planes && index && values && by_row && slope ? 0 : 2;
    for (int64_t k = 0; k < (status ? 0 : c->classes); k++)
        for (int64_t e = 0; e < c->width; e++)
            planes[(k / TILE * c->width + e) * TILE + k % TILE] = c->codebook[k * c->width + e];
    const REAL scale = (REAL)(2 * c->code_weight / (double)rows);
    PARALLEL(threads > 1 && codes * one >= WORTHWHILE)
    for (int64_t s = 0; s < (status ? 0 : strips); s++)
        for (int64_t r = codes * s / strips; r < codes * (s + 1) / strips; r++) {
            const REAL *code = c->code + r * c->width;
            REAL *d = c->d_code ? c->d_code + r * c->width : 0, value = 0;
            const REAL *vector = c->codebook + (index[r] = nearest(c, planes, code)) * c->width;
            LOOP_SUM(value)
            for (int64_t e = 0; e < c->width; e++) value += square(code[e] - vector[e]);
            for (int64_t e = 0; d && e < c->width; e++) d[e] = (c->adds ? d[e] : 0) + scale * (code[e] - vector[e]);
            values[r] = (double)value;
        }
    for (int64_t r = 0; !status && r < codes; r++) by_row[r * c->width / c->event] += values[r];
    for (int64_t r = 0; !status && c->d_codebook && r < codes; r++) {
        const REAL *code = c->code + r * c->width, *vector = c->codebook + index[r] * c->width;
        for (int64_t e = 0; e < c->width; e++) slope[index[r] * c->width + e] += (double)(vector[e] - code[e]);
    }
    for (int64_t i = 0; !status && c->d_codebook && i < one; i++)
        c->d_codebook[i] += (REAL)(2 * c->codebook_weight / (double)rows * slope[i]);
    for (int64_t b = 0; !status && b < rows; b++) sum += by_row[b];
    *mean = sum / (double)rows;
    if (each.loss && !status) status = add_each(each, c->code_weight + c->codebook_weight, by_row, 1, rows);
    free(planes), free(index), free(values), free(by_row), free(slope);
    (void)threads;
    return status;
}
