/* tests/kernels/step.c: ragged steps drawn at random: lengths at the edges, slots and pages in disorder. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernels/kt.h"

static void shuffle(kt *t, int32_t *values, int64_t n)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = kt_int(t, 0, i);
        int32_t held = values[i];
        values[i] = values[j];
        values[j] = held;
    }
}

static int64_t at_most(int64_t value, int64_t most)
{
    return value < 1 ? 1 : value > most ? most : value;
}

static int64_t draw_length(kt *t, const kt_step_opts *o)
{
    int64_t c = o->chunk ? o->chunk : 8;
    int64_t drawn = kt_pick(t, 1, 2, 3, 4, c - 1, c, c + 1, 2 * c + 1, 5 * c + 7, kt_int(t, 1, o->max_len));
    return t->bench < 0 ? at_most(drawn, o->max_len) : o->max_len;
}

static int64_t draw_pos(kt *t, const kt_step_opts *o, bool decode)
{
    int64_t c = o->chunk ? o->chunk : 8;
    int64_t drawn = kt_pick(t, 1, c - 1, c, 3 * c, o->max_pos, kt_int(t, 1, o->max_pos));
    bool fresh = kt_chance(t, 50);
    if (t->bench >= 0) return decode ? o->max_pos : 0;
    return fresh && !decode ? 0 : at_most(drawn, o->max_pos);
}

/* The step of sequences first .. end - 1 of `all`. */
static tsr_step part_of(kt *t, const tsr_step *all, int64_t first, int64_t end)
{
    tsr_step s = *all;
    s.n_seqs = end - first;
    s.n_decode = all->n_decode - first;
    if (s.n_decode < 0) s.n_decode = 0;
    if (s.n_decode > s.n_seqs) s.n_decode = s.n_seqs;
    s.n_rows = all->spans.start[end] - all->spans.start[first];
    int32_t *start = malloc((size_t)(s.n_seqs + 1) * sizeof *start);
    if (!start) exit(1);
    s.max_new = s.max_ctx = 0;
    for (int64_t i = 0; i <= s.n_seqs; i++) {
        start[i] = all->spans.start[first + i] - all->spans.start[first];
        if (i == 0) continue;
        int64_t rows = start[i] - start[i - 1], ctx = rows + all->pos[first + i - 1];
        if (rows > s.max_new) s.max_new = rows;
        if (ctx > s.max_ctx) s.max_ctx = ctx;
    }
    s.spans = (tsr_spans){kt_part_ints(t, start, s.n_seqs + 1), s.n_seqs, s.max_new};
    free(start);
    s.pos = all->pos + first;
    s.slot = all->slot + first;
    s.pages = all->pages + first * all->max_pages;
    if (all->sampling) s.sampling = all->sampling + first;
    return s;
}

