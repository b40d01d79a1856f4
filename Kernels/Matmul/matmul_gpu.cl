// A linear layer with frozen weights, GPU form (tile_gpu.cl comes first).
//
//     forward:   y = activation(x w + bias) + residual   x [rows, inputs], y and residual [rows, outputs], bias [outputs]
//     backward:  dx = dy wᵀ + residual                   dy [rows, outputs], dx and residual [rows, inputs]
//
// Both read the one copy of w, [inputs, outputs]: forward along the columns, backward along the sum. Nothing is saved.
// Groups: (columns / TILE_COLUMNS, rows / TILE_ROWS), rounded up, of GROUP_SIZE items.

// y [rows, outputs] of x [rows, inputs] and w, [inputs, outputs] or, where `is_transposed`, [outputs, inputs].
INLINED void linear_product(__global storage_t *y, __global const storage_t *x, __global const storage_t *w,
                            __global const float *bias, __global const storage_t *residual, int rows, int inputs,
                            int outputs, int has_bias, int has_residual, int is_transposed, __local float *a,
                            __local float *b) {
  int column = get_group_id(0) * TILE_COLUMNS, row = get_group_id(1) * TILE_ROWS;
  int wide_inputs = inputs % 4 == 0, wide_outputs = outputs % 4 == 0;
  float4 sums[ITEM_ROWS][ITEM_COLUMNS / 4];
  EACH (r, ITEM_ROWS)
    EACH (n, ITEM_COLUMNS / 4) sums[r][n] = (float4)(0.0f);

  float4 next_a[QUADS_A], next_b[QUADS_B];
  for (int k = -TILE_DEPTH, buffer = 0; k < inputs; k += TILE_DEPTH, buffer ^= 1) {
    int next = k + TILE_DEPTH;
    if (next < inputs) {
      EACH (i, QUADS_A) {
        int m = row + ALONG_K_ROW(i);
        next_a[i] = read_quad(x + (size_t)m * inputs, next + ALONG_K_FIRST(i), m < rows ? inputs : 0, wide_inputs);
      }
      EACH (i, QUADS_B) {
        if (is_transposed) {
          int n = column + ALONG_K_ROW(i);
          next_b[i] = read_quad(w + (size_t)n * inputs, next + ALONG_K_FIRST(i), n < outputs ? inputs : 0, wide_inputs);
        } else {
          int m = next + ACROSS_K_ROW(i);
          next_b[i] =
              read_quad(w + (size_t)m * outputs, column + ACROSS_K_FIRST(i), m < inputs ? outputs : 0, wide_outputs);
        }
      }
    }
    if (k >= 0) multiply_slice(sums, a + buffer * TILE_DEPTH * PITCH_A, b + buffer * TILE_DEPTH * PITCH_B);
    if (next < inputs) {
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
      size_t start = (size_t)m * outputs;
      EACH (n, ITEM_COLUMNS / 4)
        write_quad(y + start, sums[r][n], bias, residual + start, column + COLUMN_IN_TILE(4 * n), outputs, wide_outputs,
                   has_bias, has_residual);
    }
  }
}

__kernel GROUP_OF(GROUP_SIZE) void linear_forward(__global storage_t *y, __global const storage_t *x,
                                                  __global const storage_t *w, __global const float *bias,
                                                  __global const storage_t *residual, int rows, int inputs, int outputs,
                                                  int has_bias, int has_residual) {
  __local float a[2 * TILE_DEPTH * PITCH_A] __attribute__((aligned(16)));
  __local float b[2 * TILE_DEPTH * PITCH_B] __attribute__((aligned(16)));
  linear_product(y, x, w, bias, residual, rows, inputs, outputs, has_bias, has_residual, 0, a, b);
}

__kernel GROUP_OF(GROUP_SIZE) void linear_backward_input(__global storage_t *dx, __global const storage_t *dy,
                                                         __global const storage_t *w,
                                                         __global const storage_t *residual, int rows, int inputs,
                                                         int outputs, int has_residual) {
  __local float a[2 * TILE_DEPTH * PITCH_A] __attribute__((aligned(16)));
  __local float b[2 * TILE_DEPTH * PITCH_B] __attribute__((aligned(16)));
  linear_product(dx, dy, w, 0, residual, rows, outputs, inputs, 0, has_residual, 1, a, b);
}
