/* kernels/cpu/linear_tile.h: dot products in register tiles of NX rows of x by NW rows of the weight.
 *
 * Included once by the file of each level, after it has said what its vectors are:
 *
 *   STEP, NX, NW            columns per step; the tile, so that NX * NW sums and NW factors fit the registers
 *   elem                    an element of x: float, or uint16_t for bf16
 *   vec                     partial sums
 *   factor                  STEP elements of x or w, ready for madd
 *   vec vec_zero(void), vec vec_load(const float *), void vec_store(float *, vec)
 *   float vec_sum(vec)                    lanes added up: the upper half to the lower, then half of that, ...
 *   vec vec_sums(const float *)           vec_sum of as many vectors as one has lanes, at once
 *   vec madd(vec sum, factor w, factor x)
 *   factor load_x(const elem *), factor load_w(const unsigned char *row, tsr_dtype type, int64_t column)
 *   void fetch(const unsigned char *)     ask for a cache line ahead of its use; INLINE, or gcc drops the call
 *                                         as one without effect
 *   PANEL                   weight rows of a task
 *   PANEL_TYPE              the type that elem is
 *
 * Depth runs in ascending steps into one vec per dot product, on every route.
 */
/* Loops over a tile must unroll whole: only then are its sums registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { LANES = sizeof(vec) / sizeof(float) };

/* How far ahead of its use a tile fetches its rows: in the rows of the next tile where both fit into L1 (short
 * rows end before the processor's own prefetcher has caught up with them), otherwise further on in the row. */
static inline int64_t fetch_ahead(int64_t w_bytes, int64_t tiles_left)
{
    return tiles_left > 1 && NW * w_bytes <= 32 << 10 ? NW * w_bytes : 1024;
}

/* n_x, n_w and type are constants in every call: the loops over them unroll and the sums live in registers. */
INLINE void few_tile(float *sums, int64_t ld, const elem *x, int64_t x_stride, int n_x,
                     const unsigned char *w, int64_t w_bytes, int n_w, tsr_dtype type, int64_t cols,
                     int64_t ahead)
{
    vec acc[NX][NW];
    UNROLL
    for (int i = 0; i < n_x; i++) {
        UNROLL
        for (int j = 0; j < n_w; j++) acc[i][j] = vec_zero();
    }

    int64_t bytes = type_bytes(type), whole = cols - cols % STEP;
    for (int64_t k = 0; k < whole; k += STEP) {
        factor wk[NW];
        UNROLL
        for (int j = 0; j < n_w; j++) {
            fetch(w + j * w_bytes + k * bytes + ahead);
            wk[j] = load_w(w + j * w_bytes, type, k);
        }
        UNROLL
        for (int i = 0; i < n_x; i++) {
            factor xk = load_x(x + i * x_stride + k);
            UNROLL
            for (int j = 0; j < n_w; j++) acc[i][j] = madd(acc[i][j], wk[j], xk);
        }
    }
    if (whole < cols) {
        /* The row of w ends here: its last elements move to where reading past them is allowed. */
        UNROLL
        for (int j = 0; j < n_w; j++) {
            unsigned char tail[STEP * sizeof(float)] = {0};
            memcpy(tail, w + j * w_bytes + whole * bytes, (size_t)((cols - whole) * bytes));
            factor wk = load_w(tail, type, 0);
            UNROLL
            for (int i = 0; i < n_x; i++) acc[i][j] = madd(acc[i][j], wk, load_x(x + i * x_stride + whole));
        }
    }
    UNROLL
    for (int i = 0; i < n_x; i++) {
        UNROLL
        for (int j = 0; j < n_w; j++) sums[i * ld + j] = vec_sum(acc[i][j]);
    }
}

INLINE void few_rows(float *sums, int64_t ld, const elem *x, int64_t x_stride, int64_t n_x,
                     const unsigned char *w, int64_t w_bytes, int n_w, tsr_dtype type, int64_t cols,
                     int64_t ahead)
{
    int64_t i = 0;
    for (; i + NX <= n_x; i += NX)
        few_tile(sums + i * ld, ld, x + i * x_stride, x_stride, NX, w, w_bytes, n_w, type, cols, ahead);
    for (; i + 2 <= n_x; i += 2)
        few_tile(sums + i * ld, ld, x + i * x_stride, x_stride, 2, w, w_bytes, n_w, type, cols, ahead);
    if (i < n_x)
        few_tile(sums + i * ld, ld, x + i * x_stride, x_stride, 1, w, w_bytes, n_w, type, cols, ahead);
}

