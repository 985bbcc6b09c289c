/* runtime/text.c: tokens for the public API, and its small change. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/map.h"
#include "base/npy.h"
#include "kernels/module.h"
#include "runtime/model.h"

tsr_status tsr_tokenize(const tsr_model *m, int32_t **ids, int64_t *n_ids, const char *text, size_t bytes,
                        int special)
{
    if (!m->tokenizer) return tsr_fail(TSR_E_UNSUPPORTED, "%s has no tokenizer", m->name);
    tsr_ids list = {0};
    tsr_status st = tsr_tokenizer_encode(m->tokenizer, &list, text, bytes,
                                         (tsr_encode_opts){.add_special = special, .parse_special = special});
    if (st) {
        tsr_ids_close(&list);
        return st;
    }
    *ids = list.items;
    *n_ids = list.n;
    return TSR_OK;
}

tsr_status tsr_detokenize(const tsr_model *m, char **text, size_t *bytes, const int32_t *ids, int64_t n_ids,
                          int special)
{
    if (!m->tokenizer) return tsr_fail(TSR_E_UNSUPPORTED, "%s has no tokenizer", m->name);
    for (int64_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || ids[i] >= m->lm_config.vocab)
            return tsr_fail(TSR_E_ARG, "id %d was found; 0 to %lld are possible", ids[i],
                            (long long)m->lm_config.vocab - 1);
    return tsr_tokenizer_decode(m->tokenizer, text, bytes, ids, n_ids, !special);
}

const char *tsr_version(void)
{
    return TSR_VERSION;
}

const char *tsr_mapped_file(const void *address)
{
    return tsr_map_at(address);
}

static struct {
    tsr_note_fn *listener;
    void *user;
} notes;

static void pass_note(void *user, tsr_log_level level, const char *line)
{
    (void)user;
    notes.listener(notes.user, (int)level, line);
}

void tsr_notes(tsr_note_fn *listener, void *user)
{
    notes.listener = listener;
    notes.user = user;
    tsr_log_listen(listener ? pass_note : NULL, NULL);
}

const char *tsr_device(int i)
{
    static _Thread_local char line[640];
    if (i == 2) {
        tsr_ops cuda;
        if (tsr_cuda_ops(&cuda))
            snprintf(line, sizeof line, "cuda: not used: %s", tsr_message());
        else
            snprintf(line, sizeof line, "cuda: %s", cuda.memory->about);
        return line;
    }
    if (i == 0) {
        char model[96];
        tsr_cpu_model(model, sizeof model);
        snprintf(line, sizeof line, "cpu: %s, %s, %d cores", model, tsr_cpu_level_name(tsr_cpu_features()),
                 tsr_pool_cores());
        return line;
    }
    return i == 1 ? "ref: plain C in double precision, one thread; slow, for comparing" : NULL;
}

const char *tsr_chat_template(int i)
{
    return tsr_chat_format_name(i);
}

tsr_status tsr_array_write(const char *path, const char *type, const int64_t *shape, int n_dims,
                           const void *data)
{
    tsr_dtype t = TSR_DTYPE_OTHER;
    if (!strcmp(type, "f32")) t = TSR_F32;
    if (!strcmp(type, "u8")) t = TSR_U8;
    if (!strcmp(type, "i32")) t = TSR_I32;
    if (t == TSR_DTYPE_OTHER)
        return tsr_fail(TSR_E_ARG, "%s: type '%s' was found; f32, u8 or i32 is wanted", path, type);
    if (n_dims < 0 || n_dims > TSR_NPY_MAX_DIMS)
        return tsr_fail(TSR_E_ARG, "%s: %d dimensions were found; at most %d are possible", path, n_dims,
                        TSR_NPY_MAX_DIMS);
    for (int i = 0; i < n_dims; i++)
        if (shape[i] < 0) return tsr_fail(TSR_E_ARG, "%s: dimension %d is negative", path, i);
    return tsr_npy_write(path, t, shape, n_dims, data);
}
