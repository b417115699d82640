/* Means over draws and rows of sum_i p(i) sum_j p(j|i) ... w, where every p is a softmax of the logits of one variable.
   w at a draw, classes and row is sums of loops times their weights, or logarithms of softmaxes, of what is summed over
   or of what is observed. The mean is linear in w, so that the share of w is known before w is. A class of probability 0
   does not count, nor does its slope.
   Axes: rows, draws, and classes, class 0 next to the rows. Values are kept with the rows last and the draws first. */

enum { OF_ROWS = 1, OF_DRAWS = 2 };
#define CLASS(k) (2 + (k))
#define OF_CLASS(k) (1 << CLASS(k))
#define FEW 256 /* elements of an event, up to which those of several rows are computed together */
#define SIDE 16 /* products of such elements that are computed side by side */

typedef struct {
    const REAL *logits;
    REAL *d;              /* where their gradient goes, or NULL */
    int adds;             /* whether others add to it: it was cleared before */
    int64_t n, classes, rows;
    double *p, *log_p;    /* the softmax and its logarithm, rows last */
    double *slope;        /* of the loss by that logarithm */
    double *room;         /* two numbers a row */
} Table;

typedef struct {
    int table, own, axes; /* whose softmax; the axis of its own classes; all of its axes */
} Weights;

typedef struct {
    Weights of;
    double factor;
} Logarithm;

typedef struct Expectation Expectation;
typedef struct Observed Observed;
/* Adds values inside of all sums, and writes gradients by their shares. */
typedef int Inside(const Expectation *e, int inside, const double *shares, double scale, int threads, double *values);

struct Expectation {
    int64_t size[AXES];
    Table *tables;
    int steps, logarithms, loops;
    Weights step[AXES];          /* what sums over a class, the outermost first */
    Logarithm logarithm[LOGARITHMS];
    Loop *loop;
    const int *axes;             /* of every operand of every loop, before its event */
    const int64_t *events;
    int observations, observed_axes; /* of all that is observed */
    const Observed *observed;
    int64_t observed_cells;
    Inside *observe;
    double weight;               /* derivative of the loss by the mean */
};

INLINE double shared_by(double share, double value) { return share == 0 ? 0 : share * value; }

/* e^t for t <= 0 in double precision, to a unit in the last place; 0 where that is no normal number */
INLINE double wide_exponential(double t)
{
    const double c = t < -708.0 ? -708.0 : t, shifted = c * 1.44269504088896340736 + 0x1.8p52, n = shifted - 0x1.8p52;
    const double f = c - n * 0x1.62e42feep-1 - n * 0x1.a39ef35793c76p-33; /* c = n log 2 + f */
    double y = 1.0 / 6227020800, power;
    y = y * f + 1.0 / 479001600;
    y = y * f + 1.0 / 39916800;
    y = y * f + 1.0 / 3628800;
    y = y * f + 1.0 / 362880;
    y = y * f + 1.0 / 40320;
    y = y * f + 1.0 / 5040;
    y = y * f + 1.0 / 720;
    y = y * f + 1.0 / 120;
    y = y * f + 1.0 / 24;
    y = y * f + 1.0 / 6;
    y = y * f + 0.5;
    int64_t last; /* n, in the last bits of what was shifted */
    memcpy(&last, &shifted, sizeof last);
    const int64_t scaled = (int64_t)((uint64_t)(last + 1023) << 52);
    memcpy(&power, &scaled, sizeof power);
    return t < -708.0 ? 0 : (1 + (y * (f * f) + f)) * power;
}

/* The softmax of the logits of some rows, class by class, 0 where the tensors' own numbers have none so small; and its
   logarithm, which keeps its digits where a class is sure. */
