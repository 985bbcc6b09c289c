/* kernels/cpu/paged.h: where keys and values lie in their pages. */
#ifndef TSR_CPU_PAGED_H
#define TSR_CPU_PAGED_H

#include "kernels/ops.h"

/* A run of positions of one sequence and KV head within one page, dense; NULL on page -1. */
typedef struct tsr_paged {
    void *k, *v;
    int64_t n; /* positions from the one asked for to the end of its page */
} tsr_paged;

static inline tsr_paged tsr_paged_at(tsr_pages pages, int64_t head_dim, const tsr_step *step, int64_t seq,
                                     int64_t head, int64_t pos)
{
    int32_t page = step->pages[seq * step->max_pages + pos / pages.page_tokens];
    int64_t in_page = pos % pages.page_tokens;
    int64_t offset = (head * pages.page_tokens + in_page) * head_dim * (int64_t)tsr_dtype_bytes(pages.type);
    tsr_paged at = {.n = pages.page_tokens - in_page};
    if (page >= 0) {
        at.k = (char *)pages.k + page * pages.page_stride + offset;
        at.v = (char *)pages.v + page * pages.page_stride + offset;
    }
    return at;
}

#endif
