/* tests/kernels/check.c: what the harness proves about one case, one seed and one table.
 *
 * First the case runs on a queue that has failed already, where ops do nothing: its memory shows what every other
 * run begins with. Then each table runs dry, which must change nothing, states included, and the scratch that this
 * measures is all that the real runs get.
 *
 *   contained    everything but the elements of outputs is as it began: guard bands, row padding, inputs, packed
 *                weights, the ends of the scratch, rows that nobody owns
 *   written      outputs begin as 0xFF, which is NaN in every type; what is left so was not written
 *   right        each element is within its tolerance of ref; infinities and NaN match
 *   repeatable   a second run, from other rubbish and on three threads instead of one, gives the same bits
 *   alone        some units of the case by themselves give the bits they gave in company; where a device chooses
 *                kernels by the number of rows, they are right instead
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/kernels/kt_private.h"

enum { SCRATCH_GUARD = 1 << 16 };

/* Where a failure is told, and whether one was: the first of a run is enough. */
typedef struct report {
    const kt_case *c;
    const kt_table *table;
    uint64_t seed;
    const char *what; /* "" or " (alone)": the run that failed */
    int failures;
    double *largest; /* error beyond rounding, as a part of its tolerance */
} report;

static void fail(report *r, const char *format, ...) TSR_PRINTF(2, 3);
static void fail(report *r, const char *format, ...)
{
    if (r->failures++) return;
    printf("FAIL %s/%s%s ", r->c->name, r->table->label, r->what);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("; replay with: kernels %s --seed %" PRIu64, r->c->name, r->seed);
    if (r->table->level) printf(" --level %s", r->table->level);
    printf("\n");
}

/* ---------------------------------------------------------------- one run ------------------------------- */

typedef struct run_opts {
    size_t scratch; /* 0: dry */
    bool dry, alone, sizes;
    bool idle; /* dry, and the queue has failed: no op runs */
    int alone_no;
    unsigned char fill;
    tsr_pool *pool;
} run_opts;

/* Run the case into t; the peak of the scratch is returned. */
static size_t run(kt *t, report *r, run_opts o)
{
    kt_begin(t, r->seed, o.fill);
    t->alone = o.alone;
    t->part_rng += (uint64_t)o.alone_no;
    t->sizes = o.sizes;
    t->dry = o.dry;
    tsr_status st = tsr_queue_open(&t->q, &r->table->ops, o.pool, TSR_F32, 0);
    if (st) {
        fail(r, "queue: %s", tsr_message());
        return 0;
    }
    if (o.idle) tsr_queue_fail(t->q, TSR_E_CANCELLED, "idle");
    unsigned char *block = NULL;
    size_t bytes = o.scratch + 2 * SCRATCH_GUARD;
    if (!o.dry) {
        block = tsr_alloc_aligned(TSR_ARENA_ALIGN, bytes);
        if (!block) exit(1);
        memset(block, 0xff, bytes);
        memset(block + SCRATCH_GUARD, o.fill, o.scratch);
        t->q->dry = false;
        t->q->scratch.base = block + SCRATCH_GUARD;
        t->q->scratch.capacity = o.scratch;
    }
    if (r->table->marshalled) kt_marshal_begin(t, block, bytes);
    r->c->run(t);
    if (r->table->marshalled) kt_marshal_end(t);

    size_t peak = t->q->scratch.peak, left = t->q->scratch.used;
    for (size_t i = 0; block && i < SCRATCH_GUARD; i++)
        if (block[i] != 0xff || block[bytes - 1 - i] != 0xff) {
            fail(r, "scratch: guard changed");
            break;
        }
    tsr_free(block);
    t->q->scratch.base = NULL;
    st = tsr_queue_sync(t->q);
    if (st && st != t->want_status && !o.idle)
        fail(r, "queue failed: %s", tsr_message());
    else if (!o.dry && st != t->want_status)
        fail(r, "queue did not fail");
    if (t->overrun) fail(r, "linear_pack wrote outside its block");
    if (left) fail(r, "%zu bytes of scratch were not released", left);
    tsr_queue_close(t->q);
    t->q = NULL;
    return peak;
}

