/* lm/chat.c: from messages to a prompt. */
#include "lm/chat.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "lm/chat_format.h"
#include "lm/field.h"
#include "lm/unicode.h"
#include "lm/utf8.h"

enum {
    MAX_MESSAGES = 65536,
    TAG_TOKENS = 6, /* what the trainer's budget gives a tile tag */
    TAG_BYTES = 32
};

static const char thumbnail_tag[] = "<tile_global_thumbnail>";

/* ---- opening ---- */

/* Tile tags are ordinary text unless the vocabulary has them whole; their length is what the model was
 * trained with. */
static tsr_status check_tags(const tsr_tokenizer *t)
{
    tsr_ids ids = {0};
    tsr_status st = TSR_OK;
    for (int i = 1; i <= 13 && !st; i++) {
        char tag[TAG_BYTES];
        snprintf(tag, sizeof tag, "<tile_%02d>", i);
        const char *name = i == 13 ? thumbnail_tag : tag;
        if (tsr_tokenizer_find_added(t, name) >= 0) continue;
        ids.n = 0;
        st = tsr_tokenizer_encode(t, &ids, name, strlen(name), (tsr_encode_opts){0});
        if (!st && ids.n != TAG_TOKENS)
            tsr_log(TSR_LOG_INFO, "tile tag %s is %lld tokens here, not %d", name, (long long)ids.n,
                    TAG_TOKENS);
    }
    tsr_ids_close(&ids);
    return st;
}

/* A config's spelling of an image tag, or the usual one. */
static tsr_status read_spelling(char **out, const tsr_json_value *config, const char *key, const char *usual)
{
    const char *found = NULL;
    tsr_status st = config ? tsr_field_string(&found, config, key) : TSR_OK;
    if (st) return st;
    *out = tsr_strdup(found && *found ? found : usual);
    return *out ? TSR_OK : tsr_fail(TSR_E_NOMEM, "no memory for an image tag");
}

/* Formats that frame images in one way only keep it; the others follow image_tag_type. */
static tsr_status read_framing(tsr_framing *framing, const tsr_chat_format *format,
                               const tsr_json_value *config)
{
    *framing = format->framing;
    const char *type = NULL;
    tsr_status st = config ? tsr_field_string(&type, config, "image_tag_type") : TSR_OK;
    if (st || format->framing != TSR_FRAME_NONE || !type) return st;
    if (strcmp(type, "") == 0)
        *framing = TSR_FRAME_BARE;
    else if (strcmp(type, "internvl") == 0)
        *framing = TSR_FRAME_INTERNVL;
    else if (strcmp(type, "nvlm") == 0)
        *framing = TSR_FRAME_NVLM;
    else
        return tsr_fail(TSR_E_UNSUPPORTED,
                        "image_tag_type '%.64s' is not supported; wanted nvlm, internvl or nothing", type);
    return TSR_OK;
}

static tsr_status resolve(tsr_chat *chat, const tsr_json_value *config)
{
    const tsr_chat_format *f = chat->format;
    for (int i = 0; i < MAX_CONTROLS && f->controls[i]; i++) {
        chat->controls[i] = tsr_tokenizer_find_added(chat->tokenizer, f->controls[i]);
        if (chat->controls[i] < 0)
            return tsr_fail(TSR_E_UNSUPPORTED, "the format %s needs the token %s, which the tokenizer lacks",
                            f->name, f->controls[i]);
    }
    tsr_status st = read_framing(&chat->framing, f, config);
    if (!st && chat->framing == TSR_FRAME_NVLM) st = check_tags(chat->tokenizer);
    if (!st) st = read_spelling(&chat->image_begin, config, "img_start_token", "<img>");
    if (!st) st = read_spelling(&chat->image_end, config, "img_end_token", "</img>");
    return st;
}

tsr_status tsr_chat_open(tsr_chat **out, const tsr_tokenizer *tokenizer, const tsr_json_value *config,
                         tsr_chat_opts opts)
{
    tsr_chat *chat = tsr_calloc(1, sizeof *chat);
    if (!chat) return tsr_fail(TSR_E_NOMEM, "no memory for a prompt format");
    chat->tokenizer = tokenizer;
    chat->rows_per_tile = opts.rows_per_tile;
    tsr_status st = tsr_chat_choose(&chat->format, tokenizer, config, opts.format);
    if (!st) st = resolve(chat, config);
    if (st) {
        tsr_chat_close(chat);
        return st;
    }
    *out = chat;
    return TSR_OK;
}

