/* preprocess/tiles.c: the grid, and the tiles cut by it.
 *
 * Decoding a JPEG is one long serial stretch; resizing costs half as much and divides well. So one thread
 * decodes while the others resize the bands that are complete. Every band writes rows of its own, so that who
 * was faster shows nowhere.
 */
#include "preprocess/tiles.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "preprocess/jpeg.h"

/* ---- Grid ---- */

static tsr_status check_rule(const tsr_tile_rule *rule)
{
    if (rule->tile_size < 1 || rule->tile_size > TSR_MAX_TILE_SIZE)
        return tsr_fail(TSR_E_ARG, "tiles of %d pixels; 1 to %d are possible", rule->tile_size,
                        TSR_MAX_TILE_SIZE);
    if (rule->min_tiles < 1 || rule->max_tiles < rule->min_tiles || rule->max_tiles > TSR_MAX_TILES)
        return tsr_fail(TSR_E_ARG, "%d to %d tiles; the counts must be 1 to %d, the smaller first",
                        rule->min_tiles, rule->max_tiles, TSR_MAX_TILES);
    return TSR_OK;
}

tsr_status tsr_tiling_pick(tsr_tiling *out, int64_t width, int64_t height, const tsr_tile_rule *rule)
{
    tsr_status st = check_rule(rule);
    if (st) return st;
    double aspect = (double)width / (double)height;
    double area = (double)width * (double)height;
    double tile_area = (double)rule->tile_size * rule->tile_size;
    double nearest = INFINITY;
    tsr_tiling best = {1, 1, 1};
    for (int n = rule->min_tiles; n <= rule->max_tiles; n++) {
        for (int columns = 1; columns <= n; columns++) {
            if (n % columns) continue;
            int rows = n / columns;
            double distance = fabs(aspect - (double)columns / (double)rows);
            /* of equally near grids the larger one, while the picture fills more than half of it */
            if (distance < nearest || (distance == nearest && area > 0.5 * tile_area * n)) {
                nearest = distance;
                best.columns = columns;
                best.rows = rows;
            }
        }
    }
    best.n_tiles = best.columns * best.rows;
    if (rule->thumbnail && best.n_tiles > 1) best.n_tiles++;
    *out = best;
    return TSR_OK;
}

int tsr_tiles_share(int max_tiles, int64_t max_total_tiles, int64_t n_images)
{
    assert(n_images >= 1);
    int64_t each = max_total_tiles / n_images;
    if (each > max_tiles) each = max_tiles;
    return each < 1 ? 1 : (int)each;
}

/* ---- Tiles ---- */

/* Memory for the tiles of a picture, and the resize that will fill them. */
static tsr_status open_tiles(tsr_tiles *out, tsr_resize **resize, int64_t width, int64_t height,
                             const tsr_tile_rule *rule)
{
    tsr_tiling grid;
    tsr_status st = tsr_tiling_pick(&grid, width, height, rule);
    if (st) return st;
    tsr_tiles t = {.n_tiles = grid.n_tiles,
                   .tile_size = rule->tile_size,
                   .columns = grid.columns,
                   .rows = grid.rows,
                   .width = width,
                   .height = height};
    t.data = tsr_pixels_alloc(tsr_mul((size_t)t.n_tiles, tsr_tile_bytes(&t)));
    if (!t.data)
        return tsr_fail(TSR_E_NOMEM, "no memory for %d tiles of %d x %d", t.n_tiles, t.tile_size,
                        t.tile_size);

    int n_cut = grid.columns * grid.rows;
    tsr_resize_target targets[] = {
        {t.data, (int64_t)grid.columns * t.tile_size, (int64_t)grid.rows * t.tile_size, t.tile_size},
        {tsr_tile_at(&t, n_cut), t.tile_size, t.tile_size, t.tile_size}};
    st = tsr_resize_open(resize, targets, t.n_tiles > n_cut ? 2 : 1, width, height, rule->order);
    if (st) {
        tsr_tiles_close(&t);
        return st;
    }
    *out = t;
    return TSR_OK;
}

