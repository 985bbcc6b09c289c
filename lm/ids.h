/* lm/ids.h: a growing list of token ids. */
#ifndef TSR_IDS_H
#define TSR_IDS_H

#include <stdint.h>

#include "base/alloc.h"
#include "base/status.h"

typedef struct tsr_ids {
    int32_t *items;
    int64_t n, capacity;
} tsr_ids;

/* Errors: TSR_E_NOMEM. */
TSR_CHECKED static inline tsr_status tsr_ids_push(tsr_ids *ids, int32_t id)
{
    if (ids->n == ids->capacity) {
        void *items = ids->items;
        if (!tsr_grow(&items, &ids->capacity, ids->n + 1, sizeof *ids->items))
            return tsr_fail(TSR_E_NOMEM, "no memory for %lld token ids", (long long)ids->n + 1);
        ids->items = items;
    }
    ids->items[ids->n++] = id;
    return TSR_OK;
}

/* Free the list; it is empty and usable again. */
static inline void tsr_ids_close(tsr_ids *ids)
{
    tsr_free(ids->items);
    *ids = (tsr_ids){0};
}

#endif