void tsr_chat_close(tsr_chat *chat)
{
    if (!chat) return;
    tsr_free(chat->image_begin);
    tsr_free(chat->image_end);
    tsr_free(chat);
}

const char *tsr_chat_name(const tsr_chat *chat)
{
    return chat->format->name;
}

bool tsr_chat_ends_line(const tsr_chat *chat)
{
    return chat->format->ends_line;
}

/* ---- text ---- */

/* What Python's str.strip removes: White_Space and the four separators 1C to 1F. */
static bool strippable(const char *text, size_t at)
{
    uint32_t point = tsr_utf8_next(text, &at);
    return tsr_unicode_class(point) & TSR_UC_SPACE || (point >= 0x1C && point <= 0x1F);
}

static size_t strip_end(const char *text, size_t from, size_t bytes)
{
    while (bytes > from && strippable(text, tsr_utf8_before(text, bytes)))
        bytes = tsr_utf8_before(text, bytes);
    return bytes;
}

tsr_slice tsr_chat_strip(tsr_slice s)
{
    size_t begin = 0;
    while (begin < s.bytes && strippable(s.text, begin)) tsr_utf8_next(s.text, &begin);
    return (tsr_slice){s.text + begin, strip_end(s.text, begin, s.bytes) - begin};
}

int64_t tsr_chat_search(tsr_slice s, const char *needle)
{
    const char *found = memmem(s.text, s.bytes, needle, strlen(needle));
    return found ? found - s.text : -1;
}

/* Once through, as str.replace goes: what a removal puts together is not looked at again. */
static size_t remove_all(char *text, size_t bytes, const char *needle)
{
    size_t length = strlen(needle), kept = 0;
    for (size_t at = 0; at < bytes;) {
        if (bytes - at >= length && memcmp(text + at, needle, length) == 0)
            at += length;
        else
            text[kept++] = text[at++];
    }
    return kept;
}

tsr_status tsr_chat_gather(const tsr_chat *chat, char **text, size_t *bytes, const tsr_chat_turn *message,
                           bool clean)
{
    size_t total = 0;
    for (int64_t i = 0; i < message->n_parts; i++) {
        if (message->parts[i].n_tiles) continue;
        if (message->parts[i].bytes > TSR_MAX_TEXT_BYTES - total)
            return tsr_fail(TSR_E_LIMIT, "a message of more than %zu bytes of text", TSR_MAX_TEXT_BYTES);
        total += message->parts[i].bytes;
    }
    char *all = tsr_alloc(3 * total);
    if (!all) return tsr_fail(TSR_E_NOMEM, "no memory for a message of %zu bytes", total);
    size_t n = 0;
    for (int64_t i = 0; i < message->n_parts; i++) {
        const tsr_chat_part *part = &message->parts[i];
        if (!part->n_tiles) n += tsr_utf8_repair(all + n, part->text, part->bytes);
    }
    if (clean && chat->format->removes_switches) {
        n = remove_all(all, n, "/think");
        n = remove_all(all, n, "/no_think");
    }
    *text = all;
    *bytes = n;
    return TSR_OK;
}

/* ---- a user's content ---- */

static void put(tsr_chat_writer *w, const char *text)
{
    tsr_build_text(&w->b, text, strlen(text));
}

static void write_image(tsr_chat_writer *w, int64_t n_tiles)
{
    const tsr_chat *chat = w->chat;
    if (chat->framing == TSR_FRAME_INTERNVL) tsr_build_marker(&w->b, chat->image_begin);
    if (chat->framing == TSR_FRAME_NVLM) tsr_build_marker(&w->b, "<Image>");
    for (int64_t tile = 0; tile < n_tiles; tile++) {
        if (chat->framing == TSR_FRAME_NVLM) {
            /* The last tile carries the thumbnail's tag, also when it is the only one (spec/vision.md
             * 1.2). */
            char tag[TAG_BYTES];
            snprintf(tag, sizeof tag, "<tile_%02d>", (int)tile + 1);
            tsr_build_marker(&w->b, tile + 1 < n_tiles ? tag : thumbnail_tag);
        }
        tsr_build_rows(&w->b, chat->rows_per_tile, tile);
    }
    if (chat->framing == TSR_FRAME_NVLM) tsr_build_marker(&w->b, "</Image>");
    if (chat->framing == TSR_FRAME_INTERNVL) tsr_build_marker(&w->b, chat->image_end);
    tsr_build_image_end(&w->b);
}