static void softmax(const REAL *a, int64_t classes, int64_t rows, double *p, double *log_p, double *top, double *norm)
{
    for (int64_t b = 0; b < rows; b++) top[b] = (double)a[b * classes], norm[b] = 0;
    for (int64_t k = 0; k < classes; k++)
        for (int64_t b = 0; b < rows; b++) {
            const double t = log_p[k * rows + b] = (double)a[b * classes + k];
            top[b] = t > top[b] ? t : top[b];
        }
    for (int64_t k = 0; k < classes; k++)
        for (int64_t b = 0; b < rows; b++) log_p[k * rows + b] -= top[b];
    for (int64_t b = 0; b < rows; b++) top[b] = 0; /* from here on, whether its 1 was met, which is added last */
    for (int64_t k = 0; k < classes; k++) {
        LOOP
        for (int64_t b = 0; b < rows; b++) {
            const double e = p[k * rows + b] = wide_exponential(log_p[k * rows + b]), largest = e == 1 && top[b] == 0;
            norm[b] += largest ? 0 : e;
            top[b] += largest;
        }
    }
    for (int64_t b = 0; b < rows; b++) top[b] = log1p(norm[b]), norm[b] += 1;
    for (int64_t k = 0; k < classes; k++)
        for (int64_t b = 0; b < rows; b++) {
            const double share = p[k * rows + b] / norm[b];
            p[k * rows + b] = (REAL)share == 0 ? 0 : share;
            log_p[k * rows + b] -= top[b];
        }
}

static int softmaxes(Table *tables, int count)
{
    for (int i = 0; i < count; i++) {
        Table *t = &tables[i];
        const int64_t block = t->classes * t->rows;
        if (!t->n || !block || t->n % block) return 3;
        if (!(t->p = calloc((size_t)(3 * t->n + 2 * t->rows), sizeof(double)))) return 2;
        t->log_p = t->p + t->n, t->slope = t->log_p + t->n, t->room = t->slope + t->n;
        for (int64_t at = 0; at < t->n; at += block)
            softmax(t->logits + at, t->classes, t->rows, t->p + at, t->log_p + at, t->room, t->room + t->rows);
    }
    return 0;
}

/* gradients by the logits, from those by logarithms of softmaxes */
static int logits_slopes(Table *tables, int count, int status)
{
    for (int i = 0; i < count; i++) {
        const Table *t = &tables[i];
        const int64_t classes = t->classes, rows = t->rows;
        for (int64_t at = 0; !status && t->d && at < t->n; at += classes * rows) {
            memset(t->room, 0, sizeof(double) * (size_t)rows);
            for (int64_t k = 0; k < classes; k++)
                for (int64_t b = 0; b < rows; b++) t->room[b] += t->slope[at + k * rows + b];
            for (int64_t k = 0; k < classes; k++)
                for (int64_t b = 0; b < rows; b++) {
                    REAL *d = t->d + at + b * classes + k;
                    const double p = t->p[at + k * rows + b], slope = t->slope[at + k * rows + b];
                    *d = (REAL)(slope - shared_by(p, t->room[b]) + (t->adds ? (double)*d : 0));
                }
        }
        free(t->p);
    }
    return status;
}

/* how many values there are along some axes */
static int64_t cells(const Expectation *e, int axes)
{
    int64_t n = 1;
    for (int a = 0; a < AXES; a++) n *= axes >> a & 1 ? e->size[a] : 1;
    return n;
}

/* how far it is to the next value along each axis: first rows, then a table's own classes, other classes, draws */
static void strides(const Expectation *e, int axes, int own, int64_t *stride)
{
    int64_t n = 1;
    memset(stride, 0, sizeof(int64_t) * AXES);
    for (int i = 0; i < AXES + 1; i++) {
        const int a = i == 1 ? own : i < AXES ? i : 1;
        if (a < 0 || !(axes >> a & 1) || stride[a]) continue;
        stride[a] = n;
        n *= e->size[a];
    }
}

