/* kernels/cpu/linear_tile.h: dot products in register tiles of NX rows of x by NW rows of the weight.
 *
 * Included once by the file of each level, after it has said what its vectors are:
 *
 *   STEP, NX, NW            columns per step; the tile, so that NX * NW sums and NW factors fit the registers
 *   PANEL, PASS             as in tsr_linear_kernel
 *   TYPE, elem              what x and panels are, as a tsr_dtype and as a C type: float, or uint16_t for bf16
 *   vec, factor             partial sums; STEP elements of x or w, ready for madd
 *   vec vec_zero(void)
 *   vec madd(vec sum, factor w, factor x)
 *   factor load_x(const elem *), factor load_w(const unsigned char *row, tsr_dtype type, int64_t column)
 *   void vec_sums(float *to, const vec *v, int n)     the lanes of each of n vectors added up: the upper half to
 *                                                     the lower, then half of that, and so on
 *
 * A dot product is made of pieces of DEPTH columns. A piece runs in ascending steps into one vec, whose lanes
 * are added up at its end and then to the pieces before it.
 */
enum { DEPTH = 1024 };

/* Loops over a tile must unroll whole: only then are its sums registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* Bytes ahead of its use that a row is asked for: of memory while it streams by, of L2 inside a block. */
enum { FAR = 2048, NEAR = 256 };

/* Add what one piece made to sums that lie `apart` floats from each other. */
INLINE void add_sums(float *sums, int64_t apart, const vec *v, int n_w, bool begin)
{
    float piece[NW];
    vec_sums(piece, v, n_w);
    UNROLL
    for (int j = 0; j < n_w; j++) sums[j * apart] = begin ? piece[j] : sums[j * apart] + piece[j];
}

/* sums[i * ld + j * apart] += one piece of n columns. x is padded with zeros to whole steps, w may end anywhere. n_x,
 * n_w and type are constants in every call. */
INLINE void tile(float *sums, int64_t ld, int64_t apart, const elem *x, int64_t x_stride, int n_x,
                 const unsigned char *w, int64_t w_bytes, int n_w, tsr_dtype type, int64_t n, bool begin,
                 int64_t ahead)
{
    vec acc[NX][NW];
    UNROLL
    for (int i = 0; i < n_x; i++) {
        UNROLL
        for (int j = 0; j < n_w; j++) acc[i][j] = vec_zero();
    }
    int64_t whole = n - n % STEP, bytes = type_bytes(type);
    for (int64_t k = 0; k < whole; k += STEP) {
        factor wk[NW];
        UNROLL
        for (int j = 0; j < n_w; j++) {
            __builtin_prefetch(w + j * w_bytes + k * bytes + ahead);
            wk[j] = load_w(w + j * w_bytes, type, k);
        }
        UNROLL
        for (int i = 0; i < n_x; i++) {
            factor xk = load_x(x + i * x_stride + k);
            UNROLL
            for (int j = 0; j < n_w; j++) acc[i][j] = madd(acc[i][j], wk[j], xk);
        }
    }
    if (whole < n) {
        /* The row of w ends here: its last elements move to where reading past them is allowed. */
        UNROLL
        for (int j = 0; j < n_w; j++) {
            unsigned char tail[STEP * sizeof(float)] = {0};
            memcpy(tail, w + j * w_bytes + whole * bytes, (size_t)((n - whole) * bytes));
            factor wk = load_w(tail, type, 0);
            UNROLL
            for (int i = 0; i < n_x; i++) acc[i][j] = madd(acc[i][j], wk, load_x(x + i * x_stride + whole));
        }
    }
    UNROLL
    for (int i = 0; i < n_x; i++) add_sums(sums + i * ld, apart, acc[i], n_w, begin);
}