/* ---------------------------------------------------------------- contained ----------------------------- */

/* May this run write row r of b? */
static bool owned(const kt *t, const kt_buffer *b, int64_t r)
{
    if (t->dry || (b->kind != KT_OUTPUT && b->kind != KT_STATE)) return false;
    return !b->owner || (b->owner[r] >= t->first && b->owner[r] < t->end);
}

/* The first difference of two stretches of memory, or n. */
static size_t differs(const unsigned char *a, const unsigned char *b, size_t n)
{
    if (!memcmp(a, b, n)) return n;
    size_t i = 0;
    while (a[i] == b[i]) i++;
    return i;
}

static const char *name_of(const kt_buffer *b)
{
    return b->name ? b->name : "input";
}

/* Everything outside the elements this run owns is as in `before`, where no op ran. */
static void check_contained(report *rep, const kt *t, const kt *before)
{
    for (int64_t i = 0; i < t->n_buffers; i++) {
        const kt_buffer *b = &t->buffers[i], *old = &before->buffers[i];
        if (b->kind == KT_SEALED) {
            if (memcmp(b->block, b->sealed, b->bytes)) fail(rep, "packed weight changed");
            continue;
        }
        const unsigned char *p = b->block, *end = b->block + b->bytes;
        size_t row_bytes = (size_t)b->view.cols * tsr_dtype_bytes(b->view.type);
        for (int64_t r = 0; r <= b->view.rows; r++) { /* the gap before row r, then row r */
            const unsigned char *row = r < b->view.rows ? tsr_row(b->view, r) : end;
            size_t gap = (size_t)(row - p);
            if (differs(p, old->block + (p - b->block), gap) < gap) {
                fail(rep, "%s[%" PRId64 ", %" PRId64 "]: guard changed", name_of(b), r ? r - 1 : 0,
                     r ? b->view.cols : -1);
                return;
            }
            if (r == b->view.rows) break;
            if (!owned(t, b, r)) {
                size_t at = row_bytes;
                if (b->kind == KT_OUTPUT) {
                    for (at = 0; at < row_bytes && row[at] == t->fill;) at++;
                } else {
                    at = differs(row, old->block + (row - b->block), row_bytes);
                }
                if (at < row_bytes) {
                    fail(rep, "%s[%" PRId64 ", %zu]: %s changed", name_of(b), r,
                         at / tsr_dtype_bytes(b->view.type),
                         b->kind == KT_INPUT ? "input" : "a row that is not this run's");
                    return;
                }
            }
            p = row + row_bytes;
        }
    }
}

/* ---------------------------------------------------------------- right --------------------------------- */

static double largest(tsr_view v, int64_t r, int64_t begin, int64_t end)
{
    double max = 0;
    for (int64_t c = begin; c < end; c++) {
        double a = fabs(kt_at(v, r, c));
        if (isfinite(a) && a > max) max = a;
    }
    return max;
}

static double allowed(kt_tol tol, tsr_view want_view, int64_t r, int64_t c, double want, double size)
{
    double allow = tol.relative * fabs(want) + tol.terms * size;
    return tol.steps ? allow + tol.steps * kt_step_at(want_view, r, c, want) : allow;
}

static bool same(double got, double want, double allow)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got)) return got == want;
    return fabs(got - want) <= allow;
}

static bool still_filled(const kt *t, tsr_view v, int64_t r, int64_t c)
{
    size_t each = tsr_dtype_bytes(v.type);
    const unsigned char *p = (const unsigned char *)tsr_row(v, r) + (size_t)c * each;
    for (size_t i = 0; i < each; i++)
        if (p[i] != t->fill) return false;
    return true;
}

/* Keep the largest error that is left when the output's own rounding, which may take it all, is put aside. */
static void note(report *rep, double error, double allow, double rounding)
{
    double part = (error - rounding) / (allow - rounding);
    if (error > rounding && part > *rep->largest) *rep->largest = part;
}