void tsr_tiles_close(tsr_tiles *tiles)
{
    tsr_free(tiles->data);
    *tiles = (tsr_tiles){0};
}

tsr_status tsr_tiles_cut(tsr_tiles *out, const tsr_picture *image, const tsr_tile_rule *rule, tsr_pool *pool)
{
    tsr_resize *resize = NULL;
    tsr_status st = open_tiles(out, &resize, image->width, image->height, rule);
    if (st) return st;
    out->format = image->format;
    out->orientation = image->orientation;
    tsr_resize_picture(resize, image->rgb, pool);
    tsr_resize_close(resize);
    return TSR_OK;
}

/* ---- Resizing while rows arrive ---- */

enum { BAND_ROWS = 16, MAX_SLOTS = 8 };

/* Bands of rows on their way from the decoder to whoever resizes them. Band b lies in slot b % n_slots. Bands are
 * published and claimed in order; a slot is free again when its band is done. */
typedef struct band_queue {
    tsr_jpeg *jpeg;
    tsr_resize *resize;
    int64_t height, n_bands;
    int n_slots;
    uint8_t *slots[MAX_SLOTS]; /* [BAND_ROWS, width, 3] and slack */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t n_published, n_claimed;
    bool busy[MAX_SLOTS]; /* published and not done */
    bool ended;           /* nothing more will be published */

    tsr_status status; /* the decoder's, with its message: messages belong to threads */
    char message[512];
} band_queue;

static int64_t rows_in(const band_queue *q, int64_t band)
{
    int64_t left = q->height - band * BAND_ROWS;
    return left < BAND_ROWS ? left : BAND_ROWS;
}

/* Resize the oldest band that nobody has claimed. Called and returns with the lock held. */
static void take_band(band_queue *q)
{
    int64_t band = q->n_claimed++;
    pthread_mutex_unlock(&q->lock);
    tsr_resize_rows(q->resize, q->slots[band % q->n_slots], band * BAND_ROWS, rows_in(q, band));
    pthread_mutex_lock(&q->lock);
    q->busy[band % q->n_slots] = false;
    pthread_cond_broadcast(&q->changed);
}

/* The decoder waits for nobody who has not begun: where all slots are full, it resizes a band itself. */
static void decode_bands(band_queue *q)
{
    tsr_status st = TSR_OK;
    pthread_mutex_lock(&q->lock);
    for (int64_t band = 0; band < q->n_bands && !st; band++) {
        int slot = (int)(band % q->n_slots);
        while (q->busy[slot]) {
            if (q->n_claimed < q->n_published)
                take_band(q);
            else
                pthread_cond_wait(&q->changed, &q->lock);
        }
        pthread_mutex_unlock(&q->lock);
        st = tsr_jpeg_rows(q->jpeg, q->slots[slot], rows_in(q, band));
        pthread_mutex_lock(&q->lock);
        if (st) break;
        q->busy[slot] = true;
        q->n_published++;
        pthread_cond_broadcast(&q->changed);
    }
    q->ended = true;
    q->status = st;
    if (st) snprintf(q->message, sizeof q->message, "%s", tsr_message());
    pthread_cond_broadcast(&q->changed);
    while (q->n_claimed < q->n_published) take_band(q);
    pthread_mutex_unlock(&q->lock);
}

static void resize_bands(band_queue *q)
{
    pthread_mutex_lock(&q->lock);
    for (;;) {
        if (q->n_claimed < q->n_published)
            take_band(q);
        else if (q->ended)
            break;
        else
            pthread_cond_wait(&q->changed, &q->lock);
    }
    pthread_mutex_unlock(&q->lock);
}

/* Task 0 is handed out first, so whoever waits for bands waits for a decoder that runs. */
static void queue_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    if (task == 0)
        decode_bands(arg);
    else
        resize_bands(arg);
}

