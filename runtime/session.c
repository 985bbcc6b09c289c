/* runtime/session.c: one timeline: what is said, and how it becomes tokens. */
#include <string.h>

#include "base/alloc.h"
#include "runtime/engine.h"
#include "runtime/image.h"

tsr_status tsr_session_open(tsr_session **out, tsr_engine *e)
{
    if (e->n_open == e->sizes.n_sessions)
        return tsr_fail(TSR_E_LIMIT, "all %lld sessions of this engine are open",
                        (long long)e->sizes.n_sessions);
    tsr_session *s = tsr_calloc(1, sizeof *s);
    if (!s) return tsr_fail(TSR_E_NOMEM, "no memory for a session");
    s->engine = e;
    tsr_status st = tsr_seq_open(&s->seq, e->state, e->sizes.n_ctx);
    if (st) {
        tsr_free(s);
        return st;
    }
    e->n_open++;
    *out = s;
    return TSR_OK;
}

static void free_turn(tsr_said *t)
{
    for (int64_t i = 0; t->parts && i < t->n_parts; i++) tsr_free((void *)(uintptr_t)t->parts[i].text);
    tsr_free(t->parts);
    tsr_free(t->images);
}

void tsr_session_forget_turns(tsr_session *s)
{
    for (int64_t i = 0; i < s->n_turns; i++) free_turn(&s->turns[i]);
    s->n_turns = 0;
}

void tsr_session_close(tsr_session *s)
{
    if (!s) return;
    tsr_session_forget_turns(s);
    tsr_prompt_close(&s->prompt);
    tsr_seq_close(&s->seq);
    tsr_ids_close(&s->past);
    tsr_free(s->turns);
    tsr_free(s->waiting);
    tsr_free(s->image_hashes);
    tsr_free(s->text);
    tsr_free(s->logprobs);
    s->engine->n_open--;
    tsr_free(s);
}

void tsr_session_cancel(tsr_session *s)
{
    __atomic_store_n(&s->cancel, 1, __ATOMIC_RELAXED);
}

tsr_session_info tsr_session_about(const tsr_session *s)
{
    tsr_session_info info = s->info;
    info.n_past = s->seq.pos;
    info.n_pending = tsr_session_waiting(s);
    info.n_ctx = s->engine->sizes.n_ctx;
    info.image_tokens = info.text_tokens = 0;
    for (int64_t i = 0; i < s->past.n; i++)
        *(s->past.items[i] < 0 ? &info.image_tokens : &info.text_tokens) += 1;
    return info;
}

/* ---------------------------------------------------------------- saying -------------------------------- */

static size_t part_bytes(const tsr_part *p)
{
    return p->text ? p->bytes ? p->bytes : strlen(p->text) : 0;
}

static tsr_status copy_turn(tsr_said *to, tsr_role role, const tsr_part *parts, int n_parts)
{
    static const tsr_chat_role roles[] = {
        [TSR_SYSTEM] = TSR_CHAT_SYSTEM, [TSR_USER] = TSR_CHAT_USER, [TSR_ASSISTANT] = TSR_CHAT_ASSISTANT};
    *to = (tsr_said){.role = roles[role]};
    to->parts = tsr_calloc((size_t)n_parts, sizeof *to->parts);
    to->images = tsr_calloc((size_t)n_parts, sizeof *to->images);
    if (!to->parts || !to->images) goto no_memory;
    for (int i = 0; i < n_parts; i++, to->n_parts++) {
        if (parts[i].image) {
            to->images[i] = parts[i].image;
            to->parts[i].n_tiles = parts[i].image->info.n_tiles;
            continue;
        }
        size_t bytes = part_bytes(&parts[i]);
        char *text = tsr_alloc(bytes + 1);
        if (!text) goto no_memory;
        memcpy(text, parts[i].text, bytes);
        text[bytes] = '\0';
        to->parts[i] = (tsr_chat_part){.text = text, .bytes = bytes};
    }
    return TSR_OK;

no_memory:
    free_turn(to);
    return tsr_fail(TSR_E_NOMEM, "no memory for what was said");
}

