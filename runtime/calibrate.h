/* runtime/calibrate.h: how large the inputs of linears, keys and values get, for static FP8 scales.
 *
 * A calibration runs sequences through an engine on the CPU and keeps, for each linear, the largest absolute value
 * it was given, and for each attention layer the largest key and value. For files of runtime/ alone. One thread.
 */
#ifndef TSR_RUNTIME_CALIBRATE_H
#define TSR_RUNTIME_CALIBRATE_H

#include "runtime/engine.h"

/* The largest input of one linear; of all experts of a layer together, which share an input. An infinity when an
 * input was not finite. */
typedef struct tsr_input_max {
    const char *name; /* of the linear; lives as long as the model */
    float amax;
} tsr_input_max;

typedef struct tsr_calibration {
    tsr_engine *engine; /* borrowed */
    tsr_queue *own;     /* for the products between an expert's two matrices */
    tsr_input_max *maxima;
    int64_t n_maxima, capacity;
    const char *last;                                         /* linear that ran */
    float k_max[TSR_LM_MAX_LAYERS], v_max[TSR_LM_MAX_LAYERS]; /* by layer of the decoder */
    int64_t n_sequences, n_tokens;                            /* run so far */
} tsr_calibration;

/* Where sequences come from. With `path` NULL: the built-in texts, and the pictures of the folder `samples` (which
 * may be NULL) if the model takes any. Otherwise `path`, a file or a folder of files: .txt, a sequence in each
 * line that is not empty; .ids, token ids separated by blanks instead of text; .jpg, .jpeg and .png. Files of
 * other names are passed over. */
typedef struct tsr_calibration_data {
    const char *path, *samples;
    const tsr_image_opts *image;
} tsr_calibration_data;

/* Told before each sequence, how many of all were run; 0 stops with TSR_E_CANCELLED. It is asked within long
 * sequences too. */
typedef int tsr_calibration_progress_fn(void *user, int64_t done, int64_t total);

/* Run everything. `c` is zeroed but for its engine, which must be unfused and have a session free. Errors: TSR_E_ARG
 * when there is no sequence to run; what reading, tokenising and running them gives. */
TSR_CHECKED tsr_status tsr_calibrate(tsr_calibration *c, const tsr_calibration_data *data,
                                     tsr_calibration_progress_fn *progress, void *user);
void tsr_calibration_close(tsr_calibration *c);

/* What the linear `name` was given at most; 0 when it never ran. */
float tsr_calibration_max(const tsr_calibration *c, const char *name);

/* The built-in text i, into `to`; false past the last. They are combinations of instructions and documents. */
enum { TSR_CALIBRATION_TEXT_BYTES = 2048 };
bool tsr_calibration_text(char to[TSR_CALIBRATION_TEXT_BYTES], int64_t i);

#endif
