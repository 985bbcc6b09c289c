/* base/json.c: strict JSON on top of cJSON.
 *
 * cJSON takes for white space every byte up to 32, for a number whatever strtod reads of it, and for a string
 * any bytes; invalid escapes and \u0000 become NUL. So a scan goes first and passes only tokens that are
 * JSON's (RFC 8259), bounds nesting and count, and turns bare infinities into numbers that overflow. cJSON
 * then decides how tokens may follow each other and builds the tree, in which duplicate keys are looked for.
 */
#include "base/json.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/keys.h"
#include "base/map.h"

enum {
    MAX_NUMBER_BYTES = 63, /* cJSON cuts longer ones in two */
    FEW_MEMBERS = 16       /* up to here comparing all pairs of keys beats sorting them */
};

struct tsr_json {
    cJSON *root;
};

typedef struct scanner {
    const char *name;
    char *text; /* ends with a NUL at `bytes`; any other NUL is refused, so looking one byte ahead is safe */
    size_t bytes;
    size_t at;
    int64_t depth;
    int64_t values; /* at least as many as there are */
} scanner;

static tsr_status fail_at(const scanner *s, size_t at, const char *what)
{
    return tsr_fail(TSR_E_FORMAT, "%s: byte %zu: %s", s->name, at, what);
}

/* Bytes of the UTF-8 sequence at p (RFC 3629), 0 if it is not one. Reads no further than the first wrong
 * byte. */
static size_t utf8_bytes(const unsigned char *p)
{
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4) return 0;
    unsigned char low = 0x80,
                  high = 0xbf; /* of the second byte: no overlong forms, surrogates or > U+10FFFF */
    if (p[0] == 0xe0) low = 0xa0;
    if (p[0] == 0xed) high = 0x9f;
    if (p[0] == 0xf0) low = 0x90;
    if (p[0] == 0xf4) high = 0x8f;
    if (p[1] < low || p[1] > high) return 0;
    size_t n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    for (size_t i = 2; i < n; i++)
        if (p[i] < 0x80 || p[i] > 0xbf) return 0;
    return n;
}

/* Four hex digits at p, -1 if they are not. */
static int hex4(const char *p)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        if (!isxdigit((unsigned char)p[i])) return -1;
        value = value * 16 + (isdigit((unsigned char)p[i]) ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    }
    return value;
}

/* At the backslash; leaves `at` behind the escape. */
static tsr_status scan_escape(scanner *s)
{
    const char *p = s->text + s->at;
    if (p[1] != 'u') {
        if (!p[1] || !strchr("\"\\/bfnrt", p[1])) return fail_at(s, s->at, "an escape that JSON lacks");
        s->at += 2;
        return TSR_OK;
    }
    int unit = hex4(p + 2);
    if (unit < 0) return fail_at(s, s->at, "\\u without four hex digits");
    if (unit == 0) return fail_at(s, s->at, "\\u0000 in a string");
    if (unit >= 0xdc00 && unit <= 0xdfff) return fail_at(s, s->at, "a low surrogate without its high one");
    s->at += 6;
    if (unit < 0xd800 || unit > 0xdfff) return TSR_OK;
    int second = p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
    if (second < 0xdc00 || second > 0xdfff) return fail_at(s, s->at, "a high surrogate without its low one");
    s->at += 6;
    return TSR_OK;
}

static tsr_status scan_string(scanner *s)
{
    size_t start = s->at++;
    for (;;) {
        unsigned char c = (unsigned char)s->text[s->at];
        if (c == '"') {
            s->at++;
            return TSR_OK;
        }
        if (c == '\\') {
            tsr_status st = scan_escape(s);
            if (st) return st;
        } else if (c < 0x20) {
            if (s->at == s->bytes) return fail_at(s, start, "a string that does not end");
            return fail_at(s, s->at, c ? "a control character in a string" : "a NUL");
        } else {
            size_t n = utf8_bytes((const unsigned char *)s->text + s->at);
            if (!n) return fail_at(s, s->at, "invalid UTF-8");
            s->at += n;
        }
    }
}

/* A number or word has ended: nothing may touch it that could continue it. */
static tsr_status scan_end(const scanner *s)
{
    unsigned char c = (unsigned char)s->text[s->at];
    if (isalnum(c) || c == '.' || c == '+' || c == '-' || c == '"')
        return fail_at(s, s->at, "two values without a comma");
    return TSR_OK;
}

static int scan_digits(scanner *s)
{
    size_t from = s->at;
    while (isdigit((unsigned char)s->text[s->at])) s->at++;
    return s->at > from;
}