/* <image 1> <image 2>: the format puts all images in front and numbers them when there are several. */
static void write_images_first(tsr_chat_writer *w, const tsr_chat_turn *message, int64_t n_images)
{
    int64_t number = 0;
    for (int64_t i = 0; i < message->n_parts; i++) {
        if (!message->parts[i].n_tiles) continue;
        char label[32];
        snprintf(label, sizeof label, "%s<image %lld>", number ? " " : "", (long long)number + 1);
        if (n_images > 1) put(w, label);
        write_image(w, message->parts[i].n_tiles);
        number++;
    }
    if (n_images > 0) put(w, "\n");
}

static int64_t count_images(const tsr_chat_turn *message)
{
    int64_t n = 0;
    for (int64_t i = 0; i < message->n_parts; i++) n += message->parts[i].n_tiles != 0;
    return n;
}

/* Parts in their order, each image on a line of its own. */
static void write_in_order(tsr_chat_writer *w, const tsr_chat_turn *message, int64_t n_images)
{
    tsr_prompt *p = w->b.prompt;
    bool numbered =
        w->chat->format->numbering == TSR_NUMBER_INTERNVL && p->n_images_before + p->n_images + n_images > 1;
    bool begun = false; /* something stands there that text cannot be stripped up to */
    for (int64_t i = 0; i < message->n_parts && !w->b.status; i++) {
        const tsr_chat_part *part = &message->parts[i];
        if (part->n_tiles) {
            char label[40];
            snprintf(label, sizeof label, "Image-%lld: ", (long long)(p->n_images_before + p->n_images) + 1);
            if (numbered) put(w, label);
            write_image(w, part->n_tiles);
            put(w, "\n");
            begun = true;
            continue;
        }
        int64_t before = w->b.n_text;
        tsr_build_text(&w->b, part->text, part->bytes);
        if (!w->chat->format->strips || begun || w->b.status) continue;
        tsr_slice s = {w->b.text + before, (size_t)(w->b.n_text - before)};
        size_t front = s.bytes ? (size_t)(tsr_chat_strip(s).text - s.text) : 0;
        memmove(w->b.text + before, s.text + front, s.bytes - front);
        w->b.n_text -= (int64_t)front;
        begun = front < s.bytes;
    }
}

static void write_text_last(tsr_chat_writer *w, const tsr_chat_turn *message, int64_t n_images)
{
    char *all = NULL;
    size_t bytes = 0;
    write_images_first(w, message, n_images);
    if (!w->b.status) w->b.status = tsr_chat_gather(w->chat, &all, &bytes, message, true);
    if (w->b.status) return;
    tsr_slice s = {all, bytes};
    if (w->chat->format->strips && n_images == 0) s = tsr_chat_strip(s);
    tsr_build_text(&w->b, s.text, s.bytes);
    tsr_free(all);
}

void tsr_chat_content(tsr_chat_writer *w, const tsr_chat_turn *message)
{
    int64_t n_images = count_images(message), from = w->b.n_text;
    if (w->chat->format->numbering == TSR_NUMBER_NANO)
        write_text_last(w, message, n_images);
    else
        write_in_order(w, message, n_images);
    if (n_images > 0) from = 0; /* an image took everything before it along */
    if (w->chat->format->strips && !w->b.status && w->b.n_text > from)
        w->b.n_text = (int64_t)strip_end(w->b.text, (size_t)from, (size_t)w->b.n_text);
}

/* ---- a dialogue ---- */

static tsr_status check_message(const tsr_chat *chat, const tsr_chat_turn *m, bool first)
{
    if (m->role == TSR_CHAT_SYSTEM && !first)
        return tsr_fail(TSR_E_ARG, "a system message must be the first");
    for (int64_t i = 0; i < m->n_parts; i++) {
        int64_t n_tiles = m->parts[i].n_tiles;
        if (n_tiles == 0) continue;
        if (m->role != TSR_CHAT_USER) return tsr_fail(TSR_E_ARG, "only a user's message can hold an image");
        if (n_tiles < 0 || n_tiles > TSR_MAX_IMAGE_TILES)
            return tsr_fail(TSR_E_ARG, "an image of %lld tiles, the limit is %d", (long long)n_tiles,
                            TSR_MAX_IMAGE_TILES);
        if (chat->rows_per_tile <= 0) return tsr_fail(TSR_E_UNSUPPORTED, "this model reads no images");
        if (chat->framing == TSR_FRAME_NONE)
            return tsr_fail(TSR_E_UNSUPPORTED, "the format %s has no place for images", chat->format->name);
    }
    return TSR_OK;
}

