/* base/hub.c: a directory, or an id in the Hugging Face cache. */
#include "base/hub.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/map.h"

enum { COMMIT_DIGITS = 40, MAX_REF_BYTES = 256 };

static bool is_directory(const char *path)
{
    struct stat info;
    return !stat(path, &info) && S_ISDIR(info.st_mode);
}

/* ORG/NAME. "." alone passes the alphabet, but the cache folder's name is models--ORG--NAME, so it leads
 * nowhere. */
static bool is_id(const char *model)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t org = strspn(model, allowed);
    if (!org || model[org] != '/') return false;
    size_t name = strspn(model + org + 1, allowed);
    return name && !model[org + 1 + name] && !strstr(model, "..");
}

/* The cache folder, and the variable that chose it, for messages. */
static tsr_status find_cache(char **cache, const char **variable)
{
    static const struct {
        const char *variable, *below;
    } places[] = {
        {"HF_HUB_CACHE", ""},
        {"HF_HOME", "/hub"},
        {"XDG_CACHE_HOME", "/huggingface/hub"},
        {"HOME", "/.cache/huggingface/hub"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *value = getenv(places[i].variable);
        if (!value || !*value) continue;
        size_t bytes = strlen(value) + strlen(places[i].below) + 1;
        char *path = tsr_alloc(bytes);
        if (!path) return tsr_fail(TSR_E_NOMEM, "no memory for the path of the Hugging Face cache");
        snprintf(path, bytes, "%s%s", value, places[i].below);
        *cache = path;
        *variable = places[i].variable;
        return TSR_OK;
    }
    return tsr_fail(TSR_E_IO, "no such directory, and no Hugging Face cache: none of HF_HUB_CACHE, HF_HOME, "
                              "XDG_CACHE_HOME and HOME is set");
}

/* CACHE/models--ORG--NAME */
static char *cache_entry(const char *cache, const char *model)
{
    const char *name = strchr(model, '/') + 1;
    size_t bytes = strlen(cache) + strlen(model) + sizeof "/models----";
    char *path = tsr_alloc(bytes);
    if (path) snprintf(path, bytes, "%s/models--%.*s--%s", cache, (int)(name - 1 - model), model, name);
    return path;
}

static tsr_status read_commit(char commit[COMMIT_DIGITS + 1], const char *entry)
{
    char *path = tsr_path_join(entry, "refs/main");
    if (!path) return tsr_fail(TSR_E_NOMEM, "no memory for its path");
    unsigned char *text = NULL;
    size_t bytes = 0;
    tsr_status st = tsr_file_read(&text, &bytes, path, MAX_REF_BYTES);
    if (!st) {
        size_t digits = strspn((const char *)text, "0123456789abcdef");
        bool newline = bytes == digits + 1 && text[digits] == '\n';
        if (digits != COMMIT_DIGITS || (bytes != digits && !newline))
            st = tsr_fail(TSR_E_FORMAT, "%s: '%.80s' is no commit of %d hex digits", path, (const char *)text,
                          COMMIT_DIGITS);
        else
            snprintf(commit, COMMIT_DIGITS + 1, "%.*s", COMMIT_DIGITS, (const char *)text);
    }
    tsr_free(text);
    tsr_free(path);
    return st;
}

static tsr_status find_snapshot(char **directory, const char *entry)
{
    char commit[COMMIT_DIGITS + 1];
    tsr_status st = read_commit(commit, entry);
    if (st) return st;

    size_t bytes = strlen(entry) + sizeof "/snapshots/" + sizeof commit;
    char *path = tsr_alloc(bytes);
    if (!path) return tsr_fail(TSR_E_NOMEM, "no memory for its path");
    snprintf(path, bytes, "%s/snapshots/%s", entry, commit);
    if (!is_directory(path)) {
        st = tsr_fail(TSR_E_IO, "%s: no such directory, though refs/main names it", path);
        tsr_free(path);
        return st;
    }
    *directory = path;
    return TSR_OK;
}

static tsr_status resolve_id(char **directory, const char *model)
{
    char *cache = NULL;
    const char *variable = NULL;
    tsr_status st = find_cache(&cache, &variable);
    if (st) return st;

    char *entry = cache_entry(cache, model);
    if (!entry)
        st = tsr_fail(TSR_E_NOMEM, "no memory for its path");
    else if (!is_directory(entry))
        st = tsr_fail(TSR_E_IO,
                      "no such directory, and not in the Hugging Face cache: %s is missing (cache from %s)",
                      entry, variable);
    else
        st = find_snapshot(directory, entry);
    tsr_free(entry);
    tsr_free(cache);
    return st;
}

tsr_status tsr_hub_resolve(char **directory, const char *model)
{
    struct stat info;
    if (!stat(model, &info)) {
        if (!S_ISDIR(info.st_mode)) return tsr_fail(TSR_E_ARG, "%s: a file, not a model's directory", model);
        char *copy = tsr_strdup(model);
        if (!copy) return tsr_fail(TSR_E_NOMEM, "%s: no memory for its path", model);
        *directory = copy;
        return TSR_OK;
    }
    if (errno != ENOENT && errno != ENOTDIR) return tsr_fail(TSR_E_IO, "%s: %s", model, strerror(errno));
    if (!is_id(model))
        return tsr_fail(TSR_E_ARG, "%s: no such directory, and not a hub id (ORG/NAME)", model);
    tsr_status st = resolve_id(directory, model);
    return st ? tsr_wrap(st, "%s", model) : TSR_OK;
}