INLINE void tiles_of_x(float *sums, int64_t ld, int64_t apart, const elem *x, int64_t x_stride, int64_t n_x,
                       const unsigned char *w, int64_t w_bytes, int n_w, tsr_dtype type, int64_t n,
                       bool begin)
{
    int64_t i = 0;
    for (; i + NX <= n_x; i += NX)
        tile(sums + i * ld, ld, apart, x + i * x_stride, x_stride, NX, w, w_bytes, n_w, type, n, begin, FAR);
    for (; i + 2 <= n_x; i += 2)
        tile(sums + i * ld, ld, apart, x + i * x_stride, x_stride, 2, w, w_bytes, n_w, type, n, begin, FAR);
    if (i < n_x)
        tile(sums + i * ld, ld, apart, x + i * x_stride, x_stride, 1, w, w_bytes, n_w, type, n, begin, FAR);
}

/* The slab in NW parts, a row of each at a time: NW streams that run on from row to row, so that what is asked
 * for ahead is always what comes next, each from memory once. */
INLINE void few(float *sums, int64_t ld, const tsr_linear_rows *x, int64_t n_x, const void *w,
                int64_t w_bytes, int64_t n_w, tsr_dtype type, int64_t cols)
{
    const elem *x0 = x->data;
    const int64_t part = n_w / NW, bytes = type_bytes(type);
    for (int64_t j = 0; j < part; j++)
        for (int64_t c = 0; c < cols; c += DEPTH)
            tiles_of_x(sums + j, ld, part, x0 + c, x->stride, n_x,
                       (const unsigned char *)w + j * w_bytes + c * bytes, part * w_bytes, NW, type,
                       cols - c < DEPTH ? cols - c : DEPTH, c == 0);
    for (int64_t j = part * NW; j < n_w; j++)
        for (int64_t c = 0; c < cols; c += DEPTH)
            tiles_of_x(sums + j, ld, 1, x0 + c, x->stride, n_x,
                       (const unsigned char *)w + j * w_bytes + c * bytes, w_bytes, 1, type,
                       cols - c < DEPTH ? cols - c : DEPTH, c == 0);
}

/* few, for one type of weight. */
#define DEFINE_FEW(name, type)                                                                               \
    static void name(float *sums, int64_t ld, const tsr_linear_rows *x, int64_t n_x, const void *w,          \
                     int64_t w_bytes, int64_t n_w, int64_t cols)                                             \
    {                                                                                                        \
        few(sums, ld, x, n_x, w, w_bytes, n_w, type, cols);                                                  \
    }

INLINE void tiles_of_w(float *sums, const elem *x, int64_t x_stride, int n_x, const unsigned char *w,
                       int64_t w_bytes, int64_t n_w, int64_t n, bool begin)
{
    int64_t j = 0;
    for (; j + NW <= n_w; j += NW)
        tile(sums + j, PANEL, 1, x, x_stride, n_x, w + j * w_bytes, w_bytes, NW, TYPE, n, begin, NEAR);
    for (; j < n_w; j++)
        tile(sums + j, PANEL, 1, x, x_stride, n_x, w + j * w_bytes, w_bytes, 1, TYPE, n, begin, NEAR);
}

/* NX rows of x stay in L1 while the panel's piece, from L2, passes over them. */
static void block(float *acc, const tsr_linear_rows *x, int64_t row, int64_t n_x, int64_t c0, int64_t n,
                  const void *w, int64_t w_bytes, int64_t n_w)
{
    const int64_t stride = x->stride;
    const elem *x0 = (const elem *)x->data + row * stride + c0;
    int64_t i = 0;
    for (; i + NX <= n_x; i += NX)
        tiles_of_w(acc + i * PANEL, x0 + i * stride, stride, NX, w, w_bytes, n_w, n, c0 == 0);
    for (; i + 2 <= n_x; i += 2)
        tiles_of_w(acc + i * PANEL, x0 + i * stride, stride, 2, w, w_bytes, n_w, n, c0 == 0);
    if (i < n_x) tiles_of_w(acc + i * PANEL, x0 + i * stride, stride, 1, w, w_bytes, n_w, n, c0 == 0);
}
