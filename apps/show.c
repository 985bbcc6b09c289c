/* apps/show.c: JSON on standard output. */
#include "apps/show.h"

#include <stdio.h>

#include "apps/term.h"

void show_json(cJSON *json, bool laid_out)
{
    char *text = laid_out ? cJSON_Print(json) : cJSON_PrintUnformatted(json);
    if (text)
        puts(text);
    else
        complain("no memory for the JSON of an answer");
    cJSON_free(text);
    cJSON_Delete(json);
}