/* the next classes and draw along some axes; 0 after the last */
static int another(const Expectation *e, int axes, int64_t *index)
{
    for (int a = 1; a < AXES; a++) {
        if (!(axes >> a & 1)) continue;
        if (++index[a] < e->size[a]) return 1;
        index[a] = 0;
    }
    return 0;
}

static int64_t found_at(const int64_t *stride, const int64_t *index)
{
    int64_t at = 0;
    for (int a = 1; a < AXES; a++) at += stride[a] * index[a];
    return at;
}

/* The same over rows, where a value may be that of all: its stride is 0. */
INLINE void inward_rows(int64_t n, const double *share, int64_t a, const double *p, int64_t b, double *restrict to,
                        int64_t c)
{
    for (int64_t i = 0; i < n; i++) to[i * c] += share[i * a] * p[i * b];
}

INLINE void outward_rows(int64_t n, const double *share, int64_t a, const double *p, int64_t b, const double *value,
                         int64_t c, double scale, double *restrict sum, double *restrict slope)
{
    for (int64_t i = 0; i < n; i++) {
        const double part = shared_by(p[i * b], value[i * c]);
        sum[i * a] += part;
        slope[i * b] += shared_by(scale * share[i * a], part);
    }
}

/* what is outside of a sum times the probabilities: the shares of what is inside */
static void inward(const Expectation *e, Weights w, int outside, int inside, const double *shares, double *to)
{
    int64_t index[AXES] = {0}, out[AXES], in[AXES], own[AXES];
    const int64_t n = (inside | w.axes) & OF_ROWS ? e->size[0] : 1;
    strides(e, outside, -1, out);
    strides(e, inside, -1, in);
    strides(e, w.axes, w.own, own);
    do {
        const double *share = shares + found_at(out, index), *p = e->tables[w.table].p + found_at(own, index);
        double *here = to + found_at(in, index);
        if (out[0] & own[0] & in[0]) inward_rows(n, share, 1, p, 1, here, 1);
        else inward_rows(n, share, out[0], p, own[0], here, in[0]);
    } while (another(e, inside | w.axes, index));
}

/* the sum of what is inside by its probabilities, and the slope by their logarithms */
static void outward(const Expectation *e, Weights w, int outside, int inside, const double *shares, double scale,
                    const double *values, double *to)
{
    int64_t index[AXES] = {0}, out[AXES], in[AXES], own[AXES];
    const int64_t n = (inside | w.axes) & OF_ROWS ? e->size[0] : 1;
    strides(e, outside, -1, out);
    strides(e, inside, -1, in);
    strides(e, w.axes, w.own, own);
    do {
        const double *p = e->tables[w.table].p + found_at(own, index), *value = values + found_at(in, index);
        const double *share = shares + found_at(out, index);
        double *sum = to + found_at(out, index), *slope = e->tables[w.table].slope + found_at(own, index);
        if (out[0] & own[0] & in[0]) outward_rows(n, share, 1, p, 1, value, 1, scale, sum, slope);
        else outward_rows(n, share, out[0], p, own[0], value, in[0], scale, sum, slope);
    } while (another(e, inside | w.axes, index));
}

/* a logarithm as a value inside of all sums; its slope is the share */
static void logarithm_inside(const Expectation *e, Logarithm l, int inside, const double *shares, double scale,
                             double *values)
{
    int64_t index[AXES] = {0}, in[AXES], own[AXES];
    strides(e, inside, -1, in);
    strides(e, l.of.axes, l.of.own, own);
    do {
        const int64_t at = found_at(own, index);
        const double *log_p = e->tables[l.of.table].log_p + at, *share = shares + found_at(in, index);
        double *value = values + found_at(in, index), *slope = e->tables[l.of.table].slope + at;
        for (int64_t b = 0; b < (inside & OF_ROWS ? e->size[0] : 1); b++) {
            value[b * in[0]] += l.factor * log_p[b * own[0]];
            slope[b * own[0]] += scale * l.factor * share[b * in[0]];
        }
    } while (another(e, inside, index));
}

