/* tests/unit/bench_pixels.c: how long a photograph takes to its tiles, beside the bare decoder. Not a test.
 *
 *   bench_pixels [FILE.jpg]    without a file: 4032 x 3024, 4:2:0, quality 85, made here
 *
 * Bare: jpeg_read_scanlines into one row. Interleaved, two threads for the tiles, minimum of 9.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jpeglib.h>

#include "base/cpu.h"
#include "preprocess/resize_kernels.h"
#include "preprocess/tiles.h"

enum { WIDTH = 4032, HEIGHT = 3024, RUNS = 9 };

/* On a busy machine the processor time of all threads says more than the clock on the wall. */
typedef struct times {
    double wall, cpu;
} times;

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static times now(void)
{
    return (times){seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_PROCESS_CPUTIME_ID)};
}

/* The smaller of each, of what was known and what has passed since `start`. */
static times least(times known, times start)
{
    times t = now();
    return (times){fmin(known.wall, t.wall - start.wall), fmin(known.cpu, t.cpu - start.cpu)};
}

static float lattice(unsigned x, unsigned y, unsigned octave)
{
    unsigned h = x * 374761393u + y * 668265263u + octave * 2246822519u;
    h = (h ^ h >> 13) * 1274126177u;
    return (float)((h ^ h >> 16) & 0xffff) / 65535.0f - 0.5f;
}

/* Smooth noise whose octaves halve in amplitude, as the spectrum of photographs falls; some grain on top. */
static float brightness(int x, int y, int channel)
{
    float sum = 0, amplitude = 110;
    for (unsigned octave = 0, cell = 512; cell >= 4; octave++, cell /= 2, amplitude *= 0.6f) {
        float fx = (float)x / (float)cell, fy = (float)y / (float)cell;
        unsigned ix = (unsigned)fx, iy = (unsigned)fy, key = octave * 4 + (unsigned)channel * (octave < 3);
        fx -= (float)ix, fy -= (float)iy;
        fx = fx * fx * (3 - 2 * fx), fy = fy * fy * (3 - 2 * fy);
        float top = lattice(ix, iy, key) * (1 - fx) + lattice(ix + 1, iy, key) * fx;
        float bottom = lattice(ix, iy + 1, key) * (1 - fx) + lattice(ix + 1, iy + 1, key) * fx;
        sum += amplitude * (top * (1 - fy) + bottom * fy);
    }
    return 128 + sum + 13 * lattice((unsigned)x, (unsigned)y, 99);
}

static unsigned char *make_photograph(size_t *bytes)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned char *file = NULL, *row = malloc(WIDTH * 3);
    unsigned long size = 0;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &file, &size);
    info.image_width = WIDTH;
    info.image_height = HEIGHT;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info); /* 4:2:0 */
    jpeg_set_quality(&info, 85, TRUE);
    jpeg_start_compress(&info, TRUE);
    for (int y = 0; y < HEIGHT; y++) {
        for (int i = 0; i < WIDTH * 3; i++) {
            float v = brightness(i / 3, y, i % 3);
            row[i] = (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    free(row);
    *bytes = size;
    return file;
}

static unsigned char *read_file(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *bytes = (size_t)ftell(f);
    rewind(f);
    unsigned char *file = malloc(*bytes);
    *bytes = fread(file, 1, *bytes, f);
    fclose(f);
    return file;
}

static times time_bare(times known, const unsigned char *file, size_t bytes)
{
    times start = now();
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    info.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, file, bytes);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    JSAMPROW row = malloc((size_t)info.output_width * 3);
    while (info.output_scanline < info.output_height) jpeg_read_scanlines(&info, &row, 1);
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    free(row);
    return least(known, start);
}

static times time_tiles(times known, const unsigned char *file, size_t bytes, tsr_pool *pool)
{
    const tsr_pixel_opts opts = {0};
    const tsr_tile_rule rule = {.tile_size = 448, .min_tiles = 1, .max_tiles = 12, .thumbnail = true};
    times start = now();
    tsr_tiles tiles = {0};
    if (tsr_tiles_decode(&tiles, file, bytes, &opts, &rule, pool)) {
        fprintf(stderr, "%s\n", tsr_message());
        exit(1);
    }
    known = least(known, start);
    tsr_tiles_close(&tiles);
    return known;
}

static void print_line(const char *what, times t, times bare)
{
    printf("%-26s %7.1f ms wall, %.2fx the bare decode %7.1f ms processor, %.2fx\n", what, t.wall * 1e3,
           t.wall / bare.wall, t.cpu * 1e3, t.cpu / bare.cpu);
}

int main(int argc, char **argv)
{
    size_t bytes;
    unsigned char *file = argc > 1 ? read_file(argv[1], &bytes) : make_photograph(&bytes);
    tsr_pool *pool = NULL, *one = NULL;
    if (!file || tsr_pool_open(&pool, 2) || tsr_pool_open(&one, 1)) {
        fprintf(stderr, "no file or no threads: %s\n", tsr_message());
        return 1;
    }
    times bare = {INFINITY, INFINITY}, tiles = bare, alone = bare;
    for (int i = 0; i < RUNS; i++) {
        bare = time_bare(bare, file, bytes);
        tiles = time_tiles(tiles, file, bytes, pool);
        alone = time_tiles(alone, file, bytes, one);
    }
    printf("%zu bytes of JPEG, resize level %s, minimum of %d\n", bytes,
           tsr_resize_kernels_pick(tsr_cpu_features())->name, RUNS);
    print_line("bare libjpeg-turbo decode", bare, bare);
    print_line("tiles, two threads", tiles, bare);
    print_line("tiles, one thread", alone, bare);
    tsr_pool_close(pool);
    tsr_pool_close(one);
    free(file);
    return 0;
}
