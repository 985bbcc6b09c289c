/* apps/inspect.c: `tessera inspect IMAGE`: what the model will see. */
#include <stdio.h>
#include <string.h>

#include "apps/cli.h"
#include "apps/show.h"
#include "apps/term.h"

static void print_text(const char *path, const tsr_image_info *a)
{
    write_harmless(stdout, path, strlen(path), false);
    printf("\n  format      %s, %lld x %lld\n", a->format, (long long)a->width, (long long)a->height);
    printf("  grid        %lld x %lld tiles of %lld%s\n", (long long)a->columns, (long long)a->rows,
           (long long)a->tile_size, a->has_thumbnail ? ", and a thumbnail" : "");
    printf("  tiles       %lld\n", (long long)a->n_tiles);
    printf("  tokens      %lld\n", (long long)a->n_tokens);
    printf("  file hash   %s\n", a->file_hash);
    printf("  tile hash   %s\n", a->tile_hash);
}

static void print_json(const char *path, const tsr_image_info *a)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "image", path);
    cJSON_AddStringToObject(json, "format", a->format);
    cJSON_AddNumberToObject(json, "width", (double)a->width);
    cJSON_AddNumberToObject(json, "height", (double)a->height);
    cJSON_AddNumberToObject(json, "columns", (double)a->columns);
    cJSON_AddNumberToObject(json, "rows", (double)a->rows);
    cJSON_AddNumberToObject(json, "tile_size", (double)a->tile_size);
    cJSON_AddNumberToObject(json, "tiles", (double)a->n_tiles);
    cJSON_AddBoolToObject(json, "thumbnail", a->has_thumbnail);
    cJSON_AddNumberToObject(json, "tokens", (double)a->n_tokens);
    cJSON_AddStringToObject(json, "file_hash", a->file_hash);
    cJSON_AddStringToObject(json, "tile_hash", a->tile_hash);
    show_json(json, false);
}

int run_inspect(options *o)
{
    if (!o->n_images) {
        complain("inspect: which picture? 'tessera inspect IMAGE'");
        return EXIT_USAGE;
    }
    if (o->out && o->n_images > 1) {
        complain("inspect: -o draws one picture; %d were given", o->n_images);
        return EXIT_USAGE;
    }
    tsr_model *model = NULL;
    int code = open_model(o, &model, NULL);
    int failed = 0;
    for (int i = 0; !code && i < o->n_images; i++) {
        tsr_image *image = NULL;
        tsr_status status = open_image(&image, model, o->images[i], &o->image);
        if (!status && o->json) print_json(o->images[i], tsr_image_about(image));
        if (!status && !o->json) print_text(o->images[i], tsr_image_about(image));
        if (!status && o->out) status = tsr_image_draw(image, o->out);
        failed += report(status) != EXIT_DONE;
        tsr_image_close(image);
    }
    if (!code && failed) code = failed == o->n_images ? EXIT_FAILED : EXIT_SOME_FAILED;
    tsr_model_close(model);
    return finish_output(code);
}