/* one event of a loop, of which gradients are wanted times its share */
static double alone(const Loop *loop, int64_t event, double share)
{
    Loop one = *loop;
    double sums[SUMS] = {0}, value = 0;
    for (int m = 0; m < one.sums; m++) one.scale[m] = (REAL)(one.weight[m] * share);
    strip(&one, 0, event, sums);
    for (int m = 0; m < one.sums; m++) value += one.weight[m] * sums[m];
    return value;
}

INLINE double added_up(const REAL *x, int n)
{
    double sum = 0;
    LOOP_SUM(sum)
    for (int j = 0; j < n; j++) sum += (double)x[j];
    return sum;
}

/* (1 + x_1) (1 + x_2) ... - 1, which loses no digit of small numbers: some products side by side, then theirs */
INLINE double compounded(const REAL *x, int n)
{
    double part[SIDE] = {0}, whole = 0;
    for (int from = 0; from < n; from += SIDE) {
        const int width = n - from < SIDE ? n - from : SIDE;
        if (width == SIDE) {
            LOOP
            for (int j = 0; j < SIDE; j++) part[j] += (double)x[from + j] + part[j] * (double)x[from + j];
        } else {
            for (int j = 0; j < width; j++) part[j] += (double)x[from + j] + part[j] * (double)x[from + j];
        }
    }
    for (int j = 0; j < SIDE; j++) whole += part[j] + whole * part[j];
    return whole;
}

/* Small events of some rows side by side, so that no lane is idle; their gradients get the rows' shares afterwards. */
static void together(const Loop *loop, const int *axes, int64_t event, int64_t rows, const double *share, double *value)
{
    REAL copy[OPERANDS][CHUNK], part[OPERANDS][CHUNK], last[OPERANDS][LANES] = {{0}}, row[ROWS][LANES];
    const REAL *in[OPERANDS] = {0};
    REAL *d[OPERANDS] = {0};
    double sums[ROWS] = {0};
    int64_t b = 0, left = event; /* the row, and how many of its elements are still to come */
    for (int o = 0; o < loop->operands; o++) {
        in[o] = axes[o] & OF_ROWS ? loop->in[o] : window(loop->in[o], event, 0, event * rows, copy[o]);
        d[o] = part[o];
    }
    for (int64_t done = 0; done < event * rows; done += LANES) {
        const int n = (int)(event * rows - done < LANES ? event * rows - done : LANES);
        for (int o = 0; o < loop->operands && n < LANES; o++) in[o] = memcpy(last[o], in[o], sizeof(REAL) * (size_t)n);
        memset(row, 0, sizeof row);
        loop->span[loop->want](in, d, loop->scale, row);
        for (int o = 0; o < loop->operands; o++) in[o] += LANES, d[o] += LANES;
        for (int from = 0; from < n;) {
            const int to = n - from < left ? n : from + (int)left;
            for (int r = 0; r < loop->rows; r++) {
                const double x = loop->factor[r] != 0 ? compounded(row[r] + from, to - from) : added_up(row[r] + from, to - from);
                sums[r] += loop->factor[r] != 0 ? x + sums[r] * x : x;
            }
            left -= to - from, from = to;
            if (left) continue;
            double w = 0;
            for (int r = 0; r < loop->rows; r++) {
                w += loop->weight[loop->sum[r]] * (loop->factor[r] != 0 ? loop->factor[r] * log1p(sums[r]) : sums[r]);
                sums[r] = 0;
            }
            value[b] += share[b] == 0 ? 0 : w;
            b++, left = event;
        }
    }
    for (int o = 0; o < loop->operands; o++)
        for (int64_t i = 0; loop->d[o] && i < rows; i++) {
            const REAL *rough = part[o] + i * event, c = (REAL)share[i];
            const int64_t at = axes[o] & OF_ROWS ? i * event : 0;
            double *sum = loop->repeated[o] ? loop->repeated[o] + at : 0;
            REAL *to = loop->d[o] + at;
            if (c == 0) {
                if (!sum && !loop->shared[o]) memset(to, 0, sizeof(REAL) * (size_t)event);
            } else if (sum) {
                for (int64_t j = 0; j < event; j++) sum[j] += (double)(c * rough[j]);
            } else if (loop->shared[o]) {
                for (int64_t j = 0; j < event; j++) to[j] += c * rough[j];
            } else {
                for (int64_t j = 0; j < event; j++) to[j] = c * rough[j];
            }
        }
}

