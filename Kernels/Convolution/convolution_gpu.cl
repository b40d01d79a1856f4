// A two-dimensional convolution over NHWC with frozen weights, GPU form (storage.cl, activation.cl and tile_gpu.cl come
// first): a matrix product whose rows are pixels and whose sum runs over taps and channels.
//
//     forward:   y[b, i, j, :] = bias + addend + sum over taps (s, t) of x[b, i stride + s - padding, j ..., :] w[s, t]
//     backward:  dx[b, i, j, :] = addend + sum of dy[b, (i + padding - s) / stride, (j ...), :] w[s, t]ᵀ where that is whole
//
// Both are i' = (i step + sign s + offset) / dilation, and both read the one copy of w, [taps, taps, inputs, outputs]:
// forward along the columns, backward along the sum. Where the dilation is 2, the pixels of one parity in i and j have
// the same whole taps; a group makes pixels of one parity alone, so no product with a zero is made. Nothing is saved.
// `addendPixels` neighbouring pixels share a row of the addend: 1 for a residual, outHeight outWidth for a row a
// sample, 0 for no addend. Groups: (columns / TILE_N, pixels of a parity / TILE_M, dilation²), rounded up, of GROUP
// items.

// Where tap `tap` of a kernel reads for the output coordinate `i`: -1 outside a picture of `length`.
FOLDED int source(const int i, const int tap, const int length, const int step, const int sign, const int offset,
                  const int dilation) {
  const int scaled = i * step + sign * tap + offset;
  return scaled >= 0 && scaled < length * dilation ? scaled / dilation : -1;
}

