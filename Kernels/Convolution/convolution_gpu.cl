// A two-dimensional convolution over NHWC with frozen weights, GPU form (tile_gpu.cl comes first): a matrix product
// whose rows are pixels and whose sum runs over taps and channels.
//
//     forward:   y[b, i, j, :] = bias + residual + sum over taps (s, t) of x[b, i stride + s - padding, j ..., :] w[s, t]
//     backward:  dx[b, i, j, :] = residual + sum of dy[b, (i + padding - s) / stride, ...] w[s, t]ᵀ where that is whole
//
// Both are i' = (i step + sign s + offset) / dilation, and both read the one copy of w, [taps, taps, inputs, outputs]:
// forward along the columns, backward along the sum. Where the dilation is 2, the pixels of one parity in i and j have
// the same whole taps; a group makes pixels of one parity alone, so no product with a zero is made. Nothing is saved.
// `residual_pixels` neighbouring pixels share a row of the residual: 1 where each has its own, out_height out_width for
// a row a sample, 0 for none. Groups: (columns / TILE_COLUMNS, pixels of a parity / TILE_ROWS, dilation²), rounded up,
// of GROUP_SIZE items.

// Where tap `tap` of a kernel reads for the output coordinate `i`: -1 outside a picture of `length`.
INLINED int source(int i, int tap, int length, int step, int sign, int offset, int dilation) {
  int scaled = i * step + sign * tap + offset;
  return scaled >= 0 && scaled < length * dilation ? scaled / dilation : -1;
}

