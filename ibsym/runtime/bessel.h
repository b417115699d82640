/* Means over rows of log I_v(t) - v log t and of t I_{v+1}(t) / I_v(t), v = dimensions / 2 - 1, of one t a row. */
typedef struct {
    const REAL *t;
    int64_t n;
    double dimensions;
    REAL *d;                          /* where the gradient goes, or NULL */
    int adds;                         /* whether others add to it: it was cleared before */
    double log_weight, moment_weight; /* derivatives of the loss by the means */
} Bessel;

#ifdef DOUBLE
#define NODES 96
#define REACH 3.7
#else
#define NODES 64
#define REACH 3.3
#endif

/* I_{v+1}(t) t^-(v+1) is an integral of e^(t c) (1 - c^2)^(a-1) over -1 < c < 1, a = (dimensions + 1) / 2, up to a
   constant. With c = tanh(y/2), y the mode, asinh(t/a), plus 2 sinh(u) / sqrt(a), a grid of u has all digits. */
typedef struct {
    double a, growth[NODES], log_cosh[NODES], constant; /* e^(y - mode) and log cosh(u) */
} Grid;

static Grid grid_of(double dimensions)
{
    Grid g = {.a = (dimensions + 1) / 2};
    for (int k = 0; k < NODES; k++) {
        const double u = REACH * (2.0 * k / (NODES - 1) - 1);
        g.growth[k] = exp(2 / sqrt(g.a) * sinh(u)), g.log_cosh[k] = log(cosh(u));
    }
    g.constant = log(2 * REACH / (NODES - 1) * 2 / sqrt(g.a * acos(-1))) + dimensions / 2 * log(2) - lgamma(g.a);
    return g;
}

/* With far = (1 - c) / 2 and its mean and variance under the integrand: t I_v / I_{v+1} is n + t (1 - 2 mean), n the
   dimensions, and the slope of I_{v+1} / I_v by t is (n - 4 t^2 variance) over the square of that. */
static void bessel_row(const Bessel *b, const Grid *g, int64_t i, double values[2])
{
    const double n = b->dimensions, t = b->t[i] >= 0 ? (double)b->t[i] : NAN, at_mode = t / g->a + hypot(1, t / g->a);
    double far[NODES], exponent[NODES], highest = -INFINITY, whole = 0, first = 0, variance = 0;
    for (int k = 0; k < NODES; k++) {
        const double grown = at_mode * g->growth[k]; /* e^y */
        far[k] = 1 / (1 + grown);
        exponent[k] = g->a * log(grown * far[k] * far[k]) + g->log_cosh[k] - 2 * far[k] * t;
        highest = exponent[k] > highest ? exponent[k] : highest;
    }
    for (int k = 0; k < NODES; k++) {
        const double weight = exp(exponent[k] - highest);
        whole += weight, first += weight * far[k], exponent[k] = weight;
    }
    first /= whole;
    for (int k = 0; k < NODES; k++) variance += exponent[k] * (far[k] - first) * (far[k] - first);
    variance /= whole;
    const double below = n + t * (1 - 2 * first), ratio = t / below;
    values[0] = t + highest + log(whole) + log(below) + g->constant;
    values[1] = t * ratio;
    if (!b->d) return;
    const double slope = t / below * ((n - 4 * t * t * variance) / below);
    const double d = ((b->log_weight + b->moment_weight) * ratio + b->moment_weight * slope) / (double)b->n;
    b->d[i] = (REAL)((b->adds ? (double)b->d[i] : 0) + d);
}

static int bessel_means(const Bessel *b, int threads, double *means, Each each)
{
    const Grid g = grid_of(b->dimensions);
    double *values = b->n ? malloc(sizeof(double) * 2 * (size_t)b->n) : 0;
    if (!values) return b->n ? 2 : 3;
    PARALLEL(threads > 1 && b->n * NODES >= WORTHWHILE)
    for (int64_t i = 0; i < b->n; i++) bessel_row(b, &g, i, values + 2 * i);
    int status = 0;
    for (int k = 0; k < 2; k++) {
        double sum = 0;
        for (int64_t i = 0; i < b->n; i++) sum += values[2 * i + k];
        means[k] = sum / (double)b->n;
        if (!status && each.loss) status = add_each(each, k ? b->moment_weight : b->log_weight, values + k, 2, b->n);
    }
    free(values);
    (void)threads;
    return status;
}