static tsr_status scan_number(scanner *s)
{
    size_t from = s->at;
    if (s->text[s->at] == '-') s->at++;
    if (!strncmp(s->text + s->at, "Infinity", 8)) {
        memcpy(s->text + s->at, "1e999   ", 8);
        s->at += 8;
        return scan_end(s);
    }
    size_t whole = s->at;
    int ok = scan_digits(s) && (s->text[whole] != '0' || s->at == whole + 1);
    if (ok && s->text[s->at] == '.') {
        s->at++;
        ok = scan_digits(s);
    }
    if (ok && (s->text[s->at] | 0x20) == 'e') {
        s->at++;
        if (s->text[s->at] == '+' || s->text[s->at] == '-') s->at++;
        ok = scan_digits(s);
    }
    if (!ok) return fail_at(s, from, "a number that is not JSON's");
    if (s->at - from > MAX_NUMBER_BYTES)
        return tsr_fail(TSR_E_LIMIT, "%s: byte %zu: a number of %zu bytes; at most %d are read", s->name,
                        from, s->at - from, MAX_NUMBER_BYTES);
    return scan_end(s);
}

static tsr_status scan_word(scanner *s)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        if (!strncmp(s->text + s->at, words[i], n)) {
            s->at += n;
            return scan_end(s);
        }
    }
    return tsr_fail(TSR_E_FORMAT, "%s: byte %zu: 0x%02x begins no JSON value", s->name, s->at,
                    (unsigned char)s->text[s->at]);
}

static tsr_status scan(scanner *s)
{
    while (s->at < s->bytes) {
        tsr_status st = TSR_OK;
        switch (s->text[s->at]) {
        case ' ':
        case '\t':
        case '\n':
        case '\r':
        case ':': s->at++; break;
        case '{':
        case '[':
            if (++s->depth > TSR_JSON_MAX_DEPTH)
                return tsr_fail(TSR_E_LIMIT, "%s: byte %zu: nested deeper than %d", s->name, s->at,
                                TSR_JSON_MAX_DEPTH);
            s->values++;
            s->at++;
            break;
        case '}':
        case ']':
            s->depth--;
            s->at++;
            break;
        case ',':
            s->values++;
            s->at++;
            break;
        case '"': st = scan_string(s); break;
        case '-':
        case '0':
        case '1':
        case '2':
        case '3':
        case '4':
        case '5':
        case '6':
        case '7':
        case '8':
        case '9':
        case 'I': st = scan_number(s); break;
        default: st = scan_word(s);
        }
        if (st) return st;
    }
    if (s->values > TSR_JSON_MAX_VALUES)
        return tsr_fail(TSR_E_LIMIT, "%s: %lld values; at most %d are read", s->name, (long long)s->values,
                        TSR_JSON_MAX_VALUES);
    return TSR_OK;
}

/* cJSON reports no reason; this tells want of memory from want of grammar. */
static _Thread_local bool refused;

static void *hook_alloc(size_t bytes)
{
    void *block = tsr_alloc(bytes);
    if (!block) refused = true;
    return block;
}

static void install_hooks(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = hook_alloc, .free_fn = tsr_free});
}

/* The tree of scanned text. cJSON keeps its last error in a global, so one parse runs at a time. */
static tsr_status build(cJSON **out, const scanner *s)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    pthread_once(&once, install_hooks);

    pthread_mutex_lock(&one_at_a_time);
    const char *end = s->text;
    refused = false;
    cJSON *root = cJSON_ParseWithLengthOpts(s->text, s->bytes + 1, &end, 1);
    bool no_memory = refused;
    pthread_mutex_unlock(&one_at_a_time);

    if (no_memory) return tsr_fail(TSR_E_NOMEM, "%s: no memory for its values", s->name);
    if (!root) {
        size_t at = (size_t)(end - s->text); /* where cJSON stopped, at times a byte late */
        bool cut = at >= s->bytes && (s->depth > 0 || strspn(s->text, " \t\n\r") == s->bytes);
        return fail_at(s, at, cut ? "ends before its value does" : "not what JSON has here");
    }
    *out = root;
    return TSR_OK;
}

static tsr_status fail_twice(const char *name, const char *key)
{
    return tsr_fail(TSR_E_FORMAT, "%s: the key '%.200s' stands twice in one object", name, key);
}

/* Refuse equal keys in one object. */
static tsr_status check_members(const cJSON *object, int64_t n, const char *name)
{
    if (n <= FEW_MEMBERS) {
        for (const cJSON *a = object->child; a; a = a->next)
            for (const cJSON *b = a->next; b; b = b->next)
                if (!strcmp(a->string, b->string)) return fail_twice(name, a->string);
        return TSR_OK;
    }
    tsr_key *keys = tsr_calloc((size_t)n, sizeof *keys);
    if (!keys) return tsr_fail(TSR_E_NOMEM, "%s: no memory to compare %lld keys", name, (long long)n);
    int64_t i = 0;
    for (const cJSON *a = object->child; a; a = a->next, i++)
        keys[i] = (tsr_key){.text = a->string, .index = i};
    tsr_keys_sort(keys, n);
    const tsr_key *twice = tsr_keys_duplicate(keys, n);
    tsr_status st = twice ? fail_twice(name, twice->text) : TSR_OK;
    tsr_free(keys);
    return st;
}

