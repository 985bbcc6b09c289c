/* apps/show.c: JSON on standard output. */
#include "apps/show.h"

#include <stdio.h>

#include "apps/term.h"

/* Bytes of the UTF-8 character that begins at `s`; 0 if none does. */
static int utf8_bytes(const unsigned char *s)
{
    if (s[0] < 0x80) return 1;
    int n = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
            : s[0] >= 0xe0 && s[0] <= 0xef ? 3
            : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                           : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool no_character = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return n && (overlong || no_character) ? 0 : n;
}

void show_json(cJSON *json, bool laid_out)
{
    char *text = laid_out ? cJSON_Print(json) : cJSON_PrintUnformatted(json);
    if (!text) complain("no memory for the JSON of an answer");
    /* cJSON passes bytes on as they are. The name of a file need not be UTF-8; JSON must be. */
    for (const char *at = text; at && *at;) {
        int n = utf8_bytes((const unsigned char *)at);
        fwrite(n ? at : "\xef\xbf\xbd", 1, n ? (size_t)n : 3, stdout);
        at += n ? n : 1;
    }
    if (text) putchar('\n');
    cJSON_free(text);
    cJSON_Delete(json);
}