/* Compare two views of one shape, element by element. Returns how many differ and tells the first. */
static int64_t compare(report *rep, const kt *t, const char *name, tsr_view got, tsr_view want, kt_tol tol,
                       const double *size, bool was_filled)
{
    int64_t wrong = 0, first_r = 0, first_c = 0;
    for (int64_t r = 0; r < want.rows; r++) {
        int64_t group = tol.group ? tol.group : want.cols;
        double max = 0;
        for (int64_t c = 0; c < want.cols; c++) {
            if (!size && tol.terms && c % group == 0)
                max = largest(want, r, c, c + group < want.cols ? c + group : want.cols);
            double w = kt_at(want, r, c);
            double allow = allowed(tol, want, r, c, w, size ? size[r * want.cols + c] : max);
            double g = kt_at(got, r, c);
            if (same(g, w, allow)) {
                note(rep, fabs(g - w), allow, tol.steps ? tol.steps * kt_step_at(want, r, c, w) : 0);
                continue;
            }
            if (wrong++ == 0) first_r = r, first_c = c;
        }
    }
    if (wrong == 0) return 0;
    if (was_filled && still_filled(t, got, first_r, first_c)) {
        fail(rep, "%s[%" PRId64 ", %" PRId64 "]: never written, or NaN (%" PRId64 " of %" PRId64 " differ)",
             name, first_r, first_c, wrong, want.rows * want.cols);
        return wrong;
    }
    int64_t group = tol.group ? tol.group : want.cols, begin = first_c / group * group;
    double w = kt_at(want, first_r, first_c),
           s = size ? size[first_r * want.cols + first_c]
                    : largest(want, first_r, begin, begin + group < want.cols ? begin + group : want.cols);
    fail(rep,
         "%s[%" PRId64 ", %" PRId64 "]: got %.9g, want %.9g, tolerance %.3g (%" PRId64 " of %" PRId64
         " differ)",
         name, first_r, first_c, kt_at(got, first_r, first_c), w, allowed(tol, want, first_r, first_c, w, s),
         wrong, want.rows * want.cols);
    return wrong;
}

static void check_right(report *rep, const kt *t, const kt *ref)
{
    for (int64_t i = 0; i < t->n_buffers; i++) {
        const kt_buffer *got = &t->buffers[i], *want = &ref->buffers[i];
        if (got->kind != KT_OUTPUT && got->kind != KT_STATE) continue;
        if (compare(rep, t, got->name, got->view, want->view, want->tol, want->size, got->kind == KT_OUTPUT))
            return;
    }
}

static void check_agreements(report *rep, const kt *t, const kt *ref)
{
    for (int64_t i = 0; i < t->n_agreements; i++) {
        const kt_agreement *a = &t->agreements[i];
        const double *size = NULL;
        for (int64_t k = 0; k < t->n_buffers; k++)
            if (t->buffers[k].view.data == a->b.data) size = ref->buffers[k].size;
        compare(rep, t, "two ways", a->a, a->b, a->tol, size, false);
    }
}

/* No owned element of ref's own run is left as it began: there is no other to compare with. */
static void check_written(report *rep, const kt *t)
{
    for (int64_t i = 0; i < t->n_buffers; i++) {
        const kt_buffer *b = &t->buffers[i];
        if (b->kind != KT_OUTPUT) continue;
        for (int64_t r = 0; r < b->view.rows; r++)
            for (int64_t c = 0; c < b->view.cols && owned(t, b, r); c++)
                if (still_filled(t, b->view, r, c)) {
                    fail(rep, "%s[%" PRId64 ", %" PRId64 "]: never written", b->name, r, c);
                    return;
                }
    }
}

/* ---------------------------------------------------------------- the same bits ------------------------- */