static tsr_status check_keys(const cJSON *container, const char *name)
{
    int64_t n = 0;
    for (const cJSON *child = container->child; child; child = child->next, n++) {
        if (!child->child) continue;
        tsr_status st = check_keys(child, name); /* as deep as TSR_JSON_MAX_DEPTH */
        if (st) return st;
    }
    return cJSON_IsObject(container) ? check_members(container, n, name) : TSR_OK;
}

/* `text` is changed in place and has a NUL behind its bytes. */
static tsr_status parse(tsr_json **out, char *text, size_t bytes, const char *name)
{
    scanner s = {.name = name, .text = text, .bytes = bytes, .values = 1};
    tsr_status st = scan(&s);
    if (st) return st;

    tsr_json *json = tsr_calloc(1, sizeof *json);
    if (!json) return tsr_fail(TSR_E_NOMEM, "%s: no memory for its values", name);
    st = build(&json->root, &s);
    if (st) goto fail;
    st = check_keys(json->root, name);
    if (st) goto fail;
    *out = json;
    return TSR_OK;

fail:
    tsr_json_close(json);
    return st;
}

tsr_status tsr_json_parse(tsr_json **out, const char *text, size_t bytes, const char *name)
{
    char *copy = bytes < SIZE_MAX ? tsr_alloc(bytes + 1) : NULL;
    if (!copy) return tsr_fail(TSR_E_NOMEM, "%s: no memory for %zu bytes of JSON", name, bytes);
    if (bytes) memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    tsr_status st = parse(out, copy, bytes, name);
    tsr_free(copy);
    return st;
}

tsr_status tsr_json_open(tsr_json **out, const char *path, size_t max_bytes)
{
    unsigned char *text = NULL;
    size_t bytes = 0;
    tsr_status st = tsr_file_read(&text, &bytes, path, max_bytes);
    if (st) return st;
    st = parse(out, (char *)text, bytes, path);
    tsr_free(text);
    return st;
}

void tsr_json_close(tsr_json *json)
{
    if (!json) return;
    cJSON_Delete(json->root);
    tsr_free(json);
}

/* A value is a cJSON item by another name, so that nobody outside sees cJSON. */
static const cJSON *item(const tsr_json_value *value)
{
    return (const cJSON *)value;
}

static const tsr_json_value *value_of(const cJSON *from)
{
    return (const tsr_json_value *)from;
}

const tsr_json_value *tsr_json_root(const tsr_json *json)
{
    return value_of(json->root);
}

tsr_json_kind tsr_json_kind_of(const tsr_json_value *value)
{
    const cJSON *i = item(value);
    if (cJSON_IsObject(i)) return TSR_JSON_OBJECT;
    if (cJSON_IsArray(i)) return TSR_JSON_ARRAY;
    if (cJSON_IsString(i)) return TSR_JSON_STRING;
    if (cJSON_IsNumber(i)) return TSR_JSON_NUMBER;
    return cJSON_IsBool(i) ? TSR_JSON_BOOL : TSR_JSON_NULL;
}

const char *tsr_json_kind_name(tsr_json_kind kind)
{
    static const char *const names[] = {"null", "a boolean", "a number", "a string", "an array", "an object"};
    return names[kind];
}

bool tsr_json_bool(const tsr_json_value *value)
{
    assert(tsr_json_kind_of(value) == TSR_JSON_BOOL);
    return cJSON_IsTrue(item(value));
}

double tsr_json_number(const tsr_json_value *value)
{
    assert(tsr_json_kind_of(value) == TSR_JSON_NUMBER);
    return item(value)->valuedouble;
}

const char *tsr_json_string(const tsr_json_value *value)
{
    assert(tsr_json_kind_of(value) == TSR_JSON_STRING);
    return item(value)->valuestring;
}

bool tsr_json_int(const tsr_json_value *value, int64_t *out)
{
    if (tsr_json_kind_of(value) != TSR_JSON_NUMBER) return false;
    double number = item(value)->valuedouble;
    if (!(fabs(number) < 0x1p53) || number != floor(number)) return false;
    *out = (int64_t)number;
    return true;
}

const tsr_json_value *tsr_json_find(const tsr_json_value *object, const char *key)
{
    assert(tsr_json_kind_of(object) == TSR_JSON_OBJECT);
    const cJSON *member = item(object)->child;
    while (member && strcmp(member->string, key)) member = member->next;
    return value_of(member);
}

const tsr_json_value *tsr_json_first(const tsr_json_value *container)
{
    return value_of(item(container)->child);
}

const tsr_json_value *tsr_json_next(const tsr_json_value *element)
{
    return value_of(item(element)->next);
}

const char *tsr_json_key(const tsr_json_value *member)
{
    return item(member)->string;
}

int64_t tsr_json_count(const tsr_json_value *container)
{
    int64_t n = 0;
    for (const cJSON *child = item(container)->child; child; child = child->next) n++;
    return n;
}
