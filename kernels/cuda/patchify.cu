/* kernels/cuda/patchify.cu: 8-bit tiles to normalised patches. */
#include "kernels/cuda/rows.cuh"

namespace
{

struct patchify_op {
    tsr_view y, tiles;
    const float *table;
    int table_stride, grid_rows, grid_cols, p;

    __device__ void operator()(int64_t r, int64_t c) const
    {
        int n = grid_rows * grid_cols, patch = (int)r % n, at = (int)c;
        int width = grid_cols * p; /* pixels of one line of a tile */
        const uint8_t *corner = (const uint8_t *)cuda_row(tiles, (int)r / n) +
                                (patch / grid_cols * width + patch % grid_cols) * p * 3;
        int line = at / p, channel = line / p, ky = line % p, kx = at % p;
        octet o;
#pragma unroll
        for (int k = 0; k < 8; k++) {
            o.v[k] = 0;
            if (channel < 3) o.v[k] = table[channel * table_stride + corner[(ky * width + kx) * 3 + channel]];
            if (++kx == p) kx = 0, ky++;
            if (ky == p) ky = 0, channel++;
        }
        cuda_store8(cuda_row(y, r), y.type, c, y.cols, o);
    }
};

} // namespace

void tsr_cuda_patchify(tsr_queue *q, tsr_view y, tsr_view tiles, tsr_view table, tsr_grid grid)
{
    int64_t n = grid.rows * grid.cols;
    int p = 1;
    while (3 * n * p * p < tiles.cols) p++;
    patchify_op op = {y, tiles, (const float *)table.data, (int)table.stride, (int)grid.rows, (int)grid.cols,
                      p};
    cuda_rows(q, "patchify", y.rows, y.cols, op);
}