INLINED void convolution_product(__global storage_t *y, __global const storage_t *x, __global const storage_t *w,
                                 __global const float *bias, __global const storage_t *residual, int batch, int height,
                                 int width, int inputs, int out_height, int out_width, int outputs, int taps, int step,
                                 int sign, int offset, int dilation, int has_bias, int residual_pixels,
                                 int is_transposed, __local float *a, __local float *b) {
  int parity_y = get_group_id(2) / dilation, parity_x = get_group_id(2) % dilation;
  int rows_y = (out_height - parity_y + dilation - 1) / dilation,
      rows_x = (out_width - parity_x + dilation - 1) / dilation;
  int rows = batch * rows_y * rows_x;
  int column = get_group_id(0) * TILE_COLUMNS, row = get_group_id(1) * TILE_ROWS;
  int wide_inputs = inputs % 4 == 0, wide_outputs = outputs % 4 == 0;
  if (row >= rows) return;  // a parity with fewer pixels than another; the whole group leaves

  // The pixels that this item stages: sample, row and column.
  int pixel_b[QUADS_A], pixel_y[QUADS_A], pixel_x[QUADS_A];
  EACH (i, QUADS_A) {
    int pixel = row + ALONG_K_ROW(i);
    pixel_b[i] = pixel < rows ? pixel / (rows_y * rows_x) : -1;
    pixel_y[i] = pixel / rows_x % rows_y * dilation + parity_y;
    pixel_x[i] = pixel % rows_x * dilation + parity_x;
  }

  float4 sums[ITEM_ROWS][ITEM_COLUMNS / 4];
  EACH (r, ITEM_ROWS)
    EACH (n, ITEM_COLUMNS / 4) sums[r][n] = (float4)(0.0f);

  // The taps that are whole for this parity, every `dilation`-th from the first; the sum runs over them and the channels.
  int first_s = (parity_y + offset) % dilation, first_t = (parity_x + offset) % dilation;
  int count_t = (taps - first_t + dilation - 1) / dilation;
  int count_taps = (taps - first_s + dilation - 1) / dilation * count_t;
  int slices = (inputs + TILE_DEPTH - 1) / TILE_DEPTH * count_taps;

  float4 next_a[QUADS_A], next_b[QUADS_B];
  int tap = 0, k = 0;
  for (int slice = -1, buffer = 0; slice < slices; ++slice, buffer ^= 1) {
    int more = slice + 1 < slices;
    if (more) {
      int s = first_s + tap / count_t * dilation, t = first_t + tap % count_t * dilation;
      EACH (i, QUADS_A) {
        int source_y = source(pixel_y[i], s, height, step, sign, offset, dilation);
        int source_x = source(pixel_x[i], t, width, step, sign, offset, dilation);
        int inside = pixel_b[i] >= 0 && source_y >= 0 && source_x >= 0;
        next_a[i] = read_quad(x + (inside ? (((size_t)pixel_b[i] * height + source_y) * width + source_x) * inputs : 0),
                              k + ALONG_K_FIRST(i), inside ? inputs : 0, wide_inputs);
      }
      __global const storage_t *tap_weights = w + (size_t)(s * taps + t) * inputs * outputs;
      EACH (i, QUADS_B) {
        if (is_transposed) {
          int n = column + ALONG_K_ROW(i);
          next_b[i] =
              read_quad(tap_weights + (size_t)n * inputs, k + ALONG_K_FIRST(i), n < outputs ? inputs : 0, wide_inputs);
        } else {
          int m = k + ACROSS_K_ROW(i);
          next_b[i] = read_quad(tap_weights + (size_t)m * outputs, column + ACROSS_K_FIRST(i), m < inputs ? outputs : 0,
                                wide_outputs);
        }
      }
      k += TILE_DEPTH;
      if (k >= inputs) k = 0, ++tap;
    }
    if (slice >= 0) multiply_slice(sums, a + buffer * TILE_DEPTH * PITCH_A, b + buffer * TILE_DEPTH * PITCH_B);
    if (more) {
      __local float *slice_a = a + (buffer ^ 1) * TILE_DEPTH * PITCH_A,
                    *slice_b = b + (buffer ^ 1) * TILE_DEPTH * PITCH_B;
      EACH (i, QUADS_A) stage_along_k(slice_a, PITCH_A, ALONG_K_ROW(i), ALONG_K_FIRST(i), next_a[i]);
      EACH (i, QUADS_B) {
        if (is_transposed)
          stage_along_k(slice_b, PITCH_B, ALONG_K_ROW(i), ALONG_K_FIRST(i), next_b[i]);
        else
          *(__local float4 *)(slice_b + ACROSS_K_ROW(i) * PITCH_B + ACROSS_K_FIRST(i)) = next_b[i];
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }

  EACH (r, ITEM_ROWS) {
    int m = row + ROW_IN_TILE(r);
    if (m < rows) {
      int i = m / rows_x % rows_y * dilation + parity_y, j = m % rows_x * dilation + parity_x;
      int pixel = (m / (rows_y * rows_x) * out_height + i) * out_width + j;
      size_t residual_start = residual_pixels ? (size_t)(pixel / residual_pixels) * outputs : 0;
      EACH (n, ITEM_COLUMNS / 4)
        write_quad(y + (size_t)pixel * outputs, sums[r][n], bias, residual + residual_start,
                   column + COLUMN_IN_TILE(4 * n), outputs, wide_outputs, has_bias, residual_pixels);
    }
  }
}

__kernel GROUP_OF(GROUP_SIZE) void convolution_forward(__global storage_t *y, __global const storage_t *x,
                                                       __global const storage_t *w, __global const float *bias,
                                                       __global const storage_t *residual, int batch, int height,
                                                       int width, int inputs, int out_height, int out_width,
                                                       int outputs, int taps, int stride, int padding, int has_bias,
                                                       int residual_pixels) {
  __local float a[2 * TILE_DEPTH * PITCH_A] __attribute__((aligned(16)));
  __local float b[2 * TILE_DEPTH * PITCH_B] __attribute__((aligned(16)));
  convolution_product(y, x, w, bias, residual, batch, height, width, inputs, out_height, out_width, outputs, taps,
                      stride, 1, -padding, 1, has_bias, residual_pixels, 0, a, b);
}

__kernel GROUP_OF(GROUP_SIZE) void convolution_backward_input(__global storage_t *dx, __global const storage_t *dy,
                                                              __global const storage_t *w,
                                                              __global const storage_t *residual, int batch, int height,
                                                              int width, int inputs, int out_height, int out_width,
                                                              int outputs, int taps, int stride, int padding,
                                                              int has_residual) {
  __local float a[2 * TILE_DEPTH * PITCH_A] __attribute__((aligned(16)));
  __local float b[2 * TILE_DEPTH * PITCH_B] __attribute__((aligned(16)));
  convolution_product(dx, dy, w, 0, residual, batch, out_height, out_width, outputs, height, width, inputs, taps, 1, -1,
                      padding, stride, 0, has_residual, 1, a, b);
}
