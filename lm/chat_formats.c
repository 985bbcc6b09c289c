/* lm/chat_formats.c: the prompt formats, each written as its template reads.
 *
 * Sources: spec/nemotron-h.md 8.1 to 8.5, spec/vision.md 1.2 and 6.1.
 */
#include <string.h>

#include "lm/chat_format.h"

#define OPEN "<think>"
#define CLOSE "</think>"
#define REASONING_ON "{'reasoning': True}"
#define REASONING_OFF "{'reasoning': False}"

/* The names of a format's controls, in the order of its table entry. */
enum { FIRST, TURN, TURN_END };
enum { START, END };

static void text(tsr_chat_writer *w, const char *s)
{
    tsr_build_text(&w->b, s, strlen(s));
}

static void slice(tsr_chat_writer *w, tsr_slice s)
{
    tsr_build_text(&w->b, s.text, s.bytes);
}

static void control(tsr_chat_writer *w, int which)
{
    tsr_build_control(&w->b, w->chat->controls[which]);
}

/* What follows the assistant's header: a thought that is open, or one that is over already. */
static void think(tsr_chat_writer *w)
{
    tsr_think now = w->b.prompt->think;
    if (now == TSR_THINK_AUTO) return;
    tsr_build_tag(&w->b, OPEN);
    if (now == TSR_THINK_ON)
        text(w, "\n");
    else
        tsr_build_tag(&w->b, CLOSE);
    w->b.prompt->thinking = now == TSR_THINK_ON;
}

/* Behind the last </think>; the whole text when there is none. */
static tsr_slice after_thought(tsr_slice s)
{
    for (int64_t at; (at = tsr_chat_search(s, CLOSE)) >= 0;) {
        size_t skip = (size_t)at + strlen(CLOSE);
        s = (tsr_slice){s.text + skip, s.bytes - skip};
    }
    return s;
}

/* ---- base ---- */

static void base_system(tsr_chat_writer *w, tsr_slice s, bool given)
{
    /* What the post-processor puts behind a text would end the prompt, so only its front is used. */
    const tsr_ids *prefix = tsr_tokenizer_prefix(w->chat->tokenizer);
    for (int64_t i = 0; i < prefix->n; i++) tsr_build_control(&w->b, prefix->items[i]);
    slice(w, s);
    if (given) text(w, "\n");
}

static void base_assistant(tsr_chat_writer *w, tsr_slice s, bool past)
{
    (void)past;
    slice(w, s);
}

static void base_next(tsr_chat_writer *w, bool ends_line)
{
    (void)w;
    (void)ends_line;
}

/* ---- h-reasoning and nvlm ---- */

static tsr_think h_switch(tsr_think before, tsr_slice s, tsr_chat_role role)
{
    if (role != TSR_CHAT_SYSTEM) return before;
    if (tsr_chat_search(s, REASONING_ON) >= 0) return TSR_THINK_ON;
    return tsr_chat_search(s, REASONING_OFF) >= 0 ? TSR_THINK_OFF : before;
}

static void h_system(tsr_chat_writer *w, tsr_slice s, bool given)
{
    (void)given; /* the header stands there without a message too */
    s = tsr_chat_strip(s);
    control(w, FIRST);
    text(w, "System\n");
    slice(w, s);
    /* The model was trained to find the switch here, so one that was set from outside is written down. */
    if (w->think == TSR_THINK_AUTO || !w->chat->format->thinks) return;
    if (h_switch(TSR_THINK_AUTO, s, TSR_CHAT_SYSTEM) != TSR_THINK_AUTO) return;
    if (s.bytes > 0) text(w, " ");
    text(w, w->think == TSR_THINK_ON ? REASONING_ON : REASONING_OFF);
}

static void h_user(tsr_chat_writer *w, const tsr_chat_turn *message)
{
    if (!w->line_begun) text(w, "\n");
    w->line_begun = false;
    control(w, TURN);
    text(w, "User\n");
    tsr_chat_content(w, message);
    text(w, "\n");
    control(w, TURN);
    text(w, "Assistant\n");
}

static void h_assistant(tsr_chat_writer *w, tsr_slice s, bool past)
{
    (void)past;
    slice(w, tsr_chat_strip(s));
}

static void h_next(tsr_chat_writer *w, bool ends_line)
{
    w->line_begun = ends_line; /* there is no end of turn: the next header is it */
}

/* ---- nano-v2 ---- */

static tsr_think nano_switch(tsr_think before, tsr_slice s, tsr_chat_role role)
{
    (void)role;
    if (tsr_chat_search(s, "/think") >= 0) return TSR_THINK_ON;
    return tsr_chat_search(s, "/no_think") >= 0 ? TSR_THINK_OFF : before;
}

static void nano_system(tsr_chat_writer *w, tsr_slice s, bool given)
{
    (void)given;
    control(w, FIRST);
    text(w, "System\n");
    slice(w, tsr_chat_strip(s));
    text(w, "\n");
}

static void nano_user(tsr_chat_writer *w, const tsr_chat_turn *message)
{
    control(w, TURN);
    text(w, "User\n");
    tsr_chat_content(w, message);
    text(w, "\n");
}

static void nano_generate(tsr_chat_writer *w)
{
    control(w, TURN);
    text(w, "Assistant\n");
    think(w);
}

static void nano_next(tsr_chat_writer *w, bool ends_line)
{
    if (!ends_line) text(w, "\n");
    control(w, TURN_END);
    text(w, "\n");
}

