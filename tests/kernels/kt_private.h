/* tests/kernels/kt_private.h: what kt.c (making) and check.c (comparing) share. */
#ifndef KT_PRIVATE_H
#define KT_PRIVATE_H

#include "tests/kernels/kt.h"

typedef enum kt_kind { KT_INPUT, KT_OUTPUT, KT_STATE, KT_SEALED } kt_kind;

/* A block of memory and the view inside it. Everything in the block that is not an element of the view is
 * guard: it is filled with 0xFF, which reads as NaN, and must never change. */
struct kt_buffer {
    const char *name;
    kt_kind kind;
    unsigned char *block;
    size_t bytes, guard; /* of the block; before and behind the rows */
    tsr_view view;
    kt_tol tol;
    double *size;          /* [rows * cols] or NULL */
    int32_t *owner;        /* [rows] or NULL: everybody */
    unsigned char *sealed; /* KT_SEALED: the block as it was after packing */
};

typedef struct kt_agreement {
    tsr_view a, b;
    kt_tol tol;
} kt_agreement;

void kt_begin(kt *t, uint64_t seed, unsigned char fill);
void kt_end(kt *t);

/* A run on a marshalled table: `scratch` is the queue's block or NULL; the end comes before the queue's sync, and
 * brings back all memory of the device. A device that failed ends the program. */
void kt_marshal_begin(kt *t, unsigned char *scratch, size_t scratch_bytes);
void kt_marshal_end(kt *t);

/* Distance from |value| to the next larger one of the view's type, at element (r, c). */
double kt_step_at(tsr_view v, int64_t r, int64_t c, double value);

#endif
