/* kernels/ref/advance.c: positions, ended sequences and the ring, after a decode step. */
#include "kernels/ref/ref.h"

void tsr_ref_advance(tsr_queue *q, const tsr_step *step, const tsr_ring *r)
{
    (void)q;
    int64_t at = *r->count % r->depth;
    for (int64_t i = 0; i < step->n_seqs; i++) {
        bool there = r->slot[i] >= 0;
        r->ids[i * r->depth + at] = there ? step->out_ids[i] : -1;
        r->logprobs[i * r->depth + at] = there ? step->out_logprobs[i] : 0;
        if (!there) continue;
        r->pos[i]++;
        for (int64_t k = 0; k < r->n_stop; k++)
            if (step->out_ids[i] == r->stop[k]) r->slot[i] = -1;
    }
    *r->done = ++*r->count;
}