static tsr_status check_parts(const tsr_session *s, const tsr_part *parts, int n_parts)
{
    const tsr_model *m = s->engine->model;
    int64_t n_images = 0;
    if (n_parts < 1) return tsr_fail(TSR_E_ARG, "a turn of %d parts; at least 1 is wanted", n_parts);
    for (int i = 0; i < n_parts; i++) {
        if (!parts[i].text == !parts[i].image)
            return tsr_fail(TSR_E_ARG, "part %d of the turn: a text or an image is wanted, one of them",
                            i + 1);
        n_images += parts[i].image != NULL;
        if (parts[i].image && !m->has_vision)
            return tsr_fail(TSR_E_UNSUPPORTED, "%s reads text only; it has no vision encoder", m->name);
        if (parts[i].image && parts[i].image->info.tile_size != m->cut.tile)
            return tsr_fail(TSR_E_ARG,
                            "part %d: tiles of %lld were cut for another model; this one takes %lld", i + 1,
                            (long long)parts[i].image->info.tile_size, (long long)m->cut.tile);
    }
    if (n_images > s->engine->sizes.max_images)
        return tsr_fail(TSR_E_LIMIT, "%lld images were found; max_images is %lld", (long long)n_images,
                        (long long)s->engine->sizes.max_images);
    return TSR_OK;
}

/* Text without any format goes straight to the tokens. */
static tsr_status say_raw(tsr_session *s, const tsr_part *parts, int n_parts)
{
    const tsr_model *m = s->engine->model;
    if (!m->tokenizer) return tsr_fail(TSR_E_UNSUPPORTED, "%s has no tokenizer", m->name);
    if (s->n_turns || s->answered) return tsr_fail(TSR_E_ARG, "raw text cannot follow turns of a dialogue");
    int64_t before = s->past.n;
    for (int i = 0; i < n_parts; i++) {
        if (parts[i].image) return tsr_fail(TSR_E_ARG, "raw text holds no images; say them as a user");
        tsr_encode_opts opts = {.add_special = s->past.n == 0};
        tsr_status st =
            tsr_tokenizer_encode(m->tokenizer, &s->past, parts[i].text, part_bytes(&parts[i]), opts);
        if (st) {
            s->past.n = before;
            return st;
        }
    }
    return TSR_OK;
}

tsr_status tsr_session_say(tsr_session *s, tsr_role role, const tsr_part *parts, int n_parts)
{
    if ((int)role < TSR_SYSTEM || role > TSR_RAW) return tsr_fail(TSR_E_ARG, "role %d is none", (int)role);
    tsr_status st = check_parts(s, parts, n_parts);
    if (st) return st;
    if (role == TSR_RAW) return say_raw(s, parts, n_parts);
    void *turns = s->turns;
    if (!tsr_grow(&turns, &s->turn_capacity, s->n_turns + 1, sizeof *s->turns))
        return tsr_fail(TSR_E_NOMEM, "no memory for what was said");
    s->turns = turns;
    st = copy_turn(&s->turns[s->n_turns], role, parts, n_parts);
    if (!st) s->n_turns++;
    return st;
}

/* ---------------------------------------------------------------- turns to tokens ----------------------- */

static tsr_status add_image(tsr_session *s, const tsr_image *image)
{
    void *waiting = s->waiting, *hashes = s->image_hashes;
    bool room = tsr_grow(&waiting, &s->waiting_capacity, s->n_waiting + 1, sizeof *s->waiting);
    s->waiting = waiting;
    room = room && tsr_grow(&hashes, &s->image_capacity, s->n_images + 1, sizeof *s->image_hashes);
    s->image_hashes = hashes;
    if (!room) return tsr_fail(TSR_E_NOMEM, "no memory for an image");
    s->waiting[s->n_waiting++] = (tsr_waiting_image){image, s->image_rows};
    memcpy(s->image_hashes[s->n_images++], image->info.tile_hash, sizeof image->info.tile_hash);
    s->image_rows += image->info.n_tokens;
    return TSR_OK;
}

/* Append ids from `from` on; image rows count from first_row on in the session. */
static tsr_status append(tsr_session *s, const int32_t *ids, int64_t from, int64_t n, int64_t first_row)
{
    for (int64_t i = from; i < n; i++) {
        tsr_status st = tsr_ids_push(&s->past, ids[i] < 0 ? (int32_t)(ids[i] - first_row) : ids[i]);
        if (st) return st;
    }
    return TSR_OK;
}