static void nano_assistant(tsr_chat_writer *w, tsr_slice s, bool past)
{
    (void)past;
    control(w, TURN);
    text(w, "Assistant\n");
    slice(w, tsr_chat_strip(after_thought(s)));
    nano_next(w, false);
}

/* ---- nemotron-3 and internvl: ChatML ---- */

static void chatml_end(tsr_chat_writer *w, bool ends_line)
{
    (void)ends_line; /* the turn token needs no line of its own */
    control(w, END);
    text(w, "\n");
}

static void chatml_system(tsr_chat_writer *w, tsr_slice s)
{
    control(w, START);
    text(w, "system\n");
    slice(w, s);
    chatml_end(w, false);
}

static void chatml_user(tsr_chat_writer *w, const tsr_chat_turn *message)
{
    control(w, START);
    text(w, "user\n");
    tsr_chat_content(w, message);
    chatml_end(w, false);
}

static void chatml_generate(tsr_chat_writer *w)
{
    control(w, START);
    text(w, "assistant\n");
    think(w);
}

static void nemotron3_system(tsr_chat_writer *w, tsr_slice s, bool given)
{
    (void)given;
    chatml_system(w, s);
}

/* An assistant's text with its think tags, which are the model's own and become what they were. */
static void tagged(tsr_chat_writer *w, tsr_slice s)
{
    while (s.bytes > 0) {
        int64_t open = tsr_chat_search(s, OPEN), close = tsr_chat_search(s, CLOSE);
        bool opens = open >= 0 && (close < 0 || open < close);
        int64_t at = opens ? open : close;
        if (at < 0) break;
        const char *tag = opens ? OPEN : CLOSE;
        slice(w, (tsr_slice){s.text, (size_t)at});
        tsr_build_tag(&w->b, tag);
        size_t skip = (size_t)at + strlen(tag);
        s = (tsr_slice){s.text + skip, s.bytes - skip};
    }
    slice(w, s);
}

static void nemotron3_assistant(tsr_chat_writer *w, tsr_slice s, bool past)
{
    bool thought = tsr_chat_search(s, CLOSE) >= 0;
    control(w, START);
    text(w, "assistant\n");
    if ((thought && past) || (!thought && tsr_chat_search(s, OPEN) < 0)) {
        tsr_build_tag(&w->b, OPEN);
        tsr_build_tag(&w->b, CLOSE);
        s = after_thought(s);
        size_t front = (size_t)(tsr_chat_strip(s).text -
                                s.text); /* the tags keep what is in front from being stripped */
        s = (tsr_slice){s.text, front + tsr_chat_strip(s).bytes};
        slice(w, s);
    } else {
        tagged(w, tsr_chat_strip(s));
    }
    chatml_end(w, false);
}

static void internvl_system(tsr_chat_writer *w, tsr_slice s, bool given)
{
    if (given) chatml_system(w, s);
}

static void internvl_assistant(tsr_chat_writer *w, tsr_slice s, bool past)
{
    (void)past;
    control(w, START);
    text(w, "assistant\n");
    slice(w, s);
    chatml_end(w, false);
}

const tsr_chat_format tsr_chat_formats[TSR_N_CHAT_FORMATS] = {
    {.name = "base",
     .framing = TSR_FRAME_NONE,
     .system = base_system,
     .user = tsr_chat_content,
     .assistant = base_assistant,
     .generate = think,
     .next = base_next},
    {.name = "h-reasoning",
     .controls = {"<SPECIAL_10>", "<SPECIAL_11>"},
     .stop = "<SPECIAL_11>",
     .framing = TSR_FRAME_NONE,
     .thinks = true,
     .ends_line = true,
     .strips = true,
     .read_switch = h_switch,
     .system = h_system,
     .user = h_user,
     .assistant = h_assistant,
     .generate = think,
     .next = h_next},
    {.name = "nano-v2",
     .controls = {"<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>"},
     .stop = "<SPECIAL_12>",
     .framing = TSR_FRAME_INTERNVL,
     .numbering = TSR_NUMBER_NANO,
     .thinks = true,
     .ends_line = true,
     .strips = true,
     .start_think = TSR_THINK_ON,
     .read_switch = nano_switch,
     .removes_switches = true,
     .system = nano_system,
     .user = nano_user,
     .assistant = nano_assistant,
     .generate = nano_generate,
     .next = nano_next},
    {.name = "nemotron-3",
     .controls = {"<|im_start|>", "<|im_end|>"},
     .stop = "<|im_end|>",
     .framing = TSR_FRAME_INTERNVL,
     .numbering = TSR_NUMBER_NANO,
     .thinks = true,
     .start_think = TSR_THINK_ON,
     .system = nemotron3_system,
     .user = chatml_user,
     .assistant = nemotron3_assistant,
     .generate = chatml_generate,
     .next = chatml_end},
    {.name = "internvl",
     .controls = {"<|im_start|>", "<|im_end|>"},
     .stop = "<|im_end|>",
     .framing = TSR_FRAME_INTERNVL,
     .numbering = TSR_NUMBER_INTERNVL,
     .system = internvl_system,
     .user = chatml_user,
     .assistant = internvl_assistant,
     .generate = chatml_generate,
     .next = chatml_end},
    {.name = "nvlm",
     .controls = {"<SPECIAL_10>", "<SPECIAL_11>"},
     .stop = "<SPECIAL_11>",
     .framing = TSR_FRAME_NVLM,
     .ends_line = true,
     .strips = true,
     .system = h_system,
     .user = h_user,
     .assistant = h_assistant,
     .generate = think,
     .next = h_next},
};
