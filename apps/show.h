/* apps/show.h: JSON on standard output. */
#ifndef TSR_SHOW_H
#define TSR_SHOW_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* Print a value, on one line or laid out, and free it. */
void show_json(cJSON *json, bool laid_out);

#endif