static tsr_status add_images_of(tsr_session *s, const tsr_said *t, int64_t *skip)
{
    for (int64_t i = 0; i < t->n_parts; i++) {
        if (!t->images[i] || (*skip)-- > 0) continue;
        tsr_status st = add_image(s, t->images[i]);
        if (st) return st;
    }
    return TSR_OK;
}

/* Before the first answer the dialogue is rendered whole, and what is new of it is appended: a system message can
 * so be read, forked, and asked different things. */
static tsr_status render_whole(tsr_session *s, tsr_think think)
{
    const tsr_chat *chat = s->engine->model->chat;
    tsr_chat_turn *messages = tsr_calloc((size_t)s->n_turns, sizeof *messages);
    if (!messages) return tsr_fail(TSR_E_NOMEM, "no memory for %lld turns", (long long)s->n_turns);
    for (int64_t i = 0; i < s->n_turns; i++)
        messages[i] = (tsr_chat_turn){s->turns[i].role, s->turns[i].parts, s->turns[i].n_parts};
    s->prompt.n_images_before = 0;
    tsr_status st = tsr_chat_render(chat, &s->prompt, messages, s->n_turns, think);
    tsr_free(messages);
    if (st) return st;

    const tsr_ids *ids = &s->prompt.ids;
    int64_t same = 0;
    while (same < s->past.n && same < ids->n && s->past.items[same] == ids->items[same]) same++;
    if (same < s->seq.pos)
        return tsr_fail(TSR_E_ARG, "what was read before does not begin this dialogue in format %s",
                        tsr_chat_name(chat));
    s->past.n = same;
    int64_t skip = s->n_images; /* said before, and rendered again */
    for (int64_t i = 0; !st && i < s->n_turns; i++) st = add_images_of(s, &s->turns[i], &skip);
    return st ? st : append(s, ids->items, same, ids->n, 0);
}

static tsr_status render_next(tsr_session *s, tsr_think think)
{
    if (s->n_turns != 1 || s->turns[0].role != TSR_CHAT_USER)
        return tsr_fail(TSR_E_ARG, "after an answer, one turn of the user is wanted; %lld turns were said",
                        (long long)s->n_turns);
    tsr_chat_turn message = {s->turns[0].role, s->turns[0].parts, s->turns[0].n_parts};
    s->prompt.n_images_before += s->prompt.n_images;
    s->prompt.n_images = 0;
    tsr_status st = tsr_chat_continue(s->engine->model->chat, &s->prompt, &message, s->ends_line, think);
    if (st) return st;
    int64_t first_row = s->image_rows, none = 0;
    st = add_images_of(s, &s->turns[0], &none);
    return st ? st : append(s, s->prompt.ids.items, 0, s->prompt.ids.n, first_row);
}

tsr_status tsr_session_render(tsr_session *s, tsr_think think)
{
    if (!s->n_turns) return TSR_OK;
    const tsr_model *m = s->engine->model;
    if (!m->chat) return tsr_fail(TSR_E_UNSUPPORTED, "%s has no prompt format; add ids or raw text", m->name);
    tsr_status st = s->answered ? render_next(s, think) : render_whole(s, think);
    if (!st && s->answered) tsr_session_forget_turns(s);
    if (!st && s->past.n > s->engine->sizes.n_ctx)
        st = tsr_fail(TSR_E_CONTEXT,
                      "the prompt takes %lld tokens; the context holds %lld: -c gives more, --max-tiles "
                      "makes pictures smaller",
                      (long long)s->past.n, (long long)s->engine->sizes.n_ctx);
    return st;
}

tsr_status tsr_session_add_ids(tsr_session *s, const int32_t *ids, int64_t n_ids,
                               const tsr_image *const *images, int n_images)
{
    const tsr_model *m = s->engine->model;
    int64_t rows = 0, first_row = s->image_rows;
    for (int i = 0; i < n_images; i++) {
        if (!m->has_vision) return tsr_fail(TSR_E_UNSUPPORTED, "%s has no vision encoder", m->name);
        rows += images[i]->info.n_tokens;
    }
    for (int64_t i = 0; i < n_ids; i++)
        if (ids[i] >= m->lm_config.vocab || ids[i] < -rows)
            return tsr_fail(TSR_E_ARG,
                            "id %d was found; 0 to %lld, or -1 to %lld for image rows, are possible", ids[i],
                            (long long)m->lm_config.vocab - 1, (long long)-rows);
    if (s->past.n + n_ids > s->engine->sizes.n_ctx)
        return tsr_fail(TSR_E_CONTEXT, "%lld tokens and %lld more; the context holds %lld",
                        (long long)s->past.n, (long long)n_ids, (long long)s->engine->sizes.n_ctx);
    tsr_status st = TSR_OK;
    for (int i = 0; !st && i < n_images; i++) st = add_image(s, images[i]);
    return st ? st : append(s, ids, 0, n_ids, first_row);
}