/* *think becomes what was asked for from outside, or else what the messages switch it to. */
static tsr_status read_switches(const tsr_chat *chat, tsr_think *think, const tsr_chat_turn *messages,
                                int64_t n, tsr_think asked)
{
    const tsr_chat_format *f = chat->format;
    if (asked == TSR_THINK_ON && !f->thinks)
        return tsr_fail(TSR_E_ARG, "the format %s knows no thinking", f->name);
    for (int64_t i = 0; i < n && f->read_switch; i++) {
        if (messages[i].role == TSR_CHAT_ASSISTANT) continue;
        char *all = NULL;
        size_t bytes = 0;
        tsr_status st = tsr_chat_gather(chat, &all, &bytes, &messages[i], false);
        if (st) return st;
        *think = f->read_switch(*think, (tsr_slice){all, bytes}, messages[i].role);
        tsr_free(all);
    }
    if (asked != TSR_THINK_AUTO) *think = f->thinks ? asked : TSR_THINK_AUTO;
    return TSR_OK;
}

static void write_message(tsr_chat_writer *w, const tsr_chat_turn *m, bool past)
{
    const tsr_chat_format *f = w->chat->format;
    if (w->b.status) return;
    if (m->role == TSR_CHAT_USER) {
        f->user(w, m);
        return;
    }
    char *all = NULL;
    size_t bytes = 0;
    w->b.status = tsr_chat_gather(w->chat, &all, &bytes, m, m->role == TSR_CHAT_SYSTEM);
    if (w->b.status) return;
    if (m->role == TSR_CHAT_SYSTEM)
        f->system(w, (tsr_slice){all, bytes}, true);
    else
        f->assistant(w, (tsr_slice){all, bytes}, past);
    tsr_free(all);
}

tsr_status tsr_chat_render(const tsr_chat *chat, tsr_prompt *prompt, const tsr_chat_turn *messages, int64_t n,
                           tsr_think think)
{
    if (n < 1 || n > MAX_MESSAGES)
        return tsr_fail(TSR_E_ARG, "%lld messages; wanted 1 to %d", (long long)n, MAX_MESSAGES);
    int64_t last_user = -1;
    for (int64_t i = 0; i < n; i++) {
        tsr_status st = check_message(chat, &messages[i], i == 0);
        if (st) return tsr_wrap(st, "message %lld", (long long)i + 1);
        if (messages[i].role == TSR_CHAT_USER) last_user = i;
    }
    prompt->n_images_before = 0;
    prompt->think = chat->format->start_think;
    tsr_status st = read_switches(chat, &prompt->think, messages, n, think);
    if (st) return st;

    tsr_chat_writer w = {.chat = chat, .think = think};
    tsr_build_begin(&w.b, chat->tokenizer, prompt);
    if (messages[0].role != TSR_CHAT_SYSTEM) chat->format->system(&w, (tsr_slice){"", 0}, false);
    for (int64_t i = 0; i < n; i++) write_message(&w, &messages[i], i < last_user);
    if (last_user == n - 1 && !w.b.status) chat->format->generate(&w);
    return tsr_build_end(&w.b);
}

tsr_status tsr_chat_continue(const tsr_chat *chat, tsr_prompt *prompt, const tsr_chat_turn *message,
                             bool ends_line, tsr_think think)
{
    if (message->role != TSR_CHAT_USER)
        return tsr_fail(TSR_E_ARG, "a dialogue goes on with a user's message");
    tsr_status st = check_message(chat, message, false);
    if (!st) st = read_switches(chat, &prompt->think, message, 1, think);
    if (st) return st;

    prompt->n_images_before += prompt->n_images;
    tsr_chat_writer w = {.chat = chat, .think = think};
    tsr_build_begin(&w.b, chat->tokenizer, prompt);
    chat->format->next(&w, ends_line);
    chat->format->user(&w, message);
    if (!w.b.status) chat->format->generate(&w);
    return tsr_build_end(&w.b);
}