kt_steps kt_step(kt *t, kt_step_opts o)
{
    kt_steps k = {.page_tokens = o.page_tokens ? o.page_tokens : 16};
    int64_t n = o.n_decode + o.n_prefill;
    k.n_slots = o.n_slots > n ? o.n_slots : n + 2;

    int32_t *start = kt_ints(t, n + 1), *pos = kt_ints(t, n), *slot = kt_ints(t, n);
    int64_t needed = 0, max_pages = 1, max_new = 0, max_ctx = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t rows = i < o.n_decode ? 1 : draw_length(t, &o);
        pos[i] = (int32_t)draw_pos(t, &o, i < o.n_decode);
        start[i + 1] = start[i] + (int32_t)rows;
        int64_t ctx = pos[i] + rows, pages = (ctx + k.page_tokens - 1) / k.page_tokens;
        needed += pages;
        if (pages > max_pages) max_pages = pages;
        if (rows > max_new) max_new = rows;
        if (ctx > max_ctx) max_ctx = ctx;
    }
    k.n_pages = needed + 2;

    k.slot_owner = kt_ints(t, k.n_slots);
    k.page_owner = kt_ints(t, k.n_pages);
    int32_t *slots = kt_ints(t, k.n_slots), *free_pages = kt_ints(t, k.n_pages);
    int32_t *pages = kt_ints(t, n * max_pages);
    for (int64_t i = 0; i < k.n_slots; i++) slots[i] = (int32_t)i, k.slot_owner[i] = -1;
    for (int64_t i = 0; i < k.n_pages; i++) free_pages[i] = (int32_t)i, k.page_owner[i] = -1;
    shuffle(t, slots, k.n_slots);
    shuffle(t, free_pages, k.n_pages);
    int64_t next_page = 0;
    for (int64_t i = 0; i < n; i++) {
        bool nobody = kt_chance(t, 15) && o.nobody && t->bench < 0;
        slot[i] = nobody ? -1 : slots[i];
        if (!nobody) k.slot_owner[slot[i]] = (int32_t)i;
        int64_t n_pages = (pos[i] + start[i + 1] - start[i] + k.page_tokens - 1) / k.page_tokens;
        for (int64_t p = 0; p < max_pages; p++) {
            bool absent = p >= n_pages || (nobody && kt_chance(t, 50));
            pages[i * max_pages + p] = absent ? -1 : free_pages[next_page];
            if (!absent) k.page_owner[free_pages[next_page++]] = (int32_t)i;
        }
    }

    kt_spanwise(t, start, n);
    k.all = (tsr_step){.n_rows = start[n],
                       .n_seqs = n,
                       .n_decode = o.n_decode,
                       .max_new = max_new,
                       .max_ctx = max_ctx,
                       .max_pages = max_pages,
                       .spans = {start, n, max_new},
                       .pos = pos,
                       .slot = slot,
                       .pages = pages};
    k.part = part_of(t, &k.all, t->first, t->end);
    return k;
}

kt_step_opts kt_step_draw(kt *t, int64_t chunk)
{
    kt_step_opts o = {.chunk = chunk, .nobody = true};
    o.n_decode = kt_model(t, kt_pick(t, 0, 0, 1, 2, 5), 1, 0);
    o.n_prefill = kt_model(t, kt_pick(t, 0, 1, 1, 2, 3), 0, 1);
    o.max_len = kt_model(t, 5 * chunk + 7, 1, 512);
    o.max_pos = kt_model(t, 3 * chunk, 4096);
    return o;
}

kt_step_opts kt_step_long(kt *t)
{
    kt_step_opts o = kt_step_draw(t, kt_pick(t, 4, 16, 24));
    if (!kt_chance(t, 20) || t->bench >= 0) return o;
    o.max_len = 9;
    o.max_pos = kt_pick(t, 255, 510, 511, 512, 513, 1023, 1500);
    return o;
}

kt_split kt_step_split(kt *t, int64_t rows, int64_t pos, int32_t slot)
{
    kt_split s = {.cut = kt_int(t, 1, rows - 1)};
    int32_t *start = kt_ints(t, 6), *at = kt_ints(t, 3);
    start[1] = (int32_t)rows;
    start[3] = (int32_t)s.cut;
    start[5] = (int32_t)(rows - s.cut);
    at[0] = (int32_t)pos;
    at[1] = (int32_t)(pos + s.cut);
    at[2] = slot;
    tsr_step *steps[] = {&s.whole, &s.head, &s.tail};
    for (int i = 0; i < 3; i++) {
        int64_t n = start[2 * i + 1];
        *steps[i] = (tsr_step){.n_rows = n,
                               .n_seqs = 1,
                               .max_new = n,
                               .max_ctx = n + at[i / 2],
                               .spans = {start + 2 * i, 1, n},
                               .pos = at + i / 2,
                               .slot = at + 2};
    }
    return s;
}

void kt_poison_new(tsr_view slots, const tsr_step *all)
{
    for (int64_t i = 0; i < all->n_seqs; i++)
        if (all->pos[i] == 0 && all->slot[i] >= 0) kt_fill_row(slots, all->slot[i], NAN);
}