tsr_status tsr_session_read(tsr_session *s, tsr_progress_fn *progress, void *user)
{
    tsr_status st = tsr_session_render(s, TSR_THINK_OFF);
    int64_t keep = s->engine->tracer ? 0 : 1; /* the last row waits for the answer that it begins */
    if (!st) st = tsr_session_advance(s, keep, NULL, NULL, NULL, progress, user);
    if (st == TSR_E_CANCELLED) __atomic_store_n(&s->cancel, 0, __ATOMIC_RELAXED);
    return st;
}

/* ---------------------------------------------------------------- copies -------------------------------- */

static tsr_status copy_array(void **to, const void *from, int64_t n, size_t each)
{
    if (!n) return TSR_OK;
    *to = tsr_alloc(tsr_mul((size_t)n, each));
    if (!*to) return tsr_fail(TSR_E_NOMEM, "no memory to fork a session");
    memcpy(*to, from, (size_t)n * each);
    return TSR_OK;
}

static tsr_status copy_turns(tsr_session *to, const tsr_session *from)
{
    to->turns = tsr_calloc((size_t)from->n_turns, sizeof *to->turns);
    if (!to->turns) return tsr_fail(TSR_E_NOMEM, "no memory to fork a session");
    to->turn_capacity = from->n_turns;
    static const tsr_role roles[] = {
        [TSR_CHAT_SYSTEM] = TSR_SYSTEM, [TSR_CHAT_USER] = TSR_USER, [TSR_CHAT_ASSISTANT] = TSR_ASSISTANT};
    for (int64_t i = 0; i < from->n_turns; i++) {
        const tsr_said *t = &from->turns[i];
        tsr_part *parts = tsr_calloc((size_t)t->n_parts, sizeof *parts);
        if (!parts) return tsr_fail(TSR_E_NOMEM, "no memory to fork a session");
        for (int64_t p = 0; p < t->n_parts; p++)
            parts[p] = (tsr_part){t->images[p] ? NULL : t->parts[p].text, t->parts[p].bytes, t->images[p]};
        tsr_status st = copy_turn(&to->turns[i], roles[t->role], parts, (int)t->n_parts);
        tsr_free(parts);
        if (st) return st;
        to->n_turns++;
    }
    return TSR_OK;
}

tsr_status tsr_session_fork(tsr_session **out, const tsr_session *from)
{
    tsr_session *s = NULL;
    tsr_status st = tsr_session_open(&s, from->engine);
    if (st) return st;
    void *past = NULL, *waiting = NULL, *hashes = NULL;
    st = copy_array(&past, from->past.items, from->past.n, sizeof *from->past.items);
    s->past = (tsr_ids){past, past ? from->past.n : 0, past ? from->past.n : 0};
    if (!st) st = copy_array(&waiting, from->waiting, from->n_waiting, sizeof *from->waiting);
    s->waiting = waiting;
    if (!st) st = copy_array(&hashes, from->image_hashes, from->n_images, sizeof *from->image_hashes);
    s->image_hashes = hashes;
    if (!st) s->n_waiting = s->waiting_capacity = from->n_waiting;
    if (!st) s->n_images = s->image_capacity = from->n_images;
    s->image_rows = from->image_rows;
    s->answered = from->answered;
    s->ends_line = from->ends_line;
    s->untaken = from->untaken;
    s->prompt.n_images_before = from->prompt.n_images_before;
    s->prompt.n_images = from->prompt.n_images;
    s->prompt.think = from->prompt.think;
    if (!st) st = copy_turns(s, from);
    if (!st) st = tsr_seq_copy(&s->seq, &from->seq);
    if (!st) st = tsr_queue_sync(from->engine->queue);
    if (st)
        tsr_session_close(s);
    else
        *out = s;
    return st;
}
