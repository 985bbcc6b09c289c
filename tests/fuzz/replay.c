/* tests/fuzz/replay.c: feed every file of a corpus folder to a fuzz target, without libFuzzer.
 *
 * Each input lies in a block of exactly its size, so that a sanitizer sees the first byte read past its end.
 */
#include <dirent.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static void replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) {
        perror(path);
        exit(1);
    }
    size_t bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(bytes ? bytes : 1);
    if (!data || fread(data, 1, bytes, file) != bytes) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    fclose(file);
    printf("%s\n", path); /* named before it runs: the last line is the culprit */
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, bytes);
    free(data);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
        return 2;
    }
    DIR *folder = opendir(argv[1]);
    if (!folder) {
        perror(argv[1]);
        return 1;
    }
    int n_files = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        replay(path);
        n_files++;
    }
    closedir(folder);
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    printf("%d files\n", n_files);
    return n_files ? 0 : 1; /* an empty corpus proves nothing */
}
