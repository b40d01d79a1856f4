// A linear layer with frozen weights, GPU form (storage.cl, activation.cl and tile_gpu.cl come first).
//
//     forward:   y = activation(x w + bias) + addend       x [rows, inputs], y and addend [rows, outputs], bias [outputs]
//     backward:  dx = dy wᵀ + addend                       dy [rows, outputs], dx and addend [rows, inputs]
//
// Both read the one copy of w, [inputs, outputs]: forward along the columns, backward along the sum. Nothing is saved.
// Groups: (columns / TILE_N, rows / TILE_M), rounded up, of GROUP items.

// y [rows, outputs] of x [rows, inputs] and w, [inputs, outputs] or, where `transposed`, [outputs, inputs].
FOLDED void linear_product(__global storage_t *y, __global const storage_t *x, __global const storage_t *w,
                           __global const float *bias, __global const storage_t *addend, const int rows,
                           const int inputs, const int outputs, const int hasBias, const int hasAddend,
                           const int transposed, __local float *a, __local float *b) {
  const int column = get_group_id(0) * TILE_N, row = get_group_id(1) * TILE_M;
  const int wideInputs = inputs % 4 == 0, wideOutputs = outputs % 4 == 0;
  float4 sums[ITEM_M][ITEM_N / 4];
  EACH (r, ITEM_M)
    EACH (n, ITEM_N / 4) sums[r][n] = (float4)(0.0f);

  float4 nextA[QUADS_M], nextB[QUADS_N];
  for (int k = -TILE_K, buffer = 0; k < inputs; k += TILE_K, buffer ^= 1) {
    const int next = k + TILE_K;
    if (next < inputs) {
      EACH (i, QUADS_M) {
        const int m = row + ALONG_K_ROW(i);
        nextA[i] = read_quad(x + (size_t)m * inputs, next + ALONG_K_FIRST(i), m < rows ? inputs : 0, wideInputs);
      }
      EACH (i, QUADS_N) {
        if (transposed) {
          const int n = column + ALONG_K_ROW(i);
          nextB[i] = read_quad(w + (size_t)n * inputs, next + ALONG_K_FIRST(i), n < outputs ? inputs : 0, wideInputs);
        } else {
          const int m = next + ACROSS_K_ROW(i);
          nextB[i] =
              read_quad(w + (size_t)m * outputs, column + ACROSS_K_FIRST(i), m < inputs ? outputs : 0, wideOutputs);
        }
      }
    }
    if (k >= 0) multiply_slice(sums, a + buffer * TILE_K * PITCH_M, b + buffer * TILE_K * PITCH_N);
    if (next < inputs) {
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
      const size_t start = (size_t)m * outputs;
      EACH (n, ITEM_N / 4)
        write_quad(y + start, sums[r][n], bias, hasBias, addend + start, hasAddend, column + ITEM_COLUMN(4 * n),
                   outputs, wideOutputs);
    }
  }
}

__kernel ONE_GROUP void linear_forward(__global storage_t *y, __global const storage_t *x, __global const storage_t *w,
                                       __global const float *bias, __global const storage_t *addend, const int rows,
                                       const int inputs, const int outputs, const int hasBias, const int hasAddend) {
  __local float a[2 * TILE_K * PITCH_M] __attribute__((aligned(16)));
  __local float b[2 * TILE_K * PITCH_N] __attribute__((aligned(16)));
  linear_product(y, x, w, bias, addend, rows, inputs, outputs, hasBias, hasAddend, 0, a, b);
}

__kernel ONE_GROUP void linear_backward_input(__global storage_t *dx, __global const storage_t *dy,
                                              __global const storage_t *w, __global const storage_t *addend,
                                              const int rows, const int inputs, const int outputs,
                                              const int hasAddend) {
  __local float a[2 * TILE_K * PITCH_M] __attribute__((aligned(16)));
  __local float b[2 * TILE_K * PITCH_N] __attribute__((aligned(16)));
  linear_product(dx, dy, w, 0, addend, rows, outputs, inputs, 0, hasAddend, 1, a, b);
}
