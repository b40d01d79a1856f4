// A two-dimensional convolution over NHWC with frozen weights, CPU form (storage.cl, activation.cl, tile_cpu.cl and
// block_cpu.cl come first): a matrix product whose rows are pixels and whose sum runs over taps and channels.
//
//     y[b, i, j, :] = bias + addend + sum over taps (s, t) of x[b, i', j', :] w[s, t]
//     forward:    i' = i stride + s - padding
//     backward:   i' = (i + padding - s) / stride, where that is whole: the same sum with the weights packed the other way
//
// Both are i' = (i step + sign s + offset) / dilation. Where the dilation is 2, the pixels of one parity in i and j
// have the same whole taps; an item makes pixels of one parity alone, so no product with a zero is made. x is [batch,
// height, width, inputs], y is [batch, outHeight, outWidth, outputs], w is in panels (block_cpu.cl) with the sum's
// index (s kernel + t) inputs + channel. `addendPixels` neighbouring pixels share a row of the addend: 1 for a
// residual, outHeight outWidth for a row a sample, 0 for no addend. Groups: (outputs / blockColumns, pixels of a parity
// / blockRows, dilation²), rounded up; blockColumns is whole panels.

__kernel ONE_ITEM void convolution(__global storage_t *y, __global const storage_t *x, __global const storage_t *w,
                                   __global const float *bias, __global const storage_t *addend, const int batch,
                                   const int height, const int width, const int inputs, const int outHeight,
                                   const int outWidth, const int outputs, const int taps, const int step,
                                   const int sign, const int offset, const int dilation, const int blockRows,
                                   const int blockColumns, const int hasBias, const int addendPixels) {
  const int parityY = get_group_id(2) / dilation, parityX = get_group_id(2) % dilation;
  const int rowsY = (outHeight - parityY + dilation - 1) / dilation,
            rowsX = (outWidth - parityX + dilation - 1) / dilation;
  const int first = get_group_id(1) * blockRows, count = min(blockRows, batch * rowsY * rowsX - first);
  if (count <= 0) return;
  const int column = get_group_id(0) * blockColumns, columns = min(blockColumns, outputs - column);
  const int panels = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
  CACHE_LINE float a[BLOCK_ROWS * BLOCK_DEPTH];
  CACHE_LINE float c[BLOCK_ROWS * BLOCK_COLUMNS];
  CACHE_LINE float unpacked[STORAGE == 32 ? 1 : BLOCK_DEPTH * TILE_COLUMNS];

  int pixelB[BLOCK_ROWS], pixelY[BLOCK_ROWS], pixelX[BLOCK_ROWS];
  for (int r = 0; r < count; ++r) {
    const int pixel = first + r;
    pixelB[r] = pixel / (rowsY * rowsX);
    pixelY[r] = pixel / rowsX % rowsY * dilation + parityY;
    pixelX[r] = pixel % rowsX * dilation + parityX;
  }

  const size_t depthOfSum = (size_t)taps * taps * inputs;
  const int chunk = step_depth(inputs);
  int started = 0;
  w += column * depthOfSum;
  for (int s = 0; s < taps; ++s) {
    if ((parityY + sign * s + offset) % dilation != 0) continue;
    for (int t = 0; t < taps; ++t) {
      if ((parityX + sign * t + offset) % dilation != 0) continue;
      for (int k = 0; k < inputs; k += chunk) {
        const int depth = min(chunk, inputs - k);
        for (int r = 0; r < count; ++r) {
          // Dividing a negative number rounds up to 0: look at the sign first.
          const int i = pixelY[r] * step + sign * s + offset, j = pixelX[r] * step + sign * t + offset;
          if (i >= 0 && i < height * dilation && j >= 0 && j < width * dilation)
            read_row(a + r * BLOCK_DEPTH,
                     x + (((size_t)pixelB[r] * height + i / dilation) * width + j / dilation) * inputs + k, depth);
          else
            zero_row(a + r * BLOCK_DEPTH, depth);
        }
        block_product(c, a, w + ((size_t)(s * taps + t) * inputs + k) * TILE_COLUMNS, depthOfSum * TILE_COLUMNS, count,
                      panels, depth, started, unpacked);
        started = 1;
      }
    }
  }
  // A kernel of one tap and a stride of 2 leaves three parities in four without a tap.
  if (!started) zero_row(c, BLOCK_ROWS * BLOCK_COLUMNS);

  for (int r = 0; r < count; ++r) {
    const int pixel = (pixelB[r] * outHeight + pixelY[r]) * outWidth + pixelX[r];
    const size_t start = (size_t)pixel * outputs + column;
    const size_t addendStart = addendPixels ? (size_t)(pixel / addendPixels) * outputs + column : 0;
    write_block_row(y + start, c + r * BLOCK_COLUMNS, bias + column, hasBias, addend + addendStart, addendPixels,
                    columns);
  }
}