FOLDED void convolution_product(__global storage_t *y, __global const storage_t *x, __global const storage_t *w,
                                __global const float *bias, __global const storage_t *addend, const int batch,
                                const int height, const int width, const int inputs, const int outHeight,
                                const int outWidth, const int outputs, const int taps, const int step, const int sign,
                                const int offset, const int dilation, const int hasBias, const int addendPixels,
                                const int transposed, __local float *a, __local float *b) {
  const int parityY = get_group_id(2) / dilation, parityX = get_group_id(2) % dilation;
  const int rowsY = (outHeight - parityY + dilation - 1) / dilation,
            rowsX = (outWidth - parityX + dilation - 1) / dilation;
  const int rows = batch * rowsY * rowsX;
  const int column = get_group_id(0) * TILE_N, row = get_group_id(1) * TILE_M;
  const int wideInputs = inputs % 4 == 0, wideOutputs = outputs % 4 == 0;
  if (row >= rows) return;  // a parity with fewer pixels than another; the whole group leaves

  // The pixels that this item stages: sample, row and column.
  int pixelB[QUADS_M], pixelY[QUADS_M], pixelX[QUADS_M];
  EACH (i, QUADS_M) {
    const int pixel = row + ALONG_K_ROW(i);
    pixelB[i] = pixel < rows ? pixel / (rowsY * rowsX) : -1;
    pixelY[i] = pixel / rowsX % rowsY * dilation + parityY;
    pixelX[i] = pixel % rowsX * dilation + parityX;
  }

  float4 sums[ITEM_M][ITEM_N / 4];
  EACH (r, ITEM_M)
    EACH (n, ITEM_N / 4) sums[r][n] = (float4)(0.0f);

  // The taps that are whole for this parity, every `dilation`-th from the first; the sum runs over them and the channels.
  const int firstS = (parityY + offset) % dilation, firstT = (parityX + offset) % dilation;
  const int countT = (taps - firstT + dilation - 1) / dilation;
  const int countTaps = (taps - firstS + dilation - 1) / dilation * countT;
  const int slices = (inputs + TILE_K - 1) / TILE_K * countTaps;

  float4 nextA[QUADS_M], nextB[QUADS_N];
  int tap = 0, k = 0;
  for (int slice = -1, buffer = 0; slice < slices; ++slice, buffer ^= 1) {
    const int more = slice + 1 < slices;
    if (more) {
      const int s = firstS + tap / countT * dilation, t = firstT + tap % countT * dilation;
      EACH (i, QUADS_M) {
        const int sourceY = source(pixelY[i], s, height, step, sign, offset, dilation);
        const int sourceX = source(pixelX[i], t, width, step, sign, offset, dilation);
        const int inside = pixelB[i] >= 0 && sourceY >= 0 && sourceX >= 0;
        nextA[i] = read_quad(x + (inside ? (((size_t)pixelB[i] * height + sourceY) * width + sourceX) * inputs : 0),
                             k + ALONG_K_FIRST(i), inside ? inputs : 0, wideInputs);
      }
      __global const storage_t *tapWeights = w + (size_t)(s * taps + t) * inputs * outputs;
      EACH (i, QUADS_N) {
        if (transposed) {
          const int n = column + ALONG_K_ROW(i);
          nextB[i] =
              read_quad(tapWeights + (size_t)n * inputs, k + ALONG_K_FIRST(i), n < outputs ? inputs : 0, wideInputs);
        } else {
          const int m = k + ACROSS_K_ROW(i);
          nextB[i] = read_quad(tapWeights + (size_t)m * outputs, column + ACROSS_K_FIRST(i), m < inputs ? outputs : 0,
                               wideOutputs);
        }
      }
      k += TILE_K;
      if (k >= inputs) k = 0, ++tap;
    }
    if (slice >= 0) multiply_slice(sums, a + buffer * TILE_K * PITCH_M, b + buffer * TILE_K * PITCH_N);
    if (more) {
      __local float *sliceA = a + (buffer ^ 1) * TILE_K * PITCH_M, *sliceB = b + (buffer ^ 1) * TILE_K * PITCH_N;
      EACH (i, QUADS_M) store_along_k(sliceA, PITCH_M, ALONG_K_ROW(i), ALONG_K_FIRST(i), nextA[i]);
      EACH (i, QUADS_N) {
        if (transposed)
          store_along_k(sliceB, PITCH_N, ALONG_K_ROW(i), ALONG_K_FIRST(i), nextB[i]);
        else
          *(__local float4 *)(sliceB + ACROSS_K_ROW(i) * PITCH_N + ACROSS_K_FIRST(i)) = nextB[i];
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }

  EACH (r, ITEM_M) {
    const int m = row + ITEM_ROW(r);
    if (m < rows) {
      const int i = m / rowsX % rowsY * dilation + parityY, j = m % rowsX * dilation + parityX;
      const int pixel = (m / (rowsY * rowsX) * outHeight + i) * outWidth + j;
      const size_t addendStart = addendPixels ? (size_t)(pixel / addendPixels) * outputs : 0;
      EACH (n, ITEM_N / 4)
        write_quad(y + (size_t)pixel * outputs, sums[r][n], bias, hasBias, addend + addendStart, addendPixels,
                   column + ITEM_COLUMN(4 * n), outputs, wideOutputs);
    }
  }
}

__kernel ONE_GROUP void convolution_forward(__global storage_t *y, __global const storage_t *x,
                                            __global const storage_t *w, __global const float *bias,
                                            __global const storage_t *addend, const int batch, const int height,
                                            const int width, const int inputs, const int outHeight, const int outWidth,
                                            const int outputs, const int taps, const int stride, const int padding,
                                            const int hasBias, const int addendPixels) {
  __local float a[2 * TILE_K * PITCH_M] __attribute__((aligned(16)));
  __local float b[2 * TILE_K * PITCH_N] __attribute__((aligned(16)));
  convolution_product(y, x, w, bias, addend, batch, height, width, inputs, outHeight, outWidth, outputs, taps, stride,
                      1, -padding, 1, hasBias, addendPixels, 0, a, b);
}

__kernel ONE_GROUP void convolution_backward_input(__global storage_t *dx, __global const storage_t *dy,
                                                   __global const storage_t *w, __global const storage_t *addend,
                                                   const int batch, const int height, const int width, const int inputs,
                                                   const int outHeight, const int outWidth, const int outputs,
                                                   const int taps, const int stride, const int padding,
                                                   const int hasAddend) {
  __local float a[2 * TILE_K * PITCH_M] __attribute__((aligned(16)));
  __local float b[2 * TILE_K * PITCH_N] __attribute__((aligned(16)));
  convolution_product(dx, dy, w, 0, addend, batch, outHeight, outWidth, outputs, height, width, inputs, taps, 1, -1,
                      padding, stride, 0, hasAddend, 1, a, b);
}