/* The elements that t owns have the bits they have in `other`. Returns false and tells the first that has not. */
static bool check_bits(report *rep, const kt *t, const kt *other, const char *why)
{
    for (int64_t i = 0; i < t->n_buffers; i++) {
        const kt_buffer *b = &t->buffers[i], *o = &other->buffers[i];
        if (b->kind != KT_OUTPUT && b->kind != KT_STATE) continue;
        if (!b->owner && t->end - t->first < t->n_units) continue;
        size_t row_bytes = (size_t)b->view.cols * tsr_dtype_bytes(b->view.type);
        for (int64_t r = 0; r < b->view.rows; r++) {
            if (!owned(t, b, r)) continue;
            size_t at = differs(tsr_row(b->view, r), tsr_row(o->view, r), row_bytes);
            if (at == row_bytes) continue;
            int64_t c = (int64_t)(at / tsr_dtype_bytes(b->view.type));
            fail(rep, "%s[%" PRId64 ", %" PRId64 "]: %.9g %s %.9g", b->name, r, c, kt_at(b->view, r, c), why,
                 kt_at(o->view, r, c));
            return false;
        }
    }
    return true;
}

/* ---------------------------------------------------------------- the whole proof ----------------------- */

/* One case and seed: what all tables share. */
typedef struct proof {
    const kt_case *c;
    uint64_t seed;
    tsr_pool *one, *three;
    double *largest;
    kt idle, ref;
} proof;

static void check_again(const proof *p, report *rep, const kt *whole, size_t scratch)
{
    kt again = {0};
    rep->what = " (again)";
    run(&again, rep, (run_opts){.scratch = scratch, .fill = 0x7b, .pool = p->three});
    check_contained(rep, &again, &p->idle);
    report quiet = *rep;
    quiet.failures = 1;
    if (!check_bits(&quiet, &again, whole, "")) {
        kt third = {0};
        run(&third, rep, (run_opts){.scratch = scratch, .fill = 0x7b, .pool = p->one});
        if (check_bits(rep, &third, whole, "from other rubbish on the same threads, before"))
            check_bits(rep, &again, whole, "on three threads, on one");
        kt_end(&third);
    }
    kt_end(&again);
}

/* The rows that t owns are within their tolerance of ref. */
static void check_own_rows(report *rep, const kt *t, const kt *ref)
{
    for (int64_t i = 0; i < t->n_buffers && !rep->failures; i++) {
        const kt_buffer *b = &t->buffers[i], *want = &ref->buffers[i];
        if (b->kind != KT_OUTPUT && b->kind != KT_STATE) continue;
        for (int64_t r = 0; r < b->view.rows && !rep->failures; r++)
            if (owned(t, b, r))
                compare(rep, t, b->name, tsr_rows(b->view, r, 1), tsr_rows(want->view, r, 1), want->tol,
                        want->size ? want->size + r * want->view.cols : NULL, b->kind == KT_OUTPUT);
    }
}

static void check_alone(const proof *p, report *rep, const kt *whole, size_t scratch, int times)
{
    bool by_rows = rep->c->by_rows && rep->table->device;
    rep->what = " (alone)";
    for (int i = 1; i <= times && whole->n_units > 1 && !rep->failures; i++) {
        kt part = {0};
        run(&part, rep,
            (run_opts){.scratch = scratch, .fill = 0xff, .pool = p->three, .alone = true, .alone_no = i});
        check_contained(rep, &part, &p->idle);
        if (by_rows)
            check_own_rows(rep, &part, &p->ref);
        else
            check_bits(rep, &part, whole, "alone, in company");
        kt_end(&part);
    }
}

bool kt_same_slots(const kt_case *c, const tsr_ops *a, const tsr_ops *b)
{
    const char *slots_a = (const char *)&a->norm, *slots_b = (const char *)&b->norm;
    size_t each = sizeof a->norm, loading = offsetof(tsr_ops, linear_bytes);
    uint32_t ops = c->calls | (uint32_t)1 << c->op;
    for (size_t op = 0; op < TSR_N_OPS; op++) /* slots stand in the order of the ops' numbers */
        if (ops >> op & 1 && memcmp(slots_a + op * each, slots_b + op * each, each)) return false;
    return !c->loads || !memcmp((const char *)a + loading, (const char *)b + loading, sizeof *a - loading);
}