static tsr_status run_queue(tsr_resize *resize, tsr_jpeg *jpeg, tsr_pool *pool)
{
    int n_threads = pool ? tsr_pool_threads(pool) : 1;
    band_queue q = {.jpeg = jpeg, .resize = resize, .height = tsr_jpeg_height(jpeg)};
    q.n_bands = (q.height + BAND_ROWS - 1) / BAND_ROWS;
    q.n_slots = n_threads == 1 ? 1 : MAX_SLOTS; /* alone, a band is best resized while it is in the cache */
    size_t slot_bytes = tsr_mul(BAND_ROWS * 3, (size_t)tsr_jpeg_width(jpeg)) + TSR_RGB_SLACK;
    uint8_t *slots = tsr_pixels_alloc(tsr_mul((size_t)q.n_slots, slot_bytes));
    if (!slots) return tsr_fail(TSR_E_NOMEM, "no memory for %d bands of rows", q.n_slots);
    for (int i = 0; i < q.n_slots; i++) {
        q.slots[i] = slots + (size_t)i * slot_bytes;
        memset(q.slots[i] + slot_bytes - TSR_RGB_SLACK, 0, TSR_RGB_SLACK);
    }

    pthread_mutex_init(&q.lock, NULL);
    pthread_cond_init(&q.changed, NULL);
    tsr_resize_run(pool, n_threads, queue_task, &q);
    pthread_cond_destroy(&q.changed);
    pthread_mutex_destroy(&q.lock);
    tsr_free(slots);
    return q.status ? tsr_fail(q.status, "%s", q.message) : TSR_OK;
}

/* A JPEG that is already upright: rows go from the decoder to the resize, the picture as a whole never exists
 * (unless a target begins with its columns). */
static tsr_status decode_upright(tsr_tiles *out, tsr_jpeg *jpeg, const tsr_tile_rule *rule, tsr_pool *pool)
{
    int64_t width = tsr_jpeg_width(jpeg), height = tsr_jpeg_height(jpeg);
    tsr_resize *resize = NULL;
    tsr_picture image = {0};
    tsr_tiles tiles = {0};
    tsr_status st = open_tiles(&tiles, &resize, width, height, rule);
    if (st) goto done;
    if (tsr_resize_takes_rows(resize)) {
        st = run_queue(resize, jpeg, pool);
        if (st) goto done;
        tsr_resize_finish(resize, pool);
    } else {
        st = tsr_picture_open(&image, width, height);
        if (!st) st = tsr_jpeg_rows(jpeg, image.rgb, height);
        if (st) goto done;
        tsr_resize_picture(resize, image.rgb, pool);
    }
    tiles.format = TSR_PICTURE_JPEG;
    tiles.orientation = tsr_jpeg_orientation(jpeg);
    *out = tiles;

done:
    tsr_resize_close(resize);
    tsr_picture_close(&image);
    if (st) tsr_tiles_close(&tiles);
    return st;
}

tsr_status tsr_tiles_decode(tsr_tiles *out, const void *file, size_t bytes, const tsr_pixel_opts *opts,
                            const tsr_tile_rule *rule, tsr_pool *pool)
{
    tsr_picture_format format;
    tsr_status st = check_rule(rule);
    if (!st) st = tsr_picture_check_file(&opts->limits, bytes);
    if (!st) st = tsr_picture_sniff(&format, file, bytes);
    if (st) return st;

    if (format == TSR_PICTURE_JPEG) {
        tsr_jpeg *jpeg = NULL;
        st = tsr_jpeg_open(&jpeg, file, bytes, opts);
        if (st) return st;
        bool upright = opts->parity == TSR_PARITY_HF || tsr_jpeg_orientation(jpeg) == 1;
        if (upright) st = decode_upright(out, jpeg, rule, pool);
        tsr_jpeg_close(jpeg);
        if (upright) return st;
    }

    tsr_picture image = {0};
    st = tsr_picture_decode(&image, file, bytes, opts, pool);
    if (st) return st;
    st = tsr_tiles_cut(out, &image, rule, pool);
    tsr_picture_close(&image);
    return st;
}
