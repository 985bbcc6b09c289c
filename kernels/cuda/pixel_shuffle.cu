/* kernels/cuda/pixel_shuffle.cu: four neighbours become one row; each is copied by threads of its own. */
#include "kernels/cuda/rows.cuh"

namespace
{

struct pixel_shuffle_op {
    tsr_view y, x;
    int grid_rows, grid_cols, version;

    /* quarter counts quarters of rows of y. */
    __device__ void operator()(int64_t quarter, int64_t c) const
    {
        int r = (int)(quarter / 4), part = (int)(quarter % 4);
        int n_p = grid_rows / 2, n_q = grid_cols / 2, each = n_p * n_q, tile = r / each, t = r % each;
        int p = version == 2 ? t / n_q : t % n_p, column = version == 2 ? t % n_q : t / n_p;
        int64_t from = ((int64_t)tile * grid_rows + 2 * p + part / 2) * grid_cols + 2 * column + part % 2;
        unsigned char *to = cuda_row(y, r) + part * x.cols * cuda_bytes(y.type);
        cuda_copy8(to, cuda_row(x, from), y.type, c, x.cols);
    }
};

} // namespace

void tsr_cuda_pixel_shuffle(tsr_queue *q, tsr_view y, tsr_view x, tsr_grid grid, int version)
{
    cuda_rows(q, "pixel_shuffle", 4 * y.rows, x.cols,
              pixel_shuffle_op{y, x, (int)grid.rows, (int)grid.cols, version});
}