/* Adds the values of a loop at rows from..to of one draw and of one class of each axis. */
static void of_rows(const Loop *loop, const int *axes, int64_t event, int64_t from, int64_t to, const double *share,
                    double scale, double *value)
{
    Loop one = *loop;
    for (int o = 0; o < one.operands; o++) one.n[o] = event, one.shared[o] |= one.repeated[o] != 0;
    one.size = event;
    if (event <= FEW) {
        for (int m = 0; m < one.sums; m++) one.scale[m] = (REAL)(one.weight[m] * scale);
        for (int o = 0; o < one.operands; o++) {
            const int64_t at = axes[o] & OF_ROWS ? from * event : 0;
            one.in[o] += at;
            if (one.repeated[o]) one.repeated[o] += at;
            if (one.d[o]) one.d[o] += at;
        }
        together(&one, axes, event, to - from, share + from, value + from);
        return;
    }
    for (int64_t b = from; b < to; b++) {
        Loop here = one;
        for (int o = 0; o < one.operands; o++) {
            const int64_t at = axes[o] & OF_ROWS ? b * event : 0;
            here.in[o] += at;
            if (here.repeated[o]) here.repeated[o] += at;
            if (here.d[o]) here.d[o] += at;
            if (share[b] == 0 && here.d[o] && !here.shared[o]) memset(here.d[o], 0, sizeof(REAL) * (size_t)event);
        }
        if (share[b] != 0) value[b] += alone(&here, event, share[b] * scale);
    }
}

/* the values of a loop inside of all sums; gradients of what repeats are added up in double precision */
static int values_of(const Expectation *e, int l, int inside, const double *shares, double scale, int threads,
                     double *values)
{
    Loop loop = e->loop[l];
    const int *axes = e->axes + l * OPERANDS;
    const int64_t event = e->events[l], all = cells(e, inside) * event, rows = inside & OF_ROWS ? e->size[0] : 1;
    const int64_t tile = event && event <= FEW ? CHUNK / event : 1, tiles = (rows + tile - 1) / tile;
    int64_t in[AXES], stride[OPERANDS][AXES];
    int status = 0, serial = 0;
    strides(e, inside, -1, in);
    for (int o = 0; o < loop.operands; o++) {
        const int one_draw = loop.n[o] != event * cells(e, axes[o]);
        strides(e, one_draw ? axes[o] & ~OF_DRAWS : axes[o], -1, stride[o]);
        if (!loop.d[o]) continue;
        if (loop.want < loop.level[o]) loop.want = loop.level[o];
        if (loop.n[o] == all) continue;
        if (!(loop.repeated[o] = calloc((size_t)loop.n[o], sizeof(double)))) status = 2;
        serial |= !(axes[o] & OF_ROWS);
    }
    PARALLEL(threads > 1 && all >= WORTHWHILE && !serial)
    for (int64_t t = 0; t < (status ? 0 : tiles); t++) {
        int64_t index[AXES] = {0};
        do {
            Loop here = loop;
            for (int o = 0; o < loop.operands; o++) {
                const int64_t at = event * found_at(stride[o], index);
                here.in[o] += at;
                if (here.repeated[o]) here.repeated[o] += at;
                if (here.d[o]) here.d[o] += at;
            }
            const int64_t at = found_at(in, index), to = (t + 1) * tile < rows ? (t + 1) * tile : rows;
            of_rows(&here, axes, event, t * tile, to, shares + at, scale, values + at);
        } while (another(e, inside, index));
    }
    for (int o = 0; o < loop.operands; o++) {
        double *from = loop.repeated[o];
        REAL *to = loop.d[o];
        for (int64_t i = 0; from && i < loop.n[o]; i++) to[i] = (REAL)(from[i] + (loop.shared[o] ? (double)to[i] : 0));
        free(from);
    }
    (void)threads, (void)all, (void)serial;
    return status;
}