/* The table's whole run goes into `whole`, which is the proof's own ref for ref itself. */
static int check_table(const proof *p, const kt_table *table, kt *whole)
{
    report rep = {.c = p->c, .table = table, .seed = p->seed, .what = " (dry)", .largest = p->largest};
    bool is_ref = whole == &p->ref;
    kt dry = {0};
    size_t scratch = run(&dry, &rep, (run_opts){.dry = true, .fill = 0xff, .pool = p->one});
    check_contained(&rep, &dry, &p->idle); /* it owns nothing */
    kt_end(&dry);

    rep.what = "";
    size_t used =
        run(whole, &rep, (run_opts){.scratch = scratch, .fill = 0xff, .pool = p->one, .sizes = is_ref});
    if (used > scratch) fail(&rep, "scratch: %zu bytes used, %zu measured dry", used, scratch);
    check_contained(&rep, whole, &p->idle);
    bool fails = whole->want_status != TSR_OK;
    if (!fails) check_agreements(&rep, whole, &p->ref);
    if (!fails && !is_ref) check_right(&rep, whole, &p->ref);
    if (!fails && is_ref) check_written(&rep, whole);
    if (!fails && !is_ref && !rep.failures) check_again(p, &rep, whole, scratch);
    if (!fails && !rep.failures) check_alone(p, &rep, whole, scratch, is_ref ? 1 : 2);
    return rep.failures ? 1 : 0;
}

int kt_check(const kt_case *c, uint64_t seed, const kt_table *tables, int n_tables, tsr_pool *one,
             tsr_pool *three, double *largest)
{
    proof p = {.c = c, .seed = seed, .one = one, .three = three, .largest = largest};
    report rep = {.c = c, .table = &tables[0], .seed = seed, .what = " (idle)", .largest = largest};
    run(&p.idle, &rep, (run_opts){.dry = true, .idle = true, .fill = 0xff, .pool = one});
    int failures = rep.failures + check_table(&p, &tables[0], &p.ref);
    for (int i = 1; i < n_tables; i++) {
        bool known = false;
        for (int j = 0; j < i; j++) known = known || kt_same_slots(c, &tables[j].ops, &tables[i].ops);
        if (known || (p.ref.fp8_pages && !tables[i].ops.fp8_pages)) continue;
        kt whole = {0};
        failures += check_table(&p, &tables[i], &whole);
        kt_end(&whole);
    }
    kt_end(&p.idle);
    kt_end(&p.ref);
    return failures;
}

tsr_op_count kt_time(const kt_case *c, int bench, const kt_table *table, tsr_pool *pool, int repeats)
{
    tsr_op_count best = {.seconds = INFINITY};
    size_t scratch = 0; /* measured by the first, dry, round */
    for (int i = 0; i <= repeats; i++) {
        kt t = {0};
        kt_begin(&t, 1, 0);
        t.bench = bench;
        if (tsr_queue_open(&t.q, &table->ops, pool, TSR_F32, i ? scratch + TSR_ARENA_ALIGN : 0)) exit(1);
        t.q->timed = true;
        if (table->marshalled) kt_marshal_begin(&t, t.q->scratch.base, t.q->scratch.capacity);
        c->run(&t);
        if (table->marshalled) kt_marshal_end(&t);
        scratch = t.q->scratch.peak;
        tsr_op_count sum = {0};
        for (int op = 0; op < TSR_N_OPS; op++) {
            sum.flops += t.q->counts[op].flops;
            sum.bytes += t.q->counts[op].bytes;
            sum.seconds += t.q->counts[op].seconds;
        }
        if (tsr_queue_sync(t.q)) {
            fprintf(stderr, "kernels: %s: %s\n", c->name, tsr_message());
            exit(1);
        }
        if (i == 0 || sum.seconds < best.seconds) best = sum;
        if (i == 0) best.seconds = INFINITY;
        tsr_queue_close(t.q);
        t.q = NULL;
        kt_end(&t);
    }
    return best;
}
