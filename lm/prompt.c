/* lm/prompt.c: a prompt under construction. */
#include "lm/prompt.h"

#include <string.h>

#include "base/alloc.h"
#include "lm/utf8.h"

void tsr_prompt_close(tsr_prompt *prompt)
{
    tsr_ids_close(&prompt->ids);
    tsr_free(prompt->segments);
    *prompt = (tsr_prompt){0};
}

void tsr_build_begin(tsr_builder *b, const tsr_tokenizer *tokenizer, tsr_prompt *prompt)
{
    *b = (tsr_builder){.tokenizer = tokenizer, .prompt = prompt};
    prompt->ids.n = prompt->n_segments = prompt->n_rows = prompt->n_images = 0;
    prompt->thinking = false;
}

/* The segment that positions from now on belong to: the last one, or a new one of this kind. Markers and
 * tiles are always new. */
static tsr_segment *segment(tsr_builder *b, tsr_segment_kind kind)
{
    tsr_prompt *p = b->prompt;
    if (kind == TSR_SEGMENT_TEXT && p->n_segments > 0 && p->segments[p->n_segments - 1].kind == kind)
        return &p->segments[p->n_segments - 1];
    void *segments = p->segments;
    if (!tsr_grow(&segments, &p->segments_capacity, p->n_segments + 1, sizeof *p->segments)) {
        b->status = tsr_fail(TSR_E_NOMEM, "no memory for the prompt");
        return NULL;
    }
    p->segments = segments;
    tsr_segment *s = &p->segments[p->n_segments++];
    *s = (tsr_segment){.kind = kind, .first = p->ids.n, .image = p->n_images};
    return s;
}

/* Tokenise the text gathered so far. */
static void flush(tsr_builder *b)
{
    if (b->status || b->n_text == 0) return;
    tsr_segment *s = segment(b, TSR_SEGMENT_TEXT);
    if (!s) return;
    b->status =
        tsr_tokenizer_encode(b->tokenizer, &b->prompt->ids, b->text, (size_t)b->n_text, (tsr_encode_opts){0});
    s->n = b->prompt->ids.n - s->first;
    b->n_text = 0;
}

void tsr_build_text(tsr_builder *b, const char *text, size_t bytes)
{
    if (b->status || bytes == 0) return;
    if (bytes > TSR_MAX_TEXT_BYTES - b->total_bytes) {
        b->status = tsr_fail(TSR_E_LIMIT, "a prompt of more than %zu bytes of text", TSR_MAX_TEXT_BYTES);
        return;
    }
    b->total_bytes += bytes;
    void *grown = b->text;
    bool room = tsr_grow(&grown, &b->text_capacity, b->n_text + 3 * (int64_t)bytes, 1);
    b->text = grown;
    if (!room) {
        b->status = tsr_fail(TSR_E_NOMEM, "no memory for the prompt");
        return;
    }
    b->n_text += (int64_t)tsr_utf8_repair(b->text + b->n_text, text, bytes);
}

void tsr_build_control(tsr_builder *b, int32_t id)
{
    flush(b);
    tsr_segment *s = b->status ? NULL : segment(b, TSR_SEGMENT_TEXT);
    if (!s) return;
    b->status = tsr_ids_push(&b->prompt->ids, id);
    s->n = b->prompt->ids.n - s->first;
}

void tsr_build_tag(tsr_builder *b, const char *tag)
{
    int32_t id = tsr_tokenizer_find_added(b->tokenizer, tag);
    if (id >= 0)
        tsr_build_control(b, id);
    else
        tsr_build_text(b, tag, strlen(tag));
}

void tsr_build_marker(tsr_builder *b, const char *tag)
{
    flush(b);
    tsr_segment *s = b->status ? NULL : segment(b, TSR_SEGMENT_MARKER);
    if (!s) return;
    tsr_ids *ids = &b->prompt->ids;
    int32_t id = tsr_tokenizer_find_added(b->tokenizer, tag);
    b->status = id >= 0 ? tsr_ids_push(ids, id)
                        : tsr_tokenizer_encode(b->tokenizer, ids, tag, strlen(tag), (tsr_encode_opts){0});
    s->n = ids->n - s->first;
}

void tsr_build_rows(tsr_builder *b, int64_t n_rows, int64_t tile)
{
    flush(b);
    tsr_prompt *p = b->prompt;
    if (!b->status && n_rows > INT32_MAX - p->n_rows)
        b->status = tsr_fail(TSR_E_LIMIT, "more than %d image rows in a prompt", INT32_MAX);
    tsr_segment *s = b->status ? NULL : segment(b, TSR_SEGMENT_IMAGE);
    if (!s) return;
    s->tile = tile;
    for (int64_t i = 0; i < n_rows && !b->status; i++)
        b->status = tsr_ids_push(&p->ids, (int32_t)(-1 - (p->n_rows + i)));
    s->n = p->ids.n - s->first;
    p->n_rows += n_rows;
}

void tsr_build_image_end(tsr_builder *b)
{
    b->prompt->n_images++;
}

tsr_status tsr_build_end(tsr_builder *b)
{
    flush(b);
    tsr_free(b->text);
    b->text = NULL;
    return b->status;
}