/* Learns the number of draws from what has some; 3 where it fits no other. */
static int drawn(Expectation *e, int *axes, int64_t n, int64_t event)
{
    const int64_t one = event * cells(e, *axes & ~OF_DRAWS);
    if (!one || !n || n % one) return 3;
    if (n == one) *axes &= ~OF_DRAWS;
    else if (!(*axes & OF_DRAWS) || (e->size[1] != 1 && e->size[1] != n / one)) return 3;
    else e->size[1] = n / one;
    return 0;
}

static int mean_over_classes(Expectation e, int threads, double *mean, Each each)
{
    int axes[AXES + 1], inside = 0, status = 0; /* of the values inside of the first few sums */
    e.size[1] = 1;
    for (int i = 0; i < e.steps; i++) status |= drawn(&e, &e.step[i].axes, e.tables[e.step[i].table].n, 1);
    for (int i = 0; i < e.logarithms; i++) {
        status |= drawn(&e, &e.logarithm[i].of.axes, e.tables[e.logarithm[i].of.table].n, 1);
        inside |= e.logarithm[i].of.axes;
    }
    for (int l = 0; l < e.loops; l++)
        for (int o = 0; o < e.loop[l].operands; o++) {
            int own = e.axes[l * OPERANDS + o];
            status |= drawn(&e, &own, e.loop[l].n[o], e.events[l]);
            inside |= own;
        }
    if (e.observations) {
        status |= drawn(&e, &e.observed_axes, e.observed_cells, 1);
        inside |= e.observed_axes;
    }
    if (status) return 3;
    int64_t room = cells(&e, axes[e.steps] = inside);
    for (int i = e.steps - 1; i >= 0; i--) {
        axes[i] = (axes[i + 1] | e.step[i].axes) & ~(1 << e.step[i].own);
        room += cells(&e, axes[i]);
    }
    double *value[AXES + 1], *share[AXES + 1], *memory = calloc((size_t)room, 2 * sizeof(double));
    if (!memory) return 2;
    value[0] = memory, share[0] = memory + room;
    for (int i = 0; i < e.steps; i++) {
        value[i + 1] = value[i] + cells(&e, axes[i]);
        share[i + 1] = share[i] + cells(&e, axes[i]);
    }
    const int64_t n = cells(&e, axes[0]);
    const double scale = e.weight / (double)n;
    for (int64_t i = 0; i < n; i++) share[0][i] = 1;
    for (int i = 0; i < e.steps; i++) inward(&e, e.step[i], axes[i], axes[i + 1], share[i], share[i + 1]);
    for (int i = 0; i < e.logarithms; i++)
        logarithm_inside(&e, e.logarithm[i], inside, share[e.steps], scale, value[e.steps]);
    for (int l = 0; l < e.loops && !status; l++)
        status = values_of(&e, l, inside, share[e.steps], scale, threads, value[e.steps]);
    if (e.observations && !status) status = e.observe(&e, inside, share[e.steps], scale, threads, value[e.steps]);
    for (int i = e.steps - 1; i >= 0; i--)
        outward(&e, e.step[i], axes[i], axes[i + 1], share[i], scale, value[i + 1], value[i]);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += value[0][i];
    *mean = sum / (double)n;
    if (each.loss && !status) status = add_each(each, e.weight, value[0], 1, n);
    free(memory);
    return status;
}
