/* tests/runtime/allocation.c: the n-th allocation fails, for every n, from opening a model to its last word.
 *
 * Each time there must be a message, nothing may leak (the address sanitizer watches) and nothing may crash. With
 * no argument a sample of the allocations fails; with "all", every one.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "include/tessera.h"

#define MODEL TSR_SOURCE_DIR "/tests/vectors/models/chat-a"
#define PICTURE TSR_SOURCE_DIR "/tests/vectors/models/chat-a/expect/png.png"

static tsr_status caption(char *text, size_t text_bytes)
{
    tsr_model *model = NULL;
    tsr_engine *engine = NULL;
    tsr_session *session = NULL;
    tsr_image *image = NULL;
    tsr_result result;
    tsr_status st = tsr_model_open(&model, MODEL, &(tsr_model_opts){.threads = 1});
    if (!st) st = tsr_engine_open(&engine, model, &(tsr_engine_opts){.n_ctx = 512});
    if (!st) st = tsr_session_open(&session, engine);
    if (!st) st = tsr_image_open(&image, model, PICTURE, NULL);
    if (!st)
        st = tsr_session_say(session, TSR_USER, (tsr_part[]){{.image = image}, {.text = "Describe it."}}, 2);
    if (!st) st = tsr_session_generate(session, &(tsr_generate_opts){.max_tokens = 8}, &result);
    if (!st) snprintf(text, text_bytes, "%s", result.text);
    tsr_image_close(image);
    tsr_session_close(session);
    tsr_engine_close(engine);
    tsr_model_close(model);
    return st;
}

int main(int argc, char **argv)
{
    bool all = argc > 1 && !strcmp(argv[1], "all");
    char wanted[512], text[512];
    int64_t before = tsr_alloc_count();
    if (caption(wanted, sizeof wanted)) {
        printf("the caption fails by itself: %s\n", tsr_message());
        return 1;
    }
    int64_t total = tsr_alloc_count() - before, n_failed = 0, n_lived = 0;
    for (int sticky = 0; sticky < 2; sticky++) {
        for (int64_t n = 1; n <= total; n += all ? 1 : 1 + total / 150) {
            tsr_alloc_fail_at(n, sticky);
            tsr_status st = caption(text, sizeof text);
            tsr_alloc_fail_at(0, 0);
            if (st && !tsr_message()[0]) {
                printf("allocation %lld fails without a message\n", (long long)n);
                return 1;
            }
            if (!st && strcmp(text, wanted)) {
                printf("allocation %lld fails and the caption changes\n", (long long)n);
                return 1;
            }
            n_failed += st != TSR_OK;
            n_lived += st == TSR_OK; /* a library that does without */
        }
    }
    printf("%lld allocations; %lld failures ended in a message, %lld were done without\n", (long long)total,
           (long long)n_failed, (long long)n_lived);
    return n_failed ? 0 : 1;
}
