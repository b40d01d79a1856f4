// A two-dimensional convolution over NHWC with frozen weights, CPU form (tile_cpu.cl and block_cpu.cl come
// first): a matrix product whose rows are pixels and whose sum runs over taps and channels.
//
//     y[b, i, j, :] = bias + residual + sum over taps (s, t) of x[b, i', j', :] w[s, t]
//     forward:    i' = i stride + s - padding
//     backward:   i' = (i + padding - s) / stride, where that is whole: the same sum, the weights packed the other way
//
// Both are i' = (i step + sign s + offset) / dilation. Where the dilation is 2, the pixels of one parity in i and j
// have the same whole taps; an item makes pixels of one parity alone, so no product with a zero is made. x is [batch,
// height, width, inputs], y is [batch, out_height, out_width, outputs], w is in panels (block_cpu.cl) with the sum's
// index (s kernel + t) inputs + channel. `residual_pixels` neighbouring pixels share a row of the residual: 1 where
// each has its own, out_height out_width for a row a sample, 0 for none. Groups: (outputs / block_columns, pixels of a
// parity / block_rows, dilation²), rounded up; block_columns is whole panels.

__kernel GROUP_OF(1) void convolution(__global storage_t *y, __global const storage_t *x, __global const storage_t *w,
                                      __global const float *bias, __global const storage_t *residual, int batch,
                                      int height, int width, int inputs, int out_height, int out_width, int outputs,
                                      int taps, int step, int sign, int offset, int dilation, int block_rows,
                                      int block_columns, int has_bias, int residual_pixels) {
  int parity_y = get_group_id(2) / dilation, parity_x = get_group_id(2) % dilation;
  int rows_y = (out_height - parity_y + dilation - 1) / dilation,
      rows_x = (out_width - parity_x + dilation - 1) / dilation;
  int first = get_group_id(1) * block_rows, count = min(block_rows, batch * rows_y * rows_x - first);
  if (count <= 0) return;
  int column = get_group_id(0) * block_columns, columns = min(block_columns, outputs - column);
  int panels = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
  CACHE_LINE float a[BLOCK_ROWS * BLOCK_DEPTH];
  CACHE_LINE float c[BLOCK_ROWS * BLOCK_COLUMNS];
  CACHE_LINE float unpacked[STORAGE == 32 ? 1 : BLOCK_DEPTH * TILE_COLUMNS];

  int pixel_b[BLOCK_ROWS], pixel_y[BLOCK_ROWS], pixel_x[BLOCK_ROWS];
  for (int r = 0; r < count; ++r) {
    int pixel = first + r;
    pixel_b[r] = pixel / (rows_y * rows_x);
    pixel_y[r] = pixel / rows_x % rows_y * dilation + parity_y;
    pixel_x[r] = pixel % rows_x * dilation + parity_x;
  }

  size_t sum_depth = (size_t)taps * taps * inputs;
  int chunk = step_depth(inputs);
  int started = 0;
  w += column * sum_depth;
  for (int s = 0; s < taps; ++s) {
    if ((parity_y + sign * s + offset) % dilation != 0) continue;
    for (int t = 0; t < taps; ++t) {
      if ((parity_x + sign * t + offset) % dilation != 0) continue;
      for (int k = 0; k < inputs; k += chunk) {
        int depth = min(chunk, inputs - k);
        for (int r = 0; r < count; ++r) {
          // Dividing a negative number rounds up to 0: look at the sign first.
          int i = pixel_y[r] * step + sign * s + offset, j = pixel_x[r] * step + sign * t + offset;
          if (i >= 0 && i < height * dilation && j >= 0 && j < width * dilation)
            read_row(a + r * BLOCK_DEPTH,
                     x + (((size_t)pixel_b[r] * height + i / dilation) * width + j / dilation) * inputs + k, depth);
          else
            zero_row(a + r * BLOCK_DEPTH, depth);
        }
        block_product(c, a, w + ((size_t)(s * taps + t) * inputs + k) * TILE_COLUMNS, sum_depth * TILE_COLUMNS, count,
                      panels, depth, started, unpacked);
        started = 1;
      }
    }
  }
  // A kernel of one tap and a stride of 2 leaves three parities in four without a tap.
  if (!started) zero_row(c, BLOCK_ROWS * BLOCK_COLUMNS);

  for (int r = 0; r < count; ++r) {
    int pixel = (pixel_b[r] * out_height + pixel_y[r]) * out_width + pixel_x[r];
    size_t start = (size_t)pixel * outputs + column;
    size_t residual_start = residual_pixels ? (size_t)(pixel / residual_pixels) * outputs + column : 0;
    write_block_row(y + start, c + r * BLOCK_COLUMNS, bias + column, residual + residual_start, columns, has_bias,
                    residual_pixels);
  }
}