INLINE void few(float *sums, int64_t ld, const tsr_linear_rows *x, int64_t row, int64_t n_x, const void *w,
                int64_t w_bytes, int64_t n_w, tsr_dtype type, int64_t cols)
{
    const elem *x0 = (const elem *)x->data + row * x->stride;
    const unsigned char *w0 = w;
    int64_t j = 0;
    for (; j + NW <= n_w; j += NW)
        few_rows(sums + j, ld, x0, x->stride, n_x, w0 + j * w_bytes, w_bytes, NW, type, cols,
                 fetch_ahead(w_bytes, (n_w - j) / NW));
    for (; j < n_w; j++)
        few_rows(sums + j, ld, x0, x->stride, n_x, w0 + j * w_bytes, w_bytes, 1, type, cols,
                 fetch_ahead(w_bytes, 0));
}

/* The accumulators of a pass: [row of x][row of w][LANES]. */
INLINE void block_tile(float *acc, int64_t acc_stride, const elem *x, int64_t x_stride, int n_x,
                       const unsigned char *w, int64_t w_bytes, int n_w, int64_t n, bool begin)
{
    vec sum[NX][NW];
    UNROLL
    for (int i = 0; i < n_x; i++) {
        UNROLL
        for (int j = 0; j < n_w; j++)
            sum[i][j] = begin ? vec_zero() : vec_load(acc + i * acc_stride + j * LANES);
    }
    for (int64_t k = 0; k < n; k += STEP) {
        factor wk[NW];
        UNROLL
        for (int j = 0; j < n_w; j++) wk[j] = load_w(w + j * w_bytes, PANEL_TYPE, k);
        UNROLL
        for (int i = 0; i < n_x; i++) {
            factor xk = load_x(x + i * x_stride + k);
            UNROLL
            for (int j = 0; j < n_w; j++) sum[i][j] = madd(sum[i][j], wk[j], xk);
        }
    }
    UNROLL
    for (int i = 0; i < n_x; i++) {
        UNROLL
        for (int j = 0; j < n_w; j++) vec_store(acc + i * acc_stride + j * LANES, sum[i][j]);
    }
}

INLINE void block_rows(float *acc, int64_t acc_stride, const elem *x, int64_t x_stride, int n_x,
                       const unsigned char *w, int64_t w_bytes, int64_t n_w, int64_t n, bool begin)
{
    int64_t j = 0;
    for (; j + NW <= n_w; j += NW)
        block_tile(acc + j * LANES, acc_stride, x, x_stride, n_x, w + j * w_bytes, w_bytes, NW, n, begin);
    for (; j < n_w; j++)
        block_tile(acc + j * LANES, acc_stride, x, x_stride, n_x, w + j * w_bytes, w_bytes, 1, n, begin);
}

/* NX rows of x stay in L1 while the panel's piece, from L2, passes over them. */
static void block(float *acc, const tsr_linear_rows *x, int64_t row, int64_t n_x, int64_t c0, int64_t n,
                  const void *w, int64_t w_bytes, int64_t n_w)
{
    const elem *x0 = (const elem *)x->data + row * x->stride + c0;
    const int64_t acc_stride = PANEL * LANES, stride = x->stride;
    int64_t i = 0;
    for (; i + NX <= n_x; i += NX)
        block_rows(acc + i * acc_stride, acc_stride, x0 + i * stride, stride, NX, w, w_bytes, n_w, n,
                   c0 == 0);
    for (; i + 2 <= n_x; i += 2)
        block_rows(acc + i * acc_stride, acc_stride, x0 + i * stride, stride, 2, w, w_bytes, n_w, n, c0 == 0);
    if (i < n_x)
        block_rows(acc + i * acc_stride, acc_stride, x0 + i * stride, stride, 1, w, w_bytes, n_w, n, c0 == 0);
}

static void collect(float *sums, const float *acc, int64_t i0, int64_t n_x, int64_t n_w)
{
    for (int64_t i = 0; i < n_x; i++) {
        const float *row = acc + (i0 + i) * PANEL * LANES;
        int64_t j = 0;
        for (; j + LANES <= n_w; j += LANES) vec_store(sums + i * PANEL + j, vec_sums(row + j * LANES));
        for (; j < n_w; j++) sums[i * PANEL + j] = vec_sum(vec_load(row + j * LANES));
    }
}

/* few, for one type of weight. */
#define DEFINE_FEW(name, type)                                                                               \
    static void name(float *sums, int64_t ld, const tsr_linear_rows *x, int64_t row, int64_t n_x,            \
                     const void *w, int64_t w_bytes, int64_t n_w, int64_t cols)                              \
    {                                                                                                        \
        few(sums, ld, x, row, n_x, w, w_bytes, n_w, type, cols);                                             \
    }

/* Weights to f32 by load_w. */
#define DEFINE_WIDEN                                                                                         \
    static void widen(void *to, const void *from, tsr_dtype type, int64_t n)                                 \
    {                                                                                                        \
        int64_t i = 0;                                                                                       \
        for (; i + STEP <= n; i += STEP) vec_store((float *)to + i, load_w(from, type, i));                  \
        for (; i < n; i++) ((float *)to)[i] = tsr_load(from, type, i);                                       \
    }
